// SPDX-License-Identifier: GPL-2.0
/* Random calls of the advice, by each of its interfaces, and of MADV_DONTNEED. */
#include <inttypes.h>

#include "fuzz.h"

#define MAPPED	(((1U << KINDS) - 1) & ~KIND(HOLE))

struct range {
	uintptr_t start;
	size_t len;
};

static struct range of_pages(unsigned int first, unsigned int end)
{
	return (struct range){ address(first), (end - first) * PAGE };
}

static unsigned int region_limit(unsigned int page)
{
	return page < LOW_PAGES ? LOW_PAGES : PAGES;
}

static unsigned int up_to(unsigned int page, unsigned int pages_more)
{
	unsigned int limit = region_limit(page);

	return page + pages_more < limit ? page + pages_more : limit;
}

/* No hole in it. */
static struct range mapped_range(void)
{
	unsigned int page = rnd(PAGES), first, end;

	for (int tries = 0; tries < 20 && !is_kind(page, MAPPED); tries++)
		page = rnd(PAGES);
	first = run_start(page, MAPPED);
	end = run_end(page, MAPPED);
	if (end <= page)
		return of_pages(page, page + 1);
	if (chance(60))
		first = page - rnd(page - first + 1);
	if (chance(60))
		end = page + 1 + rnd(end - page);
	return of_pages(first, end);
}

static struct range slots_range(void)
{
	unsigned int first = rnd(SLOTS) * SLOT_PAGES;

	return of_pages(first, up_to(first, (1 + rnd(4)) * SLOT_PAGES));
}

static struct range any_range(void)
{
	unsigned int first = rnd(PAGES);

	return of_pages(first, up_to(first, 1 + rnd(chance(50) ? 40 : 2 * SLOT_PAGES)));
}

/* Over the gap: 511 GiB. Half of them as far as mappings go without a hole. */
static struct range long_range(void)
{
	unsigned int first = rnd(LOW_PAGES), end = LOW_PAGES + 1 + rnd(PAGES - LOW_PAGES);

	if (chance(50)) {
		first = run_start(LOW_PAGES - 1, MAPPED);
		end = run_end(LOW_PAGES, MAPPED);
		if (end == LOW_PAGES)
			end++;
	}
	return (struct range){ address(first), address(end - 1) + PAGE - address(first) };
}

static struct range gap_range(void)
{
	uintptr_t start = LOW_END + rnd((HIGH_START - LOW_END) / PAGE) * PAGE;
	uintptr_t near = chance(50) ? LOW_END - (1 + rnd(2000)) * PAGE : start;

	return (struct range){ near, (1 + rnd(1UL << rnd(28))) * PAGE };
}

/* Never one that starts in a mapping of the program itself, which the model does not know. */
static struct range odd_range(void)
{
	struct range r = any_range();

	switch (rnd(10)) {
	case 0:
		r.len = 0;
		break;
	case 1:
		r.start += 1 + rnd(PAGE - 1);
		break;
	case 2:
		r.len = -rnd(3 * PAGE);
		break;
	case 3:
		r.len = -r.start + (rnd(5) - 2) * PAGE;
		break;
	case 4:
		r.start |= (1 + rnd(127)) << 57;	/* a tag: no bit of it is ignored here */
		break;
	case 5:
		r.start |= 0xffff800000000000UL;
		break;
	case 6:
		r.start = rnd(16) * PAGE;
		break;
	case 7:
		r.start = task_end + (rnd(3) - 1 ? PAGE : 0);
		break;
	case 8:
		r.len = task_end - r.start + (rnd(3) - 1) * PAGE;
		break;
	default:
		r.len = 1UL << (30 + rnd(33));
		break;
	}
	return r;
}

static struct range pick_range(bool odd_too)
{
	unsigned int dice = rnd(100);
	struct range r;

	if (dice < 45)
		r = mapped_range();
	else if (dice < 65)
		r = slots_range();
	else if (dice < 82)
		r = any_range();
	else if (dice < 89)
		r = long_range();
	else if (dice < 93)
		r = gap_range();
	else
		r = odd_too ? odd_range() : any_range();
	/* A length is rounded up. */
	if (r.len >= PAGE && chance(25))
		r.len -= rnd(PAGE);
	return r;
}

