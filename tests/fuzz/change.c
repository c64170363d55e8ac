// SPDX-License-Identifier: GPL-2.0
/*
 * Random changes of the arena, each done by the kernel and by the model.
 *
 * Left out, since what they leave behind is not the contract's to say: huge pages
 * by page faults and of files (whether there is one depends on free memory, and a
 * collapsed file takes the tables of other mappings), mremap() of huge pages and of
 * what userfaultfd watches, truncation, fork() (the arena of the child would be
 * another process's), memory pressure, and whatever another thread does meanwhile:
 * the race tests have that.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../tools/lib/ptreclaim/maps.h"
#include "fuzz.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

#define RW		(PROT_READ | PROT_WRITE)
#define COMB_PAGES	1200
#define VVAR_HOME	((void *)(4 * PUD_SPAN + PAGE))

static uint32_t last_value;

static void *at(unsigned int page)
{
	return (void *)address(page);
}

static unsigned int min(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int region_start(unsigned int page)
{
	return page < LOW_PAGES ? 0 : LOW_PAGES;
}

static unsigned int region_end(unsigned int page)
{
	return page < LOW_PAGES ? LOW_PAGES : PAGES;
}

/* All of the slot is of these kinds. */
static bool is_full(unsigned int page, unsigned int kinds)
{
	return model_count(page / SLOT_PAGES, kinds) == SLOT_PAGES;
}

unsigned int run_start(unsigned int page, unsigned int kinds)
{
	unsigned int start = region_start(page);

	while (page > start && is_kind(page - 1, kinds))
		page -= !(page % SLOT_PAGES) && is_full(page - 1, kinds) ? SLOT_PAGES : 1;
	return page;
}

unsigned int run_end(unsigned int page, unsigned int kinds)
{
	unsigned int end = region_end(page);

	while (page < end && is_kind(page, kinds))
		page += !(page % SLOT_PAGES) && is_full(page, kinds) ? SLOT_PAGES : 1;
	return page;
}

static bool is_huge(unsigned int page)
{
	return model_huge(page / SLOT_PAGES);
}

/* First and last entries of tables come up more often than chance would have it. */
static unsigned int any_page(void)
{
	unsigned int page = rnd(PAGES);

	if (chance(20))
		return page / SLOT_PAGES * SLOT_PAGES;
	if (chance(15))
		return page | (SLOT_PAGES - 1);
	return page;
}

/* The next one from somewhere on. */
static bool pick(unsigned int kinds, int prot, unsigned int *page)
{
	unsigned int next = any_page(), seen = 0, step;

	for (; seen < PAGES; seen += step, next = (next + step) % PAGES) {
		step = 1;
		if (!model_count(next / SLOT_PAGES, kinds))
			step = SLOT_PAGES - next % SLOT_PAGES;
		else if (is_kind(next, kinds) && (pages[next].prot & prot) == prot)
			break;
	}
	*page = next;
	return seen < PAGES;
}

/* At most MOST pages of these kinds in a row. */
static bool pick_run(unsigned int kinds, unsigned int most, unsigned int *first, unsigned int *n)
{
	unsigned int end;

	if (!pick(kinds, 0, first))
		return false;
	if (most > SLOT_PAGES && chance(60))
		*first = run_start(*first, kinds);
	end = run_end(*first, kinds);
	*n = min(end - *first, chance(50) ? most : 1 + rnd(most));
	return true;
}

static bool any_huge(unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++)
		if (is_huge(i))
			return true;
	return false;
}

/*
 * [vvar] has room for drivers' entries and none in it, but there is only one. It is
 * kept outside the arena, beside a page that has a table there, and comes and goes.
 * Nothing may ask the vDSO for the time any more.
 */
static unsigned int vvar_pages, vvar_place;
static bool vvar_inside;

static void move_vvar(void *from, void *to)
{
	size_t size = vvar_pages * PAGE;

	need(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to,
	     "mremap of [vvar]");
}

