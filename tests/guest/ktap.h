/* SPDX-License-Identifier: GPL-2.0 */
/* Results of tests, counted, and what has to work for there to be any. */
#ifndef GUEST_KTAP_H
#define GUEST_KTAP_H

#include <err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tests, failures;

__attribute__((format(printf, 2, 3)))
static void result(bool good, const char *format, ...)
{
	va_list arguments;

	printf("%sok %d ", good ? "" : "not ", ++tests);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	failures += !good;
}

static inline void must(bool good, const char *what)
{
	if (!good)
		err(1, "%s", what);
}

#endif
