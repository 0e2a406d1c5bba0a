/* What the processes of a mount may still do once they have what they need:
 * no new privileges, the capabilities they use and no others, and a list of
 * system calls (seccomp(2), with libseccomp). Whoever takes one of them over,
 * by a damaged database or a hostile request, gets no program to run, no
 * process to trace, no socket to the world and no namespace.
 *
 *   - What no honest code here does kills the process: execve, ptrace, bpf, mounts, ... The next worker takes over.
 *   - All else that is not on the list is refused with ENOSYS: sockets, other processes, executable memory; also what
 *     a newer glibc tries first, which then takes the way that older kernels know.
 *
 * The sanitizers' builds are not confined: their run-time does what it likes, and traces its own threads.
 * For tests, in the environment: CLAWFS_SANDBOX=off leaves all that out; "strict" ends the process at what is not on
 * the list, so that it is missed. */
#ifndef CLAWFS_SANDBOX_H
#define CLAWFS_SANDBOX_H

enum sandbox_role {
	SANDBOX_WORKER,	 /* serves, flushes; has threads; starts no program */
	SANDBOX_SPAWNER, /* makes the other two of itself */
	SANDBOX_STEWARD, /* opens databases */
	SANDBOX_HOLD,	 /* keeps a file's writers out (hold.h) */
};

/* Confines the calling process, all its threads, and what they start; for good. 0 or a negative errno: then nothing is
 * sure, and the process must end. */
int sandbox_enter(enum sandbox_role role);

/* How a process beside the worker begins: with the standard descriptors and those up to `sock`, its own name, no ear
 * for the terminal's signals, and confined. 0, or -1 when that was said on stderr and the process must end. */
int sandbox_begin(enum sandbox_role role, const char *name, int sock);

#endif
