#include "tools/bench/series.h"

#include <stdlib.h>

#include "tools/bench/die.h"

void series_add(struct series *s, double ms)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1024;
		s->ms = realloc(s->ms, s->cap * sizeof(*s->ms));
		if (!s->ms)
			die(0, "no memory for %zu measurements", s->cap);
	}
	s->ms[s->count++] = ms;
}

void series_free(struct series *s)
{
	free(s->ms);
	s->ms = NULL;
	s->count = s->cap = 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void series_sort(struct series *s)
{
	if (s->count > 0)
		qsort(s->ms, s->count, sizeof(*s->ms), by_size);
}

double series_at(const struct series *s, double q)
{
	size_t i = (size_t)(q * (double)s->count);

	if (s->count == 0)
		return 0;
	return s->ms[i < s->count ? i : s->count - 1];
}

void series_print(struct series *s, FILE *out)
{
	static const struct {
		const char *name;
		double q;
	} points[] = {{"min", 0},   {"p5", 0.05},  {"p25", 0.25}, {"p50", 0.5},	   {"p75", 0.75},
		      {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
	size_t most = s->count - s->count / 100;
	double sum = 0, sum99 = 0;

	series_sort(s);
	for (size_t i = 0; i < s->count; i++) {
		sum += s->ms[i];
		if (i < most)
			sum99 += s->ms[i];
	}
	fprintf(out, "\"%s\":{\"count\":%zu", s->name, s->count);
	if (s->count > 0) {
		fprintf(out, ",\"mean\":%.5f,\"mean99\":%.5f", sum / (double)s->count, sum99 / (double)most);
		for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
			fprintf(out, ",\"%s\":%.5f", points[i].name, series_at(s, points[i].q));
	}
	fprintf(out, "}");
}
