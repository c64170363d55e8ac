// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "progress.h"
#include "size.h"

enum figure {
	DONE,
	BEFORE,
	AFTER,
	FREED,
	EMPTY,
	EMPTY_MAX,
	SKIPPED,
	GONE,
	EXECED,
	DENIED,
	FAILED,
	INTERRUPTED,
	FIGURES,
};

static const struct column columns[] = {
	[DONE] = { "PROCESSES", CELL_NUMBER, DONE, NULL },
	[BEFORE] = { "BEFORE", CELL_SIZE, BEFORE, NULL },
	[AFTER] = { "AFTER", CELL_SIZE, AFTER, NULL },
	[FREED] = { "FREED", CELL_SIZE, FREED, NULL },
	[EMPTY] = { "EMPTY", CELL_SIZE, EMPTY, NULL },
	[EMPTY_MAX] = { "EMPTY-MAX", CELL_SIZE, EMPTY_MAX, NULL },
	[SKIPPED] = { "SKIPPED", CELL_NUMBER, SKIPPED, NULL },
	[GONE] = { "GONE", CELL_NUMBER, GONE, NULL },
	[EXECED] = { "EXECED", CELL_NUMBER, EXECED, NULL },
	[DENIED] = { "DENIED", CELL_NUMBER, DENIED, NULL },
	[FAILED] = { "FAILED", CELL_NUMBER, FAILED, NULL },
	[INTERRUPTED] = { "INTERRUPTED", CELL_FLAG, INTERRUPTED, NULL },
};

struct reclaim {
	struct common common;
	uint64_t min_empty;
	bool min_given;
	bool dry_run;
	bool quiet;
	uint64_t figures[FIGURES];
};

static volatile sig_atomic_t cancel;

static void interrupt(int number)
{
	cancel = number;
}

/* The first signal ends the run at the next batch, the second one the program. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* Whatever becomes of one process is no reason to leave out the others. */
static int count_error(struct reclaim *r, pid_t pid, int error)
{
	switch (error) {
	case -ECANCELED:
	case -ENOTSUP:
		return error;
	case -ESRCH:
		r->figures[GONE]++;
		return 0;
	case -EACCES:
	case -EPERM:
		r->figures[DENIED]++;
		return 0;
	default:
		r->figures[FAILED]++;
		progress_clear();
		warnx("process %d: %s", pid, strerror(-error));
		return 0;
	}
}

/* 1 if there is enough to free in the process, 0 if not; or what ends the run. */
static int is_worth_it(struct reclaim *r, const struct process *p)
{
	bool named = !r->min_given && targets_name(&r->common.targets, p->pid);
	uint64_t min_empty = named ? 0 : r->min_empty;
	struct ptreclaim_tables tables = { 0 };
	int ret;

	if (!min_empty && !r->dry_run)
		return 1;
	if (p->vmpte >= min_empty) {
		ret = procs_audit(&r->common.procs, p, &cancel, &tables);
		/* To look takes more than to send: without it, VmPTE decides. */
		if (ret == -EACCES && !r->dry_run)
			return 1;
		if (ret)
			return count_error(r, p->pid, ret);
	}
	if (p->vmpte < min_empty || tables.empty_max < min_empty) {
		r->figures[SKIPPED]++;
		return 0;
	}
	if (r->dry_run) {
		r->figures[DONE]++;
		r->figures[BEFORE] += tables.vmpte;
		r->figures[EMPTY] += tables.empty_min;
		r->figures[EMPTY_MAX] += tables.empty_max;
	}
	return 1;
}

static void count_done(struct reclaim *r, const struct reclaimed *done)
{
	r->figures[DONE]++;
	if (done->execed) {
		r->figures[EXECED]++;
		return;
	}
	r->figures[BEFORE] += done->before;
	r->figures[AFTER] += done->after;
	if (done->before > done->after)
		r->figures[FREED] += done->before - done->after;
}

static int reclaim(struct reclaim *r, const struct process *p)
{
	struct reclaimed done;
	int ret = procs_reclaim(&r->common.procs, p, &cancel, &done);

	/* What was done until a signal came counts. */
	if (!ret || ret == -ECANCELED)
		count_done(r, &done);
	/* Memory that was unmapped meanwhile is no error. */
	if (!ret && done.result.first_error != -ENOMEM)
		ret = done.result.first_error;
	return ret ? count_error(r, p->pid, ret) : 0;
}

static int take(const struct process *p, void *arg)
{
	struct reclaim *r = arg;
	int ret = is_worth_it(r, p);

	if (ret > 0)
		ret = r->dry_run ? 0 : reclaim(r, p);
	progress_count_process();
	return ret;
}

