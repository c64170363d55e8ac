// SPDX-License-Identifier: GPL-2.0
/* The kernel moves, merges, swaps out or loses pages: reverse mappings lead to tables. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "race.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

#define VMSTAT		"/proc/vmstat"
#define KSM		"/sys/kernel/mm/ksm/"
#define BALANCING	"/sys/kernel/debug/sched/numa_balancing/"
#define UNPOISON	"/sys/kernel/debug/hwpoison/unpoison-pfn"

/* ---- pageout-all ---- */

static bool page_out(struct run *run)
{
	/* An owner may have unmapped a part of its window, or locked it. */
	for (char *slot = run->area; slot < run->area + AREA; slot += SLOT)
		if (madvise(slot, SLOT, MADV_PAGEOUT) && errno != ENOMEM && errno != EINVAL)
			return fail(run, "MADV_PAGEOUT:");
	return true;
}

static bool pageout_all_round(struct run *run)
{
	unsigned long before = read_row(VMSTAT, "pswpout");

	if (!page_out(run))
		return false;
	if (read_row(VMSTAT, "pswpout") > before)
		hit(run);
	return true;
}

/* ---- swap: swapoff brings back what is swapped out, table by table ---- */

struct swap {
	char device[128];
	bool off;
};

static bool swap_set_up(struct run *run)
{
	struct swap *swap = calloc(1, sizeof(*swap));
	FILE *file = fopen("/proc/swaps", "r");
	char line[256];

	run->private = swap;
	/* The last one is the driver's. */
	while (swap && file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "/dev/zram", 9))
			sscanf(line, "%127s", swap->device);
	if (file)
		fclose(file);
	if (!swap || !swap->device[0])
		return skip(run, "there is no swap space");
	return true;
}

static void swap_tear_down(struct run *run)
{
	struct swap *swap = run->private;

	if (swap && swap->off)
		swapon(swap->device, 0);
	free(swap);
}

static bool swap_round(struct run *run)
{
	struct swap *swap = run->private;
	unsigned long out = read_row(VMSTAT, "pswpout"), in;

	if (!page_out(run))
		return false;
	out = read_row(VMSTAT, "pswpout") - out;
	in = read_row(VMSTAT, "pswpin");
	if (swapoff(swap->device)) {
		/* No room for what is swapped out. */
		if (errno != ENOMEM)
			return fail(run, "swapoff:");
		return true;
	}
	swap->off = true;
	in = read_row(VMSTAT, "pswpin") - in;
	if (swapon(swap->device, 0))
		return fail(run, "swapon:");
	swap->off = false;
	if (out && in)
		hit(run);
	return true;
}

/* ---- ksm: pages of the same contents become one ---- */

#define TWINS		16	/* pages of a slot */
#define KSM_WAITS	30

static const struct setting ksm_settings[] = {
	{ .path = KSM "smart_scan", .value = "0" },
	{ .path = KSM "advisor_mode", .value = "none", .optional = true },
	{ .path = KSM "sleep_millisecs", .value = "0" },
	{ .path = KSM "pages_to_scan", .value = "2000" },
	{ .path = KSM "run", .value = "1" },
};

#define NR_KSM	(sizeof(ksm_settings) / sizeof(*ksm_settings))

static bool ksm_set_up(struct run *run)
{
	run->private = change_settings(run, ksm_settings, NR_KSM);
	return run->private;
}

static void ksm_tear_down(struct run *run)
{
	change_back(run->private, NR_KSM);
}

/* All twins hold the same: contents of the slot's first page. */
static const char *twin_contents(const struct run *run, unsigned int slot)
{
	return window_page(run, slot, 0);
}

static char *twin(const struct run *run, unsigned int slot, unsigned int i)
{
	return window_page(run, slot, (run->round / SLOTS * 3 + i * 7) % run->pages);
}

static bool merged(const struct run *run, unsigned int slot)
{
	uint64_t first = pagemap_entry(twin(run, slot, 0));
	uint64_t last = pagemap_entry(twin(run, slot, TWINS - 1));

	return first & last & PM_PRESENT && !((first ^ last) & PFN_MASK);
}

static bool check_twins(struct run *run, unsigned int slot, unsigned int from)
{
	for (unsigned int i = from; i < TWINS; i++)
		if (!check(run, twin(run, slot, i), twin_contents(run, slot), run->round))
			return false;
	return true;
}

