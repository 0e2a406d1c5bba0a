/* Any damage to the upper that a dead daemon has left (fs/recover.c): a script of bytes makes a lower and an upper, and
 * then the next mount takes over and flushes, without FUSE. Nothing may crash or leak; nothing outside the two
 * directories is touched; and of each file of the script whole, in the upper       is on the lower with these bytes a
 * tail                    makes the lower's log longer, or leaves it as it is: its bytes are a prefix of what it is
 * then begun to be rewritten     leaves the lower's version as it is */
#include "fs/fs.h"
#include "fs/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "not so: %s (%s:%d)\n", #condition, __FILE__, __LINE__);                       \
			__builtin_trap();                                                                              \
		}                                                                                                      \
	} while (0)

enum { NAMES = 12, CONTENT_MAX = 12000 };
enum kind { UNTOUCHED, WHOLE, TAIL, REWRITTEN, ODD };

static const char *const names[NAMES] = {"logs/a.log", "b.jsonl",  "c.json",	 "sessions.json", "d.lock", "e.tmp",
					 "f.txt",      "x.db-shm", "sub/g.json", "sub/h.log",	  "logs",   "sub"};
static char base[64], lower[80], upper[80], beside[80];

struct script {
	const uint8_t *at, *end;
};

struct expected {
	enum kind kind;
	bool has_lower;
	size_t lower_size, upper_size;
	uint8_t lower_byte, upper_byte;
};

static unsigned next(struct script *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

static void remove_tree(const char *path)
{
	DIR *dir = opendir(path);
	char name[512];

	if (!dir) {
		unlink(path);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name) < 0)
			remove_tree(name);
	}
	closedir(dir);
	rmdir(path);
}

static int make_file(const char *path, off_t from, size_t size, uint8_t byte)
{
	char content[CONTENT_MAX];
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return -1;
	memset(content, byte, size);
	if (ftruncate(fd, from) < 0 || pwrite(fd, content, size, from) != (ssize_t)size)
		abort();
	close(fd);
	return 0;
}

/* One thing that the script says of one name. */
static void one_step(struct script *s, struct expected *expected)
{
	unsigned op = next(s) % 10, i = next(s) % NAMES;
	struct expected *e = &expected[i];
	size_t size = (next(s) | next(s) << 8) % CONTENT_MAX;
	uint8_t byte = (uint8_t)(1 + next(s) % 255);
	char path[256], mark[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", op == 0 ? lower : upper, names[i]);
	if (op > 0)
		snprintf(path, sizeof(path), "%s/tree/%s", upper, names[i]);
	switch (op) {
	case 0:
		if (make_file(path, 0, size, byte) == 0) {
			e->has_lower = true;
			e->lower_size = size;
			e->lower_byte = byte;
		}
		break;
	case 1:
	case 2:
		if (make_file(path, 0, size, byte) == 0) {
			e->kind = WHOLE;
			e->upper_size = size;
			e->upper_byte = byte;
		}
		break;
	case 3: /* a hole first */
		if (make_file(path, (off_t)(1 + next(s) % 3) * 4096, size, byte) == 0)
			e->kind = TAIL;
		break;
	case 4: /* a mark: the version before is on the lower */
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			snprintf(mark, sizeof(mark), "%s/before/%llu", upper, (unsigned long long)st.st_ino);
			if (symlink("lower", mark) == 0)
				e->kind = e->kind == WHOLE ? REWRITTEN : ODD;
		}
		break;
	case 5: /* or kept */
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			snprintf(mark, sizeof(mark), "%s/before/%llu", upper, (unsigned long long)st.st_ino);
			if (make_file(mark, 0, size, byte) == 0)
				e->kind = ODD;
		}
		break;
	case 6:
		if (symlink(byte & 1 ? beside : "../../..", path) == 0)
			e->kind = ODD;
		break;
	case 7:
		if (byte & 1 ? mkfifo(path, 0600) == 0 : mkdir(path, byte & 2 ? 0700 : 0) == 0)
			e->kind = ODD;
		break;
	case 8: /* an interrupted rename, of any length */
		snprintf(path, sizeof(path), "%s/intent", upper);
		if (make_file(path, 0, byte & 1 ? size : 0, byte) == 0)
			for (int k = 0; k < NAMES; k++)
				expected[k].kind = ODD;
		break;
	default:
		snprintf(path, sizeof(path), "%s/work/%u", upper, i);
		make_file(path, 0, size, byte);
	}
}

