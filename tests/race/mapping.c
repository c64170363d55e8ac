// SPDX-License-Identifier: GPL-2.0
/* Owners that change what is mapped: protection, holes, places, the file's size. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "race.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* A piece of the window in the round's slot, and sometimes all of it. */
struct piece {
	char *start, *end;
	size_t length;
};

static struct piece piece_of(const struct run *run)
{
	unsigned int first = run->round * 5 % run->pages;
	unsigned int pages = 1 + run->round * 13 % (run->pages - first);
	struct piece piece;

	if (run->round % 5 == 4) {
		first = 0;
		pages = run->pages;
	}
	piece.start = window_page(run, run->round % SLOTS, first);
	piece.length = pages * PAGE;
	piece.end = piece.start + piece.length;
	return piece;
}

static bool within(const char *addr, const struct piece *piece)
{
	return addr >= piece->start && addr < piece->end;
}

static bool open_zeroes(struct run *run)
{
	int *zeroes = malloc(sizeof(*zeroes));

	run->private = zeroes;
	if (!zeroes)
		return fail(run, "malloc:");
	*zeroes = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return *zeroes >= 0 || fail(run, "/dev/zero:");
}

static void close_zeroes(struct run *run)
{
	if (run->private)
		close(*(int *)run->private);
	free(run->private);
}

/* The kernel does not write there for us: without a signal what a store would meet. */
static bool check_not_writable(struct run *run, char *addr)
{
	ssize_t got = read(*(int *)run->private, addr, 1);

	if (got == -1 && errno == EFAULT)
		return true;
	return fail(run, "page %zu: read() into memory that must not be written returned %zd:",
		    (size_t)(addr - run->area) / PAGE, got);
}

/* ---- mprotect ---- */

static bool protect(struct run *run, const struct piece *piece, int protection)
{
	if (mprotect(piece->start, piece->length, protection))
		return fail(run, "mprotect to %d:", protection);
	if (protection & PROT_WRITE)
		return true;
	return check_not_writable(run, piece->start) &&
	       check_not_writable(run, piece->end - PAGE);
}

static bool mprotect_round(struct run *run)
{
	struct piece piece = piece_of(run), middle = piece;

	/* Without contents, and perhaps without a table. */
	if (!protect(run, &piece, PROT_NONE) || !protect(run, &piece, PROT_READ | PROT_WRITE))
		return false;

	fill_some(run, run->round);
	if (!protect(run, &piece, PROT_NONE))
		return false;
	for (unsigned int i = 0; i < FILLED; i++)
		if (within(filled(run, i), &piece) ? !check_not_writable(run, filled(run, i)) :
		    !check(run, filled(run, i), filled(run, i), run->round))
			return false;
	/* Three and more VMAs in a table, then two, then one. */
	middle.start += piece.length / PAGE / 2 * PAGE;
	middle.length = middle.end - middle.start;
	if (!protect(run, &middle, PROT_READ) || !protect(run, &piece, PROT_READ) ||
	    !check_some(run, run->round))
		return false;
	if (!protect(run, &piece, PROT_READ | PROT_WRITE) || !check_some(run, run->round))
		return false;
	hit(run);

	/* It can be written again; and the next protection meets pages that nobody read. */
	fill_some(run, run->round + 1);
	if (!protect(run, &middle, PROT_READ) || !protect(run, &middle, PROT_READ | PROT_WRITE) ||
	    !check_some(run, run->round + 1))
		return false;
	return drop_window(run);
}

/* ---- munmap ---- */

static bool map_again(struct run *run, const struct piece *piece)
{
	int flags = run->memory == SHMEM ? MAP_SHARED : MAP_PRIVATE;

	if (run->memory == ANON)
		flags |= MAP_ANONYMOUS;
	/* What another thread had put into the hole would be lost with MAP_FIXED. */
	if (mmap(piece->start, piece->length, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE,
		 run->fd, run->memory == ANON ? 0 : piece->start - run->area) != piece->start)
		return fail(run, "page %zu: cannot map %zu bytes again:",
			    (size_t)(piece->start - run->area) / PAGE, piece->length);
	return true;
}

/* Private contents of the piece are gone, all else is as it was. */
static bool check_mapped_again(struct run *run, const struct piece *piece)
{
	for (unsigned int i = 0; i < FILLED; i++) {
		char *addr = filled(run, i);

		if (within(addr, piece) && run->memory != SHMEM ? !check_fresh(run, addr) :
		    !check(run, addr, addr, run->round))
			return false;
	}
	return true;
}

static bool munmap_round(struct run *run)
{
	struct piece piece = piece_of(run);

	fill_some(run, run->round);
	if (munmap(piece.start, piece.length))
		return fail(run, "munmap:");
	for (unsigned int i = 0; i < FILLED; i++) {
		char *addr = filled(run, i);

		if (!within(addr, &piece) && !check(run, addr, addr, run->round))
			return false;
	}
	if (!check_not_writable(run, piece.start) || !check_not_writable(run, piece.end - PAGE))
		return false;
	hit(run);
	if (!map_again(run, &piece) || !check_mapped_again(run, &piece))
		return false;
	if (!drop_window(run))
		return false;

	/* Once more, where there is nothing and perhaps no table. */
	if (munmap(piece.start, piece.length))
		return fail(run, "munmap:");
	if (!map_again(run, &piece))
		return false;
	return check_fresh(run, piece.start) && drop(run, piece.start, PAGE);
}

