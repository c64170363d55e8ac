// SPDX-License-Identifier: GPL-2.0
/*
 * tlb_flushes: what is flushed from the TLB for tables that are given back. One flush is for a batch of them, and goes
 * from the first to the last, however far apart they are; two threads that reclaim at the same time flush for batches,
 * too, and not for each table. MADV_DONTNEED flushes once for pages and tables. Where the CPU may not have TLB entries
 * of small and of huge pages for the same address, it flushes the pages first, and tables one by one while somebody else
 * zaps; not so 7.3's, which frees tables by itself. KTAP output; run as root, on two CPUs, with trace_event=tlb:tlb_flush
 * on the kernel's command line (see FLUSHES in tests/run). With "exec", memory is executable.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
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
/* Where sizes may not mix: while one flushes, the other takes it for somebody who zaps. */
#define EACH	(THREADS * TABLES / 2)
#define CALLS	1000L		/* of MADV_DONTNEED, by each thread */

static pthread_barrier_t together;
static int protection = PROT_READ | PROT_WRITE;

static bool sizes_may_mix(void)
{
	char line[4096] = "";
	FILE *cpuinfo = fopen("/proc/cpuinfo", "r");

	must(cpuinfo, "/proc/cpuinfo");
	while (strncmp(line, "bugs", 4) && fgets(line, sizeof(line), cpuinfo))
		;
	must(!strncmp(line, "bugs", 4), "bugs in /proc/cpuinfo");
	fclose(cpuinfo);
	return !strstr(line, "tlb_mmatch") && !((protection & PROT_EXEC) && strstr(line, "itlb_multihit"));
}

static bool is_local(const struct trace_event *event)
{
	return !strcmp(event->name, "tlb_flush") &&
	       strcasestr(event->fields, "reason:local mm shootdown");	/* 7.3 writes MM */
}

