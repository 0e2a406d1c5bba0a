/* The FUSE edge: requests in, operations called, each request answered
 * exactly once, negative errnos turned round here and nowhere else. */
#ifndef CLAWFS_OPS_H
#define CLAWFS_OPS_H

struct fuse_lowlevel_ops;

/* The table for fuse_session_new; its user data is a struct clawfs. */
const struct fuse_lowlevel_ops *ops_table(void);

#endif
