// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What VmPTE counts: PTE tables with an entry, empty ones, those deposited for huge
 * pages, and PMD and PUD tables. All but the empty ones can be counted from outside,
 * the upper ones within bounds, so the rest is theirs.
 *
 * Where pages are of 4 KiB, on x86-64 and elsewhere, tables have 512 entries.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#include "proc.h"
#include "ptreclaim.h"
#include "sys.h"

#define PAGE_SIZE	4096
#define PAGE_SHIFT	12
#define PTE_SHIFT	21	/* bytes that one PTE table maps, as a shift */
#define PMD_SHIFT	30
#define PUD_SHIFT	39
#define HUGE_SIZE	(1 << PTE_SHIFT)
#define TRIES		10

/* PAGEMAP_SCAN, Linux 6.7: headers may be older. */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN_IOCTL	_IOWR('f', 16, struct scan_arg)
#define SCAN_FILE	(1 << 2)
#define SCAN_PRESENT	(1 << 3)
#define SCAN_SWAPPED	(1 << 4)	/* and migration entries and markers: any not none */
#define SCAN_HUGE	(1 << 6)
#define SCAN_VEC	256

/* Bits of an entry of the file when it is read: present, or swapped as above. */
#define ENTRY_USED	(UINT64_C(3) << 62)
#define ENTRY_SIZE	8

/* Slots of one size that hold something. Addresses come in order; ranges may share a slot. */
struct slots {
	int shift;
	uint64_t count;
	uint64_t next;		/* the ones below are counted */
};

struct audit {
	const volatile int *cancel;
	int dirfd;		/* of the process */
	int pagemap;
	bool scans;		/* the file knows PAGEMAP_SCAN */
	bool seeks;		/* the file may have holes: it is a copy */
	struct slots pte;	/* with an entry; huge pages too, where they cannot be told apart */
	struct slots anon_huge;
	struct slots pmd_min;	/* with a small page */
	struct slots pud_min;
	struct slots pmd_max;	/* with a mapping */
	struct slots pud_max;
};

static void count_slots(struct slots *slots, uint64_t start, uint64_t end)
{
	uint64_t first = start >> slots->shift;
	uint64_t last = (end - 1) >> slots->shift;

	if (first < slots->next)
		first = slots->next;
	if (first > last)
		return;
	slots->count += last - first + 1;
	slots->next = last + 1;
}

static void count_small(struct audit *a, uint64_t start, uint64_t end)
{
	count_slots(&a->pte, start, end);
	count_slots(&a->pmd_min, start, end);
	count_slots(&a->pud_min, start, end);
}

static void count_region(struct audit *a, const struct scan_region *region)
{
	if (!(region->categories & SCAN_HUGE))
		count_small(a, region->start, region->end);
	else if (!(region->categories & SCAN_FILE))
		count_slots(&a->anon_huge, region->start, region->end);
}

/* -ENOTTY where there is no PAGEMAP_SCAN. */
static int scan(struct audit *a, const struct ptreclaim_vma *vma)
{
	struct scan_region vec[SCAN_VEC];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = vma->start,
		.end = vma->end,
		.vec = (uintptr_t)vec,
		.vec_len = SCAN_VEC,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_HUGE | SCAN_FILE,
	};
	int n;
	int i;

	while (arg.start < arg.end) {
		n = sys_ioctl(a->pagemap, SCAN_IOCTL, &arg);
		if (n < 0)
			return n;
		for (i = 0; i < n && i < SCAN_VEC; i++)
			count_region(a, &vec[i]);
		if (arg.walk_end <= arg.start)
			return -EIO;
		arg.start = arg.walk_end;
	}
	return 0;
}

static int is_cancelled(const struct audit *a)
{
	return a->cancel && __atomic_load_n(a->cancel, __ATOMIC_RELAXED);
}

