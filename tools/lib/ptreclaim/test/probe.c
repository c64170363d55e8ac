// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * ptreclaim_probe() with a kernel, a /proc/vmstat and an environment that are made up.
 * Each case runs in a process of its own, since answers are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ptreclaim.h"
#include "syscalls.h"
#include "tap.h"

#define ADVICE	26
#define FAKE_FD	1000
#define LONG_ROW \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\n"

static struct {
	int madvise_error;
	int open_error;
	int read_error;
	const char *vmstat;
	size_t step;		/* bytes that one read gives */
	int madvises;
	int opens;
	int closes;
	int others;		/* calls that a probe has no business with */
	const char *env;
} fake;

static _Thread_local size_t read_pos;	/* of /proc/vmstat: each thread opens it for itself */

char *__wrap_secure_getenv(const char *name);
char *__wrap_getenv(const char *name);

static long fake_read(char *buf, size_t size)
{
	size_t left = strlen(fake.vmstat + read_pos);

	if (fake.read_error)
		return refuse(fake.read_error);
	if (size > fake.step)
		size = fake.step;
	if (size > left)
		size = left;
	memcpy(buf, fake.vmstat + read_pos, size);
	read_pos += size;
	return (long)size;
}

static long handle_syscall(long nr, const long arg[6])
{
	if (nr == SYS_madvise && !arg[0] && !arg[1] && arg[2] == ADVICE) {
		fake.madvises++;
		return fake.madvise_error ? refuse(fake.madvise_error) : 0;
	}
	if (nr == SYS_openat && !strcmp((const char *)arg[1], "/proc/vmstat")) {
		fake.opens++;
		fake.others += !(arg[2] & O_CLOEXEC);
		read_pos = 0;
		return fake.open_error ? refuse(fake.open_error) : FAKE_FD;
	}
	if (nr == SYS_read && arg[0] == FAKE_FD)
		return fake_read((char *)arg[1], (size_t)arg[2]);
	if (nr == SYS_close && arg[0] == FAKE_FD) {
		fake.closes++;
		return 0;
	}
	fake.others++;
	return refuse(ENOSYS);
}

char *__wrap_secure_getenv(const char *name)
{
	return strcmp(name, "PTRECLAIM_PROBE") ? NULL : (char *)fake.env;
}

/* The one that does not look at privileges must not be used. */
char *__wrap_getenv(const char *name)
{
	(void)name;
	fake.others++;
	return NULL;
}

struct probe_case {
	const char *name;
	int madvise_error;
	int open_error;
	int read_error;
	const char *vmstat;
	const char *env;
	enum ptreclaim_support want;
	int madvises;
	int opens;
	bool forgets;		/* a second question is asked anew */
};

#define ROWS	"nr_free_pages 17\npt_reclaim_scanned 5\npt_reclaim_freed 3\nswap_ra 0\n"

static const struct probe_case cases[] = {
	{ "advice and counter", .vmstat = ROWS, .want = PTRECLAIM_SUPPORTED, .madvises = 1,
	  .opens = 1 },
	{ "counter in the first row", .vmstat = "pt_reclaim_freed 3\n", .want = PTRECLAIM_SUPPORTED,
	  .madvises = 1, .opens = 1 },
	{ "counter behind much else", .want = PTRECLAIM_SUPPORTED, .madvises = 1, .opens = 1 },
	{ "no advice", .madvise_error = EINVAL, .vmstat = ROWS, .want = PTRECLAIM_NO_ADVICE,
	  .madvises = 1 },
	{ "a filter refuses", .madvise_error = EPERM, .vmstat = ROWS, .want = PTRECLAIM_NO_ADVICE,
	  .madvises = 1 },
	{ "no counter", .vmstat = "nr_free_pages 17\nswap_ra 0\n", .want = PTRECLAIM_NO_COUNTER,
	  .madvises = 1, .opens = 1 },
	{ "empty vmstat", .vmstat = "", .want = PTRECLAIM_NO_COUNTER, .madvises = 1, .opens = 1 },
	{ "counter with a longer name", .vmstat = "xpt_reclaim_freed 3\npt_reclaim_freed_x 3\n",
	  .want = PTRECLAIM_NO_COUNTER, .madvises = 1, .opens = 1 },
	{ "counter with a digit in its name", .vmstat = "pt_reclaim_freed2 3\n",
	  .want = PTRECLAIM_NO_COUNTER, .madvises = 1, .opens = 1 },
	{ "counter without a number", .vmstat = "pt_reclaim_freed x3\npt_reclaim_freed \n",
	  .want = PTRECLAIM_NO_COUNTER, .madvises = 1, .opens = 1 },
	{ "no /proc", .open_error = ENOENT, .want = PTRECLAIM_NO_PROC, .madvises = 1, .opens = 1 },
	{ "/proc may not be read", .open_error = EACCES, .want = PTRECLAIM_NO_PROC, .madvises = 1,
	  .opens = 1 },
	{ "no file descriptors", .open_error = EMFILE, .want = PTRECLAIM_NO_PROC, .madvises = 1,
	  .opens = 1, .forgets = true },
	{ "no memory", .read_error = ENOMEM, .vmstat = ROWS, .want = PTRECLAIM_NO_PROC,
	  .madvises = 1, .opens = 1, .forgets = true },
	{ "read fails", .read_error = EIO, .vmstat = ROWS, .want = PTRECLAIM_NO_PROC, .madvises = 1,
	  .opens = 1 },
	{ "PTRECLAIM_PROBE=0", .vmstat = ROWS, .env = "0", .want = PTRECLAIM_DISABLED },
	{ "PTRECLAIM_PROBE=1, no /proc", .open_error = ENOENT, .env = "1",
	  .want = PTRECLAIM_SUPPORTED, .madvises = 1 },
	{ "PTRECLAIM_PROBE=1, no advice", .madvise_error = EINVAL, .env = "1",
	  .want = PTRECLAIM_NO_ADVICE, .madvises = 1 },
	{ "PTRECLAIM_PROBE=yes", .open_error = ENOENT, .env = "yes", .want = PTRECLAIM_NO_PROC,
	  .madvises = 1, .opens = 1 },
	{ "PTRECLAIM_PROBE=", .vmstat = ROWS, .env = "", .want = PTRECLAIM_SUPPORTED, .madvises = 1,
	  .opens = 1 },
};