static bool ksm_round(struct run *run)
{
	const struct timespec interval = { .tv_nsec = 1000000 };
	unsigned int slot = run->round % SLOTS;

	/* In each round: it is forgotten when the memory is mapped anew. */
	if (madvise(window(run), run->pages * PAGE, MADV_MERGEABLE))
		return fail(run, "MADV_MERGEABLE:");
	for (unsigned int i = 0; i < TWINS; i++)
		fill(run, twin(run, slot, i), twin_contents(run, slot), run->round);
	for (int i = 0; i < KSM_WAITS && !stopping(run) && !merged(run, slot); i++)
		nanosleep(&interval, NULL);
	if (merged(run, slot))
		hit(run);
	if (!check_twins(run, slot, 0))
		return false;
	/* A write takes one page out; it must not show in the others. */
	fill(run, twin(run, slot, 0), twin(run, slot, 0), run->round + 1);
	return check_twins(run, slot, 1) &&
	       check(run, twin(run, slot, 0), twin(run, slot, 0), run->round + 1) &&
	       drop_window(run);
}

/* ---- compact ---- */

/* Few pages that a CPU keeps for itself: with one CPU these would be all the gaps. */
static const struct setting compact_settings[] = {
	{ .path = "/proc/sys/vm/percpu_pagelist_high_fraction", .value = "1000000" },
};

static bool compact_set_up(struct run *run)
{
	run->private = change_settings(run, compact_settings, 1);
	return run->private;
}

static void compact_tear_down(struct run *run)
{
	change_back(run->private, 1);
}

/* Pages with a gap behind each, or there is nothing to compact. */
static bool scatter(struct run *run)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		if (madvise(window_page(run, slot, 0), run->pages * PAGE, MADV_NOHUGEPAGE) &&
		    errno != EINVAL)
			return fail(run, "MADV_NOHUGEPAGE:");
		for (unsigned int i = 0; i < run->pages; i++)
			fill(run, window_page(run, slot, i), window_page(run, slot, i), run->round);
	}
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		for (unsigned int i = 1; i < run->pages; i += 2)
			if (madvise(window_page(run, slot, i), PAGE,
				    run->memory == SHMEM ? MADV_REMOVE : MADV_DONTNEED))
				return fail(run, "cannot empty a page:");
	return true;
}

/* What was filled is intact, and some of it where it was not before. */
static bool check_moved(struct run *run, uint64_t before[SLOTS][SLOT_PAGES], bool *moved)
{
	uint64_t after[SLOT_PAGES];

	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		if (!pagemap_entries(window_page(run, slot, 0), after, run->pages))
			return fail(run, "/proc/self/pagemap:");
		for (unsigned int i = 0; i < run->pages; i += 2) {
			char *page = window_page(run, slot, i);

			if (!check(run, page, page, run->round))
				return false;
			*moved |= before[slot][i] & after[i] & PM_PRESENT &&
				  (before[slot][i] ^ after[i]) & PFN_MASK;
		}
	}
	return true;
}

static bool compact_round(struct run *run)
{
	static uint64_t before[SLOTS][SLOT_PAGES];
	bool moved = false;

	if (!scatter(run))
		return false;
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (!pagemap_entries(window_page(run, slot, 0), before[slot], run->pages))
			return fail(run, "/proc/self/pagemap:");
	if (!write_to("/proc/sys/vm/compact_memory", "1"))
		return fail(run, "cannot write to compact_memory:");
	if (!check_moved(run, before, &moved))
		return false;
	if (moved)
		hit(run);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (!drop(run, window_page(run, slot, 0), run->pages * PAGE))
			return false;
	return true;
}

/* ---- between nodes: needs two of them, as numa=fake=2 makes ---- */

static bool nodes_set_up(struct run *run)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		return skip(run, "there is only one NUMA node; boot with numa=fake=2");
	return true;
}

/* Moves pages of every slot in turn, which are found by their addresses. */
static bool move_pages_round(struct run *run)
{
	char *slot = run->area + run->round / 2 % SLOTS * SLOT;
	int target = run->round % 2, targets[SLOT_PAGES];
	int before[SLOT_PAGES], after[SLOT_PAGES];
	void *pages[SLOT_PAGES];
	bool moved = false;

	for (unsigned int i = 0; i < SLOT_PAGES; i++) {
		pages[i] = slot + i * PAGE;
		targets[i] = target;
		before[i] = after[i] = -EBUSY;
	}
	if (syscall(SYS_move_pages, 0, SLOT_PAGES, pages, NULL, before, 0))
		return fail(run, "move_pages, which only asks:");
	/*
	 * The status of each page tells what became of it. ENOENT is: all of them are
	 * where they should be or not there; a positive number could not be moved.
	 */
	if (syscall(SYS_move_pages, 0, SLOT_PAGES, pages, targets, after, MPOL_MF_MOVE) < 0 &&
	    errno != ENOENT && errno != EBUSY && errno != ENOMEM)
		return fail(run, "move_pages:");
	for (unsigned int i = 0; i < SLOT_PAGES; i++)
		moved |= before[i] == !target && after[i] == target;
	if (moved)
		hit(run);
	return true;
}

