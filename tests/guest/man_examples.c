// SPDX-License-Identifier: GPL-2.0
/*
 * man_examples [absent]: the programs of man/madvise-pt-reclaim.2, taken from the
 * page and built as they are, do what the page says. With "absent", on a kernel
 * that has no MADV_RECLAIM_PT: they say so and fail. KTAP output; run as root.
 */
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bench/procfs.h"
#include "ktap.h"

#define PAGE		4096UL
#define SLOT		(2UL << 20)	/* what one PTE table maps */
#define TABLE_KB	4LL

/* More than one call covers, and more mappings than one call takes. */
#define LONG_SLOTS	1600UL		/* 3.1 GiB in one mapping */
#define MAPPINGS	1500UL		/* of one page each, with a hole behind it */
#define OWN_TABLES	512LL		/* of reclaim_own: 1 GiB */

static char output[4096];

static char *map(void *address, size_t length)
{
	char *area = mmap(address, length, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			  (address ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	if (area == MAP_FAILED || madvise(area, length, MADV_NOHUGEPAGE))
		err(EXIT_FAILURE, "cannot map memory");
	return area;
}

/* Runs a program of ../man with its output in OUTPUT; the status as waitpid() has it. */
static int run(const char *name, const char *argument)
{
	char path[1024];
	size_t used = 0;
	int ends[2], status;
	ssize_t got;
	pid_t pid;

	got = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (got < 0 || pipe(ends))
		err(EXIT_FAILURE, "cannot find or start %s", name);
	path[got] = '\0';
	*strrchr(path, '/') = '\0';
	strncat(path, "/../man/", sizeof(path) - strlen(path) - 1);
	strncat(path, name, sizeof(path) - strlen(path) - 1);

	pid = fork();
	if (!pid) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		execl(path, name, argument, NULL);
		err(127, "%s", path);
	}
	close(ends[1]);
	while ((got = read(ends[0], output + used, sizeof(output) - 1 - used)) > 0)
		used += got;
	output[used] = '\0';
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(EXIT_FAILURE, "cannot run %s", name);
	for (char *line = strtok(strdupa(output), "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s: %s\n", name, line);
	return status;
}

static void own_tables(void)
{
	long long with = -1, without = -1;
	int status = run("reclaim_own", NULL);
	int found = sscanf(output, "VmPTE with empty tables: %lld kB VmPTE without them: %lld kB",
			   &with, &without);

	result(!status && found == 2, "reclaim_own runs and prints two sizes");
	result(with - without >= OWN_TABLES * TABLE_KB, "reclaim_own frees all of its tables");
}

/* Has empty tables and a page of data, and says so; then lives on as long as its parent. */
static void be_target(int ready)
{
	char *area = map(NULL, LONG_SLOTS * SLOT);
	char *small = mmap(NULL, MAPPINGS * SLOT, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (small == MAP_FAILED || munmap(small, MAPPINGS * SLOT))
		err(EXIT_FAILURE, "cannot find room");
	for (size_t i = 0; i < LONG_SLOTS; i++) {
		area[i * SLOT] = 1;
		madvise(area + i * SLOT, PAGE, MADV_DONTNEED);
	}
	for (size_t i = 0; i < MAPPINGS; i++) {
		map(small + i * SLOT, PAGE)[0] = 1;
		madvise(small + i * SLOT, PAGE, MADV_DONTNEED);
	}
	memset(area, 0x5a, PAGE);
	if (write(ready, &area, sizeof(area)) != sizeof(area))
		err(EXIT_FAILURE, "write");
	while (true)
		pause();
}

/* Its page, read from outside: the target sleeps. */
static bool page_is_there(pid_t pid, char *area)
{
	char path[64], page[PAGE], want[PAGE];
	FILE *file;
	bool there;

	memset(want, 0x5a, PAGE);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	file = fopen(path, "re");
	there = file && !fseeko(file, (off_t)area, SEEK_SET) &&
		fread(page, PAGE, 1, file) == 1 && !memcmp(page, want, PAGE);
	if (file)
		fclose(file);
	return there;
}

static void others_tables(void)
{
	long long before, after;
	char number[16], *area;
	int ends[2], status;
	pid_t pid;

	if (pipe(ends))
		err(EXIT_FAILURE, "pipe");
	fflush(stdout);
	pid = fork();
	if (!pid)
		be_target(ends[1]);
	close(ends[1]);
	if (pid < 0 || read(ends[0], &area, sizeof(area)) != sizeof(area))
		errx(EXIT_FAILURE, "the target did not start");

	before = procfs_kb(pid, "status", "VmPTE");
	snprintf(number, sizeof(number), "%d", pid);
	status = run("reclaim_pid", number);
	after = procfs_kb(pid, "status", "VmPTE");
	printf("# VmPTE of the target: %lld kB, then %lld kB\n", before, after);
	result(!status && !*output, "reclaim_pid runs and says nothing");
	/* The page of data keeps one table. */
	result(before - after >= (long long)(LONG_SLOTS + MAPPINGS - 1) * TABLE_KB,
	       "reclaim_pid frees the tables of more mappings than fit into a call");
	result(page_is_there(pid, area), "and its data is still there");

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	status = run("reclaim_pid", number);
	result(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE &&
	       strstr(output, "pidfd_open"), "reclaim_pid of a process that is gone fails");
}

static void absent(const char *name, const char *argument)
{
	int status = run(name, argument);

	result(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE &&
	       strstr(output, "this kernel has no MADV_RECLAIM_PT"),
	       "%s says that the advice is absent, and fails", name);
}

int main(int argc, char *argv[])
{
	bool is_absent = argc == 2 && !strcmp(argv[1], "absent");

	if (argc > 1 && !is_absent)
		errx(EXIT_FAILURE, "usage: man_examples [absent]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%d\n", is_absent ? 2 : 6);
	if (is_absent) {
		absent("reclaim_own", NULL);
		absent("reclaim_pid", "1");
	} else {
		own_tables();
		others_tables();
	}
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
