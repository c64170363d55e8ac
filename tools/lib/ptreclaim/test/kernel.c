// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libptreclaim on a kernel that has the advice; fails on any other. As root, who may
 * send it to other processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "../ptreclaim.h"
#include "procs.h"
#include "tap.h"

#define TABLES		1000
#define LIVE		(TABLES / 10)	/* keep a page */
#define EMPTY		(TABLES - LIVE)
#define FAR		(8UL << 30)

static char *memory, *holed;	/* mapped before the fork, touched by the child */

static struct ptreclaim_tables audit(pid_t pid)
{
	struct ptreclaim_tables t;
	int ret = ptreclaim_audit(pid, NULL, &t);

	if (ret) {
		errno = -ret;
		TAP_BAIL("audit");
	}
	return t;
}

static uint64_t vmpte(pid_t pid)
{
	return audit(pid).vmpte;
}

/* But for upper tables that have nothing below them. */
static bool nothing_left(pid_t pid)
{
	struct ptreclaim_tables t = audit(pid);

	return !t.empty_min && t.empty_max <= 8 * 4096;
}

/* How many tables fewer than before; the caller's stack or libc may need one more meanwhile. */
static bool freed(uint64_t before, uint64_t after, uint64_t tables)
{
	uint64_t got = before > after ? (before - after) / 4096 : 0;

	if (got + 1 >= tables && got <= tables)
		return true;
	printf("# %llu tables instead of %llu\n", (unsigned long long)got,
	       (unsigned long long)tables);
	return false;
}

static bool live_pages_hold(char *start, size_t tables)
{
	size_t i;

	for (i = 0; i < tables; i++)
		if (i % 100 < 10 && start[i * TABLE_SIZE] != 1)
			return false;
	return true;
}

static void test_own(void)
{
	char *map = map_tables(TABLES);
	uint64_t before;
	bool good;

	make_empty(map, TABLES, 10);
	before = vmpte(getpid());
	errno = EDOM;
	/* From the middle of a page of the first table to that of one of the last. */
	good = !ptreclaim_range(map + TABLE_SIZE - 100, (TABLES - 2) * TABLE_SIZE + 200);
	ok(good && errno == EDOM && freed(before, vmpte(getpid()), EMPTY) &&
	   live_pages_hold(map, TABLES), "a range of one's own, not aligned");

	make_empty(map, TABLES, 10);
	before = vmpte(getpid());
	if (munmap(map + 300 * TABLE_SIZE, 100 * TABLE_SIZE))
		TAP_BAIL("munmap");
	good = !ptreclaim_range(map, TABLES * TABLE_SIZE);
	ok(good && freed(before, vmpte(getpid()), EMPTY + 10), "a range with a hole");

	make_empty(map, 300, 10);
	before = vmpte(getpid());
	good = !ptreclaim_range(NULL, SIZE_MAX);
	ok(good && freed(before, vmpte(getpid()), 270) && live_pages_hold(map, 300),
	   "all of the process");
	ok(nothing_left(getpid()), "no empty table is left");
	ok(!ptreclaim_range(map, 0) && !ptreclaim_range(NULL, 1) &&
	   ptreclaim_range(map, SIZE_MAX) == -EINVAL &&
	   !ptreclaim_range((void *)-4097L, 4096), "odd ranges");
	munmap(map, TABLES * TABLE_SIZE);
}

static void map_sparse(void)
{
	memory = map_tables(TABLES);
	holed = map_tables(100);
	if (munmap(holed + 40 * TABLE_SIZE, 20 * TABLE_SIZE))
		TAP_BAIL("munmap");
}

/* Makes tables, and on the second call looks whether the data is still there. */
static void sparse(int number)
{
	if (number && !live_pages_hold(memory, TABLES))
		_exit(1);
	make_empty(memory, TABLES, 10);
	make_empty(holed, 40, 0);
	make_empty(holed + 60 * TABLE_SIZE, 40, 0);
}

