// SPDX-License-Identifier: GPL-2.0
/*
 * What table freeing costs, for a guest under -icount shift=0 with one CPU:
 * a nanosecond of its clock is then one instruction.
 *
 * "call" figures time the system call alone. Tables are freed by RCU, so part
 * of the work runs later: "cycle" figures time whole loops, and include it, and
 * "deferred" figures are what it is, and how long it takes, in a quiet guest.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "procfs.h"

#define MANY	8192UL

/* The time of one munmap of TABLES tables, mean of REPEAT, for each table. */
static uint64_t munmap_call(size_t tables, int repeat, bool emptied)
{
	uint64_t sum = 0;
	uint64_t start;
	char *base;

	for (int i = 0; i < repeat; i++) {
		base = map(tables * TABLE);
		touch(base, tables, 0);
		if (emptied)
			empty(base, tables);
		start = now();
		unmap(base, tables * TABLE);
		sum += now() - start;
	}
	return sum / repeat / tables;
}

/* mmap, touch and munmap, for each table. */
static uint64_t munmap_cycle(size_t tables, int repeat)
{
	uint64_t start = now();
	char *base;

	for (int i = 0; i < repeat; i++) {
		base = map(tables * TABLE);
		touch(base, tables, 0);
		unmap(base, tables * TABLE);
	}
	return (now() - start) / repeat / tables;
}

/* A page at the end of the GiB, so that munmap of a part frees no PMD table. */
static void keep_neighbour(void)
{
	char *base = map(GIB);

	touch(base, 1, GIB - PAGE);
	unmap(base, GIB - PAGE);
}

static uint64_t munmap_1_call(void)
{
	keep_neighbour();
	return munmap_call(1, 4096, false);
}

static uint64_t munmap_512_call(void)
{
	return munmap_call(512, 32, false);
}

static uint64_t munmap_8192_call(void)
{
	return munmap_call(MANY, 4, false);
}

static uint64_t munmap_8192_emptied_call(void)
{
	return munmap_call(MANY, 4, true);
}

static uint64_t munmap_1_cycle(void)
{
	keep_neighbour();
	return munmap_cycle(1, 8192);
}

static uint64_t munmap_512_cycle(void)
{
	return munmap_cycle(512, 32);
}

static uint64_t munmap_8192_cycle(void)
{
	return munmap_cycle(MANY, 4);
}

static uint64_t fork_exit_cycle(void)
{
	const int repeat = 512;
	uint64_t start;
	pid_t pid;

	touch(map(64 * TABLE), 64, 0);
	start = now();
	for (int i = 0; i < repeat; i++) {
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid)
			_exit(0);
		if (waitpid(pid, NULL, 0) != pid)
			err(1, "waitpid");
	}
	return (now() - start) / repeat;
}

/* CALLS of them, each for SIZE. The median: in others RCU frees tables of calls before. */
static uint64_t median_call(char *base, size_t calls, size_t step, size_t size, int advice)
{
	static uint64_t costs[MANY];
	uint64_t start = now(), clock = now() - start;

	for (size_t i = 0; i < calls; i++) {
		start = now();
		advise(base + i * step, size, advice);
		costs[i] = now() - start - clock;
	}
	return median(costs, calls);
}

static uint64_t advice_each(char *base, int advice)
{
	return median_call(base, MANY, TABLE, TABLE, advice);
}

/* Does nothing: where bench/profile begins to count, and where it ends. */
static void mark(void)
{
	__asm__ volatile("xchg %%bx, %%bx" : : : "memory");
}

/* One call for all, for each table. */
static uint64_t advice_once(char *base, int advice)
{
	uint64_t start = now();

	mark();
	advise(base, MANY * TABLE, advice);
	mark();
	return (now() - start) / MANY;
}

static char *touched(size_t offset)
{
	char *base = map(MANY * TABLE);

	touch(base, MANY, offset);
	return base;
}

static char *emptied(void)
{
	char *base = touched(0);

	empty(base, MANY);
	return base;
}

static uint64_t dontneed_each_call(void)
{
	return advice_each(touched(0), MADV_DONTNEED);
}

static uint64_t dontneed_once_call(void)
{
	return advice_once(touched(0), MADV_DONTNEED);
}

/* Over and over, with what RCU does later and with the faults that need new tables. */
static uint64_t dontneed_loop(size_t tables, size_t pages)
{
	const int repeat = 4;
	uint64_t start = now();
	char *base = map(tables * TABLE);

	for (int i = 0; i < repeat; i++) {
		for (size_t at = 0; at < tables * TABLE; at += TABLE) {
			for (size_t page = 0; page < pages; page++)
				touch(base + at, 1, page * PAGE);
			advise(base + at, TABLE, MADV_DONTNEED);
		}
	}
	return (now() - start) / repeat / tables;
}

