// SPDX-License-Identifier: GPL-2.0
/* Owners that madvise() empties, swaps or populates the pages of. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "race.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

#define WORDS	(PAGE / sizeof(uint64_t))

static bool check_some_fresh(struct run *run)
{
	for (unsigned int i = 0; i < FILLED; i++)
		if (!check_fresh(run, filled(run, i)))
			return false;
	return true;
}

/* Which of @variants is the round's turn: each slot meets all of them. */
static unsigned int variant(const struct run *run, unsigned int variants)
{
	return (run->round + run->round / SLOTS) % variants;
}

/* ---- dontneed ---- */

static bool dontneed_round(struct run *run)
{
	size_t length = run->pages * PAGE;
	size_t step = variant(run, 2) ? length : FAULT_AROUND;
	bool gone = true;

	if (!check_some_fresh(run))
		return false;
	fill_some(run, run->round);
	if (!check_some(run, run->round))
		return false;
	for (size_t offset = 0; offset < length; offset += step)
		if (madvise(window(run) + offset, step < length - offset ? step : length - offset,
			    MADV_DONTNEED))
			return fail(run, "MADV_DONTNEED:");
	for (unsigned int i = 0; i < FILLED; i++)
		gone &= !(pagemap_entry(filled(run, i)) & (PM_PRESENT | PM_SWAP));
	if (gone)
		hit(run);
	/* What is in a shared file is not lost with the entry. */
	if (run->memory == SHMEM ? !check_some(run, run->round) : !check_some_fresh(run))
		return false;
	return drop_window(run);
}

/* ---- free ---- */

/*
 * A page may be freed while we look at it, and then reads as zeroes from there on;
 * not a word of it may come back.
 */
static bool check_freed(struct run *run, const char *addr, unsigned long round, bool *gone)
{
	const volatile uint64_t *words = (const volatile uint64_t *)addr;
	uint64_t expected[WORDS];
	bool zero = false;

	fill(run, expected, addr, round);
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t found = words[i];

		zero |= !found;
		if (found != (zero ? 0 : expected[i]))
			return fail(run, "page %zu, word %zu, round %lu: neither freed nor as it was, it is %#llx",
				    (size_t)(addr - run->area) / PAGE, i, round,
				    (unsigned long long)found);
	}
	*gone |= zero;
	return true;
}

/* Reclaim of pages that MADV_FREE marked needs no swap. */
static bool reclaim_pages(struct run *run)
{
	if (madvise(window(run), run->pages * PAGE, MADV_PAGEOUT))
		return fail(run, "MADV_PAGEOUT:");
	return true;
}

static bool free_round(struct run *run)
{
	unsigned long old = run->round * 2, new = old + 1;
	bool gone = false;

	if (!check_some_fresh(run))
		return false;
	fill_some(run, old);
	if (!check_some(run, old))
		return false;
	if (madvise(window(run), run->pages * PAGE, MADV_FREE))
		return fail(run, "MADV_FREE:");
	switch (variant(run, 4)) {
	case 0:		/* written again, it is not to be freed */
		fill_some(run, new);
		if (!reclaim_pages(run) || !check_some(run, new))
			return false;
		break;
	case 1:		/* freed by whoever wants memory, or by nobody */
		for (unsigned int i = 0; i < FILLED; i++)
			if (!check_freed(run, filled(run, i), old, &gone))
				return false;
		break;
	case 2:		/* freed, and used again */
		if (!reclaim_pages(run))
			return false;
		for (unsigned int i = 0; i < FILLED; i++)
			if (!check_freed(run, filled(run, i), old, &gone))
				return false;
		fill_some(run, new);
		if (!check_some(run, new))
			return false;
		break;
	case 3:		/* freed: the table gets empty without a call of ours */
		if (!reclaim_pages(run))
			return false;
		for (unsigned int i = 0; i < FILLED; i++)
			gone |= !(pagemap_entry(filled(run, i)) & (PM_PRESENT | PM_SWAP));
		break;
	}
	if (gone)
		hit(run);
	return drop_window(run);
}

/* ---- pageout ---- */

static bool pageout_round(struct run *run)
{
	bool swapped = false;

	if (!check_some_fresh(run))
		return false;
	fill_some(run, run->round);
	if (!reclaim_pages(run))
		return false;
	for (unsigned int i = 0; i < FILLED; i++)
		swapped |= in_swap(run, filled(run, i), 1);
	if (swapped)
		hit(run);
	/* Or thrown away where it is. */
	if (variant(run, 4) && !check_some(run, run->round))
		return false;
	return drop_window(run);
}

static bool pageout_set_up(struct run *run)
{
	uint64_t range[2] = { 0, PAGE }, counts[5];

	if (run->memory == SHMEM && syscall(SYS_cachestat, run->fd, range, counts, 0))
		return skip(run, "cachestat:");
	return true;
}

/* ---- populate ---- */

#define POPULATED	64U	/* pages */

/*
 * What takes pages of a file out of page tables, though not out of the file: reclaim,
 * and huge pages that come and go. Anything else may not undo what was populated.
 */
static unsigned long unmapped_by_others(void)
{
	static const char *const counters[] = {
		"pgscan_anon", "pgscan_file", "thp_collapse_alloc", "thp_file_alloc",
		"thp_file_mapped", "thp_split_page", "thp_split_pmd",
	};
	unsigned long sum = 0;

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		sum += read_row("/proc/vmstat", counters[i]);
	return sum;
}

