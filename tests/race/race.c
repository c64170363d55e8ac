// SPDX-License-Identifier: GPL-2.0
/*
 * race [OPTION...] [TEST...]: the race matrix, see race.h. KTAP output; run as root.
 *
 * A TEST is the names of one or more actors with + between them, and may end with
 * the kind of memory: fork+uffd-copy/shmem. Without one: every actor alone on every
 * kind of memory it works on (--solo; --slice: on one kind each), then the pairs
 * (--pairs).
 *
 * A test goes on until each of its actors did its share of rounds, each did at
 * least once what it is for, and tables were freed meanwhile. It fails if an actor
 * says so, if its process dies, or if all that has not come about after GIVE_UP
 * times the share: what was not raced against proves nothing. With --reclaim none
 * nobody gives tables back and none need be freed: for kernels that cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "race.h"

#define MAX_ACTORS	4
#define MAX_TESTS	512
#define GIVE_UP		40	/* times an actor's share of rounds */
#define FREED		4	/* tables to be freed for each unit of work */

/* Two actors that meet in one table, and why they are worth it. */
static const char *const pairs[] = {
#include "pairs.h"
};

const char *const memory_names[NR_MEMORY] = { "anon", "shmem", "file" };
const char *const disk = "/tmp/disk";
bool scarce, only_dontneed, without_advice;

static const struct actor *const groups[] = {
	fault_actors, madvise_actors, mapping_actors, process_actors, uffd_actors,
	gup_actors, thp_actors, reclaim_actors, look_actors,
};

struct test {
	const struct actor *actors[MAX_ACTORS];
	int nr_actors;
	enum memory memory;
	char name[128];
	unsigned long runs, failures, skips, freed;
	char why[512];
};

/* What the process of a test tells the one that prints. */
struct outcome {
	bool done, skipped;
	unsigned long freed, failed;
	char counts[512];
	char why[512];
};

/* Shared with the remote reclaimer. */
struct control {
	atomic_bool stop;
	atomic_ulong calls;
};

static struct {
	unsigned long units;
	unsigned long minutes;
	unsigned long fail;	/* per cent of allocations */
	bool nowait;		/* of those that may not wait */
	bool self, remote, none;
	bool solo, slice, pairs, list;
} options = { .units = 1, .self = true };

static struct test tests[MAX_TESTS];
static int nr_tests;
static struct control *control;
static struct outcome *outcome;

static const struct actor *find_actor(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const struct actor *actor = groups[i]; actor->name; actor++)
			if (strlen(actor->name) == length && !strncmp(actor->name, name, length))
				return actor;
	return NULL;
}

/* Nobody can send MADV_DONTNEED to another process in the place of the advice. */
static bool can_run(const struct actor *actor)
{
	return !(without_advice && actor->advises);
}

static void __attribute__((noreturn)) die(const char *what, const char *detail)
{
	fprintf(stderr, "race: %s %s\n", what, detail);
	exit(2);
}

static void add_test(const char *names, enum memory memory)
{
	struct test *test = &tests[nr_tests++];
	bool owner = false;

	if (nr_tests > MAX_TESTS)
		die("too many tests:", "raise MAX_TESTS");
	test->memory = memory;
	for (const char *name = names; ; name += strcspn(name, "+/") + 1) {
		const struct actor *actor = find_actor(name, strcspn(name, "+/"));

		if (!actor)
			die("no such actor, see race --list:", name);
		if (!can_run(actor))
			die("sends the advice, and cannot run with --reclaim dontneed or none:", name);
		if (test->nr_actors == MAX_ACTORS - 1)
			die("too many actors:", names);
		test->actors[test->nr_actors++] = actor;
		owner |= actor->owner;
		if (name[strcspn(name, "+/")] != '+')
			break;
	}
	/* Somebody to disturb. */
	if (!owner)
		test->actors[test->nr_actors++] = find_actor("touch", 5);
	snprintf(test->name, sizeof(test->name), "%.*s/%s", (int)strcspn(names, "/"), names,
		 memory_names[memory]);
}

