/* gzip.c COMMAND FILE...: the work of fs/gzip.h and fs/zview.h on a log, for
 * gzip.sh. Each command is a process of its own and prints, of itself, seconds
 * of CPU and the most memory it had resident.
 *
 *   lines BYTES LOG        a gateway's log of JSON lines of 150 to 400 bytes
 *   idle                   nothing: what a process takes anyway
 *   write LOG GZ           compresses
 *   verify GZ              inflates and compares with what the header says
 *   sequential GZ LOG      reads through a view in 128 KiB, as the kernel does
 *   random GZ LOG N        reads 64 KiB at N places, on a new view; and again
 */
#include "fs/gzip.h"
#include "fs/zview.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct lower lower = {.root = -1, .temp = -1};
static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void report(const char *what, uint64_t bytes)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("%-22s %12llu %8.2f %8.2f %8ld\n", what, (unsigned long long)bytes, seconds(used.ru_utime),
	       seconds(used.ru_stime), used.ru_maxrss);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static uint64_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		err(1, "fstat");
	return (uint64_t)st.st_size;
}

/* --- the log -------------------------------------------------------------- */

static void uuid(char *to)
{
	sprintf(to, "%08x-%04x-4%03x-a%03x-%012llx", (unsigned)draw(1ull << 32), (unsigned)draw(1 << 16),
		(unsigned)draw(1 << 12), (unsigned)draw(1 << 12), (unsigned long long)draw(1ull << 48));
}

/* What a tslog-based gateway writes: few kinds of messages, each with what
 * does not repeat (durations, sizes, now and then an id) and some words. A run
 * of the agent has an id of its own and some lines; three go on at a time. */
static int line(char *to, unsigned long long ms, char sessions[][40], size_t session_count)
{
	static const char *const systems[] = {
		"gateway/ws", "agent/embedded", "channels/telegram", "channels/whatsapp", "cron",
		"memory",     "hooks",		"gateway/health"};
	static const char *const levels[] = {"DEBUG", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "ERROR"};
	static const char *const words[] = {"delivery", "queued",  "session", "context", "tokens",    "stream",
					    "reply",	"message", "typing",  "model",	 "provider",  "cached",
					    "lookup",	"retry",   "chunk",   "index",	 "embedding", "tool",
					    "call",	"result",  "after",   "before",	 "without",   "group"};
	static char runs[3][40];
	char text[128] = "", stamp[40], message[256];
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", gmtime_r(&t, &tm));
	char *run = runs[draw(3)];
	if (!run[0] || draw(8) == 0)
		uuid(run);
	for (uint64_t i = 0, n = 2 + draw(6); i < n; i++)
		sprintf(text + strlen(text), " %s", words[draw(24)]);
	const char *session = sessions[draw(session_count)];
	switch (draw(6)) {
	case 0:
		sprintf(message, "run start runId=%s session=%s%s", run, session, text);
		break;
	case 1:
		sprintf(message, "run end runId=%s durationMs=%u tokens=%u%s", run, (unsigned)draw(60000),
			(unsigned)draw(9000), text);
		break;
	case 2:
		sprintf(message, "res ok conn=%.8s id=%.8s %ums", run, run + 9, (unsigned)draw(400));
		break;
	case 3:
		sprintf(message, "saved session=%s bytes=%u%s", session, (unsigned)draw(200000), text);
		break;
	case 4:
		sprintf(message, "sendMessage chat=%u message=%u%s", (unsigned)(100000000 + draw(40)),
			(unsigned)draw(100000), text);
		break;
	default:
		sprintf(message, "event health clients=%u rss=%u%s", (unsigned)draw(9), (unsigned)draw(300000000),
			text);
	}
	const char *level = levels[draw(8)];
	unsigned where = (unsigned)draw(60);
	return sprintf(
		to,
		"{\"0\":\"{\\\"subsystem\\\":\\\"%s\\\"}\",\"1\":\"%s\",\"_meta\":{\"runtime\":\"node\",\"hostname\":"
		"\"gateway\",\"date\":\"%s.%03uZ\",\"logLevelName\":\"%s\",\"path\":{\"filePath\":\"dist/"
		"logger-%u.js\","
		"\"fileLine\":\"%u\"}},\"time\":\"%s.%03uZ\"}\n",
		systems[draw(8)], message, stamp, (unsigned)(ms % 1000), level, where % 7, where * 37, stamp,
		(unsigned)(ms % 1000));
}

