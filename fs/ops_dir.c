#include "fs/control.h"
#include "fs/listing.h"
#include "fs/names.h"
#include "fs/opsimpl.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct clawfs *fs = req_fs(req);
	uint32_t index = handle_made(req);

	if (!index)
		index = handle_new(req, (uint32_t)ino, 0, fi->flags);
	if (!index) {
		fuse_reply_err(req, ENFILE);
		return;
	}
	fi->fh = index;
	if (fuse_reply_open(req, fi) < 0)
		handle_end(fs, index);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (!request_was_done())
		handle_end(req_fs(req), (uint32_t)fi->fh);
	fuse_reply_err(req, 0);
}

/* One entry into the reply; its size, 0 when the name has vanished. */
static size_t add_entry(fuse_req_t req, char *buf, size_t room, const struct listing_entry *e, off_t next, bool plus,
			uint32_t dir)
{
	struct clawfs *fs = req_fs(req);
	struct fuse_entry_param param = {0};
	bool dots = strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0;

	param.attr.st_ino = e->ino;
	param.attr.st_mode = DTTOIF(e->type);
	if (!plus)
		return fuse_add_direntry(req, buf, room, e->name, &param.attr, next);
	uint32_t node = 0;
	if (!dots && !is_virtual(dir)) {
		struct stat st;
		if (fs_lookup(fs, dir, e->name, &node, &st) == 0) {
			param.ino = node;
			param.attr = st;
			param.entry_timeout = entry_seconds(fs, node, e->name);
			param.attr_timeout = attr_seconds(fs, node);
		}
	}
	size_t size = fuse_add_direntry_plus(req, buf, room, e->name, &param, next);
	/* What does not fit is not given: the kernel must not be owed a forget. */
	if (size > room && node) {
		request_gives_not(node);
		fs_forget(fs, node, 1);
	}
	return size;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct clawfs *fs = req_fs(req);
	struct listing **list = &fs->listings[fi->fh];
	int rc = 0;

	/* From the start again: rewinddir(3) shows what is there now. */
	if (off == 0 || !*list) {
		listing_destroy(*list);
		*list = is_virtual(ino) ? control_list(fs) : listing_read_dir(fs, (uint32_t)ino, &rc);
	}
	char *buf = *list ? malloc(size) : NULL;
	if (!buf) {
		fuse_reply_err(req, rc < 0 ? -rc : ENOMEM);
		return;
	}
	size_t used = 0;
	for (uint32_t i = listing_seek(*list, off); i < (*list)->count; i++) {
		const struct listing_entry *e = listing_at(*list, i);
		size_t n = add_entry(req, buf + used, size - used, e, (off_t)e->cookie, plus, (uint32_t)ino);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	reply_rc(req, is_virtual(ino) ? 0 : sched_flush_dir(req_fs(req), (uint32_t)ino));
}
