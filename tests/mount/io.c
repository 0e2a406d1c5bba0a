/* io DIR: what a program may do with open files, done in DIR, each result on a
 * line; a case compares the lines of a mount with those of a plain directory.
 * No times and no inode numbers: "later" and "same" instead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *failed(long rc)
{
	return rc < 0 ? strerror(errno) : "";
}

#define SHOW(call)                                                                                                     \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		long shown = (long)(call);                                                                             \
		printf("%s: %ld %s\n", #call, shown, failed(shown));                                                   \
	} while (0)

/* Size, mode and links by descriptor and by name, and a sum of the bytes by both. */
static void show(const char *what, int fd, const char *name)
{
	struct stat by_fd = {0}, by_name = {0};
	unsigned sum[2] = {0};
	static char buf[1 << 20];
	int other = open(name, O_RDONLY);
	int fds[2] = {fd, other};

	for (int i = 0; i < 2; i++) {
		ssize_t n = pread(fds[i], buf, sizeof(buf), 0);
		for (ssize_t k = 0; k < n; k++)
			sum[i] = sum[i] * 31 + (unsigned char)buf[k];
	}
	if (other >= 0)
		close(other);
	fstat(fd, &by_fd);
	int rc = stat(name, &by_name);
	printf("%s: %lld %o %lu %x; %d %lld %x\n", what, (long long)by_fd.st_size, by_fd.st_mode,
	       (unsigned long)by_fd.st_nlink, sum[0], rc, (long long)by_name.st_size, sum[1]);
	if (rc == 0 && by_fd.st_ino == by_name.st_ino &&
	    memcmp(&by_fd.st_mtim, &by_name.st_mtim, sizeof(by_fd.st_mtim)) != 0)
		printf("%s: two mtimes\n", what);
}

static struct timespec mtime(int fd)
{
	struct stat st = {0};

	fstat(fd, &st);
	return st.st_mtim;
}

static bool later(struct timespec a, struct timespec b)
{
	return b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec > a.tv_nsec);
}

static void pause_a_tick(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void readers_and_writers(void)
{
	int w = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
	SHOW(pwrite(w, "hello", 5, 0));
	int r = open("a", O_RDONLY);
	int o = open("a", O_WRONLY);
	SHOW(pwrite(o, "J", 1, 0));
	SHOW(pwrite(r, "x", 1, 0));
	show("reader", r, "a");
	SHOW(pwrite(w, "far", 3, 100000));
	show("sparse", w, "a");
	SHOW(lseek(r, 0, SEEK_DATA));
	SHOW(lseek(r, 0, SEEK_HOLE));
	SHOW(lseek(r, 5000, SEEK_DATA));
	SHOW(ftruncate(w, 3));
	show("cut", r, "a");
	SHOW(truncate("a", 5000));
	show("grown", r, "a");
	SHOW(ftruncate(r, 1));
	close(w);
	close(o);
	/* A reader is first and stays while writers come. */
	w = open("a", O_RDWR | O_TRUNC);
	show("emptied", r, "a");
	SHOW(pwrite(w, "again", 5, 0));
	show("again", r, "a");
	SHOW(fallocate(w, 0, 0, 20000));
	show("allocated", r, "a");
	SHOW(fallocate(w, FALLOC_FL_KEEP_SIZE, 20000, 20000));
	SHOW(fallocate(w, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	show("punched", r, "a");
	SHOW(fsync(w));
	SHOW(fdatasync(r));
	SHOW(fchmod(r, 0600));
	show("mode", r, "a");
	close(r);
	close(w);
}

static void times(void)
{
	int fd = open("t", O_RDWR | O_CREAT, 0644);
	const struct timespec set[2] = {{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 981173106, .tv_nsec = 123456789}};

	SHOW(write(fd, "x", 1));
	struct timespec first = mtime(fd);
	pause_a_tick();
	SHOW(write(fd, "y", 1));
	struct timespec second = mtime(fd);
	printf("a write: %d\n", later(first, second));
	SHOW(futimens(fd, set));
	printf("set: %ld.%09ld\n", (long)mtime(fd).tv_sec, mtime(fd).tv_nsec);
	pause_a_tick();
	/* Through a mapping, seen while it is there and after. */
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[0] = 'm';
	SHOW(msync(map, 4096, MS_SYNC));
	first = mtime(fd);
	printf("a mapping: %d\n", later(second, first));
	pause_a_tick();
	map[1] = 'n';
	SHOW(msync(map, 4096, MS_SYNC));
	second = mtime(fd);
	printf("again: %d\n", later(first, second));
	munmap(map, 4096);
	show("mapped", fd, "t");
	close(fd);
	fd = open("t", O_RDONLY);
	show("later", fd, "t");
	close(fd);
}

static void appenders(void)
{
	enum { COUNT = 500 };
	char line[17];
	int counts[4] = {0};

	for (int k = 0; k < 4; k++) {
		if (fork() != 0)
			continue;
		int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
		for (int i = 0; i < COUNT; i++) {
			snprintf(line, sizeof(line), "%d %013d\n", k, i);
			if (write(fd, line, 16) != 16)
				_exit(1);
		}
		_exit(0);
	}
	int status, bad = 0;
	while (wait(&status) > 0)
		bad += status != 0;
	int fd = open("log", O_RDONLY);
	for (off_t off = 0; pread(fd, line, 16, off) == 16; off += 16) {
		int k = line[0] - '0';
		if (k < 0 || k > 3 || atoi(line + 2) != counts[k]++)
			printf("line %lld is wrong\n", (long long)off / 16);
	}
	printf("appended: %d %d %d %d, %d failed, %lld\n", counts[0], counts[1], counts[2], counts[3], bad,
	       (long long)lseek(fd, 0, SEEK_END));
	close(fd);
	/* Its place is the end, whatever is asked for. */
	fd = open("log", O_RDWR | O_APPEND);
	SHOW(pwrite(fd, "tail\n", 5, 0));
	SHOW(lseek(fd, 0, SEEK_CUR));
	struct iovec iov[2] = {{(char *)"v1 ", 3}, {(char *)"v2\n", 3}};
	SHOW(writev(fd, iov, 2));
	SHOW(lseek(fd, 0, SEEK_CUR));
	close(fd);
	fd = open("log", O_RDWR | O_DSYNC);
	SHOW(pwritev2(fd, iov, 2, 0, RWF_APPEND));
	char end[12] = "";
	SHOW(pread(fd, end, 11, lseek(fd, 0, SEEK_END) - 11));
	printf("end: %s", end);
	close(fd);
}

static void copies(void)
{
	static char data[70000];
	int a = open("from", O_RDWR | O_CREAT, 0644), b = open("to", O_RDWR | O_CREAT, 0644);
	int p[2];
	off_t in = 0, out = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 26 + i / 5000);
	SHOW(write(a, data, sizeof(data)));
	SHOW(copy_file_range(a, &in, b, &out, 65536, 0));
	show("copied", b, "to");
	SHOW(copy_file_range(b, &(off_t){10}, b, &(off_t){70000}, 1000, 0));
	show("within", b, "to");
	SHOW(sendfile(b, a, &(off_t){100}, 5000));
	show("sent", b, "to");
	SHOW(pipe(p));
	SHOW(splice(a, &(off_t){7}, p[1], NULL, 4096, 0));
	SHOW(splice(p[0], NULL, b, &(off_t){80000}, 4096, 0));
	show("spliced", b, "to");
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
}

static void mappings(void)
{
	int w = open("map", O_RDWR | O_CREAT, 0644);

	SHOW(ftruncate(w, 8192));
	char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, w, 0);
	char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, w, 0);
	strcpy(shared, "through the mapping");
	strcpy(private + 4096, "for myself");
	show("mapped", w, "map");
	SHOW(pwrite(w, "by a call", 9, 4096));
	printf("%s, %.9s, %s\n", shared, shared + 4096, private + 4096);
	int r = open("map", O_RDONLY);
	char *reader = mmap(NULL, 8192, PROT_READ, MAP_SHARED, r, 0);
	strcpy(shared, "seen");
	printf("%s\n", reader);
	/* A mapping outlives its descriptor. */
	close(w);
	close(r);
	strcpy(shared, "without a descriptor");
	w = open("map", O_RDWR);
	show("outlived", w, "map");
	munmap(shared, 8192);
	munmap(private, 8192);
	munmap(reader, 8192);
	show("unmapped", w, "map");
	close(w);
}