static void compare(const char *interface, long is, long expected)
{
	if (is != expected)
		differ("%s returned %ld, expected %ld", interface, is, expected);
	check_tables();
}

static void check_around(struct range r)
{
	uintptr_t end = r.start + r.len;

	if (end < r.start)
		end = UINTPTR_MAX;
	check_range(r.start & -SLOT, (end | (SLOT - 1)) < end ? end : end | (SLOT - 1));
}

static void call_one(bool by_ring)
{
	struct range r = pick_range(true);
	bool short_length = r.len <= UINT32_MAX && chance(50);
	unsigned long freed = model_freed;
	long expected = model_madvise(r.start, r.len), is;

	note("%s %#lx+%#zx, expecting %ld, %lu freed", by_ring ? "io_uring" : "madvise", r.start,
	     r.len, expected, model_freed - freed);
	is = by_ring ? advise_ring(r.start, r.len, MADV_RECLAIM_PT, short_length) :
		       advise(r.start, r.len, MADV_RECLAIM_PT);
	if (by_ring)
		met[URING_FREED] += model_freed != freed;
	compare(by_ring ? "io_uring" : "madvise", is, expected);
	check_around(r);
}

/* Not beyond the arena, where it would hit the program itself. */
static void call_dontneed(void)
{
	struct range r = pick_range(false);
	bool locked = chance(40), by_ring = chance(15);
	int advice = locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED;
	const char *name = by_ring ? "dontneed by io_uring" : "dontneed";
	unsigned long freed = model_freed;
	long expected, is;

	if (r.len > HIGH_END - r.start)
		r.len = HIGH_END - r.start;
	expected = model_dontneed(r.start, r.len, locked);
	note("%s%s %#lx+%#zx, expecting %ld, %lu freed", name, locked ? ", locked" : "", r.start,
	     r.len, expected, model_freed - freed);
	is = by_ring ? advise_ring(r.start, r.len, advice, false) : advise(r.start, r.len, advice);
	met[DONTNEED_URING] += by_ring && model_freed != freed;
	compare(name, is, expected);
	check_around(r);
}

static size_t pick_count(void)
{
	if (chance(2))
		return 1024 + rnd(2);
	if (chance(2))
		return 0;
	return chance(30) ? 1 : 1 + rnd(12);
}

/*
 * Odd ranges in few of the vectors, since they end one. An element without a
 * length has an aligned address: the kernel passes over all of these but the first
 * one without a look.
 */
static void fill_vector(struct iovec *iov, size_t n)
{
	bool odd = chance(25);

	for (size_t i = 0; i < n; i++) {
		struct range r = n > 100 ? mapped_range() : pick_range(odd);

		if (!r.len)
			r.start &= -PAGE;
		if (n > 100 && r.len > 4 * PAGE)
			r.len = 4 * PAGE;
		iov[i].iov_base = (void *)r.start;
		iov[i].iov_len = r.len;
	}
}

static void call_vector(bool by_other)
{
	static struct iovec iov[MOST_IOV];
	const char *name = by_other ? "process_madvise of another process" : "process_madvise";
	unsigned int flags = chance(2) ? 1U << rnd(32) : 0;
	unsigned long freed = model_freed;
	size_t n = pick_count();
	long expected, is;

	fill_vector(iov, n);
	expected = model_process_madvise(iov, n, flags);
	note("%s n %zu flags %u, expecting %ld, %lu freed", name, n, flags, expected,
	     model_freed - freed);
	for (size_t i = 0; i < n && i < 12; i++)
		note("  %p+%#zx", iov[i].iov_base, iov[i].iov_len);
	is = by_other ? advise_remote(iov, n, flags) : advise_self(iov, n, flags);
	if (by_other)
		met[REMOTE_FREED] += model_freed != freed;
	compare(name, is, expected);
	for (size_t i = 0; i < n && i < 3; i++)
		check_around((struct range){ (uintptr_t)iov[i].iov_base, iov[i].iov_len });
}

void call(void)
{
	unsigned int dice = rnd(100);

	if (dice < 56 || (dice < 66 && !dontneed_is_ours))
		call_one(false);
	else if (dice < 66)
		call_dontneed();
	else if (dice < 74)
		call_one(true);
	else
		call_vector(dice >= 87);
}
