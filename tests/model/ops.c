/* The table of operations, and their text form: one operation a line, its name
 * and its arguments; paths by name, everything else as a number that strtol
 * understands. What follows a '#' is for people. */
#include "model.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

const struct op_info op_info[OP_KINDS] = {
	[OP_OPEN] = {"open", "hpfm", run_open, 0},
	[OP_CREAT] = {"creat", "hpm", run_creat, 0},
	[OP_CLOSE] = {"close", "h", run_close, 0},
	[OP_READ] = {"read", "hn", run_read, OPF_IO},
	[OP_PREAD] = {"pread", "hnn", run_pread, OPF_IO},
	[OP_READV] = {"readv", "hn", run_readv, OPF_IO},
	[OP_WRITE] = {"write", "hns", run_write, OPF_IO | OPF_MODIFY},
	[OP_PWRITE] = {"pwrite", "hnns", run_pwrite, OPF_IO | OPF_MODIFY},
	[OP_WRITEV] = {"writev", "hns", run_writev, OPF_IO | OPF_MODIFY},
	[OP_FTRUNCATE] = {"ftruncate", "hn", run_ftruncate, OPF_IO | OPF_MODIFY},
	[OP_FSYNC] = {"fsync", "h", run_fsync, 0},
	[OP_FDATASYNC] = {"fdatasync", "h", run_fdatasync, 0},
	[OP_SEEK] = {"seek", "hnw", run_seek, OPF_REGULAR},
	[OP_HOLES] = {"holes", "h", run_holes, OPF_REGULAR},
	[OP_FALLOCATE] = {"fallocate", "hann", run_fallocate, OPF_IO | OPF_MODIFY},
	[OP_COPYRANGE] = {"copyrange", "hnhnn", run_copyrange, OPF_IO | OPF_HANDLE2},
	[OP_MMAPW] = {"mmapw", "hnns", run_mmapw, OPF_IO | OPF_MODIFY},
	[OP_MMAPP] = {"mmapp", "hnns", run_mmapp, OPF_IO},
	[OP_MMAPR] = {"mmapr", "hnn", run_mmapr, OPF_IO},
	[OP_FCHMOD] = {"fchmod", "hm", run_fchmod, 0},
	[OP_FCHOWN] = {"fchown", "huu", run_fchown, OPF_CHOWN},
	[OP_FUTIMENS] = {"futimens", "ht", run_futimens, 0},
	[OP_FSETXATTR] = {"fsetxattr", "hxns", run_fsetxattr, 0},
	[OP_FSTAT] = {"fstat", "h", run_fstat, 0},
	[OP_LINKFD] = {"linkfd", "hp", run_linkfd, 0},
	[OP_TMPFILE] = {"tmpfile", "hpm", run_tmpfile, 0},
	[OP_DONTNEED] = {"dontneed", "h", run_dontneed, OPF_REGULAR},
	[OP_TRUNCATE] = {"truncate", "pn", run_truncate, 0},
	[OP_CAT] = {"cat", "p", run_cat, 0},
	[OP_MKDIR] = {"mkdir", "pm", run_mkdir, 0},
	[OP_RMDIR] = {"rmdir", "p", run_rmdir, 0},
	[OP_UNLINK] = {"unlink", "p", run_unlink, 0},
	[OP_RENAME] = {"rename", "ppr", run_rename, 0},
	[OP_LINK] = {"link", "pp", run_link, 0},
	[OP_SYMLINK] = {"symlink", "pl", run_symlink, 0},
	[OP_READLINK] = {"readlink", "p", run_readlink, 0},
	[OP_MKNOD] = {"mknod", "pkm", run_mknod, 0},
	[OP_CHMOD] = {"chmod", "pm", run_chmod, 0},
	[OP_CHOWN] = {"chown", "puu", run_chown, OPF_CHOWN},
	[OP_UTIMENS] = {"utimens", "ptn", run_utimens, 0},
	[OP_SETXATTR] = {"setxattr", "pxnsn", run_setxattr, 0},
	[OP_GETXATTR] = {"getxattr", "px", run_getxattr, 0},
	[OP_LISTXATTR] = {"listxattr", "p", run_listxattr, 0},
	[OP_REMOVEXATTR] = {"removexattr", "px", run_removexattr, 0},
	[OP_STATFS] = {"statfs", "p", run_statfs, 0},
	[OP_STAT] = {"stat", "p", run_stat, 0},
	[OP_READDIR] = {"readdir", "p", run_readdir, 0},
	[OP_DIRWALK] = {"dirwalk", "pns", run_dirwalk, 0},
	[OP_SYNCDIR] = {"syncdir", "p", run_syncdir, 0},
	[OP_NAP] = {"nap", "n", run_nap, OPF_MOUNT},
	[OP_FLUSH] = {"flush", "", run_flush, OPF_MOUNT},
	[OP_FORGET] = {"forget", "", run_forget, OPF_MOUNT},
};

void op_push(struct oplist *list, struct op op)
{
	if (list->n == list->cap) {
		list->cap = list->cap * 2 + 64;
		list->v = xrealloc(list->v, list->cap * sizeof(list->v[0]));
	}
	list->v[list->n++] = op;
}

