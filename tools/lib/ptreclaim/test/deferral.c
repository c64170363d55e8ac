// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Notes: what falls due and when, with a kernel and a clock that are made up. */
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "later.h"

/* Library state: nothing due, and in so many ms something is. */
static bool quiet_until(int ms)
{
	int calls = fake.calls;
	int next = -2;

	if (ptreclaim_due(&next) || fake.calls != calls || next != ms) {
		printf("# next in %d ms instead of %d, %d calls\n", next, ms, fake.calls - calls);
		return false;
	}
	return true;
}

/* One call of due() reclaims exactly so many regions. */
static bool due(int calls)
{
	int before = fake.calls;
	int ret = ptreclaim_due(NULL);

	if (!ret && fake.calls - before == calls)
		return true;
	printf("# %d calls instead of %d, %d\n", fake.calls - before, calls, ret);
	return false;
}

static bool done(uint64_t region)
{
	bool is = fake.region[region];

	fake.region[region] = 0;
	return is;
}

static bool idle(void)
{
	ptreclaim_note(address(5, 123), 1);
	if (!quiet_until(1000))
		return false;
	tick(999);
	if (!quiet_until(1))
		return false;
	tick(1);
	return due(1) && done(5) && quiet_until(-1) && !ptreclaim_flush() && fake.calls == 1;
}

static bool idle_anew(void)
{
	ptreclaim_note(address(5, 0), 4096);
	tick(600);
	ptreclaim_note(address(5, 4096), 4096);
	ptreclaim_note(address(6, 0), 4096);
	tick(400);
	if (!quiet_until(600))
		return false;
	ptreclaim_note(address(6, 0), 4096);
	tick(600);
	return due(1) && done(5) && quiet_until(400) && !done(6);
}

static bool enough_bytes(void)
{
	ptreclaim_note(address(7, 0), 4096);
	ptreclaim_note(address(8, 0), 256 * MIB);
	ptreclaim_note(address(8, 0), 256 * MIB - 4096);
	if (!quiet_until(1000))
		return false;
	ptreclaim_note(address(8, 256 * MIB), 4096);
	if (!due(1) || !done(8) || !quiet_until(1000))
		return false;
	/* It is counted anew. */
	ptreclaim_note(address(8, 0), 511 * MIB);
	return quiet_until(1000);
}

static bool borders(void)
{
	int i;

	ptreclaim_note(address(10, GIB - 1), 2);
	ptreclaim_note(address(20, 0), GIB);
	ptreclaim_note(address(30, GIB / 2), 3 * GIB);
	ptreclaim_note(address(0, 0x10000), 4096);
	ptreclaim_note(address(40, 0), 0);
	if (ptreclaim_flush() || fake.calls != 8 || !done(0) || !done(10) || !done(11) || !done(20))
		return false;
	for (i = 30; i <= 33; i++)
		if (!done((uint64_t)i))
			return false;
	/* The ends of what a user has, with 4 levels of tables and with 5. */
	ptreclaim_note(address(128ULL * 1024 - 1, 0), GIB - 4096);
	ptreclaim_note(address(64ULL * 1024 * 1024 - 1, 0), GIB - 4096);
	return !ptreclaim_flush() && fake.calls == 10 && !fake.whole && !counters().overflows;
}

static bool too_long(void)
{
	ptreclaim_note(address(1, 0), 1024 * GIB);
	if (counters().overflows || ptreclaim_flush() || fake.calls != 1024)
		return false;
	ptreclaim_note(address(3, 0), 4096);
	ptreclaim_note(address(1, 0), 1024 * GIB + 1);
	if (counters().overflows != 1 || !due(1) || fake.whole != 1)
		return false;
	ptreclaim_note(NULL, SIZE_MAX);
	ptreclaim_note(address(3, 0), SIZE_MAX);
	ptreclaim_note((void *)-4096L, 4095);
	return due(1) && fake.whole == 2 && !ptreclaim_flush() && fake.calls == 1026;
}

