/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the tests of allocators on a real kernel have in common: memory in small pieces,
 * all of it freed in no order, so that pages go one by one and leave their tables.
 */
#ifndef PTRECLAIM_TEST_ALLOCATOR_H
#define PTRECLAIM_TEST_ALLOCATOR_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../ptreclaim.h"
#include "tap.h"

#define PIECE		(32UL << 10)
#define PIECES		16384	/* 512 MiB: 256 tables */
#define BLOCKS		16
#define BLOCK		(24UL << 20)
#define TABLE_SPAN	(2UL << 20)
#define FEW		(16 * 4096)
#define MANY		(100 * 4096)

static void *pieces[PIECES];

static inline void fill_and_free(void)
{
	unsigned int seed = 1;
	size_t i;

	for (i = 0; i < PIECES; i++) {
		pieces[i] = malloc(PIECE);
		memset(pieces[i], 1, PIECE);
	}
	for (i = PIECES; i-- > 1;) {
		size_t at = (size_t)rand_r(&seed) % (i + 1);
		void *piece = pieces[i];

		pieces[i] = pieces[at];
		pieces[at] = piece;
	}
	for (i = 0; i < PIECES; i++)
		free(pieces[i]);
}

/*
 * glibc and mimalloc give back long ranges, and the kernel frees the tables of these at
 * once. So that there is something to find, here are blocks in use without a page.
 */
static inline void empty_blocks(void)
{
	size_t i, at;

	for (i = 0; i < BLOCKS; i++) {
		char *start = malloc(BLOCK);

		start = (char *)(((uintptr_t)start + 4095) & -4096UL);
		for (at = 0; at < BLOCK - 4096; at += TABLE_SPAN) {
			start[at] = 1;
			madvise(start + at, 4096, MADV_DONTNEED);
		}
	}
}

static inline struct ptreclaim_tables audit(void)
{
	struct ptreclaim_tables t = { 0 };
	int ret = ptreclaim_audit(getpid(), NULL, &t);

	if (ret) {
		printf("Bail out! audit: %d\n", ret);
		exit(1);
	}
	return t;
}

static inline void no_huge_pages(void)
{
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* Frees, lets the allocator RELEASE, notes by ADAPTER, and looks at what is left. */
static inline int run_allocator(void (*release)(void), int (*adapter)(void), bool blocks)
{
	struct ptreclaim_tables before, after;
	struct ptreclaim_counters c;

	no_huge_pages();
	plan(3);
	fill_and_free();
	release();
	if (blocks)
		empty_blocks();
	before = audit();
	ok(!adapter() && !ptreclaim_flush(), "noted and reclaimed");
	after = audit();
	ptreclaim_get_counters(&c);
	printf("# empty tables: %llu .. %llu bytes, then %llu .. %llu; %llu calls for %llu bytes\n",
	       (unsigned long long)before.empty_min, (unsigned long long)before.empty_max,
	       (unsigned long long)after.empty_min, (unsigned long long)after.empty_max,
	       (unsigned long long)c.calls, (unsigned long long)c.bytes);
	ok(before.empty_max > MANY, "empty tables before");
	ok(after.empty_max < FEW, "and none after");
	return finish();
}

#endif
