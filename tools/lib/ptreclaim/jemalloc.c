// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * jemalloc 5: hooks around those of its arenas, which note what was purged. They are
 * called with locks of the arena held, so they do nothing else.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "ptreclaim.h"
#include "sys.h"

/* As jemalloc's extent_hooks_t. A result of true is a failure. */
struct hooks {
	void *(*alloc)(struct hooks *h, void *new_addr, size_t size, size_t alignment, bool *zero,
		       bool *commit, unsigned int arena);
	bool (*dalloc)(struct hooks *h, void *addr, size_t size, bool committed,
		       unsigned int arena);
	void (*destroy)(struct hooks *h, void *addr, size_t size, bool committed,
			unsigned int arena);
	bool (*commit)(struct hooks *h, void *addr, size_t size, size_t offset, size_t length,
		       unsigned int arena);
	bool (*decommit)(struct hooks *h, void *addr, size_t size, size_t offset, size_t length,
			 unsigned int arena);
	bool (*purge_lazy)(struct hooks *h, void *addr, size_t size, size_t offset, size_t length,
			   unsigned int arena);
	bool (*purge_forced)(struct hooks *h, void *addr, size_t size, size_t offset,
			     size_t length, unsigned int arena);
	bool (*split)(struct hooks *h, void *addr, size_t size, size_t size_a, size_t size_b,
		      bool committed, unsigned int arena);
	bool (*merge)(struct hooks *h, void *addr_a, size_t size_a, void *addr_b, size_t size_b,
		      bool committed, unsigned int arena);
};

/* jemalloc gives the first of these members to the hooks. Its users' own hooks may differ. */
struct chained {
	struct hooks hooks;
	struct hooks *old;
};

#define MOST_CHAINED	8

static struct chained chained[MOST_CHAINED];
static int chained_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of installing */

typedef int mallctl_function(const char *name, void *old, size_t *old_size, void *new,
			     size_t new_size);

/* A program may have one of its own, with prefixed names. */
mallctl_function mallctl __attribute__((weak));
mallctl_function je_mallctl __attribute__((weak));

void *mallocx(size_t size, int flags) __attribute__((weak));
void dallocx(void *addr, int flags) __attribute__((weak));
void *je_mallocx(size_t size, int flags) __attribute__((weak));
void je_dallocx(void *addr, int flags) __attribute__((weak));

static mallctl_function *find_mallctl(void)
{
	return mallctl ? mallctl : je_mallctl;
}

static struct hooks *old_of(struct hooks *h)
{
	return ((struct chained *)h)->old;
}

static void *chain_alloc(struct hooks *h, void *new_addr, size_t size, size_t alignment,
			 bool *zero, bool *commit, unsigned int arena)
{
	struct hooks *old = old_of(h);

	return old->alloc(old, new_addr, size, alignment, zero, commit, arena);
}

static bool chain_dalloc(struct hooks *h, void *addr, size_t size, bool committed,
			 unsigned int arena)
{
	struct hooks *old = old_of(h);

	return old->dalloc(old, addr, size, committed, arena);
}

static void chain_destroy(struct hooks *h, void *addr, size_t size, bool committed,
			  unsigned int arena)
{
	struct hooks *old = old_of(h);

	old->destroy(old, addr, size, committed, arena);
}

static bool chain_commit(struct hooks *h, void *addr, size_t size, size_t offset, size_t length,
			 unsigned int arena)
{
	struct hooks *old = old_of(h);

	return old->commit(old, addr, size, offset, length, arena);
}

static bool note_unless(bool failed, void *addr, size_t offset, size_t length)
{
	if (!failed)
		ptreclaim_note((char *)addr + offset, length);
	return failed;
}

static bool chain_decommit(struct hooks *h, void *addr, size_t size, size_t offset, size_t length,
			   unsigned int arena)
{
	struct hooks *old = old_of(h);

	return note_unless(old->decommit(old, addr, size, offset, length, arena), addr, offset,
			   length);
}

static bool chain_purge_lazy(struct hooks *h, void *addr, size_t size, size_t offset,
			     size_t length, unsigned int arena)
{
	struct hooks *old = old_of(h);

	return note_unless(old->purge_lazy(old, addr, size, offset, length, arena), addr, offset,
			   length);
}

static bool chain_purge_forced(struct hooks *h, void *addr, size_t size, size_t offset,
			       size_t length, unsigned int arena)
{
	struct hooks *old = old_of(h);

	return note_unless(old->purge_forced(old, addr, size, offset, length, arena), addr, offset,
			   length);
}

static bool chain_split(struct hooks *h, void *addr, size_t size, size_t size_a, size_t size_b,
			bool committed, unsigned int arena)
{
	struct hooks *old = old_of(h);

	return old->split(old, addr, size, size_a, size_b, committed, arena);
}

static bool chain_merge(struct hooks *h, void *addr_a, size_t size_a, void *addr_b, size_t size_b,
			bool committed, unsigned int arena)
{
	struct hooks *old = old_of(h);

	return old->merge(old, addr_a, size_a, addr_b, size_b, committed, arena);
}

