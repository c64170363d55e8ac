/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random operations on an arena, random calls of MADV_RECLAIM_PT and MADV_DONTNEED,
 * and after each call a comparison of the process with the model.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "model.h"

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT	26
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

#define MOST_IOV	1025	/* one more than a call takes */

/* What the processes that fuzz tell the one that judges. */
struct progress {
	unsigned long calls;
	unsigned long met[METS];
};

enum exit_status { AGREED, DIFFERED, BROKEN };

/* fuzz.c */
extern bool verbose;
unsigned long rnd(unsigned long n);	/* 0 to n - 1 */
bool chance(unsigned int percent);
/* Into the log of the last operations. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The kernel and the model disagree. */
void differ(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Something that is not under test failed. */
void need(bool good, const char *what);

/* machine.c */
extern int memfd, tcp_socket, device_fd, uffd;
extern pid_t helper;
void prepare_machine(void);
void open_sources(void);
void start_helper(void);
void open_ring(void);
long advise(uintptr_t start, size_t len, int advice);
long advise_self(const struct iovec *iov, size_t n, unsigned int flags);
long advise_remote(const struct iovec *iov, size_t n, unsigned int flags);
long advise_ring(uintptr_t start, size_t len, int advice, bool short_length);

/* check.c */
void open_checks(void);
void settle_own_tables(void);
uint32_t read_page(unsigned int page);
uint64_t read_pagemap(unsigned int page);
void fill_page(unsigned int page, uint32_t value);
void check_range(uintptr_t start, uintptr_t end);
void check_all(void);
void check_tables(void);
void check_vmstat(void);
void sweep(void);

/* change.c */
void open_vvar(void);
void change(void);
void start_over(void);
unsigned int run_start(unsigned int page, unsigned int kinds);
unsigned int run_end(unsigned int page, unsigned int kinds);

/* call.c */
void call(void);

#endif
