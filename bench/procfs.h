/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_PROCFS_H
#define BENCH_PROCFS_H

#include <stdbool.h>
#include <sys/types.h>

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT 26
#endif

/* One reader at a time: the buffer is static, so that reading allocates no page table. */

/* A "Name:  N kB" row of /proc/PID/FILE in kB; -1 with errno where it cannot be had. */
long long procfs_kb(pid_t pid, const char *file, const char *name);

/* A row of /proc/meminfo in kB, or -1. */
long long procfs_meminfo(const char *name);

/* A row of /proc/vmstat, or -1. */
long long procfs_vmstat(const char *name);

/* Asks the advice and the vmstat row: the number alone might mean something else elsewhere. */
bool reclaim_pt_supported(void);

/*
 * Does MADV_DONTNEED free a table of two mappings that it covers, as the series for 6.12 has it?
 * Linux frees what it covers within one mapping, from 6.14 on.
 */
bool dontneed_frees_shared_table(void);

#endif
