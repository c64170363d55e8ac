// SPDX-License-Identifier: GPL-2.0
/* Who looks into tables, or at the bits of their entries that the processor sets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pagemap_scan.h"
#include "race.h"

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED	(1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC	(1 << 15)
#endif

#define AREA_PAGES	(AREA / PAGE)
#define ALL_CATEGORIES	0xff
#define LRU_GEN		"/sys/kernel/debug/lru_gen"
#define PAGE_IDLE	"/sys/kernel/mm/page_idle/bitmap"

/* What an actor has open, and room for what it reads. */
struct look {
	int fd, second;
	uint64_t entries[AREA_PAGES];
	struct page_region regions[AREA_PAGES];
};

static bool look_set_up(struct run *run)
{
	struct look *look = malloc(sizeof(*look));

	run->private = look;
	if (!look)
		return fail(run, "no memory");
	look->second = -1;
	look->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return look->fd >= 0 || fail(run, "cannot open pagemap:");
}

static void look_tear_down(struct run *run)
{
	struct look *look = run->private;

	if (look && look->second >= 0)
		close(look->second);
	if (look && look->fd >= 0)
		close(look->fd);
	free(look);
}

/* ---- smaps ---- */

static bool read_all(struct run *run, const char *path)
{
	char buffer[4096];
	ssize_t length, total = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(run, "cannot open %s:", path);
	do {
		length = read(fd, buffer, sizeof(buffer));
		total += length;
	} while (length > 0);
	close(fd);
	return (length == 0 && total) || fail(run, "cannot read %s:", path);
}

static bool smaps_round(struct run *run)
{
	if (!read_all(run, "/proc/self/smaps") || !read_all(run, "/proc/self/smaps_rollup"))
		return false;
	hit(run);
	return true;
}

/* ---- pagemap ---- */

static bool read_entries(struct run *run)
{
	struct look *look = run->private;

	if (pread(look->fd, look->entries, sizeof(look->entries),
		  (uintptr_t)run->area / PAGE * sizeof(*look->entries)) !=
	    sizeof(look->entries))
		return fail(run, "cannot read pagemap:");
	return true;
}

static bool pagemap_round(struct run *run)
{
	struct look *look = run->private;
	bool found = false;

	if (!read_entries(run))
		return false;
	for (unsigned int i = 0; i < AREA_PAGES; i++)
		found |= !!(look->entries[i] & PM_PRESENT);
	if (found)
		hit(run);
	return true;
}

/* ---- pagemap-scan ---- */

static int scan(struct look *look, const char *start, size_t length, unsigned int flags,
		uint64_t mask, uint64_t anyof, uint64_t returned)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = flags,
		.start = (uintptr_t)start, .end = (uintptr_t)start + length,
		.vec = (uintptr_t)look->regions, .vec_len = AREA_PAGES,
		.category_mask = mask, .category_anyof_mask = anyof, .return_mask = returned,
	};

	return ioctl(look->fd, PAGEMAP_SCAN, &arg);
}

static bool pagemap_scan_round(struct run *run)
{
	struct look *look = run->private;
	int count = scan(look, run->area, AREA, 0, 0, ALL_CATEGORIES, ALL_CATEGORIES);

	if (count < 0)
		return fail(run, "PAGEMAP_SCAN:");
	for (int i = 0; i < count; i++)
		if (look->regions[i].categories & PAGE_IS_PRESENT) {
			hit(run);
			break;
		}
	return true;
}

/*
 * ---- pagemap-scan-wp: which pages were written since the last time? ----
 *
 * A scan tells which pages are not write-protected, and protects them, those without
 * contents by a marker. If a table goes away between its allocation and the markers,
 * a page that nobody wrote is told to be written, next time.
 */

#define WRITTEN	8	/* pages of a slot in each round */