static unsigned int memories_of(const char *names)
{
	unsigned int memories = ON_ALL;
	const char *kind = strchr(names, '/');

	for (const char *name = names; ; name += strcspn(name, "+/") + 1) {
		const struct actor *actor = find_actor(name, strcspn(name, "+/"));

		if (!actor)
			die("no such actor, see race --list:", name);
		memories &= actor->memory;
		if (name[strcspn(name, "+/")] != '+')
			break;
	}
	for (int i = 0; kind && i < NR_MEMORY; i++)
		if (strcmp(kind + 1, memory_names[i]))
			memories &= ~(1U << i);
	if (!memories)
		die("no kind of memory (anon, shmem, file) on which all of it works:", names);
	return memories;
}

/* On every kind of memory that suits, or on the @nth of those only. */
static void add_tests(const char *names, bool every, int nth)
{
	unsigned int memories = memories_of(names);

	nth %= __builtin_popcount(memories);
	for (int i = 0; i < NR_MEMORY; i++)
		if (memories & 1U << i && (every || !nth--))
			add_test(names, i);
}

static void choose_tests(int argc, char **argv)
{
	bool all = !options.solo && !options.pairs && !options.slice && !scarce;
	int nth = 0;

	for (int i = 0; i < argc; i++)
		add_tests(argv[i], true, 0);
	if (argc)
		return;
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const struct actor *actor = groups[i]; actor->name; actor++)
			if (can_run(actor) &&
			    (all || options.solo || options.slice || (scarce && actor->scarce)))
				add_tests(actor->name, !options.slice, nth++);
	for (size_t i = 0; (all || options.pairs) && i < sizeof(pairs) / sizeof(*pairs); i++)
		add_tests(pairs[i], false, 0);
}

static unsigned long tables_freed(void)
{
	return read_row("/proc/vmstat", "pt_reclaim_freed");
}

/* ---- the machine ---- */

static void run_tool(const char *tool, const char *device)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execlp(tool, tool, device, NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("cannot run, install e2fsprogs and util-linux:", tool);
}

/* A new disk of compressed memory, and its number. */
static int new_zram(const char *size)
{
	char path[64];
	int number = -1;
	FILE *file = fopen("/sys/class/zram-control/hot_add", "r");

	if (!file || fscanf(file, "%d", &number) != 1)
		die("no zram in this kernel:", "/sys/class/zram-control/hot_add");
	fclose(file);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", number);
	if (!write_to(path, "%s", size))
		die("cannot set", path);
	return number;
}

#define FAILURES	"/sys/kernel/debug/"

/* The kernel counts down from here. */
#define MAX_FAILURES	1000000000UL

static void set_failures(const char *kind, const char *setting, unsigned long value)
{
	char path[96];

	snprintf(path, sizeof(path), FAILURES "%s/%s", kind, setting);
	if (!write_to(path, "%lu", value))
		die("no fault injection in this kernel:", path);
}

/*
 * Of threads that ask for it, and also where the allocation might wait, unless options say
 * otherwise. Of slab objects fewer: a fork() takes many before it comes to page tables.
 */
static void let_allocations_fail(void)
{
	static const char *const kinds[] = { "fail_page_alloc", "failslab" };

	for (int i = 0; i < 2; i++) {
		set_failures(kinds[i], "task-filter", 1);
		set_failures(kinds[i], "ignore-gfp-wait", options.nowait);
		set_failures(kinds[i], "times", MAX_FAILURES);
		set_failures(kinds[i], "verbose", 0);
		set_failures(kinds[i], "probability", i ? (options.fail + 3) / 4 : options.fail);
	}
	set_failures("fail_page_alloc", "min-order", 0);
}

/* Page allocations that failed on purpose. */
static unsigned long allocations_failed(void)
{
	char left[32];

	if (!scarce)
		return 0;
	if (!read_setting(FAILURES "fail_page_alloc/times", left, sizeof(left)))
		die("cannot read", FAILURES "fail_page_alloc/times");
	return MAX_FAILURES - strtoul(left, NULL, 10);
}

void let_fail(bool on)
{
	static _Thread_local int fd = -1;
	int error = errno;

	if (!scarce)
		return;
	if (fd < 0)
		fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (pwrite(fd, on ? "1" : "0", 1, 0) != 1)
		die("cannot write", "/proc/thread-self/make-it-fail");
	errno = error;
}