static void lay_out(struct script *s, struct expected *expected)
{
	static const char *const dirs[] = {"", "/tree", "/work", "/before"};
	char path[128];

	mkdir(lower, 0700);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", upper, dirs[i]);
		mkdir(path, 0700);
	}
	unsigned present = next(s);
	const char *const places[] = {"logs", "sub"};
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", lower, places[i]);
		if (present & 1u << i)
			mkdir(path, 0700);
		snprintf(path, sizeof(path), "%s/tree/%s", upper, places[i]);
		if (present & 4u << i)
			mkdir(path, 0700);
	}
	while (s->at < s->end)
		one_step(s, expected);
}

static size_t same_bytes(const char *path, uint8_t byte, size_t most, size_t *size)
{
	char content[8 * CONTENT_MAX];
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content));
	size_t same = 0;

	if (fd >= 0)
		close(fd);
	*size = n < 0 ? 0 : (size_t)n;
	while (same < *size && same < most && (uint8_t)content[same] == byte)
		same++;
	return n < 0 ? (size_t)-1 : same;
}

static void judge(const struct clawfs *fs, const struct expected *expected, int flushed)
{
	char path[128];
	size_t size;

	for (int i = 0; i < NAMES; i++) {
		const struct expected *e = &expected[i];
		bool is_volatile = i == 4 || i == 5 || i == 7;
		snprintf(path, sizeof(path), "%s/%s", lower, names[i]);
		if (e->kind == WHOLE && !is_volatile && flushed == 0 && fs->left_out == 0) {
			NEED(same_bytes(path, e->upper_byte, e->upper_size, &size) == e->upper_size);
			NEED(size == e->upper_size);
		}
		/* What is volatile and was on the lower stays on it. */
		bool kept = e->kind == UNTOUCHED || e->kind == TAIL || e->kind == REWRITTEN;
		if (e->has_lower && kept && !is_volatile)
			NEED(same_bytes(path, e->lower_byte, e->lower_size, &size) == e->lower_size);
		if (e->has_lower && (e->kind == UNTOUCHED || e->kind == REWRITTEN) && !is_volatile)
			NEED(size == e->lower_size);
	}
	NEED(same_bytes(beside, 'b', 6, &size) == 6 && size == 6);
}

static void take_over(const struct expected *expected)
{
	struct clawfs *fs = calloc(1, sizeof(*fs));
	char why[512];

	if (!fs || !(fs->log = log_create(false)))
		abort();
	log_redirect(fs->log, "/dev/null");
	policy_config_init(&fs->config);
	fs->live_fd = -1;
	if (lower_init(&fs->lower, lower, lower_calls_default()) < 0)
		abort();
	int rc = upper_open(&fs->upper, upper, &fs->lower, why, sizeof(why));
	NEED(rc == 0);
	NEED(clawfs_init(fs, clock_now()) == 0);
	lower_temp_remove(&fs->lower);
	rc = recover_upper(fs, clock_now());
	int flushed = rc < 0 ? rc : sched_flush_all(fs, CAUSE_END);
	if (rc == 0)
		judge(fs, expected, flushed);
	clawfs_fini(fs);
	lower_temp_remove(&fs->lower);
	upper_close(&fs->upper, true);
	lower_fini(&fs->lower);
	log_destroy(fs->log);
	free(fs);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	snprintf(base, sizeof(base), "/dev/shm/clawfs-fuzz-%d", (int)getpid());
	snprintf(lower, sizeof(lower), "%s/lower", base);
	snprintf(upper, sizeof(upper), "%s/upper", base);
	snprintf(beside, sizeof(beside), "%s/beside", base);
	mkdir(base, 0700);
	make_file(beside, 0, 6, 'b');
	return 0;
}

__attribute__((destructor)) static void clean_up(void)
{
	if (base[0])
		remove_tree(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};
	struct expected expected[NAMES] = {0};

	if (size > 400)
		return 0;
	remove_tree(lower);
	remove_tree(upper);
	lay_out(&s, expected);
	take_over(expected);
	return 0;
}
