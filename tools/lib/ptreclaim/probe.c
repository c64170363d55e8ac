// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "ptreclaim.h"
#include "sys.h"

#define UNKNOWN	(-1)

/* Threads that ask at the same time find the same: no lock, and nothing to mend after a fork. */
static atomic_int known = UNKNOWN;

/* Not there, rather than not now. */
static bool is_lasting(int error)
{
	return error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -EINTR &&
	       error != -EAGAIN;
}

static enum ptreclaim_support find_counter(bool *keep)
{
	uint64_t value;
	int fd = sys_open("/proc/vmstat");
	int ret;

	if (fd < 0) {
		*keep = is_lasting(fd);
		return PTRECLAIM_NO_PROC;
	}
	ret = ptreclaim_proc_row(fd, "pt_reclaim_freed ", &value);
	sys_close(fd);
	if (!ret)
		return PTRECLAIM_SUPPORTED;
	*keep = is_lasting(ret);
	return ret == -ENODATA ? PTRECLAIM_NO_COUNTER : PTRECLAIM_NO_PROC;
}

static enum ptreclaim_support ask(bool *keep)
{
	const char *set = secure_getenv("PTRECLAIM_PROBE");

	if (set && !strcmp(set, "0"))
		return PTRECLAIM_DISABLED;
	/* With a length of 0 any kernel checks the number, and does nothing. */
	if (sys_reclaim(0, 0))
		return PTRECLAIM_NO_ADVICE;
	if (set && !strcmp(set, "1"))
		return PTRECLAIM_SUPPORTED;
	return find_counter(keep);
}

int ptreclaim_probe(enum ptreclaim_support *why)
{
	int answer = atomic_load_explicit(&known, memory_order_relaxed);
	bool keep = true;

	if (answer == UNKNOWN) {
		answer = (int)ask(&keep);
		if (keep)
			atomic_store_explicit(&known, answer, memory_order_relaxed);
	}
	if (why)
		*why = (enum ptreclaim_support)answer;
	return answer == PTRECLAIM_SUPPORTED ? 0 : -ENOTSUP;
}

const char *ptreclaim_support_text(enum ptreclaim_support why)
{
	switch (why) {
	case PTRECLAIM_SUPPORTED:
		return "MADV_RECLAIM_PT is supported";
	case PTRECLAIM_NO_ADVICE:
		return "this kernel has no MADV_RECLAIM_PT";
	case PTRECLAIM_NO_COUNTER:
		return "this kernel may mean another advice: no pt_reclaim_freed in /proc/vmstat";
	case PTRECLAIM_NO_PROC:
		return "this kernel may not have MADV_RECLAIM_PT: /proc/vmstat cannot be read";
	case PTRECLAIM_DISABLED:
		return "the environment variable PTRECLAIM_PROBE is 0";
	}
	return "not known";
}