static int64_t seek(int fd, uint64_t offset, int whence)
{
	int saved = errno;
	int64_t ret = lseek(fd, (off_t)offset, whence);

	if (ret < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

/*
 * Goes to the entry of the page, or to the next one that is not in a hole of a copy.
 * Behind the last one the page is END.
 */
static int seek_page(struct audit *a, uint64_t *page, uint64_t end)
{
	int64_t to = -EINVAL;

	if (a->seeks)
		to = seek(a->pagemap, *page * ENTRY_SIZE, SEEK_DATA);
	if (to == -ENXIO) {
		*page = end;
		return 0;
	}
	if (to < 0) {		/* the kernel's own file can only be read */
		a->seeks = false;
		to = seek(a->pagemap, *page * ENTRY_SIZE, SEEK_SET);
		return to < 0 ? (int)to : 0;
	}
	*page = (uint64_t)to / ENTRY_SIZE;	/* holes end at blocks */
	return 0;
}

static int read_entries(struct audit *a, const struct ptreclaim_vma *vma)
{
	uint64_t entries[PAGE_SIZE / ENTRY_SIZE];
	uint64_t page = vma->start >> PAGE_SHIFT;
	uint64_t end = vma->end >> PAGE_SHIFT;
	ssize_t i;
	ssize_t n;
	int ret = seek_page(a, &page, end);

	while (!ret && page < end) {
		if (is_cancelled(a))
			return -ECANCELED;
		n = sys_read(a->pagemap, entries, sizeof(entries));
		if (n < 0)
			return (int)n;
		n /= ENTRY_SIZE;
		if (!n)			/* the process has exited */
			return -ESRCH;
		for (i = 0; i < n && page < end; i++, page++)
			if (entries[i] & ENTRY_USED)
				count_small(a, page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT);
		if (a->seeks)
			ret = seek_page(a, &page, end);
	}
	return ret;
}

static int audit_vma(const struct ptreclaim_vma *vma, void *arg)
{
	struct audit *a = arg;
	int ret = -ENOTTY;

	if (is_cancelled(a))
		return -ECANCELED;
	count_slots(&a->pmd_max, vma->start, vma->end);
	count_slots(&a->pud_max, vma->start, vma->end);
	/* pagemap says nothing of the entries of a PFNMAP VMA, and these have some. */
	if (!strncmp(vma->name, "[vvar", 5)) {
		count_slots(&a->pte, vma->start, vma->end);
		return 0;
	}
	if (a->scans)
		ret = scan(a, vma);
	if (ret == -ENOTTY) {
		a->scans = false;
		ret = read_entries(a, vma);
	}
	return ret;
}

static int audit_maps(struct audit *a)
{
	int fd = sys_openat(a->dirfd, "maps");
	int ret;

	if (fd < 0)
		return fd;
	ret = ptreclaim_maps(fd, audit_vma, a);
	sys_close(fd);
	return ret;
}

/* Rows in kB of a file of the process, in bytes; 0 for those that are not there. */
static int read_sizes(const struct audit *a, const char *file, struct proc_row *rows, size_t count)
{
	int fd = sys_openat(a->dirfd, file);
	size_t i;
	int ret;

	if (fd < 0)
		return fd;
	ret = ptreclaim_proc_rows(fd, rows, count);
	sys_close(fd);
	for (i = 0; i < count; i++) {
		if (rows[i].value > UINT64_MAX / 1024)
			return -EBADMSG;
		rows[i].value *= 1024;
	}
	return ret;
}

static int read_vmpte(const struct audit *a, uint64_t *vmpte)
{
	struct proc_row row = { .name = "VmPTE:" };
	int ret = read_sizes(a, "status", &row, 1);

	if (!ret && !row.found)
		ret = -ENODATA;
	*vmpte = row.value;
	return ret;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * Tables in use and deposited ones. PAGEMAP_SCAN tells huge pages, the huge zero
 * page too, but not THP from hugetlb. Reading the file does not even tell huge pages
 * from tables full of small ones. Huge pages that are mapped by files and shared memory
 * have no deposited table.
 */
static int split_tables(const struct audit *a, struct ptreclaim_tables *tables)
{
	struct proc_row hugetlb = { .name = "HugetlbPages:" };
	struct proc_row huge[] = {
		{ .name = "AnonHugePages:" },
		{ .name = "ShmemPmdMapped:" },
		{ .name = "FilePmdMapped:" },
	};
	uint64_t no_tables;
	int ret;

	tables->in_use = a->pte.count;
	tables->deposited = a->anon_huge.count;
	ret = read_sizes(a, "status", &hugetlb, 1);
	if (ret || (a->scans && !hugetlb.value))
		return ret;
	ret = read_sizes(a, "smaps_rollup", huge, 3);
	if (!ret && !huge[0].found)
		ret = -ENODATA;
	if (ret)
		return ret;
	tables->deposited = huge[0].value / HUGE_SIZE;
	if (a->scans)
		return 0;
	no_tables = (huge[1].value + huge[2].value + hugetlb.value) / HUGE_SIZE;
	tables->in_use = less(a->pte.count, tables->deposited + no_tables);
	return 0;
}

static int look(struct audit *a, struct ptreclaim_tables *tables)
{
	uint64_t before = 0;
	uint64_t others;
	int ret = read_vmpte(a, &before);

	if (!ret)
		ret = audit_maps(a);
	if (!ret)
		ret = split_tables(a, tables);
	if (!ret)
		ret = read_vmpte(a, &tables->vmpte);
	if (ret)
		return ret;
	tables->pmd_min = a->pmd_min.count;
	tables->pmd_max = a->pmd_max.count;
	tables->pud_min = a->pud_min.count;
	tables->pud_max = a->pud_max.count;
	others = less(tables->vmpte, PAGE_SIZE * (tables->in_use + tables->deposited));
	tables->empty_min = less(others, PAGE_SIZE * (tables->pmd_max + tables->pud_max));
	tables->empty_max = less(others, PAGE_SIZE * (tables->pmd_min + tables->pud_min));
	tables->changed = before != tables->vmpte;
	return 0;
}

static int look_once(int dirfd, const volatile int *cancel, struct ptreclaim_tables *tables)
{
	struct audit a = {
		.cancel = cancel,
		.dirfd = dirfd,
		.pagemap = sys_openat(dirfd, "pagemap"),
		.scans = true,
		.seeks = true,
		.pte.shift = PTE_SHIFT,
		.anon_huge.shift = PTE_SHIFT,
		.pmd_min.shift = PMD_SHIFT,
		.pud_min.shift = PUD_SHIFT,
		.pmd_max.shift = PMD_SHIFT,
		.pud_max.shift = PUD_SHIFT,
	};
	int ret;

	if (a.pagemap < 0)
		return a.pagemap;
	ret = look(&a, tables);
	sys_close(a.pagemap);
	return ret;
}

int ptreclaim_audit_at(int dirfd, const volatile int *cancel, struct ptreclaim_tables *tables)
{
	struct ptreclaim_tables found = { .changed = 1 };
	int tries;
	int ret;

	if (sys_page_size() != PAGE_SIZE)
		return -ENOTSUP;
	for (tries = 0; found.changed && tries < TRIES; tries++) {
		ret = look_once(dirfd, cancel, &found);
		if (ret)
			return ret;
	}
	*tables = found;
	return 0;
}

int ptreclaim_audit(pid_t pid, const volatile int *cancel, struct ptreclaim_tables *tables)
{
	int dirfd = ptreclaim_proc_open(pid, "");
	int ret;

	if (dirfd < 0)
		return dirfd;
	ret = ptreclaim_audit_at(dirfd, cancel, tables);
	sys_close(dirfd);
	return ret;
}
