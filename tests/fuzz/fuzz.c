// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz [--calls N] [--seed N] [--wrong RULE] [--verbose]: random calls of
 * MADV_RECLAIM_PT and MADV_DONTNEED on random mappings against a model of their
 * contract, which predicts the return value, VmPTE, page table entries and contents.
 * KTAP output; run as root in a guest, whose settings it changes.
 *
 * A second test asks whether the calls met all that the contract distinguishes,
 * and the others give the model one wrong rule each and expect a difference.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bench/procfs.h"
#include "fuzz.h"

#define DEFAULT_CALLS	20000
#define DEFAULT_SEED	4
#define WRONG_CALLS	20000	/* in which a wrong rule must be noticed */
#define ENOUGH_CALLS	20000	/* from which on all has to be met */
#define CHECK_ALL	64	/* calls between checks of the whole arena */
#define START_OVER	2000
#define LOG_LINES	40
#define LOG_WIDTH	160
#define KSFT_SKIP	4

bool verbose;

static uint64_t random_state;
static char log_lines[LOG_LINES][LOG_WIDTH];
static unsigned long logged;
static unsigned long seed = DEFAULT_SEED, step;
static struct progress *progress;

/* xorshift64*: the same sequence from the same seed, everywhere. */
unsigned long rnd(unsigned long n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 16) % n;
}

bool chance(unsigned int percent)
{
	return rnd(100) < percent;
}

void note(const char *format, ...)
{
	char *line = log_lines[logged++ % LOG_LINES];
	va_list list;

	va_start(list, format);
	vsnprintf(line, LOG_WIDTH, format, list);
	va_end(list);
	if (verbose)
		printf("# %lu: %s\n", step, line);
}

static void print_log(void)
{
	printf("# seed %lu, call %lu; the last operations:\n", seed, step);
	for (unsigned long i = logged > LOG_LINES ? logged - LOG_LINES : 0; i < logged; i++)
		printf("#   %s\n", log_lines[i % LOG_LINES]);
}

void differ(const char *format, ...)
{
	va_list list;

	print_log();
	printf("# difference: ");
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("\n");
	fflush(stdout);
	_exit(DIFFERED);
}

void need(bool good, const char *what)
{
	if (good)
		return;
	print_log();
	printf("# failed: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(BROKEN);
}

/*
 * On one CPU, with io_uring's workers alone on others, it takes half the time: there
 * are fewer TLB flushes to wait for. So on all CPUs in one part of four only.
 */
static void choose_cpus(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	for (int i = 1; i < CPU_SETSIZE && step / START_OVER % 4 == 1; i++)
		CPU_SET(i, &set);
	need(!sched_setaffinity(0, sizeof(set), &set) &&
	     !sched_setaffinity(helper, sizeof(set), &set), "sched_setaffinity");
}

static void __attribute__((noreturn)) fuzz(unsigned long calls)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_state = (seed + 1) * 0x9e3779b97f4a7c15ULL;
	open_sources();
	start_helper();
	open_ring();
	open_vvar();
	open_checks();
	settle_own_tables();
	choose_cpus();
	start_over();
	for (step = 1; step <= calls; step++) {
		progress->calls = step;
		for (unsigned int n = 1 + rnd(3); n; n--)
			change();
		call();
		if (step % CHECK_ALL == 0 || step == calls) {
			check_all();
			check_vmstat();
		}
		if (step % START_OVER == 0 || step == calls) {
			sweep();
			choose_cpus();
			start_over();
		}
	}
	memcpy(progress->met, met, sizeof(met));
	fflush(stdout);
	_exit(AGREED);
}

/* In a process of its own, whose page tables are nobody else's. */
static enum exit_status run(enum wrong rule, unsigned long calls)
{
	pid_t pid;
	int status;

	memset(progress, 0, sizeof(*progress));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		wrong = rule;
		if (rule && !verbose && !freopen("/dev/null", "w", stdout))
			_exit(BROKEN);
		fuzz(calls);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	printf("# seed %lu, call %lu: killed by signal %d\n", seed, progress->calls,
	       WTERMSIG(status));
	return BROKEN;
}

static int number;

static int test(bool passed, const char *what, const char *which)
{
	printf("%sok %d %s%s\n", passed ? "" : "not ", ++number, what, which);
	fflush(stdout);
	return !passed;
}

static bool all_met(unsigned long calls)
{
	int n = dontneed_is_ours ? METS : DONTNEED_FREED;
	bool all = true;

	for (int i = 0; i < n; i++) {
		printf("# met: %s: %lu\n", met_names[i], progress->met[i]);
		all &= progress->met[i] > 0;
	}
	return all || calls < ENOUGH_CALLS;
}

static int test_all(unsigned long calls)
{
	int wrongs = dontneed_is_ours ? WRONGS : DONTNEED_FREES_NONE;
	enum exit_status status;
	int failed;

	printf("1..%d\n", 2 + wrongs - 1);
	printf("# seed %lu, %lu calls\n", seed, calls);
	status = run(RIGHT, calls);
	failed = test(status == AGREED, "the kernel does what the model says", "");
	failed |= test(status == AGREED && all_met(calls), "all that there is was met",
		       calls < ENOUGH_CALLS ? " # SKIP too few calls for that" : "");
	for (int i = RIGHT + 1; i < wrongs; i++) {
		status = run(i, WRONG_CALLS);
		printf("# after %lu calls\n", progress->calls);
		failed |= test(status == DIFFERED, "a model that is wrong is found out: ",
			       wrong_names[i]);
	}
	return failed;
}

static enum wrong wrong_by_name(const char *name)
{
	for (int i = 0; i < WRONGS; i++)
		if (!strcmp(name, wrong_names[i]))
			return i;
	errx(2, "no such rule: %s", name);
}

/* The last page of what page tables of five or of four levels map is never used. */
static uintptr_t end_of_addresses(void)
{
	void *high = (void *)(1UL << 47);
	void *at = mmap(high, PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == MAP_FAILED)
		return (1UL << 47) - PAGE;
	munmap(at, PAGE);
	return (1UL << 56) - PAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "calls", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "wrong", required_argument, NULL, 'w' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 },
	};
	unsigned long calls = DEFAULT_CALLS;
	enum wrong rule = RIGHT;
	bool one = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			calls = strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoul(optarg, NULL, 0);
		else if (c == 'w')
			one = true, rule = wrong_by_name(optarg);
		else if (c == 'v')
			verbose = true;
		else
			return 2;
	}
	puts("TAP version 13");
	if (geteuid() || !reclaim_pt_supported()) {
		puts("1..0 # SKIP needs root and a kernel with MADV_RECLAIM_PT");
		return KSFT_SKIP;
	}
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		err(1, "mmap");
	task_end = end_of_addresses();
	dontneed_is_ours = dontneed_frees_shared_table();
	prepare_machine();
	if (!one)
		return test_all(calls);
	verbose |= rule;
	puts("1..1");
	return test(run(rule, calls) == AGREED, "a model with the rule ", wrong_names[rule]);
}