void open_vvar(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	static struct maps_reader maps;
	struct ptreclaim_vma vma;
	char *beside;

	need(fd >= 0, "/proc/self/maps");
	ptreclaim_maps_start(&maps, ptreclaim_maps_read_fd, &fd);
	while (ptreclaim_maps_next(&maps, &vma) == 1)
		if (!strcmp(vma.name, "[vvar]"))
			break;
	close(fd);
	need(!strcmp(vma.name, "[vvar]"), "[vvar] in /proc/self/maps");
	vvar_pages = (vma.end - vma.start) / PAGE;
	beside = mmap((char *)VVAR_HOME - PAGE, PAGE, RW,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	need(beside == (char *)VVAR_HOME - PAGE, "mmap beside [vvar]");
	*beside = 1;
	move_vvar((void *)vma.start, VVAR_HOME);
}

static void rescue_vvar(unsigned int first, unsigned int end)
{
	if (!vvar_inside || vvar_place >= end || vvar_place + vvar_pages <= first)
		return;
	note("vvar home");
	move_vvar(at(vvar_place), VVAR_HOME);
	model_unmap(vvar_place, vvar_pages);
	vvar_inside = false;
}

/* hugetlb cannot be cut. */
static void unmap(unsigned int first, unsigned int n)
{
	unsigned int end = first + n;

	if (pages[first].kind == HUGETLB)
		first -= first % SLOT_PAGES;
	if (pages[end - 1].kind == HUGETLB)
		end = (end + SLOT_PAGES - 1) / SLOT_PAGES * SLOT_PAGES;
	rescue_vvar(first, end);
	note("munmap %u+%u", first, end - first);
	need(!munmap(at(first), (end - first) * PAGE), "munmap");
	model_unmap(first, end - first);
}

static void pick_range(unsigned int *first, unsigned int *n)
{
	*first = any_page();
	if (chance(30))
		*n = 1 + rnd(64);
	else if (chance(50))
		*n = 1 + rnd(SLOT_PAGES);
	else
		*n = (1 + rnd(3)) * SLOT_PAGES;
	*n = min(*n, region_end(*first) - *first);
}

static void change_unmap(void)
{
	unsigned int first, n;

	pick_range(&first, &n);
	if (chance(50))
		n = min(n, 40);
	unmap(first, n);
}

static enum kind pick_kind(void)
{
	static const uint8_t weights[KINDS] = {
		[ANON] = 36, [GROWSDOWN] = 5, [LOCKED] = 4, [SHARED] = 11, [MEMFD] = 10,
		[PRIVATE] = 10, [WP_ANON] = 6, [WP_SHARED] = 7, [MIXED] = 6, [DEVICE] = 2,
		[HUGETLB] = 3,
	};
	unsigned int left = rnd(100);
	enum kind kind = ANON;

	while (left >= weights[kind])
		left -= weights[kind++];
	return kind;
}

static unsigned int count_slots_of(enum kind kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PAGES; i += SLOT_PAGES)
		n += pages[i].kind == kind;
	return n;
}

static int pick_prot(enum kind kind)
{
	if (kind == MIXED || kind == DEVICE)
		return PROT_READ;
	if (!(KIND(kind) & OF_PAGES) || chance(75))
		return RW;
	return chance(60) ? PROT_READ : PROT_NONE;
}

static int map_flags(enum kind kind)
{
	switch (kind) {
	case GROWSDOWN:
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN;
	case LOCKED:
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED;
	case HUGETLB:
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	case SHARED:
	case WP_SHARED:
		return MAP_SHARED | MAP_ANONYMOUS;
	case MEMFD:
	case MIXED:
	case DEVICE:
		return MAP_SHARED;
	case PRIVATE:
		return MAP_PRIVATE;
	default:
		return MAP_PRIVATE | MAP_ANONYMOUS;
	}
}

static int map_fd(enum kind kind)
{
	switch (kind) {
	case MEMFD:
	case PRIVATE:
		return memfd;
	case MIXED:
		return tcp_socket;
	case DEVICE:
		return device_fd;
	default:
		return -1;
	}
}

