#include "model.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void usage(FILE *out)
{
	fputs("usage: model [options] MOUNT PLAIN\n"
	      "       model --compare DIR PLAIN\n"
	      "Random operations on two directories, one of them on the file system to be tested; whatever differs is\n"
	      "an error.\n"
	      "  --seed N         the first run's seed (else the time's)\n"
	      "  --ops N          operations a run (1000)\n"
	      "  --runs N         runs, with seeds N, N+1, ... (1)\n"
	      "  --every N        compare the whole trees after each N operations (50; 0: at the end only)\n"
	      "  --only KIND,...  no other operations than these\n"
	      "  --no-chown       leave owners alone (for ordinary users)\n"
	      "  --forget         let the kernel drop its caches of names and inodes now and then\n"
	      "  --shrink         make the list of operations short before printing it\n"
	      "  --replay FILE    run the operations of FILE, one a line, as --shrink prints them\n"
	      "  --print          print the operations, run nothing\n"
	      "  --compare        compare two trees as they are, e.g. the lower directory with the plain one\n"
	      "Exit status: 0 no difference, 1 a difference, 2 usage or trouble.\n",
	      out);
}

static unsigned long number(const char *name, const char *text)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-')
		die("--%s %s: not a number", name, text);
	return n;
}

static void only(struct options *o, const char *text)
{
	enum op_kind kind;
	size_t len;

	memset(o->only, 0, sizeof(o->only));
	for (; *text; text += len + (text[len] == ',')) {
		len = strcspn(text, ",");
		kind = op_kind_parse(text, len);
		if (kind == OP_KINDS)
			die("--only: no operation is called \"%.*s\"", (int)len, text);
		o->only[kind] = true;
	}
}

static void print_list(const struct oplist *list, size_t from)
{
	for (size_t i = from; i < list->n; i++) {
		op_print(stdout, &list->v[i]);
		putchar('\n');
	}
}

static void print_failure(const struct oplist *list, const struct failure *f, uint64_t seed)
{
	static const char *const phases[] = {"", "comparing the trees: ", "removing the volatile files: ",
					     "comparing the trees without the volatile files: "};

	printf("model: MISMATCH, seed %llu, ", (unsigned long long)seed);
	if (f->step < list->n) {
		printf("step %zu of %zu: ", f->step, list->n);
		op_print(stdout, &list->v[f->step]);
	} else {
		printf("after the last of %zu steps", list->n);
	}
	printf("\n  %s%s\n", phases[f->phase], f->why);
}

static void report(struct side *mount, struct side *plain, struct oplist *list, const struct options *o,
		   struct failure *f, uint64_t seed)
{
	size_t len = f->step < list->n ? f->step + 1 : list->n, from;

	print_failure(list, f, seed);
	fflush(stdout);
	if (!sides_alive(mount)) {
		printf("model: the mount is dead (%s)\n", strerror(errno));
		list->n = len;
	} else if (o->shrink && shrink(mount, plain, list, o, f)) {
		printf("model: shrunk from %zu operations to %zu. %s", len, list->n,
		       sides_alive(mount) ? "" : "The mount is dead now. ");
		print_failure(list, f, seed);
	} else {
		if (o->shrink)
			printf("model: it did not come again when the same operations were repeated\n");
		list->n = len;
	}
	from = list->n > LIST_MAX ? list->n - LIST_MAX : 0;
	printf("--- operations (model --replay FILE MOUNT PLAIN):\n");
	if (from > 0)
		printf("# the last %d of %zu; --seed %llu --ops %lu --print prints the original list\n", LIST_MAX,
		       list->n, (unsigned long long)seed, o->ops);
	print_list(list, from);
	printf("---\n");
}

static int compare(const char *a_root, const char *b_root)
{
	struct side a, b;
	char why[WHY_SIZE];

	if (!sides_open(&a, a_root, &b, b_root))
		return 2;
	a.label = "lower";
	if (tree_compare(&a, &b, ".", 0, why))
		return 0;
	printf("model: the trees differ: %s\n", why);
	return 1;
}

static int run_all(const struct options *o, const char *mount_root, const char *plain_root)
{
	struct oplist list = {NULL, 0, 0};
	struct side mount, plain;
	struct failure f;
	uint64_t seed;
	int status = 0;

	if (!sides_open(&mount, mount_root, &plain, plain_root))
		return 2;
	for (unsigned long i = 0; status == 0 && i < o->runs; i++) {
		seed = o->seed + i;
		if (!o->replay)
			generate(&list, seed, o);
		else if (!op_read_file(o->replay, &list))
			return 2;
		printf("model: seed %llu, %zu operations\n", (unsigned long long)seed, list.n);
		fflush(stdout);
		if (!run_list(&mount, &plain, &list, o, &f)) {
			status = 1;
			report(&mount, &plain, &list, o, &f, seed);
		}
		if (o->replay)
			list.n = 0;
	}
	free(list.v);
	ident_reset();
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seed", 1, NULL, 's'},	  {"ops", 1, NULL, 'o'},     {"runs", 1, NULL, 'r'},
		{"every", 1, NULL, 'e'},  {"only", 1, NULL, 'k'},    {"no-chown", 0, NULL, 'c'},
		{"forget", 0, NULL, 'f'}, {"shrink", 0, NULL, 'm'},  {"replay", 1, NULL, 'p'},
		{"print", 0, NULL, 'l'},  {"compare", 0, NULL, 'd'}, {"help", 0, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.seed = (uint64_t)time(NULL), .ops = 1000, .runs = 1, .every = 50, .chown = true};
	bool print = false, two_trees = false;
	struct oplist list = {NULL, 0, 0};
	int c;

	memset(o.only, 1, sizeof(o.only));
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o.seed = number("seed", optarg);
			break;
		case 'o':
			o.ops = number("ops", optarg);
			break;
		case 'r':
			o.runs = number("runs", optarg);
			break;
		case 'e':
			o.every = number("every", optarg);
			break;
		case 'k':
			only(&o, optarg);
			break;
		case 'c':
			o.chown = false;
			break;
		case 'f':
			o.forget = true;
			break;
		case 'm':
			o.shrink = true;
			break;
		case 'p':
			o.replay = optarg;
			break;
		case 'l':
			print = true;
			break;
		case 'd':
			two_trees = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (print) {
		generate(&list, o.seed, &o);
		print_list(&list, 0);
		return 0;
	}
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	watchdog_start();
	if (two_trees)
		return compare(argv[optind], argv[optind + 1]);
	return run_all(&o, argv[optind], argv[optind + 1]);
}
