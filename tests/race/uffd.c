// SPDX-License-Identifier: GPL-2.0
/*
 * Owners that use userfaultfd.
 *
 * Each of its ioctls allocates a page table, or finds one, and puts entries into it.
 * The table is empty in between and may be freed. What an actor did is checked before
 * it does the next: a page or a marker that is missing, foreign data, an error that
 * says something else than "again" fails.
 *
 * An actor registers its window with a userfaultfd of its own. Faults there get a
 * SIGBUS and wait for nobody (uffd-fault excepted): so whoever else reads all of the
 * area gets EFAULT, and a page that is lost after all checks kills the test instead
 * of stopping it for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "race.h"

/* What the headers of older systems do not have. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED		(1 << 13)
#endif
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE			(1 << 16)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES	((__u64)1 << 1)
#define UFFDIO_MOVE	_IOWR(UFFDIO, 0x05, struct uffdio_move)
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};
#endif

#define TRIES	10000	/* of what says "again": more is a failure of its own */
#define KEPT	2	/* slots that hold a page while the next are being filled */

struct uffd {
	int fd;
	int pagemap;
	char *page;		/* where contents come from */
};

/* ---- what they have in common ---- */

static void close_uffd(struct run *run)
{
	struct uffd *uffd = run->private;

	if (!uffd)
		return;
	if (uffd->fd >= 0)
		close(uffd->fd);
	if (uffd->pagemap >= 0)
		close(uffd->pagemap);
	free(uffd->page);
	free(uffd);
	run->private = NULL;
}

static bool register_window(struct run *run, unsigned int slots, __u64 mode)
{
	struct uffd *uffd = run->private;

	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		char *addr = window_page(run, slot, 0);
		struct uffdio_register reg = {
			.range = { .start = (uintptr_t)addr, .len = run->pages * PAGE },
			.mode = mode,
		};

		/* A huge page would reach beyond the pages that are emptied one by one. */
		if (madvise(addr, run->pages * PAGE, MADV_NOHUGEPAGE) && errno != EINVAL)
			return fail(run, "MADV_NOHUGEPAGE:");
		if (slot < slots && ioctl(uffd->fd, UFFDIO_REGISTER, &reg))
			return fail(run, "UFFDIO_REGISTER:");
	}
	return true;
}

/* Opens a userfaultfd and registers the window in the first @slots slots. */
static bool open_uffd(struct run *run, size_t size, __u64 features, unsigned int slots, __u64 mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffd *uffd = calloc(1, size);

	if (!uffd)
		return fail(run, "no memory");
	run->private = uffd;
	uffd->page = aligned_alloc(PAGE, PAGE);
	uffd->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uffd->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd->fd < 0)
		return skip(run, "no userfaultfd in this kernel:");
	if (ioctl(uffd->fd, UFFDIO_API, &api))
		return skip(run, "this kernel's userfaultfd lacks a feature of %#llx:",
			    (unsigned long long)features);
	if (uffd->pagemap < 0 || !uffd->page)
		return fail(run, "/proc/self/pagemap:");
	return register_window(run, slots, mode);
}

static size_t number(const struct run *run, const char *addr)
{
	return (addr - run->area) / PAGE;
}

/* As pagemap_entry(), which opens the file each time: slow for what a step does often. */
static uint64_t entry_of(struct run *run, const char *addr)
{
	struct uffd *uffd = run->private;
	uint64_t entry = 0;

	if (pread(uffd->pagemap, &entry, sizeof(entry),
		  (uintptr_t)addr / PAGE * sizeof(entry)) != sizeof(entry))
		fail(run, "/proc/self/pagemap:");
	return entry;
}

/*
 * The page is there, so that to read it is no fault on a missing page. One that is being
 * migrated or was swapped out is there, too: PM_SWAP. Of shared memory that was swapped
 * out, or whose table khugepaged took, the file alone knows.
 */
