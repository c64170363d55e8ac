// SPDX-License-Identifier: GPL-2.0
/* Huge pages that take the place of tables, and tables that take theirs again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pagemap_scan.h"
#include "race.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define SPLIT		"/sys/kernel/debug/split_huge_pages"

/* What all of these actors need. */
struct huge {
	int pagemap;		/* of the process whose tables are looked at */
	pid_t other;		/* another process that maps the memory, or 0 */
	int pidfd;
	struct setting *settings;	/* of khugepaged */
	pid_t khugepaged;
	int nice;
};

static bool allocate(struct run *run)
{
	struct huge *huge = calloc(1, sizeof(*huge));

	run->private = huge;
	if (!huge)
		return fail(run, "no memory");
	huge->pagemap = huge->pidfd = -1;
	if (access(THP "enabled", F_OK))
		return skip(run, "the kernel has no huge pages");
	return true;
}

static bool open_pagemap(struct run *run, pid_t pid)
{
	struct huge *huge = run->private;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	huge->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	return huge->pagemap >= 0 || fail(run, "cannot open %s:", path);
}

static bool huge_set_up(struct run *run)
{
	return allocate(run) && open_pagemap(run, getpid());
}

static void huge_tear_down(struct run *run)
{
	struct huge *huge = run->private;

	if (huge && huge->pagemap >= 0)
		close(huge->pagemap);
	free(huge);
}

/* The slot is mapped by one huge page and no table. */
static bool is_huge(const struct run *run, const char *slot)
{
	const struct huge *huge = run->private;
	struct page_region region = { };
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)slot, .end = (uintptr_t)slot + SLOT,
		.vec = (uintptr_t)&region, .vec_len = 1,
		.category_mask = PAGE_IS_HUGE, .return_mask = PAGE_IS_HUGE,
	};

	return ioctl(huge->pagemap, PAGEMAP_SCAN, &scan) == 1 &&
	       region.end - region.start == SLOT;
}

/*
 * Errors of a slot that cannot become a huge page just now: it is empty, its owner
 * unmapped, split or registered a part of it, or holds or moves one of its pages.
 */
static bool tolerable(void)
{
	return errno == EAGAIN || errno == EINVAL || errno == EBUSY || errno == ENOMEM;
}

/* Tells in @done whether it was small and is huge now. */
static bool collapse(struct run *run, char *slot, bool *done)
{
	bool was_huge = is_huge(run, slot);
	bool failed;

	*done = false;
	let_fail(true);
	failed = madvise(slot, SLOT, MADV_COLLAPSE);
	let_fail(false);
	if (!failed)
		*done = !was_huge && is_huge(run, slot);
	else if (!tolerable())
		return fail(run, "MADV_COLLAPSE:");
	return true;
}

/* Takes shared memory's pages out of the tables; they stay in the page cache. */
static bool unmap_pages(struct run *run, char *slot)
{
	/* Its owner may have unmapped or locked a part. */
	if (run->memory == SHMEM && madvise(slot, SLOT, MADV_DONTNEED) &&
	    errno != ENOMEM && errno != EINVAL)
		return fail(run, "MADV_DONTNEED:");
	return true;
}

/*
 * The slots that are to become huge. A huge page fills all of its slot, which the
 * owners need not empty completely. Shared memory can be unmapped without harm; but
 * of private memory every other slot stays as it is, so that there is always a table
 * to reclaim.
 */
static unsigned int every(const struct run *run)
{
	return run->memory == SHMEM ? 1 : 2;
}

static char *collapsible(const struct run *run, unsigned long n)
{
	return run->area + n * every(run) % SLOTS * SLOT;
}

/*
 * The same one for some rounds: whoever looks at all of them finds the one in use
 * each time, and its owner gets no further between two collapses.
 */
#define STAY	16

static char *next_collapsible(const struct run *run)
{
	return collapsible(run, run->round / STAY);
}

/* Empties tables of another slot: there would be none to reclaim otherwise. */
static bool make_room(struct run *run)
{
	return unmap_pages(run, run->area + (run->round + SLOTS / 2) % SLOTS * SLOT);
}

/* ---- collapse ---- */

static bool collapse_round(struct run *run)
{
	bool done;

	if (!collapse(run, next_collapsible(run), &done))
		return false;
	if (done)
		hit(run);
	else
		sched_yield();	/* to an owner that puts something there */
	return make_room(run);
}

/* ---- split: a huge page is split into small ones, and its pmd into a table ---- */

static bool split_set_up(struct run *run)
{
	if (!huge_set_up(run))
		return false;
	if (access(SPLIT, W_OK))
		return skip(run, "the kernel has no %s", SPLIT);
	return true;
}

