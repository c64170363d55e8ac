// SPDX-License-Identifier: GPL-2.0
/*
 * Owners that let the kernel read and write their pages: get_user_pages() in its fast
 * form, which walks page tables without a lock, and in the slow one, which faults and
 * walks again. It fills tables and looks into tables that are about to go.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "race.h"

#define BLOCK	16	/* pages, as many as FAULT_AROUND */

struct gup {
	int file;		/* on the disk, with O_DIRECT; BLOCK pages */
	int pipe[2];
	char *pages;		/* BLOCK pages of private memory */
	bool ring_there;
	struct io_uring ring;
};

/* ---- what they have in common ---- */

static void tear_down(struct run *run)
{
	struct gup *gup = run->private;

	if (!gup)
		return;
	if (gup->ring_there)
		io_uring_queue_exit(&gup->ring);
	if (gup->file >= 0)
		close(gup->file);
	for (int i = 0; i < 2; i++)
		if (gup->pipe[i] >= 0)
			close(gup->pipe[i]);
	free(gup->pages);
	free(gup);
	run->private = NULL;
}

static bool set_up(struct run *run)
{
	struct gup *gup = calloc(1, sizeof(*gup));

	if (!gup)
		return fail(run, "no memory");
	run->private = gup;
	gup->file = gup->pipe[0] = gup->pipe[1] = -1;
	gup->pages = aligned_alloc(PAGE, BLOCK * PAGE);
	if (!gup->pages)
		return fail(run, "no memory");
	memset(gup->pages, 0, BLOCK * PAGE);
	return true;
}

/* Written once, so that no later write has to find room for it. */
static bool set_up_file(struct run *run)
{
	struct gup *gup;

	if (!set_up(run))
		return false;
	gup = run->private;
	gup->file = open(disk, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (gup->file < 0 ||
	    pwrite(gup->file, gup->pages, BLOCK * PAGE, 0) != (ssize_t)(BLOCK * PAGE))
		return fail(run, "a file for O_DIRECT:");
	return true;
}

/* BLOCK pages of the window: the turn of this round, in another slot each time. */
static char *block(const struct run *run)
{
	unsigned long blocks = run->pages / BLOCK;

	return window_page(run, run->round % SLOTS, run->round / SLOTS % blocks * BLOCK);
}

/* The contents that belong to the page at @addr are in @copy of it, for all of @pages. */
static bool check_copies(struct run *run, const char *copy, const char *addr, unsigned int pages,
			 unsigned long round)
{
	for (unsigned int i = 0; i < pages; i++)
		if (!check(run, copy + i * PAGE, addr + i * PAGE, round))
			return false;
	return true;
}

static void fill_pages(const struct run *run, char *to, const char *addr, unsigned int pages,
		       unsigned long round)
{
	for (unsigned int i = 0; i < pages; i++)
		fill(run, to + i * PAGE, addr + i * PAGE, round);
}

/* @copy is what was read of a page that nobody wrote. */
static bool check_fresh_copy(struct run *run, const char *copy, const char *addr)
{
	if (run->memory == FILE_PRIVATE)
		return check(run, copy, addr, -1UL);
	for (size_t i = 0; i < PAGE; i++)
		if (copy[i])
			return fail(run, "page %zu, byte %zu: nobody wrote it, and what was read is %#x",
				    (size_t)(addr - run->area) / PAGE, i, copy[i] & 0xff);
	return true;
}

/* Nothing of it is left; in the file below, too. */
static bool drop_and_look(struct run *run, char *addr, unsigned int pages)
{
	return drop(run, addr, pages * PAGE) && check_fresh(run, addr) && drop(run, addr, PAGE);
}

static bool expect(struct run *run, const char *what, ssize_t result, size_t length)
{
	if (result == (ssize_t)length)
		return true;
	if (result < 0)
		return fail(run, "%s:", what);
	return fail(run, "%s: %zd bytes of %zu", what, result, length);
}

/* ---- o-direct ---- */

static bool direct_round(struct run *run)
{
	struct gup *gup = run->private;
	unsigned int pages = 1U << run->round % 5;
	size_t length = pages * PAGE;
	char *addr = block(run);

	fill_pages(run, addr, addr, pages, run->round);
	if (!expect(run, "pwrite with O_DIRECT", pwrite(gup->file, addr, length, 0), length) ||
	    !check_copies(run, addr, addr, pages, run->round) || !drop(run, addr, length))
		return false;
	/* Into pages, and a table, that are not there. */
	if (!expect(run, "pread with O_DIRECT", pread(gup->file, addr, length, 0), length) ||
	    !check_copies(run, addr, addr, pages, run->round))
		return false;
	hit(run);
	return drop_and_look(run, addr, pages);
}

/* ---- uring-fixed ---- */

static bool set_up_uring(struct run *run)
{
	struct gup *gup;
	int error;

	if (!set_up_file(run))
		return false;
	gup = run->private;
	error = -io_uring_queue_init(4, &gup->ring, 0);
	errno = error;
	if (error == ENOSYS || error == EPERM)
		return skip(run, "no io_uring:");
	if (error)
		return fail(run, "io_uring_queue_init:");
	gup->ring_there = true;
	return true;
}

/* Between the registered buffer and the file. */
static bool transfer(struct run *run, char *addr, size_t length, bool to_file)
{
	const char *what = to_file ? "IORING_OP_WRITE_FIXED" : "IORING_OP_READ_FIXED";
	struct gup *gup = run->private;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&gup->ring);
	struct io_uring_cqe *cqe;
	int result;

	if (!sqe)
		return fail(run, "%s: no room", what);
	if (to_file)
		io_uring_prep_write_fixed(sqe, gup->file, addr, length, 0, 0);
	else
		io_uring_prep_read_fixed(sqe, gup->file, addr, length, 0, 0);
	result = io_uring_submit(&gup->ring);
	while (result >= 0) {
		result = io_uring_wait_cqe(&gup->ring, &cqe);
		if (!result)
			break;
		if (result == -EINTR)
			result = 0;
	}
	if (result < 0) {
		errno = -result;
		return fail(run, "%s, to submit or wait:", what);
	}
	result = cqe->res;
	io_uring_cqe_seen(&gup->ring, cqe);
	errno = result < 0 ? -result : 0;
	return expect(run, what, result, length);
}

