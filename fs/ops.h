/* The FUSE edge: requests in, operations called, each request answered
 * exactly once, negative errnos turned round here and nowhere else. */
#ifndef CLAWFS_OPS_H
#define CLAWFS_OPS_H

struct fuse_lowlevel_ops;

/* The table for fuse_session_new; its user data is a struct clawfs. */
const struct fuse_lowlevel_ops *ops_table(void);

struct clawfs;

/* From the device, when a request comes again: what an earlier worker's answer to it would have given the kernel, it
 * has not got, and this worker's will count anew. No lock held. */
void ops_take_back(struct clawfs *fs);

#endif
