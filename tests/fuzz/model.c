// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "model.h"

#define MOST_BYTES	0x7ffff000UL	/* of one process_madvise() */
#define MOST_ELEMENTS	1024

#define PRESENT_BIT	(1ULL << 63)
#define SWAP_BIT	(1ULL << 62)
#define WP_BIT		(1ULL << 57)

#define GIBS		4
#define PUDS		2

const char *const wrong_names[WRONGS] = {
	[RIGHT] = "right",
	[INWARD] = "inward",
	[STOPS_AT_HOLE] = "stops-at-hole",
	[NO_ENOMEM] = "no-enomem",
	[OUTWARD_ENOMEM] = "outward-enomem",
	[MIXED_ELIGIBLE] = "mixedmap-eligible",
	[PFN_ELIGIBLE] = "pfnmap-eligible",
	[LOCKED_INELIGIBLE] = "locked-ineligible",
	[GROWSDOWN_INELIGIBLE] = "growsdown-ineligible",
	[WP_INELIGIBLE] = "wp-ineligible",
	[SWAP_IS_EMPTY] = "swap-is-empty",
	[MARKER_IS_EMPTY] = "marker-is-empty",
	[ZERO_IS_EMPTY] = "zero-is-empty",
	[FREES_PMD] = "frees-pmd",
	[FREES_HUGE] = "frees-huge",
	[NO_CUT] = "no-cut",
	[FAILED_COUNTS] = "failed-counts",
	[LAST_ENTRY_UNSEEN] = "last-entry-unseen",
	[DONTNEED_FREES_NONE] = "dontneed-frees-none",
	[DONTNEED_OUTWARD] = "dontneed-outward",
	[DONTNEED_ONE_MAPPING] = "dontneed-one-mapping",
	[DONTNEED_STOPS_AT_HOLE] = "dontneed-stops-at-hole",
	[DONTNEED_STOPS_AT_ERROR] = "dontneed-stops-at-error",
	[DONTNEED_UNDONE_BY_ERROR] = "dontneed-undone-by-error",
	[DONTNEED_ZAPS_LOCKED] = "dontneed-zaps-locked",
};

const char *const met_names[METS] = {
	[FREED] = "a table freed",
	[FREED_PARTLY_COVERED] = "a partly covered table freed",
	[FREED_FROM_HOLE] = "a table freed from a hole beside its mapping",
	[FREED_SHARED] = "a table of several mappings freed",
	[FREED_WITH_ENOMEM] = "ENOMEM, and tables freed",
	[FREED_BY_LONG] = "tables freed by a range over both regions",
	[KEPT_MIXED] = "an empty table kept for MIXEDMAP",
	[KEPT_PFN] = "an empty table kept for PFNMAP",
	[KEPT_MARKERS] = "a table of markers kept",
	[KEPT_SWAP] = "a table of swap entries kept",
	[KEPT_ZERO] = "a table of zero pages kept",
	[KEPT_HUGE] = "a huge page kept",
	[MET_HUGETLB] = "hugetlb in the range",
	[VECTOR_CUT] = "a vector cut at 2 GiB",
	[VECTOR_PARTIAL] = "a vector done in part",
	[REMOTE_FREED] = "tables freed of another process",
	[URING_FREED] = "tables freed by io_uring",
	[MET_EINVAL] = "EINVAL",
	[MET_EFAULT] = "EFAULT",
	[DONTNEED_FREED] = "MADV_DONTNEED: a table freed",
	[DONTNEED_FREED_EMPTY] = "MADV_DONTNEED: a table freed that was empty before",
	[DONTNEED_FREED_SHARED] = "MADV_DONTNEED: a table of several mappings freed",
	[DONTNEED_FREED_LOCKED] = "MADV_DONTNEED_LOCKED: a table of locked memory freed",
	[DONTNEED_FREED_HALF_MAPPED] = "MADV_DONTNEED: a table with a hole freed",
	[DONTNEED_FREED_ENOMEM] = "MADV_DONTNEED: ENOMEM, and tables freed",
	[DONTNEED_FREED_EINVAL] = "MADV_DONTNEED: EINVAL, and tables freed",
	[DONTNEED_FREED_BEHIND] = "MADV_DONTNEED: an empty table behind EINVAL freed",
	[DONTNEED_URING] = "MADV_DONTNEED: tables freed by io_uring",
	[DONTNEED_LEFT_PARTLY_COVERED] = "MADV_DONTNEED: an empty table left at the edge",
	[DONTNEED_KEPT_MIXED] = "MADV_DONTNEED: an empty table kept for MIXEDMAP",
	[DONTNEED_KEPT_PFN] = "MADV_DONTNEED: a table kept for PFNMAP",
	[DONTNEED_KEPT_MARKERS] = "MADV_DONTNEED: a table of markers kept",
	[DONTNEED_KEPT_LOCKED] = "MADV_DONTNEED: a table of locked memory kept",
	[DONTNEED_KEPT_BEHIND] = "MADV_DONTNEED: a table behind EINVAL kept",
	[DONTNEED_SPLIT] = "MADV_DONTNEED: a huge page split",
	[DONTNEED_HUGE] = "MADV_DONTNEED: a huge page gone, and its table",
	[DONTNEED_HUGETLB] = "MADV_DONTNEED: a huge page of hugetlb gone",
};

