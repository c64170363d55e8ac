// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metrics.h"
#include "policy.h"

#define PATH_SIZE	512

const char *trigger_name(enum trigger trigger)
{
	static const char *const names[] = {
		[TRIGGER_PRESSURE] = "pressure",
		[TRIGGER_CGROUP] = "cgroup",
		[TRIGGER_INTERVAL] = "interval",
		[TRIGGER_REQUEST] = "request",
	};

	return names[trigger];
}

static const char *const reason_names[] = {
	[ERROR_DENIED] = "denied",
	[ERROR_PROCESS] = "process",
	[ERROR_LIST] = "list",
	[ERROR_TRIGGER] = "trigger",
	[ERROR_METRICS] = "metrics",
};

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP ptreclaim_%s %s\n# TYPE ptreclaim_%s %s\n", name, help, name, type);
}

static void counter(FILE *to, const char *name, const char *help, uint64_t value)
{
	head(to, name, "counter", help);
	fprintf(to, "ptreclaim_%s %" PRIu64 "\n", name, value);
}

static void gauge(FILE *to, const char *name, const char *help, uint64_t value)
{
	head(to, name, "gauge", help);
	fprintf(to, "ptreclaim_%s %" PRIu64 "\n", name, value);
}

static void seconds(FILE *to, const char *name, const char *type, const char *help, uint64_t whole,
		    uint64_t ns)
{
	head(to, name, type, help);
	fprintf(to, "ptreclaim_%s %" PRIu64 ".%09" PRIu64 "\n", name, whole, ns);
}

static void write_labelled(FILE *to, const struct metrics *m)
{
	int i;

	head(to, "passes_total", "counter", "Passes over the processes, by what asked for them.");
	for (i = 0; i < TRIGGERS; i++)
		fprintf(to, "ptreclaim_passes_total{trigger=\"%s\"} %" PRIu64 "\n",
			trigger_name((enum trigger)i), m->passes[i]);
	head(to, "errors_total", "counter", "What failed.");
	for (i = 0; i < ERRORS; i++)
		fprintf(to, "ptreclaim_errors_total{reason=\"%s\"} %" PRIu64 "\n", reason_names[i],
			m->errors[i]);
	head(to, "config_reloads_total", "counter", "How often the configuration was read anew.");
	fprintf(to, "ptreclaim_config_reloads_total{result=\"good\"} %" PRIu64 "\n", m->reloads_good);
	fprintf(to, "ptreclaim_config_reloads_total{result=\"bad\"} %" PRIu64 "\n", m->reloads_bad);
}

static void write_all(FILE *to, const struct metrics *m)
{
	write_labelled(to, m);
	counter(to, "passes_skipped_total", "Passes not made, as no processor time was left.",
		m->passes_skipped);
	counter(to, "passes_cut_total", "Passes that ran out of processor time.", m->passes_cut);
	counter(to, "processes_audited_total", "Looks at what the page tables of a process hold.",
		m->audited);
	counter(to, "processes_reclaimed_total", "Processes reclaimed.", m->reclaimed);
	counter(to, "processes_waiting_total", "Processes left alone, as a look brought little.",
		m->waiting);
	counter(to, "processes_gone_total", "Processes that exited meanwhile.", m->gone);
	counter(to, "reclaimed_bytes_total", "Bytes of page tables freed.", m->bytes);
	seconds(to, "pass_cpu_seconds_total", "counter", "Processor time of passes.",
		m->cpu / NS_PER_SEC, m->cpu % NS_PER_SEC);
	gauge(to, "processes", "Processes met by the last pass.", m->processes);
	gauge(to, "processes_remembered", "Processes that something is known of.", m->remembered);
	gauge(to, "config_last_reload_successful", "Whether the configuration is that of the file.",
	      m->config_good);
	seconds(to, "last_pass_timestamp_seconds", "gauge", "When the last pass ended.",
		(uint64_t)m->last_pass.tv_sec, (uint64_t)m->last_pass.tv_nsec);
}

static int write_file(const struct metrics *metrics, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int bad;
	FILE *to;

	if (fd < 0)
		return -errno;
	to = fdopen(fd, "w");
	if (!to) {
		close(fd);
		return -ENOMEM;
	}
	write_all(to, metrics);
	errno = EIO;
	bad = ferror(to);
	if (fclose(to) || bad)
		return -errno;
	return 0;
}

int metrics_write(const struct metrics *metrics, const char *path)
{
	char new[PATH_SIZE];
	int ret;

	/* One of its own: --once may run beside the daemon. */
	if (snprintf(new, sizeof(new), "%s.%d", path, getpid()) >= (int)sizeof(new))
		return -ENAMETOOLONG;
	ret = write_file(metrics, new);
	if (!ret && rename(new, path))
		ret = -errno;
	if (ret)
		unlink(new);
	return ret;
}
