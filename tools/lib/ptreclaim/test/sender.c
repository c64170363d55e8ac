// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ptreclaim_ranges() against a made-up kernel that returns short counts and errors at
 * all places, with all small vectors of ranges of many kinds.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../ptreclaim.h"
#include "../range.h"
#include "../sender.h"
#include "syscalls.h"
#include "tap.h"

#define PAGE		4096UL
#define MAX_RW_COUNT	((size_t)(INT_MAX & -4096))
#define ADVICE		26
#define PIDFD		77
#define MAX_RANGES	3000
#define SPACE_SHIFT	40	/* each range has a space of this size, from the second on */
#define OVERFLOWS	1	/* in place of an error: a range whose end is no address */

struct kind {
	uintptr_t offset;	/* of the start in its space */
	size_t length;
	int error;		/* from its pages, or its last page */
	bool last_only;
};

#define BIG	(SENDER_CALL_MAX + PAGE)

static const struct kind kinds[] = {
	{ 0, 0, 0, false },
	{ 5, 10, 0, false },
	{ 0, PAGE, ENOMEM, false },
	{ 1, PAGE, EFAULT, false },
	{ 0, 3 * PAGE, 0, false },
	{ PAGE - 1, 2 * PAGE + 2, ENOMEM, true },
	{ 0, 3 * PAGE, EAGAIN, false },
	{ 0, SENDER_CALL_MAX, 0, false },
	{ 0, BIG, 0, false },
	{ 0, 2 * BIG, ENOMEM, false },
	{ 7, BIG, ENOMEM, true },
	{ 0, BIG, EFAULT, false },
	{ 0, 1, OVERFLOWS, false },
};

#define KINDS	((int)(sizeof(kinds) / sizeof(*kinds)))

enum shortness { WHOLE, ONE_ELEMENT, HALF, SHORTNESSES };

/* What happens at one call, counted from 1. */
enum event { NOTHING, ERROR, CANCEL, RETURN };

static struct {
	int n;
	const struct kind *kind[MAX_RANGES];
	size_t length[MAX_RANGES];	/* in whole pages */
	size_t pos[MAX_RANGES];		/* dealt with, from its start */
	uint64_t bytes;
	int calls;
	enum shortness shortness;
	enum event event;
	int event_call;
	long event_value;
	size_t event_sent;
	int cancel;
	const char *wrong;
} fake;

static struct iovec vector[MAX_RANGES];

static void wrong(const char *what)
{
	if (!fake.wrong)
		fake.wrong = what;
}

static int range_of(const struct iovec *iov)
{
	return (int)((uintptr_t)iov->iov_base >> SPACE_SHIFT) - 1;
}

static uintptr_t page_start(int range)
{
	return ((uintptr_t)(range + 1) << SPACE_SHIFT) + (fake.kind[range]->offset & -PAGE);
}

/* What any caller has to keep to, and that the ranges come in order without a gap. */
static size_t check_vector(const struct iovec *iov, size_t n)
{
	size_t sum = 0;
	int before = -1;
	size_t i;
	int range;

	if (!n || n > 1024)
		wrong("number of elements");
	for (i = 0; i < n && n <= 1024; i++) {
		range = range_of(&iov[i]);
		if (range <= before || range >= fake.n) {
			wrong("order of ranges");
			return 0;
		}
		before = range;
		if (!iov[i].iov_len || ((uintptr_t)iov[i].iov_base | iov[i].iov_len) % PAGE)
			wrong("an empty or unaligned element");
		if ((uintptr_t)iov[i].iov_base != page_start(range) + fake.pos[range])
			wrong("a gap, or a range sent twice");
		if (iov[i].iov_len > fake.length[range] - fake.pos[range])
			wrong("more than the range");
		if (iov[i].iov_len < fake.length[range] - fake.pos[range] && i != n - 1)
			wrong("a part of a range that is not the last one");
		sum += iov[i].iov_len;
	}
	if (sum > MAX_RW_COUNT)
		wrong("more than the kernel takes");
	return sum;
}

