/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A kernel that has the advice and a clock, both made up, for tests of what is put off.
 * Link with -Wl,--wrap=syscall,--wrap=clock_gettime.
 */
#ifndef PTRECLAIM_TEST_LATER_H
#define PTRECLAIM_TEST_LATER_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "../ptreclaim.h"
#include "syscalls.h"
#include "tap.h"

#define GIB		(1ULL << 30)
#define MIB		(1ULL << 20)
#define REGIONS_SEEN	16384	/* those from address 0 on are recorded */
#define WHOLE_LENGTH	(SIZE_MAX & -4096)

static struct {
	_Atomic uint64_t ms;		/* the clock */
	atomic_int calls;		/* with a range */
	atomic_int whole;		/* of them, for all of the address space */
	atomic_int odd;			/* anything that the library has no business with */
	_Atomic uint32_t region[REGIONS_SEEN];	/* when each one was called for last */
	_Atomic uint32_t stamp;
	uint64_t watched[2];		/* regions anywhere */
	atomic_bool met[2];
	int error;
	atomic_int wakes;
	atomic_int timed_waits;
	atomic_int endless_waits;	/* that have begun */
	void (*in_call)(void);
} fake;

int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	uint64_t ms = fake.ms;

	fake.odd += id != CLOCK_MONOTONIC_COARSE;
	now->tv_sec = (time_t)(ms / 1000);
	now->tv_nsec = (long)(ms % 1000 * 1000000);
	return 0;
}

static inline void tick(uint64_t ms)
{
	fake.ms += ms;
}

static inline uint32_t next_stamp(void)
{
	return atomic_fetch_add(&fake.stamp, 1) + 1;
}

/* Of two calls, the one that began later may be the first to get here. */
static inline void stamp_region(size_t region, uint32_t stamp)
{
	uint32_t seen = fake.region[region];

	while (seen < stamp && !atomic_compare_exchange_weak(&fake.region[region], &seen, stamp))
		;
}

static inline long handle_reclaim(uintptr_t start, size_t length)
{
	uint32_t stamp = next_stamp();
	size_t i;

	fake.calls++;
	for (i = 0; i < 2; i++)
		if (start / GIB == fake.watched[i])
			fake.met[i] = true;
	if (!start && length == WHOLE_LENGTH) {
		fake.whole++;
		for (i = 0; i < REGIONS_SEEN; i++)
			stamp_region(i, stamp);
	} else if (start % GIB || length != GIB) {
		fake.odd++;
	} else if (start / GIB < REGIONS_SEEN) {
		stamp_region(start / GIB, stamp);
	}
	if (fake.in_call)
		fake.in_call();
	return fake.error ? refuse(fake.error) : 0;
}

/* A wait with an end moves the clock there, unless it is to end at once. */
static inline long handle_futex(long nr, const long arg[6])
{
	const struct timespec *time = (const struct timespec *)arg[3];
	_Atomic uint32_t *word = (_Atomic uint32_t *)arg[0];

	if (arg[1] == FUTEX_WAKE_PRIVATE) {
		fake.wakes++;
		return kernel_syscall(nr, arg);
	}
	fake.odd += arg[1] != FUTEX_WAIT_PRIVATE;
	if (!time) {
		fake.endless_waits++;
		return kernel_syscall(nr, arg);
	}
	if (*word != (uint32_t)arg[2])
		return refuse(EAGAIN);
	fake.timed_waits++;
	tick((uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000);
	return refuse(ETIMEDOUT);
}

static long handle_syscall(long nr, const long arg[6])
{
	if (nr == SYS_madvise && arg[2] == 26)
		return arg[1] ? handle_reclaim((uintptr_t)arg[0], (size_t)arg[1]) : 0;
	if (nr == SYS_futex)
		return handle_futex(nr, arg);
	fake.odd += nr != SYS_prctl;
	return kernel_syscall(nr, arg);
}

static inline void *address(uint64_t gib, uint64_t bytes)
{
	return (void *)(uintptr_t)(gib * GIB + bytes);
}

static inline struct ptreclaim_counters counters(void)
{
	struct ptreclaim_counters c;

	ptreclaim_get_counters(&c);
	return c;
}

/* Each test has a process of its own, as the library keeps what was noted. */
static inline bool alone(bool (*test)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		bool good;

		alarm(600);	/* a thread that is not woken would wait forever */
		good = test() && !fake.odd;

		if (fake.odd)
			printf("# an odd system call or clock, %d times\n", fake.odd);
		fflush(stdout);
		_exit(!good);
	}
	waitpid(pid, &status, 0);
	return pid > 0 && !status;
}

#endif
