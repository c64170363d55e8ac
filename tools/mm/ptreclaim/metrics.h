/* SPDX-License-Identifier: GPL-2.0 */
/* What the daemon counts, as a text file for Prometheus (node-exporter's textfile collector). */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum trigger { TRIGGER_PRESSURE, TRIGGER_CGROUP, TRIGGER_INTERVAL, TRIGGER_REQUEST, TRIGGERS };

enum error_reason { ERROR_DENIED, ERROR_PROCESS, ERROR_LIST, ERROR_TRIGGER, ERROR_METRICS, ERRORS };

struct metrics {
	uint64_t passes[TRIGGERS];
	uint64_t passes_skipped;	/* no processor time was left */
	uint64_t passes_cut;		/* it ran out */
	uint64_t audited;
	uint64_t reclaimed;
	uint64_t waiting;		/* times that a process was left alone */
	uint64_t gone;
	uint64_t bytes;
	uint64_t cpu;			/* ns */
	uint64_t errors[ERRORS];
	uint64_t reloads_good;
	uint64_t reloads_bad;
	/* now */
	uint64_t processes;
	uint64_t remembered;
	struct timespec last_pass;	/* real time */
	uint64_t config_good;		/* 0 or 1 */
	bool unwritten;			/* the last attempt to write them has failed */
};

/* Names of triggers, as they stand in the file. */
const char *trigger_name(enum trigger trigger);

/*
 * Writes them to a file beside PATH, which then takes its place: a reader sees one or the
 * other. 0 or -errno; then PATH is as it was.
 */
int metrics_write(const struct metrics *metrics, const char *path);

#endif
