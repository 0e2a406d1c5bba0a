#include "fs/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_LIST false
#else
#define HAS_LIST true
#endif

/* Debian 12's kernel headers are older than its users' kernels (passthrough.c). */
#define BACKING_OPEN  _IOW(FUSE_DEV_IOC_MAGIC, 1, char[16])
#define BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)

static bool is_set(const char *word)
{
	const char *value = getenv("CLAWFS_SANDBOX");

	return value && strcmp(value, word) == 0;
}

/* --- capabilities --------------------------------------------------------- */

#define BIT(cap) (UINT64_C(1) << (cap))

static uint64_t wanted_caps(enum sandbox_role role)
{
	/* Of the files of any user; SQLite gives what it makes to the database's owner. */
	const uint64_t files = BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_CHOWN) | BIT(CAP_FOWNER);

	if (role != SANDBOX_WORKER)
		return files;
	return files
	       /* Set-id bits that an application sets; lower_become; device nodes; whether others write to a WAL. */
	       | BIT(CAP_FSETID) | BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_MKNOD) |
	       BIT(CAP_LEASE)
	       /* Attributes "security.capability" that root sets; backing files, "trusted.", and the end of the mount.
		*/
	       | BIT(CAP_SETFCAP) | BIT(CAP_SYS_ADMIN);
}

static int drop_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	/* The bounding set is for what is executed; an ordinary user's is not ours to change, and means nothing. */
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep & BIT(cap)) && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EPERM)
			return -errno;
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective &= data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return -errno;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL ? -errno : 0;
}

/* --- system calls --------------------------------------------------------- */

/* By name, because not every processor has each of them, and libseccomp knows which. NULL ends a list. */

/* Memory, time, threads, signals, and what glibc does by itself. */
static const char *const common[] = {
	"brk", "munmap", "mremap", "madvise", "futex", "futex_time64", "exit", "exit_group", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "clock_gettime", "clock_gettime64",
	"clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom", "rseq", "set_robust_list",
	"set_tid_address", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getscheduler",
	"sched_setscheduler", "getpid", "getppid", "gettid", "tgkill", "getuid", "geteuid", "getgid", "getegid",
	"uname", "sysinfo", "membarrier", "getrusage", "poll", "ppoll", "capget", "umask",
	/* Files by descriptor, and names relative to a directory's. */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "close", "close_range", "dup",
	"dup2", "dup3", "fcntl", "fcntl64", "lseek", "_llseek", "fstat", "fstat64", "newfstatat", "fstatat64", "stat",
	"lstat", "statx", "access", "faccessat", "faccessat2", "open", "openat", "openat2", "ftruncate", "ftruncate64",
	"fallocate", "fsync", "fdatasync", "unlink", "unlinkat", "fchmod", "fchown", "fchown32", "readlink",
	"readlinkat", "chdir", "fchdir", "getcwd", "statfs", "fstatfs", "fstatfs64", "statfs64", "utimensat",
	"fadvise64", "recvmsg", "sendmsg", "sendto", "recvfrom", NULL};

static const char *const worker_more[] = {"timer_create",
					  "timer_settime",
					  "timer_delete",
					  "timer_gettime",
					  "timerfd_create",
					  "timerfd_settime",
					  "eventfd2",
					  "rt_sigtimedwait",
					  "rt_sigtimedwait_time64",
					  "rt_sigsuspend",
					  "signalfd4",
					  "wait4",
					  "waitid",
					  "pidfd_open",
					  "kill",
					  "epoll_create1",
					  "epoll_ctl",
					  "epoll_wait",
					  "epoll_pwait",
					  "splice",
					  "vmsplice",
					  "pipe2",
					  "memfd_create",
					  "msync",
					  "sync_file_range",
					  "sync_file_range2",
					  "syncfs",
					  "copy_file_range",
					  "sendfile",
					  "flock",
					  "getdents64",
					  "rename",
					  "renameat",
					  "renameat2",
					  "mkdir",
					  "mkdirat",
					  "rmdir",
					  "mknod",
					  "mknodat",
					  "symlinkat",
					  "symlink",
					  "link",
					  "linkat",
					  "chmod",
					  "fchmodat",
					  "fchmodat2",
					  "fchownat",
					  "lchown",
					  "truncate",
					  "truncate64",
					  "getxattr",
					  "lgetxattr",
					  "fgetxattr",
					  "listxattr",
					  "llistxattr",
					  "flistxattr",
					  "setxattr",
					  "lsetxattr",
					  "fsetxattr",
					  "removexattr",
					  "lremovexattr",
					  "fremovexattr",
					  "setfsuid",
					  "setfsuid32",
					  "setfsgid",
					  "setfsgid32",
					  "capset",
					  "umount2",
					  "prlimit64",
					  "getrlimit",
					  "sched_setscheduler",
					  "setpriority",
					  "ioprio_set",
					  "inotify_init1",
					  "inotify_add_watch",
					  "inotify_rm_watch",

					  "connect",
					  "setsockopt",
					  "getsockopt",
					  "shutdown",
					  "getpeername",
					  NULL};