static bool is_there(struct run *run, const char *addr)
{
	off_t offset = addr - run->area;

	if (entry_of(run, addr) & (PM_PRESENT | PM_SWAP))
		return true;
	if (run->memory == SHMEM && lseek(run->fd, offset, SEEK_DATA) == offset)
		return true;
	return fail(run, "page %zu is lost", number(run, addr));
}

/* An ioctl said "again": true if it should get another try. */
static bool another_try(struct run *run, const char *what, unsigned int *tries)
{
	if (stopping(run))
		return false;
	if (++*tries < TRIES)
		return true;
	return fail(run, "%s: %u times in a row:", what, *tries);
}

static int ask(struct uffd *uffd, unsigned long request, void *arg)
{
	int result;

	let_fail(true);
	result = ioctl(uffd->fd, request, arg);
	let_fail(false);
	return result;
}

static bool failed(struct run *run, const char *what, const char *addr)
{
	if (errno == EEXIST)
		return fail(run, "%s: EEXIST for page %zu, which nobody filled", what,
			    number(run, addr));
	return fail(run, "%s, page %zu:", what, number(run, addr));
}

/* The page of @slot on which this round works. */
static char *place(const struct run *run, unsigned int slot)
{
	return window_page(run, slot, run->round % run->pages);
}

/* One page in each slot is made, and unmade a bit later; all slots are empty at the end. */
static bool each_slot(struct run *run, bool (*make)(struct run *run, char *addr),
		      bool (*unmake)(struct run *run, char *addr))
{
	for (unsigned int slot = 0; slot < SLOTS + KEPT; slot++) {
		if (slot < SLOTS && !make(run, place(run, slot)))
			return false;
		if (slot >= KEPT && !unmake(run, place(run, slot - KEPT)))
			return false;
	}
	hit(run);
	return true;
}

static bool check_and_drop(struct run *run, char *addr)
{
	return is_there(run, addr) && check(run, addr, addr, run->round) &&
	       drop(run, addr, PAGE);
}

/* ---- uffd-copy, uffd-zeropage ---- */

static bool set_up_missing(struct run *run)
{
	return open_uffd(run, sizeof(struct uffd), UFFD_FEATURE_SIGBUS, SLOTS,
			 UFFDIO_REGISTER_MODE_MISSING);
}

static bool copy(struct run *run, char *addr)
{
	struct uffd *uffd = run->private;
	struct uffdio_copy arg = {
		.dst = (uintptr_t)addr, .src = (uintptr_t)uffd->page, .len = PAGE,
	};
	unsigned int tries = 0;

	fill(run, uffd->page, addr, run->round);
	while (ask(uffd, UFFDIO_COPY, &arg)) {
		if (errno != EAGAIN && !out_of_memory())
			return failed(run, "UFFDIO_COPY", addr);
		if (!another_try(run, "UFFDIO_COPY", &tries))
			return false;
	}
	return is_there(run, addr) && check(run, addr, addr, run->round);
}

static bool copy_round(struct run *run)
{
	return each_slot(run, copy, check_and_drop);
}

/* Zeroes take no room in swap space: some rounds have pages that do. */
static bool written_early(const struct run *run)
{
	return run->round % 4 == 0;
}

static bool zeropage(struct run *run, char *addr)
{
	struct uffd *uffd = run->private;
	struct uffdio_zeropage arg = {
		.range = { .start = (uintptr_t)addr, .len = PAGE },
	};
	unsigned int tries = 0;

	while (ask(uffd, UFFDIO_ZEROPAGE, &arg)) {
		if (errno != EAGAIN && !out_of_memory())
			return failed(run, "UFFDIO_ZEROPAGE", addr);
		if (!another_try(run, "UFFDIO_ZEROPAGE", &tries))
			return false;
	}
	if (!is_there(run, addr) || !check_fresh(run, addr))
		return false;
	if (written_early(run))
		fill(run, addr, addr, run->round);
	return true;
}

/* To write to it is a fault on a page that is there, and no business of userfaultfd. */
static bool write_check_and_drop(struct run *run, char *addr)
{
	if (!is_there(run, addr))
		return false;
	if (written_early(run))
		return check_and_drop(run, addr);
	if (run->round % 2)
		return check_fresh(run, addr) && drop(run, addr, PAGE);
	fill(run, addr, addr, run->round);
	return check_and_drop(run, addr);
}

