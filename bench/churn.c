// SPDX-License-Identifier: GPL-2.0
/*
 * churn [--call] small|large [ROUNDS [MIB]]: each round allocates objects of random
 * sizes, MIB in all, frees them in random order, and keeps 1 in 200 for good. Then it is
 * idle. Prints "key value" lines; sizes in bytes, time in ns, which under icount are
 * instructions.
 *
 * It knows nothing of the allocator that LD_PRELOAD gives it, but how to have it give
 * back what is free. With --call it uses libptreclaim itself.
 *
 * Two threads work, as in a server; each object is filled with its own pattern, which is
 * compared when it is freed (first and last word) and for those kept at the end (whole).
 */
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <ptreclaim.h>

#include "procfs.h"

#define WORKERS		2
#define KEEP_ONE_IN	200

#define POLL_MS		100
#define SAME_POLLS	150	/* 15 s: longer than the library waits */
#define MOST_POLLS	1200

/* Sizes are spread evenly over powers of 2. */
struct sizes {
	const char *name;
	unsigned int smallest_shift;
	unsigned int shifts;
	size_t average;
};

static const struct sizes all_sizes[] = {
	{ "small", 4, 12, 8 << 10 },	/* 16 bytes to 128 KiB */
	{ "large", 12, 8, 192 << 10 },	/* 4 KiB to 1 MiB: buffers */
};

struct object {
	uint64_t *words;
	uint64_t count;
	uint64_t pattern;
};

/* Grows in mappings of its own, not in the allocator that is looked at. */
struct list {
	struct object *objects;
	size_t used;
	size_t room;
};

struct worker {
	pthread_t thread;
	uint64_t seed;
	struct list live;
	struct list kept;
	uint64_t allocated;
	uint64_t wrong;
};

static struct worker workers[WORKERS];
static pthread_barrier_t step;
static const struct sizes *sizes;
static unsigned long rounds = 4;
static unsigned long round_bytes = 512UL << 20;
static bool by_call;
static const char *allocator = "glibc";
static void (*release)(void);
static int (*adapter)(void);

/* xorshift64 */
static uint64_t draw(struct worker *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What the clock says, less what the processor was idle. */
static uint64_t busy_ns(void)
{
	FILE *uptime = fopen("/proc/uptime", "re");
	double idle;

	if (!uptime || fscanf(uptime, "%*f %lf", &idle) != 1)
		errx(1, "/proc/uptime cannot be read");
	fclose(uptime);
	return clock_ns(CLOCK_MONOTONIC) - (uint64_t)(idle * 1e9);
}

/* The time that the threads but this one have run. */
static uint64_t others_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void add(struct list *list, struct object object)
{
	if (list->used == list->room)
		errx(1, "more objects than there is room for");
	list->objects[list->used++] = object;
}

static void reserve(struct list *list, size_t room)
{
	list->objects = mmap(NULL, room * sizeof(*list->objects), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (list->objects == MAP_FAILED)
		err(1, "mmap");
	list->room = room;
}

static size_t draw_size(struct worker *w)
{
	uint64_t r = draw(w);
	unsigned int shift = sizes->smallest_shift + r % sizes->shifts;

	return (1UL << shift) + ((r >> 32) & ((1UL << shift) - 1) & -8UL);
}

static size_t make(struct worker *w)
{
	size_t size = draw_size(w);
	struct object o = { .count = size / 8, .pattern = draw(w) };

	o.words = malloc(size);
	if (!o.words)
		errx(1, "no memory");
	for (size_t i = 0; i < o.count; i++)
		o.words[i] = o.pattern;
	add(&w->live, o);
	return size;
}

static bool is_right(const struct object *o)
{
	uint64_t differs = 0;

	for (size_t i = 0; i < o->count; i++)
		differs |= o->words[i] ^ o->pattern;
	return !differs;
}

static void discard(struct worker *w, struct object *o)
{
	w->wrong += o->words[0] != o->pattern || o->words[o->count - 1] != o->pattern;
	free(o->words);
}

static void churn(struct worker *w)
{
	struct list *live = &w->live;
	uint64_t bytes = 0;

	while (bytes < round_bytes / WORKERS) {
		bytes += make(w);
		w->allocated++;
	}
	while (live->used) {
		struct object *picked = &live->objects[draw(w) % live->used];

		if (draw(w) % KEEP_ONE_IN)
			discard(w, picked);
		else
			add(&w->kept, *picked);
		*picked = live->objects[--live->used];
	}
}

static void check_kept(struct worker *w)
{
	for (size_t i = 0; i < w->kept.used; i++)
		w->wrong += !is_right(&w->kept.objects[i]);
}

/* The threads stay until the end: when one exits, allocators move its memory about. */
static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned long i = 0; i < rounds; i++) {
		churn(w);
		pthread_barrier_wait(&step);
		pthread_barrier_wait(&step);	/* main has looked at the tables */
	}
	release();
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);		/* idle, until main has seen enough */
	check_kept(w);
	pthread_barrier_wait(&step);
	return NULL;
}