static uint64_t dontneed_cycle(void)
{
	return dontneed_loop(MANY, 1);
}

static uint64_t dontneed_full_cycle(void)
{
	return dontneed_loop(MANY / 128, TABLE / PAGE);
}

static uint64_t dontneed_each_empty_call(void)
{
	return advice_each(emptied(), MADV_DONTNEED);
}

static uint64_t dontneed_once_empty_call(void)
{
	return advice_once(emptied(), MADV_DONTNEED);
}

/* A page in each GiB: its PMD table is there, 511 of its tables are not. */
static char *touched_each_gib(void)
{
	char *base = map(MANY * TABLE);

	for (size_t at = 0; at < MANY * TABLE; at += GIB)
		touch(base + at, 1, 0);
	return base;
}

/* What frees no table: the next two cover none whole, the third meets none. */
static char *touched_at_both_ends(void)
{
	char *base = touched(0);

	touch(base, MANY, TABLE - PAGE);
	return base;
}

static uint64_t dontneed_page_call(void)
{
	return median_call(touched_at_both_ends(), MANY, TABLE, PAGE, MADV_DONTNEED);
}

static uint64_t dontneed_shifted_call(void)
{
	return median_call(touched_at_both_ends() + TABLE / 2, MANY - 1, TABLE, TABLE, MADV_DONTNEED);
}

/* The call for the 511 slots. */
static uint64_t dontneed_untouched_call(void)
{
	return median_call(touched_each_gib() + TABLE, MANY * TABLE / GIB, GIB, GIB - TABLE, MADV_DONTNEED);
}

/* The mapping alone, as often as there are tables elsewhere. */
static uint64_t mmap_cycle(void)
{
	uint64_t start = now();

	for (size_t i = 0; i < MANY; i++)
		unmap(map(TABLE), TABLE);
	return (now() - start) / MANY;
}

static uint64_t touch_new_table(void)
{
	char *base = map(MANY * TABLE);
	uint64_t start = now();

	touch(base, MANY, 0);
	return (now() - start) / MANY;
}

static uint64_t touch_old_table(void)
{
	char *base = emptied();
	uint64_t start = now();

	touch(base, MANY, 0);
	return (now() - start) / MANY;
}

/*
 * Empty, touch again. Each table loses its pages by halves: a MADV_DONTNEED that covers it
 * whole would free it.
 */
static uint64_t refault(size_t tables, size_t pages, bool reclaim)
{
	const int repeat = 4;
	char *base = map(tables * TABLE);
	uint64_t start;

	for (size_t page = 0; page < pages; page++)
		touch(base, tables, page * PAGE);
	start = now();
	for (int i = 0; i < repeat; i++) {
		for (size_t half = 0; half < 2 * tables; half++)
			advise(base + half * TABLE / 2, TABLE / 2, MADV_DONTNEED);
		if (reclaim)
			advise(base, tables * TABLE, MADV_RECLAIM_PT);
		for (size_t page = 0; page < pages; page++)
			touch(base, tables, page * PAGE);
	}
	return (now() - start) / repeat / tables;
}

static uint64_t refault_cycle(void)
{
	return refault(MANY, 1, false);
}

static uint64_t refault_full_cycle(void)
{
	return refault(MANY / 128, TABLE / PAGE, false);
}

static uint64_t reclaim_refault_cycle(void)
{
	return refault(MANY, 1, true);
}

static uint64_t reclaim_refault_full_cycle(void)
{
	return refault(MANY / 128, TABLE / PAGE, true);
}

static long long page_tables_kb(void)
{
	long long kb = procfs_meminfo("PageTables");

	if (kb < 0)
		err(1, "PageTables");
	return kb;
}

#define LOOKS		4096
#define UNCOUNTED_KB	512	/* that the counters of a CPU keep to themselves, at most */
#define MOST_NS		10000000000ULL
#define DEFERRALS	5

/* Of which each is the median of as many calls: others have work for the CPU meanwhile. */
struct deferred {
	uint64_t time, work;
};

/*
 * From the end of the call until PageTables has dropped. The guest is never idle, as it looks
 * all the time: what that costs, ticks included, is known from before the call.
 */
static struct deferred deferred_once(void (*call)(char *base))
{
	char *base = emptied();
	struct deferred result;
	uint64_t start = now(), look, looks = 1;
	long long limit = 0;

	for (int i = 0; i < LOOKS; i++)
		limit = page_tables_kb() - MANY * PAGE / 1024 + UNCOUNTED_KB;
	look = (now() - start) / LOOKS;

