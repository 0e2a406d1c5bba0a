/* Preloaded into the daemon: its writes of whole pages take their time, as a card's may. For case 15. */
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off);

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	static ssize_t (*next)(int, const void *, size_t, off_t);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pwrite64");
	if (len >= 4096)
		usleep(300);
	return next(fd, buf, len, off);
}