static bool all_slots(void)
{
	uint64_t i;

	for (i = 0; i < 4096; i++)
		ptreclaim_note(address(i, 0), 4096);
	if (counters().overflows || ptreclaim_flush() || fake.calls != 4096 || fake.whole)
		return false;
	/* Slots are free for others, */
	for (i = 8192; i < 8192 + 4096; i++)
		ptreclaim_note(address(i, 0), 4096);
	if (counters().overflows)
		return false;
	/* and once there is none, everything is noted, which includes the rest. */
	tick(300);
	ptreclaim_note(address(13000, 0), 4096);
	tick(700);
	if (counters().overflows != 1 || !due(4096) || fake.whole || !quiet_until(300))
		return false;
	tick(300);
	return due(1) && fake.whole == 1 && quiet_until(-1);
}

static bool everything_includes_all(void)
{
	uint64_t i;

	for (i = 0; i < 4096 + 16; i++)
		ptreclaim_note(address(i, 0), 4096);
	return counters().overflows == 16 && !ptreclaim_flush() && fake.calls == 1 &&
	       fake.whole == 1 && quiet_until(-1);
}

/* Regions that only differ where a poor choice of the set would not look. */
static bool strides(void)
{
	uint64_t shift, i;

	for (shift = 0; shift <= 12; shift++) {
		int calls = fake.calls;

		for (i = 0; i < 100; i++)
			ptreclaim_note(address(i << shift, 0), 4096);
		if (ptreclaim_flush() || fake.calls != calls + 100 || fake.whole) {
			printf("# stride 1 << %d\n", (int)shift);
			return false;
		}
	}
	return true;
}

static bool by_call(void)
{
	ptreclaim_note(address(5, 0), 4096);
	ptreclaim_set_deferral(50, 10 * MIB);
	if (!quiet_until(50))
		return false;
	ptreclaim_note(address(6, 0), 10 * MIB);
	if (!due(1) || !done(6))
		return false;
	ptreclaim_set_deferral(0, UINT64_MAX);
	if (!due(1) || !done(5))
		return false;
	ptreclaim_set_deferral(UINT_MAX, 0);
	ptreclaim_note(address(7, 0), 1);
	if (!due(1) || !done(7))
		return false;
	ptreclaim_set_deferral(UINT_MAX, UINT64_MAX);
	ptreclaim_note(address(7, 0), 500 * GIB);
	ptreclaim_note(address(7, 0), 500 * GIB);
	return quiet_until(INT_MAX);
}

struct setting {
	const char *idle, *bytes;
	int ms;
	uint64_t enough;
};

static const struct setting *setting;

static bool by_environment(void)
{
	ptreclaim_note(address(1, 0), 4096);
	if (!quiet_until(setting->ms))
		return false;
	ptreclaim_note(address(2, 0), setting->enough - 4096);
	if (setting->enough > 4096 && !quiet_until(setting->ms))
		return false;
	ptreclaim_note(address(2, 0), 4096);
	return due(1);
}

static bool errors(void)
{
	struct ptreclaim_counters c;

	ptreclaim_note(address(1, 0), 4096);
	ptreclaim_note(address(2, 0), 4096);
	fake.error = EINTR;
	errno = EDOM;
	if (ptreclaim_flush() != -EINTR || fake.calls != 2)
		return false;
	fake.error = ENOMEM;	/* holes */
	ptreclaim_note(address(1, 0), 4096);
	if (ptreclaim_flush())
		return false;
	fake.error = EINVAL;
	ptreclaim_note(address(1, 0), 100);
	if (ptreclaim_flush() != -ENOTSUP)
		return false;
	c = counters();
	return errno == EDOM && c.notes == 4 && c.bytes == 3 * 4096 + 100 && c.calls == 4 &&
	       c.regions == 4 && !c.overflows;
}

/* A walk that finds a note with a time that is later than its own. */
static bool clock_steps(void)
{
	ptreclaim_note(address(1, 0), 4096);
	fake.ms -= 5;
	ptreclaim_note(address(2, 0), 4096);
	tick(1000);
	return due(1) && done(2) && quiet_until(5);
}

