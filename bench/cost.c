// SPDX-License-Identifier: GPL-2.0
/*
 * What table freeing costs, for a guest under -icount shift=0 with one CPU:
 * a nanosecond of its clock is then one instruction.
 *
 * "call" figures time the system call alone. Tables are freed by RCU, so part
 * of the work runs later: "cycle" figures time whole loops, and include it.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "procfs.h"

#define PAGE	4096UL
#define TABLE	(2UL << 20)	/* what one PTE table maps */
#define GIB	(1UL << 30)
#define TIB	(1UL << 40)
#define MANY	8192UL

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* PMD tables are per GiB: with the same alignment every run needs as many. */
static char *map(size_t size)
{
	static char *where = (char *)(16 * TIB);
	char *base = mmap(where, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (base != where)
		err(1, "mmap of %zu bytes at %p", size, where);
	if (madvise(base, size, MADV_NOHUGEPAGE))
		err(1, "MADV_NOHUGEPAGE");
	return base;
}

static void unmap(char *base, size_t size)
{
	if (munmap(base, size))
		err(1, "munmap");
}

static void advise(char *base, size_t size, int advice)
{
	if (madvise(base, size, advice))
		err(1, "madvise %d", advice);
}

static void touch(char *base, size_t tables, size_t offset)
{
	for (size_t i = 0; i < tables; i++)
		((volatile char *)base)[i * TABLE + offset] = 1;
}

/* The page alone: a DONTNEED of the whole 2 MiB may free the table. */
static void empty(char *base, size_t tables)
{
	for (size_t i = 0; i < tables; i++)
		advise(base + i * TABLE, PAGE, MADV_DONTNEED);
}

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

/* ADVICE over MANY tables, in one call or one for each; the time for each table. */
static uint64_t advice_call(char *base, int advice, bool one_by_one)
{
	uint64_t start = now();

	if (one_by_one)
		for (size_t i = 0; i < MANY; i++)
			advise(base + i * TABLE, TABLE, advice);
	else
		advise(base, MANY * TABLE, advice);
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
	return advice_call(touched(0), MADV_DONTNEED, true);
}

static uint64_t dontneed_once_call(void)
{
	return advice_call(touched(0), MADV_DONTNEED, false);
}

static uint64_t dontneed_each_empty_call(void)
{
	return advice_call(emptied(), MADV_DONTNEED, true);
}

static uint64_t dontneed_once_empty_call(void)
{
	return advice_call(emptied(), MADV_DONTNEED, false);
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

static uint64_t reclaim_once_empty_call(void)
{
	return advice_call(emptied(), MADV_RECLAIM_PT, false);
}

static uint64_t reclaim_each_empty_call(void)
{
	return advice_call(emptied(), MADV_RECLAIM_PT, true);
}

static uint64_t reclaim_first_entry_call(void)
{
	return advice_call(touched(0), MADV_RECLAIM_PT, false);
}

static uint64_t reclaim_last_entry_call(void)
{
	return advice_call(touched(TABLE - PAGE), MADV_RECLAIM_PT, false);
}

/* A page in each GiB: its PMD table is there, 511 of its tables are not. */
static uint64_t reclaim_absent_call(void)
{
	char *base = map(MANY * TABLE);

	for (size_t at = 0; at < MANY * TABLE; at += GIB)
		touch(base + at, 1, 0);
	return advice_call(base, MADV_RECLAIM_PT, false);
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
	COST(munmap_1_cycle),
	COST(munmap_512_cycle),
	COST(munmap_8192_cycle),
	COST(fork_exit_cycle),
	COST(dontneed_each_call),
	COST(dontneed_once_call),
	COST(dontneed_each_empty_call),
	COST(dontneed_once_empty_call),
	COST(touch_new_table),
	COST(touch_old_table),
	COST(reclaim_once_empty_call),
	COST(reclaim_each_empty_call),
	COST(reclaim_first_entry_call),
	COST(reclaim_last_entry_call),
	COST(reclaim_absent_call),
	COST(reclaim_untouched_55t_call),
};

int main(void)
{
	bool supported = reclaim_pt_supported();
	int failed = 0;
	int status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
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
