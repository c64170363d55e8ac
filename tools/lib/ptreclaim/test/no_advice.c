// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * On a real kernel without the advice: the answer is ENOTSUP, and the kernel is asked
 * one harmless question in the whole life of the process. Fails on one that has it.
 */
#include <errno.h>
#include <limits.h>

#include "../ptreclaim.h"
#include "procs.h"
#include "syscalls.h"
#include "tap.h"

static int calls, questions;

static long handle_syscall(long nr, const long arg[6])
{
	calls++;
	questions += nr == SYS_madvise && !arg[0] && !arg[1];
	return kernel_syscall(nr, arg);
}

int main(void)
{
	enum ptreclaim_support why = PTRECLAIM_SUPPORTED;
	struct ptreclaim_result result;
	struct iovec range;
	bool good;
	int pidfd = (int)__real_syscall(SYS_pidfd_open, getpid(), 0);
	char *memory = map_tables(2);

	memset(memory, 1, 2 * TABLE_SIZE);
	range.iov_base = memory;
	range.iov_len = 2 * TABLE_SIZE;
	unsetenv("PTRECLAIM_PROBE");
	plan(5);
	good = ptreclaim_probe(&why) == -ENOTSUP;
	ok(good, "not supported: %s", ptreclaim_support_text(why));
	ok(ptreclaim_range(memory, 2 * TABLE_SIZE) == -ENOTSUP &&
	   ptreclaim_range(NULL, SIZE_MAX) == -ENOTSUP, "a range of one's own");
	ok(ptreclaim_ranges(pidfd, &range, 1, NULL, &result) == -ENOTSUP && !result.calls,
	   "ranges of a process");
	ok(ptreclaim_process(pidfd, getpid(), NULL, &result) == -ENOTSUP && !result.calls,
	   "a whole process");
	good = why == PTRECLAIM_NO_ADVICE && questions == 1 && calls == 1;
	ok(good && memory[0] == 1 && memory[2 * TABLE_SIZE - 1] == 1,
	   "one question, and no other call");
	return finish();
}