/* The clock of regions has 32 bits, which are over after 49 days. */
static bool clock_wraps(void)
{
	fake.ms = UINT32_MAX - 100;
	ptreclaim_note(address(1, 0), 4096);
	tick(400);
	ptreclaim_note(address(2, 0), 4096);
	tick(599);
	return quiet_until(1) && (tick(1), due(1)) && done(1) && quiet_until(400);
}

#define RANDOM_REGIONS	(3 * 4096)

/* Random notes and acts: what was noted is called for, and nothing else. */
static bool model(void)
{
	static bool noted[RANDOM_REGIONS];
	unsigned int seed = 1;
	int overflow = 0;
	int round, i;

	for (round = 0; round < 300; round++) {
		int notes = (int)(rand_r(&seed) % 60);

		memset(noted, 0, sizeof(noted));
		for (i = 0; i < RANDOM_REGIONS; i++)
			fake.region[i] = 0;
		for (i = 0; i < notes; i++) {
			size_t at = (size_t)rand_r(&seed) % (RANDOM_REGIONS - 70);
			size_t length = (size_t)rand_r(&seed) % 70;

			ptreclaim_note(address(at, 1), length * GIB);
			memset(noted + at, length > 0, length + (length > 0));
		}
		fake.whole = 0;
		if (ptreclaim_flush())
			return false;
		overflow += fake.whole;
		for (i = 0; i < RANDOM_REGIONS; i++)
			if (noted[i] != !!fake.region[i] && !fake.whole) {
				printf("# round %d region %d\n", round, i);
				return false;
			}
		for (i = 0; i < RANDOM_REGIONS; i++)
			if (noted[i] && !fake.region[i])
				return false;
	}
	return overflow < 300;
}

static volatile sig_atomic_t interruptions;

static void note_in_handler(int signal)
{
	static uint64_t at;

	(void)signal;
	ptreclaim_note(address(2000 + at++ % 64, 0), 4096);
	ptreclaim_due(NULL);
	interruptions++;
}

/* What the handler interrupts is a note most of the time. */
static bool signals(void)
{
	struct sigaction action = { .sa_handler = note_in_handler };
	struct itimerval fast = { { 0, 50 }, { 0, 50 } };
	struct itimerval off = { { 0, 0 }, { 0, 0 } };
	uint64_t i;

	ptreclaim_set_deferral(1000, UINT64_MAX);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (i = 0; interruptions < 1000; i++)
		ptreclaim_note(address(i % 2000, 0), 4096);
	setitimer(ITIMER_REAL, &off, NULL);
	if (fake.calls || ptreclaim_flush() || fake.whole || fake.calls < 64)
		return false;
	for (i = 0; i < 64; i++)
		if (!done(2000 + i))
			return false;
	return counters().notes >= 1000;
}

#define THREADS		4
#define THREAD_NOTES	30000
#define SHARED		6000	/* more regions than slots */

static _Atomic uint32_t noted_at[SHARED];
static atomic_bool acting;

static void *hammer(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	int i;

	for (i = 0; i < THREAD_NOTES; i++) {
		/* Few most of the time, so that threads meet, and all now and then. */
		size_t region = (size_t)rand_r(&seed) % (i % 64 ? 4 : SHARED);

		noted_at[region] = next_stamp();
		ptreclaim_note(address(region, 0), 4096);
	}
	return NULL;
}

static void *act(void *arg)
{
	while (acting) {
		ptreclaim_due(NULL);
		tick(1);
	}
	return arg;
}

