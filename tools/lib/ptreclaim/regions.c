// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <stdatomic.h>

#include "regions.h"

/*
 * A slot holds the number of a region and the units noted in it. Both are in one word,
 * so that who takes the units knows whose they are. A region without units needs its
 * slot no longer, and another one may have it. A note that meets such a change adds its
 * units to the wrong region: that one is due earlier, and the note looks for another slot.
 */
#define UNITS_BITS	36
#define UNITS(word)	((word) & ((1ULL << UNITS_BITS) - 1))
#define NUMBER(word)	((word) >> UNITS_BITS)
#define FULL		(1ULL << (UNITS_BITS - 2))	/* 64 TiB, and room for what threads add */

#define REGION_SIZE	((uint64_t)1 << REGION_SHIFT)
#define MOST_REGIONS	1024	/* of one note; for more it is cheaper to mark everything */
#define WHOLE		REGION_SLOTS

static _Alignas(64) _Atomic uint64_t slots[REGION_SLOTS + 1];
static _Atomic uint32_t times[REGION_SLOTS + 1];

/* Regions in a row, as of one large heap, fill all sets evenly. */
static size_t first_slot(uint64_t number)
{
	return (size_t)((number ^ number >> 8 ^ number >> 16) % REGION_SETS) * REGION_WAYS;
}

/* The slot as it was. The time comes first: a walk that sees the units sees it, too. */
static uint64_t add_units(size_t slot, uint64_t word, uint64_t units, uint32_t now)
{
	atomic_store_explicit(&times[slot], now, memory_order_relaxed);
	if (UNITS(word) >= FULL)
		return word;
	return atomic_fetch_add(&slots[slot], units);
}

static bool add_to_own(uint64_t number, uint64_t units, uint32_t now, uint64_t *sum)
{
	size_t first = first_slot(number);
	uint64_t word;
	size_t slot;

	for (slot = first; slot < first + REGION_WAYS; slot++) {
		word = atomic_load(&slots[slot]);
		if (NUMBER(word) != number)
			continue;
		word = add_units(slot, word, units, now);
		if (NUMBER(word) != number)
			continue;
		*sum = UNITS(word) + units;
		return true;
	}
	return false;
}

static bool add_to_free(uint64_t number, uint64_t units, uint32_t now)
{
	size_t first = first_slot(number);
	uint64_t word;
	size_t slot;

	for (slot = first; slot < first + REGION_WAYS; slot++) {
		word = atomic_load(&slots[slot]);
		if (UNITS(word))
			continue;
		atomic_store_explicit(&times[slot], now, memory_order_relaxed);
		if (atomic_compare_exchange_strong(&slots[slot], &word,
						   number << UNITS_BITS | units))
			return true;
	}
	return false;
}

static void add_whole(struct noted *noted, uint64_t units, uint32_t now)
{
	uint64_t word = atomic_load(&slots[WHOLE]);

	units += UNITS(add_units(WHOLE, word, units, now));
	if (units > noted->units)
		noted->units = units;
	noted->overflow = true;
}

static uint64_t to_units(uint64_t bytes)
{
	return (bytes + (1U << UNIT_SHIFT) - 1) >> UNIT_SHIFT;
}

static void add_region(struct noted *noted, uint64_t start, uint64_t end, uint32_t now)
{
	uint64_t number = start >> REGION_SHIFT;
	uint64_t units = to_units(end - start);
	uint64_t sum = units;

	if (!add_to_own(number, units, now, &sum) && !add_to_free(number, units, now))
		add_whole(noted, units, now);
	else if (sum > noted->units)
		noted->units = sum;
}

struct noted ptreclaim_regions_add(uintptr_t start, size_t length, uint32_t now)
{
	struct noted noted = { 0, false };
	uint64_t end = (uint64_t)start + length;
	uint64_t at = start;
	uint64_t stop;

	if (!length)
		return noted;
	/* No address is so high, and no number of a region then needs more than its bits. */
	if (end < start || end > REGION_SIZE << (64 - UNITS_BITS) ||
	    end - start > MOST_REGIONS * REGION_SIZE) {
		add_whole(&noted, length < FULL ? to_units(length) : FULL, now);
		return noted;
	}
	for (; at < end; at = stop) {
		stop = ((at >> REGION_SHIFT) + 1) << REGION_SHIFT;
		if (stop > end)
			stop = end;
		add_region(&noted, at, stop, now);
	}
	return noted;
}

static uint64_t take(size_t slot)
{
	return atomic_fetch_and(&slots[slot], ~UNITS(UINT64_MAX));
}

/* What is left to walk is part of everything. */
static void take_all(struct region_walk *walk, struct region *region)
{
	size_t slot;

	for (slot = 0; slot < REGION_SLOTS; slot++)
		take(slot);
	walk->end = true;
	region->start = 0;
	region->length = SIZE_MAX;
	region->whole = true;
}

static bool is_due(struct region_walk *walk, size_t slot, uint64_t units)
{
	uint32_t noted = atomic_load_explicit(&times[slot], memory_order_relaxed);
	uint32_t idle = walk->now - noted;

	/* Noted after the walk has begun. */
	if (idle > INT32_MAX)
		idle = 0;
	if (units >= walk->units || idle >= walk->idle)
		return true;
	if (walk->idle - idle < walk->wait)
		walk->wait = walk->idle - idle;
	return false;
}

static bool take_slot(struct region_walk *walk, size_t slot, struct region *region)
{
	uint64_t word = atomic_load(&slots[slot]);

	if (!UNITS(word) || !is_due(walk, slot, UNITS(word)))
		return false;
	word = take(slot);
	if (!UNITS(word))	/* another thread has taken it */
		return false;
	region->start = (uintptr_t)(NUMBER(word) << REGION_SHIFT);
	region->length = (size_t)REGION_SIZE;
	region->whole = false;
	return true;
}

bool ptreclaim_regions_take(struct region_walk *walk, struct region *region)
{
	size_t slot;

	while (!walk->end) {
		slot = walk->next;
		walk->end = !slot;
		walk->next = slot - 1;
		if (!take_slot(walk, slot, region))
			continue;
		if (slot == WHOLE)
			take_all(walk, region);
		return true;
	}
	return false;
}
