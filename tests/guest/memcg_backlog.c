// SPDX-License-Identifier: GPL-2.0
/*
 * memcg_backlog [munmap|reclaim] [COUNT]: page tables that wait for an RCU grace
 * period are still charged. A small memcg frees them in a loop, and must not be
 * OOM-killed for what is on its way back. KTAP output; run as root.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT 26
#endif

#define ROOT		"/sys/fs/cgroup"
#define LIMIT		"67108864"
#define TABLE		(2UL << 20)	/* what one PTE table maps */
#define SIZE		(8UL << 30)	/* 4,096 tables and as many pages: half the limit */
#define MAX_LEFT	(8 << 20)	/* bytes charged when all has been freed */
#define DEFAULT_COUNT	30

#define KSFT_SKIP	4

/* Shared with the child: it may be killed at any point. */
struct progress {
	long done;
	long long freed_charge;	/* highest memory.current right after all was freed */
	int error;		/* errno of a call that failed */
};

static char group[128];
static struct progress *progress;

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

static bool has_advice(void)
{
	static char line[256];
	FILE *vmstat;
	bool found = false;

	if (madvise(NULL, 0, MADV_RECLAIM_PT))
		return false;
	vmstat = fopen("/proc/vmstat", "re");
	while (vmstat && !found && fgets(line, sizeof(line), vmstat))
		found = !strncmp(line, "pt_reclaim_freed ", 17);
	if (vmstat)
		fclose(vmstat);
	return found;
}

static void make_group(void)
{
	snprintf(group, sizeof(group), ROOT "/memcg_backlog.%d", getpid());
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
	char *base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(base != MAP_FAILED);
	need(!madvise(base, SIZE, MADV_NOHUGEPAGE));
	return base;
}

static void touch(volatile char *base)
{
	for (size_t at = 0; at < SIZE; at += TABLE)
		base[at] = 1;
}

static void note_charge(int current)
{
	char text[32] = "";
	long long charge;

	need(pread(current, text, sizeof(text) - 1, 0) > 0);
	charge = atoll(text);
	if (charge > progress->freed_charge)
		progress->freed_charge = charge;
}

static void child(bool reclaim, long count)
{
	int current = open_in_group("memory.current", O_RDONLY);
	char *base = NULL;

	need(current >= 0);
	need(!write_group("cgroup.procs", "0"));
	if (reclaim)
		base = map();
	while (progress->done < count) {
		if (!reclaim)
			base = map();
		touch(base);
		if (reclaim) {
			need(!madvise(base, SIZE, MADV_DONTNEED));
			need(!madvise(base, SIZE, MADV_RECLAIM_PT));
		} else {
			need(!munmap(base, SIZE));
		}
		note_charge(current);
		progress->done++;
	}
	_exit(0);
}

static int test(int number, bool passed, const char *name)
{
	printf("%sok %d %s\n", passed ? "" : "not ", number, name);
	return !passed;
}

int main(int argc, char **argv)
{
	bool reclaim = argc > 1 && !strcmp(argv[1], "reclaim");
	bool named = reclaim || (argc > 1 && !strcmp(argv[1], "munmap"));
	long count = argc > 1 + named ? atol(argv[1 + named]) : DEFAULT_COUNT;
	long long kills;
	int failed = 0;
	int status;
	pid_t pid;

	if (count <= 0 || argc > 2 + named)
		errx(2, "usage: memcg_backlog [munmap|reclaim] [COUNT]");
	puts("TAP version 13");
	if (geteuid())
		skip("not root");
	if (reclaim && !has_advice())
		skip("this kernel has no MADV_RECLAIM_PT");
	make_group();
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		err(1, "mmap");
	puts("1..3");
	fflush(stdout);

	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		child(reclaim, count);
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (WIFSIGNALED(status))
		printf("# the child ended by signal %d\n", WTERMSIG(status));
	else if (status)
		printf("# the child failed: %s\n", strerror(progress->error));
	kills = read_group("memory.events", "oom_kill");

	failed |= test(1, !status && progress->done == count,
		       reclaim ? "reclaim: the child survives all iterations"
			       : "munmap: the child survives all iterations");
	failed |= test(2, !kills,
		       reclaim ? "reclaim: no OOM kill" : "munmap: no OOM kill");
	failed |= test(3, progress->freed_charge <= MAX_LEFT,
		       reclaim ? "reclaim: what waits for a grace period is bounded"
			       : "munmap: what waits for a grace period is bounded");
	printf("# iterations %ld of %ld, memory.peak %lld kB, highest after freeing %lld kB\n",
	       progress->done, count, read_group("memory.peak", "") / 1024,
	       progress->freed_charge / 1024);
	printf("# memory.events: max %lld, oom %lld, oom_kill %lld\n",
	       read_group("memory.events", "max"), read_group("memory.events", "oom"), kills);
	fflush(stdout);
	remove_group();
	return failed;
}
