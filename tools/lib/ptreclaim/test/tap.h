/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
#ifndef PTRECLAIM_TEST_TAP_H
#define PTRECLAIM_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_number;
static int tap_planned;
static int tap_failed;

static inline void plan(int tests)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap_planned = tests;
	printf("TAP version 13\n1..%d\n", tests);
}

__attribute__((format(printf, 2, 3)))
static inline bool ok(bool good, const char *format, ...)
{
	va_list args;

	tap_failed += !good;
	printf("%sok %d ", good ? "" : "not ", ++tap_number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return good;
}

/* The exit status. Tests that were not reached are failures. */
static inline int finish(void)
{
	return tap_failed || tap_number != tap_planned;
}

#endif
