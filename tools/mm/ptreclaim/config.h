/* SPDX-License-Identifier: GPL-2.0 */
/* /etc/ptreclaim.conf: see ptreclaim.conf(5). */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "policy.h"

#define CONFIG_CGROUPS	64		/* whose pressure is watched, at most */
#define CONFIG_RULES	256
#define CONFIG_SIZE_MAX	(64 << 10)	/* of the file */

struct config {
	char threshold[48];	/* of pressure, as the kernel wants it */
	bool system;
	char *cgroups[CONFIG_CGROUPS];
	size_t cgroup_count;
	uint64_t interval;	/* times are in s; 0: none */
	uint64_t cpu;		/* percent of one CPU */
	uint64_t cpu_burst;
	uint64_t min_vmpte;	/* bytes */
	uint64_t min_empty;
	uint64_t backoff;
	uint64_t backoff_max;
	uint64_t remember;	/* processes */
	struct rule rules[CONFIG_RULES];
	size_t rule_count;
	char *metrics;		/* NULL: none */
};

struct config_error {
	unsigned int line;	/* 0: none in particular */
	char text[320];
};

void config_defaults(struct config *config);

/* TEXT ends with a NUL at LENGTH. 0, or -EINVAL with *ERROR set; then *CONFIG needs no freeing. */
int config_parse(struct config *config, const char *text, size_t length,
		 struct config_error *error);

/* The same of a file; also -errno of what reading it gives, with *ERROR set. */
int config_read(struct config *config, const char *path, struct config_error *error);

void config_free(struct config *config);

/* Writes all of it in the format of the file. */
void config_print(const struct config *config, FILE *to);

#endif
