// SPDX-License-Identifier: GPL-2.0
/*
 * target tables N: maps N PTE tables with a page in each, and says "ready". Then for each
 * line that it reads: "empty" leaves a page in one table of ten, "check" says whether its
 * pages hold what was written; it answers in a line.
 * target churn N: forks N times children that touch a table and exit, 50 at a time.
 * target crowd N: N children that wait.
 * target exec: executes itself, again and again.
 *
 * All end when standard input does.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAN	(2UL << 20)	/* address space of a PTE table */
#define KEEP	10		/* one page of so many */
#define CROWD	50

static char *map_tables(size_t tables)
{
	char *map = mmap(NULL, (tables + 1) * SPAN, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i;

	if (map == MAP_FAILED)
		err(1, "mmap");
	map += SPAN - (size_t)map % SPAN;
	madvise(map, tables * SPAN, MADV_NOHUGEPAGE);
	for (i = 0; i < tables; i++)
		map[i * SPAN] = (char)(i / KEEP + 1);
	return map;
}

static void make_empty(char *map, size_t tables)
{
	size_t i;

	for (i = 0; i < tables; i++) {
		if (i % KEEP == 0)
			continue;
		map[i * SPAN] = 1;	/* where a table was reclaimed there is one again */
		if (madvise(map + i * SPAN, 4096, MADV_DONTNEED))
			err(1, "MADV_DONTNEED");
	}
}

static bool holds(const char *map, size_t tables)
{
	size_t i;

	for (i = 0; i < tables; i += KEEP)
		if (map[i * SPAN] != (char)(i / KEEP + 1))
			return false;
	return true;
}

static void obey(size_t tables)
{
	char *map = map_tables(tables);
	char line[16];

	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "empty\n"))
			make_empty(map, tables);
		puts(holds(map, tables) ? "holds" : "lost");
	}
}

static bool input_ended(int timeout)
{
	struct pollfd input = { .fd = STDIN_FILENO };

	return poll(&input, 1, timeout) > 0;
}

static void child_of(pid_t (*parent)(void))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (parent() == 1)
		_exit(1);
}

static void churn(long forks)
{
	long running = 0;

	puts("ready");
	for (; forks && !input_ended(0); forks--) {
		pid_t pid;

		if (running == CROWD)
			running -= waitpid(-1, NULL, 0) > 0;
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			child_of(getppid);
			map_tables(1);
			_exit(0);
		}
		running++;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void crowd(long count)
{
	while (count--) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid) {
			child_of(getppid);
			pause();
			_exit(0);
		}
	}
	puts("ready");
	input_ended(-1);
}

static void exec_again(const char *name)
{
	if (!getenv("AGAIN"))
		puts("ready");
	setenv("AGAIN", "1", 1);
	map_tables(100);
	if (!input_ended(0))
		execl("/proc/self/exe", name, "exec", NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long number = argc > 2 ? atol(argv[2]) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "tables") && number > 0)
		obey((size_t)number);
	else if (!strcmp(what, "churn"))
		churn(number);
	else if (!strcmp(what, "crowd"))
		crowd(number);
	else if (!strcmp(what, "exec"))
		exec_again(argv[0]);
	else
		errx(2, "see the source for what to say");
	return 0;
}
