// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "deferral.h"
#include "ptreclaim.h"
#include "sys.h"

/* glibc takes thread-local storage from it; only what is touched costs memory. */
#define STACK_SIZE	(128 << 10)

enum { OFF, STARTING, ON, STOPPING };

static atomic_int state = OFF;
static pthread_t thread;		/* written by who has set STARTING */

/* 1 while the thread waits, or is about to: whoever sets it to 0 wakes it. */
static _Atomic uint32_t waits;

/*
 * The thread sets waits and then looks whether anything is due; a note does both the
 * other way round. So either the thread sees the note, or the note sees the thread.
 */
void ptreclaim_wake(void)
{
	if (atomic_load(&waits) && atomic_exchange(&waits, 0))
		sys_futex_wake(&waits);
}

static void wait_for_notes(void)
{
	int left;

	atomic_store(&waits, 1);
	left = ptreclaim_left();
	if (left && atomic_load(&state) != STOPPING)
		sys_futex_wait(&waits, 1, left);
	atomic_store(&waits, 0);
}

static void *run(void *unused)
{
	(void)unused;
	sys_call(SYS_prctl, PR_SET_NAME, (long)"ptreclaim", 0, 0, 0);
	while (atomic_load(&state) != STOPPING) {
		ptreclaim_due(NULL);
		wait_for_notes();
	}
	return NULL;
}

/* The one who forks lives on alone. What was noted holds for the copy of the memory as well. */
static void in_child(void)
{
	atomic_store(&waits, 0);
	atomic_store(&state, OFF);
}

static int create(void)
{
	pthread_attr_t attr;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return ret;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	ret = pthread_create(&thread, &attr, run, NULL);
	pthread_attr_destroy(&attr);
	/* Some programs have more thread-local storage than that. */
	if (ret == EINVAL)
		ret = pthread_create(&thread, NULL, run, NULL);
	return ret;
}

/* The program's handlers must not run in a thread that it does not know. */
static int create_without_signals(void)
{
	sigset_t all;
	sigset_t before;
	int ret;

	sigfillset(&all);
	ret = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (ret)
		return ret;
	ret = create();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/*
 * Before the state changes, or a child that is forked meanwhile would keep it. That two
 * threads may both do it is harmless.
 */
static int reset_in_children(void)
{
	static atomic_bool registered;
	int ret;

	if (atomic_load(&registered))
		return 0;
	ret = pthread_atfork(NULL, NULL, in_child);
	if (!ret)
		atomic_store(&registered, true);
	return ret;
}

int ptreclaim_start(void)
{
	int saved = errno;
	int seen = OFF;
	int ret = ptreclaim_probe(NULL);

	if (ret)
		return ret;
	ret = reset_in_children();
	if (ret)
		return -ret;
	if (!atomic_compare_exchange_strong(&state, &seen, STARTING))
		return seen == STOPPING ? -EBUSY : 0;
	ret = create_without_signals();
	atomic_store(&state, ret ? OFF : ON);
	errno = saved;
	return -ret;
}

/* As the other functions of the library, no cancellation point. */
static int join(void)
{
	int before;
	int ret;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	ret = pthread_join(thread, NULL);
	pthread_setcancelstate(before, NULL);
	return ret;
}

int ptreclaim_stop(void)
{
	int seen = ON;
	int ret;

	if (!atomic_compare_exchange_strong(&state, &seen, STOPPING))
		return seen == OFF ? 0 : -EBUSY;
	ptreclaim_wake();
	ret = join();
	atomic_store(&state, OFF);
	return -ret;
}
