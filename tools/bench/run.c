/* The load itself: four threads, as the application has four that write at a time. Operations are begun when they are
 * due, or as soon as the one before has ended; none is left out, so that every configuration does the same work. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/appio.h"
#include "tools/bench/die.h"
#include "tools/bench/load.h"
#include "tools/bench/memory.h"
#include "tools/bench/series.h"

/* What the application's own buffering waits for. */
enum { BUFFER_LINES = 100, BUFFER_MS = 5000, THROTTLE_MS = 2000 };

struct job;

struct worker {
	const struct plan *plan;
	const char *dir;
	double start;
	atomic_int *running;
	pthread_t thread;
	struct job *jobs[2]; /* the second may be NULL */
	double late;	     /* ms, the most that an operation began after it was due */
	/* What the application has not written yet, and when it will: 0 for nothing. */
	double flush_at, saved_at;
	char *buffer;
	size_t buffered;
	int lines;
	struct store *store;
	struct memory *memory;
};

struct job {
	enum stream stream;
	void (*step)(struct worker *worker, long n);
	void (*prepare)(struct worker *worker, long n); /* before the clock starts; may be NULL */
	void (*flush)(struct worker *worker);		/* may be NULL */
	struct series series;
	double *acks;
	long count, next;
	/* The line that step writes. */
	char line[CONTENT_LINE_MAX];
	size_t line_len;
	char path[LOAD_PATH];
};

static bool synced(const struct worker *w)
{
	return w->plan->buffering == BUFFERING_SYNCED;
}

/* --- lines ------------------------------------------------------------------------- */

static void make_line(struct worker *w, long n)
{
	struct job *job = w->jobs[0];
	struct content_lines shape = plan_lines(w->plan, job->stream);

	job->line_len = content_line(&shape, n + (job->stream == STREAM_LOG ? LOG_BASE : TRANSCRIPT_BASE), job->line);
}

static void append(struct job *job, const char *bytes, size_t len, bool sync)
{
	int rc = appio_append(job->path, bytes, len, sync);

	if (rc < 0)
		die(rc, "appending to %s", job->path);
}

static void append_line(struct worker *w, long n)
{
	append(w->jobs[0], w->jobs[0]->line, w->jobs[0]->line_len, false);
}

static void flush_lines(struct worker *w)
{
	if (w->lines > 0)
		append(w->jobs[0], w->buffer, w->buffered, synced(w));
	w->buffered = 0;
	w->lines = 0;
	w->flush_at = 0;
}

static void buffer_line(struct worker *w, long n)
{
	struct job *job = w->jobs[0];

	memcpy(w->buffer + w->buffered, job->line, job->line_len);
	w->buffered += job->line_len;
	if (w->lines++ == 0)
		w->flush_at = now_ms() + BUFFER_MS;
	if (w->lines == BUFFER_LINES)
		flush_lines(w);
}

/* --- saves -------------------------------------------------------------------------- */

static void update_store(struct worker *w, long n)
{
	store_update(w->store);
}

static void save(struct worker *w)
{
	struct job *job = w->jobs[0];
	size_t len;
	const char *text = store_text(w->store, &len);
	int rc = appio_save(w->dir, job->path, text, len, synced(w));

	if (rc < 0)
		die(rc, "saving %s/sessions.json", job->path);
	w->saved_at = now_ms();
	w->flush_at = 0;
}

static void save_step(struct worker *w, long n)
{
	save(w);
}

static void flush_save(struct worker *w)
{
	if (w->flush_at > 0)
		save(w);
}

static void throttled_save(struct worker *w, long n)
{
	if (w->flush_at > 0)
		return;
	w->flush_at = w->saved_at + THROTTLE_MS;
	if (w->flush_at <= now_ms())
		save(w);
}

/* --- database ------------------------------------------------------------------------ */

static void insert(struct worker *w, long n)
{
	memory_insert(w->memory, w->plan->rows + (int)n);
}

static void query(struct worker *w, long n)
{
	memory_query(w->memory, (int)n);
}

/* --- threads ------------------------------------------------------------------------- */

/* The job whose next operation is due first; NULL when all is done. */
static struct job *next_job(struct worker *w, double *due)
{
	struct job *next = NULL;

	for (int i = 0; i < 2; i++) {
		struct job *job = w->jobs[i];
		if (!job || job->next == job->count)
			continue;
		double at = plan_due(w->plan, job->stream, job->next);
		if (!next || at < *due) {
			next = job;
			*due = at;
		}
	}
	*due += w->start;
	return next;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct job *job;
	double due = 0;

