// SPDX-License-Identifier: GPL-2.0
/*
 * uffd [ROUNDS [NAME]]: userfaultfd's ioctls beside a thread that reclaims page tables
 * of the same memory without pause.
 *
 * Each ioctl allocates a page table, or finds one, and puts an entry into it. The
 * table is empty in between and may be freed. What a round does is checked before
 * the next: a page or a marker that is missing, foreign data, an error that says
 * something else than "again" fails. So does a test in which no table was freed,
 * which would prove nothing. KTAP output; run as root, with 2 CPUs at least.
 */
#include <errno.h>
#include <fcntl.h>
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
#include <linux/userfaultfd.h>

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT 26
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

#define SLOT		(2UL << 20)	/* what one page table maps */
#define SLOTS		8
#define SIZE		(SLOTS * SLOT)
#define PAGE		4096UL
#define PM_UFFD_WP	(1ULL << 57)
#define PM_PRESENT	(1ULL << 63)

struct race {
	int uffd;
	char *area;		/* registered, SLOTS slots */
	char *src;		/* not registered; for UFFDIO_MOVE */
	char *victim;		/* what the other thread reclaims */
	bool shmem;
	atomic_bool stop;
	unsigned long calls;	/* of the other thread */
	unsigned long again;	/* rounds repeated after EAGAIN */
	char why[160];		/* what went wrong, or empty */
};

static int pagemap;
static char page[PAGE];

static unsigned long tables_freed(void)
{
	char line[128];
	unsigned long freed = 0;
	FILE *file = fopen("/proc/vmstat", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "pt_reclaim_freed %lu", &freed) == 1)
			break;
	if (file)
		fclose(file);
	return freed;
}

static uint64_t pagemap_entry(const char *addr)
{
	uint64_t entry = 0;

	if (pread(pagemap, &entry, sizeof(entry),
		  (uintptr_t)addr / PAGE * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry;
}

static void *reclaim_without_pause(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop)) {
		if (madvise(race->victim, SIZE, MADV_RECLAIM_PT)) {
			snprintf(race->why, sizeof(race->why),
				 "MADV_RECLAIM_PT: %s", strerror(errno));
			break;
		}
		race->calls++;
	}
	return NULL;
}

static bool failed(struct race *race, const char *what, unsigned long round)
{
	snprintf(race->why, sizeof(race->why), "round %lu: %s", round, what);
	return false;
}

/* A fault that reads a lost page of registered memory would wait for ever. */
static bool holds_page(struct race *race, const char *addr, unsigned long round)
{
	if (!(pagemap_entry(addr) & PM_PRESENT))
		return failed(race, "the page is lost", round);
	if (memcmp(addr, page, PAGE))
		return failed(race, "the page has other contents", round);
	return true;
}

static bool empty_again(struct race *race, char *addr, unsigned long round)
{
	if (madvise(addr, PAGE, race->shmem ? MADV_REMOVE : MADV_DONTNEED))
		return failed(race, "cannot empty the page", round);
	return true;
}

/* What the ioctl returns of its progress is written by the kernel only. */
static bool ioctl_again(struct race *race, unsigned long request, void *arg,
			unsigned long round)
{
	while (ioctl(race->uffd, request, arg)) {
		if (errno != EAGAIN)
			return failed(race, errno == EEXIST ?
				      "EEXIST for a page that nobody filled" :
				      strerror(errno), round);
		race->again++;
	}
	return true;
}

static bool copy(struct race *race, char *dst, unsigned long round)
{
	struct uffdio_copy arg = {
		.dst = (uintptr_t)dst, .src = (uintptr_t)page, .len = PAGE,
	};

	return ioctl_again(race, UFFDIO_COPY, &arg, round) &&
	       holds_page(race, dst, round) && empty_again(race, dst, round);
}

static bool zeropage(struct race *race, char *dst, unsigned long round)
{
	struct uffdio_zeropage arg = {
		.range = { .start = (uintptr_t)dst, .len = PAGE },
	};

	if (!ioctl_again(race, UFFDIO_ZEROPAGE, &arg, round))
		return false;
	if (!(pagemap_entry(dst) & PM_PRESENT))
		return failed(race, "the zero page is lost", round);
	return empty_again(race, dst, round);
}

static bool write_protect(struct race *race, char *dst, __u64 mode)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = (uintptr_t)dst, .len = PAGE }, .mode = mode,
	};

	while (ioctl(race->uffd, UFFDIO_WRITEPROTECT, &arg)) {
		if (errno != EAGAIN)
			return false;
		race->again++;
	}
	return true;
}

static bool protect(struct race *race, char *dst, unsigned long round)
{
	if (!write_protect(race, dst, UFFDIO_WRITEPROTECT_MODE_WP))
		return failed(race, strerror(errno), round);
	if (!(pagemap_entry(dst) & PM_UFFD_WP))
		return failed(race, "it succeeded, and left no marker", round);
	if (!write_protect(race, dst, 0))
		return failed(race, strerror(errno), round);
	return true;
}

