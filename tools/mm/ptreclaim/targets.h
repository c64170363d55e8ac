/* SPDX-License-Identifier: GPL-2.0 */
/* Which processes a command is for: --pid, --cgroup and --all. */
#ifndef TARGETS_H
#define TARGETS_H

#include <getopt.h>
#include <stddef.h>

#include "procs.h"

struct targets {
	pid_t *pids;
	size_t pid_count;
	const char **cgroups;
	size_t cgroup_count;
	bool all;
	uint64_t gone;		/* vanished, hidden, or their files make no sense */
	bool missing;		/* what was named is not there, which was reported */
};

/*
 * What a process may have in empty tables, in bytes, that nobody needs to look at it for
 * unless it was named: 63 tables, as much as a map of 126 MiB takes.
 */
#define TRIFLE		(256 << 10)

#define TARGET_OPTIONS \
	{ "pid", required_argument, NULL, 'p' }, \
	{ "cgroup", required_argument, NULL, 'g' }, \
	{ "all", no_argument, NULL, 'a' }
#define TARGET_LETTERS	"p:g:a"
#define TARGET_HELP \
	"  -p, --pid N            a process; may be given again\n" \
	"  -g, --cgroup PATH      of a cgroup and of those below it; may be given again\n"

/* One of the options above. Ends the program if its argument is wrong. */
void targets_option(struct targets *t, int letter, const char *argument, const char *command);

void targets_free(struct targets *t);

static inline bool targets_given(const struct targets *t)
{
	return t->all || t->pid_count || t->cgroup_count;
}

/* By --pid. */
bool targets_name(const struct targets *t, pid_t pid);

/* Each process once. 0, -ECANCELED, or what visit() or procs_all() has returned. */
int targets_visit(struct targets *t, const struct procs *procs, const volatile int *cancel,
		  int (*visit)(const struct process *p, void *arg), void *arg);

#endif
