/* SPDX-License-Identifier: GPL-2.0 */
/* Memory of which each PTE table has one page or few, and a clock. All end the program on error. */
#ifndef BENCH_AREA_H
#define BENCH_AREA_H

#include <err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE	4096UL
#define TABLE	(2UL << 20)	/* what one PTE table maps */
#define GIB	(1UL << 30)
#define TIB	(1UL << 40)

static inline uint64_t clock_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static inline uint64_t now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

/* PMD tables are per GiB: with the same alignment every run needs as many. */
static inline char *map(size_t size)
{
	static char *where = (char *)(16 * TIB);
	char *base = mmap(where, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (base != where)
		err(1, "mmap of %zu bytes at %p", size, where);
	if (madvise(base, size, MADV_NOHUGEPAGE))
		err(1, "MADV_NOHUGEPAGE");
	return base;
}

static inline void unmap(char *base, size_t size)
{
	if (munmap(base, size))
		err(1, "munmap");
}

static inline void advise(char *base, size_t size, int advice)
{
	if (madvise(base, size, advice))
		err(1, "madvise %d", advice);
}

static inline void touch(char *base, size_t tables, size_t offset)
{
	for (size_t i = 0; i < tables; i++)
		((volatile char *)base)[i * TABLE + offset] = 1;
}

/* The page alone: a DONTNEED of the whole 2 MiB may free the table. */
static inline void empty(char *base, size_t tables)
{
	for (size_t i = 0; i < tables; i++)
		advise(base + i * TABLE, PAGE, MADV_DONTNEED);
}

static inline int compare(const void *one, const void *other)
{
	const uint64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

/* Sorts them. */
static inline uint64_t median(uint64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

#endif