enum wrong wrong;
unsigned long met[METS];
struct page pages[PAGES];
bool dontneed_is_ours;
uintptr_t task_end;
unsigned long model_freed, model_looked_min, model_looked_max, model_wide;

static struct slot {
	unsigned int mapped;		/* pages */
	unsigned int kinds[KINDS];
	unsigned int entries[ENTRIES];
	bool table;			/* in use, or deposited for a huge page */
	bool huge;
} slots[SLOTS];

/* GiBs: low and high half of each region; the regions of PUD tables meet in the high one. */
static bool pmd_table[GIBS], pud_table[PUDS];
static bool gap_mapped;
static uint32_t object_value[OBJECT_PAGES];
static uint32_t last_map;

static struct slot *slot_of(unsigned int page)
{
	return &slots[page / SLOT_PAGES];
}

static unsigned int gib_of(unsigned int slot)
{
	if (slot < LOW_SLOTS)
		return slot >= LOW_SLOTS / 2;
	return 2 + (slot >= LOW_SLOTS + HIGH_SLOTS / 2);
}

static unsigned int pud_of(unsigned int gib)
{
	return gib == 3;
}

static uintptr_t slot_address(unsigned int slot)
{
	return address(slot * SLOT_PAGES);
}

unsigned int model_count(unsigned int slot, unsigned int kinds)
{
	unsigned int n = 0;

	for (int i = HOLE + 1; i < KINDS; i++)
		if (kinds & KIND(i))
			n += slots[slot].kinds[i];
	return n;
}

bool model_huge(unsigned int slot)
{
	return slots[slot].huge;
}

bool model_gap(void)
{
	return gap_mapped;
}

unsigned int model_tables(void)
{
	unsigned int n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += slots[i].table;
	for (int i = 0; i < GIBS; i++)
		n += pmd_table[i];
	for (int i = 0; i < PUDS; i++)
		n += pud_table[i];
	return n;
}

static bool in_file(const struct page *page)
{
	return page->kind == MEMFD ||
	       (page->kind == PRIVATE && page->entry != OWN && page->entry != SWAP);
}

uint32_t model_value(unsigned int page)
{
	return in_file(&pages[page]) ? object_value[pages[page].object] : pages[page].value;
}

uint64_t model_pagemap(unsigned int page)
{
	const struct page *p = &pages[page];
	uint64_t wp = p->wp ? WP_BIT : 0;

	switch (p->entry) {
	case ZERO:
	case CACHE:
	case OWN:
		return PRESENT_BIT | wp;
	case SWAP:
	case MARKER:
		return SWAP_BIT | wp;
	default:
		return 0;
	}
}

bool model_visible(unsigned int page)
{
	const struct page *p = &pages[page];

	return (p->prot & PROT_READ) &&
	       (p->entry == ZERO || p->entry == CACHE || p->entry == OWN);
}

static void set_entry(unsigned int page, enum entry entry)
{
	slot_of(page)->entries[pages[page].entry]--;
	slot_of(page)->entries[entry]++;
	pages[page].entry = entry;
}

static void need_upper_tables(unsigned int slot)
{
	pmd_table[gib_of(slot)] = true;
	pud_table[pud_of(gib_of(slot))] = true;
}

static void need_tables(unsigned int slot)
{
	need_upper_tables(slot);
	slots[slot].table = true;
}