/* The buffer's pages are the ones that the table maps. */
static bool use_buffer(struct run *run, char *addr, unsigned int pages)
{
	size_t length = pages * PAGE;

	fill_pages(run, addr, addr, pages, run->round);
	if (!transfer(run, addr, length, true))
		return false;
	memset(addr, 0, length);
	return transfer(run, addr, length, false) &&
	       check_copies(run, addr, addr, pages, run->round);
}

/* The buffer's pages are not mapped any more, and the table may be gone. */
static bool use_lost_buffer(struct run *run, char *addr, unsigned int pages)
{
	struct gup *gup = run->private;
	size_t length = pages * PAGE;

	fill_pages(run, addr, addr, pages, run->round);
	if (!drop(run, addr, length) || !transfer(run, addr, length, true))
		return false;
	if (!expect(run, "pread", pread(gup->file, gup->pages, length, 0), length) ||
	    !check_copies(run, gup->pages, addr, pages, run->round))
		return false;
	/* What is read into it shows nowhere. */
	return transfer(run, addr, length, false) && check_fresh(run, addr);
}

/* Not for shared memory: to punch a hole writes zeroes to a part of a huge page in use. */
static bool uring_round(struct run *run)
{
	struct gup *gup = run->private;
	unsigned int pages = 1U << run->round % 5;
	char *addr = block(run);
	struct iovec buffer = { addr, pages * PAGE };
	int error = -io_uring_register_buffers(&gup->ring, &buffer, 1);
	bool done;

	errno = error;
	if (error)
		return fail(run, "IORING_REGISTER_BUFFERS of page %zu:",
			    (size_t)(addr - run->area) / PAGE);
	if (run->round / SLOTS % 2 && run->memory != SHMEM)
		done = use_lost_buffer(run, addr, pages);
	else
		done = use_buffer(run, addr, pages);
	errno = -io_uring_unregister_buffers(&gup->ring);
	if (done && errno)
		return fail(run, "IORING_UNREGISTER_BUFFERS:");
	if (!done)
		return false;
	hit(run);
	return drop_and_look(run, addr, pages);
}

/* ---- vmsplice ---- */

#define SPLICED	8	/* pages; a pipe takes 16 */

static bool set_up_pipe(struct run *run)
{
	struct gup *gup;

	if (!set_up(run))
		return false;
	gup = run->private;
	return !pipe2(gup->pipe, O_CLOEXEC | O_NONBLOCK) || fail(run, "pipe:");
}

static bool splice_in(struct run *run, char *addr)
{
	struct gup *gup = run->private;
	struct iovec vec = { addr, SPLICED * PAGE };

	return expect(run, "vmsplice", vmsplice(gup->pipe[1], &vec, 1, 0), vec.iov_len);
}

static bool read_pipe(struct run *run)
{
	struct gup *gup = run->private;

	return expect(run, "read of the pipe", read(gup->pipe[0], gup->pages, SPLICED * PAGE),
		      SPLICED * PAGE);
}