static void prepare_machine(void)
{
	bool swap = false;
	char device[32];

	for (int i = 0; i < nr_tests; i++)
		for (int j = 0; j < tests[i].nr_actors; j++)
			swap |= tests[i].actors[j]->swap;

	snprintf(device, sizeof(device), "/dev/zram%d", new_zram("96M"));
	run_tool("mkfs.ext4", device);
	mkdir(disk, 0700);
	if (mount(device, disk, "ext4", 0, NULL))
		die("cannot mount", device);
	if (swap) {
		snprintf(device, sizeof(device), "/dev/zram%d", new_zram("512M"));
		run_tool("mkswap", device);
		if (swapon(device, 0))
			die("cannot swap to", device);
	}
	if (scarce)
		let_allocations_fail();
}

/* ---- one test, in a process of its own ---- */

static int open_file(struct run *run)
{
	char path[64];
	int fd;

	if (run->memory == SHMEM) {
		fd = memfd_create("race", MFD_CLOEXEC);
		return fd < 0 || ftruncate(fd, AREA) ? -1 : fd;
	}
	snprintf(path, sizeof(path), "%s/area", disk);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	/* Written once; no test changes it, so that the next one finds it in the page cache. */
	if (fd >= 0 && lseek(fd, 0, SEEK_END) != AREA) {
		char page[PAGE];

		for (char *addr = run->area; addr < run->area + AREA; addr += PAGE) {
			fill(run, page, addr, -1UL);
			if (pwrite(fd, page, PAGE, addr - run->area) != PAGE)
				return -1;
		}
	}
	return fd;
}

/*
 * Below the area is a page that MADV_DONTNEED takes away, and then one at which it stops
 * since it is locked. Their table is not covered whole by what starts there.
 */
#define STOP	(2 * PAGE)

static bool map_stop(struct run *run)
{
	char *stop = run->area - STOP;

	return mmap(stop, STOP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_FIXED_NOREPLACE, -1, 0) == stop && !mlock(stop + PAGE, PAGE);
}

static bool map_area(struct run *run)
{
	int flags = run->memory == SHMEM ? MAP_SHARED : MAP_PRIVATE;

	run->area = AREA_START;
	run->fd = -1;
	if (run->memory == ANON)
		flags |= MAP_ANONYMOUS;
	else
		run->fd = open_file(run);
	return (!only_dontneed || map_stop(run)) && (run->memory == ANON || run->fd >= 0) &&
	       mmap(run->area, AREA, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE,
		    run->fd, 0) == run->area;
}

static void *act(void *arg)
{
	struct run *run = arg;

	while (!stopping(run) && run->actor->round(run)) {
		run->round++;
		atomic_store(&run->rounds, run->round);
	}
	/* A failure ends the test for the others, too. */
	if (run->why[0])
		atomic_store(&control->stop, true);
	return NULL;
}

/* All at once, slot by slot, and in pieces that straddle two tables. */
static bool advise(struct run *run, unsigned long call)
{
	unsigned long slot = call / 3 % (SLOTS - 1);
	char *from = run->area;
	size_t length = AREA;

	if (call % 3) {
		from += slot * SLOT;
		length = SLOT;
	}
	if (call % 3 == 2)
		from += SLOT / 2 + PAGE;
	/* Some actors unmap a part for a moment. */
	return !madvise(from, length, MADV_RECLAIM_PT) || errno == ENOMEM ||
	       fail(run, "MADV_RECLAIM_PT:");
}

/* Frees all tables of the area that are empty, and takes nothing out of the others. */
static bool sweep_tables(struct run *run)
{
	if (madvise(run->area - STOP, STOP + AREA, MADV_DONTNEED) == -1 && errno == EINVAL)
		return true;
	return fail(run, "MADV_DONTNEED did not stop at a locked page:");
}

/* Takes all pages out of a slot, and frees its table. They stay in the file. */
static bool sweep_pages(struct run *run, unsigned long nth)
{
	return !madvise(run->area + nth % SLOTS * SLOT, SLOT, MADV_DONTNEED) || errno == ENOMEM ||
	       fail(run, "MADV_DONTNEED:");
}