/* Nothing here does any of this, nor does a library for it. */
static const char *const attacks[] = {"execve",
				      "execveat",
				      "ptrace",
				      "process_vm_readv",
				      "process_vm_writev",
				      "kcmp",
				      "bpf",
				      "perf_event_open",
				      "userfaultfd",
				      "io_uring_setup",
				      "init_module",
				      "finit_module",
				      "delete_module",
				      "kexec_load",
				      "kexec_file_load",
				      "mount",
				      "move_mount",
				      "open_tree",
				      "fsopen",
				      "fsmount",
				      "fspick",
				      "fsconfig",
				      "mount_setattr",
				      "pivot_root",
				      "chroot",
				      "setns",
				      "unshare",
				      "open_by_handle_at",
				      "name_to_handle_at",
				      "reboot",
				      "swapon",
				      "swapoff",
				      "add_key",
				      "request_key",
				      "keyctl",
				      "personality",
				      "setuid",
				      "setgid",
				      "setreuid",
				      "setregid",
				      "setresuid",
				      "setresgid",
				      "setgroups",
				      "iopl",
				      "ioperm",
				      "modify_ldt",
				      "acct",
				      "quotactl",
				      "settimeofday",
				      "clock_settime",
				      "clock_adjtime",
				      "adjtimex",
				      "sethostname",
				      "setdomainname",
				      "syslog",
				      "vhangup",
				      "uselib",
				      "pidfd_getfd",
				      "seccomp",
				      NULL};

/* What is tried, and done another way then: by pthread_create. */
static const char *const tried[] = {"clone3", NULL};

static int add(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	/* Another processor's, or newer than the library. */
	return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);
}

static int add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
	int rc = 0;

	for (; rc == 0 && *names; names++)
		rc = add(ctx, action, *names);
	return rc;
}

/* Allows the call when argument `arg`, masked, has that value. */
static int add_if(scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask, uint64_t value)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

/* Memory is not made executable, be it new or old. */
static int add_memory(scmp_filter_ctx ctx)
{
	static const char *const calls[] = {"mmap", "mmap2", "mprotect", NULL};
	int rc = 0;

	for (const char *const *call = calls; rc == 0 && *call; call++)
		rc = add_if(ctx, *call, 2, PROT_EXEC, 0);
	return rc;
}

static int add_worker(scmp_filter_ctx ctx)
{
	static const uint32_t ioctls[] = {BACKING_OPEN, BACKING_CLOSE, FICLONE, FICLONERANGE, FS_IOC_FIEMAP};
	int rc = add_all(ctx, SCMP_ACT_ALLOW, worker_more);

	/* The kernel takes the lower half. */
	for (size_t i = 0; rc == 0 && i < sizeof(ioctls) / sizeof(*ioctls); i++)
		rc = add_if(ctx, "ioctl", 1, UINT32_MAX, ioctls[i]);
	/* Threads, no processes. Of clone3 nobody can see the flags, and without it glibc does this. */
	if (rc == 0)
		rc = add_if(ctx, "clone", 0, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER, CLONE_THREAD | CLONE_VM);
	/* The system's log and systemd, which are datagrams; what gives orders for root is not (D-Bus, Docker). */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX, 0),
				      SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	if (rc == 0)
		rc = add_if(ctx, "socketpair", 0, UINT32_MAX, AF_UNIX);
	/* Of threads their names. */
	if (rc == 0)
		rc = add_if(ctx, "prctl", 0, UINT32_MAX, PR_SET_NAME);
	return rc;
}

/* As add_worker, for a process without threads that makes others. */
static int add_spawner(scmp_filter_ctx ctx)
{
	int rc = add_if(ctx, "clone", 0, CLONE_PARENT | CLONE_VM | CLONE_NEWUSER, CLONE_PARENT);

	if (rc == 0)
		rc = add(ctx, SCMP_ACT_ALLOW, "prctl");
	/* What begins here has a list of its own. */
	if (rc == 0)
		rc = add(ctx, SCMP_ACT_ALLOW, "seccomp");
	if (rc == 0)
		rc = add(ctx, SCMP_ACT_ALLOW, "setxattr");
	if (rc == 0)
		rc = add(ctx, SCMP_ACT_ALLOW, "capset");
	return rc;
}

static int fill(scmp_filter_ctx ctx, enum sandbox_role role)
{
	int rc = add_all(ctx, SCMP_ACT_ALLOW, common);

	if (rc == 0 && is_set("strict"))
		rc = add_all(ctx, SCMP_ACT_ERRNO(ENOSYS), tried);

	if (rc == 0)
		rc = add_memory(ctx);
	if (rc == 0 && role == SANDBOX_WORKER)
		rc = add_worker(ctx);
	if (rc == 0 && role == SANDBOX_SPAWNER)
		rc = add_spawner(ctx);
	if (rc == 0 && role == SANDBOX_HOLD)
		rc = add(ctx, SCMP_ACT_ALLOW, "setxattr");
	for (const char *const *name = attacks; rc == 0 && !is_set("strict") && *name; name++)
		if (role != SANDBOX_SPAWNER || strcmp(*name, "seccomp") != 0)
			rc = add(ctx, SCMP_ACT_KILL_PROCESS, *name);
	return rc;
}

static int load_list(enum sandbox_role role)
{
	scmp_filter_ctx ctx = seccomp_init(is_set("strict") ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));

	if (!ctx)
		return -ENOMEM;
	/* All threads, those that wait for this one too. */
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = fill(ctx, role);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

int sandbox_enter(enum sandbox_role role)
{
	if (!HAS_LIST || is_set("off"))
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	int rc = drop_caps(wanted_caps(role));
	return rc < 0 ? rc : load_list(role);
}

int sandbox_begin(enum sandbox_role role, const char *name, int sock)
{
	close_range((unsigned)sock + 1, ~0U, 0);
	prctl(PR_SET_NAME, name);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int rc = sandbox_enter(role);
	/* Where the daemon's errors go. */
	if (rc < 0)
		fprintf(stderr, "%s: cannot be confined: %s\n", name, strerror(-rc));
	return rc < 0 ? -1 : 0;
}
