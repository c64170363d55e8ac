/* SPDX-License-Identifier: GPL-2.0 */
/* Options that scan and reclaim have in common: which processes, how to print, --sysroot. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <getopt.h>

#include "procs.h"
#include "table.h"
#include "targets.h"

struct common {
	struct targets targets;
	struct table_style style;
	const char *sysroot;
	struct procs procs;	/* once common_open() was called */
};

#define COMMON_SYSROOT	1000

#define COMMON_OPTIONS \
	TARGET_OPTIONS, \
	{ "bytes", no_argument, NULL, 'b' }, \
	{ "help", no_argument, NULL, 'h' }, \
	{ "json", no_argument, NULL, 'J' }, \
	{ "noheadings", no_argument, NULL, 'n' }, \
	{ "sysroot", required_argument, NULL, COMMON_SYSROOT }
#define COMMON_LETTERS	TARGET_LETTERS "bhJn"

/* False if the option is none of these; --help is not. */
bool common_option(struct common *c, int letter, const char *command);

/* Ends the program if there is no such /proc. */
void common_open(struct common *c);
void common_close(struct common *c);

#endif