/* A huge page that an edge of a range divides becomes 512 entries of the deposited table. */
static void split_at(unsigned int page)
{
	if (page < PAGES && page % SLOT_PAGES)
		slot_of(page)->huge = false;
}

/* munmap() frees the tables of what no VMA uses any more. */
static void free_unused_tables(void)
{
	bool gib_mapped[GIBS] = { [1] = gap_mapped, [2] = gap_mapped };
	bool pud_mapped[PUDS] = { gap_mapped };

	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].mapped)
			gib_mapped[gib_of(i)] = true;
		else
			slots[i].table = slots[i].huge = false;
	}
	for (int i = 0; i < GIBS; i++) {
		pmd_table[i] &= gib_mapped[i];
		pud_mapped[pud_of(i)] |= gib_mapped[i];
	}
	for (int i = 0; i < PUDS; i++)
		pud_table[i] &= pud_mapped[i];
}

/* Into a hole: the page of before is gone. */
static void put_page(unsigned int page, const struct page *new)
{
	struct slot *slot = slot_of(page);

	slot->mapped++;
	slot->kinds[new->kind]++;
	slot->entries[new->entry]++;
	pages[page] = *new;
}

static struct page take_page(unsigned int page)
{
	struct slot *slot = slot_of(page);
	struct page old = pages[page];

	if (old.kind == HOLE)
		return old;
	slot->mapped--;
	slot->kinds[old.kind]--;
	slot->entries[old.entry]--;
	memset(&pages[page], 0, sizeof(pages[page]));
	return old;
}

void model_map(unsigned int first, unsigned int n, enum kind kind, int prot, unsigned int object)
{
	struct page page = { .kind = kind, .prot = prot, .map = ++last_map };

	if (kind == LOCKED)
		page.entry = OWN;
	else if (kind == DEVICE)
		page.entry = FOREIGN;
	for (unsigned int i = first; i < first + n; i++) {
		page.object = object + i - first;
		put_page(i, &page);
		if (page.entry != NONE)
			need_tables(i / SLOT_PAGES);
	}
}

void model_take_in(unsigned int first, unsigned int n, enum kind kind)
{
	model_map(first, n, kind, PROT_NONE, 0);
	need_tables(first / SLOT_PAGES);
	need_tables((first + n - 1) / SLOT_PAGES);
}

void model_unmap(unsigned int first, unsigned int n)
{
	split_at(first);
	split_at(first + n);
	for (unsigned int i = first; i < first + n; i++)
		take_page(i);
	free_unused_tables();
}

void model_map_gap(bool mapped)
{
	gap_mapped = mapped;
	free_unused_tables();
}

void model_protect(unsigned int first, unsigned int n, int prot)
{
	if (pages[first].prot != prot)
		split_at(first);
	if (pages[first + n - 1].prot != prot)
		split_at(first + n);
	for (unsigned int i = first; i < first + n; i++)
		pages[i].prot = prot;
}

/*
 * mremap() goes in steps that neither cross a slot of the old place nor one of the
 * new. Where there is a table at the old place there will be one at the new place:
 * the same one if the step is a whole slot.
 */
static void move_tables(unsigned int from, unsigned int n, unsigned int to)
{
	unsigned int step;

	for (; n; n -= step, from += step, to += step) {
		unsigned int old = from / SLOT_PAGES, new = to / SLOT_PAGES;

		step = SLOT_PAGES - from % SLOT_PAGES;
		if (step > SLOT_PAGES - to % SLOT_PAGES)
			step = SLOT_PAGES - to % SLOT_PAGES;
		if (step > n)
			step = n;
		if (pmd_table[gib_of(old)])
			pud_table[pud_of(gib_of(new))] = true;
		if (!slots[old].table)
			continue;
		need_tables(new);
		if (step == SLOT_PAGES)
			slots[old].table = false;
	}
}

/* @unmap: not with MREMAP_DONTUNMAP, after which the old place is there and holds nothing. */
void model_move(unsigned int from, unsigned int n, unsigned int to, bool unmap)
{
	struct page page;

	move_tables(from, n, to);
	last_map++;
	for (unsigned int i = 0; i < n; i++) {
		page = take_page(from + i);
		page.map = last_map;
		put_page(to + i, &page);
		if (unmap)
			continue;
		page = (struct page){ .kind = page.kind, .prot = page.prot, .map = last_map + 1 };
		put_page(from + i, &page);
	}
	last_map++;
	free_unused_tables();
}