/* Of shared memory pages too, but seldom: actors want to meet some in the tables. */
#define SELDOM	16

static bool sweep(struct run *run, unsigned long call)
{
	if (run->memory == SHMEM && call % SELDOM == 0)
		return sweep_pages(run, call / SELDOM);
	return sweep_tables(run);
}

static void *reclaim(void *arg)
{
	struct run *run = arg;

	let_fail(true);
	for (unsigned long call = 0; !stopping(run); call++) {
		if (!(only_dontneed ? sweep(run, call) : advise(run, call))) {
			atomic_store(&control->stop, true);
			break;
		}
		atomic_fetch_add(&control->calls, 1);
	}
	return NULL;
}

static pid_t start_remote_reclaimer(const struct run *run)
{
	pid_t parent = getpid(), child = fork();
	struct iovec area[SLOTS];
	int pidfd;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pidfd = syscall(SYS_pidfd_open, parent, 0);
	let_fail(true);
	for (int i = 0; i < SLOTS; i++)
		area[i] = (struct iovec){ run->area + i * SLOT, SLOT };
	while (pidfd >= 0 && !stopping(run)) {
		if (syscall(SYS_process_madvise, pidfd, area, SLOTS, MADV_RECLAIM_PT, 0) < 0 &&
		    errno != ENOMEM)
			break;
		atomic_fetch_add(&control->calls, 1);
	}
	_exit(!stopping(run));
}

/* All of the actors did @factor times their share. */
static bool did_their_share(const struct run *runs, int nr_runs, unsigned long factor)
{
	for (int i = 0; i < nr_runs; i++)
		if (atomic_load(&runs[i].rounds) < runs[i].actor->rounds * options.units * factor)
			return false;
	return true;
}

/* Tables that have to be freed in a test. */
static unsigned long to_free(void)
{
	return options.none ? 0 : FREED * options.units;
}

static bool all_was_seen(const struct run *runs, int nr_runs, unsigned long freed)
{
	for (int i = 0; i < nr_runs; i++)
		if (!atomic_load(&runs[i].hits))
			return false;
	return freed >= to_free();
}

static void wait_for_the_end(struct run *runs, int nr_runs, unsigned long before)
{
	const struct timespec interval = { .tv_nsec = 5000000 };

	while (!atomic_load(&control->stop)) {
		if (did_their_share(runs, nr_runs, 1) &&
		    (all_was_seen(runs, nr_runs, tables_freed() - before) ||
		     did_their_share(runs, nr_runs, GIVE_UP)))
			break;
		nanosleep(&interval, NULL);
	}
	atomic_store(&control->stop, true);
}

/* The first reason of all, and what was done. */
static void report(struct run *runs, int nr_runs, const struct run *reclaimer)
{
	size_t used = 0;

	if (reclaimer->why[0])
		strcpy(outcome->why, reclaimer->why);
	for (int i = 0; i < nr_runs; i++) {
		used += snprintf(outcome->counts + used, sizeof(outcome->counts) - used,
				 "%s %lu rounds, %lu hits; ", runs[i].actor->name, runs[i].round,
				 atomic_load(&runs[i].hits));
		if (runs[i].why[0] && !outcome->why[0]) {
			snprintf(outcome->why, sizeof(outcome->why), "%s: %s",
				 runs[i].actor->name, runs[i].why);
			outcome->skipped = runs[i].skipped;
		}
	}
	if (scarce)
		used += snprintf(outcome->counts + used, sizeof(outcome->counts) - used,
				 "%lu allocations failed; ", outcome->failed);
	snprintf(outcome->counts + used, sizeof(outcome->counts) - used,
		 "%lu calls of %s, %lu tables freed", atomic_load(&control->calls),
		 only_dontneed ? "MADV_DONTNEED" : "the advice", outcome->freed);
	for (int i = 0; i < nr_runs && !outcome->why[0]; i++)
		if (!atomic_load(&runs[i].hits))
			snprintf(outcome->why, sizeof(outcome->why),
				 "%s never did what it is for", runs[i].actor->name);
	if (!outcome->why[0] && outcome->freed < to_free())
		strcpy(outcome->why, "too few tables were freed meanwhile");
	if (!outcome->why[0] && scarce && !outcome->failed)
		strcpy(outcome->why, "no allocation failed");
	outcome->done = true;
}

