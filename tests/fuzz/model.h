/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What MADV_RECLAIM_PT and MADV_DONTNEED promise, over a model of the arena: which
 * pages are mapped and how, which page table entries are none, which tables there
 * are. Written from the contract (man/madvise-pt-reclaim.2), not from the kernel's code.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PAGE		4096UL
#define SLOT		(2UL << 20)	/* what a PTE table maps */
#define GIB		(1UL << 30)	/* what a PMD table maps */
#define PUD_SPAN	(512 * GIB)	/* what a PUD table maps */
#define SLOT_PAGES	512

/*
 * The arena: two regions in which pages come and go, one across a multiple of
 * 1 GiB, the other across a multiple of 512 GiB, and the gap between them, which
 * is mapped or not as a whole and never touched.
 */
#define LOW_SLOTS	24
#define HIGH_SLOTS	16
#define SLOTS		(LOW_SLOTS + HIGH_SLOTS)
#define PAGES		(SLOTS * SLOT_PAGES)
#define LOW_PAGES	(LOW_SLOTS * SLOT_PAGES)
#define LOW_START	(2 * PUD_SPAN + GIB - LOW_SLOTS / 2 * SLOT)
#define LOW_END		(LOW_START + LOW_SLOTS * SLOT)
#define HIGH_START	(3 * PUD_SPAN - HIGH_SLOTS / 2 * SLOT)
#define HIGH_END	(HIGH_START + HIGH_SLOTS * SLOT)

#define OBJECT_PAGES	2048		/* of the memfd that MEMFD and PRIVATE map */
#define HUGETLB_PAGES	8

enum kind {
	HOLE,
	ANON,
	GROWSDOWN,
	LOCKED,		/* anonymous, MAP_LOCKED */
	SHARED,		/* shared anonymous */
	MEMFD,		/* shared */
	PRIVATE,	/* private, of the same memfd */
	WP_ANON,	/* anonymous, registered for userfaultfd-wp */
	WP_SHARED,	/* shared anonymous, registered likewise */
	MIXED,		/* a TCP socket: VM_MIXEDMAP, with no entry */
	DEVICE,		/* a PCI resource: VM_PFNMAP and VM_IO, entries in all pages */
	VVAR,		/* [vvar], moved here: VM_PFNMAP and VM_IO, with no entry */
	HUGETLB,
	KINDS,
};

#define KIND(k)		(1U << (k))
#define OF_PAGES	(KIND(ANON) | KIND(GROWSDOWN) | KIND(SHARED) | KIND(MEMFD) | KIND(PRIVATE))
#define OF_WP		(KIND(WP_ANON) | KIND(WP_SHARED))
#define OF_ANON		(KIND(ANON) | KIND(GROWSDOWN) | KIND(LOCKED) | KIND(WP_ANON) | \
			 KIND(HUGETLB))

enum entry {
	NONE,
	ZERO,		/* the zero page */
	CACHE,		/* a page of a file or of shared memory */
	OWN,		/* a page of the process's own */
	SWAP,
	MARKER,		/* of userfaultfd-wp */
	FOREIGN,	/* put there by a driver; pagemap does not show it */
	ENTRIES,
};

struct page {
	uint8_t kind;
	uint8_t prot;
	uint8_t entry;
	bool wp;
	bool lazy;		/* after MADV_FREE: it may have become zero */
	uint16_t object;	/* page of the memfd */
	uint32_t value;		/* contents, 0 for a page of zeros */
	uint32_t map;		/* pages of one mmap() have the same */
};

/* Rules of the contract that the model gets wrong on demand, to see that it is noticed. */
enum wrong {
	RIGHT,
	INWARD,			/* a table covered in part stays */
	STOPS_AT_HOLE,
	NO_ENOMEM,
	OUTWARD_ENOMEM,		/* for a hole beside the range */
	MIXED_ELIGIBLE,
	PFN_ELIGIBLE,
	LOCKED_INELIGIBLE,
	GROWSDOWN_INELIGIBLE,
	WP_INELIGIBLE,
	SWAP_IS_EMPTY,
	MARKER_IS_EMPTY,
	ZERO_IS_EMPTY,
	FREES_PMD,
	FREES_HUGE,
	NO_CUT,
	FAILED_COUNTS,
	LAST_ENTRY_UNSEEN,
	DONTNEED_FREES_NONE,	/* the first about MADV_DONTNEED */
	DONTNEED_OUTWARD,	/* frees a table covered in part, too */
	DONTNEED_ONE_MAPPING,	/* a table of several mappings stays */
	DONTNEED_STOPS_AT_HOLE,	/* tables behind it stay */
	DONTNEED_STOPS_AT_ERROR,	/* so that tables behind it stay, if empty before */
	DONTNEED_UNDONE_BY_ERROR,	/* all tables stay */
	DONTNEED_ZAPS_LOCKED,
	WRONGS,
};

