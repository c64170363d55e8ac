/* SPDX-License-Identifier: GPL-2.0 */
/* Text of /proc/PID. It may be anything; what comes out keeps to the comments of procs.h. */
#ifndef PARSE_H
#define PARSE_H

#include "procs.h"

/* Each takes a whole file, of which it may change the bytes. 0, or -EBADMSG. */

/* status: uid, VmRSS and VmPTE; no VmPTE leaves 0 in its place. */
int parse_status(const char *text, struct process *p);

/* stat: the name, the start time and what is to be a new one after an exec. */
int parse_stat(const char *text, struct process *p, uint64_t *stack);

/* cgroup: the path within cgroup v2, or "". */
void parse_cgroup(const char *text, struct process *p);

/* The number of a process, which is in front of the byte BEHIND; 0 if there is none. */
pid_t parse_pid(const char *text, char behind);

#endif