/* All is due at once, and two threads look for it while others note. */
static void note_while_acting(void *(*note)(void *number))
{
	pthread_t noters[THREADS];
	pthread_t actors[2];
	size_t i;

	ptreclaim_set_deferral(0, UINT64_MAX);
	acting = true;
	for (i = 0; i < 2; i++)
		pthread_create(&actors[i], NULL, act, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_create(&noters[i], NULL, note, (void *)(i + 1));
	for (i = 0; i < THREADS; i++)
		pthread_join(noters[i], NULL);
	acting = false;
	for (i = 0; i < 2; i++)
		pthread_join(actors[i], NULL);
}

/* A note is never lost: a call for its region comes after it. */
static bool threads(void)
{
	size_t i;

	note_while_acting(hammer);
	if (ptreclaim_flush())
		return false;
	for (i = 0; i < SHARED; i++)
		if (noted_at[i] > fake.region[i]) {
			printf("# region %zu: noted at %u, called at %u\n", i, noted_at[i],
			       fake.region[i]);
			return false;
		}
	return counters().notes == THREADS * THREAD_NOTES && fake.calls > 100;
}

/* Waits for a call after each note, so that a single one that is lost is seen: by alarm(). */
static void *note_and_wait(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	int i;

	for (i = 0; i < 250; i++) {
		/* Of 20 regions that have the same 16 slots. */
		uint32_t high = (uint32_t)rand_r(&seed) % 20;
		uint32_t region = high << 8 | high;
		uint32_t stamp = next_stamp();

		ptreclaim_note(address(region, 0), 4096);
		while (fake.region[region] <= stamp)
			sched_yield();
	}
	return NULL;
}

static bool threads_wait(void)
{
	note_while_acting(note_and_wait);
	return counters().notes == THREADS * 250;
}

static bool forked(void)
{
	int status = -1;
	pid_t pid;

	ptreclaim_note(address(3, 0), 4096);
	pid = fork();
	if (!pid) {
		ptreclaim_note(address(4, 0), 4096);
		_exit(ptreclaim_flush() || fake.calls != 2 || !done(3) || !done(4));
	}
	waitpid(pid, &status, 0);
	return !status && !ptreclaim_flush() && fake.calls == 1 && done(3);
}

static bool from_setting(void)
{
	setenv("PTRECLAIM_IDLE_MS", setting->idle, 1);
	setenv("PTRECLAIM_BYTES", setting->bytes, 1);
	return by_environment();
}

static bool not_supported(void)
{
	int next = -2;

	setenv("PTRECLAIM_PROBE", "0", 1);
	errno = EDOM;
	ptreclaim_note(address(1, 0), GIB);
	return ptreclaim_flush() == -ENOTSUP && ptreclaim_due(&next) == -ENOTSUP && next == -1 &&
	       ptreclaim_start() == -ENOTSUP && !ptreclaim_stop() && !fake.calls &&
	       !counters().notes && !counters().bytes && errno == EDOM;
}

int main(void)
{
	static const struct setting settings[] = {
		{ "70", "1048576", 70, MIB },
		{ "", "", 1000, 512 * MIB },
		{ "1s", "1M", 1000, 512 * MIB },
		{ "-1", "0x1000", 1000, 512 * MIB },
		{ "99999999999999999999", "99999999999999999999", 1000, 512 * MIB },
		{ "99999999999", "18446744073709551615", INT_MAX, 0 },
	};
	size_t i;

	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(23);
	ok(alone(not_supported), "without the advice, nothing is noted");
	ok(alone(idle), "due after a second");
	ok(alone(idle_anew), "each region waits for itself");
	ok(alone(enough_bytes), "due with 512 MiB");
	ok(alone(borders), "the regions of ranges");
	ok(alone(too_long), "ranges that are all of the process");
	ok(alone(all_slots), "4096 regions have room, and others after them");
	ok(alone(everything_includes_all), "all of the process takes the place of regions");
	ok(alone(strides), "regions at regular distances have room");
	ok(alone(by_call), "settings by call");
	for (i = 0; i < sizeof(settings) / sizeof(*settings) - 1; i++) {
		setting = &settings[i];
		ok(alone(from_setting), "settings '%s' and '%s'", setting->idle, setting->bytes);
	}
	ok(alone(errors), "errors, errno and counters");
	ok(alone(clock_steps), "a clock that another thread has read earlier");
	ok(alone(clock_wraps), "a clock that wraps");
	ok(alone(model), "random notes");
	ok(alone(signals), "notes in a signal handler");
	ok(alone(threads), "no note is lost between threads");
	ok(alone(threads_wait), "each note is followed by a call");
	ok(alone(forked), "notes of the parent are the child's as well");
	return finish();
}