static void test_ranges(void)
{
	static struct iovec ranges[TABLES + 4];
	struct ptreclaim_result r;
	struct child c = child_start(sparse);
	uint64_t before;
	size_t i;
	int ret;

	child_step(&c);
	for (i = 0; i < TABLES; i++) {
		ranges[i].iov_base = memory + i * TABLE_SIZE + 7;
		ranges[i].iov_len = 9;
	}
	ranges[i].iov_base = holed;
	ranges[i++].iov_len = 100 * TABLE_SIZE;
	ranges[i].iov_base = (void *)0xffffffffff600000;	/* [vsyscall], EFAULT */
	ranges[i++].iov_len = 4096;
	ranges[i].iov_base = memory;
	ranges[i++].iov_len = 0;
	ranges[i].iov_base = memory;
	ranges[i++].iov_len = SIZE_MAX;
	before = vmpte(c.pid);
	errno = EDOM;
	ret = ptreclaim_ranges(c.pidfd, ranges, i, NULL, &r);
	printf("# %d: bytes %llu done %llu skipped %llu calls %llu first %d\n", ret,
	       (unsigned long long)r.bytes, (unsigned long long)r.ranges_done,
	       (unsigned long long)r.ranges_skipped, (unsigned long long)r.calls, r.first_error);
	ok(!ret && errno == EDOM && r.bytes == 4096 * TABLES && r.ranges_done == TABLES + 1 &&
	   r.ranges_skipped == 3 && r.first_error == -EINVAL, "what became of 1004 ranges");
	ok(freed(before, vmpte(c.pid), EMPTY + 80), "their empty tables are free");
	child_end(&c);
}

static char *far;

static void touch_far(int number)
{
	(void)number;
	make_empty(far, FAR / TABLE_SIZE, 10);
}

static void test_far(void)
{
	size_t tables = FAR / TABLE_SIZE;
	struct ptreclaim_result r;
	struct iovec range;
	struct child c;
	uint64_t before;
	size_t live = 0;
	size_t i;
	int ret;

	far = map_tables(tables);
	range.iov_base = far;
	range.iov_len = FAR;
	for (i = 0; i < tables; i++)
		live += i % 100 < 10;
	c = child_start(touch_far);
	child_step(&c);
	before = vmpte(c.pid);
	ret = ptreclaim_ranges(c.pidfd, &range, 1, NULL, &r);
	ok(!ret && r.bytes == FAR && r.ranges_done == 1 && r.calls == 5, "8 GiB in 5 calls");
	ok(freed(before, vmpte(c.pid), tables - live),
	   "their empty tables are free, also at the cuts");
	child_end(&c);
	munmap(far, FAR);
}

static void test_process(void)
{
	struct ptreclaim_result r;
	struct child c = child_start(sparse);
	uint64_t before;
	int ret;

	child_step(&c);
	before = audit(c.pid).empty_min;
	ret = ptreclaim_process(c.pidfd, c.pid, NULL, &r);
	printf("# %d: at least %llu empty, then at most %llu; bytes %llu done %llu skipped %llu "
	       "calls %llu\n",
	       ret, (unsigned long long)before, (unsigned long long)audit(c.pid).empty_max,
	       (unsigned long long)r.bytes, (unsigned long long)r.ranges_done,
	       (unsigned long long)r.ranges_skipped, (unsigned long long)r.calls);
	ok(!ret && !r.ranges_skipped && !r.first_error && before >= EMPTY * 4096UL &&
	   nothing_left(c.pid), "a whole process has no empty table left");
	child_step(&c);
	ok(!ptreclaim_process(c.pidfd, c.pid, NULL, NULL), "again, with no place for the result");
	child_end(&c);
}

static void nothing(int number)
{
	(void)number;
}

static void test_errors(void)
{
	struct iovec range = { .iov_base = (void *)0x10000, .iov_len = 4096 };
	struct child dead = child_start(nothing);
	struct child alive = child_start(nothing);
	struct ptreclaim_result r;
	int one = 1;

	child_step(&alive);
	ok(ptreclaim_ranges(alive.pidfd, &range, 1, &one, &r) == -ECANCELED && !r.calls &&
	   ptreclaim_process(alive.pidfd, alive.pid, &one, &r) == -ECANCELED && !r.calls,
	   "cancelled");
	child_kill(&dead);
	ok(ptreclaim_ranges(dead.pidfd, &range, 1, NULL, &r) == -ESRCH && r.calls == 1 &&
	   !r.ranges_skipped, "ranges of a zombie");
	ok(ptreclaim_process(dead.pidfd, dead.pid, NULL, &r) == -ESRCH, "a zombie");
	child_reap(&dead);
	ok(ptreclaim_ranges(dead.pidfd, &range, 1, NULL, &r) == -ESRCH, "ranges of a dead process");
	ok(ptreclaim_process(dead.pidfd, dead.pid, NULL, &r) == -ENOENT, "a dead process");
	ok(ptreclaim_process(dead.pidfd, alive.pid, NULL, &r) == -ESRCH && !r.calls,
	   "a dead process, whose number has been used again");
	ok(ptreclaim_ranges(-1, &range, 1, NULL, &r) == -EBADF &&
	   ptreclaim_ranges(0, &range, 1, NULL, &r) == -EBADF &&
	   ptreclaim_process(-1, alive.pid, NULL, &r) == -EBADF, "no pidfd");
	close(dead.pidfd);
	child_end(&alive);
}