static char *map_empty_tables(void)
{
	char *area = mmap(NULL, (TABLES + 1) * TABLE, protection,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(area != MAP_FAILED, "mmap");
	area += -(uintptr_t)area & (TABLE - 1);
	must(!madvise(area, TABLES * TABLE, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	for (long i = 0; i < TABLES; i++)
		*(volatile char *)(area + i * TABLE) = 1;
	for (long i = 0; i < TABLES; i++)
		must(!madvise(area + i * TABLE, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	return area;
}

static void *give_back(void *area)
{
	pthread_barrier_wait(&together);
	for (long i = 0; i < CALLS; i++) {
		char *table = (char *)area + i * TABLE;

		*(volatile char *)table = 1;
		must(!madvise(table, TABLE, MADV_DONTNEED), "MADV_DONTNEED");
	}
	pthread_barrier_wait(&together);
	return NULL;
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

/* By whom a range is given back, not by the CPUs that are asked to flush. */
static void count_local(const struct trace_event *event, void *data)
{
	*(long *)data += is_local(event);
}

/* The flushes while so many threads give back an area each. */
static long flushes(int threads, void *(*work)(void *area),
		    void (*take)(const struct trace_event *event, void *data))
{
	pthread_t thread[THREADS];
	long flushed = 0;

	pthread_barrier_init(&together, NULL, threads + 1);
	for (int i = 0; i < threads; i++)
		must(!pthread_create(&thread[i], NULL, work, map_empty_tables()), "pthread_create");
	trace_start();
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	trace_stop(take, &flushed);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return flushed;
}

/* Flushes of the caller's address space by the caller. */
struct shootdowns {
	int pid;
	long flushes;
	long slots;		/* in PMD slots or pages, the largest of those that are not of everything */
	long whole;		/* of everything */
};

static void take_shootdown(const struct trace_event *event, void *data)
{
	struct shootdowns *seen = data;
	long long pages;

	if (event->pid != seen->pid || !is_local(event))
		return;
	seen->flushes++;
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

/* What a thread of one's own does while somebody else zaps without end: its address space has a gather open. */
static atomic_bool zapping, enough;

static void *zap(void *area)
{
	while (!enough) {
		must(!madvise(area, TABLES * TABLE, MADV_FREE), "MADV_FREE");
		zapping = true;
	}
	return NULL;
}

static void test_beside_zap(bool mix)
{
	struct shootdowns seen = { .pid = getpid() };
	char *area = map_empty_tables();
	pthread_t thread;

	must(!pthread_create(&thread, NULL, zap, map_empty_tables()), "pthread_create");
	while (!zapping)
		sched_yield();
	trace_start();
	for (long i = 0; i < CALLS; i++)
		must(!madvise(area + i * TABLE, TABLE, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
	trace_stop(take_shootdown, &seen);
	enough = true;
	pthread_join(thread, NULL);
	printf("# %ld flushes for %ld tables beside somebody who zaps\n", seen.flushes, CALLS);
	if (mix)
		result(seen.flushes >= CALLS / 2 && seen.flushes <= CALLS * 11 / 10, "tables are flushed with their batch only");
	else
		result(seen.flushes >= CALLS * 3 / 2, "each table is flushed before somebody else can map a huge page");
}

/* The table adds nothing to the flush of its pages. */
static void test_size(void)
{
	struct shootdowns seen = { .pid = getpid() };
	char *table = map_empty_tables();
	long long before = procfs_kb(getpid(), "status", "VmPTE");

	table[8 * PAGE] = 1;
	trace_start();
	must(!madvise(table, TABLE, MADV_DONTNEED), "MADV_DONTNEED");
	trace_stop(take_shootdown, &seen);
	must(procfs_kb(getpid(), "status", "VmPTE") == before - 4, "MADV_DONTNEED frees the table");
	printf("# %ld flushes, %ld of everything, another of up to %ld pages\n", seen.flushes, seen.whole, seen.slots);
	result(seen.flushes && !seen.whole && seen.slots <= 9, "a page and its table: not everything is flushed");
}

int main(int argc, char **argv)
{
	long alone, both, side_by_side, flushed, least, most;
	long long freed, tables;
	bool mix;

	if (!reclaim_pt_supported())
		errx(1, "this kernel has no MADV_RECLAIM_PT");
	if (argc > 2 || (argc == 2 && strcmp(argv[1], "exec")))
		errx(1, "usage: tlb_flushes [exec]");
	if (argc == 2)
		protection |= PROT_EXEC;
	mix = sizes_may_mix();
	side_by_side = mix ? THREADS * ALONE : EACH;
	trace_write("tracing_on", "0");
	trace_write("buffer_size_kb", "16384");
	printf("TAP version 13\n# sizes may %smix\n1..11\n", mix ? "" : "not ");
	test_span();
	freed = procfs_vmstat("pt_reclaim_freed");
	alone = flushes(1, reclaim, count);
	both = flushes(THREADS, reclaim, count);
	freed = procfs_vmstat("pt_reclaim_freed") - freed;
	printf("# %lld tables freed; %ld flushes alone, %ld side by side\n", freed, alone, both);
	result(freed >= (1 + THREADS) * TABLES, "all tables are freed");
	result(alone >= TABLES / BATCH && alone <= ALONE,
	       "one flushes for each batch, %ld times at most", ALONE);
	result(both >= THREADS * TABLES / BATCH && both <= side_by_side,
	       "two flush %ld times at most", side_by_side);

	/*
	 * For pages and tables together; or for pages, for tables and, with others who zap, for each table. A few more
	 * are by who runs meanwhile; of those who flush at once, one may find that another did.
	 */
	for (int threads = 1; threads <= THREADS; threads++) {
		least = CALLS * (mix ? 1 : 2);
		most = CALLS * threads * (mix ? 1 : threads + 1) + CALLS / 10;
		tables = procfs_kb(getpid(), "status", "VmPTE");
		flushed = flushes(threads, give_back, count_local);
		/* All that they have mapped, without what they gave back. */
		tables = tables / 4 + threads * TABLES - procfs_kb(getpid(), "status", "VmPTE") / 4;
		printf("# %ld flushes by %ld calls of MADV_DONTNEED, %lld tables fewer\n", flushed, threads * CALLS, tables);
		result(tables > CALLS * threads - CALLS / 10, "MADV_DONTNEED by %d thread%s frees tables", threads,
		       threads > 1 ? "s" : "");
		result(flushed >= least && flushed <= most,
		       "MADV_DONTNEED by %d thread%s flushes %ld to %ld times", threads, threads > 1 ? "s" : "", least, most);
	}
	test_beside_zap(mix);
	test_size();
	return !!failures;
}
