// SPDX-License-Identifier: GPL-2.0
/*
 * hmm_dontneed SPLITS: migration to the memory of a device beside a MADV_DONTNEED that frees page tables. KTAP output.
 *
 * One thread moves the pages of a slot to the device of test_hmm, for which their large folios are split, one after
 * the other, each with the page table unlocked; another takes everything out of the slot, and its table with it, and
 * fills it again. That goes on until so many folios have been split. What is written beyond the arrays that the driver
 * has for a slot is KASAN's to find: if it says nothing, this passes.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../bench/procfs.h"
#include "ktap.h"

#define PAGE	4096UL
#define SLOT	(2UL << 20)	/* what one PTE table maps */
#define FOLIO	(64UL << 10)
#define THP	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/"
#define IN_VAIN	100000		/* calls that split nothing, until this gives up */

/* Of lib/test_hmm_uapi.h, which is installed nowhere. */
struct hmm_dmirror_cmd {
	__u64 addr, ptr, npages, cpages, faults;
};
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)

static char *slot;
static atomic_bool stop;

static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

/* All but the first folio: what is there is found in the middle of the table only. */
static void *fill_and_empty(void *unused)
{
	(void)unused;
	while (!atomic_load(&stop)) {
		for (size_t at = FOLIO; at < SLOT; at += FOLIO)
			*(volatile char *)(slot + at) = 1;
		must(!madvise(slot, SLOT, MADV_DONTNEED), "MADV_DONTNEED");
	}
	return NULL;
}

static unsigned long folios_split(void)
{
	char text[32];
	int fd = open(THP "stats/split", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	must(fd >= 0, THP "stats/split");
	n = read(fd, text, sizeof(text) - 1);
	must(n > 0, THP "stats/split");
	close(fd);
	text[n] = '\0';
	return strtoul(text, NULL, 10);
}

static void want_large_folios(void)
{
	int fd = open(THP "enabled", O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && write(fd, "always", 6) == 6, THP "enabled");
	close(fd);
}

/* Filling one slot, emptying it. A kernel that frees no table then proves nothing. */
static bool frees_tables(void)
{
	long long before;

	slot[SLOT - PAGE] = 1;
	before = procfs_kb(getpid(), "status", "VmPTE");
	must(!madvise(slot, SLOT, MADV_DONTNEED), "MADV_DONTNEED");
	return procfs_kb(getpid(), "status", "VmPTE") < before;
}

/*
 * The driver would read back what it has moved, and may read what MADV_DONTNEED has freed: a bug of its own. It gives up
 * at a page that it has not moved, so let the first one be such a page, of shared memory that is not there.
 */
static void move_to_device(int device, char *copy)
{
	struct hmm_dmirror_cmd command = {
		.addr = (uintptr_t)slot - PAGE, .ptr = (uintptr_t)copy, .npages = 1 + SLOT / PAGE,
	};

	ioctl(device, HMM_DMIRROR_MIGRATE_TO_DEV, &command);
}

int main(int argc, char **argv)
{
	unsigned long start, wanted = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long calls = 0, done = 0, last = 0, changed = 0;
	pthread_t thread;
	char *copy;
	int device;

	if (!wanted)
		errx(2, "usage: hmm_dontneed SPLITS, a number of large folios");
	puts("TAP version 13");
	device = open("/dev/hmm_dmirror0", O_RDWR | O_CLOEXEC);
	if (device < 0)
		skip("no test_hmm in this kernel");
	want_large_folios();
	copy = mmap(NULL, PAGE + SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot = mmap(NULL, 3 * SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(copy != MAP_FAILED && slot != MAP_FAILED, "cannot map memory");
	slot += SLOT - ((uintptr_t)slot & (SLOT - 1));
	must(mmap(slot - PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == slot - PAGE,
	     "cannot map shared memory");
	if (!frees_tables())
		skip("MADV_DONTNEED frees no tables in this kernel");
	puts("1..1");
	fflush(stdout);

	start = folios_split();
	must(!pthread_create(&thread, NULL, fill_and_empty, NULL), "pthread_create");
	while (done < wanted && calls - changed < IN_VAIN) {
		move_to_device(device, copy);
		calls++;
		done = folios_split() - start;
		if (done != last)
			changed = calls;
		last = done;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("# %lu calls split %lu folios\n", calls, done);
	result(done >= wanted, "large folios are split for a device beside MADV_DONTNEED");
	return failures > 0;
}