static bool zeropage_round(struct run *run)
{
	return each_slot(run, zeropage, write_check_and_drop);
}

/* ---- uffd-wp, uffd-wp-page ---- */

static bool set_up_wp(struct run *run)
{
	return open_uffd(run, sizeof(struct uffd), UFFD_FEATURE_SIGBUS |
			 UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM, SLOTS,
			 UFFDIO_REGISTER_MODE_WP);
}

/* Sets the protection of a page, or takes it away, and looks whether that came about. */
static bool protect(struct run *run, char *addr, bool on)
{
	const char *what = on ? "UFFDIO_WRITEPROTECT" : "UFFDIO_WRITEPROTECT to resolve";
	struct uffd *uffd = run->private;
	struct uffdio_writeprotect arg = {
		.range = { .start = (uintptr_t)addr, .len = PAGE },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};
	unsigned int tries = 0;

	while (ask(uffd, UFFDIO_WRITEPROTECT, &arg)) {
		if (errno != EAGAIN && !out_of_memory())
			return failed(run, what, addr);
		if (!another_try(run, what, &tries))
			return false;
	}
	if (!(entry_of(run, addr) & PM_UFFD_WP) == !on)
		return true;
	return fail(run, "%s of page %zu succeeded, and %s", what, number(run, addr),
		    on ? "left no marker" : "the marker is still there");
}

static bool wp_make(struct run *run, char *addr)
{
	return protect(run, addr, true);
}

static bool wp_unmake(struct run *run, char *addr)
{
	if (!(entry_of(run, addr) & PM_UFFD_WP))
		return fail(run, "the marker of page %zu is lost", number(run, addr));
	if (!protect(run, addr, false))
		return false;
	/* Who reads all of the area, and that is allowed, leaves pages of zeroes. */
	if (entry_of(run, addr) & (PM_PRESENT | PM_SWAP))
		return check_fresh(run, addr) && drop(run, addr, PAGE);
	return true;
}

static bool wp_round(struct run *run)
{
	return each_slot(run, wp_make, wp_unmake);
}

static bool wp_page_make(struct run *run, char *addr)
{
	fill(run, addr, addr, run->round);
	return protect(run, addr, true) && check(run, addr, addr, run->round);
}

static bool wp_page_unmake(struct run *run, char *addr)
{
	if (!(entry_of(run, addr) & PM_UFFD_WP))
		return fail(run, "the protection of page %zu is lost", number(run, addr));
	if (!check(run, addr, addr, run->round) || !protect(run, addr, false))
		return false;
	/* It can be written again: a SIGBUS otherwise. */
	fill(run, addr, addr, run->round + 1);
	return check(run, addr, addr, run->round + 1) && drop(run, addr, PAGE);
}

static bool wp_page_round(struct run *run)
{
	return each_slot(run, wp_page_make, wp_page_unmake);
}

/* ---- uffd-move, uffd-move-hole: from the second half of the slots to the first ---- */

#define HALF	(SLOTS / 2)

static bool set_up_move(struct run *run)
{
	return open_uffd(run, sizeof(struct uffd), UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MOVE, HALF,
			 UFFDIO_REGISTER_MODE_MISSING);
}

/*
 * Moves @length bytes. Every second page of the source, from the first on, has contents
 * if @filled, and the others are holes. A page that has one more user cannot be moved
 * (EBUSY): after a fork, as KSM's, or pinned by who reads another's memory. To
 * write to it gives a page of one's own, until the next fork.
 */
