// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"

#define TABLE		4096	/* bytes of a page table */

enum figure {
	PID,
	UID,
	PROCESSES,
	AUDITED,
	RSS,
	VMPTE,
	SUMS = PROCESSES,	/* from here on, figures of processes add up */
	IN_USE = VMPTE + 1,	/* and these need an audit */
	DEPOSITED,
	EMPTY,
	EMPTY_MAX,
	NOT_AUDITED,
	FIGURES,
};

enum text { USER, COMMAND, CGROUP, TEXTS };

static const struct column columns[] = {
	{ "PID", CELL_NUMBER, PID, "process" },
	{ "UID", CELL_NUMBER, UID, "its effective user, by number" },
	{ "USER", CELL_TEXT, USER, "by name" },
	{ "RSS", CELL_SIZE, RSS, "memory that it has" },
	{ "VMPTE", CELL_SIZE, VMPTE, "page tables of all kinds" },
	{ "INUSE", CELL_SIZE, IN_USE, "PTE tables that hold something" },
	{ "DEPOSITED", CELL_SIZE, DEPOSITED, "PTE tables kept for splitting huge pages" },
	{ "EMPTY", CELL_SIZE, EMPTY, "PTE tables that hold nothing, at least" },
	{ "EMPTY-MAX", CELL_SIZE, EMPTY_MAX, "the same, at most" },
	{ "PROCESSES", CELL_NUMBER, PROCESSES, "how many the row stands for" },
	{ "AUDITED", CELL_NUMBER, AUDITED, "how many of them were looked at" },
	{ "UNSEEN", CELL_SIZE, NOT_AUDITED, "VMPTE of those that were not" },
	{ "COMMAND", CELL_TEXT, COMMAND, "name of the process" },
	{ "CGROUP", CELL_TEXT, CGROUP, "its cgroup v2" },
};

#define COLUMNS	(sizeof(columns) / sizeof(*columns))

enum rows { BY_PROCESS, BY_CGROUP, TOTAL };

static const char *const default_columns[] = {
	[BY_PROCESS] = "PID,USER,RSS,VMPTE,INUSE,EMPTY,EMPTY-MAX,COMMAND",
	[BY_CGROUP] = "PROCESSES,AUDITED,VMPTE,UNSEEN,INUSE,EMPTY,EMPTY-MAX,CGROUP",
	[TOTAL] = "PROCESSES,AUDITED,RSS,VMPTE,UNSEEN,INUSE,DEPOSITED,EMPTY,EMPTY-MAX",
};

static const char *const list_names[] = {
	[BY_PROCESS] = "processes",
	[BY_CGROUP] = "cgroups",
	[TOTAL] = "total",
};

struct row {
	uint64_t figures[FIGURES];
	char *texts[TEXTS];
};

struct scan {
	struct common common;
	enum rows rows;
	const struct column *shown[COLUMNS];
	unsigned int shown_count;
	const struct column *sort;
	uint64_t threshold;
	uint64_t min_empty;
	struct row *list;
	size_t count;
	uint64_t audited;
	uint64_t denied;
};

static const struct column *find_column(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < COLUMNS; i++)
		if (strlen(columns[i].name) == length &&
		    !strncasecmp(columns[i].name, name, length))
			return &columns[i];
	warnx("there is no column %.*s", (int)length, name);
	try_help("scan");
}

static void show_columns(struct scan *s, const char *names)
{
	s->shown_count = 0;
	for (;;) {
		size_t length = strcspn(names, ",");

		if (s->shown_count == COLUMNS) {
			warnx("-o: more columns than there are");
			try_help("scan");
		}
		s->shown[s->shown_count++] = find_column(names, length);
		if (!names[length])
			return;
		names += length + 1;
	}
}