static void fault_hugetlb(unsigned int slot)
{
	need_upper_tables(slot);
	slots[slot].huge = true;
	for (unsigned int i = slot * SLOT_PAGES; i < (slot + 1) * SLOT_PAGES; i++)
		set_entry(i, OWN);
}

void model_read(unsigned int page)
{
	struct page *p = &pages[page];

	if (p->entry == SWAP) {
		set_entry(page, OWN);
	} else if (p->entry == NONE && p->kind == HUGETLB) {
		fault_hugetlb(page / SLOT_PAGES);
	} else if (p->entry == NONE || p->entry == MARKER) {
		need_tables(page / SLOT_PAGES);
		set_entry(page, is_kind(page, OF_ANON) ? ZERO : CACHE);
	}
}

void model_write(unsigned int page, uint32_t value)
{
	struct page *p = &pages[page];

	if (p->kind == HUGETLB)
		model_read(page);
	else
		need_tables(page / SLOT_PAGES);
	if (is_kind(page, OF_ANON | KIND(PRIVATE)))
		set_entry(page, OWN);
	else
		set_entry(page, CACHE);
	p->lazy = false;
	if (in_file(p))
		object_value[p->object] = value;
	else
		p->value = value;
}

static void zap(unsigned int page)
{
	struct page *p = &pages[page];

	/* Memory that others may see keeps its write protection without the page. */
	if (p->kind == WP_SHARED && p->wp) {
		set_entry(page, MARKER);
		return;
	}
	set_entry(page, NONE);
	p->wp = p->lazy = false;
	if (is_kind(page, OF_ANON | KIND(PRIVATE)))
		p->value = 0;
}

void model_free(unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		if (pages[i].entry == OWN)
			pages[i].lazy = true;
		else if (pages[i].entry == SWAP)
			zap(i);
	}
}

bool model_paged_out(unsigned int page, bool present, bool swap)
{
	struct page *p = &pages[page];
	enum entry entry = p->entry;

	if (present)
		return entry != NONE && entry != SWAP && entry != MARKER;
	if (swap) {
		if (entry == OWN)
			set_entry(page, SWAP);
		return entry == OWN || entry == SWAP;
	}
	if (entry == CACHE || p->lazy)
		zap(page);
	return p->entry == NONE;
}

/* Markers are put where there is no page; a fault turns them into a protected page. */
void model_wp(unsigned int first, unsigned int n, bool protect)
{
	for (unsigned int i = first; i < first + n; i++) {
		if (protect)
			need_tables(i / SLOT_PAGES);
		if (protect && pages[i].entry == NONE)
			set_entry(i, MARKER);
		else if (!protect && pages[i].entry == MARKER)
			set_entry(i, NONE);
		pages[i].wp = protect;
	}
}

void model_collapse(unsigned int slot)
{
	slots[slot].huge = true;
	for (unsigned int i = slot * SLOT_PAGES; i < (slot + 1) * SLOT_PAGES; i++)
		set_entry(i, OWN);
}

/* ---- the contract ---- */

static bool is_empty(const struct slot *slot, unsigned int index)
{
	unsigned int in_use = slot->mapped - slot->entries[NONE];

	if (wrong == SWAP_IS_EMPTY)
		in_use -= slot->entries[SWAP];
	else if (wrong == MARKER_IS_EMPTY)
		in_use -= slot->entries[MARKER];
	else if (wrong == ZERO_IS_EMPTY)
		in_use -= slot->entries[ZERO];
	else if (wrong == LAST_ENTRY_UNSEEN)
		in_use -= pages[index * SLOT_PAGES + SLOT_PAGES - 1].entry != NONE;
	return !in_use;
}

static bool is_eligible(const struct slot *slot)
{
	const unsigned int *kinds = slot->kinds;

	if ((wrong == LOCKED_INELIGIBLE && kinds[LOCKED]) ||
	    (wrong == GROWSDOWN_INELIGIBLE && kinds[GROWSDOWN]) ||
	    (wrong == WP_INELIGIBLE && kinds[WP_ANON] + kinds[WP_SHARED]))
		return false;
	return (!kinds[MIXED] || wrong == MIXED_ELIGIBLE) &&
	       (!(kinds[DEVICE] + kinds[VVAR]) || wrong == PFN_ELIGIBLE) && !kinds[HUGETLB];
}

