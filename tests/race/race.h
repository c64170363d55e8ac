/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The race matrix: actors that use page tables, beside threads and processes that
 * reclaim page tables of the same memory without pause.
 *
 * A test is one or two actors on one area, in a process of its own. The area is
 * SLOTS times what one page table maps. An actor that owns memory has a window,
 * some pages of every slot: it puts contents there, checks them and takes them away
 * again, so that tables become empty and are freed, while the rest of the table is
 * another owner's. An actor that does not own memory does something to all of the
 * area that leaves contents alone.
 */
#ifndef RACE_H
#define RACE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease	448
#endif
#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT	26
#endif

#define PAGE		4096UL
#define SLOT		(2UL << 20)	/* what one page table maps */
#define SLOT_PAGES	(SLOT / PAGE)
#define SLOTS		8
#define AREA		(SLOTS * SLOT)
/* Far from where mmap() puts what others map while actors unmap a part of the area. */
#define AREA_START	((char *)(1UL << 40))

enum memory {
	ANON,		/* private, anonymous */
	SHMEM,		/* shared, a memfd */
	FILE_PRIVATE,	/* private, of a file of a disk, which is full of contents */
	NR_MEMORY,
};

extern const char *const memory_names[NR_MEMORY];

#define ON_ANON		(1U << ANON)
#define ON_SHMEM	(1U << SHMEM)
#define ON_FILE		(1U << FILE_PRIVATE)
#define ON_ALL		(ON_ANON | ON_SHMEM | ON_FILE)

/* What an actor has in one test. */
struct run {
	const struct actor *actor;
	char *area;			/* SLOTS slots, aligned to SLOT */
	enum memory memory;
	int fd;				/* its file, whose page n is the area's page n; or -1 */
	unsigned int first, pages;	/* the window: these pages of each slot are the actor's */
	void *private;			/* the actor's own */
	unsigned long round;		/* rounds done; counts on, never reset */
	atomic_ulong hits;		/* rounds in which what the actor is for did happen */
	atomic_ulong rounds;		/* as round, for other threads */
	atomic_bool *stop;		/* the test is over: a round that waits must look at it */
	char why[240];			/* what went wrong or why it cannot run, or empty */
	bool skipped;			/* it is why it cannot run */
};

struct actor {
	const char *name;		/* as in the command line: lower case and dashes */
	const char *does;		/* for --list: a line */
	unsigned int memory;		/* bits: the kinds of memory it works on */
	bool owner;			/* has a window */
	bool swap;			/* needs swap space */
	bool scarce;			/* calls let_fail() */
	bool advises;			/* sends MADV_RECLAIM_PT to another process */
	unsigned int rounds;		/* how many rounds are a unit of work; see race.c */
	/* Each returns false if it failed, after fail() or skip(); NULL is nothing to do. */
	bool (*set_up)(struct run *run);
	bool (*round)(struct run *run);	/* a thread calls it until the test is over */
	void (*tear_down)(struct run *run);	/* also after a set_up() that failed */
};

/* One array for each file, which ends with an actor that has no name. */
extern const struct actor fault_actors[];
extern const struct actor madvise_actors[];
extern const struct actor mapping_actors[];
extern const struct actor process_actors[];
extern const struct actor uffd_actors[];
extern const struct actor gup_actors[];
extern const struct actor thp_actors[];
extern const struct actor reclaim_actors[];
extern const struct actor look_actors[];