static void add(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

static char *copy(const char *text)
{
	char *copied = strdup(text);

	if (!copied)
		err(EXIT_FAILURE, "scan");
	return copied;
}

/* Names are the same for many, and looking one up may ask a server. */
static const char *user_name(const struct scan *s, uid_t uid)
{
	static char name[256];
	static uid_t last;
	const struct passwd *user;

	if (*name && last == uid)
		return name;
	/* A captured tree is of another machine, where a number may be somebody else's. */
	user = s->common.procs.captured ? NULL : getpwuid(uid);
	last = uid;
	if (user)
		snprintf(name, sizeof(name), "%s", user->pw_name);
	else
		snprintf(name, sizeof(name), "%u", uid);
	return name;
}

static struct row *new_row(struct scan *s)
{
	if (!(s->count & (s->count - 1))) {
		s->list = reallocarray(s->list, s->count ? 2 * s->count : 1, sizeof(*s->list));
		if (!s->list)
			err(EXIT_FAILURE, "scan");
	}
	s->list[s->count] = (struct row){ 0 };
	return &s->list[s->count++];
}

/* False if the process is gone. */
static bool audit(struct scan *s, const struct process *p, uint64_t *figures)
{
	struct ptreclaim_tables tables;
	int ret = procs_audit(&s->common.procs, p, NULL, &tables);

	switch (ret) {
	case 0:
		s->audited++;
		figures[AUDITED] = 1;
		figures[VMPTE] = tables.vmpte;
		figures[IN_USE] = tables.in_use * TABLE;
		figures[DEPOSITED] = tables.deposited * TABLE;
		figures[EMPTY] = tables.empty_min;
		figures[EMPTY_MAX] = tables.empty_max;
		return true;
	case -EACCES:
	case -EPERM:
		s->denied++;
		figures[NOT_AUDITED] = p->vmpte;
		return true;
	default:
		s->common.targets.gone++;
		return false;
	}
}

static void add_figures(struct row *row, const uint64_t *figures)
{
	int i;

	for (i = SUMS; i < FIGURES; i++)
		add(&row->figures[i], figures[i]);
}

static int take(const struct process *p, void *arg)
{
	struct scan *s = arg;
	uint64_t figures[FIGURES] = {
		[PID] = (uint64_t)p->pid,
		[UID] = p->uid,
		[PROCESSES] = 1,
		[RSS] = p->rss,
		[VMPTE] = p->vmpte,
	};
	/* One with less has less than that to give back, whatever an audit would find. */
	bool large = p->vmpte >= s->threshold || targets_name(&s->common.targets, p->pid);
	struct row *row;

	if (!large)
		figures[NOT_AUDITED] = p->vmpte;
	else if (!audit(s, p, figures))
		return 0;
	if (s->rows == BY_PROCESS && !large)
		return 0;
	if (s->rows == TOTAL && s->count) {
		add_figures(s->list, figures);
		return 0;
	}
	row = new_row(s);
	memcpy(row->figures, figures, sizeof(figures));
	row->texts[USER] = copy(s->rows == BY_PROCESS ? user_name(s, p->uid) : "");
	row->texts[COMMAND] = copy(p->comm);
	row->texts[CGROUP] = copy(p->cgroup);
	return 0;
}

static int by_cgroup(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	return strcmp(x->texts[CGROUP], y->texts[CGROUP]);
}

static void free_texts(const struct row *row)
{
	int i;

	for (i = 0; i < TEXTS; i++)
		free(row->texts[i]);
}

/* Rows of the same cgroup become one. */
static void join_cgroups(struct scan *s)
{
	size_t last = 0;
	size_t i;

	if (!s->count)
		return;
	qsort(s->list, s->count, sizeof(*s->list), by_cgroup);
	for (i = 1; i < s->count; i++) {
		if (by_cgroup(&s->list[last], &s->list[i]) != 0) {
			s->list[++last] = s->list[i];
			continue;
		}
		add_figures(&s->list[last], s->list[i].figures);
		free_texts(&s->list[i]);
	}
	s->count = last + 1;
}

static bool has_cell(const struct scan *s, const struct row *row, const struct column *c)
{
	if (c->kind == CELL_TEXT)
		return s->rows == BY_PROCESS || (s->rows == BY_CGROUP && c->source == CGROUP);
	switch (c->source) {
	case PID:
	case UID:
		return s->rows == BY_PROCESS;
	case IN_USE:
	case DEPOSITED:
	case EMPTY:
	case EMPTY_MAX:
		return row->figures[AUDITED];
	default:
		return true;
	}
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct row *x = a;
	const struct row *y = b;
	const struct scan *s = arg;
	int source = s->sort->source;

	if (s->sort->kind == CELL_TEXT)
		return strcmp(x->texts[source], y->texts[source]);
	/* Most first, but for pids. */
	if (x->figures[source] == y->figures[source])
		return 0;
	return (x->figures[source] < y->figures[source]) == (source != PID) ? 1 : -1;
}

static void print_row(const struct scan *s, struct table *t, const struct row *row)
{
	unsigned int i;

	table_row(t);
	for (i = 0; i < s->shown_count; i++) {
		const struct column *c = s->shown[i];

		if (!has_cell(s, row, c))
			continue;
		if (c->kind == CELL_TEXT)
			table_text(t, i, row->texts[c->source]);
		else
			table_number(t, i, row->figures[c->source]);
	}
}

static void print(struct scan *s)
{
	struct table *t;
	size_t i;

	t = table_new(list_names[s->rows], &s->common.style, s->shown, s->shown_count);

	if (s->count)
		qsort_r(s->list, s->count, sizeof(*s->list), compare, s);
	for (i = 0; i < s->count; i++)
		if (s->list[i].figures[EMPTY_MAX] >= s->min_empty)
			print_row(s, t, &s->list[i]);
	table_end(t);
}

static int run(struct scan *s)
{
	int ret = targets_visit(&s->common.targets, &s->common.procs, NULL, take, s);

	if (ret) {
		errno = -ret;
		err(EXIT_FAILURE, "scan");
	}
	if (s->rows == BY_CGROUP)
		join_cgroups(s);
	print(s);
	if (s->denied)
		warnx("%" PRIu64 " not audited: privileges are missing, see ptreclaim probe",
		      s->denied);
	if (s->common.targets.missing)
		return EXIT_FAILURE;
	return s->denied && !s->audited ? EXIT_DENIED : EXIT_SUCCESS;
}

static void print_help(void)
{
	size_t i;

	puts("Usage: ptreclaim scan [OPTION...]\n\n"
	     "List processes with their empty page tables. Sizes take K, M, G or T.\n\n"
	     TARGET_HELP
	     "  -a, --all              all processes (if none are named)\n"
	     "      --by-cgroup, --total   a row for each cgroup, or one for all\n"
	     "      --threshold SIZE   audit those whose VMPTE is that or more (256K)\n"
	     "  -m, --min-empty SIZE   list processes whose EMPTY-MAX is that or more\n"
	     "  -s, --sort COLUMN      order of the rows (EMPTY-MAX)\n"
	     "  -o, --output COLUMN,...\n"
	     "  -J, --json, -b, --bytes, -n, --noheadings\n"
	     "      --sysroot DIR      read DIR/proc and DIR/sys/fs/cgroup\n\nColumns:");
	for (i = 0; i < COLUMNS; i++)
		printf("  %-10s %s\n", columns[i].name, columns[i].help);
}

enum { THRESHOLD = 256, OPTION_BY_CGROUP, OPTION_TOTAL };

static const struct option options[] = {
	COMMON_OPTIONS,
	{ "by-cgroup", no_argument, NULL, OPTION_BY_CGROUP },
	{ "min-empty", required_argument, NULL, 'm' },
	{ "output", required_argument, NULL, 'o' },
	{ "sort", required_argument, NULL, 's' },
	{ "threshold", required_argument, NULL, THRESHOLD },
	{ "total", no_argument, NULL, OPTION_TOTAL },
	{ 0 },
};

static void take_option(struct scan *s, int letter, const char **output)
{
	switch (letter) {
	case 'm':
		size_option("scan", "--min-empty", optarg, &s->min_empty);
		break;
	case THRESHOLD:
		size_option("scan", "--threshold", optarg, &s->threshold);
		break;
	case OPTION_BY_CGROUP:
		s->rows = BY_CGROUP;
		break;
	case OPTION_TOTAL:
		s->rows = TOTAL;
		break;
	case 'o':
		*output = optarg;
		break;
	case 's':
		s->sort = find_column(optarg, strlen(optarg));
		break;
	case 'h':
		print_help();
		exit(EXIT_SUCCESS);
	default:
		try_help("scan");
	}
}

int cmd_scan(int argc, char **argv)
{
	struct scan s = { .threshold = TRIFLE };
	const char *output = NULL;
	int status;
	int letter;

	s.sort = find_column("EMPTY-MAX", 9);
	while ((letter = getopt_long(argc, argv, COMMON_LETTERS "m:o:s:", options, NULL)) != -1)
		if (!common_option(&s.common, letter, "scan"))
			take_option(&s, letter, &output);
	if (optind < argc) {
		warnx("what is %s?", argv[optind]);
		try_help("scan");
	}
	show_columns(&s, output ? output : default_columns[s.rows]);
	if (!targets_given(&s.common.targets))
		s.common.targets.all = true;
	common_open(&s.common);
	status = run(&s);
	common_close(&s.common);
	while (s.count)
		free_texts(&s.list[--s.count]);
	free(s.list);
	return status;
}