static bool move(struct run *run, char *dst, char *src, size_t length, __u64 mode, bool filled)
{
	struct uffd *uffd = run->private;
	struct uffdio_move arg = {
		.dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = length, .mode = mode,
	};
	unsigned int tries = 0;

	while (ask(uffd, UFFDIO_MOVE, &arg)) {
		size_t done = (uintptr_t)arg.dst - (uintptr_t)dst;
		bool hole = !filled || done / PAGE % 2;

		if (errno == EBUSY && !hole)
			fill(run, src + done, dst + done, run->round);
		else if (errno != EAGAIN && !out_of_memory())
			return failed(run, mode ? "UFFDIO_MOVE of holes" : "UFFDIO_MOVE",
				      dst + done);
		else if (arg.move > 0) {
			arg.dst += arg.move;
			arg.src += arg.move;
			arg.len -= arg.move;
		}
		arg.move = 0;
		if (!another_try(run, "UFFDIO_MOVE", &tries))
			return false;
	}
	return true;
}

/* Nothing of the source is left; but who reads all of the area leaves zeroes there. */
static bool is_gone(struct run *run, char *src)
{
	if (!(entry_of(run, src) & (PM_PRESENT | PM_SWAP)))
		return true;
	return check_fresh(run, src) && drop(run, src, PAGE);
}

static bool move_round(struct run *run)
{
	for (unsigned int slot = 0; slot < HALF + 1; slot++) {
		if (slot < HALF) {
			char *dst = place(run, slot), *src = dst + HALF * SLOT;

			fill(run, src, dst, run->round);
			if (!move(run, dst, src, PAGE, 0, true) || !is_there(run, dst) ||
			    !check(run, dst, dst, run->round) || !is_gone(run, src))
				return false;
		}
		if (slot > 0 && !check_and_drop(run, place(run, slot - 1)))
			return false;
	}
	hit(run);
	return true;
}

#define HOLES	8	/* moves of nothing for each slot of a round */
#define MIXED	4	/* pages and holes, in turn */

/* The ioctl allocates a page table for a source that holds nothing, too. */
static bool move_holes(struct run *run, unsigned int slot)
{
	for (unsigned int i = 0; i < HOLES; i++) {
		char *dst = window_page(run, slot, (run->round * HOLES + i) % run->pages);

		if (!move(run, dst, dst + HALF * SLOT, PAGE, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
			  false))
			return false;
	}
	return true;
}

static bool move_mixed(struct run *run, unsigned int slot)
{
	char *dst = window_page(run, slot, run->round * MIXED % (run->pages / MIXED * MIXED));
	char *src = dst + HALF * SLOT;

	for (unsigned int i = 0; i < MIXED; i += 2)
		fill(run, src + i * PAGE, dst + i * PAGE, run->round);
	if (!move(run, dst, src, MIXED * PAGE, UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, true))
		return false;
	for (unsigned int i = 0; i < MIXED; i += 2)
		if (!is_there(run, dst + i * PAGE) ||
		    !check(run, dst + i * PAGE, dst + i * PAGE, run->round) ||
		    !is_gone(run, src + i * PAGE))
			return false;
	return true;
}

/* Where a stranger's read left zeroes in the source, they moved: so all is emptied. */
static bool move_hole_round(struct run *run)
{
	for (unsigned int slot = 0; slot < HALF; slot++)
		if (!move_holes(run, slot))
			return false;
	if (!move_mixed(run, run->round % HALF))
		return false;
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (!drop(run, window_page(run, slot, 0), run->pages * PAGE))
			return false;
	hit(run);
	return true;
}

/* ---- uffd-fault: a thread that answers the faults of another ---- */

#define QUIET	500	/* ms without a fault, after which it looks at who waits */
#define STUCK	4	/* looks in a row that find the same fault asleep */

struct faults {
	struct uffd uffd;
	int quit;			/* an eventfd */
	bool started;
	pthread_t handler;
	pthread_mutex_t lock;		/* the round's number does not change below an answer */
	unsigned long round;		/* of the contents that pages get */
	_Atomic(char *) touching;	/* the page at which the round may wait for an answer */
	atomic_ulong touches;
	atomic_ulong answers;
	atomic_int tid;			/* of the round's thread */
	atomic_bool broken;		/* @why says what the handler found */
	char why[160];
};