	while ((job = next_job(w, &due))) {
		while (w->flush_at > 0 && w->flush_at < due) {
			sleep_until(w->flush_at);
			w->jobs[0]->flush(w);
		}
		if (job->prepare)
			job->prepare(w, job->next);
		sleep_until(due);
		double begin = now_ms();
		job->step(w, job->next);
		double end = now_ms();
		series_add(&job->series, end - begin);
		job->acks[job->next++] = end;
		if (begin - due > w->late)
			w->late = begin - due;
	}
	if (w->flush_at > 0)
		w->jobs[0]->flush(w);
	atomic_fetch_sub(w->running, 1);
	return NULL;
}

static void prepare_jobs(struct job jobs[STREAMS], const struct plan *plan, const char *dir, const char *acks)
{
	bool buffered = plan->buffering != BUFFERING_NONE;
	const struct job table[STREAMS] = {
		[STREAM_LOG] = {.step = buffered ? buffer_line : append_line,
				.prepare = make_line,
				.flush = flush_lines},
		[STREAM_SAVE] = {.step = buffered ? throttled_save : save_step,
				 .prepare = update_store,
				 .flush = flush_save},
		[STREAM_INSERT] = {.step = insert},
		[STREAM_QUERY] = {.step = query},
		[STREAM_TRANSCRIPT] = {.step = append_line, .prepare = make_line},
	};

	for (enum stream s = 0; s < STREAMS; s++) {
		jobs[s] = table[s];
		jobs[s].stream = s;
		jobs[s].series.name = stream_names[s];
		jobs[s].count = plan_count(plan, s);
		jobs[s].acks = acks_create(acks, s, jobs[s].count);
		load_path(dir, s, jobs[s].path);
	}
}

static void report_progress(const char *progress, const struct plan *plan, double start)
{
	fprintf(stderr, "\r%s: %.0f of %.0f s ", progress, (now_ms() - start) / 1e3, plan->seconds);
	fflush(stderr);
}

void load_run(const struct plan *plan, const char *dir, const char *acks, const char *progress, struct watch *watch,
	      FILE *out)
{
	static const enum stream of_worker[4][2] = {{STREAM_LOG, STREAMS},
						    {STREAM_SAVE, STREAMS},
						    {STREAM_TRANSCRIPT, STREAMS},
						    {STREAM_INSERT, STREAM_QUERY}};
	struct job *jobs = calloc(STREAMS, sizeof(*jobs));
	struct worker workers[4] = {0};
	char buffer[BUFFER_LINES * CONTENT_LINE_MAX], path[LOAD_PATH];
	atomic_int running = 4;
	double late = 0;

	if (!jobs)
		die(0, "no memory");
	prepare_jobs(jobs, plan, dir, acks);
	load_path(dir, STREAM_INSERT, path);
	struct memory *memory = memory_open(
		path, plan->buffering == BUFFERING_NONE ? NULL : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
	struct store *store = store_create(plan->seed, plan->store_size);
	double start = now_ms() + 50;
	for (int i = 0; i < 4; i++) {
		enum stream second = of_worker[i][1];
		workers[i] = (struct worker){.plan = plan,
					     .dir = dir,
					     .start = start,
					     .running = &running,
					     .jobs = {&jobs[of_worker[i][0]], second < STREAMS ? &jobs[second] : NULL},
					     .buffer = buffer,
					     .store = store,
					     .memory = memory};
		int rc = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
		if (rc)
			die(-rc, "starting a thread");
	}
	while (atomic_load(&running) > 0) {
		sleep_until(now_ms() + 250);
		watch_look(watch);
		if (progress)
			report_progress(progress, plan, start);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].late > late)
			late = workers[i].late;
	}
	double elapsed = now_ms() - start;
	struct usage usage = watch_destroy(watch);
	memory_close(memory);
	store_destroy(store);

	fprintf(out,
		"{\"seconds\":%.3f,\"late_ms\":%.1f,\"daemon\":{\"processes\":%d,\"cpu_ms\":%.0f,\"rss_kib\":%ld,"
		"\"pss_kib\":%ld},\"ops\":{",
		elapsed / 1e3, late, usage.processes, usage.cpu_ms, usage.rss_kib, usage.pss_kib);
	for (enum stream s = 0; s < STREAMS; s++) {
		if (s > 0)
			fprintf(out, ",");
		series_print(&jobs[s].series, out);
		series_free(&jobs[s].series);
	}
	fprintf(out, "}}\n");
	free(jobs);
}