static void map(unsigned int first, unsigned int n, enum kind kind)
{
	int prot = pick_prot(kind), flags = map_flags(kind) | MAP_FIXED_NOREPLACE;
	unsigned int object = 0;

	if (kind == MEMFD || kind == PRIVATE) {
		n = min(n, OBJECT_PAGES);
		object = rnd(OBJECT_PAGES - n + 1);
	}
	unmap(first, n);
	note("mmap %u+%u kind %d prot %d object %u", first, n, kind, prot, object);
	if (kind != HUGETLB)
		flags |= MAP_NORESERVE;
	need(mmap(at(first), n * PAGE, prot, flags, map_fd(kind), object * PAGE) == at(first),
	     "mmap");
	model_map(first, n, kind, prot, object);
	if (KIND(kind) & OF_WP) {
		struct uffdio_register reg = {
			.range = { address(first), n * PAGE },
			.mode = UFFDIO_REGISTER_MODE_WP,
		};

		need(!ioctl(uffd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
	}
}

static void change_map(void)
{
	enum kind kind = pick_kind();
	unsigned int first, n;

	pick_range(&first, &n);
	switch (kind) {
	case LOCKED:
	case MIXED:
		n = min(n, 1 + rnd(16));
		break;
	case DEVICE:
		n = 1;
		break;
	case HUGETLB:
		if (count_slots_of(HUGETLB) >= HUGETLB_PAGES)
			return;
		first -= first % SLOT_PAGES;
		n = SLOT_PAGES;
		break;
	default:
		break;
	}
	map(first, n, kind);
}

static void set_gap(bool mapped)
{
	if (mapped == model_gap())
		return;
	note("gap %d", mapped);
	if (mapped)
		need(mmap((void *)LOW_END, HIGH_START - LOW_END, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			  0) == (void *)LOW_END, "mmap of the gap");
	else
		need(!munmap((void *)LOW_END, HIGH_START - LOW_END), "munmap of the gap");
	model_map_gap(mapped);
}

static void change_vvar(void)
{
	unsigned int to = any_page();

	if (vvar_inside || to + vvar_pages > region_end(to))
		return;
	unmap(to, vvar_pages);
	note("vvar to %u", to);
	move_vvar(VVAR_HOME, at(to));
	model_take_in(to, vvar_pages, VVAR);
	vvar_place = to;
	vvar_inside = true;
}

static void change_gap(void)
{
	set_gap(chance(60));
}

static void write_protect(unsigned int first, unsigned int n, bool protect)
{
	struct uffdio_writeprotect wp = {
		.range = { address(first), n * PAGE },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	note("write-protect %u+%u %d", first, n, protect);
	need(!ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), "UFFDIO_WRITEPROTECT");
	model_wp(first, n, protect);
}

static void change_wp(void)
{
	unsigned int first, n;

	if (pick_run(OF_WP, chance(20) ? 2 * SLOT_PAGES : 24, &first, &n))
		write_protect(first, n, chance(60));
}

static void read_some(unsigned int page)
{
	note("read %u", page);
	model_read(page);
	read_page(page);
}

static void write_some(unsigned int page)
{
	if (pages[page].wp)
		write_protect(page, 1, false);
	note("write %u", page);
	model_write(page, ++last_value);
	fill_page(page, last_value);
}

#define OF_TOUCHED	(OF_PAGES | OF_WP | KIND(LOCKED) | KIND(HUGETLB))

static void change_read(void)
{
	unsigned int page;

	for (unsigned int n = 1 + rnd(3); n; n--)
		if (pick(OF_TOUCHED, PROT_READ, &page))
			read_some(page);
}

static void change_write(void)
{
	unsigned int page;

	for (unsigned int n = 1 + rnd(3); n; n--)
		if (pick(OF_TOUCHED, RW, &page))
			write_some(page);
}

/* In one call, or in calls that end in the middle of what a table maps. */
static void change_dontneed(void)
{
	bool locked = chance(10);
	unsigned int first, left, n;

	if (!pick_run(locked ? KIND(LOCKED) : OF_PAGES | OF_WP, 4 * SLOT_PAGES, &first, &left))
		return;
	for (; left; left -= n, first += n) {
		n = left;
		if (!dontneed_is_ours)
			n = min(n, SLOT_PAGES - (first + SLOT_PAGES / 2) % SLOT_PAGES);
		note("dontneed %u+%u", first, n);
		need(!advise(address(first), n * PAGE,
			     locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED), "MADV_DONTNEED");
		need(!model_dontneed(address(first), n * PAGE, locked),
		     "MADV_DONTNEED of the model");
	}
}

static void change_free(void)
{
	unsigned int first, n;

	if (!pick_run(KIND(ANON) | KIND(GROWSDOWN), 2 * SLOT_PAGES, &first, &n) ||
	    any_huge(first, n))
		return;
	note("free %u+%u", first, n);
	need(!madvise(at(first), n * PAGE, MADV_FREE), "MADV_FREE");
	model_free(first, n);
}

static void change_pageout(void)
{
	unsigned int first, n;

	if (!pick_run(OF_PAGES, SLOT_PAGES, &first, &n) || any_huge(first, n))
		return;
	note("pageout %u+%u", first, n);
	need(!madvise(at(first), n * PAGE, MADV_PAGEOUT), "MADV_PAGEOUT");
	for (unsigned int i = first; i < first + n; i++) {
		uint64_t entry;

		if (pages[i].entry == NONE)
			continue;
		entry = read_pagemap(i);
		if (!model_paged_out(i, entry >> 63, entry >> 62 & 1))
			differ("page %u after MADV_PAGEOUT: pagemap is %#lx", i, entry);
	}
}

static void protect(unsigned int first, unsigned int n, int prot)
{
	need(!mprotect(at(first), n * PAGE, prot), "mprotect");
	model_protect(first, n, prot);
}

static void change_protect(void)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW, RW };
	unsigned int first, n;
	int prot = prots[rnd(4)];

	if (!pick_run(OF_PAGES, 2 * SLOT_PAGES, &first, &n))
		return;
	note("mprotect %u+%u %d", first, n, prot);
	protect(first, n, prot);
}

