// SPDX-License-Identifier: GPL-2.0
/*
 * A process of some TiB is one call of the library, so the line comes from a signal handler:
 * nothing but system calls in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <proc.h>

#include "progress.h"

#define INTERVAL_US	200000

static bool running;
static int vmstat;
static uint64_t freed_before;
static volatile sig_atomic_t processes;

static uint64_t read_freed(void)
{
	uint64_t freed = 0;

	lseek(vmstat, 0, SEEK_SET);
	ptreclaim_proc_row(vmstat, "pt_reclaim_freed ", &freed);
	return freed;
}

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static char *put_number(char *to, uint64_t number)
{
	uint64_t unit = 1;

	while (number / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		*to++ = (char)('0' + number / unit % 10);
	return to;
}

static void show(int number)
{
	int saved = errno;
	uint64_t freed = read_freed();
	char line[128];
	char *end = line;

	(void)number;
	end = put_text(end, "\r");
	end = put_number(end, (uint64_t)processes);
	end = put_text(end, " processes done, ");
	end = put_number(end, freed > freed_before ? freed - freed_before : 0);
	end = put_text(end, " tables freed\033[K");
	/* A terminal that is gone is no reason to end. */
	if (write(STDERR_FILENO, line, (size_t)(end - line)) < 0)
		running = false;
	errno = saved;
}

static void set_timer(int us)
{
	struct itimerval timer = { { 0, us }, { 0, us } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

void progress_start(void)
{
	struct sigaction action = { .sa_handler = show, .sa_flags = SA_RESTART };

	if (!isatty(STDERR_FILENO))
		return;
	vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	if (vmstat < 0)
		return;
	freed_before = read_freed();
	running = true;
	sigaction(SIGALRM, &action, NULL);
	set_timer(INTERVAL_US);
}

void progress_count_process(void)
{
	processes = processes + 1;
}

void progress_clear(void)
{
	static const char clear[] = "\r\033[K";

	if (running && write(STDERR_FILENO, clear, sizeof(clear) - 1) < 0)
		running = false;
}

void progress_end(void)
{
	if (!running)
		return;
	set_timer(0);
	signal(SIGALRM, SIG_IGN);
	progress_clear();
	running = false;
	close(vmstat);
}