extern const char *const wrong_names[WRONGS];
extern enum wrong wrong;

/* What calls met, over a whole run: a run that met too little proves little. */
enum met {
	FREED,
	FREED_PARTLY_COVERED,
	FREED_FROM_HOLE,	/* the range covers only unmapped pages of the slot */
	FREED_SHARED,		/* by several mappings */
	FREED_WITH_ENOMEM,
	FREED_BY_LONG,		/* by a call over both regions that returned 0 */
	KEPT_MIXED,		/* empty, but shared with an ineligible mapping */
	KEPT_PFN,
	KEPT_MARKERS,		/* nothing but markers */
	KEPT_SWAP,
	KEPT_ZERO,
	KEPT_HUGE,
	MET_HUGETLB,
	VECTOR_CUT,
	VECTOR_PARTIAL,
	REMOTE_FREED,
	URING_FREED,
	MET_EINVAL,
	MET_EFAULT,
	DONTNEED_FREED,		/* the first about MADV_DONTNEED */
	DONTNEED_FREED_EMPTY,	/* and had found nothing in it */
	DONTNEED_FREED_SHARED,
	DONTNEED_FREED_LOCKED,	/* of locked memory, by MADV_DONTNEED_LOCKED */
	DONTNEED_FREED_HALF_MAPPED,
	DONTNEED_FREED_ENOMEM,
	DONTNEED_FREED_EINVAL,
	DONTNEED_FREED_BEHIND,	/* behind where EINVAL ended it */
	DONTNEED_URING,
	DONTNEED_LEFT_PARTLY_COVERED,	/* empty */
	DONTNEED_KEPT_MIXED,
	DONTNEED_KEPT_PFN,
	DONTNEED_KEPT_MARKERS,
	DONTNEED_KEPT_LOCKED,
	DONTNEED_KEPT_BEHIND,	/* not locked, but behind what is, or behind PFNMAP */
	DONTNEED_SPLIT,		/* a huge page */
	DONTNEED_HUGE,		/* a whole one, and its table */
	DONTNEED_HUGETLB,
	METS,
};

extern const char *const met_names[METS];
extern unsigned long met[METS];

extern uintptr_t task_end;	/* there is no mapping from there on */
extern struct page pages[PAGES];

/* Tables, all calls together: freed, those that had to be and that may have been looked at. */
extern unsigned long model_freed, model_looked_min, model_looked_max;
extern unsigned long model_wide;	/* calls that also cover the program itself */

static inline uintptr_t address(unsigned int page)
{
	return page < LOW_PAGES ? LOW_START + page * PAGE
				: HIGH_START + (page - LOW_PAGES) * PAGE;
}

static inline bool is_kind(unsigned int page, unsigned int kinds)
{
	return KIND(pages[page].kind) & kinds;
}

/* Pages of these kinds in a slot. */
unsigned int model_count(unsigned int slot, unsigned int kinds);
bool model_huge(unsigned int slot);
bool model_gap(void);
unsigned int model_tables(void);
/* Bits 63, 62 and 57 of the page's entry in /proc/PID/pagemap. */
uint64_t model_pagemap(unsigned int page);
uint32_t model_value(unsigned int page);
/* Reading it neither faults nor shows anything but model_value() (or 0 if lazy). */
bool model_visible(unsigned int page);

void model_map(unsigned int first, unsigned int n, enum kind kind, int prot, unsigned int object);
/* From somewhere else, with its tables. */
void model_take_in(unsigned int first, unsigned int n, enum kind kind);
void model_unmap(unsigned int first, unsigned int n);
void model_map_gap(bool mapped);
void model_protect(unsigned int first, unsigned int n, int prot);
void model_move(unsigned int from, unsigned int n, unsigned int to, bool unmap);
void model_read(unsigned int page);
void model_write(unsigned int page, uint32_t value);
void model_free(unsigned int first, unsigned int n);
/* What MADV_PAGEOUT did is up to the kernel: false if it was not allowed to. */
bool model_paged_out(unsigned int page, bool present, bool swap);
void model_wp(unsigned int first, unsigned int n, bool protect);
void model_collapse(unsigned int slot);

long model_madvise(uintptr_t start, size_t len);
/*
 * MADV_DONTNEED frees tables as the series for 6.12 has it. What later kernels do by themselves is
 * not modelled: there it has to be used so that no call covers a table whole, and frees none.
 */
extern bool dontneed_is_ours;
/* MADV_DONTNEED, or if @locked MADV_DONTNEED_LOCKED, of what is in or between the regions. */
long model_dontneed(uintptr_t start, size_t len, bool locked);
long model_process_madvise(const struct iovec *iov, size_t n, unsigned int flags);

#endif