/* To a user whom others of the same user may look at. */
static void drop_privileges(int number)
{
	(void)number;
	if (setgid(1000) || setuid(1000) || prctl(PR_SET_DUMPABLE, 1))
		_exit(1);
}

static bool refused(const struct child *c, int error)
{
	struct iovec range = { .iov_base = (void *)0x10000, .iov_len = 4096 };
	struct ptreclaim_result r;

	return ptreclaim_ranges(c->pidfd, &range, 1, NULL, &r) == error && r.calls == 1 &&
	       !r.ranges_done && !r.ranges_skipped &&
	       ptreclaim_process(c->pidfd, c->pid, NULL, &r) == error && !r.calls;
}

static void test_privileges(void)
{
	struct child root = child_start(nothing);
	struct child user = child_start(drop_privileges);
	int status = 1;
	pid_t pid;

	child_step(&root);
	child_step(&user);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		drop_privileges(0);
		_exit(!refused(&root, -EACCES) || !refused(&user, -EPERM) ||
		      ptreclaim_range(NULL, SIZE_MAX));
	}
	waitpid(pid, &status, 0);
	ok(!status, "without privileges, only oneself");
	child_end(&root);
	child_end(&user);
}

#define ROUNDS	300	/* over a restless process */

static atomic_int *rounds_left;		/* shared with it */

/* Maps and unmaps without a pause, and looks after its own data. */
static void restless(int number)
{
	static unsigned int seed;
	static char *slot[64];

	(void)number;
	while (*rounds_left > 0) {
		size_t i = (size_t)rand_r(&seed) % 64;
		size_t at = (size_t)rand_r(&seed) % 4 * TABLE_SIZE;

		if (slot[i]) {
			if (slot[i][TABLE_SIZE] != (char)i)
				_exit(1);
			munmap(slot[i], 4 * TABLE_SIZE);
		}
		slot[i] = map_tables(4);
		slot[i][at] = 1;
		madvise(slot[i] + at, 4096, MADV_DONTNEED);
		slot[i][TABLE_SIZE] = (char)i;
	}
}

static void *run_step(void *arg)
{
	child_step(arg);
	return arg;
}

static void test_restless(void)
{
	struct ptreclaim_result r;
	struct child c;
	unsigned long long bytes = 0, holes = 0;
	pthread_t thread;
	bool good = true;
	int rounds = 0;

	rounds_left = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rounds_left == MAP_FAILED)
		TAP_BAIL("mmap");
	*rounds_left = ROUNDS;
	c = child_start(restless);
	if (pthread_create(&thread, NULL, run_step, &c))
		TAP_BAIL("pthread_create");
	/* Until the child has done its step, it does not read the next command. */
	while (good && pthread_tryjoin_np(thread, NULL)) {
		good = !ptreclaim_process(c.pidfd, c.pid, NULL, &r) &&
		       (!r.ranges_skipped || r.first_error == -ENOMEM);
		bytes += r.bytes;
		holes += r.ranges_skipped;
		rounds++;
		--*rounds_left;
	}
	ok(good && rounds >= ROUNDS && bytes, "a restless process, %d times: %llu ranges had holes",
	   rounds, holes);
	child_end(&c);
}

int main(void)
{
	enum ptreclaim_support why;
	bool supported;

	unsetenv("PTRECLAIM_PROBE");
	plan(21);
	supported = !ptreclaim_probe(&why);
	ok(supported, "%s", ptreclaim_support_text(why));
	test_own();
	map_sparse();
	test_ranges();
	test_far();
	test_process();
	test_errors();
	test_privileges();
	test_restless();
	return finish();
}