static int error_of(const struct iovec *iov)
{
	int range = range_of(iov);
	const struct kind *kind = fake.kind[range];

	if (kind->last_only && fake.pos[range] + iov->iov_len < fake.length[range])
		return 0;
	return kind->error;
}

static size_t limit_of(const struct iovec *iov, size_t sum)
{
	switch (fake.shortness) {
	case ONE_ELEMENT:
		return iov[0].iov_len;
	case HALF:
		return sum / 2 < PAGE ? PAGE : sum / 2 & -PAGE;
	default:
		return sum;
	}
}

/* As mm/madvise.c: EFAULT for the whole vector, else in order up to the first error. */
static long deal(const struct iovec *iov, size_t n, size_t limit)
{
	size_t done = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (error_of(&iov[i]) != EFAULT)
			continue;
		/* What is behind it in the same range is no better. */
		if (n == 1)
			fake.pos[range_of(&iov[0])] = fake.length[range_of(&iov[0])];
		return refuse(EFAULT);
	}
	for (i = 0; i < n && done < limit; i++) {
		size_t length = iov[i].iov_len < limit - done ? iov[i].iov_len : limit - done;
		int range = range_of(&iov[i]);
		int error = error_of(&iov[i]);

		if (error && i)
			break;
		if (error) {
			fake.pos[range] += iov[i].iov_len;
			return refuse(error);
		}
		fake.pos[range] += length;
		done += length;
	}
	fake.bytes += done;
	return (long)done;
}

static long fake_process_madvise(const struct iovec *iov, size_t n)
{
	size_t sum = check_vector(iov, n);

	fake.calls++;
	if (fake.wrong || (fake.event != NOTHING && fake.calls > fake.event_call)) {
		wrong("goes on after the end");
		return refuse(ESRCH);
	}
	if (fake.calls == fake.event_call) {
		fake.event_sent = sum;
		if (fake.event == ERROR)
			return refuse((int)fake.event_value);
		if (fake.event == RETURN)
			return fake.event_value > 1 ? (long)sum + fake.event_value :
						      fake.event_value;
		if (fake.event == CANCEL)
			fake.cancel = 1;
	}
	return deal(iov, n, limit_of(iov, sum));
}

static long handle_syscall(long nr, const long arg[6])
{
	if (nr == SYS_madvise && !arg[0] && !arg[1] && arg[2] == ADVICE)
		return 0;
	if (nr == SYS_process_madvise && arg[0] == PIDFD && arg[3] == ADVICE && !arg[4])
		return fake_process_madvise((const struct iovec *)arg[1], (size_t)arg[2]);
	wrong("another system call, or other arguments");
	return refuse(EINVAL);
}

static void add_range(const struct kind *kind)
{
	uintptr_t start = ((uintptr_t)(fake.n + 1) << SPACE_SHIFT) + kind->offset;
	size_t end = (kind->offset + kind->length + PAGE - 1) & -PAGE;
	bool empty = !kind->length || kind->error == OVERFLOWS;

	fake.kind[fake.n] = kind;
	fake.pos[fake.n] = 0;
	fake.length[fake.n] = empty ? 0 : end - (kind->offset & -PAGE);
	vector[fake.n].iov_base = (void *)start;
	vector[fake.n].iov_len = kind->error == OVERFLOWS ? SIZE_MAX : kind->length;
	fake.n++;
}

static void reset(enum shortness shortness)
{
	fake.n = 0;
	fake.bytes = 0;
	fake.calls = 0;
	fake.shortness = shortness;
	fake.event = NOTHING;
	fake.event_call = 0;
	fake.event_sent = 0;
	fake.cancel = 0;
	fake.wrong = NULL;
}

