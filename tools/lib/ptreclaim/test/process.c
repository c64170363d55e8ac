// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ptreclaim_process() with a /proc and a kernel that are made up. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../ptreclaim.h"
#include "syscalls.h"
#include "tap.h"

#define PIDFD	77
#define PID	4711
#define FAKE_FD	1000
#define MAX	4000

static struct {
	const char *maps;
	size_t pos;
	int open_error;
	int check_error;	/* of a call without ranges */
	int send_error;
	int fail_at;		/* the call with ranges that fails */
	bool opened;
	bool checked;
	int closes;
	int queries;
	int query_fail_at;
	int query_error;
	bool stuck;		/* answers are always the first one */
	int calls;
	size_t n;
	uint64_t sent[MAX][2];
	const char *wrong;
} fake;

static struct ptreclaim_result result;

static bool queries;	/* the kernel has PROCMAP_QUERY */

static long fake_open(const char *path, long flags)
{
	char want[64];

	snprintf(want, sizeof(want), "/proc/%d/maps", PID);
	if (strcmp(path, want) != 0 || !(flags & O_CLOEXEC))
		fake.wrong = "opens something else";
	if (fake.open_error)
		return refuse(fake.open_error);
	fake.opened = true;
	return FAKE_FD;
}

static long fake_read(char *buf, size_t size)
{
	size_t n = strlen(fake.maps + fake.pos);

	if (!fake.checked)
		fake.wrong = "reads before it knows whose file it is";
	if (n > size)
		n = size;
	memcpy(buf, fake.maps + fake.pos, n);
	fake.pos += n;
	return (long)n;
}

/* The first line that ends above the address, of text in the right order. */
static long fake_query(uint64_t query[13])
{
	const char *line = fake.maps;
	uint64_t start = 0, end = 0;

	if (!queries)
		return refuse(ENOTTY);
	if (!fake.checked || query[0] != 104 || query[1] != 16)
		fake.wrong = "asks in another way";
	fake.queries++;
	if (fake.queries == fake.query_fail_at)
		return refuse(fake.query_error);
	for (; *line; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			fake.wrong = "no line of maps";
		if (end > query[2] || fake.stuck) {
			query[3] = start;
			query[4] = end;
			return 0;
		}
	}
	return refuse(ENOENT);
}

static long fake_process_madvise(const struct iovec *iov, size_t n)
{
	size_t sum = 0;
	size_t i;

	if (!n) {
		if (!fake.opened)
			fake.wrong = "asks before the file is open";
		fake.checked = true;
		return fake.check_error ? refuse(fake.check_error) : 0;
	}
	if (++fake.calls == fake.fail_at)
		return refuse(fake.send_error);
	for (i = 0; i < n && fake.n < MAX; i++) {
		fake.sent[fake.n][0] = (uintptr_t)iov[i].iov_base;
		fake.sent[fake.n++][1] = (uintptr_t)iov[i].iov_base + iov[i].iov_len;
		sum += iov[i].iov_len;
	}
	return (long)sum;
}

static long handle_syscall(long nr, const long arg[6])
{
	if (nr == SYS_madvise && !arg[0] && !arg[1])
		return 0;
	if (nr == SYS_openat)
		return fake_open((const char *)arg[1], arg[2]);
	if (nr == SYS_read && arg[0] == FAKE_FD)
		return fake_read((char *)arg[1], (size_t)arg[2]);
	if (nr == SYS_close && arg[0] == FAKE_FD) {
		fake.closes++;
		return 0;
	}
	if (nr == SYS_ioctl && arg[0] == FAKE_FD && arg[1] == (long)0xc0686611)
		return fake_query((uint64_t *)arg[2]);
	if (nr == SYS_process_madvise && arg[0] == PIDFD && arg[3] == 26 && !arg[4])
		return fake_process_madvise((const struct iovec *)arg[1], (size_t)arg[2]);
	fake.wrong = "another system call";
	return refuse(ENOSYS);
}

static int run(const char *maps, const int *cancel)
{
	int ret;

	fake.maps = maps;
	errno = EDOM;
	ret = ptreclaim_process(PIDFD, PID, cancel, &result);
	if (fake.wrong)
		printf("# %s\n", fake.wrong);
	else if (errno != EDOM || fake.closes != fake.opened)
		fake.wrong = "errno has changed, or the file was not closed once";
	return ret;
}

static void reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

static bool sent(size_t at, uint64_t start, uint64_t end)
{
	return at < fake.n && fake.sent[at][0] == start && fake.sent[at][1] == end;
}

#define REST " rw-p 00000000 00:00 0 \n"