static void release_glibc(void)
{
	malloc_trim(0);
}

static int (*mallctl_found)(const char *name, void *old, size_t *old_len, void *new, size_t len);

static void release_jemalloc(void)
{
	mallctl_found("thread.tcache.flush", NULL, NULL, NULL, 0);
	if (mallctl_found("arena.4096.purge", NULL, NULL, NULL, 0))
		errx(1, "jemalloc cannot purge");
}

static void (*mi_collect_found)(bool force);

static void release_mimalloc(void)
{
	mi_collect_found(true);
}

static bool find(void *function, const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);

	if (found)
		*(void **)function = found;
	return found;
}

static void find_allocator(void)
{
	release = release_glibc;
	adapter = ptreclaim_glibc;
	if (find(&mallctl_found, "mallctl")) {
		allocator = "jemalloc";
		release = release_jemalloc;
		adapter = NULL;		/* its hooks are there from the start */
	} else if (find(&mi_collect_found, "mi_collect")) {
		allocator = "mimalloc";
		release = release_mimalloc;
		adapter = ptreclaim_mimalloc;
	} else if (find(&release, "MallocExtension_ReleaseFreeMemory")) {
		allocator = "tcmalloc";
		adapter = ptreclaim_gperftools;
	}
}

static void must(int ret, const char *what)
{
	if (ret) {
		errno = -ret;
		err(1, "%s", what);
	}
}

static long long vmpte(void)
{
	long long kb = procfs_kb(getpid(), "status", "VmPTE");

	if (kb < 0)
		err(1, "VmPTE");
	return kb;
}

static bool is_pending(void)
{
	int next = -1;

	/* The object of LD_PRELOAD cannot be asked: hence so many of the same below. */
	if (by_call)
		must(ptreclaim_due(&next), "ptreclaim_due");
	return next != -1;
}

/* Until nothing is noted and the tables stay what they are; the advice counts its looks. */
static void be_idle(void)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	long long before[2] = { -1, -1 };
	int same = 0;

	for (int polls = 0; same < SAME_POLLS; polls++) {
		long long is[2] = { vmpte(), procfs_vmstat("pt_reclaim_scanned") };

		if (polls == MOST_POLLS)
			errx(1, "not idle after %d s: VmPTE is %lld kB",
			     MOST_POLLS * POLL_MS / 1000, is[0]);
		same = !memcmp(is, before, sizeof(is)) && !is_pending() ? same + 1 : 0;
		memcpy(before, is, sizeof(is));
		nanosleep(&pause, NULL);
	}
}

static void audit(struct ptreclaim_tables *t)
{
	must(ptreclaim_audit(getpid(), NULL, t), "ptreclaim_audit");
	if (t->changed)
		errx(1, "the tables change while the program waits");
}

/* After each round: what was given back up to then. */
struct looks {
	uint64_t peak;
	uint64_t vmpte;
	uint64_t empty;
	uint64_t cost;	/* of looking */
};