static bool several_maps(unsigned int slot)
{
	uint32_t map = 0;

	for (unsigned int i = slot * SLOT_PAGES; i < (slot + 1) * SLOT_PAGES; i++) {
		if (pages[i].kind == HOLE)
			continue;
		if (map && map != pages[i].map)
			return true;
		map = pages[i].map;
	}
	return false;
}

static bool intersects_slot(unsigned int slot, uintptr_t start, uintptr_t end)
{
	return start < slot_address(slot) + SLOT && end > slot_address(slot);
}

static bool covers_slot(unsigned int slot, uintptr_t start, uintptr_t end)
{
	return start <= slot_address(slot) && end >= slot_address(slot) + SLOT;
}

/* Does the range cover a mapped page of the slot? */
static bool covers_mapped(unsigned int slot, uintptr_t start, uintptr_t end)
{
	for (unsigned int i = slot * SLOT_PAGES; i < (slot + 1) * SLOT_PAGES; i++)
		if (address(i) >= start && address(i) < end && pages[i].kind != HOLE)
			return true;
	return false;
}

static void note_freed(unsigned int slot, uintptr_t start, uintptr_t end)
{
	met[FREED]++;
	if (!covers_slot(slot, start, end))
		met[FREED_PARTLY_COVERED]++;
	if (!covers_mapped(slot, start, end))
		met[FREED_FROM_HOLE]++;
	if (several_maps(slot))
		met[FREED_SHARED]++;
}

/* Whether or not somebody has to look at it, and frees it. */
static bool free_if_empty(unsigned int index)
{
	struct slot *slot = &slots[index];

	if (!slot->table || slot->huge)
		return false;
	model_looked_min += is_eligible(slot);
	model_looked_max++;
	if (!is_empty(slot, index) || !is_eligible(slot))
		return false;
	slot->table = false;
	model_freed++;
	return true;
}

static void note_kept(const struct slot *slot)
{
	unsigned int in_use = slot->mapped - slot->entries[NONE];

	if (slot->huge && slot->table)
		met[KEPT_HUGE]++;
	else if (slot->huge)
		met[MET_HUGETLB]++;
	else if (slot->table && !in_use)
		met[slot->kinds[MIXED] ? KEPT_MIXED : KEPT_PFN]++;
	else if (slot->table && slot->entries[MARKER] == in_use)
		met[KEPT_MARKERS]++;
	else if (slot->table && slot->entries[SWAP] == in_use)
		met[KEPT_SWAP]++;
	else if (slot->table && slot->entries[ZERO] == in_use)
		met[KEPT_ZERO]++;
}

static void reclaim_slot(unsigned int index, uintptr_t start, uintptr_t end)
{
	struct slot *slot = &slots[index];

	if (wrong == INWARD && !covers_slot(index, start, end))
		return;
	if (slot->huge && wrong == FREES_HUGE)
		slot->table = false;
	if (free_if_empty(index))
		note_freed(index, start, end);
	else
		note_kept(slot);
}

/* The first page of [page, limit) that is not mapped, or limit. */
static unsigned int first_hole_page(unsigned int page, unsigned int limit)
{
	while (page < limit) {
		if (!(page % SLOT_PAGES) && slot_of(page)->mapped == SLOT_PAGES)
			page += SLOT_PAGES;
		else if (pages[page].kind != HOLE)
			page++;
		else
			return page;
	}
	return limit;
}

/* The first address of [start, end) that is not mapped, or end. */
static uintptr_t first_hole(uintptr_t start, uintptr_t end)
{
	uintptr_t at = start;

	if (at >= LOW_START && at < LOW_END)
		at = LOW_START + first_hole_page((at - LOW_START) / PAGE, LOW_PAGES) * PAGE;
	if (at >= LOW_END && at < HIGH_START && gap_mapped)
		at = HIGH_START;
	if (at >= HIGH_START && at < HIGH_END)
		at = HIGH_START + (first_hole_page(LOW_PAGES + (at - HIGH_START) / PAGE, PAGES) -
				   LOW_PAGES) * PAGE;
	return at < end ? at : end;
}

static void free_pmd_tables(void)
{
	bool used[GIBS] = { false };

	for (int i = 0; i < SLOTS; i++)
		used[gib_of(i)] |= slots[i].table || slots[i].huge;
	for (int i = 0; i < GIBS; i++)
		pmd_table[i] &= used[i];
}

