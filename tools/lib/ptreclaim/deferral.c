// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "deferral.h"
#include "ptreclaim.h"
#include "regions.h"

#define DEFAULT_IDLE_MS	1000
#define DEFAULT_BYTES	((uint64_t)512 << 20)

/* Not set by a call, and the environment was not looked at. */
#define IDLE_UNSET	UINT32_MAX
#define BYTES_UNSET	0

static _Atomic uint32_t idle_ms = IDLE_UNSET;
static _Atomic uint64_t bytes_limit = BYTES_UNSET;

#define NEVER		UINT64_MAX

/*
 * No region is due before this time, in ms of CLOCK_MONOTONIC. All regions wait equally
 * long, so a note moves it only if nothing was noted before, or if enough was.
 */
static _Atomic uint64_t next_due = NEVER;

static struct {
	_Atomic uint64_t notes, bytes, calls, regions, overflows;
} counters;

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Of nothing but digits; anything else is not a setting. */
static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = secure_getenv(name);
	uint64_t value = 0;

	if (!text || !*text)
		return otherwise;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (value > (UINT64_MAX - 9) / 10)
			return otherwise;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	return *text ? otherwise : value;
}

static uint32_t clamp_idle(uint64_t ms)
{
	return ms < INT_MAX ? (uint32_t)ms : INT_MAX;
}

static uint64_t clamp_bytes(uint64_t bytes)
{
	return bytes != BYTES_UNSET ? bytes : 1;
}

static uint32_t idle_limit(void)
{
	uint32_t set = atomic_load_explicit(&idle_ms, memory_order_relaxed);
	uint32_t value;

	if (set != IDLE_UNSET)
		return set;
	value = clamp_idle(from_environment("PTRECLAIM_IDLE_MS", DEFAULT_IDLE_MS));
	/* A call that came first has the last word. */
	return atomic_compare_exchange_strong(&idle_ms, &set, value) ? value : set;
}

static uint64_t units_limit(void)
{
	uint64_t set = atomic_load_explicit(&bytes_limit, memory_order_relaxed);
	uint64_t value;

	if (set == BYTES_UNSET) {
		value = clamp_bytes(from_environment("PTRECLAIM_BYTES", DEFAULT_BYTES));
		if (atomic_compare_exchange_strong(&bytes_limit, &set, value))
			set = value;
	}
	return ((set - 1) >> UNIT_SHIFT) + 1;
}

static void all_due_now(void)
{
	if (atomic_exchange(&next_due, 0))
		ptreclaim_wake();
}

void ptreclaim_set_deferral(unsigned int idle, uint64_t bytes)
{
	atomic_store(&idle_ms, clamp_idle(idle));
	atomic_store(&bytes_limit, clamp_bytes(bytes));
	all_due_now();		/* to be looked at again */
}

/*
 * One attempt, so that a note is wait-free. If it fails, another note has set about the
 * same time, or somebody has begun to look at all regions and will find this one.
 */
static void due_at(uint64_t when)
{
	uint64_t set = atomic_load(&next_due);

	if (set > when && atomic_compare_exchange_strong(&next_due, &set, when))
		ptreclaim_wake();
}

void ptreclaim_note(const void *addr, size_t length)
{
	struct noted noted;
	uint64_t now;

	if (!length || ptreclaim_probe(NULL))
		return;
	now = now_ms();
	noted = ptreclaim_regions_add((uintptr_t)addr, length, (uint32_t)now);
	count(&counters.notes, 1);
	count(&counters.bytes, length);
	count(&counters.overflows, noted.overflow);
	if (noted.units < units_limit())
		due_at(now + idle_limit());
	else if (atomic_load(&next_due))
		all_due_now();
}

static void not_later_than(uint64_t when)
{
	uint64_t set = atomic_load(&next_due);

	while (set > when && !atomic_compare_exchange_weak(&next_due, &set, when))
		;
}

static int act(uint64_t now, uint32_t idle)
{
	struct region_walk walk = {
		.now = (uint32_t)now,
		.idle = idle,
		.units = units_limit(),
		.next = REGION_SLOTS,
		.wait = REGIONS_NONE,
	};
	struct region region;
	int first = 0;
	int ret;

	/* Before the walk: a note that it misses sets the time again. */
	atomic_store(&next_due, NEVER);
	while (ptreclaim_regions_take(&walk, &region)) {
		ret = ptreclaim_range((const void *)region.start, region.length);
		count(&counters.calls, 1);
		count(&counters.regions, !region.whole);
		if (!first)
			first = ret;
	}
	if (walk.wait != REGIONS_NONE)
		not_later_than(now + walk.wait);
	return first;
}

int ptreclaim_left(void)
{
	uint64_t due = atomic_load(&next_due);
	uint64_t now;

	if (due == NEVER)
		return -1;
	now = now_ms();
	if (due <= now)
		return 0;
	return due - now < INT_MAX ? (int)(due - now) : INT_MAX;
}

int ptreclaim_due(int *next)
{
	int ret = ptreclaim_probe(NULL);

	if (!ret && !ptreclaim_left())
		ret = act(now_ms(), idle_limit());
	if (next)
		*next = ptreclaim_left();
	return ret;
}

int ptreclaim_flush(void)
{
	int ret = ptreclaim_probe(NULL);

	return ret ? ret : act(now_ms(), 0);
}

void ptreclaim_get_counters(struct ptreclaim_counters *c)
{
	c->notes = atomic_load_explicit(&counters.notes, memory_order_relaxed);
	c->bytes = atomic_load_explicit(&counters.bytes, memory_order_relaxed);
	c->calls = atomic_load_explicit(&counters.calls, memory_order_relaxed);
	c->regions = atomic_load_explicit(&counters.regions, memory_order_relaxed);
	c->overflows = atomic_load_explicit(&counters.overflows, memory_order_relaxed);
}
