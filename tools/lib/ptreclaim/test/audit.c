// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ptreclaim_audit() of processes whose tables are known. Runs on any kernel. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "../ptreclaim.h"
#include "procs.h"
#include "syscalls.h"
#include "tap.h"

#define TABLES		1000
#define EMPTY		(TABLES * 9 / 10)
#define HUGE		16

/* Tables for the stack, or the heap of the child's libc; ASan keeps a shadow of what is used. */
#ifdef __SANITIZE_ADDRESS__
#define OTHERS		500
#else
#define OTHERS		2
#endif

static bool no_scan;		/* hide PAGEMAP_SCAN, as if the kernel were old */
static int scans, reads;
static int cancel, cancel_after, after_cancel;

static long handle_syscall(long nr, const long arg[6])
{
	after_cancel += cancel;
	if (cancel_after && !--cancel_after)
		cancel = 1;
	if (nr == SYS_ioctl) {
		scans++;
		if (no_scan) {
			errno = ENOTTY;
			return -1;
		}
	}
	reads += nr == SYS_read;
	return kernel_syscall(nr, arg);
}

static char *small;

/* Pages in all tables, then in one of ten. */
static void small_pages(int number)
{
	if (!number) {
		small = map_tables(TABLES);
		make_empty(small, TABLES, 100);
	} else {
		make_empty(small, TABLES, 10);
	}
}