/* The pipe has the pages: it does not matter to it that they are unmapped. */
static bool vmsplice_round(struct run *run)
{
	struct gup *gup = run->private;
	char *addr = block(run);

	/* What is not there, first: the table is made on the way. */
	if (!splice_in(run, addr) || !read_pipe(run))
		return false;
	for (unsigned int i = 0; i < SPLICED; i++)
		if (!check_fresh_copy(run, gup->pages + i * PAGE, addr + i * PAGE))
			return false;

	fill_pages(run, addr, addr, SPLICED, run->round);
	if (!splice_in(run, addr))
		return false;
	/* Not for shared memory: see uring_round(). */
	if (run->memory != SHMEM && !drop(run, addr, SPLICED * PAGE))
		return false;
	if (!read_pipe(run) || !check_copies(run, gup->pages, addr, SPLICED, run->round))
		return false;
	hit(run);
	return drop_and_look(run, addr, SPLICED);
}

/* ---- vm-readv ---- */

#define SEGMENTS	4	/* a page each, in as many slots */

static char *segment(const struct run *run, unsigned int i)
{
	unsigned int slot = run->round % 2 * SEGMENTS + i;

	return window_page(run, slot, run->round / 2 * 3 % run->pages);
}

static bool readv_round(struct run *run)
{
	struct gup *gup = run->private;
	struct iovec local = { gup->pages, SEGMENTS * PAGE }, remote[SEGMENTS];

	for (unsigned int i = 0; i < SEGMENTS; i++) {
		remote[i] = (struct iovec){ segment(run, i), PAGE };
		fill(run, gup->pages + i * PAGE, segment(run, i), run->round);
	}
	if (!expect(run, "process_vm_writev",
		    process_vm_writev(getpid(), &local, 1, remote, SEGMENTS, 0), local.iov_len))
		return false;
	for (unsigned int i = 0; i < SEGMENTS; i++)
		if (!check(run, segment(run, i), segment(run, i), run->round))
			return false;

	memset(gup->pages, 0xff, SEGMENTS * PAGE);
	if (!expect(run, "process_vm_readv",
		    process_vm_readv(getpid(), &local, 1, remote, SEGMENTS, 0), local.iov_len))
		return false;
	for (unsigned int i = 0; i < SEGMENTS; i++)
		if (!check(run, gup->pages + i * PAGE, segment(run, i), run->round) ||
		    !drop(run, segment(run, i), PAGE))
			return false;

	/* Now of what is not there. */
	if (!expect(run, "process_vm_readv",
		    process_vm_readv(getpid(), &local, 1, remote, SEGMENTS, 0), local.iov_len))
		return false;
	for (unsigned int i = 0; i < SEGMENTS; i++)
		if (!check_fresh_copy(run, gup->pages + i * PAGE, segment(run, i)) ||
		    !drop(run, segment(run, i), PAGE))
			return false;
	hit(run);
	return true;
}

/* ---- futex ---- */

#define MISSES	300	/* wakes that find nobody, before it looks why */
#define ASLEEP	10	/* such looks in a row that find the waiter asleep */

/*
 * A thread waits at a word of the window, and the round's thread wakes it. Both have to
 * find the page for the word's key; in between it is emptied, and the word stays what it
 * is. All of the pages have to be writable, so file-private ones become copies.
 */
struct waiter {
	pthread_t thread;
	bool started;
	atomic_bool quit;
	_Atomic(unsigned int *) word;	/* where to wait, or NULL */
	_Atomic(unsigned int *) woken;	/* where it waited last and was woken */
	atomic_int tid;
	atomic_int error;		/* what FUTEX_WAIT failed with */
};

