/* One mount and its lower. */
#include "tools/clawfsctl/doctor.h"
#include "tools/clawfsctl/format.h"
#include <errno.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A dirty file is flushed within 30 s at the latest (rewrite_max_ms); with time for the flush itself. */
#define OLD_MS INT64_C(60000)
/* Of these logind thinks as people (SYSTEM_UID_MAX). */
#define FIRST_USER 1000
/* Less room than this on the lower is worth a word. */
#define ROOM_BYTES (UINT64_C(64) << 20)

/* --- the lower ----------------------------------------------------------- */

static const struct {
	const char *type, *why;
} doubtful[] = {
	{"vfat", "has no atomic replace after a power cut, and no owners"},
	{"exfat", "has no atomic replace after a power cut, and no owners"},
	{"nfs", "other machines change it unseen, and SQLite's locks do not hold"},
	{"nfs4", "other machines change it unseen, and SQLite's locks do not hold"},
	{"cifs", "other machines change it unseen, and SQLite's locks do not hold"},
	{"tmpfs", "is RAM already: a power cut costs everything"},
};

static const struct {
	const char *option, *why, *remedy;
} harmful[] = {
	{"ro", "is mounted read-only: everything stays in RAM",
	 "mount -o remount,rw it; if the card fails, replace it"},
	{"nobarrier", "is mounted with nobarrier: a sync does not reach the card", "remove nobarrier from /etc/fstab"},
	{"barrier=0", "is mounted with barrier=0: a sync does not reach the card", "remove barrier=0 from /etc/fstab"},
	{"noauto_da_alloc",
	 "is mounted with noauto_da_alloc: programs that replace files without fsync leave empty ones",
	 "remove noauto_da_alloc from /etc/fstab"},
	{"sync", "is mounted with sync: every write waits for the card", "remove sync from /etc/fstab"},
};

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; (at = strstr(at, name)); at += len)
		if ((at == options || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static void look_at_room(struct doctor *d, const char *source)
{
	struct statvfs v;

	/* Seen through the mount as well: it hands on the lower's figures. */
	if (statvfs(source, &v) < 0) {
		doctor_trouble(d, "free space", "see dmesg", "%s: %s", source, strerror(errno));
		return;
	}
	uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
	if (room < ROOM_BYTES)
		doctor_trouble(d, "free space", "make room: what does not fit stays in RAM", "%s left",
			       format_bytes((double)room).text);
	else
		doctor_ok(d, "free space", "%s", format_bytes((double)room).text);
}

void doctor_lower(struct doctor *d, const char *source)
{
	struct place_mount m;
	unsigned before = d->troubles;

	if (!place_covering(source, false, &m)) {
		doctor_note(d, "lower", "see /proc/self/mountinfo", "%s: its file system is not known", source);
		return;
	}
	for (size_t i = 0; i < sizeof(doubtful) / sizeof(*doubtful); i++)
		if (strcmp(m.type, doubtful[i].type) == 0)
			doctor_trouble(d, "lower", "put the directory on ext4, f2fs, xfs or btrfs",
				       "%s is %s, which %s", source, m.type, doubtful[i].why);
	for (size_t i = 0; i < sizeof(harmful) / sizeof(*harmful); i++)
		if (has_option(m.options, harmful[i].option))
			doctor_trouble(d, "lower", harmful[i].remedy, "%s (%s) %s", m.at, m.type, harmful[i].why);
	if (d->troubles == before)
		doctor_ok(d, "lower", "%s is on %s, %s, mounted %s", source, m.source, m.type, m.options);
	look_at_room(d, source);
}

/* --- the daemon ---------------------------------------------------------- */

/* logind's RemoveIPC= empties /dev/shm of an ordinary user's files at the last logout, unless the user lingers. */
static void look_at_logout(struct doctor *d, const char *upper)
{
	char linger[PATH_MAX];
	struct stat st;
	const struct passwd *user = NULL;

	if (strncmp(upper, "/dev/shm/", 9) == 0 && stat(upper, &st) == 0 && st.st_uid >= FIRST_USER &&
	    access("/run/systemd/system", F_OK) == 0)
		user = getpwuid(st.st_uid);
	if (!user)
		return;
	snprintf(linger, sizeof(linger), "/var/lib/systemd/linger/%s", user->pw_name);
	if (access(linger, F_OK) < 0 && errno == ENOENT)
		doctor_trouble(d, "logout", "loginctl enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf",
			       "logind removes %s, with what is in it, when %s logs out", upper, user->pw_name);
}

static void look_at_upper(struct doctor *d, struct snapshot *s)
{
	const char *upper = snapshot_text(s, "$.upper");
	struct statfs fs;

	if (statfs(upper, &fs) < 0) {
		doctor_note(d, "upper", "run this as the directory's owner, or as root", "%s: %s", upper,
			    strerror(errno));
		return;
	}
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC) {
		doctor_trouble(d, "upper", "unmount and mount again; name a directory on tmpfs with -o upper=DIR",
			       "%s is not in RAM any more", upper);
		return;
	}
	look_at_logout(d, upper);
	uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", upper);
	int64_t wants = snapshot_number(s, "$.ram_max") - snapshot_number(s, "$.ram_used");
	if (fs.f_type == TMPFS_MAGIC && fs.f_blocks && (int64_t)room < wants)
		doctor_trouble(d, "upper", "mount a larger tmpfs there, or give a smaller -o ram_max",
			       "%s has %s left, less than ram_max may ask for", path, format_bytes((double)room).text);
	else
		doctor_ok(d, "upper", "%s, in RAM", path);
}

static void look_at_age(struct doctor *d, struct snapshot *s)
{
	int64_t age = snapshot_number(s, "$.totals.oldest_dirty_ms");
	int64_t error = snapshot_number(s, "$.lower_error");

	if (error)
		doctor_trouble(d, "card",
			       "see dmesg; make room or replace the card: what is in RAM is tried again by itself",
			       "the lower refuses: %s", strerror((int)error));
	if (age > OLD_MS)
		doctor_trouble(d, "unflushed", "clawfsctl flush says what is in its way",
			       "something waits for the lower for %s", format_age(age).text);
	else if (age)
		doctor_ok(d, "unflushed", "the oldest waits for %s", format_age(age).text);
	else
		doctor_ok(d, "unflushed", "nothing");
}

static void look_at_passthrough(struct doctor *d, struct snapshot *s)
{
	if (snapshot_number(s, "$.passthrough.active"))
		doctor_ok(d, "passthrough", "on");
	else
		doctor_note(d, "passthrough",
			    "wants Linux 6.9, a mount by root, and no -o passthrough=off; databases then read faster",
			    "off");
}

struct seen {
	struct doctor *d;
	unsigned wal;
};

static void look_at_database(const struct snapshot_db *db, void *arg)
{
	struct seen *seen = arg;

	if (db->error)
		doctor_trouble(seen->d, "database", "see dmesg; make room or replace the card",
			       "%s: the lower refuses: %s", db->path, strerror((int)db->error));
	if (strcmp(db->mode, "wal") == 0)
		seen->wal++;
	else if (db->excluded)
		doctor_note(seen->d, "database", "take it out of sqlite_exclude if it is written often",
			    "%s: excluded, stays in %s mode", db->path, db->mode);
	else if (db->trouble[0])
		doctor_trouble(
			seen->d, "database",
			"if it is damaged: sqlite3 FILE .recover; if it is meant to be so: -o sqlite_exclude=FILE",
			"%s: not in WAL mode, left as it is: %s", db->path, db->trouble);
	else
		doctor_trouble(seen->d, "database",
			       "end the program that keeps it locked for a moment; it is put into WAL mode by itself",
			       "%s: in %s mode", db->path, db->mode);
}

static void look_at_version(struct doctor *d, struct snapshot *s)
{
	long long pid = (long long)snapshot_number(s, "$.pid");
	const char *version = snapshot_text(s, "$.version");

	if (strcmp(version, CLAWFS_VERSION) == 0)
		doctor_ok(d, "daemon", "clawfs %s, pid %lld", version, pid);
	else
		doctor_note(d, "daemon", "unmount and mount again to use the new one",
			    "clawfs %s runs, but " CLAWFS_VERSION " is installed", version);
}

void doctor_mount(struct doctor *d, struct snapshot *s)
{
	struct seen seen = {.d = d};

	look_at_version(d, s);
	look_at_upper(d, s);
	look_at_passthrough(d, s);
	look_at_age(d, s);
	snapshot_databases(s, look_at_database, &seen);
	doctor_ok(d, "databases", "%u in WAL mode", seen.wal);
}