static void broken(struct faults *faults, const char *why, size_t page)
{
	if (atomic_load(&faults->broken))
		return;
	snprintf(faults->why, sizeof(faults->why), "page %zu: %s", page, why);
	atomic_store(&faults->broken, true);
}

static void wake(struct faults *faults, char *addr)
{
	struct uffdio_range range = { .start = (uintptr_t)addr, .len = PAGE };

	if (ioctl(faults->uffd.fd, UFFDIO_WAKE, &range))
		broken(faults, strerror(errno), 0);
}

/*
 * Two threads can fault on one page, and both be announced: the second answer finds
 * the page there. Nobody can empty it again meanwhile, because of the lock.
 */
static void answer(struct run *run, char *addr)
{
	struct faults *faults = run->private;
	struct uffdio_copy arg = {
		.dst = (uintptr_t)addr, .src = (uintptr_t)faults->uffd.page, .len = PAGE,
	};
	unsigned int tries = 0;

	pthread_mutex_lock(&faults->lock);
	fill(run, faults->uffd.page, addr, faults->round);
	while (ioctl(faults->uffd.fd, UFFDIO_COPY, &arg)) {
		if (errno == EAGAIN && ++tries < TRIES)
			continue;
		if (errno != EEXIST)
			broken(faults, strerror(errno), number(run, addr));
		else if (!(entry_of(run, addr) & (PM_PRESENT | PM_SWAP)) &&
			 (run->memory != SHMEM ||
			  lseek(run->fd, addr - run->area, SEEK_DATA) != addr - run->area))
			broken(faults, "EEXIST, and nobody filled it", number(run, addr));
		wake(faults, addr);
		break;
	}
	atomic_fetch_add(&faults->answers, 1);
	pthread_mutex_unlock(&faults->lock);
}

