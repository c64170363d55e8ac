/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
#ifndef PTRECLAIM_TEST_THREADS_H
#define PTRECLAIM_TEST_THREADS_H

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* Of this process; negative if that cannot be told. */
static int count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = -2;	/* . and .. */

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/*
 * One that was joined stays listed until it is done with its exit. Waits for that: where there
 * is one too many for ever, alarm() ends the test.
 */
static inline bool threads_become(int n)
{
	while (count_threads() != n)
		sched_yield();
	return true;
}

#endif