/* Notes what is wrong, with errno's text if @format ends with a colon. Returns false. */
bool fail(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* For set_up(): what the actor needs is not there. Returns false. */
bool skip(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The round did what the actor is for. A test in which it never happens fails. */
static inline void hit(struct run *run)
{
	atomic_fetch_add_explicit(&run->hits, 1, memory_order_relaxed);
}

static inline bool stopping(const struct run *run)
{
	return atomic_load_explicit(run->stop, memory_order_relaxed);
}

/* The page of the window that is this round's turn: another slot in each round. */
char *turn(const struct run *run);
/* The window in the slot that is this round's turn. */
char *window(const struct run *run);
/* Page @n of the window in @slot. */
static inline char *window_page(const struct run *run, unsigned int slot, unsigned int n)
{
	return run->area + slot * SLOT + (run->first + n) * PAGE;
}

/*
 * Contents. What a page holds tells which page it is and in which round it was
 * written, so that no other page's and no older contents pass for it.
 */
/* Writes contents of @round for the page at @addr of the area into @page, often @addr itself. */
void fill(const struct run *run, void *page, const char *addr, unsigned long round);
/* They are in @page; fails otherwise, and tells whether they are lost, older or foreign. */
bool check(struct run *run, const void *page, const char *addr, unsigned long round);
/* The page at @addr holds what it holds where nobody wrote: zeroes, or the file's contents. */
bool check_fresh(struct run *run, const char *addr);
/*
 * Empties pages, as the memory's kind wants it: fresh contents and no entry afterwards.
 * A fault on a file maps the pages around it, too; so all of the FAULT_AROUND blocks
 * that the range touches are emptied there. Windows are made of whole blocks.
 */
#define FAULT_AROUND	(64UL << 10)
bool drop(struct run *run, char *addr, size_t length);

/*
 * MADV_DONTNEED for a slot at most, in two calls that cover no table whole if it is the
 * advice that is to free it. As madvise().
 */
int take_out(char *addr, size_t length);

/* Empties the window in the slot that is this round's turn. */
bool drop_window(struct run *run);

/* Some pages of that slot, other ones after SLOTS rounds, and their contents. */
#define FILLED	12
char *filled(const struct run *run, unsigned int i);
void fill_some(const struct run *run, unsigned long round);
bool check_some(struct run *run, unsigned long round);

/* /proc/self/pagemap's entry of the page. */
uint64_t pagemap_entry(const char *addr);
#define PM_PRESENT	(1ULL << 63)
#define PM_SWAP		(1ULL << 62)
#define PM_UFFD_WP	(1ULL << 57)
#define PFN_MASK	((1ULL << 55) - 1)

/* Those of @nr pages from @addr on; false if they cannot be read. */
bool pagemap_entries(const char *addr, uint64_t *entries, size_t nr);
/* Contents of one of @nr pages, of a slot at most, are in swap space and nowhere else. */
bool in_swap(const struct run *run, const char *addr, size_t nr);

/* Allocations of this test fail on purpose, see race --fail. */
extern bool scarce;

/* In a scarce test, allocations of this thread fail now and then, or no longer do. Keeps errno. */
void let_fail(bool on);

/* That is why a call failed, which may be repeated. */
static inline bool out_of_memory(void)
{
	return scarce && errno == ENOMEM;
}

/*
 * MADV_DONTNEED alone frees tables. Pages of shared memory leave their tables at any time,
 * though not the file.
 */
extern bool only_dontneed;

/* Nobody sends MADV_RECLAIM_PT, which the kernel may not know. */
extern bool without_advice;

/* The number on the row of @name in a file like /proc/vmstat; 0 if it is not there. */
unsigned long read_row(const char *path, const char *name);
/* Writes into a file of /proc, /sys or a cgroup; false and errno if that failed. */
bool write_to(const char *path, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The first word of a file, or of several the one in brackets; false if there is none. */
bool read_setting(const char *path, char *value, size_t size);

/* A setting of the kernel, and what it was before. */
struct setting {
	const char *path, *value;
	bool optional;		/* not every kernel has it */
	bool changed;
	char before[32];
};

/* Returns a copy for change_back(), or NULL after skip() or fail(). */
struct setting *change_settings(struct run *run, const struct setting *settings, size_t count);
void change_back(struct setting *settings, size_t count);

/*
 * Forks a child that does @work, ends with status 0 and never outlives the thread.
 * Returns its pid, or less than 0 after fail().
 */
pid_t start_child(struct run *run, void (*work)(struct run *run));

/* What the exec actor executes: returns the status to exit with. */
int live_after_exec(void);

/* A directory of a file system that has O_DIRECT; for files that the test creates. */
extern const char *const disk;

#endif
