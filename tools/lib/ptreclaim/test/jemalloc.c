// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The hooks in Debian's jemalloc, with a kernel and a clock that are made up. */
#include <jemalloc/jemalloc.h>
#include <string.h>

#include "later.h"

#define SMALL	(64UL << 10)
#define MANY	2000

static unsigned int arenas(void)
{
	unsigned int n = 0;
	size_t size = sizeof(n);

	mallctl("arenas.narenas", &n, &size, NULL, 0);
	return n;
}

static extent_hooks_t *hooks(unsigned int arena)
{
	extent_hooks_t *h = NULL;
	size_t size = sizeof(h);
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
	mallctl(name, &h, &size, NULL, 0);
	return h;
}

static void purge(unsigned int arena)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.purge", arena);
	mallctl(name, NULL, NULL, NULL, 0);
}

/* Notes that come from so much memory, used and freed. */
static uint64_t churn(size_t each, int n, int flags, unsigned int arena)
{
	static char *object[MANY];
	uint64_t before = counters().bytes;
	int i;

	for (i = 0; i < n; i++) {
		object[i] = mallocx(each, flags);
		memset(object[i], 1, each);
	}
	for (i = 0; i < n; i++)
		dallocx(object[i], flags);
	purge(arena);
	return counters().bytes - before;
}

static bool in_all_arenas(void)
{
	extent_hooks_t *before = hooks(0);
	unsigned int n = arenas();
	unsigned int i;

	errno = EDOM;
	if (ptreclaim_jemalloc() || errno != EDOM || hooks(0) == before)
		return false;
	for (i = 0; i < n; i++)
		if (hooks(i) != hooks(0)) {
			printf("# arena %u of %u\n", i, n);
			return false;
		}
	before = hooks(0);
	return !ptreclaim_jemalloc() && hooks(0) == before && arenas() == n && !fake.calls;
}

static bool notes_what_is_purged(void)
{
	int none = MALLOCX_TCACHE_NONE;
	struct ptreclaim_counters c;
	uint64_t large, small;

	if (ptreclaim_jemalloc())
		return false;
	small = churn(SMALL, MANY, none | MALLOCX_ARENA(0), 0);
	large = churn(64UL << 20, 2, none, arenas() - 1);
	c = counters();
	printf("# %llu and %llu bytes noted\n", (unsigned long long)small,
	       (unsigned long long)large);
	if (small < SMALL * MANY * 9 / 10 || large < 128UL << 20 || c.calls)
		return false;
	return !ptreclaim_flush() && fake.calls && !fake.whole && !fake.odd;
}

/* Hooks of the program's own, on an arena of its own, are called with what they know. */
static struct {
	extent_hooks_t hooks;
	extent_hooks_t *inner;
	int allocs, purges, dallocs, wrong;
} own;

static void *own_alloc(extent_hooks_t *h, void *new_addr, size_t size, size_t alignment,
		       bool *zero, bool *commit, unsigned int arena)
{
	own.wrong += h != &own.hooks;
	own.allocs++;
	return own.inner->alloc(own.inner, new_addr, size, alignment, zero, commit, arena);
}

static bool own_dalloc(extent_hooks_t *h, void *addr, size_t size, bool committed,
		       unsigned int arena)
{
	(void)addr;
	(void)size;
	(void)committed;
	(void)arena;
	own.wrong += h != &own.hooks;
	own.dallocs++;
	return true;
}

static bool own_purge(extent_hooks_t *h, void *addr, size_t size, size_t offset, size_t length,
		      unsigned int arena)
{
	own.wrong += h != &own.hooks;
	own.purges++;
	/* Every other one fails, and must not be noted. */
	if (own.purges % 2)
		return true;
	return own.inner->purge_forced(own.inner, addr, size, offset, length, arena);
}

static bool around_own_hooks(void)
{
	extent_hooks_t *h = &own.hooks;
	unsigned int arena = 0;
	size_t size = sizeof(arena);

	own.inner = hooks(0);
	own.hooks = *own.inner;
	own.hooks.alloc = own_alloc;
	own.hooks.dalloc = own_dalloc;
	own.hooks.purge_forced = own_purge;
	own.hooks.purge_lazy = NULL;
	if (mallctl("arenas.create", &arena, &size, &h, sizeof(h)) || ptreclaim_jemalloc())
		return false;
	h = hooks(arena);
	if (h == &own.hooks || h == hooks(0) || h->purge_lazy || !h->dalloc || hooks(0)->dalloc)
		return false;
	churn(SMALL, MANY, MALLOCX_TCACHE_NONE | MALLOCX_ARENA(arena), arena);
	printf("# %d allocs, %d purges, %d dallocs\n", own.allocs, own.purges, own.dallocs);
	return own.allocs && own.purges && own.dallocs && !own.wrong;
}

static bool failed_purges(void)
{
	extent_hooks_t *h = &own.hooks;

	if (!around_own_hooks())
		return false;
	own.inner = hooks(0);
	h = hooks(arenas() - 1);
	own.purges = 0;
	/* Odd ones fail. */
	{
		uint64_t notes = counters().notes;

		return h->purge_forced(h, (void *)0x40000000, 4096, 0, 4096, 0) &&
		       counters().notes == notes;
	}
}

static bool not_supported(void)
{
	extent_hooks_t *before = hooks(0);

	setenv("PTRECLAIM_PROBE", "0", 1);
	return ptreclaim_jemalloc() == -ENOTSUP && hooks(0) == before;
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(5);
	ok(alone(not_supported), "without the advice, no hooks");
	ok(alone(in_all_arenas), "hooks in all arenas, once");
	ok(alone(notes_what_is_purged), "what is purged is noted");
	ok(alone(around_own_hooks), "the program's own hooks are called");
	ok(alone(failed_purges), "a purge that failed is not noted");
	return finish();
}
