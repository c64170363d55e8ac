// SPDX-License-Identifier: GPL-2.0
/*
 * counters: what MADV_RECLAIM_PT says about its work is exact. The rows of /proc/vmstat and the
 * tracepoint, table by table; VmPTE at once; PageTables and the memcg's pagetables when the
 * grace period is over, also where the task changed its memcg in between, or ended. The guest
 * must be quiet. KTAP output; run as root. The kernel's own check, "non-zero pgtables_bytes",
 * makes vm/run fail.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "../../bench/procfs.h"
#include "ktap.h"
#include "tracefs.h"

#define PAGE		4096UL
#define TABLE		(2UL << 20)	/* what one PTE table maps */
#define TABLES		1000L
#define USED		100L		/* of them */
#define KB		4L		/* in a table */
#define ROOT		"/sys/fs/cgroup"
#define POLLS		30000		/* one every 10 ms: a deferrable work is behind them */
#define CHARGE_NOISE	1200L		/* kB that each CPU keeps charged for the next page */
#define NOISE		400L		/* kB of page tables that come and go elsewhere */

static char *area;

static long vmpte(pid_t pid)
{
	return procfs_kb(pid, "status", "VmPTE");
}

/* At the start of a PMD table, and with one page of a GiB that stays: upper tables do not count. */
static void map_area(void)
{
	size_t size = (TABLES + 1) * TABLE;

	area = mmap((void *)(1UL << 40), size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	must(area == (char *)(1UL << 40), "mmap");
	must(!madvise(area, size, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	area[0] = 1;
	area[TABLES / 2 * TABLE] = 1;
	area[TABLES * TABLE] = 1;
	must(!madvise(area, TABLES * TABLE, MADV_DONTNEED), "MADV_DONTNEED");
	must(!madvise(area, TABLES * TABLE, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
}

static void populate(void)
{
	for (long i = 0; i < TABLES; i++)
		*(volatile char *)(area + i * TABLE) = 1;
}

/* The one page of it: MADV_DONTNEED of 2 MiB would free the table. */
static void empty(long table)
{
	must(!madvise(area + table * TABLE, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
}

/* All but USED of the tables, evenly spread. */
static void empty_most(void)
{
	for (long i = 0; i < TABLES; i++)
		if (i % (TABLES / USED))
			empty(i);
}

static void empty_all(void)
{
	for (long i = 0; i < TABLES; i++)
		empty(i);
}

static void reclaim(void)
{
	must(!madvise(area, TABLES * TABLE, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
}

struct counts {
	long long scanned, freed;
	long vmpte;
};

static struct counts counts_now(void)
{
	return (struct counts){ procfs_vmstat("pt_reclaim_scanned"),
				procfs_vmstat("pt_reclaim_freed"), vmpte(getpid()) };
}

/* GONE tables, of which the advice or MADV_DONTNEED, as we have it, FREED so many. */
static void expect_counts(const char *what, struct counts before, long scanned, long freed,
			  long gone)
{
	struct counts now = counts_now();

	now.scanned -= before.scanned;
	now.freed -= before.freed;
	now.vmpte -= before.vmpte;
	printf("# %s: scanned %lld, freed %lld, VmPTE %+ld kB\n", what, now.scanned, now.freed,
	       now.vmpte);
	result(now.scanned == scanned, "%s: %ld tables are scanned", what, scanned);
	result(now.freed == freed, "%s: %ld tables are freed", what, freed);
	result(now.vmpte == -gone * KB, "%s: VmPTE drops by %ld tables, at once", what,
	       gone);
}

static void test_vmstat(void)
{
	long counted = dontneed_frees_shared_table() ? TABLES - 1 : 0;
	struct counts before;

	populate();
	before = counts_now();
	reclaim();
	expect_counts("all in use", before, TABLES, 0, 0);

	empty_most();
	before = counts_now();
	reclaim();
	expect_counts("most are empty", before, TABLES, TABLES - USED, TABLES - USED);

	before = counts_now();
	reclaim();
	expect_counts("again", before, USED, 0, 0);

	empty_all();
	before = counts_now();
	must(!madvise(area + TABLE - PAGE, (TABLES - 1) * TABLE, MADV_RECLAIM_PT),
	     "MADV_RECLAIM_PT");
	expect_counts("one page more, then a table less one page", before, USED, USED, USED);

	populate();
	before = counts_now();
	must(!madvise(area, TABLES * TABLE - PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	expect_counts("MADV_DONTNEED of a page less", before, counted, counted, TABLES - 1);
	reclaim();
}

/* The events of one call, as many as are wanted at most. */
#define EVENTS 8

struct events {
	int count;
	struct {
		int pid;
		long long start, end, scanned, freed, ret;
		char mm[32];
	} event[EVENTS];
};

static void take_event(const struct trace_event *event, void *data)
{
	struct events *events = data;
	int i = events->count++;

	if (i >= EVENTS)
		return;
	events->event[i].pid = event->pid;
	events->event[i].start = trace_field(event, "start=");
	events->event[i].end = trace_field(event, "end=");
	events->event[i].scanned = trace_field(event, "scanned=");
	events->event[i].freed = trace_field(event, "freed=");
	events->event[i].ret = trace_field(event, "ret=");
	must(sscanf(event->fields, "mm=%31s", events->event[i].mm) == 1, "mm");
}

static bool event_is(const struct events *events, int i, const struct iovec *range, long scanned,
		     long freed, int ret)
{
	long long start = (uintptr_t)range->iov_base, end = start + range->iov_len;

	if (i < events->count && i < EVENTS && events->event[i].start == start &&
	    events->event[i].end == end && events->event[i].scanned == scanned &&
	    events->event[i].freed == freed && events->event[i].ret == ret &&
	    events->event[i].pid == gettid())
		return true;
	if (i < events->count && i < EVENTS)
		printf("# event: pid %d start %#llx end %#llx scanned %lld freed %lld ret %lld\n",
		       events->event[i].pid, events->event[i].start, events->event[i].end,
		       events->event[i].scanned, events->event[i].freed, events->event[i].ret);
	printf("# expected: pid %d start %#llx end %#llx scanned %ld freed %ld ret %d\n",
	       gettid(), start, end, scanned, freed, ret);
	return false;
}

static long send_ranges(pid_t pid, const struct iovec *ranges, int count)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	long ret;

	must(pidfd >= 0, "pidfd_open");
	ret = syscall(SYS_process_madvise, pidfd, ranges, count, MADV_RECLAIM_PT, 0);
	close(pidfd);
	return ret;
}

/*
 * The area is empty but for a page in each tenth table. The third range ends in a hole, and the
 * fourth is not looked at; the second, an empty one, is no range.
 */
static void test_vector(void)
{
	struct iovec ranges[] = {
		{ area, 20 * TABLE },
		{ area + 20 * TABLE, 0 },
		{ area + 20 * TABLE + PAGE, 20 * TABLE - PAGE },
		{ area + (TABLES - 10) * TABLE, 12 * TABLE },
		{ area + 50 * TABLE, TABLE },
	};
	struct events events = {};
	long ret;

	populate();
	empty_most();
	trace_start();
	ret = send_ranges(getpid(), ranges, 5);
	trace_stop(take_event, &events);
	result(ret == 40 * (long)TABLE - (long)PAGE, "vector: the ranges before the hole are done");
	result(events.count == 3, "vector: %d events, expected 3", events.count);
	result(event_is(&events, 0, &ranges[0], 20, 18, 0), "vector: the first range");
	result(event_is(&events, 1, &ranges[2], 20, 18, 0), "vector: one from inside a table");
	result(event_is(&events, 2, &ranges[3], 11, 9, -ENOMEM), "vector: one with a hole");
	result(!strcmp(events.event[0].mm, events.event[1].mm), "vector: of one mm");
}

/* Of a child, whose tables are the ones that count. */
static void test_other_process(void)
{
	struct iovec range = { area, TABLES * TABLE };
	struct events events = {};
	int ready[2];
	char byte;
	pid_t pid;

	reclaim();
	must(!pipe(ready), "pipe");
	pid = fork();
	must(pid >= 0, "fork");
	if (!pid) {
		populate();
		empty_all();
		must(write(ready[1], "", 1) == 1, "write");
		pause();
		_exit(0);
	}
	must(read(ready[0], &byte, 1) == 1, "read");
	trace_start();
	reclaim();
	must(send_ranges(pid, &range, 1) == TABLES * (long)TABLE, "process_madvise");
	trace_stop(take_event, &events);
	must(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid, "kill");
	close(ready[0]);
	close(ready[1]);
	result(events.count == 2, "other process: an event for it and one for us");
	result(event_is(&events, 0, &range, USED, 0, 0), "other process: our tables");
	result(event_is(&events, 1, &range, TABLES, TABLES, 0), "other process: the child's");
	result(strcmp(events.event[0].mm, events.event[1].mm), "other process: another mm");
}

static void test_errors_without_event(void)
{
	struct events events = {};

	trace_start();
	must(madvise(area + 1, TABLE, MADV_RECLAIM_PT) == -1 && !madvise(area, 0, MADV_RECLAIM_PT),
	     "madvise");
	trace_stop(take_event, &events);
	result(!events.count, "no event for a call without a range");
}

/* The number of polls until FIGURE(data) is at most LIMIT; POLLS if it never is. */
static int polls_until(long (*figure)(const void *data), const void *data, long limit, long *last)
{
	const struct timespec interval = { .tv_nsec = 10000000 };
	int i;

	for (i = 0; i < POLLS; i++) {
		*last = figure(data);
		if (*last >= 0 && *last <= limit)
			break;
		nanosleep(&interval, NULL);
	}
	return i;
}

static void expect_figure(const char *what, long (*figure)(const void *data), const void *data,
			  long limit)
{
	long last;
	int polls = polls_until(figure, data, limit, &last);

	printf("# %s: %ld kB of at most %ld after %d polls\n", what, last, limit, polls);
	result(polls < POLLS, "%s", what);
}

static long meminfo_tables(const void *data)
{
	(void)data;
	return procfs_kb(getpid(), "../meminfo", "PageTables");
}

static void group_path(char *path, size_t size, const char *group, const char *file)
{
	snprintf(path, size, ROOT "/%s/%s", group, file);
}

/* In kB. */
static long group_kb(const char *group, const char *name, const char *format)
{
	char path[128], line[128];
	long long bytes = -1;
	FILE *file;

	group_path(path, sizeof(path), group, name);
	file = fopen(path, "re");
	must(file, path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, format, &bytes) == 1)
			break;
	fclose(file);
	return bytes < 0 ? -1 : bytes / 1024;
}

static long group_tables(const void *group)
{
	return group_kb(group, "memory.stat", "pagetables %lld");
}

static long group_charge(const void *group)
{
	return group_kb(group, "memory.current", "%lld");
}

static void make_group(const char *group)
{
	char path[128];

	group_path(path, sizeof(path), group, "");
	must(!mkdir(path, 0755), path);
}

static void remove_group(const char *group)
{
	char path[128];

	group_path(path, sizeof(path), group, "");
	must(!rmdir(path), path);
}

static void enter_group(const char *group)
{
	char path[128];
	int fd;

	group_path(path, sizeof(path), group, "cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && write(fd, "0", 1) == 1, path);
	close(fd);
}

static void test_meminfo(long quiet)
{
	long full;

	populate();
	full = meminfo_tables(NULL);
	result(full >= quiet + TABLES * KB - NOISE, "PageTables: %ld kB more", full - quiet);
	empty_all();
	reclaim();
	expect_figure("PageTables: they come back", meminfo_tables, NULL, quiet + NOISE);
}

/* A child does one thing after the other when it is told to. */
struct child {
	pid_t pid;
	int order[2], done[2];
};

enum { EMPTY_AND_RECLAIM = 'r', POPULATE = 'p', MOVE = 'm', EXIT = 'x' };

static void obey(struct child *child, const char *groups[2])
{
	char order;

	enter_group(groups[0]);
	for (;;) {
		must(read(child->order[0], &order, 1) == 1, "read");
		switch (order) {
		case POPULATE:
			populate();
			break;
		case MOVE:
			enter_group(groups[1]);
			break;
		case EMPTY_AND_RECLAIM:
			empty_all();
			reclaim();
			break;
		case EXIT:
			_exit(0);
		}
		must(write(child->done[1], &order, 1) == 1, "write");
	}
}

static void start_child(struct child *child, const char *groups[2])
{
	must(!pipe(child->order) && !pipe(child->done), "pipe");
	child->pid = fork();
	must(child->pid >= 0, "fork");
	if (!child->pid)
		obey(child, groups);
}

static void tell(struct child *child, char order)
{
	must(write(child->order[1], &order, 1) == 1, "write");
	if (order != EXIT)
		must(read(child->done[0], &order, 1) == 1, "read");
}

static void end_child(struct child *child)
{
	int status;

	tell(child, EXIT);
	must(waitpid(child->pid, &status, 0) == child->pid, "waitpid");
	result(!status, "memcg: the child ends well");
	for (int i = 0; i < 2; i++) {
		close(child->order[i]);
		close(child->done[i]);
	}
}

/*
 * Charges stay where they were made: the tables of the first group are uncharged there, when the
 * task is a member of the second. A batch of statistics may be late by some pages and seconds.
 */
static void test_memcg_move(void)
{
	const char *groups[2] = { "counters.old", "counters.new" };
	struct child child;
	long tables = TABLES * KB;

	make_group(groups[0]);
	make_group(groups[1]);
	start_child(&child, groups);
	tell(&child, POPULATE);
	result(group_tables(groups[0]) >= tables - NOISE, "memcg: the tables are charged");
	tell(&child, MOVE);
	tell(&child, EMPTY_AND_RECLAIM);
	expect_figure("memcg, moved: the old group has its tables back", group_tables, groups[0],
		      NOISE);
	expect_figure("memcg, moved: the new group pays for none", group_tables, groups[1], NOISE);
	tell(&child, POPULATE);
	result(group_tables(groups[1]) >= tables - NOISE, "memcg, moved: it pays for new ones");
	end_child(&child);
	expect_figure("memcg, after exit: no table in the old group", group_tables, groups[0], 0);
	expect_figure("memcg, after exit: no table in the new group", group_tables, groups[1], 0);
	expect_figure("memcg, after exit: no charge in the old group", group_charge, groups[0],
		      CHARGE_NOISE);
	expect_figure("memcg, after exit: no charge in the new group", group_charge, groups[1],
		      CHARGE_NOISE);
	remove_group(groups[0]);
	remove_group(groups[1]);
}

int main(void)
{
	long quiet = meminfo_tables(NULL);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!reclaim_pt_supported())
		errx(1, "this kernel has no MADV_RECLAIM_PT");
	printf("TAP version 13\n1..37\n");
	map_area();
	test_vmstat();
	trace_write("events/pt_reclaim/mm_pt_reclaim/enable", "1");
	test_vector();
	test_other_process();
	test_errors_without_event();
	trace_write("events/pt_reclaim/mm_pt_reclaim/enable", "0");
	test_meminfo(quiet);
	test_memcg_move();
	return !!failures;
}