/* By way of the policy of the area's mappings. */
static bool numa_round(struct run *run)
{
	unsigned long before = read_row(VMSTAT, "pgmigrate_success");
	unsigned long nodes = 1UL << run->round % 2;

	/* A part can be unmapped; a page can be in use. */
	if (syscall(SYS_mbind, run->area, AREA, MPOL_PREFERRED, &nodes, 8 * sizeof(nodes),
		    MPOL_MF_MOVE) && errno != EFAULT && errno != EIO && errno != ENOMEM)
		return fail(run, "mbind:");
	if (read_row(VMSTAT, "pgmigrate_success") > before)
		hit(run);
	return true;
}

/* So that owners that need mappings of the same kind find them. */
static void numa_tear_down(struct run *run)
{
	syscall(SYS_mbind, run->area, AREA, MPOL_DEFAULT, NULL, 0, 0);
}

/* All pages of this process. */
static bool migrate_round(struct run *run)
{
	unsigned long before = read_row(VMSTAT, "pgmigrate_success");
	unsigned long from = 1UL << run->round % 2, to = from ^ 3;

	/* A positive number is the pages that could not be moved. */
	if (syscall(SYS_migrate_pages, 0, 8 * sizeof(from), &from, &to) < 0 &&
	    errno != EBUSY && errno != ENOMEM)
		return fail(run, "migrate_pages:");
	if (read_row(VMSTAT, "pgmigrate_success") > before)
		hit(run);
	return true;
}

/* ---- numa-hint: tables' entries lose their access now and then ---- */

/* Without CONFIG_SCHED_DEBUG it is done once a second. */
static const struct setting hint_settings[] = {
	{ .path = BALANCING "scan_delay_ms", .value = "1", .optional = true },
	{ .path = BALANCING "scan_period_min_ms", .value = "1", .optional = true },
	{ .path = BALANCING "scan_period_max_ms", .value = "1", .optional = true },
	{ .path = "/proc/sys/kernel/numa_balancing", .value = "1" },
};

#define NR_HINT	(sizeof(hint_settings) / sizeof(*hint_settings))

static bool hint_set_up(struct run *run)
{
	if (!nodes_set_up(run))
		return false;
	run->private = change_settings(run, hint_settings, NR_HINT);
	return run->private;
}

static void hint_tear_down(struct run *run)
{
	change_back(run->private, NR_HINT);
}

/* The threads do it themselves on their way back to user mode, once a tick. */
static bool hint_round(struct run *run)
{
	const struct timespec interval = { .tv_nsec = 1000000 };
	unsigned long before = read_row(VMSTAT, "numa_pte_updates");

	for (int i = 0; i < 20 && !stopping(run); i++) {
		nanosleep(&interval, NULL);
		if (read_row(VMSTAT, "numa_pte_updates") > before) {
			hit(run);
			break;
		}
	}
	return true;
}

/* ---- offline, poison: a page is taken out of use; what it held is moved, or lost ---- */

static bool inject_set_up(struct run *run)
{
	if (access(UNPOISON, W_OK))
		return skip(run, "the kernel has no %s", UNPOISON);
	return true;
}

/* The kernel may use the page again. It is too late if somebody has got it already. */
static bool give_back(struct run *run, uint64_t entry)
{
	if (!write_to(UNPOISON, "%#llx", (unsigned long long)(entry & PFN_MASK)) &&
	    errno != EBUSY)
		return fail(run, "cannot write to %s:", UNPOISON);
	return true;
}

static bool offline_round(struct run *run)
{
	char *page = turn(run);
	uint64_t before, after;

	fill(run, page, page, run->round);
	before = pagemap_entry(page);
	if (madvise(page, PAGE, MADV_SOFT_OFFLINE)) {
		/* It is in use, or has been moved from there already. */
		if (errno != EBUSY && errno != EIO && errno != EAGAIN)
			return fail(run, "MADV_SOFT_OFFLINE:");
		before = 0;
	}
	if (!check(run, page, page, run->round))
		return false;
	after = pagemap_entry(page);
	if (before & after & PM_PRESENT && (before ^ after) & PFN_MASK)
		hit(run);
	return drop(run, page, PAGE) && (!before || give_back(run, before));
}