static void look_while_busy(struct looks *looks)
{
	uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	struct ptreclaim_tables t;

	audit(&t);
	looks->peak = t.vmpte > looks->peak ? t.vmpte : looks->peak;
	looks->vmpte += t.vmpte;
	looks->empty += t.empty_max;
	looks->cost += clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
}

static void print_tables(void)
{
	struct ptreclaim_tables t;

	audit(&t);
	printf("vmpte_idle %" PRIu64 "\nempty_min %" PRIu64 "\nempty_max %" PRIu64 "\nrss_idle %lld\n",
	       t.vmpte, t.empty_min, t.empty_max, procfs_kb(getpid(), "status", "VmRSS") << 10);
}

static void begin(void)
{
	/* Four times the objects of an average round. */
	size_t room = round_bytes / WORKERS / sizes->average * 4;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	find_allocator();
	pthread_barrier_init(&step, NULL, WORKERS + 1);
	if (by_call) {
		if (!adapter)
			must(ptreclaim_jemalloc(), "ptreclaim_jemalloc");
		must(ptreclaim_start(), "ptreclaim_start");
	}
	for (int i = 0; i < WORKERS; i++) {
		workers[i].seed = 88172645463325252ULL + (uint64_t)i;
		reserve(&workers[i].live, room);
		reserve(&workers[i].kept, room * rounds / KEEP_ONE_IN * 2 + 1000);
	}
}

static void finish(void)
{
	uint64_t wrong = 0, kept = 0, allocated = 0;

	for (int i = 0; i < WORKERS; i++) {
		must(-pthread_join(workers[i].thread, NULL), "pthread_join");
		wrong += workers[i].wrong;
		kept += workers[i].kept.used;
		allocated += workers[i].allocated;
	}
	printf("objects %" PRIu64 "\nkept %" PRIu64 "\nwrong %" PRIu64 "\n", allocated, kept, wrong);
}

static void run(void)
{
	struct looks looks = { 0 };
	uint64_t start = busy_ns(), end;

	for (int i = 0; i < WORKERS; i++)
		must(-pthread_create(&workers[i].thread, NULL, work, &workers[i]), "pthread_create");
	for (unsigned long i = 0; i < rounds; i++) {
		pthread_barrier_wait(&step);
		look_while_busy(&looks);
		pthread_barrier_wait(&step);
	}
	pthread_barrier_wait(&step);
	release();
	if (by_call && adapter)
		must(adapter(), "adapter");
	printf("allocator %s\nvmpte_peak %" PRIu64 "\nbusy_vmpte %" PRIu64 "\nbusy_empty %" PRIu64
	       "\nwork %" PRIu64 "\nworked_at %" PRIu64 "\n", allocator, looks.peak, looks.vmpte,
	       looks.empty, busy_ns() - start - looks.cost, clock_ns(CLOCK_MONOTONIC));
	start = others_ns();
	be_idle();
	end = others_ns();
	/* Two clocks, read one after the other: some 100 ns may be missing. */
	printf("idle_work %" PRIu64 "\nidle_at %" PRIu64 "\n", end > start ? end - start : 0,
	       clock_ns(CLOCK_MONOTONIC));
	print_tables();
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
}

static unsigned long number(const char *text)
{
	unsigned long value = strtoul(text, NULL, 10);

	return value <= 1 << 20 ? value : 0;
}

static bool parse(int argc, char **argv)
{
	int i = 1;

	by_call = i < argc && !strcmp(argv[i], "--call");
	i += by_call;
	for (size_t s = 0; i < argc && s < sizeof(all_sizes) / sizeof(*all_sizes); s++) {
		if (!strcmp(argv[i], all_sizes[s].name))
			sizes = &all_sizes[s];
	}
	if (i + 1 < argc)
		rounds = number(argv[i + 1]);
	if (i + 2 < argc)
		round_bytes = number(argv[i + 2]) << 20;
	return sizes && rounds && round_bytes && argc <= i + 3;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv))
		errx(2, "usage: churn [--call] small|large [ROUNDS [MIB]]");
	begin();
	run();
	finish();
	return 0;
}