static void print(const struct reclaim *r)
{
	static const enum figure real[] = {
		DONE, BEFORE, AFTER, FREED, SKIPPED, GONE, EXECED, DENIED, FAILED, INTERRUPTED,
	};
	static const enum figure dry[] = {
		DONE, BEFORE, EMPTY, EMPTY_MAX, SKIPPED, GONE, DENIED, FAILED, INTERRUPTED,
	};
	const enum figure *chosen = r->dry_run ? dry : real;
	unsigned int count = r->dry_run ? sizeof(dry) / sizeof(*dry) : sizeof(real) / sizeof(*real);
	const struct column *shown[FIGURES];
	struct table *t;
	unsigned int i;

	for (i = 0; i < count; i++)
		shown[i] = &columns[chosen[i]];
	t = table_new(r->dry_run ? "dry-run" : "reclaim", &r->common.style, shown, count);
	table_row(t);
	for (i = 0; i < count; i++)
		table_number(t, i, r->figures[chosen[i]]);
	table_end(t);
}

static int status_of(const struct reclaim *r)
{
	if (r->figures[INTERRUPTED])
		return EXIT_INTERRUPTED;
	if (r->common.targets.missing || r->figures[FAILED])
		return EXIT_FAILURE;
	if (r->figures[DENIED] && !r->figures[DONE])
		return EXIT_DENIED;
	return EXIT_SUCCESS;
}

static int run(struct reclaim *r)
{
	int ret;

	catch_signals();
	if (!r->quiet)
		progress_start();
	ret = targets_visit(&r->common.targets, &r->common.procs, &cancel, take, r);
	progress_end();
	if (ret == -ENOTSUP) {
		warnx("process_madvise() of this system does not take MADV_RECLAIM_PT");
		return EXIT_NO_ADVICE;
	}
	if (ret && ret != -ECANCELED) {
		errno = -ret;
		warn("processes");
		r->figures[FAILED]++;
	}
	r->figures[INTERRUPTED] = ret == -ECANCELED;
	r->figures[GONE] += r->common.targets.gone;
	if (!r->quiet)
		print(r);
	if (r->figures[DENIED])
		warnx("%" PRIu64 " processes left out: privileges are missing, see ptreclaim probe",
		      r->figures[DENIED]);
	return status_of(r);
}

static void print_help(void)
{
	puts("Usage: ptreclaim reclaim (--pid N | --cgroup PATH | --all) [OPTION...]\n\n"
	     "Free the empty page tables of processes. No memory is lost by it.\n\n"
	     TARGET_HELP
	     "  -a, --all              all processes\n"
	     "  -m, --min-empty SIZE   leave out processes with less in empty page tables\n"
	     "                         (256K; 0 for those named by --pid)\n"
	     "      --dry-run          only count what there is to free\n"
	     "  -q, --quiet            print nothing but errors\n"
	     "  -J, --json, -b, --bytes, -n, --noheadings\n"
	     "      --sysroot DIR      read DIR/proc and DIR/sys/fs/cgroup, for --dry-run\n\n"
	     "Sizes take K, M, G or T.");
}

enum { DRY_RUN = 256 };

static const struct option options[] = {
	COMMON_OPTIONS,
	{ "dry-run", no_argument, NULL, DRY_RUN },
	{ "min-empty", required_argument, NULL, 'm' },
	{ "quiet", no_argument, NULL, 'q' },
	{ 0 },
};

static void take_option(struct reclaim *r, int letter)
{
	switch (letter) {
	case 'm':
		size_option("reclaim", "--min-empty", optarg, &r->min_empty);
		r->min_given = true;
		break;
	case 'q':
		r->quiet = true;
		break;
	case DRY_RUN:
		r->dry_run = true;
		break;
	case 'h':
		print_help();
		exit(EXIT_SUCCESS);
	default:
		try_help("reclaim");
	}
}

static void check_arguments(const struct reclaim *r, const char *extra)
{
	if (extra)
		warnx("what is %s?", extra);
	else if (!targets_given(&r->common.targets))
		warnx("of which processes? Give --pid, --cgroup or --all");
	else if (r->common.sysroot && !r->dry_run)
		warnx("--sysroot: a captured tree can only be looked at, with --dry-run");
	else
		return;
	try_help("reclaim");
}

int cmd_reclaim(int argc, char **argv)
{
	struct reclaim r = { .min_empty = TRIFLE };
	enum ptreclaim_support why;
	int status;
	int letter;

	while ((letter = getopt_long(argc, argv, COMMON_LETTERS "m:q", options, NULL)) != -1)
		if (!common_option(&r.common, letter, "reclaim"))
			take_option(&r, letter);
	check_arguments(&r, argv[optind]);
	if (!r.dry_run && ptreclaim_probe(&why)) {
		warnx("%s", ptreclaim_support_text(why));
		return EXIT_NO_ADVICE;
	}
	common_open(&r.common);
	status = run(&r);
	common_close(&r.common);
	return status;
}
