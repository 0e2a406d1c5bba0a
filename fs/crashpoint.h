/* Numbered points of the code paths at which tests/crash/points.c kills a worker: between two stores to the shared
 * tables, or between a call and the store that books it, where counting system calls would not get. Only in debug
 * builds (CLAWFS_DEBUG), and without effect there unless tests/crash/preload.c is loaded. `name`: "module: what comes
 * next". */
#ifndef CLAWFS_CRASHPOINT_H
#define CLAWFS_CRASHPOINT_H

#ifdef CLAWFS_DEBUG
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