/* The reclaimer may have done it. */
static bool unmapped_by_test(const struct run *run)
{
	return only_dontneed && run->memory == SHMEM;
}

static bool check_populated(struct run *run, const char *addr, int advice)
{
	uint64_t entries[POPULATED];
	unsigned long *before = run->private;
	bool may_vanish = run->memory == SHMEM ||
			  (run->memory == FILE_PRIVATE && advice == MADV_POPULATE_READ);

	if (!pagemap_entries(addr, entries, POPULATED))
		return fail(run, "/proc/self/pagemap:");
	for (unsigned int i = 0; i < POPULATED; i++) {
		if (entries[i] & (PM_PRESENT | PM_SWAP))
			continue;
		if (!may_vanish || (!unmapped_by_test(run) && unmapped_by_others() == *before))
			return fail(run, "page %zu, round %lu: %s left it out, its entry is %#llx",
				    (size_t)(addr - run->area) / PAGE + i, run->round,
				    advice == MADV_POPULATE_READ ? "MADV_POPULATE_READ" :
				    "MADV_POPULATE_WRITE", (unsigned long long)entries[i]);
		return true;
	}
	if (advice == MADV_POPULATE_WRITE)
		hit(run);
	return true;
}

static bool populate(struct run *run, char *addr, int advice)
{
	bool failed;

	do {
		let_fail(true);
		failed = madvise(addr, POPULATED * PAGE, advice);
		let_fail(false);
	} while (failed && out_of_memory() && !stopping(run));
	if (failed)
		return fail(run, "MADV_POPULATE_%s:",
			    advice == MADV_POPULATE_READ ? "READ" : "WRITE");
	return check_populated(run, addr, advice);
}

static bool populate_round(struct run *run)
{
	unsigned int blocks = (run->pages - POPULATED) / (FAULT_AROUND / PAGE) + 1;
	unsigned int first = run->round / SLOTS % blocks * (FAULT_AROUND / PAGE);
	char *addr = window_page(run, run->round % SLOTS, first);

	if (!populate(run, addr, MADV_POPULATE_READ))
		return false;
	for (unsigned int i = 0; i < POPULATED; i += 9)
		if (!check_fresh(run, addr + i * PAGE))
			return false;
	/* Into a table that has entries, or none, or is gone. */
	if (variant(run, 4) && !drop(run, addr, POPULATED * PAGE))
		return false;
	if (!populate(run, addr, MADV_POPULATE_WRITE))
		return false;
	for (unsigned int i = 0; i < POPULATED; i += 9) {
		if (!check_fresh(run, addr + i * PAGE))
			return false;
		fill(run, addr + i * PAGE, addr + i * PAGE, run->round);
	}
	for (unsigned int i = 0; i < POPULATED; i += 9)
		if (!check(run, addr + i * PAGE, addr + i * PAGE, run->round))
			return false;
	return drop(run, addr, POPULATED * PAGE);
}

/* A counter as it was, for the rounds to come. */
static bool remember(struct run *run, unsigned long number)
{
	unsigned long *before = malloc(sizeof(*before));

	if (!before)
		return fail(run, "malloc:");
	*before = number;
	run->private = before;
	return true;
}

static bool populate_set_up(struct run *run)
{
	return remember(run, unmapped_by_others());
}

static void free_private(struct run *run)
{
	free(run->private);
}

/* ---- cold ---- */

static bool cold_round(struct run *run)
{
	unsigned long *before = run->private, now;

	if (!check_some_fresh(run))
		return false;
	fill_some(run, run->round);
	if (madvise(window(run), run->pages * PAGE, MADV_COLD))
		return fail(run, "MADV_COLD:");
	if (!check_some(run, run->round))
		return false;
	/* It is counted by the dozen, and so for a round before. */
	now = read_row("/proc/vmstat", "pgdeactivate");
	if (now != *before)
		hit(run);
	*before = now;
	return drop_window(run);
}

static bool cold_set_up(struct run *run)
{
	return remember(run, read_row("/proc/vmstat", "pgdeactivate"));
}

const struct actor madvise_actors[] = {
	{
		.name = "dontneed",
		.does = "MADV_DONTNEED, in pieces and for all of a table",
		.memory = ON_ALL, .owner = true, .rounds = 50, .round = dontneed_round,
	},
	{
		.name = "free",
		.does = "MADV_FREE, and reclaims, reads or writes the pages after it",
		.memory = ON_ANON, .owner = true, .rounds = 50, .round = free_round,
	},
	{
		.name = "pageout",
		.does = "MADV_PAGEOUT, and swaps in again",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .swap = true, .rounds = 50,
		.set_up = pageout_set_up, .round = pageout_round,
	},
	{
		.name = "populate",
		.does = "MADV_POPULATE_READ and MADV_POPULATE_WRITE where no table is",
		.memory = ON_ALL, .owner = true, .scarce = true, .rounds = 50,
		.set_up = populate_set_up, .round = populate_round, .tear_down = free_private,
	},
	{
		.name = "cold",
		.does = "MADV_COLD",
		.memory = ON_ALL, .owner = true, .rounds = 50,
		.set_up = cold_set_up, .round = cold_round, .tear_down = free_private,
	},
	{ }
};
