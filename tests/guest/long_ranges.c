// SPDX-License-Identifier: GPL-2.0
/*
 * long_ranges [TABLES]: a call over many tables is polite. It gives up mmap_lock, reacts to a
 * fatal signal and lets others have the CPU, each within 512 PMD slots.
 * long_ranges span: address space that was never touched costs nothing. It needs a guest under
 * --icount, where a nanosecond of the clock is one instruction.
 *
 * Slots are counted, not timed: the walker calls pt_reclaim_pmd() for each that has a table. A
 * kprobe there makes an event of each, and the events of all CPUs are numbered in one sequence.
 * The probe records only from the event that asks for something to the one that is the answer.
 * KTAP output; run as root.
 *
 * Events are enabled once, and from then on only filtered: under TCG with two CPUs a CPU may
 * meet an int3 of code that another has finished patching, and the scheduler's tracepoints are
 * hot. trace_event=sched:sched_wakeup,sched:sched_switch on the kernel's command line enables
 * those before there is a second CPU.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "../../bench/procfs.h"
#include "ktap.h"
#include "tracefs.h"

#define PAGE		4096UL
#define TABLE		(2UL << 20)	/* what one PTE table maps */
#define TIB		(1UL << 40)

#define BATCH		512L		/* PMD slots */
#define VECTOR		1024		/* the longest that process_madvise takes */
#define SPARSE		64		/* one slot in so many has a table */
#define WAITS		64	/* of a writer; of a task that wants the CPU four times as many */
#define KILLS		4	/* that come during a call */
#define TRIES		1000	/* at most; a call of short ranges is soon over */
#define CHANGES		1000

#define NOTHING		"common_pid == -1"	/* a filter that lets no event through */

static const char * const events[] = {
	"lock/contention_begin", "mmap_lock/mmap_lock_released",
	"mmap_lock/mmap_lock_acquire_returned", "signal/signal_generate",
	"pt_reclaim/mm_pt_reclaim", "sched/sched_wakeup", "sched/sched_switch",
};

static char *area;
static unsigned long tables = 100000;

static void pause_for(long nanoseconds)
{
	nanosleep(&(struct timespec){ .tv_nsec = nanoseconds }, NULL);
}

/* Reading maps the zero page: a table in use, and no memory but the table. */
static void use_tables(void)
{
	if (madvise(area, tables * TABLE, MADV_NOHUGEPAGE))
		err(1, "MADV_NOHUGEPAGE");
	for (unsigned long i = 0; i < tables; i++)
		*(volatile char *)(area + i * TABLE);
}