static bool ask_bool(mallctl_function *ctl, const char *name)
{
	bool value = false;
	size_t size = sizeof(value);

	return !ctl(name, &value, &size, NULL, 0) && value;
}

/*
 * With opt.retain the default dalloc always fails, which jemalloc knows of its own hooks
 * without a call. Of others it knows so if they have none.
 */
static void chain(struct chained *c, struct hooks *old, bool retain)
{
	c->old = old;
	c->hooks.alloc = chain_alloc;
	c->hooks.dalloc = old->dalloc && !retain ? chain_dalloc : NULL;
	c->hooks.destroy = old->destroy ? chain_destroy : NULL;
	c->hooks.commit = old->commit ? chain_commit : NULL;
	c->hooks.decommit = old->decommit ? chain_decommit : NULL;
	c->hooks.purge_lazy = old->purge_lazy ? chain_purge_lazy : NULL;
	c->hooks.purge_forced = old->purge_forced ? chain_purge_forced : NULL;
	c->hooks.split = old->split ? chain_split : NULL;
	c->hooks.merge = old->merge ? chain_merge : NULL;
}

static bool is_ours(const struct hooks *hooks)
{
	int i;

	for (i = 0; i < chained_count; i++)
		if (hooks == &chained[i].hooks)
			return true;
	return false;
}

static struct hooks *chain_for(struct hooks *old, bool retain)
{
	int i;

	for (i = 0; i < chained_count; i++)
		if (chained[i].old == old)
			return &chained[i].hooks;
	if (i == MOST_CHAINED)
		return NULL;
	chain(&chained[i], old, retain);
	chained_count++;
	return &chained[i].hooks;
}

/* "arena.NUMBER" and what follows; not by stdio, which may allocate. */
static void put_name(char *name, unsigned int number, const char *end)
{
	char digits[16];
	size_t n = 0;
	const char *part;

	for (part = "arena."; *part; part++)
		*name++ = *part;
	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (n)
		*name++ = digits[--n];
	while ((*name++ = *end++))
		;
}

static struct hooks *hooks_of(mallctl_function *ctl, unsigned int arena)
{
	struct hooks *hooks = NULL;
	size_t size = sizeof(hooks);
	char name[48];

	put_name(name, arena, ".extent_hooks");
	return ctl(name, &hooks, &size, NULL, 0) ? NULL : hooks;
}

/* What an arena would get that is not in use yet; NULL if all are. */
static struct hooks *default_hooks(mallctl_function *ctl, unsigned int arenas)
{
	struct hooks *hooks = NULL;
	char name[48];
	unsigned int i;

	for (i = 0; i < arenas && !hooks; i++) {
		put_name(name, i, ".initialized");
		if (!ask_bool(ctl, name))
			hooks = hooks_of(ctl, i);
	}
	return hooks;
}

/* Writing creates the arena if it is not in use yet, so that no later one is missed. */
static int install_in(mallctl_function *ctl, unsigned int arena, const struct hooks *retaining)
{
	struct hooks *old = hooks_of(ctl, arena);
	struct hooks *new;
	char name[48];

	/* Destroyed by the program. */
	if (!old || is_ours(old))
		return 0;
	new = chain_for(old, old == retaining);
	if (!new)
		return -ENOSPC;
	put_name(name, arena, ".extent_hooks");
	return -ctl(name, NULL, NULL, &new, sizeof(new));
}

/* The arena of large objects comes with the first of them, and cannot be written before. */
static void create_large_arena(mallctl_function *ctl)
{
	bool own = ctl != mallctl;
	size_t threshold = 0;
	size_t size = sizeof(threshold);
	void *large;

	if (ctl("opt.oversize_threshold", &threshold, &size, NULL, 0) || !threshold ||
	    (own ? !je_mallocx || !je_dallocx : !mallocx || !dallocx))
		return;
	large = own ? je_mallocx(threshold, 0) : mallocx(threshold, 0);
	if (large && own)
		je_dallocx(large, 0);
	else if (large)
		dallocx(large, 0);
}

static int install(mallctl_function *ctl)
{
	struct hooks *retaining = NULL;
	unsigned int arenas = 0;
	size_t size = sizeof(arenas);
	int ret = 0;
	unsigned int i;
	int one;

	if (ctl("arenas.narenas", &arenas, &size, NULL, 0))
		return -ENOSYS;
	if (!chained_count)
		create_large_arena(ctl);
	if (ask_bool(ctl, "opt.retain"))
		retaining = default_hooks(ctl, arenas);
	for (i = 0; i < arenas; i++) {
		one = install_in(ctl, i, retaining);
		if (!ret)
			ret = one;
	}
	return ret;
}

int ptreclaim_jemalloc(void)
{
	mallctl_function *ctl = find_mallctl();
	int saved = errno;
	int ret;

	if (!ctl)
		return -ENOSYS;
	ret = ptreclaim_probe(NULL);
	if (ret)
		return ret;
	/* Other hooks would switch its allocator of huge pages off. */
	if (ask_bool(ctl, "opt.hpa"))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&lock);
	ret = install(ctl);
	pthread_mutex_unlock(&lock);
	errno = saved;
	return ret;
}
