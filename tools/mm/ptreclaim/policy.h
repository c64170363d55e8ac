/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the daemon decides: which processes it may look at, in which order, how much
 * processor time it takes, and how long it leaves a process alone. No system calls, and
 * the time is handed in: all times are in ns.
 */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "procs.h"

#define NS_PER_SEC	UINT64_C(1000000000)

/*
 * Filters. A process must match one rule of each field that has rules to include, and none
 * to exclude.
 */
enum rule_field { RULE_CGROUP, RULE_USER, RULE_COMMAND };

struct rule {
	enum rule_field field;
	bool exclude;
	uid_t uid;		/* for RULE_USER */
	char *pattern;		/* as it was written; for RULE_CGROUP without a slash at its end */
};

bool rules_allow(const struct rule *rules, size_t count, const struct process *p);

/*
 * The processor time that may be used: comes in at so many percent of one CPU and is saved up
 * to BURST. What is begun is finished, so it may become negative; then nothing is begun until
 * the debt is paid.
 */
struct budget {
	int64_t left;
	uint64_t filled;	/* when */
};

void budget_start(struct budget *b, uint64_t now, uint64_t burst);
void budget_fill(struct budget *b, uint64_t now, unsigned int percent, uint64_t burst);
void budget_spend(struct budget *b, uint64_t used);

/* The processes of a pass that are worth a look: the CAPACITY largest of those added. */
struct candidate {
	pid_t pid;
	uint64_t start;
	uint64_t vmpte;
	uint64_t rss;
	uint64_t empty;		/* once it was audited */
};

struct candidates {
	struct candidate *list;
	size_t count;
	size_t capacity;
};

int candidates_init(struct candidates *c, size_t capacity);
void candidates_free(struct candidates *c);
void candidates_add(struct candidates *c, const struct candidate *new);
/* The largest VmPTE first; after that, those with most empty tables first. */
void candidates_by_vmpte(struct candidates *c);
void candidates_by_empty(struct candidates *c);

/*
 * What is known of processes that were looked at before. A look that brought nothing that
 * lasted doubles the time until the next one: there was too little to free, it failed, or
 * half of what was freed is back by then. One that did halves it. A process that was not
 * worth it may be so at once when it has become smaller.
 */
struct record {
	pid_t pid;
	uint64_t start;
	uint64_t seen;		/* the pass it was last met in */
	uint64_t looked;	/* when */
	uint64_t wait;		/* from then on, until it may be looked at again */
	uint64_t after;		/* VmPTE when we left it */
	uint64_t rss;
	uint64_t freed;		/* bytes; 0 if that look brought nothing */
	bool judged;		/* whether what was freed stayed away is in WAIT */
};

struct memory_limits {
	size_t records;
	uint64_t wait_min;
	uint64_t wait_max;
	uint64_t smaller;	/* bytes of VmRSS */
};

struct memory {
	struct memory_limits limits;
	struct record *records;	/* by pid */
	size_t count;
	uint64_t pass;
};

int memory_init(struct memory *m, const struct memory_limits *limits);
void memory_free(struct memory *m);
/* Of the records, those that were looked at last are kept. -ENOMEM: all is as it was. */
int memory_resize(struct memory *m, const struct memory_limits *limits);

/* Between these two, memory_met() is called for each process that there is. */
void memory_pass_begin(struct memory *m);
/* Forgets those that were not met, which have exited. */
void memory_pass_end(struct memory *m);

/* A process was met, whatever its size: has what was freed come back? */
void memory_met(struct memory *m, const struct process *p, uint64_t now);
/* Whether to look at a process that was just met. */
bool memory_allows(const struct memory *m, const struct process *p, uint64_t now);
/* It was looked at, and FREED bytes are gone. VmPTE is what it has now. */
void memory_looked(struct memory *m, const struct candidate *c, uint64_t vmpte, uint64_t freed,
		   uint64_t now);

#endif
