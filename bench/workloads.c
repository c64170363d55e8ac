// SPDX-License-Identifier: GPL-2.0
/*
 * What allocators do that leaves empty PTE tables, then one MADV_RECLAIM_PT.
 * Prints "key value" lines; sizes in kB.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "procfs.h"

#define KIB		1024UL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)
#define PAGE		(4 * KIB)
#define TABLE		(2 * MIB)	/* what one PTE table maps */
#define TABLE_PAGES	(TABLE / PAGE)
#define PAGEOUT_TRIES	10

#define PAGEMAP_PRESENT	(1ULL << 63)

static void advise(char *start, size_t len, int advice, const char *name)
{
	if (madvise(start, len, advice))
		err(1, "%s of %zu bytes at %p", name, len, (void *)start);
}

#define ADVISE(start, len, advice) advise(start, len, advice, #advice)

static void touch_each_table(volatile char *base, size_t size)
{
	for (size_t at = 0; at < size; at += TABLE)
		base[at] = 1;
}

static long long vmpte(void)
{
	long long kb = procfs_kb(getpid(), "status", "VmPTE");

	if (kb < 0)
		err(1, "VmPTE");
	return kb;
}

/* How VmPTE goes, in a workload that takes samples of it. */
static struct {
	long long ms;
	long long kb;
} samples[64];
static size_t nsamples;

static void sample(void)
{
	struct timespec now;

	if (nsamples == sizeof(samples) / sizeof(samples[0]))
		errx(1, "more than %zu samples", nsamples);
	/* Not by the vDSO: it would need a table. */
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	samples[nsamples].ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
	samples[nsamples++].kb = vmpte();
}

static void print_samples(void)
{
	if (!nsamples)
		return;
	dprintf(1, "vmpte_series");
	for (size_t i = 0; i < nsamples; i++)
		dprintf(1, " %lld:%lld", samples[i].ms - samples[0].ms, samples[i].kb);
	dprintf(1, "\n");
}

static void work_fifty_gib(char *base, size_t size)
{
	for (size_t at = 0; at < size; at += TABLE) {
		if (!(at % GIB))
			sample();
		touch_each_table(base + at, TABLE);
		ADVISE(base + at, TABLE, MADV_DONTNEED);
	}
}

static void work_steps_64k(char *base, size_t size)
{
	touch_each_table(base, size);
	for (size_t at = 0; at < size; at += 64 * KIB)
		ADVISE(base + at, 64 * KIB, MADV_DONTNEED);
}

static void work_shifted_1m(char *base, size_t size)
{
	touch_each_table(base, size);
	ADVISE(base, MIB, MADV_DONTNEED);
	for (size_t at = MIB; at < size - MIB; at += TABLE)
		ADVISE(base + at, TABLE, MADV_DONTNEED);
	ADVISE(base + size - MIB, MIB, MADV_DONTNEED);
}

static size_t pages_present(const char *base, size_t size)
{
	uint64_t entries[TABLE_PAGES];
	size_t present = 0;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "/proc/self/pagemap");
	for (size_t at = 0; at < size; at += TABLE) {
		off_t where = ((uintptr_t)base + at) / PAGE * sizeof(entries[0]);

		if (pread(fd, entries, sizeof(entries), where) != sizeof(entries))
			err(1, "/proc/self/pagemap at %p", (const void *)(base + at));
		for (size_t i = 0; i < TABLE_PAGES; i++)
			present += !!(entries[i] & PAGEMAP_PRESENT);
	}
	close(fd);
	return present;
}

static void work_free(char *base, size_t size)
{
	size_t present;
	int tries = 0;

	touch_each_table(base, size);
	ADVISE(base, size, MADV_FREE);
	/* Reclaim passes over a page that another CPU has isolated. */
	do {
		ADVISE(base, size, MADV_PAGEOUT);
		present = pages_present(base, size);
	} while (present && ++tries < PAGEOUT_TRIES);
	if (present)
		errx(1, "free: %zu pages still there after %d MADV_PAGEOUT", present, tries);
}

static const struct workload {
	const char *name;
	size_t size;
	void (*work)(char *base, size_t size);
} workloads[] = {
	{ "fifty-gib", 50 * GIB, work_fifty_gib },
	{ "steps-64k", 16 * GIB, work_steps_64k },
	{ "shifted-1m", 16 * GIB, work_shifted_1m },
	{ "free", 16 * GIB, work_free },
};

#define NWORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static char *reserve(size_t size)
{
	char *base = mmap(NULL, size + TABLE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		err(1, "mmap of %zu bytes", size + TABLE);
	base += -(uintptr_t)base & (TABLE - 1);
	ADVISE(base, size, MADV_NOHUGEPAGE);
	return base;
}

static void measure(const struct workload *w)
{
	long long start, worked, after, freed;
	char *base = reserve(w->size);

	vmpte();	/* what reading itself touches is there before the start */
	start = vmpte();
	w->work(base, w->size);
	worked = vmpte();
	if (nsamples)
		sample();

	dprintf(1, "workload %s\ntables %zu\nvmpte_start %lld\nvmpte_worked %lld\n", w->name,
		w->size / TABLE, start, worked);
	if (!reclaim_pt_supported()) {
		dprintf(1, "reclaim_pt unsupported\nvmpte_after unsupported\n");
		return;
	}
	freed = procfs_vmstat("pt_reclaim_freed");
	if (madvise(base, w->size, MADV_RECLAIM_PT))
		err(1, "MADV_RECLAIM_PT");
	after = vmpte();
	freed = procfs_vmstat("pt_reclaim_freed") - freed;
	if (nsamples)
		sample();
	dprintf(1, "reclaim_pt 0\nvmpte_after %lld\ntables_freed %lld\n", after, freed);
}

/* Each in a process of its own: VmPTE starts from the same tables. */
static int run(const struct workload *w)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		measure(w);
		print_samples();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (status)
		warnx("%s failed, status %#x", w->name, status);
	return !!status;
}

int main(int argc, char **argv)
{
	int failed = 0;
	int known = 0;

	for (size_t i = 0; i < NWORKLOADS; i++) {
		if (argc == 2 && (!strcmp(argv[1], workloads[i].name) || !strcmp(argv[1], "all"))) {
			failed |= run(&workloads[i]);
			known++;
		}
	}
	if (!known)
		errx(2, "usage: workloads fifty-gib|steps-64k|shifted-1m|free|all");
	return failed;
}