struct bit {
	long value;
	const char *name;
};

static void print_bits(FILE *out, long value, const struct bit *bits)
{
	for (; bits->name; bits++)
		if ((value & bits->value) == bits->value && bits->value != 0)
			fprintf(out, "|%s", bits->name);
}

static void print_comment(FILE *out, char letter, long value)
{
	static const struct bit open_bits[] = {
		{O_CREAT, "O_CREAT"},	{O_EXCL, "O_EXCL"},	    {O_TRUNC, "O_TRUNC"},
		{O_APPEND, "O_APPEND"}, {O_NOFOLLOW, "O_NOFOLLOW"}, {O_DIRECTORY, "O_DIRECTORY"},
		{O_SYNC, "O_SYNC"},	{O_DSYNC, "O_DSYNC"},	    {0, NULL},
	};
	static const struct bit alloc_bits[] = {
		{FALLOC_FL_KEEP_SIZE, "KEEP_SIZE"},
		{FALLOC_FL_PUNCH_HOLE, "PUNCH_HOLE"},
		{FALLOC_FL_ZERO_RANGE, "ZERO_RANGE"},
		{0, NULL},
	};
	static const char *const access[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "?"};
	static const char *const renames[] = {"", "NOREPLACE", "EXCHANGE"};
	static const char *const types[] = {"FIFO", "SOCK", "REG"};
	static const char *const whences[] = {"SET", "CUR", "END"};
	struct timespec ts[2];

	switch (letter) {
	case 'f':
		fprintf(out, " %s", access[value & O_ACCMODE]);
		print_bits(out, value, open_bits);
		break;
	case 'a':
		print_bits(out, value, alloc_bits);
		break;
	case 'r':
		fprintf(out, " %s", renames[value % 3]);
		break;
	case 'k':
		fprintf(out, " %s", types[value % 3]);
		break;
	case 'w':
		fprintf(out, " %s", whences[value % 3]);
		break;
	case 'l':
		fprintf(out, " -> %s", link_target(value));
		break;
	case 't':
		if (time_pair(value, ts))
			fprintf(out, " mtime %ld.%ld", (long)ts[1].tv_sec, (long)ts[1].tv_nsec);
		else
			fputs(" now", out);
		break;
	}
}

void op_print(FILE *out, const struct op *op)
{
	const struct op_info *info = &op_info[op->kind];

	fputs(info->name, out);
	for (int i = 0; info->args[i]; i++) {
		switch (info->args[i]) {
		case 'p':
			fprintf(out, " %s", name_alias(op->a[i]));
			break;
		case 'm':
			fprintf(out, " %#lo", op->a[i]);
			break;
		case 'f':
			fprintf(out, " %#lx", op->a[i]);
			break;
		default:
			fprintf(out, " %ld", op->a[i]);
		}
	}
	if (strpbrk(info->args, "farkwlt")) {
		fputs("  #", out);
		for (int i = 0; info->args[i]; i++)
			print_comment(out, info->args[i], op->a[i]);
	}
}

enum op_kind op_kind_parse(const char *name, size_t len)
{
	int i = 0;

	while (i < OP_KINDS && (strlen(op_info[i].name) != len || memcmp(op_info[i].name, name, len) != 0))
		i++;
	return (enum op_kind)i;
}

static bool parse_line(const char *line, struct op *op)
{
	size_t len = strcspn(line, " \t\n");
	const char *args;
	char *end;

	memset(op, 0, sizeof(*op));
	op->kind = op_kind_parse(line, len);
	if (op->kind == OP_KINDS)
		return false;
	args = op_info[op->kind].args;
	for (int i = 0; args[i]; i++) {
		line += len;
		line += strspn(line, " \t");
		len = strcspn(line, " \t\n#");
		if (args[i] == 'p') {
			op->a[i] = name_parse(line, len);
			if (op->a[i] < 0)
				return false;
		} else {
			errno = 0;
			op->a[i] = strtol(line, &end, 0);
			if (errno || len == 0 || end != line + len)
				return false;
			if (args[i] == 'h' && (op->a[i] < 0 || op->a[i] >= NHANDLES))
				return false;
			if (args[i] == 'n' && op->a[i] > DATA_MAX * 16L)
				return false;
		}
	}
	line += len;
	line += strspn(line, " \t\n");
	return *line == '\0' || *line == '#';
}

bool op_read_file(const char *path, struct oplist *list)
{
	FILE *in = fopen(path, "re");
	unsigned number = 0;
	bool ok = true;
	struct op op;
	char line[512];
	char *at;

	if (!in) {
		fprintf(stderr, "model: %s: %s\n", path, strerror(errno));
		return false;
	}
	while (ok && fgets(line, sizeof(line), in)) {
		number++;
		for (at = line; isspace((unsigned char)*at); at++)
			;
		if (*at == '\0' || *at == '#')
			continue;
		ok = parse_line(at, &op);
		if (ok)
			op_push(list, op);
		else
			fprintf(stderr, "model: %s:%u: not an operation: %s", path, number, line);
	}
	fclose(in);
	return ok;
}