static void lines(uint64_t bytes, const char *path)
{
	static char sessions[30][40];
	char text[1024];
	FILE *file = fopen(path, "w");
	unsigned long long ms = 1767225600000;
	uint64_t count = 0, written = 0;

	if (!file)
		err(1, "%s", path);
	for (int i = 0; i < 30; i++)
		uuid(sessions[i]);
	for (; written < bytes; count++) {
		int n = line(text, ms, sessions, 30);
		if (fwrite(text, 1, (size_t)n, file) != (size_t)n)
			err(1, "%s", path);
		written += (uint64_t)n;
		ms += draw(400);
	}
	if (fclose(file) != 0)
		err(1, "%s", path);
	printf("%llu lines of %llu bytes on average\n", (unsigned long long)count,
	       (unsigned long long)(written / count));
}

/* --- the work ------------------------------------------------------------- */

static void write_gz(const char *log, const char *gz)
{
	int from = open_or_die(log, O_RDONLY), to = open_or_die(gz, O_RDWR | O_CREAT | O_TRUNC);
	struct gzip_result result;
	int rc = gzip_write(&lower, &(struct gzip_source){.fd = from, .size = size_of(from), .name = "gateway.log"}, to,
			    NULL, &result);

	if (rc < 0)
		errx(1, "gzip_write: %s", strerror(-rc));
	report("write", result.packed);
	close(from);
	close(to);
}

static void verify_gz(const char *gz)
{
	int fd = open_or_die(gz, O_RDONLY);
	struct gunzip g;
	struct gunzip_header header;
	struct gzip_result expected = {.packed = size_of(fd)};
	const char *reason;
	uint8_t crc[4];

	if (gunzip_init(&g, &lower, fd, NULL) < 0 || gunzip_peek(&g, &header) < 0)
		errx(1, "no header");
	gunzip_fini(&g);
	if (pread(fd, crc, 4, (off_t)expected.packed - 8) != 4)
		err(1, "%s", gz);
	expected.size = header.size;
	expected.crc = crc[0] | (uint32_t)crc[1] << 8 | (uint32_t)crc[2] << 16 | (uint32_t)crc[3] << 24;
	if (gzip_verify(&lower, fd, &expected, NULL, &reason) < 0)
		errx(1, "gzip_verify: %s", reason);
	report("verify", expected.size);
	close(fd);
}

static struct zview *open_view(const char *gz)
{
	struct zview *view = NULL;
	const char *reason;

	if (zview_create(&lower, open_or_die(gz, O_RDONLY), NULL, &view, &reason) < 0)
		errx(1, "zview_create: %s", reason);
	return view;
}

static void compare(struct zview *view, int log, uint64_t off, size_t len)
{
	static uint8_t a[128 << 10], b[128 << 10];
	ssize_t n = zview_read(view, a, len, off);

	if (n < 0 || n != pread(log, b, len, (off_t)off) || memcmp(a, b, (size_t)n) != 0)
		errx(1, "wrong at %llu: %zd", (unsigned long long)off, n);
}

static void sequential(const char *gz, const char *log)
{
	struct zview *view = open_view(gz);
	int fd = open_or_die(log, O_RDONLY);

	for (uint64_t off = 0; off < zview_size(view); off += 128 << 10)
		compare(view, fd, off, 128 << 10);
	if (zview_size(view) != size_of(fd))
		errx(1, "wrong size");
	report("view, sequential", size_of(fd));
	zview_destroy(view);
	close(fd);
}

static void random_reads(const char *gz, const char *log, unsigned count)
{
	struct zview *view = open_view(gz);
	int fd = open_or_die(log, O_RDONLY);

	for (int i = 0; i < 2; i++) {
		for (unsigned k = 0; k < count; k++)
			compare(view, fd, draw(size_of(fd)), 64 << 10);
		report(i ? "view, random twice" : "view, random", (uint64_t)count << 16);
	}
	zview_destroy(view);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	lower.sys = lower_calls_default();
	if (strcmp(command, "lines") == 0 && argc == 4)
		lines(strtoull(argv[2], NULL, 10), argv[3]);
	else if (strcmp(command, "idle") == 0)
		report("nothing", 0);
	else if (strcmp(command, "write") == 0 && argc == 4)
		write_gz(argv[2], argv[3]);
	else if (strcmp(command, "verify") == 0 && argc == 3)
		verify_gz(argv[2]);
	else if (strcmp(command, "sequential") == 0 && argc == 4)
		sequential(argv[2], argv[3]);
	else if (strcmp(command, "random") == 0 && argc == 5)
		random_reads(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
	else
		errx(2, "usage: see the source");
	return 0;
}
