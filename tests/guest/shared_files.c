// SPDX-License-Identifier: GPL-2.0
/*
 * shared_files [ROUNDS]: processes of several threads map the same files, shared and private,
 * and take the pages out again by MADV_DONTNEED, whole tables and parts of them, while another
 * process cuts a file, lengthens it, and punches holes into a second one. On ext4 and on tmpfs.
 * Every page shows what it must, and tables are freed on the way. KTAP output; run as root. What
 * the kernel finds wrong when a process ends ("Bad rss-counter", "non-zero pgtables_bytes")
 * makes vm/run fail.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bench/procfs.h"
#include "ktap.h"

#define PAGE		4096UL
#define KB		4L		/* in a page table */
#define TABLE		(2UL << 20)	/* what one PTE table maps */
#define TABLE_PAGES	(TABLE / PAGE)
#define FILE_PAGES	768U		/* no multiple: a table can map two files */
#define FILE_SIZE	(FILE_PAGES * PAGE)
#define WORKERS		6
#define THREADS		2		/* of a worker; as many as a file needs tables */
#define WRITERS		(WORKERS * THREADS)
#define COPIES		8U		/* pages of a private mapping that a thread writes */
#define READS		6
#define FORK_EVERY	4		/* rounds */
#define DEFAULT_ROUNDS	60
#define STEP		8		/* words: each cache line is looked at */
#define WORDS		(PAGE / sizeof(uint64_t))

enum { STILL, PUNCHED, CUT, FILES };

static const char *const file_names[FILES] = { "still", "punched", "cut" };

/* Shared mappings follow each other; a private one has THREADS tables for itself. */
#define SHARED_SIZE	((FILES * FILE_SIZE + TABLE - 1) & -TABLE)
#define AREA_SIZE	(SHARED_SIZE + FILES * THREADS * TABLE)

/* Of all processes. */
static struct {
	atomic_bool stop;
	atomic_ulong looks, wrong;
	atomic_ulong copies, holes, ends;	/* pages that were found to be that */
	atomic_ulong children, poor;		/* those that freed too few tables */
	atomic_ulong freed;			/* tables, by all of the children */
	atomic_ulong changes;
	char why[160];
} *shared;

static int files[FILES];
static char *area;

struct copy {
	unsigned int page;
	uint64_t word;		/* in all of the page, or 0 */
};

struct thread {
	unsigned int worker, number;
	unsigned long rounds;
	uint64_t random;
	uint64_t generation;
	uint64_t written[FILE_PAGES];	/* its own pages of STILL, which nobody else writes */
	struct copy copies[FILES][COPIES];
};

/* The same numbers in each run. */
static unsigned int below(struct thread *thread, unsigned int limit)
{
	thread->random = thread->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (thread->random >> 33) % limit;
}

static char *shared_page(unsigned int file, unsigned int page)
{
	return area + file * FILE_SIZE + page * PAGE;
}

static char *private_page(unsigned int file, unsigned int page)
{
	return area + SHARED_SIZE + file * THREADS * TABLE + page * PAGE;
}

/* ---- what pages hold: in all words that are looked at the same ---- */

#define CONTENTS	1ULL		/* in the upper four bits */
#define COPY		2ULL
#define GENERATION	((1ULL << 40) - 1)

static uint64_t contents(unsigned int file, unsigned int page, uint64_t generation)
{
	return CONTENTS << 60 | (uint64_t)file << 52 | (uint64_t)page << 40 | generation;
}

/* In a private copy of the worker. */
static uint64_t copied(unsigned int worker, unsigned int page, uint64_t generation)
{
	return COPY << 60 | (uint64_t)worker << 52 | (uint64_t)page << 40 | generation;
}

static bool same_but_generation(uint64_t a, uint64_t b)
{
	return !((a ^ b) & ~GENERATION);
}

static void complain(unsigned int file, unsigned int page, uint64_t found, const char *expected)
{
	if (!atomic_fetch_add(&shared->wrong, 1))
		snprintf(shared->why, sizeof(shared->why), "%s, page %u: %#llx is not %s",
			 file_names[file], page, (unsigned long long)found, expected);
}

/* What a page of a mapping may hold. */
struct expected {
	uint64_t word;		/* no other, unless the file was cut; or 0: what is in the file */
	uint64_t copy;		/* or this copy of any generation; or 0 */
};

static bool right(uint64_t found, unsigned int file, unsigned int page,
		  const struct expected *expected)
{
	if (expected->word && (file != CUT || found == expected->word))
		return found == expected->word;
	if (!found)
		return file != STILL;
	return same_but_generation(found, contents(file, page, 0)) ||
	       (expected->copy && same_but_generation(found, expected->copy));
}