static bool move_page(struct race *race, char *dst, char *src, __u64 mode,
		      unsigned long round)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = PAGE,
		.mode = mode,
	};

	while (ioctl(race->uffd, UFFDIO_MOVE, &arg)) {
		if (errno != EAGAIN)
			return failed(race, strerror(errno), round);
		arg.move = 0;
		race->again++;
	}
	return true;
}

static bool move(struct race *race, char *dst, unsigned long round)
{
	memcpy(race->src, page, PAGE);
	return move_page(race, dst, race->src, 0, round) &&
	       holds_page(race, dst, round) && empty_again(race, dst, round);
}

/* The ioctl allocates a page table for a source that holds nothing. */
static bool move_hole(struct race *race, char *dst, unsigned long round)
{
	return move_page(race, dst, race->src + (dst - race->area),
			 UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, round);
}

static const struct test {
	const char *name;
	bool (*round)(struct race *race, char *dst, unsigned long round);
	bool shmem;
	bool reclaim_src;
	__u64 mode;
	unsigned int factor;	/* rounds that take no page allocation are short */
} tests[] = {
	{ "UFFDIO_COPY", copy, false, false, UFFDIO_REGISTER_MODE_MISSING, 1 },
	{ "UFFDIO_COPY, shmem", copy, true, false, UFFDIO_REGISTER_MODE_MISSING, 1 },
	{ "UFFDIO_ZEROPAGE", zeropage, false, false, UFFDIO_REGISTER_MODE_MISSING, 1 },
	{ "UFFDIO_WRITEPROTECT of nothing", protect, false, false, UFFDIO_REGISTER_MODE_WP, 5 },
	{ "UFFDIO_WRITEPROTECT of nothing, shmem", protect, true, false, UFFDIO_REGISTER_MODE_WP, 5 },
	{ "UFFDIO_MOVE, destination", move, false, false, UFFDIO_REGISTER_MODE_MISSING, 1 },
	{ "UFFDIO_MOVE, source with holes", move_hole, false, true, UFFDIO_REGISTER_MODE_MISSING, 20 },
};

#define NR_TESTS (sizeof(tests) / sizeof(tests[0]))

static int open_uffd(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MOVE | (1 << 13) /* WP_UNPOPULATED */ |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		return -1;
	}
	return uffd;
}

static char *map_aligned(bool shmem)
{
	int flags = shmem ? MAP_SHARED : MAP_PRIVATE;
	char *start = mmap(NULL, SIZE + SLOT, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *area = (char *)(((uintptr_t)start + SLOT - 1) & -SLOT);

	if (start == MAP_FAILED ||
	    mmap(area, SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED ||
	    madvise(area, SIZE, MADV_NOHUGEPAGE))
		return NULL;
	return area;
}

static const char *set_up(struct race *race, const struct test *test)
{
	struct uffdio_register reg = { .mode = test->mode };

	race->uffd = open_uffd();
	if (race->uffd < 0)
		return "userfaultfd with UFFDIO_MOVE";
	race->area = map_aligned(test->shmem);
	race->src = map_aligned(false);
	if (!race->area || !race->src)
		return "mmap";
	race->victim = test->reclaim_src ? race->src : race->area;
	reg.range.start = (uintptr_t)race->area;
	reg.range.len = SIZE;
	if (ioctl(race->uffd, UFFDIO_REGISTER, &reg))
		return "UFFDIO_REGISTER";
	return NULL;
}

static void run(int number, const struct test *test, unsigned long rounds)
{
	unsigned long round = 0, freed = tables_freed();
	struct race race = { .shmem = test->shmem };
	const char *missing = set_up(&race, test);
	pthread_t thread;

	if (missing) {
		printf("not ok %d %s\n# cannot set up: %s\n", number, test->name, missing);
		return;
	}
	if (pthread_create(&thread, NULL, reclaim_without_pause, &race)) {
		printf("not ok %d %s\n# no thread\n", number, test->name);
		return;
	}
	while (round < rounds && !race.why[0] &&
	       test->round(&race, race.area + round % SLOTS * SLOT +
			   round / SLOTS % 512 * PAGE, round))
		round++;
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	freed = tables_freed() - freed;

	printf("# %s: %lu rounds, %lu repeated, %lu calls of the advice, %lu tables freed\n",
	       test->name, round, race.again, race.calls, freed);
	if (!race.why[0] && !freed)
		snprintf(race.why, sizeof(race.why), "no table was freed meanwhile");
	if (race.why[0])
		printf("# %s\n", race.why);
	printf("%sok %d %s\n", race.why[0] ? "not " : "", number, test->name);
	close(race.uffd);
	munmap(race.area, SIZE);
	munmap(race.src, SIZE);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000;
	const char *only = argc > 2 ? argv[2] : "";
	int number = 0, chosen = 0;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < PAGE; i++)
		page[i] = 1 + i % 251;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (i = 0; i < NR_TESTS; i++)
		chosen += !!strstr(tests[i].name, only);
	printf("TAP version 13\n1..%d\n", chosen);
	for (i = 0; i < NR_TESTS; i++)
		if (strstr(tests[i].name, only))
			run(++number, &tests[i], rounds * tests[i].factor);
	return 0;
}
