// SPDX-License-Identifier: GPL-2.0
/*
 * table_backlog [guest [tables]] [munmap|reclaim|dontneed] [COUNT [TASKS]]: page tables
 * that wait for an RCU grace period are memory in use. A task, or TASKS of them, whose
 * tables and pages take half of a small memcg, or of the whole guest, frees them
 * COUNT times, and must not be OOM-killed for what is on its way back. With "tables",
 * that they have no pages, and take five eighths.
 * table_backlog lower [COUNT]: nor if the limit of the memcg is lowered meanwhile.
 * table_backlog large [TABLES]: while a single munmap frees so many, which takes several grace
 * periods, those before are on their way back.
 * KTAP output; run as root.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bench/procfs.h"

#define ROOT		"/sys/fs/cgroup"
#define LIMIT_KB	65536L
#define LIMIT		"67108864"
#define PAGE_KB		4L
#define TABLE		(2UL << 20)	/* what one PTE table maps */
/*
 * Of the limit may be left when all has been freed: the share that a task may free in a grace
 * period, a 16th, for the current one, for the one before, whose later tables wait for the end of
 * this one, and for callbacks that are late.
 */
#define LEFT_LIMIT(limit)	((limit) / 16 * 3)
#define DEFAULT_COUNT	30
#define MAX_TASKS	64
#define MAX_VAIN	40		/* times COUNT */
#define LARGE		1000000L	/* tables that one munmap frees */
/* May wait at a time: all that is freed does, where no grace period ends meanwhile. */
#define LARGE_LIMIT(size)	((size) / 4 * 3)
#define UNNOTICED_KB	3072L		/* of tables may wait, and their owner does not: limit / 16 */

#define KSFT_SKIP	4

/* Shared with the children: they may be killed at any point. */
struct progress {
	long done;
	long most_used;		/* kB, right after all was touched */
	long most_left;		/* kB, right after all was freed */
	int error;		/* errno of a call that failed */
};

static char group[128];
static struct progress *all_progress, *progress;
static bool whole_guest, tables_only, alone;
static enum mode { MUNMAP, RECLAIM, DONTNEED, LOWER, LARGE_MUNMAP } mode;
static const char * const modes[] = { "munmap", "reclaim", "dontneed", "lower", "large" };
static long limit, start;	/* kB */
static size_t size;		/* that each task maps */

static int open_in_group(const char *file, int flags)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return open(path, flags | O_CLOEXEC);
}

