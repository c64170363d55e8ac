/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
#ifndef PTRECLAIM_PROC_H
#define PTRECLAIM_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* /proc/PID/FILE, open for reading; the folder itself if FILE is "". */
int ptreclaim_proc_open(pid_t pid, const char *file);

/*
 * A line that starts with NAME and a number, which is UINT64_MAX if it is too large.
 * The bytes of a text are taken one by one, so that it does not matter where read()
 * cuts it.
 */
struct proc_row {
	const char *name;
	uint64_t value;
	bool found;
	bool digits;
	bool other;		/* this line has another name */
	size_t matched;		/* bytes of the name, at the start of this line */
};

/* The first line of each name. Only names are to be set. 0 also if some are not there. */
int ptreclaim_proc_rows(int fd, struct proc_row *rows, size_t count);

/* The number of one. -ENODATA if there is no such line. */
int ptreclaim_proc_row(int fd, const char *name, uint64_t *value);

#endif