/* Huge pages, the huge zero page, a large reservation, and a mapping of device memory ([vvar]). */
static void mixed(int number)
{
	char *huge = map_tables(HUGE);
	char *zero = map_tables(HUGE);
	size_t i;

	(void)number;
	if (mmap(NULL, 64UL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
	    MAP_FAILED)
		TAP_BAIL("mmap");
	madvise(huge, HUGE * TABLE_SIZE, MADV_HUGEPAGE);
	madvise(zero, HUGE * TABLE_SIZE, MADV_HUGEPAGE);
	for (i = 0; i < HUGE; i++) {
		huge[i * TABLE_SIZE] = 1;
		*(volatile char *)(zero + i * TABLE_SIZE);
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t pte_tables(const struct ptreclaim_tables *t)
{
	return t->in_use + t->deposited;
}

static bool adds_up(const struct ptreclaim_tables *t)
{
	uint64_t most = pte_tables(t) + t->pmd_max + t->pud_max;
	uint64_t least = pte_tables(t) + t->pmd_min + t->pud_min;

	return !t->changed && t->empty_min == less(t->vmpte, 4096 * most) &&
	       t->empty_max == less(t->vmpte, 4096 * least) && t->pmd_min <= t->pmd_max &&
	       t->pud_min <= t->pud_max && t->pud_min && t->pmd_min;
}

static bool same(const struct ptreclaim_tables *a, const struct ptreclaim_tables *b)
{
	return a->vmpte == b->vmpte && a->in_use == b->in_use && a->deposited == b->deposited &&
	       a->pmd_min == b->pmd_min && a->pud_min == b->pud_min && a->pmd_max == b->pmd_max &&
	       a->pud_max == b->pud_max && adds_up(a) && adds_up(b);
}

static void show(const char *what, const struct ptreclaim_tables *t)
{
	printf("# %s: vmpte %llu empty %llu..%llu in_use %llu deposited %llu pmd %llu..%llu "
	       "pud %llu..%llu\n",
	       what, (unsigned long long)t->vmpte, (unsigned long long)t->empty_min,
	       (unsigned long long)t->empty_max, (unsigned long long)t->in_use,
	       (unsigned long long)t->deposited, (unsigned long long)t->pmd_min,
	       (unsigned long long)t->pmd_max, (unsigned long long)t->pud_min,
	       (unsigned long long)t->pud_max);
}

static void test_small(void)
{
	struct child c = child_start(small_pages);
	struct ptreclaim_tables none, full, some, old;
	int ret = ptreclaim_audit(c.pid, NULL, &none);

	child_step(&c);
	ret |= ptreclaim_audit(c.pid, NULL, &full);
	child_step(&c);
	ret |= ptreclaim_audit(c.pid, NULL, &some);
	show("no tables", &none);
	show("all in use", &full);
	show("most empty", &some);
	ok(!ret && adds_up(&none) && adds_up(&full) && adds_up(&some), "the figures add up");
	ok(full.in_use >= none.in_use + TABLES && full.in_use <= none.in_use + TABLES + OTHERS,
	   "tables with an entry are counted");
	ok(some.in_use == full.in_use - EMPTY, "tables without one are not");
	/* The upper tables are the same, between the bounds. */
	ok(some.vmpte == full.vmpte && some.empty_max == full.empty_max + EMPTY * 4096UL &&
	   some.empty_min <= EMPTY * 4096UL && some.empty_max >= EMPTY * 4096UL,
	   "they are found to be empty");

	no_scan = true;
	scans = 0;
	reads = 0;
	ret = ptreclaim_audit(c.pid, NULL, &old);
	no_scan = false;
	show("pagemap", &old);
	ok(!ret && scans == 1 && reads >= TABLES && same(&old, &some),
	   "pagemap without PAGEMAP_SCAN tells the same");
	child_end(&c);
}

/* In bytes, but for the huge zero page. */
static uint64_t huge_pages(pid_t pid)
{
	char line[256];
	long kb = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/smaps_rollup", pid);
	file = fopen(line, "r");
	if (!file)
		TAP_BAIL(line);
	while (!kb && fgets(line, sizeof(line), file))
		sscanf(line, "AnonHugePages: %ld", &kb);
	fclose(file);
	return (uint64_t)kb * 1024;
}

static void test_mixed(void)
{
	struct child c = child_start(mixed);
	struct ptreclaim_tables before, now, old;
	int ret = ptreclaim_audit(c.pid, NULL, &before);
	uint64_t huge;

	child_step(&c);
	ret |= ptreclaim_audit(c.pid, NULL, &now);
	show("mixed", &now);
	ok(!ret && adds_up(&now) && now.pmd_max >= before.pmd_max + 64 &&
	   now.pmd_min <= before.pmd_min + 1,
	   "a reservation may have upper tables, or not");
	/* Where the kernel has no huge pages these are small, and their tables in use. */
	huge = huge_pages(c.pid) / TABLE_SIZE;
	if (huge)
		ok(now.deposited >= before.deposited + huge &&
		   now.deposited <= before.deposited + huge + HUGE &&
		   pte_tables(&now) >= pte_tables(&before) + 2 * HUGE &&
		   pte_tables(&now) <= pte_tables(&before) + 2 * HUGE + OTHERS,
		   "huge pages and huge zero pages have deposited tables: %d of %d",
		   (int)(now.deposited - before.deposited), 2 * HUGE);
	else
		ok(now.deposited == before.deposited && now.in_use >= before.in_use + 2 * HUGE,
		   "there are no huge pages");
	no_scan = true;
	ret = ptreclaim_audit(c.pid, NULL, &old);
	no_scan = false;
	show("pagemap", &old);
	ok(!ret && adds_up(&old) && pte_tables(&old) == pte_tables(&now) &&
	   old.empty_min == now.empty_min,
	   "pagemap without PAGEMAP_SCAN gives the same sum");
	child_end(&c);
}

static void nothing(int number)
{
	(void)number;
}

static void test_cancel(void)
{
	struct ptreclaim_tables t = { .vmpte = 17 };
	int early = 0;
	int ret = 0;
	int i;

	for (i = 1; i < 1000 && (i == 1 || ret == -ECANCELED); i++) {
		cancel = 0;
		cancel_after = i;
		no_scan = i % 2;
		ret = ptreclaim_audit(getpid(), &cancel, &t);
		if (ret != -ECANCELED)
			break;
		early++;
		if (t.vmpte != 17)
			ret = 1;
	}
	cancel_after = 0;
	no_scan = false;
	ok(early > 3 && !ret, "can be cancelled at %d places", early);
}

/* In the middle of a large mapping too. */
static void test_cancel_large(void)
{
	struct child c = child_start(small_pages);
	struct ptreclaim_tables t;
	int ret;

	child_step(&c);
	no_scan = true;
	cancel = 0;
	after_cancel = 0;
	cancel_after = TABLES / 2;
	ret = ptreclaim_audit(c.pid, &cancel, &t);
	ok(ret == -ECANCELED && after_cancel < 10, "cancelled in a large mapping, %d calls later",
	   after_cancel);
	no_scan = false;
	cancel = 0;
	child_end(&c);
}

static void test_exited(void)
{
	struct child c = child_start(nothing);
	struct ptreclaim_tables t;
	int ret;

	child_step(&c);
	child_kill(&c);
	ret = ptreclaim_audit(c.pid, NULL, &t);
	ok(ret == -ENODATA || ret == -ESRCH, "a zombie: %s", strerror(-ret));
	child_reap(&c);
	ret = ptreclaim_audit(c.pid, NULL, &t);
	ok(ret == -ENOENT, "a process that is no more: %s", strerror(-ret));
}

#define PAGES_1G	(1UL << 18)

/* A file of a copied folder. */
static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		TAP_BAIL(name);
	close(fd);
}

static void put_entry(int fd, uint64_t page, uint64_t entry)
{
	if (pwrite(fd, &entry, sizeof(entry), (off_t)(page * 8)) != sizeof(entry))
		TAP_BAIL("pagemap");
}

/*
 * 1 TiB from 1 GiB on, of which two tables hold a page each and one a swap entry; a huge
 * page, which looks like 512 small ones; and memory behind the end of the file.
 */
static void put_copy(int dir)
{
	uint64_t i;
	int fd;

	put(dir, "status", "Name:\tx\nVmPTE:\t     200 kB\n");
	put(dir, "smaps_rollup", "AnonHugePages:      2048 kB\nShmemPmdMapped:        0 kB\n");
	put(dir, "maps", "40000000-10040000000 rw-p 00000000 00:00 0 \n"
			 "20000000000-20000200000 rw-p 00000000 00:00 0 \n");
	fd = openat(dir, "pagemap", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0)
		TAP_BAIL("pagemap");
	put_entry(fd, PAGES_1G + 5, UINT64_C(1) << 63 | 1);
	put_entry(fd, PAGES_1G + 512 * 7, UINT64_C(1) << 62);
	put_entry(fd, PAGES_1G + 512 * 9, UINT64_C(1) << 55);	/* soft-dirty alone: none */
	put_entry(fd, 1000 * PAGES_1G + 511, UINT64_C(1) << 63);
	for (i = 0; i < 512; i++)
		put_entry(fd, 1024 * PAGES_1G + i, UINT64_C(1) << 63);
	close(fd);
}

static void test_copy(void)
{
	char path[] = "/tmp/ptreclaim-audit-XXXXXX";
	struct ptreclaim_tables t;
	int ret;
	int dir;

	if (!mkdtemp(path))
		TAP_BAIL(path);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	put_copy(dir);
	reads = 0;
	ret = ptreclaim_audit_at(dir, NULL, &t);
	show("a copy", &t);
	ok(!ret && t.vmpte == 200 * 1024 && t.in_use == 3 && t.deposited == 1 && t.pmd_min == 3 &&
	   t.pmd_max == 1025 && adds_up(&t), "a copied folder");
	ok(reads < 30, "and its holes were not read: %d reads", reads);
	put(dir, "status", "VmPTE:\t18446744073709551615 kB\n");
	ok(ptreclaim_audit_at(dir, NULL, &t) == -EBADMSG, "more than there can be");
	put(dir, "status", "VmPTE:\t18446744073709551620 kB\n");
	ok(ptreclaim_audit_at(dir, NULL, &t) == -EBADMSG, "and more than fits into a number");
	put(dir, "status", "VmPTE:\t-1 kB\nVmPTE:\tmuch\n");
	ok(ptreclaim_audit_at(dir, NULL, &t) == -ENODATA, "no number");
	unlinkat(dir, "maps", 0);
	put(dir, "status", "VmPTE:\t8 kB\n");
	ok(ptreclaim_audit_at(dir, NULL, &t) == -ENOENT, "no maps");
	unlinkat(dir, "status", 0);
	unlinkat(dir, "pagemap", 0);
	unlinkat(dir, "smaps_rollup", 0);
	close(dir);
	rmdir(path);
}

/* The folder of a process, which is that of no other once this one is gone. */
static void test_folder(void)
{
	struct child c = child_start(nothing);
	struct ptreclaim_tables by_pid, t;
	char path[32];
	int dir;
	int ret;

	child_step(&c);
	snprintf(path, sizeof(path), "/proc/%d", c.pid);
	dir = open(path, O_PATH | O_DIRECTORY);
	ret = ptreclaim_audit(c.pid, NULL, &by_pid);
	ok(!ret && !ptreclaim_audit_at(dir, NULL, &t) && same(&t, &by_pid), "/proc/PID, open");
	child_end(&c);
	ret = ptreclaim_audit_at(dir, NULL, &t);
	ok(ret == -ENOENT || ret == -ESRCH, "of a process that is no more: %s", strerror(-ret));
	ok(ptreclaim_audit_at(-1, NULL, &t) == -EBADF, "no folder");
	close(dir);
}

int main(void)
{
	struct ptreclaim_tables t;
	int files;

	plan(24);
	files = open_files();
	test_cancel();
	test_cancel_large();
	errno = EDOM;
	ok(!ptreclaim_audit(getpid(), NULL, &t) && t.vmpte && t.in_use && errno == EDOM, "itself");
	ok(ptreclaim_audit(0, NULL, &t) == -ENOENT && ptreclaim_audit(-1, NULL, &t) == -ENOENT &&
	   ptreclaim_audit(INT_MAX, NULL, &t) == -ENOENT && errno == EDOM, "numbers of no process");
	ok(open_files() == files, "all files are closed");
	test_small();
	test_mixed();
	test_exited();
	test_copy();
	test_folder();
	return finish();
}