static void map_area(void)
{
	size_t size = tables * TABLE;

	area = mmap((void *)TIB, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (area != (char *)TIB)
		err(1, "mmap of %zu bytes", size);
	use_tables();
}

/*
 * One range, or as many as process_madvise takes of as much as it takes (2 GiB in all). None of
 * these fills a batch; they start in the middle of a table, so that each is one of two slots.
 */
enum kind { RANGE, SHORT_RANGES };

static const char * const kinds[] = { "one range", "1,024 ranges" };

static long walk(enum kind kind)
{
	static struct iovec ranges[VECTOR];
	int pidfd;
	long ret;

	if (kind == RANGE)
		return madvise(area, tables * TABLE, MADV_RECLAIM_PT);

	for (unsigned long i = 0; i < VECTOR; i++) {
		ranges[i].iov_base = area + 2 * i * TABLE + TABLE / 2;
		ranges[i].iov_len = TABLE - PAGE;
	}
	pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	ret = syscall(SYS_process_madvise, pidfd, ranges, VECTOR, MADV_RECLAIM_PT, 0);
	close(pidfd);
	return ret;
}

static void advise(enum kind kind)
{
	if (walk(kind) < 0)
		err(1, "MADV_RECLAIM_PT");
}

/* How often something was asked for, and how many tables the walker saw until it was given. */
struct wait {
	int walker;
	int asker;
	bool waiting, given;
	long seen;		/* since it was asked for */
	long most_until_given;
	long most_until_had;
	long sum_until_had;
	int asked;
	int count;		/* of those during which the walker saw a table */
	int stolen;		/* given more than once before the asker had it */
};

static void ask(struct wait *wait)
{
	wait->asked++;
	wait->waiting = true;
	wait->given = false;
	wait->seen = 0;
}

static void give(struct wait *wait)
{
	if (!wait->waiting)
		return;
	if (wait->given)
		wait->stolen++;
	else if (wait->seen > wait->most_until_given)
		wait->most_until_given = wait->seen;
	wait->given = true;
}

static void have(struct wait *wait)
{
	if (!wait->waiting)
		return;
	if (wait->seen > wait->most_until_had)
		wait->most_until_had = wait->seen;
	wait->sum_until_had += wait->seen;
	wait->count += wait->seen > 0;
	wait->waiting = false;
}

/* Asked for when the writer stands in the queue: before, the walker cannot know of it. */
static void take_lock_event(const struct trace_event *event, void *data)
{
	bool write = strstr(event->fields, "write=true");
	struct wait *wait = data;

	if (event->pid == wait->walker && !strcmp(event->name, "pt_slot"))
		wait->seen++;
	else if (event->pid == wait->asker && !strcmp(event->name, "contention_begin"))
		ask(wait);
	else if (event->pid == wait->walker && !strcmp(event->name, "mmap_lock_released"))
		give(wait);
	else if (event->pid == wait->asker && !strcmp(event->name, "mmap_lock_acquire_returned") &&
		 write)
		have(wait);
}

static void *change_protection(void *data)
{
	char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	atomic_int *tid = data;

	*tid = gettid();
	for (int i = 0; i < 2 * WAITS; i++) {
		if (mprotect(page, PAGE, i % 2 ? PROT_READ : PROT_NONE))
			err(1, "mprotect");
		pause_for(rand() % 8000000);	/* the walker sleeps for a jiffy */
	}
	munmap(page, PAGE);
	*tid = 0;
	return NULL;
}

static void set_lock_events(bool on)
{
	const char *not = on ? "" : "!";

	trace_write("events/lock/contention_begin/trigger",
		    "%senable_event:kprobes:pt_slot if flags & 4", not);
	trace_write("events/mmap_lock/mmap_lock_acquire_returned/trigger",
		    "%sdisable_event:kprobes:pt_slot if write == 1", not);
	trace_write("events/lock/contention_begin/filter", on ? "flags & 4" : NOTHING);
	trace_write("events/mmap_lock/mmap_lock_released/filter", on ? "0" : NOTHING);
	trace_write("events/mmap_lock/mmap_lock_acquire_returned/filter",
		    on ? "write == 1" : NOTHING);
}

/* 1 of STEP slots has a table. */
static void test_writer(const char *what, int step)
{
	struct wait wait = { .walker = gettid() };
	atomic_int tid = -1;
	pthread_t writer;
	int calls = 0;

	set_lock_events(true);
	trace_start();
	if (pthread_create(&writer, NULL, change_protection, &tid))
		errx(1, "pthread_create");
	while (tid < 0)
		sched_yield();
	wait.asker = tid;
	while (tid) {
		advise(RANGE);
		calls++;
	}
	pthread_join(writer, NULL);
	trace_stop(take_lock_event, &wait);
	set_lock_events(false);

	printf("# %s: %d calls, the writer waited %d times; of %ld slots at most, "
	       "the lock was given up after %ld, the writer had it after %ld (mean %ld); "
	       "retaken %d times before\n",
	       what, calls, wait.count, BATCH, wait.most_until_given * step,
	       wait.most_until_had * step,
	       wait.count ? wait.sum_until_had * step / wait.count : 0, wait.stolen);
	result(wait.count >= WAITS / 4, "%s: the walker meets a writer", what);
	result(wait.most_until_given <= BATCH / step + (step > 1),
	       "%s: mmap_lock is given up within 512 slots", what);
}

/*
 * A process of its own that shares our memory: a thread group that can be killed and leaves the
 * tables behind for the next one.
 */
static int walk_until_killed(void *kind)
{
	while (walk(*(enum kind *)kind) >= 0)
		;
	_exit(1);
}

struct death {
	int pid;
	bool killed, interrupted;
	long seen;		/* since it was killed */
};

static void take_death_event(const struct trace_event *event, void *data)
{
	struct death *death = data;

	if (!strcmp(event->name, "signal_generate") && trace_field(event, " pid=") == death->pid)
		death->killed = true;
	else if (event->pid == death->pid && !strcmp(event->name, "pt_slot"))
		death->seen += death->killed;
	else if (event->pid == death->pid && !strcmp(event->name, "mm_pt_reclaim"))
		death->interrupted |= trace_field(event, "ret=") == -EINTR;
}

static void kill_walker(enum kind kind, struct death *death)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	long long enough = procfs_vmstat("pt_reclaim_scanned") + 4 * BATCH + rand() % (4 * BATCH);
	int status = 0;

	death->pid = clone(walk_until_killed, stack + sizeof(stack), CLONE_VM | SIGCHLD, &kind);
	if (death->pid < 0)
		err(1, "clone");
	/* At a random place of its second call or later: the first is not yet in step with us. */
	while (procfs_vmstat("pt_reclaim_scanned") < enough &&
	       !waitpid(death->pid, &status, WNOHANG))
		sched_yield();
	if (!status && (kill(death->pid, SIGKILL) || waitpid(death->pid, &status, 0) < 0))
		err(1, "kill");
	if (!WIFSIGNALED(status))
		errx(1, "the walker failed");
}

