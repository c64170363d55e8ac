// SPDX-License-Identifier: GPL-2.0
/*
 * uffd_dontneed COPY WP MOVE: userfaultfd beside a MADV_DONTNEED that frees page tables.
 * For kernels that do so, with MADV_RECLAIM_PT or without. Each argument is a number of ioctls. KTAP output.
 *
 * One thread works on pages that are none, so that their tables are empty; another takes everything out of those
 * tables. The ioctls must not notice: a monitor takes EEXIST for a page that somebody else has filled, a marker that
 * is missing is a write that goes unseen, and EINVAL is a bug of the caller.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../bench/procfs.h"
#include "ktap.h"

#define PAGE	4096UL
#define SLOT	(2UL << 20)	/* what one PTE table maps */
#define UFFD_WP	(1ULL << 57)	/* in /proc/self/pagemap */

#ifndef UFFDIO_MOVE
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#define UFFDIO_MOVE	_IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFD_FEATURE_MOVE	(1 << 16)
#endif

struct test {
	const char *name;
	int sharing;
	__u64 features;
	__u64 mode;
	/* Does one ioctl on @page. True if it did what it said. */
	bool (*step)(const struct test *test, char *page);
	int uffd;
	char *area;		/* a slot for the ioctl, and one to move from */
	atomic_bool stop;
};

static int pagemap;

/* Takes everything out of the slot of the ioctl, until told to stop. */
static void *take_out(void *arg)
{
	struct test *test = arg;

	while (!atomic_load(&test->stop))
		must(!madvise(test->area, SLOT, MADV_DONTNEED), "MADV_DONTNEED");
	return NULL;
}

static bool step_copy(const struct test *test, char *page)
{
	static char contents[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page, .src = (uintptr_t)contents, .len = PAGE,
	};

	/* What an earlier round left: nobody but this thread fills a page. */
	must(!madvise(page, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	return !ioctl(test->uffd, UFFDIO_COPY, &copy) || errno == EAGAIN;
}

static bool protect(const struct test *test, char *page, bool on)
{
	struct uffdio_writeprotect protect = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return !ioctl(test->uffd, UFFDIO_WRITEPROTECT, &protect);
}

/* MADV_DONTNEED leaves markers where they are. */
static bool step_wp(const struct test *test, char *page)
{
	uint64_t entry;

	if (!protect(test, page, true))
		return errno == EAGAIN;
	must(pread(pagemap, &entry, sizeof(entry), (uintptr_t)page / PAGE * sizeof(entry)) == sizeof(entry),
	     "/proc/self/pagemap");
	errno = 0;
	return (entry & UFFD_WP) && protect(test, page, false);
}

static bool step_move(const struct test *test, char *page)
{
	struct uffdio_move move = {
		.dst = (uintptr_t)page, .src = (uintptr_t)page + SLOT, .len = PAGE,
	};

	must(!madvise(page, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	page[SLOT] = 1;
	return !ioctl(test->uffd, UFFDIO_MOVE, &move) || errno == EAGAIN;
}

static struct test cases[] = {
	{
		.name = "UFFDIO_COPY finds no page where nobody filled one",
		.sharing = MAP_PRIVATE, .mode = UFFDIO_REGISTER_MODE_MISSING, .step = step_copy,
	}, {
		.name = "UFFDIO_WRITEPROTECT leaves a marker",
		.sharing = MAP_SHARED, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
		.mode = UFFDIO_REGISTER_MODE_WP, .step = step_wp,
	}, {
		.name = "UFFDIO_MOVE takes nothing for a bug of the caller",
		.sharing = MAP_PRIVATE, .features = UFFD_FEATURE_MOVE,
		.mode = UFFDIO_REGISTER_MODE_MISSING, .step = step_move,
	},
};

#define NR_CASES	(sizeof(cases) / sizeof(cases[0]))

/* Aligned to SLOT, and too small for a huge page to be wanted. */
static char *map(int sharing)
{
	char *area = mmap(NULL, 3 * SLOT, PROT_READ | PROT_WRITE,
			  sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(area != MAP_FAILED && !madvise(area, 3 * SLOT, MADV_NOHUGEPAGE), "cannot map memory");
	return area + (-(uintptr_t)area & (SLOT - 1));
}

static bool prepare(struct test *test)
{
	struct uffdio_api api = { .api = UFFD_API, .features = test->features };
	struct uffdio_register range = { .mode = test->mode };

	test->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (test->uffd < 0 || ioctl(test->uffd, UFFDIO_API, &api))
		return false;
	test->area = map(test->sharing);
	range.range.start = (uintptr_t)test->area;
	range.range.len = SLOT;
	must(!ioctl(test->uffd, UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
	return true;
}

/* A kernel that frees no table proves nothing. */
static bool frees_tables(const struct test *test)
{
	long long before;

	test->step(test, test->area);
	before = procfs_kb(getpid(), "status", "VmPTE");
	must(!madvise(test->area, SLOT, MADV_DONTNEED), "MADV_DONTNEED");
	return procfs_kb(getpid(), "status", "VmPTE") < before;
}

static void run(struct test *test, unsigned long steps)
{
	unsigned long done = 0;
	pthread_t thread;
	bool good = true;

	if (!prepare(test)) {
		result(true, "%s # SKIP no such feature in this kernel's userfaultfd", test->name);
		return;
	}
	if (!frees_tables(test)) {
		result(true, "%s # SKIP MADV_DONTNEED frees no tables in this kernel", test->name);
		return;
	}
	must(!pthread_create(&thread, NULL, take_out, test), "pthread_create");
	while (good && done < steps) {
		good = test->step(test, test->area + done % (SLOT / PAGE) * PAGE);
		done++;
	}
	if (!good)
		printf("# ioctl %lu: %s\n", done, errno ? strerror(errno) : "no error, and no effect");
	atomic_store(&test->stop, true);
	pthread_join(thread, NULL);
	result(good, "%s", test->name);
	close(test->uffd);
}

int main(int argc, char **argv)
{
	if (argc != (int)NR_CASES + 1)
		errx(2, "usage: uffd_dontneed COPY WP MOVE, three numbers of ioctls");
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	must(pagemap >= 0, "/proc/self/pagemap");
	printf("TAP version 13\n1..%zu\n", NR_CASES);
	for (size_t i = 0; i < NR_CASES; i++)
		run(&cases[i], strtoul(argv[i + 1], NULL, 10));
	return failures > 0;
}