static int write_group(const char *file, const char *value)
{
	int fd = open_in_group(file, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* The number of a "KEY N" row, or of the whole file where KEY is ""; -1 where there is none. */
static long long read_group(const char *file, const char *key)
{
	static char text[16384];
	size_t len = strlen(key);
	char *line = text;
	ssize_t n;
	int fd;

	fd = open_in_group(file, O_RDONLY);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	while (line) {
		if (!strncmp(line, key, len) && (!len || line[len] == ' '))
			return atoll(line + len);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return -1;
}

static void remove_group(void)
{
	if (*group && rmdir(group))
		warn("rmdir %s", group);
}

static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	fflush(stdout);
	remove_group();
	exit(KSFT_SKIP);
}

static void make_group(void)
{
	snprintf(group, sizeof(group), ROOT "/table_backlog.%d", getpid());
	if (mkdir(group, 0755)) {
		*group = '\0';
		skip("cannot make a cgroup below " ROOT);
	}
	if (write_group("memory.max", LIMIT))
		skip("no cgroup v2 memory controller");
	if (write_group("memory.swap.max", "0") && errno != ENOENT)
		skip("cannot set memory.swap.max");
}

/* In the child: no way but the shared page to say what went wrong. */
static void need(bool good)
{
	if (!good) {
		progress->error = errno ? errno : EIO;
		_exit(1);
	}
}

static char *map(void)
{
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(base != MAP_FAILED);
	need(!madvise(base, size, MADV_NOHUGEPAGE));
	return base;
}

/* Reading maps the zero page. */
static void touch(volatile char *base)
{
	for (size_t at = 0; at < size; at += TABLE) {
		if (tables_only)
			(void)base[at];
		else
			base[at] = 1;
	}
}

/* Of a memcg what it is charged for: its pagetables row may be late. */
static long used_now(void)
{
	if (whole_guest)
		return procfs_kb(getpid(), "../meminfo", "PageTables") - start;
	return read_group("memory.current", "") / 1024;
}

static void note(long *most)
{
	long used = used_now();

	if (used > *most)
		*most = used;
}

/* In single pages: a MADV_DONTNEED of 2 MiB frees the table already. */
static void zap(char *base)
{
	for (size_t at = 0; at < size; at += TABLE)
		need(!madvise(base + at, PAGE_KB * 1024, MADV_DONTNEED));
}

static void free_tables(char *base)
{
	switch (mode) {
	case MUNMAP:
	case LOWER:
	case LARGE_MUNMAP:
		need(!munmap(base, size));
		break;
	case RECLAIM:
		zap(base);
		need(!madvise(base, size, MADV_RECLAIM_PT));
		break;
	case DONTNEED:
		need(!madvise(base, size, MADV_DONTNEED));
	}
}

/* To what is used without half of the tables that have just been freed, if so many still wait. */
static bool lower_limit(long before)
{
	long lower = used_now() - UNNOTICED_KB / 2;
	char value[32];

	if (lower < before)
		return false;
	snprintf(value, sizeof(value), "%ldK", lower);
	need(!write_group("memory.max", value));
	need(!write_group("memory.max", LIMIT));
	return true;
}

/*
 * Where it is now. What is freed on one CPU is told by that CPU's callbacks to be free; those of
 * another one, from which it was moved meanwhile, may be late by a tick.
 */
static void stay_on_cpu(bool stay)
{
	static cpu_set_t all;
	cpu_set_t one;

	if (!CPU_COUNT(&all))
		need(!sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	need(!sched_setaffinity(0, sizeof(one), stay ? &one : &all));
}

static void child(long count)
{
	bool keep = mode == RECLAIM || mode == DONTNEED;
	char *base = NULL;
	long before, vain = 0;

	if (!whole_guest)
		need(!write_group("cgroup.procs", "0"));
	before = used_now();
	while (progress->done < count) {
		if (!base || !keep)
			base = map();
		touch(base);
		note(&progress->most_used);
		if (alone)
			stay_on_cpu(true);
		free_tables(base);
		note(&progress->most_left);
		if (alone)
			stay_on_cpu(false);
		if (mode != LOWER || lower_limit(before)) {
			progress->done++;
		} else {
			errno = ETIMEDOUT;	/* grace periods end too fast to lower it in one */
			need(++vain < MAX_VAIN * count);
		}
	}
	_exit(0);
}

/* Whether it did all it should. */
static bool wait_for(pid_t pid, const struct progress *done, long count)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (WIFSIGNALED(status))
		printf("# a child ended by signal %d after %ld of %ld iterations\n",
		       WTERMSIG(status), done->done, count);
	else if (status)
		printf("# a child failed: %s\n", strerror(done->error));
	return !status && done->done == count;
}

static long run(long count, int tasks)
{
	pid_t pids[MAX_TASKS];
	long good = 0;

	for (int i = 0; i < tasks; i++) {
		progress = &all_progress[i];
		pids[i] = fork();
		if (pids[i] < 0)
			err(1, "fork");
		if (!pids[i])
			child(count);
	}
	for (int i = 0; i < tasks; i++)
		good += wait_for(pids[i], &all_progress[i], count);
	return good;
}

static long oom_kills(void)
{
	return whole_guest ? procfs_vmstat("oom_kill") : read_group("memory.events", "oom_kill");
}

static void set_limit(int tasks)
{
	if (whole_guest) {
		start = procfs_kb(getpid(), "../meminfo", "PageTables");
		limit = procfs_kb(getpid(), "../meminfo", "MemAvailable");
		if (start < 0 || limit < 0)
			err(1, "/proc/meminfo");
	} else {
		make_group();
		limit = LIMIT_KB;
	}
	if (mode == LOWER)
		size = UNNOTICED_KB / PAGE_KB * TABLE;
	else if (tables_only)
		size = limit / 8 * 5 / PAGE_KB / tasks * TABLE;
	else
		size = limit / 2 / (2 * PAGE_KB) / tasks * TABLE;
}

static int failed;

static void test(bool passed, const char *name)
{
	static int number;

	printf("%sok %d %s: %s\n", passed ? "" : "not ", ++number,
	       modes[mode], name);
	failed |= !passed;
}

/* With one task only: with more of them, the others have not freed theirs. */
static void report(long count, int tasks, long good, long kills)
{
	long most_used = 0, most_left = 0;

	for (int i = 0; i < tasks; i++) {
		if (all_progress[i].most_used > most_used)
			most_used = all_progress[i].most_used;
		if (all_progress[i].most_left > most_left)
			most_left = all_progress[i].most_left;
	}
	test(good == tasks, "all tasks survive all iterations");
	test(!kills, "no OOM kill");
	if (tasks == 1)
		test(most_left <= LEFT_LIMIT(limit), "what waits for a grace period is bounded");
	printf("# %d tasks, %ld iterations, %lu MiB mapped by each, limit %ld kB\n", tasks, count,
	       size >> 20, limit);
	printf("# %s: highest after touching %ld kB, after freeing %ld kB", whole_guest ?
	       "PageTables" : "memory.current", most_used, most_left);
	if (tasks == 1)
		printf(", bound %ld kB\n", LEFT_LIMIT(limit));
	else
		puts(", with the tables of other tasks");
	if (!whole_guest)
		printf("# memory.peak %lld kB; memory.events: max %lld, oom %lld, oom_kill %ld\n",
		       read_group("memory.peak", "") / 1024, read_group("memory.events", "max"),
		       read_group("memory.events", "oom"), kills);
}

static void unmap_large(void)
{
	char *base = map();

	touch(base);
	note(&progress->most_used);
	free_tables(base);
	_exit(0);
}

/* What is neither in use by the child nor free yet, looked at all the time. */
static int test_large(long count)
{
	long tables, waiting, most = 0;
	int status;
	pid_t pid;

	size = count * TABLE;
	progress = all_progress;
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		unmap_large();
	while (!waitpid(pid, &status, WNOHANG)) {
		tables = procfs_kb(pid, "status", "VmPTE");
		waiting = used_now() - tables;
		if (tables >= 0 && waiting > most)
			most = waiting;
	}
	test(!status && progress->most_used >= count * PAGE_KB, "all tables are there, and unmapped");
	test(most <= LARGE_LIMIT(count * PAGE_KB), "what waits for a grace period is bounded");
	printf("# highest %ld kB, waiting at a time %ld kB\n", progress->most_used, most);
	fflush(stdout);
	return failed;
}

/* True, and the next argument, if this one is the word. */
static bool take_word(char ***argument, const char *word)
{
	if (!**argument || strcmp(**argument, word))
		return false;
	++*argument;
	return true;
}

static long take_number(char ***argument, long otherwise)
{
	return **argument ? atol(*(*argument)++) : otherwise;
}

int main(int argc, char **argv)
{
	char **argument = argv + (argc > 0);
	long count, good, kills;
	int tasks;

	whole_guest = take_word(&argument, "guest");
	tables_only = whole_guest && take_word(&argument, "tables");
	while (mode <= LARGE_MUNMAP && !take_word(&argument, modes[mode]))
		mode++;
	if (mode > LARGE_MUNMAP)
		mode = MUNMAP;
	if (mode == LARGE_MUNMAP)
		whole_guest = tables_only = true;
	count = take_number(&argument, mode == LARGE_MUNMAP ? LARGE : DEFAULT_COUNT);
	tasks = take_number(&argument, 1);
	if (*argument || count <= 0 || tasks <= 0 || tasks > MAX_TASKS ||
	    (mode == LOWER && (whole_guest || tasks > 1)))
		errx(2, "usage: table_backlog [guest [tables]] [munmap|reclaim|dontneed] [COUNT [TASKS]] | lower [COUNT] | large [TABLES]");

	puts("TAP version 13");
	if (geteuid())
		skip("not root");
	if (mode == RECLAIM && !reclaim_pt_supported())
		skip("this kernel has no MADV_RECLAIM_PT");
	alone = tasks == 1;
	set_limit(tasks);
	all_progress = mmap(NULL, MAX_TASKS * sizeof(*progress), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all_progress == MAP_FAILED)
		err(1, "mmap");
	printf("1..%d\n", mode == LARGE_MUNMAP ? 2 : tasks == 1 ? 3 : 2);
	fflush(stdout);
	if (mode == LARGE_MUNMAP)
		return test_large(count);

	kills = oom_kills();
	good = run(count, tasks);
	report(count, tasks, good, oom_kills() - kills);
	fflush(stdout);
	remove_group();
	return failed;
}