static long futex(unsigned int *word, int operation, unsigned int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void nothing(int signal)
{
	(void)signal;
}

/* What the word is when nobody wrote it. */
static unsigned int fresh_word(const struct run *run, const char *addr)
{
	static _Thread_local uint64_t page[PAGE / sizeof(uint64_t)];

	if (run->memory != FILE_PRIVATE)
		return 0;
	fill(run, page, addr, -1UL);
	return page[0];
}

static void *wait_at_words(void *arg)
{
	struct run *run = arg;
	struct waiter *waiter = run->private;
	unsigned int *word;

	atomic_store(&waiter->tid, gettid());
	while (!atomic_load(&waiter->quit)) {
		word = atomic_load(&waiter->word);
		if (!word) {
			sched_yield();
		} else if (!futex(word, FUTEX_WAIT, fresh_word(run, (char *)word))) {
			atomic_store(&waiter->word, NULL);
			atomic_store(&waiter->woken, word);
		} else if (errno == EFAULT && run->memory == SHMEM) {
			/* The page was taken out of the file right when its key was looked for. */
			continue;
		} else if (errno != EINTR) {
			atomic_store(&waiter->error, errno);
			atomic_store(&waiter->word, NULL);
		}
	}
	atomic_store(&waiter->word, NULL);
	return NULL;
}

static bool set_up_futex(struct run *run)
{
	const struct sigaction action = { .sa_handler = nothing };
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return fail(run, "no memory");
	run->private = waiter;
	sigaction(SIGUSR1, &action, NULL);
	waiter->started = !pthread_create(&waiter->thread, NULL, wait_at_words, run);
	return waiter->started || fail(run, "no thread");
}

/* It may wait, even for a wake that does not find it: a signal does. */
static void tear_down_futex(struct run *run)
{
	struct waiter *waiter = run->private;

	if (!waiter)
		return;
	atomic_store(&waiter->quit, true);
	while (waiter->started && atomic_load(&waiter->word)) {
		pthread_kill(waiter->thread, SIGUSR1);
		sched_yield();
	}
	if (waiter->started)
		pthread_join(waiter->thread, NULL);
	free(waiter);
	run->private = NULL;
}

static bool sleeps(pid_t tid)
{
	char path[64], line[256], *state = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fgets(line, sizeof(line), file))
		state = strrchr(line, ')');
	fclose(file);
	return state && state[1] && state[2] == 'S';
}

/* Wakes until the waiter was there to be woken. */
static bool wake(struct run *run, char *addr)
{
	struct waiter *waiter = run->private;
	unsigned int *word = (unsigned int *)addr;
	unsigned long misses = 0, asleep = 0;
	long woken;

	while (!(woken = futex(word, FUTEX_WAKE, 1))) {
		int error = atomic_load(&waiter->error);

		if (stopping(run))
			return false;
		errno = error;
		if (error)
			return fail(run, "FUTEX_WAIT at page %zu:", (size_t)(addr - run->area) / PAGE);
		if (++misses % MISSES == 0)
			asleep = sleeps(atomic_load(&waiter->tid)) ? asleep + 1 : 0;
		if (misses == MISSES * ASLEEP * 30)
			return fail(run, "page %zu: nobody came to wait there",
				    (size_t)(addr - run->area) / PAGE);
		if (asleep == ASLEEP)
			return fail(run, "page %zu: a thread waits there, and FUTEX_WAKE does not find it",
				    (size_t)(addr - run->area) / PAGE);
		/* The page that the wake brought goes away, and with it perhaps the table. */
		if (misses % 2 && !drop(run, addr, PAGE))
			return false;
		sched_yield();
	}
	if (woken != 1)
		return fail(run, "FUTEX_WAKE:");
	return true;
}

static bool futex_round(struct run *run)
{
	struct waiter *waiter = run->private;
	char *addr = turn(run);

	atomic_store(&waiter->woken, NULL);
	atomic_store(&waiter->word, (unsigned int *)addr);
	if (!wake(run, addr))
		return false;
	/* It was taken off the queue, so it comes. */
	while (!atomic_load(&waiter->woken)) {
		if (stopping(run))
			return false;
		sched_yield();
	}
	if (!check_fresh(run, addr) || !drop(run, addr, PAGE))
		return false;
	hit(run);
	return true;
}

const struct actor gup_actors[] = {
	{
		.name = "uring-fixed",
		.does = "buffers that are registered with io_uring",
		.memory = ON_ALL, .owner = true, .rounds = 40,
		.set_up = set_up_uring, .round = uring_round, .tear_down = tear_down,
	},
	{
		.name = "vmsplice",
		.does = "pages in a pipe",
		.memory = ON_ALL, .owner = true, .rounds = 100,
		.set_up = set_up_pipe, .round = vmsplice_round, .tear_down = tear_down,
	},
	{
		.name = "vm-readv",
		.does = "process_vm_readv and process_vm_writev of pages that are not there",
		.memory = ON_ALL, .owner = true, .rounds = 80,
		.set_up = set_up, .round = readv_round, .tear_down = tear_down,
	},
	{
		.name = "o-direct",
		.does = "reads and writes of a file with O_DIRECT",
		.memory = ON_ALL, .owner = true, .rounds = 60,
		.set_up = set_up_file, .round = direct_round, .tear_down = tear_down,
	},
	{
		.name = "futex",
		.does = "FUTEX_WAIT and FUTEX_WAKE at pages that come and go",
		.memory = ON_ALL, .owner = true, .rounds = 150,
		.set_up = set_up_futex, .round = futex_round, .tear_down = tear_down_futex,
	},
	{ }
};
