/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
#ifndef PTRECLAIM_SENDER_H
#define PTRECLAIM_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ptreclaim.h"

#define SENDER_BATCH	1024	/* UIO_MAXIOV: more are EINVAL */

/*
 * The kernel cuts a vector at 2 GiB less a page. This is a little less, so that
 * pieces of a long range that starts at a table also end at one, and no table is
 * looked at twice.
 */
#define SENDER_CALL_MAX	((size_t)0x7fe00000)

struct sender {
	int pidfd;
	const volatile int *cancel;
	struct ptreclaim_result result;
	size_t first;			/* of iov, the ones before it are dealt with */
	size_t n;
	bool failed;			/* a piece of iov[first] was stepped over */
	struct iovec iov[SENDER_BATCH];	/* whole pages, what is left of each range */
};

void ptreclaim_sender_init(struct sender *s, int pidfd, const volatile int *cancel);

/* Whether the process is there, and the caller may send to it: 0, or why not. */
int ptreclaim_sender_check(const struct sender *s);

/* Both return what ends the whole: 0, or an error of ptreclaim_ranges(). */
int ptreclaim_sender_add(struct sender *s, uint64_t start, uint64_t length);
int ptreclaim_sender_flush(struct sender *s);

#endif