static void set_death_events(bool on)
{
	trace_write("events/signal/signal_generate/trigger",
		    "%senable_event:kprobes:pt_slot if sig == 9", on ? "" : "!");
	trace_write("events/signal/signal_generate/filter", on ? "sig == 9" : NOTHING);
	trace_write("events/pt_reclaim/mm_pt_reclaim/filter", on ? "0" : NOTHING);
}

static void test_signal(enum kind kind)
{
	int interrupted = 0, inside = 0, tries;
	long most = 0;

	set_death_events(true);
	for (tries = 0; inside < KILLS && tries < TRIES; tries++) {
		struct death death = {};

		trace_start();
		kill_walker(kind, &death);
		trace_stop(take_death_event, &death);
		inside += death.seen > 0 || death.interrupted;
		interrupted += death.interrupted;
		if (death.seen > most)
			most = death.seen;
	}
	set_death_events(false);

	printf("# killed in %s: %d times, %d inside a call, %d of them ended early, "
	       "%ld of at most %ld slots since the signal\n",
	       kinds[kind], tries, inside, interrupted, most, BATCH);
	result(inside == KILLS, "killed in %s: the signal comes during a call", kinds[kind]);
	result(most <= BATCH, "killed in %s: within 512 slots", kinds[kind]);
}

/* The interrupt that wakes the other task runs on the walker. Others are filtered out. */
static void take_cpu_event(const struct trace_event *event, void *data)
{
	struct wait *wait = data;

	if (event->pid == wait->walker && !strcmp(event->name, "pt_slot")) {
		wait->seen++;
	} else if (event->pid == wait->walker && !strcmp(event->name, "sched_wakeup")) {
		ask(wait);
	} else if (!strcmp(event->name, "sched_switch")) {
		have(wait);
	}
}

static void run_on_first_cpu(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		err(1, "sched_setaffinity");
}

/* It begins when it is told: it takes half a second, and to set the events takes grace periods. */
struct wish {
	atomic_int tid;
	atomic_bool go;
};

/* With a real-time priority: whoever has the CPU shall leave it at once. */
static void *want_cpu(void *data)
{
	struct wish *wish = data;

	run_on_first_cpu();
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 }))
		err(1, "sched_setscheduler");
	wish->tid = gettid();
	while (!wish->go)
		pause_for(1000000);
	for (int i = 0; i < 4 * WAITS; i++)
		pause_for(1000000 + rand() % 1000000);
	wish->tid = 0;
	return NULL;
}

