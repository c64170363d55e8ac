// SPDX-License-Identifier: GPL-2.0
/* Compares the process with the model: tables, page table entries, contents, counters. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../tools/lib/ptreclaim/maps.h"
#include "../../bench/procfs.h"
#include "fuzz.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

#define SHOWN_BITS	((1ULL << 63) | (1ULL << 62) | (1ULL << 57))
#define MOST_CHECKED	2	/* slots after an ordinary call */
#define HUGE_STRIDE	73

static const char *const kind_names[KINDS] = {
	"hole", "anon", "growsdown", "locked", "shared", "memfd", "private", "wp-anon",
	"wp-shared", "mixed", "device", "vvar", "hugetlb",
};
static const char *const entry_names[ENTRIES] = {
	"none", "zero", "cache", "own", "swap", "marker", "foreign",
};

static int status_fd, pagemap_fd;
static long own_kb;		/* VmPTE without the arena */
static long long freed_before, scanned_before;

/* Not procfs_kb(): this is read after each call, and a file kept open is read faster. */
static long vm_pte(void)
{
	static char text[4096];
	ssize_t n = pread(status_fd, text, sizeof(text) - 1, 0);
	char *row;

	need(n > 0, "/proc/self/status");
	text[n] = '\0';
	row = strstr(text, "VmPTE:");
	need(row, "VmPTE in /proc/self/status");
	return strtol(row + 6, NULL, 10);
}

void open_checks(void)
{
	status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	need(status_fd >= 0 && pagemap_fd >= 0, "/proc/self");
}

/*
 * A page in each table of the program itself, so that VmPTE only moves by what
 * happens in the arena, and calls that cover all addresses free nothing here.
 */
void settle_own_tables(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	static struct maps_reader maps;
	volatile char stack[256 << 10];
	uint64_t next = 0;
	struct ptreclaim_vma vma;

	for (size_t i = 0; i < sizeof(stack); i += PAGE)
		stack[i] = 1;
	need(fd >= 0, "/proc/self/maps");
	ptreclaim_maps_start(&maps, ptreclaim_maps_read_fd, &fd);
	while (ptreclaim_maps_next(&maps, &vma) == 1) {
		need(vma.end <= LOW_START || vma.start >= HIGH_END, "an arena of our own");
		for (uint64_t at = vma.start > next ? vma.start : next; at < vma.end;
		     at = (at | (SLOT - 1)) + 1)
			if (!madvise((void *)at, PAGE, MADV_POPULATE_READ))
				next = (at | (SLOT - 1)) + 1;
	}
	close(fd);
	need(!madvise(NULL, 0, MADV_RECLAIM_PT), "MADV_RECLAIM_PT");
	own_kb = vm_pte();
	freed_before = procfs_vmstat("pt_reclaim_freed");
	scanned_before = procfs_vmstat("pt_reclaim_scanned");
}

void check_tables(void)
{
	long kb = vm_pte() - own_kb;

	if (kb != 4L * model_tables())
		differ("VmPTE of the arena is %ld kB, the model has %u tables = %u kB", kb,
		       model_tables(), 4 * model_tables());
}

static void describe(unsigned int page, const char *what, uint64_t is, uint64_t expected)
{
	const struct page *p = &pages[page];

	differ("page %u at %#lx (slot %u, entry %u: %s, %s%s%s): %s is %#" PRIx64
	       ", expected %#" PRIx64, page, address(page), page / SLOT_PAGES, page % SLOT_PAGES,
	       kind_names[p->kind], entry_names[p->entry], p->wp ? ", wp" : "",
	       p->lazy ? ", lazy" : "", what, is, expected);
}

static uint64_t pattern(uint32_t value)
{
	return value * 0x9e3779b97f4a7c15ULL;
}

uint32_t read_page(unsigned int page)
{
	return *(volatile uint32_t *)address(page);
}

static volatile uint64_t *words(unsigned int page)
{
	return (volatile uint64_t *)address(page);
}

/* The first and the last word tell pages apart; all between is 0. */
void fill_page(unsigned int page, uint32_t value)
{
	words(page)[0] = pattern(value);
	words(page)[511] = pattern(value);
}

static void check_contents(unsigned int page)
{
	uint64_t first = words(page)[0], last = words(page)[511];
	uint64_t expected = pattern(model_value(page));

	if (first != last)
		describe(page, "its last word", last, first);
	if (first != expected && (first || !pages[page].lazy))
		describe(page, "its first word", first, expected);
}

uint64_t read_pagemap(unsigned int page)
{
	uint64_t entry;

	need(pread(pagemap_fd, &entry, 8, address(page) / PAGE * 8) == 8, "/proc/self/pagemap");
	return entry & SHOWN_BITS;
}

static void check_slot(unsigned int slot, bool whole)
{
	static uint64_t entries[SLOT_PAGES];
	unsigned int first = slot * SLOT_PAGES;
	unsigned int stride = model_huge(slot) && !whole ? HUGE_STRIDE : 1;

	need(pread(pagemap_fd, entries, sizeof(entries), address(first) / PAGE * 8) ==
	     sizeof(entries), "/proc/self/pagemap");
	for (unsigned int i = 0; i < SLOT_PAGES; i += stride) {
		uint64_t expected = model_pagemap(first + i);

		if ((entries[i] & SHOWN_BITS) != expected)
			describe(first + i, "pagemap", entries[i] & SHOWN_BITS, expected);
		if (expected && model_visible(first + i))
			check_contents(first + i);
	}
}

void check_range(uintptr_t start, uintptr_t end)
{
	unsigned int touched[SLOTS], n = 0;

	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (start < address(slot * SLOT_PAGES) + SLOT && end > address(slot * SLOT_PAGES))
			touched[n++] = slot;
	for (unsigned int i = 0; i < MOST_CHECKED && n; i++) {
		unsigned int at = rnd(n);

		check_slot(touched[at], false);
		touched[at] = touched[--n];
	}
}

void check_all(void)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		check_slot(slot, true);
}

void check_vmstat(void)
{
	unsigned long freed = procfs_vmstat("pt_reclaim_freed") - freed_before;
	unsigned long scanned = procfs_vmstat("pt_reclaim_scanned") - scanned_before;
	unsigned long most = model_looked_max + model_wide * own_kb / 4;

	if (freed != model_freed)
		differ("pt_reclaim_freed rose by %lu, the model freed %lu", freed, model_freed);
	if (scanned < model_looked_min || scanned > most)
		differ("pt_reclaim_scanned rose by %lu, expected %lu to %lu", scanned,
		       model_looked_min, most);
}

/* Reads all there is, faulting in what is not there, and the memfd behind it. */
void sweep(void)
{
	for (unsigned int page = 0; page < PAGES; page++) {
		const struct page *p = &pages[page];

		if (!(p->prot & PROT_READ) || !is_kind(page, OF_PAGES | OF_WP | KIND(LOCKED)))
			continue;
		model_read(page);
		check_contents(page);
		for (unsigned int i = 1; i < 511; i++)
			if (words(page)[i])
				describe(page, "a word within", words(page)[i], 0);
	}
	check_tables();
	check_all();
}