/* Aligned, not empty, not wrapping. */
static long reclaim_range(uintptr_t start, uintptr_t end)
{
	unsigned long freed = model_freed;
	uintptr_t hole = first_hole(start, end);
	uintptr_t from = start, to = end;

	model_wide += end > HIGH_END;
	if (wrong == STOPS_AT_HOLE)
		to = hole;
	for (unsigned int i = 0; i < SLOTS; i++)
		if (intersects_slot(i, from, to))
			reclaim_slot(i, from, to);
	if (wrong == FREES_PMD && model_freed != freed)
		free_pmd_tables();
	if (wrong == OUTWARD_ENOMEM && start >= LOW_START && end <= HIGH_END) {
		start &= -SLOT;
		end = (end + SLOT - 1) & -SLOT;
		hole = first_hole(start, end);
	}
	if (hole != end && wrong != NO_ENOMEM) {
		if (model_freed != freed)
			met[FREED_WITH_ENOMEM]++;
		return -ENOMEM;
	}
	if (model_freed != freed && start < LOW_END && end > HIGH_START)
		met[FREED_BY_LONG]++;
	return 0;
}

long model_madvise(uintptr_t start, size_t len)
{
	size_t size = (len + PAGE - 1) & -PAGE;

	if (start % PAGE || (len && !size) || start + size < start) {
		met[MET_EINVAL]++;
		return -EINVAL;
	}
	return size ? reclaim_range(start, start + size) : 0;
}

/* What a MADV_DONTNEED does, and how far it came. */
struct discard {
	uintptr_t start, end;
	bool locked;		/* may discard locked memory */
	uintptr_t stop;		/* where it met what it may not discard, or the end */
	bool met_table;
	bool was_empty[SLOTS];
};

/* Page @first to @end of a slot. Huge pages of hugetlb go as a whole or not at all. */
static bool discard_hugetlb(unsigned int first, unsigned int end)
{
	if (first % SLOT_PAGES)
		return false;
	if (end % SLOT_PAGES)
		return true;
	for (unsigned int i = first; i < end; i++)
		zap(i);
	met[DONTNEED_HUGETLB] += slot_of(first)->huge;
	slot_of(first)->huge = false;
	return true;
}

static unsigned int kinds_kept(const struct discard *d)
{
	unsigned int kinds = KIND(DEVICE) | KIND(VVAR);

	return d->locked || wrong == DONTNEED_ZAPS_LOCKED ? kinds : kinds | KIND(LOCKED);
}

/* False if it has to end there. */
static bool discard_in_slot(struct discard *d, unsigned int first, unsigned int end)
{
	struct slot *slot = slot_of(first);

	if (is_kind(first, KIND(HUGETLB)))
		return discard_hugetlb(first, end);
	if (slot->huge && end - first < SLOT_PAGES) {
		slot->huge = false;
		met[DONTNEED_SPLIT]++;
	}
	for (unsigned int i = first; i < end; i++) {
		if (is_kind(i, kinds_kept(d))) {
			d->stop = address(i);
			return false;
		}
		if (is_kind(i, KIND(HOLE)))
			continue;
		d->met_table |= slot->table && !slot->huge;
		zap(i);
	}
	if (slot->huge) {
		slot->table = slot->huge = false;
		met[DONTNEED_HUGE]++;
	}
	return true;
}

/* Returns whether it got to the end. */
static bool discard_pages(struct discard *d)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		uintptr_t at = slot_address(i);
		unsigned int first = d->start > at ? (d->start - at) / PAGE : 0;
		unsigned int end = d->end < at + SLOT ? (d->end - at) / PAGE : SLOT_PAGES;

		if (!intersects_slot(i, d->start, d->end))
			continue;
		d->was_empty[i] = slots[i].mapped == slots[i].entries[NONE];
		d->stop = at + first * PAGE;
		if (!discard_in_slot(d, i * SLOT_PAGES + first, i * SLOT_PAGES + end))
			return false;
	}
	d->stop = d->end;
	return true;
}

static void note_discard_freed(const struct discard *d, unsigned int index)
{
	const struct slot *slot = &slots[index];

	met[DONTNEED_FREED]++;
	met[DONTNEED_FREED_EMPTY] += d->was_empty[index];
	met[DONTNEED_FREED_SHARED] += several_maps(index);
	met[DONTNEED_FREED_LOCKED] += slot->kinds[LOCKED] != 0;
	met[DONTNEED_FREED_HALF_MAPPED] += slot->mapped < SLOT_PAGES;
	met[DONTNEED_FREED_BEHIND] += d->stop <= slot_address(index);
}