/* The Nth of all vectors with COUNT ranges. */
static void set_vector(int nth, int count, enum shortness shortness)
{
	reset(shortness);
	while (count--) {
		add_range(&kinds[nth % KINDS]);
		nth /= KINDS;
	}
}

static int vectors(int count)
{
	int n = 1;

	while (count--)
		n *= KINDS;
	return n;
}

/* The result is that of a call in which the kernel got as far as it did. */
static bool result_is(const struct ptreclaim_result *result, bool complete)
{
	uint64_t done = 0, skipped = 0;
	int i;

	for (i = 0; i < fake.n; i++) {
		if (fake.pos[i] < fake.length[i]) {
			if (complete)
				return false;
			continue;
		}
		skipped += !!fake.kind[i]->error;
		done += !fake.kind[i]->error;
	}
	return result->bytes == fake.bytes && result->ranges_done == done &&
	       result->ranges_skipped == skipped && result->calls == (uint64_t)fake.calls;
}

/* Ranges that overflow are found before the first call. */
static int first_error(void)
{
	int i;

	for (i = 0; i < fake.n; i++)
		if (fake.kind[i]->error == OVERFLOWS)
			return -EINVAL;
	for (i = 0; i < fake.n; i++)
		if (fake.kind[i]->error)
			return -fake.kind[i]->error;
	return 0;
}

static bool report(bool good, int ret)
{
	int i;

	if (good)
		return true;
	printf("# returned %d, %d calls, shortness %d, event %d at %d, %s; ranges:", ret,
	       fake.calls, (int)fake.shortness, (int)fake.event, fake.event_call,
	       fake.wrong ? fake.wrong : "result");
	for (i = 0; i < fake.n && i < 8; i++)
		printf(" %d", (int)(fake.kind[i] - kinds));
	printf("\n");
	return false;
}

static bool runs_through(void)
{
	struct ptreclaim_result result;
	int ret;

	errno = EDOM;
	ret = ptreclaim_ranges(PIDFD, vector, (size_t)fake.n, &fake.cancel, &result);
	return report(!ret && !fake.wrong && errno == EDOM && result_is(&result, true) &&
		      result.first_error == first_error(), ret);
}

static bool ends_with(int want)
{
	struct ptreclaim_result result;
	int ret = ptreclaim_ranges(PIDFD, vector, (size_t)fake.n, &fake.cancel, &result);

	return report(ret == want && !fake.wrong && result_is(&result, false), ret);
}

static bool all_vectors(int count, enum shortness shortness)
{
	bool good = true;
	int nth;

	for (nth = 0; good && nth < vectors(count); nth++) {
		set_vector(nth, count, shortness);
		good = runs_through();
	}
	return good;
}

/* An event at each call of each vector, which ends it. */
static bool all_places(int max, enum shortness shortness, enum event event, long value, int want)
{
	bool good = true;
	int reached = 0;
	int count, nth, at;

	for (count = 1; count <= max; count++) {
		for (nth = 0; good && nth < vectors(count); nth++) {
			for (at = 1; good; at++) {
				set_vector(nth, count, shortness);
				good = runs_through();
				if (!good || fake.calls < at + (event == CANCEL))
					break;
				set_vector(nth, count, shortness);
				fake.event = event;
				fake.event_call = at;
				fake.event_value = value;
				good = ends_with(want) && fake.calls == at;
				reached++;
			}
		}
	}
	return good && reached > count;
}

static bool long_vector(int n)
{
	int i;

	reset(WHOLE);
	for (i = 0; i < n; i++)
		add_range(&kinds[4]);
	return runs_through() && fake.calls == (n + 1023) / 1024;
}

/* One bad address among 1024 is found by halving. */
static bool finds_bad_address(void)
{
	bool good = true;
	int bad, i;

	for (bad = 0; good && bad < 1024; bad++) {
		reset(WHOLE);
		for (i = 0; i < 1024; i++)
			add_range(&kinds[i == bad ? 3 : 4]);
		good = runs_through() && fake.calls <= 22;
	}
	return good;
}