static void test_ranges(void)
{
	reset();
	ok(!run("10000-20000" REST "30000-40000" REST "40000-41000" REST "41000-50000" REST
		"60000-70000" REST
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n", NULL) &&
	   !fake.wrong && fake.n == 3 && sent(0, 0x10000, 0x20000) &&
	   sent(1, 0x30000, 0x50000) && sent(2, 0x60000, 0x70000) && fake.calls == 1,
	   "neighbours are one range, and [vsyscall] is none");
	ok(result.ranges_done == 3 && result.calls == 1 && !result.ranges_skipped &&
	   !result.first_error && result.bytes == 0x40000, "what was done is reported");
	reset();
	ok(!run("", NULL) && !fake.wrong && !fake.calls && !result.ranges_done, "no mappings");
	reset();
	ok(!run("0-1000" REST "1000-2000" REST, NULL) && fake.n == 1 && sent(0, 0, 0x2000),
	   "a mapping at address 0");
	/* Nonsense, as from a file that is none of the kernel's: no harm is done by the ranges. */
	reset();
	ok(!run("30000-40000" REST "10000-38000" REST "0-100000" REST, NULL) &&
	   !fake.wrong && result.ranges_done == 3, "mappings in no order");
}

static void test_queries(void)
{
	static const char two[] = "10000-20000" REST "30000-40000" REST;

	reset();
	ok(!run("0-1000" REST "10000-20000" REST "20000-30000" REST "7fffffffe000-7ffffffff000"
		REST, NULL) &&
	   !fake.wrong && !fake.pos && fake.queries == 5 && fake.n == 3 && sent(0, 0, 0x1000) &&
	   sent(1, 0x10000, 0x30000) && sent(2, 0x7fffffffe000, 0x7ffffffff000),
	   "asks for mappings, and does not read the text");
	reset();
	fake.query_fail_at = 2;
	fake.query_error = ESRCH;
	ok(run(two, NULL) == -ESRCH && !fake.wrong && !fake.calls, "exits while it is asked");
	reset();
	ok(!run("", NULL) && !fake.wrong && !fake.calls && fake.queries == 1,
	   "asks a process without mappings");
	reset();
	fake.stuck = true;
	ok(run(two, NULL) == -EIO && fake.queries == 2 && !fake.calls,
	   "the same answer again is no endless loop");
}

static void test_many(void)
{
	static char text[2500 * 64];
	size_t used = 0;
	size_t i;
	bool good;

	for (i = 0; i < 2500; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%zx-%zx" REST,
					 0x10000 * (i + 1), 0x10000 * (i + 1) + 0x2000);
	reset();
	good = !run(text, NULL) && !fake.wrong && fake.n == 2500 && fake.calls == 3;
	for (i = 0; good && i < 2500; i++)
		good = sent(i, 0x10000 * (i + 1), 0x10000 * (i + 1) + 0x2000);
	ok(good && result.ranges_done == 2500, "2500 ranges in 3 calls");
	reset();
	fake.fail_at = 2;
	fake.send_error = ESRCH;
	ok(run(text, NULL) == -ESRCH && !fake.wrong && fake.calls == 2 &&
	   result.ranges_done == 1024, "exits meanwhile");
	reset();
	fake.fail_at = 2;
	fake.send_error = ENOMEM;
	ok(!run(text, NULL) && !fake.wrong && fake.n == 2499 && result.ranges_skipped == 1 &&
	   result.first_error == -ENOMEM, "unmaps meanwhile");
}

static void test_errors(void)
{
	static const int open_errors[] = { ENOENT, EACCES, EMFILE };
	static const int check_errors[] = { ESRCH, EPERM, EACCES, EBADF };
	static const char one[] = "10000-20000" REST;
	int cancel = 1;
	size_t i;

	for (i = 0; i < sizeof(open_errors) / sizeof(*open_errors); i++) {
		reset();
		fake.open_error = open_errors[i];
		ok(run(one, NULL) == -open_errors[i] && !fake.wrong && !fake.checked && !fake.calls,
		   "maps cannot be opened: error %d", open_errors[i]);
	}
	for (i = 0; i < sizeof(check_errors) / sizeof(*check_errors); i++) {
		reset();
		fake.check_error = check_errors[i];
		ok(run(one, NULL) == -check_errors[i] && !fake.wrong && !fake.pos && !fake.calls,
		   "may not be sent to: error %d", check_errors[i]);
	}
	reset();
	ok(run("10000-20000" REST "nonsense\n", NULL) == -EBADMSG && !fake.wrong, "no maps");
	reset();
	ok(run(one, &cancel) == -ECANCELED && !fake.wrong && !fake.calls, "cancelled");
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(24);
	test_ranges();
	test_many();
	test_errors();
	queries = true;
	test_queries();
	test_many();
	return finish();
}
