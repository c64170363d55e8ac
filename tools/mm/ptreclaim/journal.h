/* SPDX-License-Identifier: GPL-2.0 */
/* What the daemon says: to the journal if standard error is connected to it, else there. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <syslog.h>

#include "metrics.h"
#include "pass.h"

void __attribute__((format(printf, 2, 3))) say(int priority, const char *format, ...);

/* One line about a pass, with fields; nothing about one that did nothing, unless ALWAYS. */
void say_pass(enum trigger trigger, const char *cgroup, const struct pass_result *result,
	      bool always);

#endif