/* ---- mremap ---- */

#define SCRATCH	(2 * SLOT)

static bool reserve_scratch(struct run *run)
{
	/* Low, where no mmap() of another thread looks for room while there is some above. */
	for (char *hint = (char *)0x10000000000; ; hint += 1UL << 30) {
		char *scratch = mmap(hint, SCRATCH, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (scratch == hint) {
			run->private = scratch;
			return true;
		}
		if (errno != EEXIST)
			return fail(run, "mmap:");
	}
}

static void release_scratch(struct run *run)
{
	if (run->private)
		munmap(run->private, SCRATCH);
}

static bool move(struct run *run, char *from, char *to, size_t length, int flags)
{
	if (mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to)
		return true;
	return fail(run, "mremap of %zu pages at %p to %p with flags %#x:", length / PAGE, from,
		    to, flags);
}

/* All that was filled, some of it where the piece is now. */
static bool check_moved(struct run *run, const struct piece *piece, char *to)
{
	for (unsigned int i = 0; i < FILLED; i++) {
		char *addr = filled(run, i);

		if (!check(run, within(addr, piece) ? to + (addr - piece->start) : addr, addr,
			   run->round * 2))
			return false;
	}
	return true;
}

/* MREMAP_DONTUNMAP leaves memory behind that nobody wrote, or the file. */
static bool check_left_behind(struct run *run, const struct piece *piece)
{
	for (unsigned int i = 0; i < FILLED; i++) {
		char *addr = filled(run, i);

		if (within(addr, piece) &&
		    (run->memory == SHMEM ? !check(run, addr, addr, run->round * 2) :
		     !check_fresh(run, addr)))
			return false;
	}
	return true;
}

static bool move_there_and_back(struct run *run, const struct piece *piece, char *to, int flags)
{
	if (!move(run, piece->start, to, piece->length, flags) ||
	    !check_moved(run, piece, to) ||
	    (flags && !check_left_behind(run, piece)))
		return false;
	for (unsigned int i = 0; i < FILLED; i++)
		if (within(filled(run, i), piece))
			fill(run, to + (filled(run, i) - piece->start), filled(run, i),
			     run->round * 2 + 1);
	/* The scratch mapping is never a hole into which another thread could map. */
	if (!move(run, to, piece->start, piece->length, MREMAP_DONTUNMAP))
		return false;
	for (unsigned int i = 0; i < FILLED; i++)
		if (!check(run, filled(run, i), filled(run, i),
			   run->round * 2 + within(filled(run, i), piece)))
			return false;
	if (mmap(run->private, SCRATCH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) != run->private)
		return fail(run, "mmap:");
	return true;
}

/*
 * mremap() takes one mapping. That which was elsewhere while another thread set a policy for the
 * area has come back without it. A kernel without NUMA has no policies.
 */
static bool unify(struct run *run, const struct piece *piece)
{
	return !syscall(SYS_mbind, piece->start, piece->length, MPOL_DEFAULT, NULL, 0, 0) ||
	       errno == ENOSYS || fail(run, "mbind:");
}

static bool mremap_round(struct run *run)
{
	struct piece piece = piece_of(run);
	int flags = run->round / SLOTS % 2 ? MREMAP_DONTUNMAP : 0;
	char *to = run->private;

	to += (piece.start - run->area) % SLOT;
	/* Entry by entry, into two tables. At the same place in both, whole tables move. */
	if (run->round % 3 == 1)
		to += 3 * PAGE;
	/*
	 * Filled while it is one mapping: a piece that was split off before anything was in it takes
	 * the offset of the place where it is filled, and is never merged again.
	 */
	fill_some(run, run->round * 2);
	if (!unify(run, &piece))
		return false;
	if (move_there_and_back(run, &piece, to, flags))
		hit(run);
	return !run->why[0] && drop_window(run);
}

/* ---- punch ---- */

#define OWN_PAGES	32U	/* at the end of the window: of a file that can be truncated */

struct punch {
	int files[SLOTS];
};

static char *own_page(const struct run *run, unsigned int n)
{
	return window_page(run, run->round % SLOTS, run->pages - OWN_PAGES + n);
}

static bool punch_hole(struct run *run, const char *start, size_t length)
{
	if (fallocate(run->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start - run->area,
		      length))
		return fail(run, "fallocate, to punch a hole:");
	return true;
}

/* From the middle of a page into the middle of the next but one. */
static bool punch_torn_hole(struct run *run, char *addr)
{
	char expected[PAGE];

	for (unsigned int i = 0; i < 3; i++)
		fill(run, addr + i * PAGE, addr + i * PAGE, run->round);
	if (!punch_hole(run, addr + PAGE / 2, 2 * PAGE))
		return false;
	fill(run, expected, addr, run->round);
	memset(expected + PAGE / 2, 0, PAGE / 2);
	if (memcmp(addr, expected, PAGE))
		return fail(run, "page %zu, round %lu: a hole from its middle on is not just that",
			    (size_t)(addr - run->area) / PAGE, run->round);
	if (!check_fresh(run, addr + PAGE))
		return false;
	fill(run, expected, addr + 2 * PAGE, run->round);
	memset(expected, 0, PAGE / 2);
	if (memcmp(addr + 2 * PAGE, expected, PAGE))
		return fail(run, "page %zu, round %lu: a hole up to its middle is not just that",
			    (size_t)(addr - run->area) / PAGE + 2, run->round);
	return true;
}

static bool is_gone(const char *addr)
{
	return !(pagemap_entry(addr) & (PM_PRESENT | PM_SWAP));
}

/* Cuts the file, somewhere or whole, and makes it long again. Nobody may touch it between. */
static bool truncate_own(struct run *run)
{
	const struct punch *punch = run->private;
	int file = punch->files[run->round % SLOTS];
	unsigned int left = run->round % 4 ? run->round % OWN_PAGES : 0;

	for (unsigned int i = 0; i < OWN_PAGES; i += 3)
		fill(run, own_page(run, i), own_page(run, i), run->round);
	if (ftruncate(file, left * PAGE))
		return fail(run, "ftruncate:");
	for (unsigned int i = left; i < OWN_PAGES; i++)
		if (!is_gone(own_page(run, i)))
			return fail(run, "page %u of a file of %u pages is still mapped", i, left);
	if (ftruncate(file, OWN_PAGES * PAGE))
		return fail(run, "ftruncate:");
	for (unsigned int i = 0; i < OWN_PAGES; i++)
		if (i < left && i % 3 == 0 ?
		    !check(run, own_page(run, i), own_page(run, i), run->round) :
		    !check_fresh(run, own_page(run, i)))
			return false;
	if (ftruncate(file, 0) || ftruncate(file, OWN_PAGES * PAGE))
		return fail(run, "ftruncate:");
	return true;
}

static bool punch_round(struct run *run)
{
	unsigned int pages = run->pages - OWN_PAGES;
	char *start = window_page(run, run->round % SLOTS, 0);
	char *addr = start + run->round / SLOTS * 5 % (pages - 3) * PAGE;
	bool gone = true;

	if (!punch_torn_hole(run, addr) || !punch_hole(run, start, pages * PAGE))
		return false;
	for (unsigned int i = 0; i < pages; i += 11)
		fill(run, start + i * PAGE, start + i * PAGE, run->round);
	if (!punch_hole(run, start, pages * PAGE))
		return false;
	/* With a huge page in the file a neighbour's fault may map what is in the hole. */
	for (unsigned int i = 0; i < pages; i += 11)
		gone &= is_gone(start + i * PAGE);
	for (unsigned int i = 0; i < pages; i += 11)
		if (!check_fresh(run, start + i * PAGE))
			return false;
	if (!punch_hole(run, start, pages * PAGE) || !truncate_own(run))
		return false;
	if (gone)
		hit(run);
	return true;
}

static bool punch_set_up(struct run *run)
{
	struct punch *punch = malloc(sizeof(*punch));

	run->private = punch;
	if (!punch)
		return fail(run, "malloc:");
	for (unsigned int i = 0; i < SLOTS; i++)
		punch->files[i] = memfd_create("punch", MFD_CLOEXEC);
	for (unsigned int i = 0; i < SLOTS; i++)
		if (punch->files[i] < 0 || ftruncate(punch->files[i], OWN_PAGES * PAGE) ||
		    mmap(window_page(run, i, run->pages - OWN_PAGES), OWN_PAGES * PAGE,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, punch->files[i], 0) ==
		    MAP_FAILED)
			return fail(run, "cannot map a file:");
	return true;
}

static void punch_tear_down(struct run *run)
{
	struct punch *punch = run->private;

	for (unsigned int i = 0; punch && i < SLOTS; i++)
		if (punch->files[i] >= 0)
			close(punch->files[i]);
	free(punch);
}

const struct actor mapping_actors[] = {
	{
		.name = "mprotect",
		.does = "changes the protection of pieces, which splits and merges VMAs",
		.memory = ON_ALL, .owner = true, .rounds = 50,
		.set_up = open_zeroes, .round = mprotect_round, .tear_down = close_zeroes,
	},
	{
		.name = "munmap",
		.does = "unmaps pieces and maps them again",
		.memory = ON_ALL, .owner = true, .rounds = 50,
		.set_up = open_zeroes, .round = munmap_round, .tear_down = close_zeroes,
	},
	{
		.name = "mremap",
		.does = "moves pieces elsewhere and back",
		.memory = ON_ALL, .owner = true, .rounds = 50,
		.set_up = reserve_scratch, .round = mremap_round, .tear_down = release_scratch,
	},
	{
		.name = "punch",
		.does = "punches holes into the file, and truncates one",
		.memory = ON_SHMEM, .owner = true, .rounds = 50,
		.set_up = punch_set_up, .round = punch_round, .tear_down = punch_tear_down,
	},
	{ }
};