static void answer_all(struct run *run)
{
	struct faults *faults = run->private;
	struct uffd_msg msg;

	while (read(faults->uffd.fd, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			answer(run, (char *)(uintptr_t)(msg.arg.pagefault.address & -PAGE));
}

/*
 * The thread sleeps in a way that a signal can end. In a fault it does so only while it
 * waits for an answer: for all else that a fault can wait for no signal is heeded.
 */
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

/* No fault was announced for a while. Is one waiting that was answered, or never told? */
static void look_who_waits(struct run *run, unsigned int *stuck, unsigned long *touches)
{
	struct faults *faults = run->private;
	struct pollfd fd = { .fd = faults->uffd.fd, .events = POLLIN };
	char *addr = atomic_load(&faults->touching);
	bool same = atomic_load(&faults->touches) == *touches;

	*touches = atomic_load(&faults->touches);
	if (!addr || !same || !sleeps(atomic_load(&faults->tid)) || poll(&fd, 1, 0)) {
		*stuck = 0;
		return;
	}
	if (++*stuck < STUCK)
		return;
	broken(faults, entry_of(run, addr) & (PM_PRESENT | PM_SWAP) ?
	       "it is there, and nobody woke the fault" :
	       "it is not there, and the fault is not announced", number(run, addr));
	/* Let it go on, to tell. */
	answer(run, addr);
	wake(faults, addr);
	*stuck = 0;
}

static void *handle_faults(void *arg)
{
	struct run *run = arg;
	struct faults *faults = run->private;
	struct pollfd fds[] = {
		{ .fd = faults->uffd.fd, .events = POLLIN },
		{ .fd = faults->quit, .events = POLLIN },
	};
	unsigned long touches = 0;
	unsigned int stuck = 0;

	while (!fds[1].revents) {
		int ready = poll(fds, 2, QUIET);

		if (ready > 0 && fds[0].revents)
			answer_all(run);
		if (ready == 0)
			look_who_waits(run, &stuck, &touches);
	}
	return NULL;
}

static bool set_up_fault(struct run *run)
{
	struct faults *faults;

	/* Not the feature that turns faults into SIGBUS. */
	if (!open_uffd(run, sizeof(struct faults), 0, SLOTS, UFFDIO_REGISTER_MODE_MISSING))
		return false;
	faults = run->private;
	pthread_mutex_init(&faults->lock, NULL);
	faults->quit = eventfd(0, EFD_CLOEXEC);
	if (faults->quit < 0)
		return fail(run, "eventfd:");
	faults->started = !pthread_create(&faults->handler, NULL, handle_faults, run);
	return faults->started || fail(run, "no thread");
}

static void tear_down_fault(struct run *run)
{
	struct faults *faults = run->private;

	if (faults && faults->started && !eventfd_write(faults->quit, 1))
		pthread_join(faults->handler, NULL);
	if (faults && faults->quit > 0)
		close(faults->quit);
	close_uffd(run);
}

/* The first access, by a read or a write, waits for the handler. */
static bool touch(struct run *run, char *addr)
{
	struct faults *faults = run->private;
	bool right;

	atomic_fetch_add(&faults->touches, 1);
	atomic_store(&faults->touching, addr);
	if (run->round % 2)
		atomic_fetch_or((atomic_char *)addr, 0);
	right = check(run, addr, addr, run->round);
	atomic_store(&faults->touching, NULL);
	return right;
}

static bool fault_make(struct run *run, char *addr)
{
	return touch(run, addr);
}

/* The handler may be at a stranger's fault, and must not fill it for an older round. */
static bool fault_empty(struct run *run, char *addr)
{
	struct faults *faults = run->private;
	bool done;

	pthread_mutex_lock(&faults->lock);
	done = drop(run, addr, PAGE);
	pthread_mutex_unlock(&faults->lock);
	return done;
}

static bool fault_unmake(struct run *run, char *addr)
{
	return touch(run, addr) && fault_empty(run, addr);
}

static bool fault_round(struct run *run)
{
	struct faults *faults = run->private;
	unsigned long answers = atomic_load(&faults->answers);
	bool done = true;

	atomic_store(&faults->tid, gettid());
	pthread_mutex_lock(&faults->lock);
	faults->round = run->round;
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		done &= drop(run, place(run, slot), PAGE);
	pthread_mutex_unlock(&faults->lock);

	for (unsigned int slot = 0; done && slot < SLOTS + KEPT; slot++) {
		if (slot < SLOTS)
			done = fault_make(run, place(run, slot));
		if (done && slot >= KEPT)
			done = fault_unmake(run, place(run, slot - KEPT));
		if (atomic_load(&faults->broken))
			done = fail(run, "%s", faults->why);
	}
	if (done && atomic_load(&faults->answers) != answers)
		hit(run);
	return done;
}

const struct actor uffd_actors[] = {
	{
		.name = "uffd-copy",
		.does = "UFFDIO_COPY",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .scarce = true, .rounds = 60,
		.set_up = set_up_missing, .round = copy_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-zeropage",
		.does = "UFFDIO_ZEROPAGE",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .scarce = true, .rounds = 80,
		.set_up = set_up_missing, .round = zeropage_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-wp",
		.does = "UFFDIO_WRITEPROTECT of what is not there",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .scarce = true, .rounds = 300,
		.set_up = set_up_wp, .round = wp_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-wp-page",
		.does = "UFFDIO_WRITEPROTECT of pages with contents",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .rounds = 40,
		.set_up = set_up_wp, .round = wp_page_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-move",
		.does = "UFFDIO_MOVE",
		.memory = ON_ANON, .owner = true, .scarce = true, .rounds = 200,
		.set_up = set_up_move, .round = move_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-move-hole",
		.does = "UFFDIO_MOVE from where there is nothing, or something in between",
		.memory = ON_ANON, .owner = true, .scarce = true, .rounds = 150,
		.set_up = set_up_move, .round = move_hole_round, .tear_down = close_uffd,
	},
	{
		.name = "uffd-fault",
		.does = "faults that wait for a thread that answers them with UFFDIO_COPY",
		.memory = ON_ANON | ON_SHMEM, .owner = true, .rounds = 40,
		.set_up = set_up_fault, .round = fault_round, .tear_down = tear_down_fault,
	},
	{ }
};
