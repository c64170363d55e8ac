// SPDX-License-Identifier: GPL-2.0
/*
 * shootdowns THREADS TABLES ROUNDS: how often a MADV_DONTNEED interrupts other CPUs. Each of so many threads has a range
 * of its own of so many page tables, touches some pages of each and gives the range back, again and again.
 * Prints interrupts for TLB flushes (the row TLB of /proc/interrupts) for each call.
 */
#include <err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TABLE		(2UL << 20)	/* what one PTE table maps */
#define PAGES		8		/* that are touched, of each table */
#define MAX_THREADS	64

static size_t size;
static long rounds;

/* Of all CPUs. */
static long tlb_interrupts(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	long total = 0;
	char line[4096];

	if (!file)
		err(1, "/proc/interrupts");
	while (fgets(line, sizeof(line), file)) {
		char *at = line + strspn(line, " "), *end;

		if (strncmp(at, "TLB:", 4))
			continue;
		for (at += 4;; at = end) {
			long count = strtol(at, &end, 10);

			if (end == at)
				break;
			total += count;
		}
	}
	fclose(file);
	return total;
}

static void *give_back(void *unused)
{
	char *area = mmap(NULL, size + TABLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)unused;
	if (area == MAP_FAILED || madvise(area, size + TABLE, MADV_NOHUGEPAGE))
		err(1, "cannot map %zu bytes", size + TABLE);
	area += -(uintptr_t)area & (TABLE - 1);
	for (long i = 0; i < rounds; i++) {
		for (size_t at = 0; at < size; at += TABLE / PAGES)
			*(volatile char *)(area + at) = 1;
		if (madvise(area, size, MADV_DONTNEED))
			err(1, "MADV_DONTNEED");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc == 4 ? atol(argv[1]) : 0, tables = argc == 4 ? atol(argv[2]) : 0, before, count;
	pthread_t started[MAX_THREADS];

	if (argc == 4)
		rounds = atol(argv[3]);
	if (threads <= 0 || threads > MAX_THREADS || tables <= 0 || rounds <= 0)
		errx(2, "usage: shootdowns THREADS TABLES ROUNDS, at most %d threads", MAX_THREADS);
	size = tables * TABLE;
	before = tlb_interrupts();
	for (long i = 0; i < threads; i++)
		if (pthread_create(&started[i], NULL, give_back, NULL))
			errx(1, "cannot create a thread");
	for (long i = 0; i < threads; i++)
		pthread_join(started[i], NULL);
	count = tlb_interrupts() - before;
	printf("%ld threads, %ld tables: %.2f interrupts a call\n", threads, tables, (double)count / (threads * rounds));
	return 0;
}