/* A page behind the end of a file is a SIGBUS: only CUT may have one. */
static _Thread_local sigjmp_buf past_end;

static void on_sigbus(int signal)
{
	(void)signal;
	siglongjmp(past_end, 1);
}

static void met_end(unsigned int file, unsigned int page)
{
	atomic_fetch_add(&shared->ends, 1);
	if (file != CUT)
		complain(file, page, 0, "within the file: SIGBUS");
}

static void look(const char *addr, unsigned int file, unsigned int page, struct expected expected)
{
	const volatile uint64_t *words = (const volatile uint64_t *)addr;
	uint64_t found = 0;

	atomic_fetch_add(&shared->looks, 1);
	if (sigsetjmp(past_end, 0)) {
		met_end(file, page);
		return;
	}
	for (unsigned int i = 0; i < WORDS; i += STEP) {
		found = words[i];
		if (!right(found, file, page, &expected)) {
			complain(file, page, found, expected.word ? "what its owner wrote" :
				 expected.copy ? "the file's nor a copy" : "the file's");
			return;
		}
	}
	if (!found)
		atomic_fetch_add(&shared->holes, 1);
	else if (found >> 60 == COPY)
		atomic_fetch_add(&shared->copies, 1);
}

/* False if the page lies behind the end of the file. */
static bool store(char *addr, unsigned int file, unsigned int page, uint64_t word)
{
	volatile uint64_t *words = (volatile uint64_t *)addr;

	if (sigsetjmp(past_end, 0)) {
		met_end(file, page);
		return false;
	}
	for (unsigned int i = 0; i < WORDS; i += STEP)
		words[i] = word;
	return true;
}

static void dontneed(char *start, size_t length)
{
	must(!madvise(start, length, MADV_DONTNEED), "MADV_DONTNEED");
}

/* ---- a private mapping: a thread writes, and empties, the pages of one table of it ---- */

static unsigned int first_page(const struct thread *thread)
{
	return thread->number * TABLE_PAGES;
}

static unsigned int last_page(const struct thread *thread)
{
	unsigned int last = first_page(thread) + TABLE_PAGES;

	return last < FILE_PAGES ? last : FILE_PAGES;
}

static void make_copies(struct thread *thread, unsigned int file)
{
	unsigned int step = (last_page(thread) - first_page(thread)) / COPIES;

	for (unsigned int i = 0; i < COPIES; i++) {
		struct copy *copy = &thread->copies[file][i];

		copy->page = first_page(thread) + i * step + below(thread, step);
		copy->word = copied(thread->worker, copy->page, ++thread->generation);
		if (!store(private_page(file, copy->page), file, copy->page, copy->word))
			copy->word = 0;
	}
}

static void look_at_copies(struct thread *thread, unsigned int file)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		const struct copy *copy = &thread->copies[file][i];

		look(private_page(file, copy->page), file, copy->page,
		     (struct expected){ .word = copy->word });
	}
}

static void forget_copies(struct thread *thread, unsigned int file, unsigned int from,
			  unsigned int to)
{
	for (unsigned int i = 0; i < COPIES; i++)
		if (thread->copies[file][i].page >= from && thread->copies[file][i].page < to)
			thread->copies[file][i].word = 0;
}

static void use_private(struct thread *thread, unsigned int file)
{
	unsigned int from, to, other = below(thread, FILE_PAGES);

	make_copies(thread, file);
	look_at_copies(thread, file);
	look(private_page(file, other), file, other,
	     (struct expected){ .copy = copied(thread->worker, other, 0) });

	from = first_page(thread) + below(thread, last_page(thread) - first_page(thread));
	to = from + 1 + below(thread, last_page(thread) - from);
	dontneed(private_page(file, from), (to - from) * PAGE);
	forget_copies(thread, file, from, to);
	look_at_copies(thread, file);

	dontneed(private_page(file, first_page(thread)), TABLE);
	forget_copies(thread, file, 0, FILE_PAGES);
	look_at_copies(thread, file);
}

/* ---- the shared mappings: all may empty all of it ---- */

/* Takes out whole tables, some of which map two files, or a part of the mapping. */
static void empty_shared(struct thread *thread)
{
	unsigned int unit = below(thread, 2) ? TABLE_PAGES : 1, units = SHARED_SIZE / PAGE / unit;
	unsigned int from = below(thread, units), to = from + 1 + below(thread, units - from);

	dontneed(area + from * unit * PAGE, (to - from) * unit * PAGE);
}

static unsigned int writer(const struct thread *thread)
{
	return thread->worker * THREADS + thread->number;
}

static void write_own(struct thread *thread)
{
	unsigned int page = below(thread, FILE_PAGES / WRITERS) * WRITERS + writer(thread);

	thread->written[page] = contents(STILL, page, ++thread->generation);
	store(shared_page(STILL, page), STILL, page, thread->written[page]);
}