/* Memory of this range is to be told about, or has been and is like new. */
static bool track(struct run *run, char *start, bool on)
{
	struct look *look = run->private;
	struct uffdio_register range = {
		.range = { (uintptr_t)start, run->pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (on ? ioctl(look->second, UFFDIO_REGISTER, &range) :
		 ioctl(look->second, UFFDIO_UNREGISTER, &range.range))
		return fail(run, on ? "UFFDIO_REGISTER:" : "UFFDIO_UNREGISTER:");
	return true;
}

static bool scan_wp_set_up(struct run *run)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct look *look;

	if (!look_set_up(run))
		return false;
	look = run->private;
	look->second = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (look->second < 0 || ioctl(look->second, UFFDIO_API, &api))
		return skip(run, "no userfaultfd that only notes writes");
	for (unsigned int i = 0; i < SLOTS; i++)
		if (!track(run, window_page(run, i, 0), true))
			return false;
	return true;
}

static char *to_write(const struct run *run, unsigned int slot, unsigned int i)
{
	return window_page(run, slot, (run->round / SLOTS * 5 + i * 11) % run->pages);
}

static bool scan_written(struct run *run, unsigned int slot, int *count)
{
	*count = scan(run->private, window_page(run, slot, 0), run->pages * PAGE,
		      PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		      PAGE_IS_WRITTEN, 0, PAGE_IS_WRITTEN);
	return *count >= 0 || fail(run, "PAGEMAP_SCAN that protects:");
}

static bool told(const struct look *look, int count, const char *page)
{
	for (int i = 0; i < count; i++)
		if ((uintptr_t)page >= look->regions[i].start &&
		    (uintptr_t)page < look->regions[i].end)
			return true;
	return false;
}

/* Exactly those that were written. */
static bool check_told(struct run *run, unsigned int slot, int count, bool wrote)
{
	struct look *look = run->private;
	bool expected[SLOT_PAGES] = { };

	for (unsigned int i = 0; wrote && i < WRITTEN; i++)
		expected[(to_write(run, slot, i) - (run->area + slot * SLOT)) / PAGE] = true;
	for (unsigned int i = 0; i < run->pages; i++) {
		char *page = window_page(run, slot, i);
		bool found = told(look, count, page);

		if (found != expected[run->first + i])
			return fail(run, "page %u of slot %u, round %lu: %s, its entry is %#llx",
				    run->first + i, slot, run->round,
				    found ? "nobody wrote it and it is told to be written" :
				    "it was written and is not told",
				    (unsigned long long)pagemap_entry(page));
	}
	return true;
}

static bool scan_wp_round(struct run *run)
{
	struct look *look = run->private;
	unsigned int slot = run->round % SLOTS;
	char *start = window(run);
	struct uffdio_writeprotect unprotect = {
		.range = { (uintptr_t)start, run->pages * PAGE },
	};
	int count;

	/* Nothing is protected, there may not even be a table; after that, all is. */
	if (!scan_written(run, slot, &count))
		return false;
	for (unsigned int i = 0; i < run->pages; i++)
		if (!told(look, count, start + i * PAGE))
			return fail(run, "page %u of slot %u, round %lu: it is not protected, "
				    "and is not told", run->first + i, slot, run->round);
	if (!scan_written(run, slot, &count) || !check_told(run, slot, count, false))
		return false;
	for (unsigned int i = 0; i < WRITTEN; i++)
		fill(run, to_write(run, slot, i), to_write(run, slot, i), run->round);
	if (!scan_written(run, slot, &count) || !check_told(run, slot, count, true))
		return false;
	hit(run);
	for (unsigned int i = 0; i < WRITTEN; i++)
		if (!check(run, to_write(run, slot, i), to_write(run, slot, i), run->round))
			return false;
	if (!drop_window(run))
		return false;
	/* Dropping leaves the markers of a file's pages. */
	if (ioctl(look->second, UFFDIO_WRITEPROTECT, &unprotect))
		return fail(run, "UFFDIO_WRITEPROTECT:");
	return true;
}

/* ---- clear-refs ---- */

static bool clear_refs_round(struct run *run)
{
	if (!write_to("/proc/self/clear_refs", run->round % 2 ? "4" : "1"))
		return fail(run, "cannot write to clear_refs:");
	hit(run);
	return true;
}

/* ---- mincore ---- */

static bool mincore_round(struct run *run)
{
	unsigned char present[AREA_PAGES];

	if (!mincore(run->area, AREA, present))
		hit(run);
	else if (errno != ENOMEM)	/* an owner unmapped a part */
		return fail(run, "mincore:");
	return true;
}

/* ---- lru-gen: the multi-generational LRU looks for accessed pages in all tables ---- */

/* The newest generation of a group on a node is the last of its lines. */
struct generation {
	unsigned int group, node;
	unsigned long newest;
	bool complete;
};

static bool age(struct run *run, const struct generation *generation, bool *accepted)
{
	if (!generation->complete)
		return true;
	if (write_to(LRU_GEN, "+ %u %u %lu 1 1", generation->group, generation->node,
		     generation->newest))
		*accepted = true;
	/* The kernel made a newer one meanwhile, or has too many, or the group is gone. */
	else if (errno != EINVAL && errno != ERANGE && errno != ENOMEM)
		return fail(run, "cannot write to %s:", LRU_GEN);
	return true;
}

static bool lru_gen_set_up(struct run *run)
{
	if (access(LRU_GEN, W_OK))
		return skip(run, "the kernel has no %s", LRU_GEN);
	return true;
}

static bool lru_gen_round(struct run *run)
{
	struct generation generation = { };
	bool accepted = false, good = true;
	FILE *file = fopen(LRU_GEN, "r");
	char line[4200];

	if (!file)
		return fail(run, "cannot open %s:", LRU_GEN);
	while (good && fgets(line, sizeof(line), file)) {
		if (strstr(line, "memcg") || strstr(line, "node")) {
			good = age(run, &generation, &accepted);
			generation.complete = false;
			sscanf(line, " memcg %u", &generation.group);
			sscanf(line, " node %u", &generation.node);
		} else if (sscanf(line, " %lu", &generation.newest) == 1) {
			generation.complete = true;
		}
	}
	fclose(file);
	good = good && age(run, &generation, &accepted);
	if (accepted)
		hit(run);
	return good;
}

/* ---- page-idle: by the numbers of the area's pages ---- */

static bool page_idle_set_up(struct run *run)
{
	struct look *look;

	if (!look_set_up(run))
		return false;
	look = run->private;
	look->second = open(PAGE_IDLE, O_RDWR | O_CLOEXEC);
	return look->second >= 0 || skip(run, "the kernel has no %s", PAGE_IDLE);
}

static bool page_idle_round(struct run *run)
{
	struct look *look = run->private;
	bool found = false;

	if (!read_entries(run))
		return false;
	for (unsigned int i = 0; i < AREA_PAGES && !stopping(run); i++) {
		uint64_t number = look->entries[i] & PFN_MASK, bit = 1ULL << number % 64, word;
		off_t offset = number / 64 * sizeof(word);

		if (!(look->entries[i] & PM_PRESENT))
			continue;
		if (pwrite(look->second, &bit, sizeof(bit), offset) != sizeof(bit) ||
		    pread(look->second, &word, sizeof(word), offset) != sizeof(word))
			return fail(run, "cannot mark a page idle:");
		found |= !!(word & bit);
	}
	if (found)
		hit(run);
	return true;
}

const struct actor look_actors[] = {
	{
		.name = "smaps",
		.does = "reads smaps and smaps_rollup",
		.memory = ON_ALL, .rounds = 50, .round = smaps_round,
	},
	{
		.name = "pagemap",
		.does = "reads pagemap",
		.memory = ON_ALL, .rounds = 200,
		.set_up = look_set_up, .round = pagemap_round, .tear_down = look_tear_down,
	},
	{
		.name = "pagemap-scan",
		.does = "scans for pages of all categories",
		.memory = ON_ALL, .rounds = 200,
		.set_up = look_set_up, .round = pagemap_scan_round,
		.tear_down = look_tear_down,
	},
	{
		.name = "pagemap-scan-wp",
		.does = "scans for written pages and protects them",
		.memory = ON_ALL, .owner = true, .rounds = 150,
		.set_up = scan_wp_set_up, .round = scan_wp_round,
		.tear_down = look_tear_down,
	},
	{
		.name = "clear-refs",
		.does = "clears accessed and soft-dirty bits",
		.memory = ON_ALL, .rounds = 100, .round = clear_refs_round,
	},
	{
		.name = "mincore",
		.does = "asks which pages are there",
		.memory = ON_ALL, .rounds = 200, .round = mincore_round,
	},
	{
		.name = "lru-gen",
		.does = "ages pages by looking through tables",
		.memory = ON_ALL, .rounds = 30,
		.set_up = lru_gen_set_up, .round = lru_gen_round,
	},
	{
		.name = "page-idle",
		.does = "marks pages idle and asks for those",
		.memory = ON_ALL, .rounds = 20,
		.set_up = page_idle_set_up, .round = page_idle_round,
		.tear_down = look_tear_down,
	},
	{ }
};