static void ignore(int signal)
{
	(void)signal;
}

/*
 * A child that shares this memory is told by SIGBUS that it has used the page, and
 * none of the threads, whose handlers may be others'.
 */
static int poison(char *page)
{
	volatile int error = 0;
	int status;
	pid_t pid = vfork();

	if (!pid) {
		signal(SIGBUS, ignore);
		if (madvise(page, PAGE, MADV_HWPOISON))
			error = errno;
		_exit(0);
	}
	if (pid < 0)
		return errno;
	if (waitpid(pid, &status, 0) != pid || status)
		return ECHILD;
	return error;
}

/* Without a fault, which would be a signal. */
static bool readable(const char *page)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)page, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static bool poison_round(struct run *run)
{
	char *page = turn(run);
	uint64_t before;
	int error;

	fill(run, page, page, run->round);
	before = pagemap_entry(page);
	error = poison(page);
	/* It may be marked nevertheless: mapped it can be read, but a new fault is a signal. */
	if (error == EBUSY || error == EAGAIN)
		return ((only_dontneed && run->memory == SHMEM) ||
			check(run, page, page, run->round)) && drop(run, page, PAGE);
	if (error) {
		errno = error;
		return fail(run, "MADV_HWPOISON:");
	}
	if (readable(page))
		return fail(run, "the page at %p is poisoned and can be read, its entry is %#llx",
			    page, (unsigned long long)pagemap_entry(page));
	hit(run);
	if (!drop(run, page, PAGE))
		return false;
	/* A hole in a file leaves the marker, as it leaves private copies. */
	if (run->memory == SHMEM && madvise(page, PAGE, MADV_DONTNEED))
		return fail(run, "MADV_DONTNEED:");
	return give_back(run, before) && check_fresh(run, page) && drop(run, page, PAGE);
}

const struct actor reclaim_actors[] = {
	{
		.name = "pageout-all",
		.does = "swaps out the whole area",
		.memory = ON_ALL, .swap = true, .rounds = 50,
		.round = pageout_all_round,
	},
	{
		.name = "swap",
		.does = "swaps out, and takes the swap space away",
		.memory = ON_ALL, .swap = true, .rounds = 5,
		.set_up = swap_set_up, .round = swap_round, .tear_down = swap_tear_down,
	},
	{
		.name = "ksm",
		.does = "has pages of the same contents merged",
		.memory = ON_ANON | ON_FILE, .owner = true, .rounds = 10,
		.set_up = ksm_set_up, .round = ksm_round, .tear_down = ksm_tear_down,
	},
	{
		.name = "compact",
		.does = "has memory compacted, which moves pages",
		.memory = ON_ALL, .owner = true, .rounds = 2,
		.set_up = compact_set_up, .round = compact_round, .tear_down = compact_tear_down,
	},
	{
		.name = "move-pages",
		.does = "moves pages between NUMA nodes",
		.memory = ON_ALL, .rounds = 50,
		.set_up = nodes_set_up, .round = move_pages_round,
	},
	{
		.name = "numa",
		.does = "moves memory between NUMA nodes by its policy",
		.memory = ON_ALL, .rounds = 50,
		.set_up = nodes_set_up, .round = numa_round, .tear_down = numa_tear_down,
	},
	{
		.name = "migrate",
		.does = "moves the process between NUMA nodes",
		.memory = ON_ALL, .rounds = 20,
		.set_up = nodes_set_up, .round = migrate_round,
	},
	{
		.name = "numa-hint",
		.does = "lets NUMA balancing take access away from pages",
		.memory = ON_ALL, .rounds = 20,
		.set_up = hint_set_up, .round = hint_round, .tear_down = hint_tear_down,
	},
	{
		.name = "offline",
		.does = "has pages taken out of use, whose contents move",
		.memory = ON_ALL, .owner = true, .rounds = 20,
		.set_up = inject_set_up, .round = offline_round,
	},
	{
		.name = "poison",
		.does = "poisons pages, which leaves a marker",
		.memory = ON_ALL, .owner = true, .rounds = 5,
		.set_up = inject_set_up, .round = poison_round,
	},
	{ }
};