static void look_at_own(struct thread *thread)
{
	for (unsigned int page = writer(thread); page < FILE_PAGES; page += 4 * WRITERS)
		look(shared_page(STILL, page), STILL, page,
		     (struct expected){ .word = thread->written[page] });
}

/* Into a hole, or again what is there. */
static void write_file(struct thread *thread, unsigned int file)
{
	unsigned int page = below(thread, FILE_PAGES);

	store(shared_page(file, page), file, page, contents(file, page, 0));
}

static void look_at_some(struct thread *thread, unsigned int file)
{
	for (int i = 0; i < READS; i++) {
		unsigned int page = below(thread, FILE_PAGES);

		look(shared_page(file, page), file, page, (struct expected){});
	}
}

static void use_shared(struct thread *thread)
{
	for (unsigned int file = 0; file < FILES; file++)
		look_at_some(thread, file);
	write_own(thread);
	write_file(thread, PUNCHED);
	write_file(thread, CUT);
	look_at_own(thread);
	empty_shared(thread);
	look_at_own(thread);
}

/* ---- a child, which has copies of the private pages and is the only one to use its tables ---- */

#define FREED_BY_CHILD	4	/* of both mappings of STILL and PUNCHED, one at least of each */

static long vmpte(void)
{
	return procfs_kb(getpid(), "status", "VmPTE");
}

/* All that runs in between runs once before: the program's own pages take tables, too. */
static void free_tables(void)
{
	long before, freed;

	dontneed(area, PAGE);
	vmpte();
	before = vmpte();
	dontneed(area, AREA_SIZE);
	freed = (before - vmpte()) / KB;
	if (freed < FREED_BY_CHILD)
		atomic_fetch_add(&shared->poor, 1);
	atomic_fetch_add(&shared->freed, freed);
}

static void child(struct thread *thread)
{
	unsigned int page = below(thread, FILE_PAGES);

	for (unsigned int file = 0; file < FILES; file++) {
		uint64_t word = copied(thread->worker, page, ++thread->generation);

		look_at_copies(thread, file);
		look(shared_page(file, page), file, page, (struct expected){});
		if (store(private_page(file, page), file, page, word))
			look(private_page(file, page), file, page,
			     (struct expected){ .word = word });
	}
	free_tables();
	for (unsigned int file = 0; file < FILES; file++) {
		forget_copies(thread, file, 0, FILE_PAGES);
		look_at_copies(thread, file);
		look(shared_page(file, page), file, page, (struct expected){});
		look(private_page(file, page), file, page, (struct expected){});
	}
	_exit(0);
}

static void run_child(struct thread *thread)
{
	int status;
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (!pid)
		child(thread);
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status)
		complain(STILL, 0, status, "the status of a child that ends well");
	atomic_fetch_add(&shared->children, 1);
}

/* ---- a worker ---- */

static void map_files(void)
{
	char *start = mmap(NULL, AREA_SIZE + TABLE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int protection = PROT_READ | PROT_WRITE;

	must(start != MAP_FAILED, "mmap");
	area = (char *)(((uintptr_t)start + TABLE - 1) & -TABLE);
	for (unsigned int i = 0; i < FILES; i++)
		must(mmap(shared_page(i, 0), FILE_SIZE, protection, MAP_SHARED | MAP_FIXED,
			  files[i], 0) == shared_page(i, 0) &&
		     mmap(private_page(i, 0), FILE_SIZE, protection, MAP_PRIVATE | MAP_FIXED,
			  files[i], 0) == private_page(i, 0), "mmap");
}

static void *use_files(void *argument)
{
	struct thread *thread = argument;

	for (unsigned long round = 0; round < thread->rounds; round++) {
		use_shared(thread);
		for (unsigned int file = 0; file < FILES; file++) {
			use_private(thread, file);
			make_copies(thread, file);
		}
		if (round % FORK_EVERY == 0)
			run_child(thread);
	}
	return NULL;
}

static void work(unsigned int worker, unsigned long rounds)
{
	static struct thread threads[THREADS];
	pthread_t second;

	map_files();
	for (unsigned int i = 0; i < THREADS; i++) {
		threads[i].worker = worker;
		threads[i].number = i;
		threads[i].rounds = rounds;
		threads[i].random = worker * THREADS + i + 1;
		for (unsigned int page = 0; page < FILE_PAGES; page++)
			threads[i].written[page] = contents(STILL, page, 0);
	}
	must(!pthread_create(&second, NULL, use_files, &threads[1]), "pthread_create");
	use_files(&threads[0]);
	must(!pthread_join(second, NULL), "pthread_join");
	_exit(0);
}

/* ---- the process that changes files ---- */

static void write_pages(unsigned int file, unsigned int from, unsigned int count)
{
	uint64_t words[WORDS];

	for (unsigned int page = from; page < from + count && page < FILE_PAGES; page++) {
		for (unsigned int i = 0; i < WORDS; i++)
			words[i] = contents(file, page, 0);
		must(pwrite(files[file], words, PAGE, page * PAGE) == PAGE, "pwrite");
	}
}

/* The file stays short while another one is changed. */
static void change_files(void)
{
	struct thread thread = { .random = 1000 };

	while (!atomic_load(&shared->stop)) {
		unsigned int page = below(&thread, FILE_PAGES);

		must(!ftruncate(files[CUT], page * PAGE + below(&thread, WORDS) * sizeof(uint64_t)),
		     "ftruncate");
		must(!fallocate(files[PUNCHED], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				page * PAGE, (1 + below(&thread, FILE_PAGES - page)) * PAGE),
		     "fallocate");
		/* Out of the page cache, if nobody maps it: what was written has to come back. */
		must(!fdatasync(files[STILL]) &&
		     !posix_fadvise(files[STILL], 0, FILE_SIZE, POSIX_FADV_DONTNEED), "fdatasync");
		write_pages(PUNCHED, below(&thread, FILE_PAGES), FILE_PAGES / 4);
		must(!ftruncate(files[CUT], FILE_SIZE), "ftruncate");
		write_pages(CUT, below(&thread, FILE_PAGES), FILE_PAGES / 4);
		atomic_fetch_add(&shared->changes, 1);
	}
	_exit(0);
}

/* ---- a file system ---- */

static void open_files(const char *directory)
{
	char path[128];

	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/shared-%s", directory, file_names[i]);
		files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		must(files[i] >= 0, path);
		write_pages(i, 0, FILE_PAGES);
	}
}