static void set_cpu_events(int pid, bool on)
{
	const char *not = on ? "" : "!";

	trace_write("events/sched/sched_wakeup/trigger",
		    "%senable_event:kprobes:pt_slot if pid == %d", not, pid);
	trace_write("events/sched/sched_switch/trigger",
		    "%sdisable_event:kprobes:pt_slot if next_pid == %d", not, pid);
	trace_write("events/sched/sched_wakeup/filter", on ? "pid == %d" : NOTHING, pid);
	trace_write("events/sched/sched_switch/filter", on ? "next_pid == %d" : NOTHING, pid);
}

static void test_cpu(enum kind kind)
{
	struct wait wait = { .walker = gettid() };
	struct wish wish = { .tid = -1 };
	cpu_set_t before;
	pthread_t other;

	sched_getaffinity(0, sizeof(before), &before);
	if (pthread_create(&other, NULL, want_cpu, &wish))
		errx(1, "pthread_create");
	while (wish.tid < 0)
		sched_yield();
	wait.asker = wish.tid;
	set_cpu_events(wait.asker, true);
	run_on_first_cpu();
	trace_start();
	wish.go = true;
	while (wish.tid)
		advise(kind);
	pthread_join(other, NULL);
	trace_stop(take_cpu_event, &wait);
	set_cpu_events(wait.asker, false);
	sched_setaffinity(0, sizeof(before), &before);

	printf("# the CPU, in %s: wanted %d times, had after %ld slots at most, limit %ld\n",
	       kinds[kind], wait.asked, wait.most_until_had, BATCH);
	result(wait.asked >= WAITS / 8, "the CPU, in %s: another task wants it", kinds[kind]);
	result(wait.most_until_had <= BATCH, "the CPU, in %s: it has it within 512 slots",
	       kinds[kind]);
}


/*
 * Beside the walker: units of 3 MiB, the first from the middle of a table to the end of the next
 * one, are filled, emptied, unmapped, mapped, split and moved. What they hold is noted.
 */
#define UNITS		64
#define UNIT		(3UL << 20)
#define PROBES		3

static const unsigned long probe_at[PROBES] = { 0, TABLE / 2, UNIT - PAGE };

struct unit {
	char *base;
	bool mapped;
	bool present[PROBES];	/* there is an entry in the table */
	unsigned long value[PROBES];
};

static struct unit units[UNITS];
static unsigned long last_value;

static volatile unsigned long *probe(const struct unit *unit, int i)
{
	return (unsigned long *)(unit->base + probe_at[i]);
}

static void forget(struct unit *unit)
{
	memset(unit->present, 0, sizeof(unit->present));
	memset(unit->value, 0, sizeof(unit->value));
}

