// SPDX-License-Identifier: GPL-2.0
/*
 * tlb_flushes: what is flushed from the TLB for tables that are given back. One flush is for a batch of them, and goes
 * from the first to the last, however far apart they are; two threads that reclaim at the same time flush for batches,
 * too, and not for each table. KTAP output; run as root, on two CPUs, with trace_event=tlb:tlb_flush on the kernel's
 * command line (see WAKEUPS in tests/run).
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>

#include "../../bench/procfs.h"
#include "ktap.h"
#include "tracefs.h"

#define PAGE	4096UL
#define TABLE	(2UL << 20)	/* what one PTE table maps */
#define GIB	(1UL << 30)
#define THREADS	2
#define TABLES	8192L		/* of each thread: 16 batches */
#define BATCH	512
/* On each CPU; there are others, too, as when the scheduler switches to another mm. */
#define ALONE	(8 * TABLES / BATCH)
/* While one flushes, the other takes it for somebody who zaps, and flushes for its tables. */
#define BOTH	(THREADS * TABLES / 2)

static pthread_barrier_t together;

static char *map_empty_tables(void)
{
	char *area = mmap(NULL, TABLES * TABLE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(area != MAP_FAILED, "mmap");
	must(!madvise(area, TABLES * TABLE, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	for (long i = 0; i < TABLES; i++)
		*(volatile char *)(area + i * TABLE) = 1;
	for (long i = 0; i < TABLES; i++)
		must(!madvise(area + i * TABLE, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	return area;
}

static void *reclaim(void *area)
{
	pthread_barrier_wait(&together);
	must(!madvise(area, TABLES * TABLE, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
	pthread_barrier_wait(&together);
	return NULL;
}

static void count(const struct trace_event *event, void *data)
{
	*(long *)data += !strcmp(event->name, "tlb_flush");
}

/* The flushes while THREADS threads give back an area each. */
static long flushes(int threads)
{
	pthread_t thread[THREADS];
	long flushed = 0;

	pthread_barrier_init(&together, NULL, threads + 1);
	for (int i = 0; i < threads; i++)
		must(!pthread_create(&thread[i], NULL, reclaim, map_empty_tables()), "pthread_create");
	trace_start();
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	trace_stop(count, &flushed);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return flushed;
}

/* Flushes of the caller's address space by the caller. */
struct shootdowns {
	int pid;
	long slots;		/* in PMD slots, the largest of those that are not of everything */
	long whole;		/* of everything */
};

static void take_shootdown(const struct trace_event *event, void *data)
{
	struct shootdowns *seen = data;
	long long pages;

	if (strcmp(event->name, "tlb_flush") || event->pid != seen->pid ||
	    !strcasestr(event->fields, "reason:local mm shootdown"))	/* 7.3 writes MM */
		return;
	pages = trace_field(event, "pages:");
	if (pages < 0)
		seen->whole++;
	else if (pages > seen->slots)
		seen->slots = pages;
}

/*
 * Two empty tables, the second of which begins @distance behind the first, and nothing between: both are in one batch.
 * The first is the last of its GiB, of which the walk would have to look at every slot otherwise.
 */
static struct shootdowns flush_two(size_t distance)
{
	struct shootdowns seen = { .pid = getpid() };
	size_t size = distance + 2 * GIB;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *first = area + (-(uintptr_t)area & (GIB - 1)) - TABLE;
	long long freed = procfs_vmstat("pt_reclaim_freed");

	must(area != MAP_FAILED, "mmap");
	if (first < area)
		first += GIB;
	must(!madvise(area, size, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	for (int i = 0; i < 2; i++) {
		first[i * distance] = 1;
		must(!madvise(first + i * distance, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	}
	trace_start();
	must(!madvise(first, distance + TABLE, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
	trace_stop(take_shootdown, &seen);
	must(procfs_vmstat("pt_reclaim_freed") - freed == 2, "two tables are freed");
	must(!munmap(area, size), "munmap");
	printf("# two tables %zu MiB apart: %ld flushes of everything, another of up to %ld slots\n",
	       distance >> 20, seen.whole, seen.slots);
	return seen;
}

static void test_span(void)
{
	struct shootdowns near = flush_two(TABLE), far = flush_two(4 * GIB + TABLE);

	result(near.slots == 2 && !near.whole, "for two neighbours, two slots are flushed");
	/* x86 flushes everything instead of more than 33 entries. */
	result(far.whole == 1, "tables 4 GiB apart are flushed, both of them");
}

int main(void)
{
	long long freed;
	long alone, both;

	if (!reclaim_pt_supported())
		errx(1, "this kernel has no MADV_RECLAIM_PT");
	trace_write("tracing_on", "0");
	trace_write("buffer_size_kb", "16384");
	printf("TAP version 13\n1..5\n");
	test_span();
	freed = procfs_vmstat("pt_reclaim_freed");
	alone = flushes(1);
	both = flushes(THREADS);
	freed = procfs_vmstat("pt_reclaim_freed") - freed;
	printf("# %lld tables freed; %ld flushes alone, %ld side by side\n", freed, alone, both);
	result(freed >= (1 + THREADS) * TABLES, "all tables are freed");
	result(alone >= TABLES / BATCH && alone <= ALONE,
	       "one flushes for each batch, %ld times at most", ALONE);
	result(both >= THREADS * TABLES / BATCH && both <= BOTH,
	       "two flush for one table in two, %ld times at most", BOTH);
	return !!failures;
}
