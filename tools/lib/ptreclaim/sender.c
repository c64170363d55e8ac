// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Ranges of a process, sent with as few calls of process_madvise() as it allows.
 * add() fills the vector, flush() empties it.
 */
#include "range.h"
#include "sender.h"
#include "sys.h"

void ptreclaim_sender_init(struct sender *s, int pidfd, const volatile int *cancel)
{
	s->pidfd = pidfd;
	s->cancel = cancel;
	s->result = (struct ptreclaim_result){ 0 };
	s->first = 0;
	s->n = 0;
	s->failed = false;
}

static void count_skipped(struct sender *s, int error)
{
	s->result.ranges_skipped++;
	if (!s->result.first_error)
		s->result.first_error = error;
}

static void pass(struct sender *s)
{
	if (s->failed)
		s->result.ranges_skipped++;
	else
		s->result.ranges_done++;
	s->failed = false;
	s->first++;
}

/* BYTES from the front of the vector are dealt with. */
static void advance(struct sender *s, size_t bytes)
{
	while (s->first < s->n && bytes >= s->iov[s->first].iov_len) {
		bytes -= s->iov[s->first].iov_len;
		pass(s);
	}
	if (bytes) {
		s->iov[s->first].iov_base = (char *)s->iov[s->first].iov_base + bytes;
		s->iov[s->first].iov_len -= bytes;
	}
}

/*
 * Steps over the piece of the first range that was sent; where that reaches beyond what
 * is a user's, over all of the range, since the rest is further up.
 */
static void step_over(struct sender *s, int error)
{
	size_t length = s->iov[s->first].iov_len;

	s->failed = true;
	if (!s->result.first_error)
		s->result.first_error = error;
	if (length > SENDER_CALL_MAX && error != -EFAULT)
		length = SENDER_CALL_MAX;
	advance(s, length);
}

/*
 * Sends up to *COUNT ranges, of the last one perhaps a part. *COUNT becomes their
 * number, *SENT their length.
 */
static ssize_t send_front(struct sender *s, size_t *count, size_t *sent)
{
	size_t last = s->first;
	size_t full;
	ssize_t ret;

	*sent = 0;
	while (last - s->first < *count - 1 && s->iov[last].iov_len < SENDER_CALL_MAX - *sent)
		*sent += s->iov[last++].iov_len;

	full = s->iov[last].iov_len;
	if (full > SENDER_CALL_MAX - *sent)
		s->iov[last].iov_len = SENDER_CALL_MAX - *sent;
	*sent += s->iov[last].iov_len;
	*count = last - s->first + 1;
	ret = sys_process_reclaim(s->pidfd, s->iov + s->first, *count);
	s->iov[last].iov_len = full;
	s->result.calls++;
	return ret;
}

/*
 * Errors that the next range would meet as well. Nothing is wrong with the
 * arguments, so EINVAL is about the advice.
 */
static int error_of_all(ssize_t error)
{
	switch (error) {
	case -ESRCH:
	case -EPERM:
	case -EACCES:
	case -EBADF:
	case -EINTR:
		return (int)error;
	case -EINVAL:
	case -ENOSYS:
		return -ENOTSUP;
	default:
		return 0;
	}
}

int ptreclaim_sender_check(const struct sender *s)
{
	return error_of_all(sys_process_reclaim(s->pidfd, NULL, 0));
}

/* To go on from a made-up number would skip ranges or never end. */
static bool makes_sense(ssize_t done, size_t sent)
{
	return done > 0 && (size_t)done <= sent && !((size_t)done & (sys_page_size() - 1));
}

int ptreclaim_sender_flush(struct sender *s)
{
	size_t limit = SENDER_BATCH;

	while (s->first < s->n) {
		size_t count = s->n - s->first < limit ? s->n - s->first : limit;
		size_t sent;
		ssize_t ret;

		if (s->cancel && __atomic_load_n(s->cancel, __ATOMIC_RELAXED))
			return -ECANCELED;
		ret = send_front(s, &count, &sent);
		if (error_of_all(ret))
			return error_of_all(ret);
		if (ret == -EFAULT && count > 1) {
			/* One of them, and nothing was done: halve until it is alone. */
			limit = count / 2;
		} else if (ret < 0) {
			step_over(s, (int)ret);
			limit = SENDER_BATCH;
		} else if (makes_sense(ret, sent)) {
			s->result.bytes += (size_t)ret;
			advance(s, (size_t)ret);
		} else {
			return -EIO;
		}
	}
	s->first = 0;
	s->n = 0;
	return 0;
}

int ptreclaim_sender_add(struct sender *s, uint64_t start, uint64_t length)
{
	struct pages pages;

	/* A 32-bit program cannot say more to the kernel. */
	if (start > UINTPTR_MAX || length > SIZE_MAX) {
		count_skipped(s, -EOVERFLOW);
		return 0;
	}
	if (!ptreclaim_round((uintptr_t)start, (size_t)length, &pages)) {
		count_skipped(s, -EINVAL);
		return 0;
	}
	if (!pages.length) {
		s->result.ranges_done++;
		return 0;
	}
	s->iov[s->n].iov_base = (void *)pages.start;
	s->iov[s->n].iov_len = pages.length;
	return ++s->n < SENDER_BATCH ? 0 : ptreclaim_sender_flush(s);
}

int ptreclaim_ranges(int pidfd, const struct iovec *ranges, size_t count,
		     const volatile int *cancel, struct ptreclaim_result *result)
{
	struct sender s;
	size_t i;
	int ret;

	ptreclaim_sender_init(&s, pidfd, cancel);
	ret = ptreclaim_probe(NULL);
	for (i = 0; !ret && i < count; i++)
		ret = ptreclaim_sender_add(&s, (uintptr_t)ranges[i].iov_base, ranges[i].iov_len);
	if (!ret)
		ret = ptreclaim_sender_flush(&s);
	if (result)
		*result = s.result;
	return ret;
}