static bool split_round(struct run *run)
{
	char *slot = next_collapsible(run);
	unsigned long before;
	bool done;

	if (!collapse(run, slot, &done))
		return false;
	before = read_row("/proc/vmstat", "thp_split_page");
	if (!write_to(SPLIT, "%d,%#lx,%#lx", getpid(), (unsigned long)slot,
		      (unsigned long)slot + SLOT))
		return fail(run, "cannot write to %s:", SPLIT);
	if (done && !is_huge(run, slot) && read_row("/proc/vmstat", "thp_split_page") > before)
		hit(run);
	return make_room(run);
}

/* ---- collapse-other: by way of another process, without this one's mmap_lock ---- */

/* It maps the memory as this process does, and that is all. */
static void be_other(struct run *run)
{
	/* A page behind the area: a huge page needs the PMD table to be there. */
	(void)mmap(run->area + AREA + SLOT, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
	while (true)
		pause();	/* until it is killed, at the latest when its parent ends */
}

static bool collapse_other_set_up(struct run *run)
{
	struct huge *huge;

	if (!allocate(run))
		return false;
	huge = run->private;
	huge->other = start_child(run, be_other);
	if (huge->other < 0)
		return false;
	huge->pidfd = syscall(SYS_pidfd_open, huge->other, 0);
	if (huge->pidfd < 0)
		return fail(run, "pidfd_open:");
	return open_pagemap(run, huge->other);
}

static void collapse_other_tear_down(struct run *run)
{
	struct huge *huge = run->private;

	if (huge && huge->other > 0) {
		kill(huge->other, SIGKILL);
		waitpid(huge->other, NULL, 0);
	}
	if (huge && huge->pidfd >= 0)
		close(huge->pidfd);
	huge_tear_down(run);
}

/*
 * The other process maps the same memory and has its pages made huge. That takes
 * this process's tables of the slot away with the lock of the file's mappings only.
 */
static bool collapse_other_round(struct run *run)
{
	struct huge *huge = run->private;
	char *slot = next_collapsible(run);
	struct iovec range = { slot, SLOT };
	bool was_huge = is_huge(run, slot);

	if (syscall(SYS_process_madvise, huge->pidfd, &range, 1, MADV_COLLAPSE, 0) < 0) {
		if (!tolerable())
			return fail(run, "process_madvise(MADV_COLLAPSE):");
	} else if (!was_huge && is_huge(run, slot)) {
		hit(run);
	} else {
		sched_yield();
	}
	return make_room(run);
}

/* ---- collapse-mapped: a huge page that a table maps piece by piece ---- */

#define REMAPS	4

static bool advise(struct run *run, char *slot, int advice)
{
	/* A neighbour may have unmapped its part. */
	if (madvise(slot, SLOT, advice) && errno != ENOMEM)
		return fail(run, "madvise(%d):", advice);
	return true;
}

/* While huge pages are forbidden, a fault on a part of one makes a table for it. */
static bool map_by_table(struct run *run, char *slot, const char *page)
{
	return advise(run, slot, MADV_NOHUGEPAGE) && unmap_pages(run, slot) &&
	       check(run, page, page, run->round) && advise(run, slot, MADV_HUGEPAGE);
}

/*
 * The page cache has a huge page already: collapsing replaces the table. Each second
 * time the table is empty, so that it may be gone at any moment.
 */
static bool remap(struct run *run, char *slot, const char *page, bool emptied)
{
	uint64_t before, after;
	bool done;

	if (!map_by_table(run, slot, page))
		return false;
	before = pagemap_entry(page);
	if (emptied && !unmap_pages(run, slot))
		return false;
	if (!collapse(run, slot, &done))
		return false;
	after = pagemap_entry(page);
	/* In its place, so nothing was copied. */
	if (done && !emptied && before & after & PM_PRESENT &&
	    !((before ^ after) & PFN_MASK))
		hit(run);
	return check(run, page, page, run->round);
}

static bool collapse_mapped_round(struct run *run)
{
	unsigned int slot = run->round % SLOTS;
	char *start = run->area + slot * SLOT, *page = turn(run);
	bool done;

	fill(run, page, page, run->round);
	if (!collapse(run, start, &done))
		return false;
	for (int i = 0; i < REMAPS && !stopping(run); i++)
		if (!remap(run, start, page, i & 1))
			return false;
	return check(run, page, page, run->round) &&
	       drop_window(run);
}

/* ---- khugepaged ---- */

static const struct setting settings[] = {
	{ .path = THP "khugepaged/scan_sleep_millisecs", .value = "0" },
	{ .path = THP "khugepaged/alloc_sleep_millisecs", .value = "0" },
	{ .path = THP "khugepaged/pages_to_scan", .value = "65536" },
	{ .path = THP "khugepaged/max_ptes_none", .value = "511" },
	{ .path = THP "khugepaged/max_ptes_swap", .value = "511" },
	{ .path = THP "khugepaged/max_ptes_shared", .value = "511" },
	{ .path = THP "khugepaged/defrag", .value = "1" },
	{ .path = THP "shmem_enabled", .value = "advise" },
	{ .path = THP "enabled", .value = "madvise" },
};

#define NR_SETTINGS	(sizeof(settings) / sizeof(*settings))

static pid_t find_process(const char *name)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	while (directory && !pid && (entry = readdir(directory))) {
		char path[300], found[64] = "";

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (atoi(entry->d_name) > 0 && read_setting(path, found, sizeof(found)) &&
		    !strcmp(found, name))
			pid = atoi(entry->d_name);
	}
	if (directory)
		closedir(directory);
	return pid;
}