static void map_unit(struct unit *unit)
{
	must(mmap(unit->base, UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		  MAP_NORESERVE | MAP_FIXED, -1, 0) == unit->base, "mmap");
	must(!madvise(unit->base, UNIT, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	unit->mapped = true;
	forget(unit);
}

static void unmap_unit(struct unit *unit)
{
	must(!munmap(unit->base, UNIT), "munmap");
	unit->mapped = false;
	forget(unit);
}

static void fill_unit(struct unit *unit)
{
	for (int i = 0; i < PROBES; i++) {
		if (rand() % 2)
			continue;
		*probe(unit, i) = ++last_value;
		unit->value[i] = last_value;
		unit->present[i] = true;
	}
}

static void empty_unit(struct unit *unit)
{
	must(!madvise(unit->base, UNIT, MADV_DONTNEED), "MADV_DONTNEED");
	forget(unit);
}

static void split_unit(struct unit *unit)
{
	must(!mprotect(unit->base + PAGE, PAGE, PROT_READ), "mprotect");
	must(!mprotect(unit->base, UNIT, PROT_READ | PROT_WRITE), "mprotect");
}

/* Mapped afresh, because mremap takes one VMA only. */
static void move_unit(struct unit *from, struct unit *to)
{
	char *base = to->base;

	map_unit(from);
	fill_unit(from);
	must(mremap(from->base, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, base) == base, "mremap");
	*to = *from;
	to->base = base;
	from->mapped = false;
	forget(from);
}

static bool unit_good(const struct unit *unit)
{
	for (int i = 0; i < PROBES; i++)
		if (unit->present[i] && *probe(unit, i) != unit->value[i])
			return false;
	return true;
}

static void change_unit(struct unit *unit, struct unit *other)
{
	switch (unit->mapped ? rand() % 6 : 0) {
	case 0:
		map_unit(unit);
		break;
	case 1:
		unmap_unit(unit);
		break;
	case 2:
		fill_unit(unit);
		break;
	case 3:
		empty_unit(unit);
		break;
	case 4:
		split_unit(unit);
		break;
	case 5:
		if (unit != other)
			move_unit(unit, other);
	}
}

/* The first page of the first table is no part of a unit, and goes: the table may become empty. */
static void place_units(void)
{
	unsigned long step = tables / UNITS;

	for (unsigned long i = 0; i < UNITS; i++) {
		char *table = area + i * step * TABLE;

		must(!madvise(table, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
		units[i] = (struct unit){ .base = table + TABLE / 2, .mapped = true,
					  .present = { [1] = true } };
	}
}

/* Both tables of each unit. */
static long empty_tables(void)
{
	long count = 0;

	for (int i = 0; i < UNITS; i++)
		count += !units[i].present[0] +
			 !(units[i].present[1] || units[i].present[2]);
	return count;
}

struct advised {
	atomic_bool stop;
	long calls, holes, errors;
};

static void *advise_until_stopped(void *data)
{
	struct advised *advised = data;

	while (!advised->stop) {
		advised->calls++;
		if (!walk(RANGE))
			continue;
		if (errno == ENOMEM)
			advised->holes++;
		else
			advised->errors++;
	}
	return NULL;
}

static void test_changes(int changes)
{
	struct advised advised = {};
	long before, after, expected;
	pthread_t walker;
	bool good = true;
	int done;

	before = procfs_kb(getpid(), "status", "VmPTE");
	place_units();
	if (pthread_create(&walker, NULL, advise_until_stopped, &advised))
		errx(1, "pthread_create");
	/* A call that gives way to each of them may take longer than all. */
	for (done = 0; good && done < 100 * changes &&
	     (done < changes || !__atomic_load_n(&advised.holes, __ATOMIC_RELAXED)); done++) {
		struct unit *unit = &units[rand() % UNITS];

		good = unit_good(unit);
		change_unit(unit, &units[rand() % UNITS]);
	}
	advised.stop = true;
	pthread_join(walker, NULL);
	for (int i = 0; i < UNITS; i++)
		good &= unit_good(&units[i]);
	walk(RANGE);
	after = procfs_kb(getpid(), "status", "VmPTE");
	expected = before - 4 * empty_tables();

	printf("# %d changes of VMAs during %ld calls, %ld of which met a hole\n",
	       done, advised.calls, advised.holes);
	result(advised.holes, "changes: the walker meets them");
	result(!advised.errors, "changes: no error but ENOMEM");
	result(good, "changes: the contents are right");
	result(after == expected, "changes: VmPTE is %ld kB, expected %ld", after, expected);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#define CALLS		5

/* The best of a few: the others met the timer's interrupt. */
static uint64_t call_cost(char *start, size_t size)
{
	uint64_t best = UINT64_MAX, begin, cost;

	for (int i = 0; i < CALLS; i++) {
		begin = now();
		if (madvise(start, size, MADV_RECLAIM_PT))
			err(1, "MADV_RECLAIM_PT");
		cost = now() - begin;
		if (cost < best)
			best = cost;
	}
	return best;
}

/* A loop of two instructions, of which there are a million. The best of a few, as above. */
static bool clock_counts_instructions(void)
{
	uint64_t best = UINT64_MAX, begin, cost;

	for (int i = 0; i < CALLS; i++) {
		unsigned long count = 500000;

		begin = now();
		__asm__ volatile("1: dec %0; jnz 1b" : "+r"(count));
		cost = now() - begin;
		if (cost < best)
			best = cost;
	}
	return best > 1000000 && best < 1100000;
}

#define SPAN		(55 * TIB)
#define SPAN_LIMIT	16000UL
/* Its two upper tables have 512 slots each. */
#define GIB_SLOTS_LIMIT	32000UL
#define FAR		(20 * TIB)	/* of both ends */

static void test_span_with_table(void)
{
	long long scanned, freed;
	uint64_t near, far;

	if (madvise(area, SPAN, MADV_NOHUGEPAGE))
		err(1, "MADV_NOHUGEPAGE");
	area[FAR] = 1;
	near = call_cost(area + FAR, TABLE);
	scanned = procfs_vmstat("pt_reclaim_scanned");
	far = call_cost(area, SPAN);
	scanned = procfs_vmstat("pt_reclaim_scanned") - scanned;
	printf("# where one page is touched, %lu over its 2 MiB, %lu over 55 TiB\n", near, far);
	result(scanned == CALLS, "a table in the middle of 55 TiB is found");
	result(far <= near + GIB_SLOTS_LIMIT + SPAN_LIMIT,
	       "the one PMD and PUD table cost %lu instructions more at most", GIB_SLOTS_LIMIT);

	freed = procfs_vmstat("pt_reclaim_freed");
	if (madvise(area + FAR, PAGE, MADV_DONTNEED) || madvise(area, SPAN, MADV_RECLAIM_PT))
		err(1, "madvise");
	freed = procfs_vmstat("pt_reclaim_freed") - freed;
	result(freed == 1, "and freed when it is empty");
}

static int test_span(void)
{
	uint64_t none, small, large;

	printf("TAP version 13\n1..5\n");
	area = mmap((void *)TIB, SPAN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (area != (char *)TIB)
		err(1, "mmap of 55 TiB");
	result(clock_counts_instructions(), "the clock counts instructions: vm/run --icount");
	none = call_cost(area, 0);
	small = call_cost(area, TABLE);
	large = call_cost(area, SPAN);
	printf("# a call takes %lu instructions over nothing, %lu over 2 MiB, %lu over 55 TiB\n",
	       none, small, large);
	result(large <= SPAN_LIMIT,
	       "55 TiB of untouched address space take at most %lu instructions", SPAN_LIMIT);
	test_span_with_table();
	return !!failures;
}

/* First what the changes left: holes, and tables in use. */
static void empty_most(void)
{
	for (int i = 0; i < UNITS; i++)
		map_unit(&units[i]);
	for (unsigned long i = 0; i < tables; i++)
		if (i % SPARSE)
			must(!madvise(area + i * TABLE, PAGE, MADV_DONTNEED), "MADV_DONTNEED");
}

/* The probe stays armed through a trigger that does not fire. */
static void set_up(void)
{
	char file[128];

	if (!reclaim_pt_supported())
		errx(1, "this kernel has no MADV_RECLAIM_PT");
	trace_write("tracing_on", "0");
	trace_write("buffer_size_kb", "65536");
	trace_clear("kprobe_events");
	trace_write("kprobe_events", "p:kprobes/pt_slot pt_reclaim_pmd");
	trace_write("events/pt_reclaim/mm_pt_reclaim/trigger",
		    "enable_event:kprobes:pt_slot if " NOTHING);
	for (unsigned int i = 0; i < sizeof(events) / sizeof(*events); i++) {
		snprintf(file, sizeof(file), "events/%s/filter", events[i]);
		trace_write(file, NOTHING);
		snprintf(file, sizeof(file), "events/%s/enable", events[i]);
		trace_write(file, "1");
	}
	map_area();
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "span"))
		return test_span();
	if (argc == 2)
		tables = strtoul(argv[1], NULL, 0);
	if (argc > 2 || tables < 10000)
		errx(2, "usage: long_ranges [span | TABLES], at least 10000");

	printf("TAP version 13\n1..18\n");
	set_up();
	test_writer("tables in use", 1);
	test_signal(RANGE);
	test_signal(SHORT_RANGES);
	test_cpu(RANGE);
	test_cpu(SHORT_RANGES);
	test_changes(CHANGES);
	empty_most();
	test_writer("empty tables", 1);
	test_writer("few tables", SPARSE);
	return !!failures;
}