	call(base);
	for (start = now(); page_tables_kb() > limit; looks++)
		if (now() - start > MOST_NS)
			errx(1, "PageTables has not dropped by the tables freed in %llu s",
			     MOST_NS / 1000000000);
	result.time = now() - start;
	result.work = result.time > looks * look ? result.time - looks * look : 0;
	result.work /= MANY;
	unmap(base, MANY * TABLE);	/* in case that is not done */
	return result;
}

static struct deferred deferred(void (*call)(char *base))
{
	uint64_t times[DEFERRALS], works[DEFERRALS];

	for (int i = 0; i < DEFERRALS; i++) {
		struct deferred once = deferred_once(call);

		times[i] = once.time;
		works[i] = once.work;
	}
	return (struct deferred){ median(times, DEFERRALS), median(works, DEFERRALS) };
}

static void unmap_many(char *base)
{
	unmap(base, MANY * TABLE);
}

static void reclaim_many(char *base)
{
	advise(base, MANY * TABLE, MADV_RECLAIM_PT);
}

static uint64_t munmap_deferred_time(void)
{
	return deferred(unmap_many).time;
}

static uint64_t munmap_deferred_work(void)
{
	return deferred(unmap_many).work;
}

static uint64_t reclaim_deferred_time(void)
{
	return deferred(reclaim_many).time;
}

static uint64_t reclaim_deferred_work(void)
{
	return deferred(reclaim_many).work;
}

static uint64_t reclaim_once_empty_call(void)
{
	return advice_once(emptied(), MADV_RECLAIM_PT);
}

static uint64_t reclaim_each_empty_call(void)
{
	return advice_each(emptied(), MADV_RECLAIM_PT);
}

static uint64_t reclaim_first_entry_call(void)
{
	return advice_once(touched(0), MADV_RECLAIM_PT);
}

static uint64_t reclaim_last_entry_call(void)
{
	return advice_once(touched(TABLE - PAGE), MADV_RECLAIM_PT);
}

static uint64_t reclaim_absent_call(void)
{
	return advice_once(touched_each_gib(), MADV_RECLAIM_PT);
}

static uint64_t reclaim_untouched_55t_call(void)
{
	char *base = map(55 * TIB);
	uint64_t start = now();

	advise(base, 55 * TIB, MADV_RECLAIM_PT);
	return now() - start;
}

#define COST(function) { #function, function }

static const struct {
	const char *name;
	uint64_t (*measure)(void);
} costs[] = {
	COST(munmap_1_call),
	COST(munmap_512_call),
	COST(munmap_8192_call),
	COST(munmap_8192_emptied_call),
	COST(munmap_deferred_work),
	COST(munmap_deferred_time),
	COST(munmap_1_cycle),
	COST(munmap_512_cycle),
	COST(munmap_8192_cycle),
	COST(fork_exit_cycle),
	COST(dontneed_each_call),
	COST(dontneed_once_call),
	COST(dontneed_each_empty_call),
	COST(dontneed_cycle),
	COST(dontneed_full_cycle),
	COST(dontneed_once_empty_call),
	COST(dontneed_page_call),
	COST(dontneed_shifted_call),
	COST(dontneed_untouched_call),
	COST(mmap_cycle),
	COST(touch_new_table),
	COST(touch_old_table),
	COST(refault_cycle),
	COST(refault_full_cycle),
	COST(reclaim_once_empty_call),
	COST(reclaim_deferred_work),
	COST(reclaim_deferred_time),
	COST(reclaim_each_empty_call),
	COST(reclaim_first_entry_call),
	COST(reclaim_last_entry_call),
	COST(reclaim_absent_call),
	COST(reclaim_untouched_55t_call),
	COST(reclaim_refault_cycle),
	COST(reclaim_refault_full_cycle),
};

/* All rows, or those that are named. */
static bool chosen(const char *name, char **names)
{
	bool found = !*names;

	while (*names)
		found |= !strcmp(name, *names++);
	return found;
}

int main(int argc, char **argv)
{
	bool supported = reclaim_pt_supported();
	int failed = 0;
	int status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		if (argc && !chosen(costs[i].name, argv + 1))
			continue;
		if (!supported && !strncmp(costs[i].name, "reclaim_", 8)) {
			dprintf(1, "%s unsupported\n", costs[i].name);
			continue;
		}
		/* An mm of its own each, so that none inherits another's tables. */
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			dprintf(1, "%s %llu\n", costs[i].name,
				(unsigned long long)costs[i].measure());
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid)
			err(1, "waitpid");
		if (status) {
			warnx("%s failed, status %#x", costs[i].name, status);
			failed = 1;
		}
	}
	return failed;
}