static bool khugepaged_set_up(struct run *run)
{
	struct huge *huge;

	if (!huge_set_up(run))
		return false;
	huge = run->private;
	huge->settings = change_settings(run, settings, NR_SETTINGS);
	if (!huge->settings)
		return false;
	/* Beside threads that never sleep it would get next to nothing of a CPU. */
	huge->khugepaged = find_process("khugepaged");
	if (!huge->khugepaged)
		return skip(run, "khugepaged does not run");
	huge->nice = getpriority(PRIO_PROCESS, huge->khugepaged);
	if (setpriority(PRIO_PROCESS, huge->khugepaged, 0))
		return fail(run, "cannot set khugepaged's priority:");
	return true;
}

static void khugepaged_tear_down(struct run *run)
{
	struct huge *huge = run->private;

	if (huge && huge->khugepaged)
		setpriority(PRIO_PROCESS, huge->khugepaged, huge->nice);
	if (huge)
		change_back(huge->settings, NR_SETTINGS);
	huge_tear_down(run);
}

static unsigned long read_number(const char *path)
{
	char value[32];

	return read_setting(path, value, sizeof(value)) ? strtoul(value, NULL, 10) : 0;
}

/* Until khugepaged has made a huge page, but not for long. */
#define WAITS	20

static bool advise_some(struct run *run, int advice)
{
	for (unsigned int i = 0; i < SLOTS; i += 2)
		if (!advise(run, run->area + i * SLOT, advice))
			return false;
	return true;
}

static bool khugepaged_round(struct run *run)
{
	const struct timespec interval = { .tv_nsec = 1000000 };
	unsigned long collapsed = read_number(THP "khugepaged/pages_collapsed");
	unsigned long allocated = read_row("/proc/vmstat", "thp_collapse_alloc");

	/*
	 * Again in each round: an owner that maps its part anew loses the advice. Every
	 * other slot goes without, since faults make huge pages as well, and so do the
	 * others for a moment: small pages are what khugepaged wants to find.
	 */
	if (!advise_some(run, MADV_NOHUGEPAGE))
		return false;
	nanosleep(&interval, NULL);
	if (!advise_some(run, MADV_HUGEPAGE))
		return false;
	for (int i = 0; i < WAITS && !stopping(run); i++) {
		nanosleep(&interval, NULL);
		/* The first one also counts huge pages that were there before. */
		if (read_number(THP "khugepaged/pages_collapsed") > collapsed &&
		    read_row("/proc/vmstat", "thp_collapse_alloc") > allocated) {
			hit(run);
			break;
		}
	}
	return make_room(run);
}

const struct actor thp_actors[] = {
	{
		.name = "collapse",
		.does = "makes huge pages with MADV_COLLAPSE",
		.memory = ON_ANON | ON_SHMEM, .scarce = true, .rounds = 50,
		.set_up = huge_set_up, .round = collapse_round, .tear_down = huge_tear_down,
	},
	{
		.name = "collapse-other",
		.does = "makes huge pages by way of another process",
		.memory = ON_SHMEM, .rounds = 50,
		.set_up = collapse_other_set_up, .round = collapse_other_round,
		.tear_down = collapse_other_tear_down,
	},
	{
		.name = "collapse-mapped",
		.does = "maps a huge page by a table and by a pmd in turn",
		.memory = ON_SHMEM, .owner = true, .rounds = 20,
		.set_up = huge_set_up, .round = collapse_mapped_round,
		.tear_down = huge_tear_down,
	},
	{
		.name = "split",
		.does = "makes huge pages and splits them again",
		.memory = ON_ANON | ON_SHMEM, .rounds = 25,
		.set_up = split_set_up, .round = split_round, .tear_down = huge_tear_down,
	},
	{
		.name = "khugepaged",
		.does = "lets khugepaged make huge pages without pause",
		.memory = ON_ANON | ON_SHMEM, .rounds = 10,
		.set_up = khugepaged_set_up, .round = khugepaged_round,
		.tear_down = khugepaged_tear_down,
	},
	{ }
};