static void note_discard_kept(const struct discard *d, unsigned int index)
{
	const struct slot *slot = &slots[index];

	if (slot->kinds[MIXED] && slot->mapped == slot->entries[NONE])
		met[DONTNEED_KEPT_MIXED]++;
	else if (slot->kinds[DEVICE] + slot->kinds[VVAR])
		met[DONTNEED_KEPT_PFN]++;
	else if (slot->kinds[LOCKED] && slot->entries[OWN])
		met[DONTNEED_KEPT_LOCKED]++;
	else if (d->stop <= slot_address(index))
		met[DONTNEED_KEPT_BEHIND]++;
	else if (slot->entries[MARKER])
		met[DONTNEED_KEPT_MARKERS]++;
}

/* Only tables that the range covers whole: what is at its edges will be used again. */
static void free_discarded(const struct discard *d, uintptr_t end)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		bool covered = wrong == DONTNEED_OUTWARD ? intersects_slot(i, d->start, end) :
							   covers_slot(i, d->start, end);
		struct slot *slot = &slots[i];

		if (!slot->table || slot->huge || !intersects_slot(i, d->start, end))
			continue;
		if (!covered)
			met[DONTNEED_LEFT_PARTLY_COVERED] += slot->mapped == slot->entries[NONE];
		else if (wrong == DONTNEED_ONE_MAPPING && several_maps(i))
			continue;
		else if (free_if_empty(i))
			note_discard_freed(d, i);
		else
			note_discard_kept(d, i);
	}
}

/* Where free_discarded() stops. */
static uintptr_t limit_of(const struct discard *d, bool to_the_end)
{
	if (wrong == DONTNEED_FREES_NONE || (wrong == DONTNEED_UNDONE_BY_ERROR && !to_the_end))
		return d->start;
	if (wrong == DONTNEED_STOPS_AT_HOLE)
		return first_hole(d->start, d->end);
	return wrong == DONTNEED_STOPS_AT_ERROR ? d->stop : d->end;
}

/*
 * Tables are looked at when all has been discarded that may be, be there holes in
 * the range or not. EINVAL ends the one and not the other, unless there has been no
 * table so far.
 */
long model_dontneed(uintptr_t start, size_t len, bool locked)
{
	struct discard d = {
		.start = start, .end = start + ((len + PAGE - 1) & -PAGE), .locked = locked,
	};
	unsigned long freed = model_freed;
	bool to_the_end = discard_pages(&d);

	if (d.met_table && dontneed_is_ours)
		free_discarded(&d, limit_of(&d, to_the_end));
	if (to_the_end && first_hole(d.start, d.end) == d.end)
		return 0;
	if (model_freed != freed)
		met[to_the_end ? DONTNEED_FREED_ENOMEM : DONTNEED_FREED_EINVAL]++;
	return to_the_end ? -ENOMEM : -EINVAL;
}

static bool is_user(uintptr_t start, size_t len)
{
	return start + len >= start && start + len <= task_end;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static long check_vector(const struct iovec *iov, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		size_t len = iov[i].iov_len;

		/* A single element is cut before it is checked; so Linux imports vectors. */
		if (n == 1)
			len = min_size(len, MOST_BYTES);
		if (!is_user((uintptr_t)iov[i].iov_base, len))
			return -EFAULT;
	}
	return 0;
}

long model_process_madvise(const struct iovec *iov, size_t n, unsigned int flags)
{
	size_t left = wrong == NO_CUT ? SIZE_MAX : MOST_BYTES;
	long done = 0, ret;

	ret = flags || n > MOST_ELEMENTS ? -EINVAL : check_vector(iov, n);
	if (ret)
		met[ret == -EFAULT ? MET_EFAULT : MET_EINVAL]++;

	for (size_t i = 0; i < n && left && !ret; i++) {
		size_t len = min_size(iov[i].iov_len, left);

		if (len < iov[i].iov_len)
			met[VECTOR_CUT]++;
		if (!len)
			continue;
		ret = model_madvise((uintptr_t)iov[i].iov_base, len);
		if (!ret || wrong == FAILED_COUNTS) {
			left -= len;
			done += len;
		}
	}
	if (done && ret)
		met[VECTOR_PARTIAL]++;
	return done ? done : ret;
}
