// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The library's thread, with a kernel and a clock that are made up. */
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "later.h"
#include "threads.h"

/*
 * The locks of sanitizers do not survive a fork in the middle of another thread's
 * pthread_create(), and ThreadSanitizer knows no threads in the child.
 */
#if defined(__SANITIZE_THREAD__)
#define FORK_TESTS	0
#elif defined(__SANITIZE_ADDRESS__)
#define FORK_TESTS	1
#else
#define FORK_TESTS	2
#endif

static sem_t called;
static char call_name[16];
static bool call_blocks_all;
static bool call_elsewhere;
static pthread_t main_thread;

static void in_call(void)
{
	sigset_t mask;
	int signal;

	pthread_getname_np(pthread_self(), call_name, sizeof(call_name));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	call_blocks_all = true;
	for (signal = 1; signal <= SIGRTMAX; signal++)
		/* 32 and 33 are the C library's own. */
		if (signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33)
			call_blocks_all &= sigismember(&mask, signal) == 1;
	call_elsewhere = !pthread_equal(pthread_self(), main_thread);
	sem_post(&called);
}

static void set_up(void)
{
	main_thread = pthread_self();
	sem_init(&called, 0, 0);
	fake.in_call = in_call;
}

/* Until the thread has begun so many waits without an end. */
static void until_waits(int n)
{
	while (fake.endless_waits < n)
		sched_yield();
}

static bool runs(void)
{
	sigset_t before, after;

	set_up();
	/* Only a part of them is set. */
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	errno = EDOM;
	for (int i = 0; i < 2; i++)
		if (ptreclaim_start() || errno != EDOM)
			return false;
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	if (memcmp(&before, &after, sizeof(before)))
		return false;
	until_waits(1);
	if (fake.timed_waits || fake.calls)
		return false;
	ptreclaim_note(address(3, 0), 4096);
	sem_wait(&called);
	until_waits(2);
	return fake.ms == 1000 && fake.calls == 1 && fake.region[3] && call_elsewhere &&
	       call_blocks_all && !strcmp(call_name, "ptreclaim") && fake.timed_waits == 1 &&
	       fake.wakes == 1 && !ptreclaim_stop();
}

static bool runs_for_bytes(void)
{
	set_up();
	if (ptreclaim_start())
		return false;
	until_waits(1);
	ptreclaim_note(address(3, 0), 600 * MIB);
	sem_wait(&called);
	until_waits(2);
	return !fake.ms && !fake.timed_waits && fake.region[3] && !ptreclaim_stop();
}

/* Each note reaches it, however the two meet. */
static bool many_times(void)
{
	int i;

	set_up();
	ptreclaim_set_deferral(0, 1);
	if (ptreclaim_start())
		return false;
	for (i = 0; i < 20000; i++) {
		ptreclaim_note(address((uint64_t)i % 10, 0), 4096);
		sem_wait(&called);
	}
	return !ptreclaim_stop() && fake.calls >= 20000;
}

static bool stops(void)
{
	int i;

	set_up();
	for (i = 0; i < 300; i++) {
		int waits = fake.endless_waits;

		if (ptreclaim_start())
			return false;
		if (i % 2)
			until_waits(waits + 1);
		for (int j = 0; j < 2; j++)
			if (ptreclaim_stop())
				return false;
	}
	ptreclaim_note(address(3, 0), 600 * MIB);
	return !fake.calls && !ptreclaim_start() && !sem_wait(&called) && !ptreclaim_stop();
}

static bool child_has_none(void)
{
	int status = -1;
	pid_t pid;

	set_up();
	if (ptreclaim_start())
		return false;
	until_waits(1);
	pid = fork();
	if (!pid) {
		bool good = count_threads() == 1;

		/* Nobody is there to be woken. */
		ptreclaim_note(address(4, 0), 600 * MIB);
		good &= !fake.wakes && !fake.calls && !ptreclaim_stop();
		good &= !ptreclaim_start() && count_threads() > 1;
		sem_wait(&called);
		good &= fake.region[4] && call_elsewhere && !ptreclaim_stop();
		_exit(!good);
	}
	waitpid(pid, &status, 0);
	return !status && count_threads() > 1 && !ptreclaim_stop();
}

static void *fork_much(void *arg)
{
	intptr_t bad = 0;
	int status;
	int i;

	for (i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (!pid) {
			ptreclaim_note(address(1, 0), 4096);
			_exit(ptreclaim_flush() || ptreclaim_start() || ptreclaim_stop());
		}
		bad |= waitpid(pid, &status, 0) != pid || status;
	}
	*(intptr_t *)arg = bad;
	return NULL;
}

/* In the middle of whatever the library does. */
static bool forks_meanwhile(void)
{
	pthread_t forker;
	intptr_t bad = 1;
	uint64_t i = 0;

	if (pthread_create(&forker, NULL, fork_much, &bad))
		return false;
	while (pthread_tryjoin_np(forker, NULL)) {
		if (ptreclaim_start())
			return false;
		ptreclaim_note(address(i++ % 5000, 0), 4096);
		ptreclaim_due(NULL);
		if (ptreclaim_stop())
			return false;
		tick(1);
	}
	return !bad;
}

static _Thread_local char much[1 << 20];

static bool much_local_storage(void)
{
	much[0] = 1;
	return !ptreclaim_start() && !ptreclaim_stop() && much[0];
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(5 + FORK_TESTS);
	ok(alone(runs), "it waits for a note, and then a second");
	ok(alone(runs_for_bytes), "it wakes up for many bytes");
	ok(alone(many_times), "no note escapes it");
	ok(alone(stops), "start and stop");
	if (FORK_TESTS > 0)
		ok(alone(child_has_none), "a child starts its own");
	if (FORK_TESTS > 1)
		ok(alone(forks_meanwhile), "forks at any time");
	ok(alone(much_local_storage), "a program with much thread-local storage");
	return finish();
}