static bool set_up(struct run *runs, int nr_runs)
{
	for (int i = 0; i < nr_runs; i++)
		if (runs[i].actor->set_up && !runs[i].actor->set_up(&runs[i]))
			return false;
	return true;
}

static void race(struct run *runs, int nr_runs, struct run *reclaimer)
{
	unsigned long before = tables_freed(), failed = allocations_failed();
	pthread_t threads[MAX_ACTORS], own;
	pid_t remote = 0;
	int started = 0;
	bool self = false;

	if (options.remote)
		remote = start_remote_reclaimer(reclaimer);
	if (options.self)
		self = !pthread_create(&own, NULL, reclaim, reclaimer);
	while (started < nr_runs && !pthread_create(&threads[started], NULL, act, &runs[started]))
		started++;
	if (started < nr_runs || self != options.self || remote < 0) {
		fail(reclaimer, "cannot start threads:");
		atomic_store(&control->stop, true);
	}
	wait_for_the_end(runs, nr_runs, before);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (self)
		pthread_join(own, NULL);
	if (remote > 0) {
		int status;

		if (waitpid(remote, &status, 0) == remote && status)
			fail(reclaimer, "process_madvise(MADV_RECLAIM_PT) failed");
	}
	outcome->freed = tables_freed() - before;
	outcome->failed = allocations_failed() - failed;
}

static void run_in_this_process(const struct test *test)
{
	static struct run runs[MAX_ACTORS], reclaimer;
	struct run area = { .memory = test->memory };
	unsigned int owners = 0, owner = 0;

	if (!map_area(&area)) {
		snprintf(outcome->why, sizeof(outcome->why), "cannot map memory: %s", strerror(errno));
		outcome->done = true;
		return;
	}
	area.stop = &control->stop;
	reclaimer = area;
	for (int i = 0; i < test->nr_actors; i++)
		owners += test->actors[i]->owner;
	for (int i = 0; i < test->nr_actors; i++) {
		runs[i] = area;
		runs[i].actor = test->actors[i];
		runs[i].pages = SLOT_PAGES;
		if (test->actors[i]->owner) {
			/* whole FAULT_AROUND blocks */
			runs[i].pages = SLOT_PAGES / owners & -(FAULT_AROUND / PAGE);
			runs[i].first = runs[i].pages * owner++;
		}
	}
	if (set_up(runs, test->nr_actors))
		race(runs, test->nr_actors, &reclaimer);
	for (int i = test->nr_actors; i--; )
		if (test->actors[i]->tear_down)
			test->actors[i]->tear_down(&runs[i]);
	report(runs, test->nr_actors, &reclaimer);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void run_test(struct test *test)
{
	double start = now();
	int status;
	pid_t pid;

	memset(outcome, 0, sizeof(*outcome));
	memset(control, 0, sizeof(*control));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		run_in_this_process(test);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("cannot start a process for", test->name);
	if (!outcome->done || status)
		snprintf(outcome->why, sizeof(outcome->why),
			 WIFSIGNALED(status) ? "its process was killed by signal %d" :
			 "its process ended with status %d",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	test->runs++;
	test->freed += outcome->freed;
	test->skips += outcome->skipped;
	test->failures += outcome->why[0] && !outcome->skipped;
	if (outcome->why[0] && !test->why[0])
		strcpy(test->why, outcome->why);
	printf("# %s: %s, %.1f s\n", test->name, outcome->counts, now() - start);
}

static void print_result(int number, const struct test *test)
{
	if (!test->runs)
		printf("ok %d %s # SKIP its turn did not come, another one failed before\n", number,
		       test->name);
	else if (test->failures)
		printf("# %s\nnot ok %d %s\n", test->why, number, test->name);
	else if (test->skips)
		printf("ok %d %s # SKIP %s\n", number, test->name, test->why);
	else
		printf("ok %d %s\n", number, test->name);
}

/*
 * In another order each time, for as long as was asked for, and once at least; or
 * until the first failure.
 */
static void soak(void)
{
	unsigned long passes = 0, runs = 0, freed = 0;
	double end = now() + options.minutes * 60;
	int order[MAX_TESTS];
	bool failed = false;

	srandom(1);
	for (int i = 0; i < nr_tests; i++)
		order[i] = i;
	do {
		for (int i = nr_tests - 1; i > 0; i--) {
			int other = random() % (i + 1), was = order[i];

			order[i] = order[other];
			order[other] = was;
		}
		for (int i = 0; i < nr_tests && !failed && (!passes || now() < end); i++) {
			run_test(&tests[order[i]]);
			failed = tests[order[i]].failures;
		}
		passes++;
	} while (!failed && now() < end);
	for (int i = 0; i < nr_tests; i++) {
		printf("# %s: %lu runs, %lu failures, %lu tables freed\n", tests[i].name,
		       tests[i].runs, tests[i].failures, tests[i].freed);
		print_result(i + 1, &tests[i]);
		runs += tests[i].runs;
		freed += tests[i].freed;
	}
	printf("# soak: %lu passes, %lu runs of %d tests, %lu tables freed\n", passes, runs,
	       nr_tests, freed);
}

static void list_all(void)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const struct actor *actor = groups[i]; actor->name; actor++)
			printf("%-16s %s\n", actor->name, actor->does);
	printf("\npairs:\n");
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		printf("%s\n", pairs[i]);
}

