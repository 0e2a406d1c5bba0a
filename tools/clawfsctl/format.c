#include "tools/clawfsctl/format.h"
#include <stdio.h>

struct format format_bytes(double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	struct format f;
	size_t i = 0;

	while (bytes >= 1024 && i + 1 < sizeof(units) / sizeof(*units)) {
		bytes /= 1024;
		i++;
	}
	snprintf(f.text, sizeof(f.text), i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
	return f;
}

struct format format_age(int64_t ms)
{
	long long s = (long long)(ms / 1000);
	struct format f;

	if (ms < 1000)
		snprintf(f.text, sizeof(f.text), "%lld ms", (long long)ms);
	else if (s < 60)
		snprintf(f.text, sizeof(f.text), "%.1f s", (double)ms / 1000);
	else if (s < 3600)
		snprintf(f.text, sizeof(f.text), "%lld min %lld s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(f.text, sizeof(f.text), "%lld h %lld min", s / 3600, s / 60 % 60);
	else
		snprintf(f.text, sizeof(f.text), "%lld d %lld h", s / 86400, s / 3600 % 24);
	return f;
}

struct format format_count(uint64_t count, const char *one, const char *many)
{
	struct format f;

	snprintf(f.text, sizeof(f.text), "%llu %s", (unsigned long long)count, count == 1 ? one : many);
	return f;
}
