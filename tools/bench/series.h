#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stddef.h>
#include <stdio.h>

/* What one operation took, each time it was done. One thread adds. */
struct series {
	const char *name;
	double *ms;
	size_t count, cap;
};

void series_add(struct series *series, double ms); /* dies without memory */
void series_free(struct series *series);

/* "NAME":{"count":..,"mean":..,"p50":..,...}: percentiles in ms, by sorting the series; mean99 is the mean without
 * the slowest hundredth, which on a shared machine is somebody else's. */
void series_print(struct series *series, FILE *out);

/* The quantile `q` (0..1) of a series that series_print or series_sort has sorted; 0 of an empty one. */
double series_at(const struct series *series, double q);
void series_sort(struct series *series);

#endif
