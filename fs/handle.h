/* Open files and directories; the index is the FUSE file handle. */
#ifndef CLAWFS_HANDLE_H
#define CLAWFS_HANDLE_H

#include "fs/shm.h"
#include <stdbool.h>
#include <stdint.h>

/* A record counts from OPEN on; what is CLOSING is closed for good if its process dies. */
enum handle_state { HANDLE_NONE, HANDLE_OPEN, HANDLE_CLOSING };

struct handle {
	uint32_t state; /* enum handle_state; atomic */
	uint32_t node;
	uint32_t file;	  /* regular files; the handle holds one reference */
	uint32_t flags;	  /* O_ACCMODE, O_APPEND, O_SYNC, O_DSYNC as opened */
	int32_t pid;	  /* of who opened it */
	bool rewriting;	  /* truncated the file and has not ended that version; file->lock */
	bool cached;	  /* counted in file->cached; attach lock */
	uint64_t cut;	  /* of file->cut, what its offsets take into account */
	int64_t followed; /* how far it has read, once that was to the end; 0: never; atomic */
	int64_t opened;	  /* when, of a writer's */
	int64_t wrote;	  /* where the last file_write went; of the caller's copy */
};

#define HANDLES_MAX (1u << 20)

#endif