static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: race [--units N] [--reclaim self|remote|both|dontneed|none] [--solo | --slice] [--pairs]\n"
		"            [--fail | --fail-nowait PERCENT] [--minutes N] [--list] [ACTOR[+ACTOR...][/anon|/shmem|/file]...]\n");
	exit(status);
}

static void choose_reclaimers(const char *mode)
{
	bool both = !strcmp(mode, "both");

	only_dontneed = !strcmp(mode, "dontneed");
	options.none = !strcmp(mode, "none");
	without_advice = only_dontneed || options.none;
	options.remote = both || !strcmp(mode, "remote");
	options.self = both || only_dontneed || !strcmp(mode, "self");
	if (!options.self && !options.remote && !options.none)
		usage(2);
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "units", required_argument, NULL, 'u' },
		{ "reclaim", required_argument, NULL, 'r' },
		{ "solo", no_argument, NULL, 's' },
		{ "slice", no_argument, NULL, 'S' },
		{ "pairs", no_argument, NULL, 'p' },
		{ "fail", required_argument, NULL, 'f' },
		{ "fail-nowait", required_argument, NULL, 'n' },
		{ "minutes", required_argument, NULL, 'm' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'u':
			options.units = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			choose_reclaimers(optarg);
			break;
		case 's':
			options.solo = true;
			break;
		case 'S':
			options.slice = true;
			break;
		case 'p':
			options.pairs = true;
			break;
		case 'n':
		case 'f':
			options.nowait = option == 'n';
			options.fail = strtoul(optarg, NULL, 0);
			scarce = options.fail;
			break;
		case 'm':
			options.minutes = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			options.list = true;
			break;
		default:
			usage(option == 'h' ? 0 : 2);
		}
	}
	if (!options.units)
		usage(2);
}

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap:", strerror(errno));
	return memory;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--after-exec"))
		return live_after_exec();
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse_options(argc, argv);
	if (options.list) {
		list_all();
		return 0;
	}
	choose_tests(argc - optind, argv + optind);
	control = share(sizeof(*control));
	outcome = share(sizeof(*outcome));
	if (!options.none && madvise(NULL, 0, MADV_RECLAIM_PT))
		die("this kernel has no MADV_RECLAIM_PT:", strerror(errno));
	prepare_machine();

	printf("TAP version 13\n1..%d\n", nr_tests);
	if (options.minutes) {
		soak();
		return 0;
	}
	for (int i = 0; i < nr_tests; i++) {
		run_test(&tests[i]);
		print_result(i + 1, &tests[i]);
	}
	return 0;
}
