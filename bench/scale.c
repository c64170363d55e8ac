// SPDX-License-Identifier: GPL-2.0
/*
 * scale [TABLES]: how the cost of a call grows with what it finds, for a guest under
 * -icount shift=0 with one CPU. Where there is no such call, munmap is the one.
 * Prints "SERIES.SIZE INSTRUCTIONS" lines.
 *
 * It is the processor time of the caller, in which a nanosecond is one instruction: a call that
 * frees more tables than RCU may have waiting sleeps meanwhile, and that is no work. What RCU
 * frees while a call runs is not the call's either, if the guest's RCU has threads for it
 * (rcutree.use_softirq=0); how much that is, "cost" tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "procfs.h"

#define FEW	512UL	/* tables, those of a GiB */
#define STEP	4	/* from one size to the next */
#define CALLS	5

static void reclaim(char *base, size_t size)
{
	advise(base, size, MADV_RECLAIM_PT);
}

static uint64_t cost_of(void (*call)(char *base, size_t size), char *base, size_t bytes)
{
	uint64_t start = clock_now(CLOCK_THREAD_CPUTIME_ID);

	call(base, bytes);
	return clock_now(CLOCK_THREAD_CPUTIME_ID) - start;
}

static void print_cost(const char *series, size_t size, uint64_t cost)
{
	dprintf(1, "%s.%zu %llu\n", series, size, (unsigned long long)cost);
}

/* Reading maps the zero page: 1 M tables and as many pages would be 8 GiB. */
static void make_empty_tables(char *base, size_t tables)
{
	for (size_t i = 0; i < tables; i++)
		*(volatile char *)(base + i * TABLE);
	empty(base, tables);
}

static void measure_tables(const char *series, size_t most, void (*call)(char *base, size_t size))
{
	for (size_t tables = 1024; tables <= most; tables *= STEP) {
		char *base = map(tables * TABLE);

		make_empty_tables(base, tables);
		print_cost(series, tables, cost_of(call, base, tables * TABLE));
		if (call != unmap)
			unmap(base, tables * TABLE);
	}
}

/*
 * PMD tables that are left when their only PTE table is gone. The median of a few calls: during
 * one of them RCU frees those PTE tables.
 */
static void measure_pmd_tables(void)
{
	uint64_t costs[CALLS];

	for (size_t count = 16; count <= 16384; count *= STEP) {
		char *base = map(count * GIB);

		for (size_t i = 0; i < count; i++)
			make_empty_tables(base + i * GIB, 1);
		reclaim(base, count * GIB);
		for (int i = 0; i < CALLS; i++)
			costs[i] = cost_of(reclaim, base, count * GIB);
		print_cost("reclaim_pmd_tables", count, median(costs, CALLS));
		unmap(base, count * GIB);
	}
}

/* The same few tables each time, and ever more that was never touched behind them. */
static void measure_span(void)
{
	char *base = map(55 * TIB);

	for (size_t gib = 1; gib <= 55 * TIB / GIB; gib *= STEP) {
		make_empty_tables(base, FEW);
		print_cost("reclaim_span_gib", gib, cost_of(reclaim, base, gib * GIB));
	}
	make_empty_tables(base, FEW);
	print_cost("reclaim_span_gib", 55 * TIB / GIB, cost_of(reclaim, base, 55 * TIB));
}

int main(int argc, char **argv)
{
	unsigned long most = argc == 2 ? strtoul(argv[1], NULL, 0) : 1UL << 20;

	if (argc > 2 || most < 4096)
		errx(2, "usage: scale [TABLES], 4096 at least");
	if (!reclaim_pt_supported()) {
		measure_tables("munmap_tables", most, unmap);
		return 0;
	}
	measure_tables("reclaim_tables", most, reclaim);
	measure_pmd_tables();
	measure_span();
	return 0;
}
