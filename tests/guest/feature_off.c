// SPDX-License-Identifier: GPL-2.0
/*
 * feature_off: a kernel that is built without CONFIG_PT_RECLAIM, from the patched tree.
 * The advice is unknown to it, and page tables are freed as ever. KTAP output.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT	26
#endif

#define SLOT	(2UL << 20)
#define TABLES	1000UL

static int tests;

static void result(bool good, const char *what)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++tests, what);
}

/* The number on a row of a file in /proc; -1 if there is no such row. */
static long row(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[256];
	long number = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			number = strtol(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return number;
}

/* Tables wait for a grace period; one that never comes hangs, and the guest is ended. */
static void wait_until_freed(long most)
{
	const struct timespec interval = { .tv_nsec = 10000000 };

	while (row("/proc/meminfo", "PageTables:") > most)
		nanosleep(&interval, NULL);
}

static void tables_come_and_go(void)
{
	long before = row("/proc/self/status", "VmPTE:"), full;
	long system = row("/proc/meminfo", "PageTables:");
	char *area = mmap(NULL, TABLES * SLOT, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED || madvise(area, TABLES * SLOT, MADV_NOHUGEPAGE)) {
		result(false, "cannot map memory");
		return;
	}
	for (unsigned long i = 0; i < TABLES; i++)
		area[i * SLOT] = 1;
	full = row("/proc/self/status", "VmPTE:");
	result(full >= before + 4 * (long)TABLES, "tables are counted");
	munmap(area, TABLES * SLOT);
	result(row("/proc/self/status", "VmPTE:") <= before, "munmap frees them");
	wait_until_freed(system + 400);
	result(true, "and the system has them back");
}

/* The result of the advice by way of io_uring; 1 if there is no ring. */
static int by_ring(void)
{
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int got = 1;

	if (io_uring_queue_init(1, &ring, 0))
		return 1;
	io_uring_prep_madvise(io_uring_get_sqe(&ring), NULL, 0, MADV_RECLAIM_PT);
	if (io_uring_submit(&ring) == 1 && !io_uring_wait_cqe(&ring, &cqe))
		got = cqe->res;
	io_uring_queue_exit(&ring);
	return got;
}

int main(void)
{
	struct iovec none = { NULL, 0 };
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..7\n");
	result(madvise(NULL, 0, MADV_RECLAIM_PT) == -1 && errno == EINVAL, "madvise says EINVAL");
	result(syscall(SYS_process_madvise, pidfd, &none, 1, MADV_RECLAIM_PT, 0) == -1 &&
	       errno == EINVAL, "process_madvise says EINVAL");
	result(by_ring() == -EINVAL, "io_uring says EINVAL");
	result(row("/proc/vmstat", "pt_reclaim_freed") == -1, "no counter in /proc/vmstat");
	tables_come_and_go();
	return 0;
}