/* Hundreds of small mappings: the kernel must not lose count over them. */
static void change_comb(void)
{
	unsigned int first, n;

	if (!pick_run(OF_PAGES, COMB_PAGES, &first, &n))
		return;
	note("comb %u+%u", first, n);
	for (unsigned int i = first; i < first + n; i += 2)
		protect(i, 1, pages[i].prot == RW ? PROT_READ : RW);
}

static unsigned int one_map(unsigned int first, unsigned int most)
{
	unsigned int n = 1, end = min(region_end(first), first + most);

	while (first + n < end && pages[first + n].kind == pages[first].kind &&
	       pages[first + n].map == pages[first].map &&
	       pages[first + n].prot == pages[first].prot)
		n++;
	return n;
}

static void change_move(void)
{
	const unsigned int kinds = KIND(ANON) | KIND(SHARED) | KIND(MEMFD) | KIND(PRIVATE);
	unsigned int from, to, n, flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	if (!pick(kinds, 0, &from))
		return;
	n = one_map(from, chance(50) ? 3 * SLOT_PAGES : 64);
	to = any_page();
	if (chance(50))
		to = to / SLOT_PAGES * SLOT_PAGES + from % SLOT_PAGES;
	n = min(n, region_end(to) - to);
	if ((to < from + n && from < to + n) || any_huge(from, n))
		return;
	/* Whether a table is moved or filled anew is for the kernel to choose where both can be. */
	if (pages[from].kind == ANON && (from ^ to) % SLOT_PAGES && chance(30))
		flags |= MREMAP_DONTUNMAP;
	unmap(to, n);
	note("mremap %u+%u to %u flags %u", from, n, to, flags);
	if (mremap(at(from), n * PAGE, n * PAGE, flags, at(to)) == MAP_FAILED) {
		/* Pages of one mmap() may have become several mappings. */
		need(errno == EFAULT, "mremap");
		note("mremap refused");
		return;
	}
	model_move(from, n, to, !(flags & MREMAP_DONTUNMAP));
}

static void change_collapse(void)
{
	unsigned int page, first;

	if (!pick(KIND(ANON), RW, &page))
		return;
	first = page / SLOT_PAGES * SLOT_PAGES;
	if (is_huge(first) || one_map(first, SLOT_PAGES) != SLOT_PAGES)
		return;
	for (unsigned int i = first; i < first + SLOT_PAGES; i++)
		if (pages[i].entry == SWAP || pages[i].lazy)
			return;
	write_some(page);
	note("collapse %u", first);
	if (madvise(at(first), SLOT, MADV_COLLAPSE))
		note("collapse refused: errno %d", errno);
	else
		model_collapse(first / SLOT_PAGES);
}

static const struct {
	void (*function)(void);
	unsigned int weight;	/* of 1000 */
} changes[] = {
	{ change_map, 126 }, { change_unmap, 76 }, { change_gap, 18 }, { change_vvar, 10 },
	{ change_read, 140 }, { change_write, 180 }, { change_dontneed, 230 },
	{ change_protect, 50 }, { change_move, 60 }, { change_free, 25 }, { change_pageout, 25 },
	{ change_wp, 40 }, { change_collapse, 18 }, { change_comb, 2 },
};

void change(void)
{
	unsigned int left = rnd(1000), i = 0;

	while (left >= changes[i].weight)
		left -= changes[i++].weight;
	changes[i].function();
}

/* An empty arena, then mappings in most of it. */
void start_over(void)
{
	note("start over");
	set_gap(false);
	unmap(0, LOW_PAGES);
	unmap(LOW_PAGES, HIGH_SLOTS * SLOT_PAGES);
	check_tables();
	set_gap(chance(75));
	map(0, LOW_PAGES, ANON);
	map(LOW_PAGES, HIGH_SLOTS * SLOT_PAGES, chance(50) ? ANON : SHARED);
	for (int i = 0; i < 15; i++)
		change_map();
}