static void close_files(void)
{
	for (unsigned int i = 0; i < FILES; i++)
		close(files[i]);
}

static bool ends_well(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status)
		printf("# a process ends with status %#x\n", status);
	return !status;
}

/* True if all processes end well. */
static bool run_all(unsigned long rounds)
{
	pid_t pids[WORKERS], changer = fork();
	bool good = true;

	must(changer >= 0, "fork");
	if (!changer)
		change_files();
	for (unsigned int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		must(pids[i] >= 0, "fork");
		if (!pids[i])
			work(i, rounds);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		good &= ends_well(pids[i]);
	atomic_store(&shared->stop, true);
	return ends_well(changer) && good;
}

static void test(const char *name, const char *directory, unsigned long rounds)
{
	long long freed = procfs_vmstat("pt_reclaim_freed");
	bool good;

	memset(shared, 0, sizeof(*shared));
	open_files(directory);
	fflush(stdout);
	good = run_all(rounds);
	close_files();
	freed = procfs_vmstat("pt_reclaim_freed") - freed;

	printf("# %s: %lu looks at pages: %lu copies, %lu holes, %lu behind the end; files changed "
	       "%lu times; %lld tables freed, %lu of them by %lu children\n", name, shared->looks,
	       shared->copies, shared->holes, shared->ends, shared->changes, freed, shared->freed,
	       shared->children);
	if (shared->wrong)
		printf("# %lu pages are wrong; the first: %s\n", shared->wrong, shared->why);
	result(good, "%s: all processes end well", name);
	result(shared->looks && !shared->wrong, "%s: pages show what they must", name);
	result(shared->copies && shared->holes && shared->ends,
	       "%s: copies, holes and ends of files were met", name);
	result(shared->children && !shared->poor,
	       "%s: MADV_DONTNEED frees %d tables of each child at least", name, FREED_BY_CHILD);
	result(freed > (long long)shared->freed,
	       "%s: and tables of mappings that other threads use", name);
}

static void mount_ext4(const char *directory)
{
	char command[256];

	snprintf(command, sizeof(command), "mkdir %s && truncate -s 64M %s.img && "
		 "mkfs.ext4 -q %s.img && mount $(losetup -f --show %s.img) %s", directory,
		 directory, directory, directory, directory);
	if (system(command))
		errx(1, "cannot mount an ext4 on %s", directory);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : DEFAULT_ROUNDS;
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!rounds || argc > 2)
		errx(2, "usage: shared_files [ROUNDS]");
	if (!reclaim_pt_supported())
		errx(1, "this kernel has no MADV_RECLAIM_PT");
	must(!sigaction(SIGBUS, &action, NULL), "sigaction");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	must(shared != MAP_FAILED, "mmap");
	mount_ext4("/tmp/ext4");

	printf("TAP version 13\n1..10\n");
	test("tmpfs", "/tmp", rounds);
	test("ext4", "/tmp/ext4", rounds);
	return !!failures;
}
