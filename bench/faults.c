// SPDX-License-Identifier: GPL-2.0
/*
 * What comes of freed tables, apart from instructions. Prints "key value" lines.
 *
 * faults rss: how much the resident set grows at the next touch of a 2 MiB range, with transparent
 * huge pages always. Run as root.
 * faults beside: page faults a second of a thread whose neighbour reclaims its own range without
 * end, or has munmap and mmap in its place. Two CPUs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "area.h"
#include "procfs.h"

#define RANGES		64UL
#define NEIGHBOUR	512UL	/* tables */
#define ROUNDS		5
#define MEASURED_NS	1000000000ULL

static void set_huge_pages_always(void)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "always", 6) < 0)
		err(1, "transparent_hugepage/enabled");
	close(fd);
}

/* Summed over the page tables: the counters of status are not exact. */
static long long rss_kb(void)
{
	long long kb = procfs_kb(getpid(), "smaps_rollup", "Rss");

	if (kb < 0)
		err(1, "Rss");
	return kb;
}

/* map() has ruled huge pages out, which MADV_HUGEPAGE takes back. */
static void measure_rss(const char *key, bool reclaim)
{
	char *base = map(RANGES * TABLE);
	long long before;

	touch(base, RANGES, 0);
	empty(base, RANGES);
	if (reclaim)
		advise(base, RANGES * TABLE, MADV_RECLAIM_PT);
	advise(base, RANGES * TABLE, MADV_HUGEPAGE);
	before = rss_kb();
	touch(base, RANGES, 0);
	dprintf(1, "%s %lld\n", key, (rss_kb() - before) / (long long)RANGES);
	unmap(base, RANGES * TABLE);
}

enum neighbour { IDLE, RECLAIM, UNMAP, NEIGHBOURS };

static const char * const keys[] = {
	"faults_alone", "faults_beside_reclaim", "faults_beside_munmap",
};

static atomic_bool stop;
static char *area;	/* the neighbour's; the other thread's lies behind it */

/* Each round needs the tables anew. */
static void *be_neighbour(void *data)
{
	enum neighbour what = *(enum neighbour *)data;

	while (what != IDLE && !stop) {
		touch(area, NEIGHBOUR, 0);
		empty(area, NEIGHBOUR);
		if (what == RECLAIM) {
			advise(area, NEIGHBOUR * TABLE, MADV_RECLAIM_PT);
		} else {
			unmap(area, NEIGHBOUR * TABLE);
			map(NEIGHBOUR * TABLE);
		}
	}
	return NULL;
}

/* In each second, into tables that stay. */
static uint64_t faults_beside(enum neighbour what)
{
	char *mine = area + NEIGHBOUR * TABLE;
	uint64_t start, count = 0;
	pthread_t neighbour;

	stop = false;
	if (pthread_create(&neighbour, NULL, be_neighbour, &what))
		errx(1, "pthread_create");
	for (start = now(); now() - start < MEASURED_NS; count += TABLE / PAGE) {
		for (size_t page = 0; page < TABLE / PAGE; page++)
			((volatile char *)mine)[page * PAGE] = 1;
		advise(mine, TABLE / 2, MADV_DONTNEED);
		advise(mine + TABLE / 2, TABLE / 2, MADV_DONTNEED);
	}
	count = count * MEASURED_NS / (now() - start);
	stop = true;
	pthread_join(neighbour, NULL);
	return count;
}

/* In turn, so that a slow moment of the machine falls on all. */
static void measure_beside(void)
{
	uint64_t counts[NEIGHBOURS][ROUNDS];
	bool supported = reclaim_pt_supported();

	area = map(NEIGHBOUR * TABLE + TABLE);
	for (int i = 0; i < ROUNDS; i++)
		for (enum neighbour what = IDLE; what < NEIGHBOURS; what++)
			if (what != RECLAIM || supported)
				counts[what][i] = faults_beside(what);
	for (enum neighbour what = IDLE; what < NEIGHBOURS; what++)
		if (what != RECLAIM || supported)
			dprintf(1, "%s %llu\n", keys[what],
				(unsigned long long)median(counts[what], ROUNDS));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "beside")) {
		measure_beside();
	} else if (argc == 2 && !strcmp(argv[1], "rss")) {
		set_huge_pages_always();
		measure_rss("rss_growth_kept_kb", false);
		if (reclaim_pt_supported())
			measure_rss("rss_growth_reclaimed_kb", true);
	} else {
		errx(2, "usage: faults rss|beside");
	}
	return 0;
}