#define CASES	((int)(sizeof(cases) / sizeof(*cases)))

static void set_fake(const struct probe_case *c, size_t step)
{
	static char many[300 * sizeof(LONG_ROW) + sizeof(ROWS)];
	int i;

	if (!many[0]) {
		for (i = 0; i < 300; i++)
			strcat(many, LONG_ROW);
		strcat(many, ROWS);
	}
	memset(&fake, 0, sizeof(fake));
	fake.madvise_error = c->madvise_error;
	fake.open_error = c->open_error;
	fake.read_error = c->read_error;
	fake.vmstat = c->vmstat ? c->vmstat : many;
	fake.env = c->env;
	fake.step = step;
}

static bool asks_right(const struct probe_case *c, size_t step)
{
	int want = c->want == PTRECLAIM_SUPPORTED ? 0 : -ENOTSUP;
	enum ptreclaim_support why = (enum ptreclaim_support)-1;
	int times = c->forgets ? 2 : 1;

	set_fake(c, step);
	errno = EDOM;
	if (ptreclaim_probe(&why) != want || why != c->want || ptreclaim_probe(NULL) != want)
		return false;
	return errno == EDOM && !fake.others && fake.madvises == times * c->madvises &&
	       fake.opens == times * c->opens && fake.closes == (c->open_error ? 0 : fake.opens);
}

/* In a process of its own: TRUE of it. */
static bool alone(bool (*is_true)(const struct probe_case *, size_t), const struct probe_case *c,
		  size_t step)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(!is_true(c, step));
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* Without support no function sends anything, whatever its arguments are. */
static bool sends_nothing(const struct probe_case *c, size_t step)
{
	struct iovec range = { .iov_base = (void *)0x10000, .iov_len = 0x10000 };
	struct ptreclaim_result result = { .bytes = 1 };
	int before;

	set_fake(c, step);
	before = ptreclaim_probe(NULL);
	if (ptreclaim_range((void *)0x10000, 1) != -ENOTSUP ||
	    ptreclaim_range((void *)1, SIZE_MAX) != -ENOTSUP ||
	    ptreclaim_range(NULL, 0) != -ENOTSUP ||
	    ptreclaim_ranges(-1, &range, 1, NULL, &result) != -ENOTSUP || result.bytes ||
	    ptreclaim_ranges(3, NULL, 0, NULL, NULL) != -ENOTSUP ||
	    ptreclaim_process(3, getpid(), NULL, &result) != -ENOTSUP)
		return false;
	return before == -ENOTSUP && !result.calls && !fake.others;
}

/* Where the number is accepted by force but refused with a range, that is ENOTSUP too. */
static bool late_refusal(const struct probe_case *c, size_t step)
{
	set_fake(c, step);
	if (ptreclaim_probe(NULL))
		return false;
	/* The fake answers ENOSYS to all but the probe's call, as a filter might. */
	return ptreclaim_ranges(3, &(struct iovec){ (void *)0x10000, 1 }, 1, NULL, NULL) ==
	       -ENOTSUP;
}

static void *ask(void *arg)
{
	(void)arg;
	return ptreclaim_probe(NULL) ? arg : NULL;
}

/* For ThreadSanitizer, most of all. */
static bool many_threads(const struct probe_case *c, size_t step)
{
	pthread_t threads[8];
	bool good = true;
	void *failed;
	int i;

	set_fake(c, step);
	for (i = 0; i < 8; i++)
		if (pthread_create(&threads[i], NULL, ask, &fake))
			return false;
	for (i = 0; i < 8; i++) {
		pthread_join(threads[i], &failed);
		good = good && !failed;
	}
	return good;
}

static bool has_texts(void)
{
	int i, j;

	for (i = PTRECLAIM_SUPPORTED; i <= PTRECLAIM_DISABLED + 1; i++)
		for (j = PTRECLAIM_SUPPORTED; j < i; j++)
			if (!strcmp(ptreclaim_support_text((enum ptreclaim_support)i),
				    ptreclaim_support_text((enum ptreclaim_support)j)))
				return false;
	return true;
}

int main(void)
{
	/* PTRECLAIM_PROBE=0 needs no system call at all, so that threads do not race in the fake.
	 */
	static const struct probe_case off = { .vmstat = ROWS, .env = "0" };
	int i;

	plan(3 * CASES + 3);
	for (i = 0; i < CASES; i++) {
		ok(alone(asks_right, &cases[i], 4096), "%s", cases[i].name);
		ok(alone(asks_right, &cases[i], 1), "%s, read in single bytes", cases[i].name);
		if (cases[i].want == PTRECLAIM_SUPPORTED)
			ok(alone(late_refusal, &cases[i], 7), "%s, but refused later",
			   cases[i].name);
		else
			ok(alone(sends_nothing, &cases[i], 7), "%s, so nothing is sent",
			   cases[i].name);
	}
	ok(!alone(many_threads, &off, 1), "a negative answer reaches threads");
	ok(alone(many_threads, &cases[1], 4096), "all threads get the same answer");
	ok(has_texts(), "each reason has a text of its own");
	return finish();
}
