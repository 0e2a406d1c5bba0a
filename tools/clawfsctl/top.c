/* Live. Plain terminal: a frame is drawn over the last one with the cursor moved to the top. */
#include "tools/clawfsctl/frame.h"
#include "tools/clawfsctl/snapshot.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CLEAR	  "\033[H\033[2J"
#define DELAY_MAX 3600

static volatile sig_atomic_t ended;

static void on_end(int sig)
{
	ended = sig;
}

/* Keys without a newline, and not shown; as it was again at the end. */
static bool keys_begin(struct termios *before)
{
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, before) < 0)
		return false;
	struct termios now = *before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	return tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
}

/* Waits so long. False: the user wants to leave. */
static bool wait_for_key(long ms)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	if (poll(&p, 1, (int)ms) <= 0)
		return !ended;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q' && !ended;
}

static int show_frame(const struct ctl_command *self, const struct place *place, struct frame *frame, bool clear)
{
	int status;
	struct snapshot *s = snapshot_create(self, place, &status);

	if (!s)
		return status;
	if (clear)
		fputs(CLEAR, stdout);
	frame_show(frame, place, s);
	fflush(stdout);
	snapshot_destroy(s);
	return CTL_OK;
}

static int run_live(const struct ctl_command *self, const struct place *place, struct frame *frame, long delay_ms)
{
	struct sigaction action = {.sa_handler = on_end};
	struct termios before;
	int status;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	bool keys = keys_begin(&before);
	do {
		status = show_frame(self, place, frame, true);
	} while (status == CTL_OK && wait_for_key(delay_ms));
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return status;
}

int ctl_top_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
					      {"once", no_argument, NULL, 'o'},
					      {"delay", required_argument, NULL, 'd'},
					      {0}};
	struct place place;
	const char *arg;
	char *end;
	bool once = false;
	double delay = 2;
	int c;

	while ((c = ctl_option(self, argc, argv, ":h", longs)) != -1) {
		if (c == 'd') {
			delay = strtod(optarg, &end);
			if (end == optarg || *end || !(delay >= 0.1 && delay <= DELAY_MAX)) {
				ctl_complain(self, "--delay=%s: must be from 0.1 to %d seconds", optarg, DELAY_MAX);
				return CTL_USAGE;
			}
		} else if (c == 'o') {
			once = true;
		} else {
			return c == 'h' ? CTL_OK : CTL_USAGE;
		}
	}
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	if (!once && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
		ctl_complain(self, "wants a terminal; for one frame without, use --once");
		return CTL_USAGE;
	}
	int status = place_find(self, arg, &place);
	if (status != CTL_OK)
		return status;
	struct frame *frame = frame_create(once ? 0 : delay);
	if (!frame) {
		ctl_complain(self, "out of memory");
		return CTL_FAILED;
	}
	status = once ? show_frame(self, &place, frame, false) : run_live(self, &place, frame, (long)(delay * 1000));
	frame_destroy(frame);
	return status;
}
