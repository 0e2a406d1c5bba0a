/* coherence FILE MS: one process writes pages of FILE, others read them, and one asks for its times all the while: who
 * reads after a write has returned sees it, or a later one (P1). A kernel that drops a file's pages because its mtime
 * has changed can take one that is just being written, and fill it again with what was there before. For case 15. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 8, PAGE = 4096, CHILDREN = 4 };

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void write_pages(const char *path, _Atomic uint64_t *done, int64_t end)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];
	int fd = open(path, O_RDWR);

	if (fd < 0)
		die(path);
	for (uint64_t n = 1; now_ms() < end; n++) {
		for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++)
			page[i] = n;
		if (pwrite(fd, page, PAGE, (off_t)(n % PAGES) * PAGE) != PAGE)
			die("pwrite");
		done[n % PAGES] = n;
	}
	exit(0);
}

static void stat_file(const char *path, int64_t end)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	while (now_ms() < end)
		if (fstat(fd, &st) < 0)
			die("fstat");
	exit(0);
}

static void read_pages(const char *path, const _Atomic uint64_t *done, int64_t end)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die(path);
	for (unsigned k = 0; now_ms() < end; k = (k + 1) % PAGES) {
		uint64_t least = done[k];
		if (pread(fd, page, PAGE, (off_t)k * PAGE) != PAGE)
			die("pread");
		if (page[0] < least) {
			printf("page %u: read %llu after %llu had been written\n", k, (unsigned long long)page[0],
			       (unsigned long long)least);
			exit(1);
		}
	}
	exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: coherence FILE MS\n");
		return 2;
	}
	_Atomic uint64_t *done =
		mmap(NULL, PAGES * sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (done == MAP_FAILED)
		die("mmap");
	int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, PAGES * PAGE) < 0 || close(fd) < 0)
		die(argv[1]);
	int64_t end = now_ms() + atoll(argv[2]);
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();
		if (pid < 0)
			die("fork");
		if (pid == 0 && i == 0)
			write_pages(argv[1], done, end);
		if (pid == 0 && i == 1)
			stat_file(argv[1], end);
		if (pid == 0)
			read_pages(argv[1], done, end);
	}
	int worst = 0;
	for (int i = 0; i < CHILDREN; i++) {
		int status;
		if (wait(&status) < 0)
			die("wait");
		int code = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
		worst = code > worst ? code : worst;
	}
	unsigned long long total = 0;
	for (int i = 0; i < PAGES; i++)
		total = done[i] > total ? done[i] : total;
	printf("%llu writes\n", total);
	return worst;
}
