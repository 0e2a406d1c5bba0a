/* What case 59 needs and a shell lacks, quickly:
 *   held hold FILE            asks for the file's writers to be kept out (fs/hold.h); says why nothing came of it
 *   held map                  what a mapping of standard input shows
 *   held arm PAGE DIR N       tests/crash/preload.c kills its process after its N-th call on DIR's file system
 *   held fired|disarm PAGE    ends well when it has; takes that back */
#include "tests/crash/faultpage.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int hold(const char *file)
{
	if (setxattr(file, "user.clawfs.hold", "", 0, 0) < 0)
		puts(strerror(errno));
	return 0;
}

static int map(void)
{
	struct stat st;
	const char *p = fstat(0, &st) < 0 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, 0, 0);

	return p == MAP_FAILED || fwrite(p, 1, (size_t)st.st_size, stdout) != (size_t)st.st_size;
}

static struct fault_page *page_at(const char *path)
{
	int fd = open(path, O_RDWR);
	void *p = mmap(NULL, sizeof(struct fault_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int arm(struct fault_page *page, const char *dir, int step)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return 1;
	page->upper_dev = st.st_dev;
	page->side = SIDE_UPPER;
	page->call = CALLS;
	page->skip = (uint32_t)step;
	page->fired = 0;
	__atomic_store_n(&page->mode, FAULT_KILL_AFTER, __ATOMIC_RELEASE);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 3 && strcmp(what, "hold") == 0)
		return hold(argv[2]);
	if (argc == 2 && strcmp(what, "map") == 0)
		return map();
	struct fault_page *page = argc > 2 ? page_at(argv[2]) : NULL;
	if (!page)
		return 2;
	if (argc == 5 && strcmp(what, "arm") == 0)
		return arm(page, argv[3], atoi(argv[4]));
	if (strcmp(what, "disarm") == 0)
		page->mode = FAULT_OFF;
	return strcmp(what, "fired") == 0 && page->fired == 0;
}