static bool all_bad_addresses(void)
{
	int i;

	reset(WHOLE);
	for (i = 0; i < 1024; i++)
		add_range(&kinds[3]);
	return runs_through();
}

static bool rounds(uintptr_t start, size_t length, bool valid, uintptr_t want, size_t pages)
{
	struct pages got = { 0 };

	return ptreclaim_round(start, length, &got) == valid &&
	       (!valid || (got.length == pages * PAGE && (!pages || got.start == want)));
}

static bool rounding(void)
{
	return rounds(0, 0, true, 0, 0) && rounds(1, 0, true, 0, 0) && rounds(0, 1, true, 0, 1) &&
	       rounds(PAGE - 1, 2, true, 0, 2) && rounds(PAGE, PAGE, true, PAGE, 1) &&
	       rounds(PAGE + 1, PAGE - 1, true, PAGE, 1) && rounds(PAGE + 1, PAGE, true, PAGE, 2) &&
	       rounds(0, SIZE_MAX, true, 0, SIZE_MAX / PAGE) && rounds(1, SIZE_MAX, false, 0, 0) &&
	       rounds(SIZE_MAX, 1, false, 0, 0) && rounds(SIZE_MAX, 0, true, 0, 0) &&
	       rounds(SIZE_MAX - 1, 1, true, 0, 0) && rounds(-2 * PAGE, PAGE, true, -2 * PAGE, 1) &&
	       rounds(-2 * PAGE, PAGE + 1, true, -2 * PAGE, 1);
}

static bool cancelled_before(void)
{
	set_vector(4, 1, WHOLE);
	fake.cancel = 1;
	return ends_with(-ECANCELED) && !fake.calls;
}

int main(void)
{
	static const char *const names[] = { "whole", "one element", "half" };
	static const int errors[] = { ESRCH, EPERM, EACCES, EBADF, EINTR, EINVAL, ENOSYS };
	static const int lengths[] = { 1023, 1024, 1025, 2048, 2049, 3000 };
	int i, j;

	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(SHORTNESSES * 5 + 7 * 2 + 2 + 4 + 6 + 4);
	for (i = 0; i < SHORTNESSES; i++)
		for (j = 0; j < 5; j++)
			ok(all_vectors(j, (enum shortness)i),
			   "%d ranges of all kinds, a call does: %s", j, names[i]);
	for (i = 0; i < 7; i++) {
		int want = errors[i] == EINVAL || errors[i] == ENOSYS ? -ENOTSUP : -errors[i];

		ok(all_places(3, WHOLE, ERROR, errors[i], want), "error %d at each call ends it",
		   errors[i]);
		ok(all_places(2, HALF, ERROR, errors[i], want), "error %d at each short call",
		   errors[i]);
	}
	ok(all_places(3, WHOLE, CANCEL, 0, -ECANCELED), "cancelled in each call");
	ok(all_places(2, HALF, CANCEL, 0, -ECANCELED), "cancelled in each short call");
	ok(all_places(2, WHOLE, RETURN, 0, -EIO), "no progress ends it");
	ok(all_places(2, WHOLE, RETURN, 1, -EIO), "a single byte done ends it");
	ok(all_places(2, WHOLE, RETURN, 4096, -EIO), "more done than was sent ends it");
	ok(all_places(2, HALF, RETURN, 4096, -EIO), "more done than was sent, after short calls");
	for (i = 0; i < 6; i++)
		ok(long_vector(lengths[i]), "%d ranges, 1024 a call", lengths[i]);
	ok(finds_bad_address(), "one bad address of 1024, at each place, in 22 calls");
	ok(all_bad_addresses(), "1024 bad addresses");
	ok(rounding(), "ranges are rounded outward to pages");
	ok(cancelled_before(), "cancelled before the first call");
	return finish();
}
