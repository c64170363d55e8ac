/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes as /proc and the cgroup file system show them, of this machine or of a
 * captured tree (--sysroot). Nothing that is read is trusted.
 *
 * Reading uses one buffer for all: not for threads.
 */
#ifndef PROCS_H
#define PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptreclaim.h>

#define PID_LIMIT	(4 << 20)	/* PID_MAX_LIMIT of Linux: larger ones are none */

struct procs {
	int proc;		/* /proc */
	int cgroups;		/* /sys/fs/cgroup, cgroup v2; -1 if there is none */
	bool captured;		/* read only: nothing in it is a process of this machine */
};

struct process {
	pid_t pid;
	uid_t uid;		/* effective */
	uint64_t vmpte;		/* VmPTE, in bytes; 0 for those without memory of their own */
	uint64_t rss;		/* VmRSS, in bytes */
	uint64_t start;		/* ticks since boot; tells processes apart that had the same pid */
	char comm[65];		/* any bytes but NUL */
	char cgroup[4097];	/* path within the cgroup v2 hierarchy, "/" and on; "" if unknown */
};

/* SYSROOT is NULL for this machine. 0 or -errno. */
int procs_open(struct procs *procs, const char *sysroot);
void procs_close(struct procs *procs);

/*
 * Calls visit() for each process with memory of its own, in the order of /proc. Those
 * that vanish meanwhile, are hidden or make no sense are counted in *GONE (may be NULL)
 * and are no error. Ends with what visit() returned if that is not 0; -ECANCELED once
 * *CANCEL is not 0.
 */
int procs_all(const struct procs *procs, const volatile int *cancel,
	      int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone);

/*
 * The same for the processes of one cgroup and of all below it. PATH begins with "/".
 * -ENOENT if there is no such cgroup.
 */
int procs_cgroup(const struct procs *procs, const char *path, const volatile int *cancel,
		 int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone);

/* One process; -ESRCH if there is none. */
int procs_one(const struct procs *procs, pid_t pid, struct process *p);

/* As ptreclaim_audit(), of the process that P was read from: -ESRCH if that is gone. */
int procs_audit(const struct procs *procs, const struct process *p, const volatile int *cancel,
		struct ptreclaim_tables *tables);

struct reclaimed {
	uint64_t before;	/* VmPTE, in bytes */
	uint64_t after;
	bool execed;		/* runs another program now: both say nothing of each other */
	struct ptreclaim_result result;
};

/*
 * Sends MADV_RECLAIM_PT for all of a process: opens a pidfd, makes sure that it is still the
 * process that P was read from, then ptreclaim_process(). 0 or -errno: -ESRCH if it is gone
 * (no error of a run), -EPERM and -EACCES, -ECANCELED, -ENOTSUP, -EROFS for a captured tree.
 * *DONE is set if 0 or -ECANCELED is returned.
 */
int procs_reclaim(const struct procs *procs, const struct process *p, const volatile int *cancel,
		  struct reclaimed *done);

#endif
