#include "tools/clawfsctl/doctor.h"
#include <stdarg.h>
#include <stdio.h>

static void print_line(const char *how, const char *what, const char *format, va_list args)
{
	printf("%-5s %-12s ", how, what);
	vprintf(format, args);
	printf("\n");
}

void doctor_ok(struct doctor *d, const char *what, const char *format, ...)
{
	va_list args;

	(void)d;
	va_start(args, format);
	print_line("ok", what, format, args);
	va_end(args);
}

void doctor_note(struct doctor *d, const char *what, const char *remedy, const char *format, ...)
{
	va_list args;

	(void)d;
	va_start(args, format);
	print_line("note", what, format, args);
	va_end(args);
	printf("%19s-> %s\n", "", remedy);
}

void doctor_trouble(struct doctor *d, const char *what, const char *remedy, const char *format, ...)
{
	va_list args;

	d->troubles++;
	va_start(args, format);
	print_line("BAD", what, format, args);
	va_end(args);
	printf("%19s-> %s\n", "", remedy);
}

int ctl_doctor_run(const struct ctl_command *self, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct doctor d = {0};
	struct place place;
	const char *arg;

	int c = ctl_option(self, argc, argv, "h", longs);
	if (c != -1)
		return c == 'h' ? CTL_OK : CTL_USAGE;
	if (!ctl_argument(self, argc, argv, &arg))
		return CTL_USAGE;
	doctor_machine(&d);
	int status = place_find(self, arg, &place);
	struct snapshot *s = status == CTL_OK ? snapshot_create(self, &place, &status) : NULL;
	if (!s)
		return status;
	doctor_lower(&d, snapshot_text(s, "$.source"));
	doctor_mount(&d, s);
	snapshot_destroy(s);
	if (!d.troubles)
		return CTL_OK;
	printf("%u to mend\n", d.troubles);
	return CTL_TROUBLE;
}