static void names(void)
{
	int w = open("n", O_RDWR | O_CREAT, 0644), r = open("n", O_RDONLY);

	SHOW(write(w, "one", 3));
	/* To a name of another class, and on. */
	SHOW(rename("n", "n.json"));
	SHOW(write(w, "two", 3));
	show("renamed", r, "n.json");
	SHOW(truncate("n.json", 4));
	SHOW(pwrite(w, "five", 4, 4));
	show("state", r, "n.json");
	int late = open("n.json", O_RDWR);
	SHOW(pwrite(late, "L", 1, 0));
	show("late", r, "n.json");
	SHOW(fsync(late));
	SHOW(rename("n.json", "n.log"));
	SHOW(write(w, "x", 1));
	show("log", r, "n.log");
	SHOW(link("n.log", "n2"));
	int other = open("n2", O_RDWR | O_APPEND);
	SHOW(write(other, "appended", 8));
	show("linked", r, "n2");
	SHOW(unlink("n2"));
	close(late);
	close(other);
	/* Replaced while it is open, by a file of a cached class, and by a plain one. */
	int new = open("n.tmp", O_WRONLY | O_CREAT, 0644);
	SHOW(write(new, "replacement", 11));
	close(new);
	SHOW(rename("n.tmp", "n.log"));
	SHOW(write(w, "y", 1));
	show("replaced", r, "n.log");
	close(r);
	close(w);
	w = open("u", O_RDWR | O_CREAT, 0644);
	SHOW(write(w, "gone", 4));
	SHOW(unlink("u"));
	SHOW(write(w, "not yet", 7));
	show("unlinked", w, "u");
	SHOW(ftruncate(w, 2));
	show("unlinked", w, "u");
	close(w);
	/* What was a cached class's, in a plain name. */
	w = open("s.json", O_RDWR | O_CREAT, 0644);
	SHOW(write(w, "{}", 2));
	SHOW(rename("s.json", "s"));
	SHOW(pwrite(w, "[", 1, 0));
	r = open("s", O_RDWR);
	SHOW(pwrite(r, "]", 1, 1));
	show("plain", w, "s");
	close(w);
	close(r);
	r = open("s", O_RDWR);
	SHOW(pwrite(r, "()", 2, 0));
	show("plain", r, "s");
	close(r);
}

static void direct(void)
{
	int fd = open("d", O_RDWR | O_CREAT | O_DIRECT, 0644);
	char *page = aligned_alloc(4096, 4096);

	memset(page, 'd', 4096);
	SHOW(pwrite(fd, page, 4096, 0));
	int plain = open("d", O_RDWR);
	SHOW(pwrite(plain, "p", 1, 1));
	SHOW(pread(fd, page, 4096, 0));
	printf("%.3s\n", page);
	show("direct", plain, "d");
	close(fd);
	close(plain);
	free(page);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0) {
		perror("usage: io DIR");
		return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	readers_and_writers();
	times();
	appenders();
	copies();
	mappings();
	names();
	direct();
	return 0;
}
