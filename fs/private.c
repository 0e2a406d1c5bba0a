#include "fs/private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int private_dir_open(int dirfd, const char *path, bool *existed, const char *what, const char *option, char *why,
		     size_t why_size)
{
	struct stat st;

	*existed = mkdirat(dirfd, path, 0700) < 0;
	if (*existed && errno != EEXIST) {
		int rc = -errno;
		snprintf(why, why_size, "cannot make %s for %s: %s; name another directory with -o %s=DIR", path, what,
			 strerror(-rc), option);
		return rc;
	}
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int rc = -errno;
		snprintf(why, why_size, "cannot open %s for %s: %s; name another directory with -o %s=DIR", path, what,
			 strerror(-rc), option);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	if (st.st_uid != geteuid()) {
		snprintf(why, why_size, "%s belongs to user %u, not to you; name another directory with -o %s=DIR",
			 path, (unsigned)st.st_uid, option);
		close(fd);
		return -EPERM;
	}
	if (st.st_mode & 077) {
		snprintf(why, why_size,
			 "the directory %s is open to others (mode %04o); chmod 700 it, or name another with -o %s=DIR",
			 path, (unsigned)(st.st_mode & 07777), option);
		close(fd);
		return -EPERM;
	}
	return fd;
}
