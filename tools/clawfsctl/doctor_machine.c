/* The machine, whatever is mounted. */
#include "tools/clawfsctl/doctor.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

static void look_at_kernel(struct doctor *d)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		doctor_note(d, "kernel", "see uname -r", "of unknown version");
	else if (major > 6 || (major == 6 && minor >= 9))
		doctor_ok(d, "kernel", "%s", u.release);
	else
		doctor_note(d, "kernel", "6.9 and later read and write such files without a round trip (passthrough)",
			    "%s: older than 6.9, everything works, reads and writes of class through are slower",
			    u.release);
}

static void look_at_fuse(struct doctor *d)
{
	if (access("/dev/fuse", F_OK) < 0)
		doctor_trouble(d, "/dev/fuse",
			       "load the kernel module with: modprobe fuse; give a container the device", "%s",
			       strerror(errno));
	else if (access("/dev/fuse", R_OK | W_OK) < 0)
		doctor_trouble(d, "/dev/fuse", "chmod 666 /dev/fuse, as udev does", "not yours to open: %s",
			       strerror(errno));
	else
		doctor_ok(d, "/dev/fuse", "there");
	doctor_ok(d, "libfuse", "%s", fuse_pkgversion());
	if (access("/usr/bin/fusermount3", X_OK) == 0 || access("/bin/fusermount3", X_OK) == 0)
		doctor_ok(d, "fusermount3", "there");
	else
		doctor_note(d, "fusermount3", "install the package fuse3",
			    "missing: only root can mount, and nobody unmount with fusermount3 -u");
}

/* What is in RAM reaches a swap partition on the card after all. */
static void look_at_swap(struct doctor *d)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[512], name[256];
	bool first = true, found = false;

	while (f && fgets(line, sizeof(line), f)) {
		/* The first line is the table's head. */
		if (!first && sscanf(line, "%255s", name) == 1 && strncmp(name, "/dev/zram", 9) != 0) {
			found = true;
			doctor_note(d, "swap",
				    "use zram instead, or: swapoff; on Raspberry Pi OS: dphys-swapfile uninstall",
				    "%s is on a disk: what is held in RAM may be written there, more than once", name);
		}
		first = false;
	}
	if (f)
		fclose(f);
	if (!found)
		doctor_ok(d, "swap", "none on a disk");
}

static unsigned entries_of(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned count = 0;

	if (!dir && fd >= 0)
		close(fd);
	for (struct dirent *e; dir && (e = readdir(dir));)
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (dir)
		closedir(dir);
	return count;
}

/* An upper that nobody has locked and that is not empty (fs/upper.h). */
static void look_at_upper(struct doctor *d, const char *base, int basefd, const char *name)
{
	char lower[64] = "?";
	int fd = openat(basefd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0 && entries_of(fd, "tree") > 0) {
		int file = openat(fd, "lower", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		ssize_t n = file < 0 ? -1 : read(file, lower, sizeof(lower) - 1);
		if (n > 0)
			lower[n] = '\0';
		if (file >= 0)
			close(file);
		doctor_trouble(d, "left in RAM", "mount that directory again: what is there goes to it",
			       "%s/%s holds what a mount that did not end had not written; of the directory with "
			       "device:inode %s",
			       base, name, lower);
	}
	close(fd);
}

static void look_at_uppers(struct doctor *d)
{
	char user[64];
	const char *const bases[] = {"/run/clawfs", user};

	snprintf(user, sizeof(user), "/dev/shm/clawfs-%u", (unsigned)geteuid());
	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		int fd = open(bases[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		for (struct dirent *e; dir && (e = readdir(dir));)
			if (e->d_name[0] != '.')
				look_at_upper(d, bases[i], dirfd(dir), e->d_name);
		if (dir)
			closedir(dir);
		else if (fd >= 0)
			close(fd);
	}
}

void doctor_machine(struct doctor *d)
{
	look_at_kernel(d);
	look_at_fuse(d);
	look_at_swap(d);
	look_at_uppers(d);
}
