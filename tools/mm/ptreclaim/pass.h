/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A pass of the daemon: lists processes, audits those that are large and were not looked at
 * lately, the largest first, and reclaims those with many empty tables, most of them first.
 */
#ifndef PASS_H
#define PASS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "metrics.h"
#include "policy.h"
#include "procs.h"

/* What stays from pass to pass. */
struct pass {
	const struct procs *procs;
	const struct config *config;
	const volatile int *cancel;
	void (*alive)(void);		/* called between processes */
	struct memory memory;
	struct budget budget;
	struct candidates candidates;
	struct metrics metrics;
};

/* Of one pass. */
struct pass_result {
	uint64_t processes;
	uint64_t waiting;	/* left alone, as a look brought little */
	uint64_t audited;
	uint64_t reclaimed;
	uint64_t bytes;		/* freed */
	uint64_t found;		/* in a captured tree: bytes that could be freed */
	uint64_t gone;
	uint64_t denied;
	uint64_t failed;
	int error;		/* of the last one that failed, as -errno */
	uint64_t cpu;		/* ns */
	bool skipped;		/* there was no processor time left */
	bool cut;		/* it ran out */
};

/* 0 or -ENOMEM. The configuration has to be there. */
int pass_init(struct pass *pass);
/* There is a new configuration. -ENOMEM: PASS is as it was. */
int pass_configure(struct pass *pass, const struct config *config);
void pass_free(struct pass *pass);

/*
 * Of all processes, or of those of a cgroup. 0; -ECANCELED; or what listing them gave, as
 * -errno. *RESULT is set in any case.
 */
int pass_run(struct pass *pass, enum trigger trigger, const char *cgroup,
	     struct pass_result *result);

#endif
