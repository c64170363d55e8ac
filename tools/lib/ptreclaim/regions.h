/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Which parts of the address space have been noted, in units of 1 GiB: the tables of
 * one PMD table, which the kernel goes through in one batch.
 *
 * A set of fixed size, of atomics only. Adding is wait-free, and may be interrupted
 * anywhere by a signal handler that adds, or by a fork. Units of memory are of 4 KiB.
 */
#ifndef PTRECLAIM_REGIONS_H
#define PTRECLAIM_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_SHIFT	30
#define REGION_SETS	256	/* a region belongs to one of them */
#define REGION_WAYS	16	/* and to any of its slots: two cache lines */
#define REGION_SLOTS	((size_t)REGION_SETS * REGION_WAYS)
#define UNIT_SHIFT	12

struct noted {
	uint64_t units;		/* noted since the region was last taken */
	bool overflow;		/* there was no room: all of the address space was marked */
};

/* Marks what a range touches. The fullest of the regions is reported. NOW is in ms. */
struct noted ptreclaim_regions_add(uintptr_t start, size_t length, uint32_t now);

#define REGIONS_NONE	UINT32_MAX

/* One walk over the set. Start with .next = REGION_SLOTS and .wait = REGIONS_NONE. */
struct region_walk {
	uint32_t now;		/* in ms */
	uint32_t idle;		/* due after so many ms without a note */
	uint64_t units;		/* or with so many units */
	size_t next;		/* slots left, the one for all of the address space first */
	uint32_t wait;		/* ms until the first of those that were passed over is due */
	bool end;
};

struct region {
	uintptr_t start;
	size_t length;
	bool whole;		/* the address space, not a region */
};

/* Takes the next region that is due out of the set; false at the end of the walk. */
bool ptreclaim_regions_take(struct region_walk *walk, struct region *region);

#endif
