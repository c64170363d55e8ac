// SPDX-License-Identifier: GPL-2.0
/*
 * MADV_RECLAIM_PT: frees PTE tables that hold no entry, and nothing else.
 * MADV_DONTNEED: frees those of them that one call covers whole.
 *
 * VmPTE counts tables in kB and drops at once, so most checks are differences
 * of VmPTE between two readings, exact to the table. Nothing between the two
 * may allocate a table for the program itself: see populate_own_tables().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>

/* Kernels differ in how check_config.sh calls it. */
#if __has_include("local_config.h_gen")
#include "local_config.h_gen"
#else
#include "local_config.h"
#endif
#ifdef LOCAL_CONFIG_HAVE_LIBURING
#include <liburing.h>
#endif

#include "../kselftest_harness.h"

/* For debug kernels in emulators: 30 s are not enough to tell a hang. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#include "vm_util.h"
/* Kernels differ in where these helpers are, and in what they take. */
#if __has_include("hugepage_settings.h")
#include "hugepage_settings.h"

static unsigned long get_free_hugepages(void)
{
	return hugetlb_free_default_pages();
}

static bool is_huge_anon(void *addr, size_t n, size_t size)
{
	return check_huge_anon(addr, n * size, n, size);
}
#else
static bool is_huge_anon(void *addr, size_t n, size_t size)
{
	return check_huge_anon(addr, n, size);
}
#endif

#ifndef MADV_RECLAIM_PT
#define MADV_RECLAIM_PT 26
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef ARCH_ENABLE_TAGGED_ADDR
#define ARCH_ENABLE_TAGGED_ADDR 0x4002
#endif
#ifndef RAMFS_MAGIC
#define RAMFS_MAGIC 0x858458f6
#endif

#define GIB		(1024UL << 20)
#define ARENA_SIZE	(5 * GIB)
#define FILE_TABLES	64
#define SNAP_TABLES	16
#define RACE_TABLES	4
#define RACE_SLOTS	(2 * RACE_TABLES)
#define RACE_TOUCHES	4000
#define RACE_PASSES	20
#define RACE_SECONDS	1
#define MAX_IOV		1024

/* Addresses of our own: 1 GiB aligned, with nothing else mapped near. */
struct arena {
	char *base;
	int flags;
	int fd;
};

static size_t page;		/* bytes in a page, and in a PTE table */
static size_t span;		/* bytes of address space that a table maps */
static size_t ptrs;		/* entries in a table */
static long table_kb;
static int pagemap_fd = -1;

/* Static, since malloc() between two readings of VmPTE may add a table. */
static char text[1 << 17];
static uint64_t snap_before[SNAP_TABLES * 512];
static uint64_t snap_after[SNAP_TABLES * 512];

/* What the test changed system-wide, for the teardown to put back. */
static char swap_path[PATH_MAX];
static bool swap_is_zram;
static char old_nr_hugepages[32];

static int advise(const void *addr, size_t len, int advice)
{
	return madvise((void *)addr, len, advice) ? -errno : 0;
}

static int reclaim(const void *addr, size_t len)
{
	return advise(addr, len, MADV_RECLAIM_PT);
}

/* The same, where nothing is locked. */
static const int discards[] = { MADV_DONTNEED, MADV_DONTNEED_LOCKED };

static ssize_t reclaim_of(int pidfd, const struct iovec *iov, size_t n,
			  unsigned int flags)
{
	ssize_t ret;

	ret = syscall(__NR_process_madvise, pidfd, iov, n, MADV_RECLAIM_PT,
		      flags);
	return ret < 0 ? -errno : ret;
}

static int open_pidfd(pid_t pid)
{
	return syscall(__NR_pidfd_open, pid, 0);
}

static ssize_t reclaim_of_self(const struct iovec *iov, size_t n)
{
	int fd = open_pidfd(getpid());
	ssize_t ret = reclaim_of(fd, iov, n, 0);

	close(fd);
	return ret;
}

static bool slurp(const char *path)
{
	size_t got = 0;
	ssize_t ret;
	int fd;

	text[0] = '\0';
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	do {
		ret = read(fd, text + got, sizeof(text) - 1 - got);
		if (ret > 0)
			got += ret;
	} while (ret > 0 && got < sizeof(text) - 1);
	close(fd);
	text[got] = '\0';
	return !ret;
}

static bool put(const char *path, const char *val)
{
	ssize_t ret;
	int fd;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	ret = write(fd, val, strlen(val));
	close(fd);
	return ret == (ssize_t)strlen(val);
}

/* The number after @row at the start of a line, -1 if there is none. */
static long number(const char *path, const char *row)
{
	size_t len = strlen(row);
	char *line;

	if (!slurp(path))
		return -1;
	for (line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (!strncmp(line, row, len))
			return strtol(line + len, NULL, 10);
	}
	return -1;
}

static long vm_pte_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number(path, "VmPTE:");
}

static long vm_pte(void)
{
	return number("/proc/self/status", "VmPTE:");
}

static long noted_kb;

static void note_tables(void)
{
	noted_kb = vm_pte();
}

/* Tables of the program that are gone since note_tables(). */
static long tables_gone(void)
{
	return (noted_kb - vm_pte()) / table_kb;
}

static long freed(void)
{
	return number("/proc/vmstat", "pt_reclaim_freed ");
}

static long scanned(void)
{
	return number("/proc/vmstat", "pt_reclaim_scanned ");
}

/* Event counters may be folded late: poll. */
static bool rises(long (*counter)(void), long to)
{
	int tries;

	for (tries = 0; tries < 200; tries++) {
		if (counter() >= to)
			return true;
		usleep(10000);
	}
	return false;
}

/*
 * Have the program's own tables in place, or the first use of some libc
 * function would raise VmPTE: one page in every table, but for the arena, and
 * one of the stack below what is used now.
 */
static void populate_own_tables(const struct arena *a)
{
	const unsigned long arena = (unsigned long)a->base;
	unsigned long start, end, addr, next = 0;
	char stack[1 << 17];
	char *line;

	explicit_bzero(stack, page);
	if (!slurp("/proc/self/maps"))
		return;
	for (line = text; line && *line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (sscanf(line, "%lx-%lx", &start, &end) != 2 ||
		    end - start > GIB || start - arena < ARENA_SIZE)
			continue;
		addr = start < next ? next : start;
		for (; addr < end; addr = (addr | (span - 1)) + 1)
			if (!madvise((void *)addr, page, MADV_POPULATE_READ))
				next = (addr | (span - 1)) + 1;
	}
}

static char *find_arena(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uintptr_t at;
	char *p;

	p = mmap(NULL, page, PROT_NONE, flags, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	munmap(p, page);
	at = ((uintptr_t)p - 64 * GIB) & ~(GIB - 1);
	p = mmap((void *)at, ARENA_SIZE, PROT_NONE,
		 flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	munmap(p, ARENA_SIZE);
	return (uintptr_t)p == at ? p : NULL;
}

static const char *no_advice;	/* why nothing can be tested, or NULL */

/* MADV_DONTNEED frees tables while it zaps, each VMA by itself, and counts none. */
static bool zap_frees;
static const char vma_by_vma[] = "MADV_DONTNEED frees tables VMA by VMA here";

static bool zap_frees_tables(void)
{
	char *area = mmap(NULL, 2 * span, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start = area + (-(uintptr_t)area & (span - 1));
	long had = freed();
	bool gone;

	if (area == MAP_FAILED)
		return false;
	madvise(area, 2 * span, MADV_NOHUGEPAGE);	/* EINVAL if there is no THP */
	*start = 1;
	note_tables();
	gone = !madvise(start, span, MADV_DONTNEED) && tables_gone() == 1;
	munmap(area, 2 * span);
	return gone && !rises(freed, had + 1);
}

/* Once, for all the processes that the harness forks. */
static void __attribute__((constructor)) probe(void)
{
	page = psize();
	ptrs = page / sizeof(uint64_t);
	span = page * ptrs;
	table_kb = page / 1024;

	if (sizeof(long) != 8 || ptrs > 512)
		no_advice = "needs a 64-bit kernel with 4 kB pages";
	else if (madvise(NULL, 0, MADV_RECLAIM_PT))
		no_advice = "no MADV_RECLAIM_PT: madvise(0, 0, 26) fails";
	else if (freed() < 0)
		no_advice = "no MADV_RECLAIM_PT: no pt_reclaim_freed in vmstat";
	else
		zap_frees = zap_frees_tables();
}

static bool prepare(struct arena *a, int flags)
{
	a->flags = flags;
	a->fd = -1;
	a->base = find_arena();
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY);
	return a->base && pagemap_fd >= 0 && vm_pte() > 0;
}

static int temp_file(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/madv_pt_reclaim.XXXXXX", dir);
	fd = mkstemp(path);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* A file that is no shmem; root can always have one, on a ramfs of its own. */
static int open_real_file(void)
{
	const char *dir = getenv("TMPDIR") ?: "/tmp";
	struct statfs fs;
	int fd;

	fd = temp_file(dir);
	if (fd >= 0 && !fstatfs(fd, &fs) && fs.f_type != TMPFS_MAGIC)
		return fd;
	if (fd >= 0)
		close(fd);
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", dir, "ramfs", 0, NULL))
		return -1;
	fd = temp_file(dir);
	if (fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == RAMFS_MAGIC)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static char *map_prot(struct arena *a, size_t off, size_t len, int prot)
{
	const int flags = MAP_FIXED_NOREPLACE | MAP_NORESERVE;
	char *p;

	p = mmap(a->base + off, len, prot, a->flags | flags, a->fd,
		 a->fd < 0 ? 0 : off);
	if (p == MAP_FAILED)
		return NULL;
	/* One page per fault: no THP (EINVAL if there is none), no readahead. */
	madvise(p, len, MADV_NOHUGEPAGE);
	madvise(p, len, MADV_RANDOM);
	return p;
}

static char *map(struct arena *a, size_t off, size_t len)
{
	return map_prot(a, off, len, PROT_READ | PROT_WRITE);
}

/* Every word differs from every other of the page, and from other pages. */
static void fill_as(char *p, const void *name)
{
	unsigned long *word = (unsigned long *)p;
	size_t i;

	for (i = 0; i < page / sizeof(*word); i++)
		word[i] = ((unsigned long)name << 9) + i + 1;
}

static bool is_filled_as(const char *p, const void *name)
{
	const unsigned long *word = (const unsigned long *)p;
	size_t i;

	for (i = 0; i < page / sizeof(*word); i++)
		if (word[i] != ((unsigned long)name << 9) + i + 1)
			return false;
	return true;
}

static void fill(char *p)
{
	fill_as(p, p);
}

static bool is_filled(const char *p)
{
	return is_filled_as(p, p);
}

static bool is_zero(const char *p)
{
	const unsigned long *word = (const unsigned long *)p;
	size_t i;

	for (i = 0; i < page / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

static bool is_shared(const struct arena *a)
{
	return a->flags & MAP_SHARED;
}

/* Zapping a page of a shared mapping leaves the data in the page cache. */
static bool is_zapped(const struct arena *a, const char *p)
{
	return is_shared(a) ? is_filled(p) : is_zero(p);
}

/* A page less than a table: no kernel frees the table for it. */
static int zap(char *p)
{
	return madvise(p, page, MADV_DONTNEED);
}

static bool fill_and_zap(char *p)
{
	fill(p);
	return !zap(p);
}

/* One page in each of @n tables; which one differs from table to table. */
static char *slot(char *start, size_t i)
{
	return start + i * span + i * 37 % ptrs * page;
}

static void fill_slots(char *start, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		fill(slot(start, i));
}

static bool zap_slots(char *start, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (zap(slot(start, i)))
			return false;
	return true;
}

/* @n tables with a page in each. */
static char *map_slots(struct arena *a, size_t n)
{
	char *start = map(a, 0, n * span);

	if (start)
		fill_slots(start, n);
	return start;
}

/* @n tables with nothing in them. */
static char *map_empty(struct arena *a, size_t n)
{
	char *start = map_slots(a, n);

	return start && zap_slots(start, n) ? start : NULL;
}

/* Two mappings of @len bytes in one table, with a page in each. */
static bool map_two(struct arena *a, size_t len, char **one, char **two)
{
	*one = map(a, 0, len);
	*two = map(a, span / 2, len);
	if (!*one || !*two)
		return false;
	fill(*one);
	fill(*two);
	return true;
}

static bool snapshot(uint64_t *to, const char *start, size_t len)
{
	const uint64_t state = PM_PRESENT | PM_SWAP | PM_UFFD_WP;
	size_t bytes = len / page * sizeof(*to);
	size_t i;

	if (bytes > sizeof(snap_before) ||
	    pread(pagemap_fd, to, bytes,
		  (uintptr_t)start / page * sizeof(*to)) != (ssize_t)bytes)
		return false;
	for (i = 0; i < len / page; i++)
		to[i] &= state;
	return true;
}

static bool same_snapshot(size_t len)
{
	return !memcmp(snap_before, snap_after,
		       len / page * sizeof(*snap_before));
}

static bool is_present(char *p)
{
	return pagemap_get_entry(pagemap_fd, p) & PM_PRESENT;
}

/* In this order: reading a page that was lost would bring in another. */
static bool is_kept(char *p)
{
	return is_present(p) && is_filled(p);
}

static bool page_out(char *p)
{
	int tries;

	for (tries = 0; tries < 100; tries++) {
		madvise(p, page, MADV_PAGEOUT);
		if (!is_present(p))
			return true;
		usleep(1000);
	}
	return false;
}

static struct __user_cap_header_struct cap_header = {
	.version = _LINUX_CAPABILITY_VERSION_3,
};

static bool has_capability(int cap)
{
	struct __user_cap_data_struct data[2];

	return !syscall(__NR_capget, &cap_header, data) &&
	       data[cap / 32].effective & 1U << cap % 32;
}

static bool drop_capability(int cap)
{
	struct __user_cap_data_struct data[2];

	if (syscall(__NR_capget, &cap_header, data))
		return false;
	data[cap / 32].effective &= ~(1U << cap % 32);
	return !syscall(__NR_capset, &cap_header, data);
}

/* Some kernels let who may watch everybody's performance read as well. */
static bool drop_capability_to_read(void)
{
	return drop_capability(CAP_SYS_PTRACE) &&
	       drop_capability(CAP_PERFMON) && drop_capability(CAP_SYS_ADMIN);
}

static bool has_flag(const char *addr, const char *flag)
{
	char head[32];
	char *line;
	char *end;

	snprintf(head, sizeof(head), "%lx-", (unsigned long)addr);
	if (!slurp("/proc/self/smaps"))
		return false;
	line = strstr(text, head);
	line = line ? strstr(line, "VmFlags:") : NULL;
	end = line ? strchr(line, '\n') : NULL;
	if (!end)
		return false;
	*end = '\0';
	return strstr(line, flag);
}

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd;

	fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || !ioctl(fd, UFFDIO_API, &api))
		return fd;
	close(fd);
	return -1;
}

/* For write-protection of the table at @start. */
static int open_uffd_wp(char *start)
{
	int fd;

	fd = open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
		       UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	if (fd < 0 || !uffd_register(fd, start, span, false, true, false))
		return fd;
	close(fd);
	return -1;
}

static bool write_protect(int uffd, char *p)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)p, page },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return !ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static bool is_write_protected(char *p)
{
	return pagemap_get_entry(pagemap_fd, p) & PM_UFFD_WP;
}

static bool make_swap(const char *path, int flags)
{
	const size_t bytes = 1UL << 20;
	uint32_t *header = (uint32_t *)text;
	size_t off;
	int fd;

	fd = open(path, O_RDWR | flags, 0600);
	if (fd < 0)
		return false;
	for (off = 0; off < bytes; off += page) {
		memset(text, 0, page);
		if (!off) {
			header[1024 / 4] = 1;
			header[1024 / 4 + 1] = bytes / page - 1;
			memcpy(text + page - 10, "SWAPSPACE2", 10);
		}
		if (pwrite(fd, text, page, off) != (ssize_t)page)
			break;
	}
	fsync(fd);
	close(fd);
	return off == bytes && !swapon(path, 0);
}

/* Swap space of the machine's, or a zram or a file of our own. */
static bool have_swap(void)
{
	if (number("/proc/meminfo", "SwapFree:") >= 1024)
		return true;

	if (slurp("/sys/block/zram0/disksize") && !strcmp(text, "0\n") &&
	    put("/sys/block/zram0/disksize", "1M")) {
		swap_is_zram = true;
		snprintf(swap_path, sizeof(swap_path), "/dev/zram0");
		if (make_swap(swap_path, 0))
			return true;
		put("/sys/block/zram0/reset", "1");
		swap_is_zram = false;
	}

	snprintf(swap_path, sizeof(swap_path), "%s/madv_pt_reclaim.swap.%d",
		 getenv("TMPDIR") ?: "/tmp", getpid());
	if (make_swap(swap_path, O_CREAT | O_EXCL))
		return true;
	unlink(swap_path);
	swap_path[0] = '\0';
	return false;
}

static void put_back(void)
{
	if (swap_path[0]) {
		swapoff(swap_path);
		if (swap_is_zram)
			put("/sys/block/zram0/reset", "1");
		else
			unlink(swap_path);
		swap_path[0] = '\0';
	}
	if (old_nr_hugepages[0]) {
		put("/proc/sys/vm/nr_hugepages", old_nr_hugepages);
		old_nr_hugepages[0] = '\0';
	}
}

static bool have_hugepage(void)
{
	const char *path = "/proc/sys/vm/nr_hugepages";
	char more[32];

	if (get_free_hugepages())
		return true;
	if (!slurp(path))
		return false;
	snprintf(old_nr_hugepages, sizeof(old_nr_hugepages), "%ld",
		 strtol(text, NULL, 10));
	snprintf(more, sizeof(more), "%ld", strtol(text, NULL, 10) + 1);
	return put(path, more) && get_free_hugepages();
}

/*
 * Huge pages of hugetlb in the @middle, and a table before and behind them.
 * NULL, or why there are none.
 */
static const char *map_around_hugetlb(struct arena *a, char **one,
				      char **middle, char **two)
{
	const int flags = MAP_FIXED_NOREPLACE | MAP_HUGETLB;
	size_t huge = default_huge_page_size();

	if (huge < span || !have_hugepage())
		return "no huge page in the hugetlb pool";
	*middle = mmap(a->base + huge, huge, PROT_READ | PROT_WRITE,
		       a->flags | flags, -1, 0);
	if (*middle == MAP_FAILED)
		return "mmap(MAP_HUGETLB) fails";
	*one = map(a, huge - span, span);
	*two = map(a, 2 * huge, span);
	return NULL;
}

/* A page of MIXEDMAP at the arena's start. NULL, or why there is none. */
static const char *map_mixed(struct arena *a)
{
	char *p;
	int fd;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return "no TCP socket to map";
	p = mmap(a->base, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
		 0);
	close(fd);
	if (p == MAP_FAILED)
		return "a TCP socket cannot be mapped";
	return has_flag(p, " mm") ? NULL :
	       "the mapping of a TCP socket is no MIXEDMAP";
}

/* Makes @n huge pages of memory that has none, and fills them. */
static bool fill_huge(char *start, size_t n)
{
	size_t off;

	if (read_pmd_pagesize() != span ||
	    madvise(start, n * span, MADV_HUGEPAGE))
		return false;
	for (off = 0; off < n * span; off += page)
		fill(start + off);
	return is_huge_anon(start, n, span);
}

/* Exit status of a child that was told to go on, -1 if it was killed. */
static int wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

struct child {
	pid_t pid;
	int pidfd;
	int go;
	struct iovec iov;	/* what it has in the arena */
	long noted_kb;
};

static int to_parent, from_parent;

/* In a child: says that it is ready, and waits. False if the test died. */
static bool meet_parent(void)
{
	char b = 'r';

	return write(to_parent, &b, 1) == 1 && read(from_parent, &b, 1) == 1;
}

/*
 * Returns when the child has met its parent. Its exit status is what @life
 * returns.
 */
static bool start_life(struct child *c, int (*life)(void *), void *arg)
{
	int ready[2], go[2];
	ssize_t ret;
	char b;

	if (pipe(ready) || pipe(go))
		return false;
	c->pid = fork();
	if (c->pid < 0)
		return false;
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		close(ready[0]);
		to_parent = ready[1];
		from_parent = go[0];
		_exit(life(arg));
	}
	close(ready[1]);
	close(go[0]);
	c->go = go[1];
	c->pidfd = open_pidfd(c->pid);
	ret = read(ready[0], &b, 1);
	close(ready[0]);
	c->noted_kb = vm_pte_of(c->pid);
	return ret == 1 && c->pidfd >= 0;
}

static bool let_go(struct child *c)
{
	bool told = write(c->go, "g", 1) == 1;

	close(c->go);
	return told;
}

/* 0 if all that the child had left in its memory is still there. */
static int finish_child(struct child *c)
{
	close(c->pidfd);
	return let_go(c) ? wait_for(c->pid) : -1;
}

static long tables_gone_of(const struct child *c)
{
	return (c->noted_kb - vm_pte_of(c->pid)) / table_kb;
}

static ssize_t reclaim_child(const struct child *c)
{
	return reclaim_of(c->pidfd, &c->iov, 1, 0);
}

struct memory {
	struct arena *arena;
	size_t n;
	bool (*become)(void);
};

/* @n tables at the arena's start, all empty but the odd ones. */
static int hold_memory(void *arg)
{
	const struct memory *m = arg;
	char *start;
	size_t i;

	start = map_slots(m->arena, m->n);
	if (!start)
		return 10;
	for (i = 0; i < m->n; i += 2)
		if (zap(slot(start, i)))
			return 11;
	if ((m->become && !m->become()) || !meet_parent())
		return 12;
	for (i = 0; i < m->n; i++) {
		if (i % 2 ? !is_filled(slot(start, i)) :
		    !is_zapped(m->arena, slot(start, i)))
			return 13;
	}
	return 0;
}

static bool start_child_as(struct child *c, struct arena *a, size_t n,
			   bool (*become)(void))
{
	struct memory m = { a, n, become };

	c->iov.iov_base = a->base;
	c->iov.iov_len = n * span;
	return start_life(c, hold_memory, &m);
}

static bool start_child(struct child *c, struct arena *a, size_t n)
{
	return start_child_as(c, a, n, NULL);
}

static bool become_nobody(void)
{
	return !setresuid(65534, 65534, 65534);
}

static bool give_up_capabilities(void)
{
	struct __user_cap_data_struct none[2] = { 0 };

	return !syscall(__NR_capset, &cap_header, none);
}

static bool become_undumpable(void)
{
	return give_up_capabilities() && !prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

#define LONG_GIBS	1024

/* Pages 1 GiB apart, so that there is a lot to walk, and little to free. */
static char *map_long(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *start;
	size_t i;

	start = mmap(NULL, LONG_GIBS * GIB, PROT_READ | PROT_WRITE, flags, -1,
		     0);
	if (start == MAP_FAILED)
		return NULL;
	madvise(start, LONG_GIBS * GIB, MADV_NOHUGEPAGE);
	for (i = 0; i < LONG_GIBS; i++) {
		start[i * GIB] = 1;
		if (zap(start + i * GIB))
			return NULL;
	}
	return start;
}

/*
 * Kills a child, and says what its system call @nr returned, which the child
 * never sees: 1 if it was not in that call. Leaves it stopped on its way out.
 */
static long result_when_killed(pid_t pid, long nr)
{
	long ret = 1;
#ifdef __x86_64__
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) ||
	    kill(pid, SIGKILL) || waitpid(pid, &status, 0) != pid)
		return ret;
	if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8) &&
	    !ptrace(PTRACE_GETREGS, pid, NULL, &regs) &&
	    regs.orig_rax == (unsigned long)nr)
		ret = regs.rax;
#endif
	return ret;
}

/* One IORING_OP_MADVISE. */
struct request {
	const void *addr;
	uint64_t off;			/* the length, or where it is 0 */
	uint32_t len;			/* this */
	int advice;
	unsigned int flags;
	unsigned int buf_index;
	int splice_fd_in;
	int opcode;			/* instead of IORING_OP_MADVISE */
	int res;
};

#ifdef LOCAL_CONFIG_HAVE_LIBURING
static struct io_uring ring;

/* Submits @n requests at once. */
static bool ring_submit(const struct request *r, unsigned int n)
{
	struct io_uring_sqe *sqe;
	unsigned int i;

	for (i = 0; i < n; i++, r++) {
		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			return false;
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = r->opcode ?: IORING_OP_MADVISE;
		sqe->fd = -1;
		sqe->flags = r->flags;
		sqe->addr = (uintptr_t)r->addr;
		sqe->off = r->off;
		sqe->len = r->len;
		sqe->fadvise_advice = r->advice;
		sqe->buf_index = r->buf_index;
		sqe->splice_fd_in = r->splice_fd_in;
		sqe->user_data = i;
	}
	return io_uring_submit(&ring) == (int)n;
}

static struct io_uring_cqe *ring_wait(void)
{
	struct io_uring_cqe *cqe;

	return io_uring_wait_cqe(&ring, &cqe) ? NULL : cqe;
}

/* Takes one completion; its request is the one of @r that it belongs to. */
static bool ring_take(struct request *r)
{
	struct io_uring_cqe *cqe = ring_wait();

	if (!cqe)
		return false;
	r[cqe->user_data].res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return true;
}

static bool ring_do(struct request *r, unsigned int n)
{
	if (!ring_submit(r, n))
		return false;
	while (n--)
		if (!ring_take(r))
			return false;
	return true;
}

/* NULL, or why there is no ring. Brings in what liburing needs. */
static const char *ring_open(void)
{
	struct request nothing = { .advice = MADV_NORMAL };
	int ret;

	ret = io_uring_queue_init(8, &ring, 0);
	if (ret)
		return strerror(-ret);
	if (!ring_do(&nothing, 1))
		return "no request gets through";
	return nothing.res ? "no IORING_OP_MADVISE" : NULL;
}
#else
#define IOSQE_IO_LINK	0x4
#define IORING_OP_READ	22

static bool ring_submit(const struct request *r, unsigned int n)
{
	return r && !n;
}

static bool ring_wait(void)
{
	return false;
}

static bool ring_take(struct request *r)
{
	return !r;
}

static bool ring_do(struct request *r, unsigned int n)
{
	return r && !n;
}

static const char *ring_open(void)
{
	return "built without liburing";
}
#endif

struct race {
	struct arena *arena;
	char *start;
	bool stop;
	long passes;
	long errors;
};

static void *race_reclaim(void *arg)
{
	struct race *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		if (reclaim(r->start, RACE_TABLES * span))
			r->errors++;
		__atomic_add_fetch(&r->passes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/*
 * Writes, reads and zaps two pages per table, so that tables become empty all
 * the time. Goes on until the other side made @passes, but not for long: there
 * may be no CPU for it. Returns how often data was lost.
 */
static long churn(struct race *r, long passes)
{
	const double end = seconds() + RACE_SECONDS;
	unsigned long held[RACE_SLOTS] = { 0 };
	unsigned long x = 1;
	long lost = 0;
	long i;

	for (i = 0; i < RACE_TOUCHES ||
	     __atomic_load_n(&r->passes, __ATOMIC_RELAXED) < passes; i++) {
		unsigned long *first, *last;
		unsigned int at;
		char *p;

		if (i % 64 == 63 && seconds() > end)
			break;
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		at = (x >> 33) % RACE_SLOTS;
		p = r->start + at / 2 * span + at % 2 * (span / 2);
		first = (unsigned long *)p;
		last = (unsigned long *)(p + page) - 1;

		if (x & (1UL << 50)) {
			__atomic_store_n(first, x, __ATOMIC_RELAXED);
			__atomic_store_n(last, x, __ATOMIC_RELAXED);
			held[at] = x;
			continue;
		}
		if (__atomic_load_n(first, __ATOMIC_RELAXED) != held[at] ||
		    __atomic_load_n(last, __ATOMIC_RELAXED) != held[at])
			lost++;
		if (zap(p))
			lost++;
		if (!is_shared(r->arena))
			held[at] = 0;
	}
	for (i = 0; i < RACE_SLOTS; i++)
		if (*(unsigned long *)(r->start + i / 2 * span +
				       i % 2 * (span / 2)) != held[i])
			lost++;
	return lost;
}

/* Behaviours that must hold whatever backs the memory. */
FIXTURE(tables)
{
	struct arena a;
};

FIXTURE_VARIANT(tables)
{
	int flags;
	bool memfd;
	bool file;
};

FIXTURE_VARIANT_ADD(tables, anon)
{
	.flags = MAP_PRIVATE | MAP_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(tables, anon_shared)
{
	.flags = MAP_SHARED | MAP_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(tables, memfd_shared)
{
	.flags = MAP_SHARED,
	.memfd = true,
};

FIXTURE_VARIANT_ADD(tables, memfd_private)
{
	.flags = MAP_PRIVATE,
	.memfd = true,
};

FIXTURE_VARIANT_ADD(tables, file_shared)
{
	.flags = MAP_SHARED,
	.file = true,
};

FIXTURE_SETUP(tables)
{
	if (no_advice)
		SKIP(return, "%s", no_advice);
	ASSERT_TRUE(prepare(&self->a, variant->flags));
	if (variant->memfd) {
		self->a.fd = memfd_create("madv_pt_reclaim", MFD_CLOEXEC);
		if (self->a.fd < 0)
			SKIP(return, "memfd_create: %s", strerror(errno));
	}
	if (variant->file) {
		self->a.fd = open_real_file();
		if (self->a.fd < 0)
			SKIP(return, "no writable file system but tmpfs");
	}
	if (self->a.fd >= 0)
		ASSERT_EQ(0, ftruncate(self->a.fd, FILE_TABLES * span));
	populate_own_tables(&self->a);
}

FIXTURE_TEARDOWN(tables)
{
	if (self->a.fd >= 0)
		close(self->a.fd);
	close(pagemap_fd);
	put_back();
}

/* Lost: the point of it all. Sparse memory given back keeps its tables. */
TEST_F(tables, frees_what_is_empty)
{
	const size_t n = 32;
	long had, seen;
	char *start;
	size_t i;

	start = map_empty(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();
	had = freed();
	seen = scanned();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	EXPECT_TRUE(rises(freed, had + n));
	EXPECT_TRUE(rises(scanned, seen + n));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
}

/* Lost: tables, if DONTNEED of whole tables and the advice do not add up. */
TEST_F(tables, frees_after_dontneed_of_whole_range)
{
	const size_t n = 16;
	char *start;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();

	ASSERT_EQ(0, madvise(start, n * span, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
}

/* Lost: tables of every allocator that purges less than 2 MiB at a time. */
TEST_F(tables, frees_after_dontneed_in_64k_steps)
{
	const size_t step = 64 << 10;
	const size_t n = 4;
	char *start;
	size_t off;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (off = 0; off < n * span; off += step)
		fill(start + off);
	note_tables();

	for (off = 0; off < n * span; off += step)
		ASSERT_EQ(0, madvise(start + off, step, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
}

/* Lost: tables of blocks of 2 MiB that are not aligned to 2 MiB. */
TEST_F(tables, frees_after_dontneed_shifted_by_half_a_table)
{
	const size_t n = 6;
	char *start;
	size_t i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (i = 0; i < 2 * n; i++)
		fill(start + i * span / 2);
	note_tables();

	/* The first half of the first table and the last of the last stay. */
	for (i = 0; i < n - 1; i++)
		ASSERT_EQ(0, madvise(start + i * span + span / 2, span,
				     MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)(n - 2), tables_gone());
	EXPECT_TRUE(is_present(start));
	EXPECT_TRUE(is_present(start + n * span - span / 2));
	EXPECT_TRUE(is_filled(start));
	EXPECT_TRUE(is_filled(start + n * span - span / 2));
}

/* Lost: tables of which munmap() took the used part, and left the rest. */
TEST_F(tables, frees_after_munmap_of_parts)
{
	const size_t n = 8;
	char *start;
	size_t i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (i = 0; i < n; i++)
		fill(start + i * span);
	fill(start + span - page);
	note_tables();

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, munmap(start + i * span, span / 2));
	for (i = 0; i < n; i++)
		EXPECT_EQ(0, reclaim(start + i * span + span / 2, span / 2));
	EXPECT_EQ((long)(n - 1), tables_gone());
	EXPECT_TRUE(is_kept(start + span - page));
}

/* Lost: tables of a file that was cut short, whose entries went with it. */
TEST_F(tables, frees_after_truncate)
{
	const size_t n = 8;
	char *start;
	size_t i;

	if (self->a.fd < 0)
		SKIP(return, "no file behind anonymous memory");
	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();

	ASSERT_EQ(0, ftruncate(self->a.fd, 0));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	ASSERT_EQ(0, ftruncate(self->a.fd, n * span));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zero(slot(start, i)));
}

/* Lost: data, if a single page anywhere in the table is overlooked. */
TEST_F(tables, keeps_table_with_one_page)
{
	static const size_t at[] = { 0, 1, 7, 8, 255, 256, 511 };
	const size_t n = ARRAY_SIZE(at);
	const size_t len = 2 * n * span;
	char *start;
	size_t i;

	start = map(&self->a, 0, len);
	ASSERT_NE(NULL, start);
	for (i = 0; i < n; i++) {
		fill(start + 2 * i * span + at[i] % ptrs * page);
		fill(start + (2 * i + 1) * span + at[i] % ptrs * page);
		ASSERT_EQ(0, zap(start + (2 * i + 1) * span +
				 at[i] % ptrs * page));
	}
	ASSERT_TRUE(snapshot(snap_before, start, len));
	note_tables();

	EXPECT_EQ(0, reclaim(start, len));
	EXPECT_EQ((long)n, tables_gone());
	ASSERT_TRUE(snapshot(snap_after, start, len));
	EXPECT_TRUE(same_snapshot(len));
	for (i = 0; i < n; i++) {
		char *p = start + 2 * i * span + at[i] % ptrs * page;

		EXPECT_TRUE(is_kept(p))
			TH_LOG("entry %zu", at[i]);
		EXPECT_TRUE(is_zapped(&self->a, p + span));
	}
}

/* Lost: data of guard-paged or write-trapped memory; PROT_NONE is no hole. */
TEST_F(tables, keeps_table_with_prot_none_page)
{
	char *start;
	char *p;

	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	p = start + 100 * page;
	fill(p);
	ASSERT_TRUE(fill_and_zap(start + span));
	ASSERT_EQ(0, mprotect(p, page, PROT_NONE));
	note_tables();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_present(p));
	ASSERT_EQ(0, mprotect(p, page, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_filled(p));
}

/* Lost: any byte of a neighbour. An empty table beside a full one. */
TEST_F(tables, changes_no_byte)
{
	char *start, *p;
	size_t bad = 0;

	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	for (p = start; p < start + span; p += page)
		fill(p);
	for (p = start + span; p < start + 2 * span; p += 64 * page)
		ASSERT_TRUE(fill_and_zap(p));
	ASSERT_TRUE(snapshot(snap_before, start, 2 * span));
	note_tables();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(1, tables_gone());
	ASSERT_TRUE(snapshot(snap_after, start, 2 * span));
	EXPECT_TRUE(same_snapshot(2 * span));
	for (p = start; p < start + span; p += page)
		bad += !is_filled(p);
	for (p = start + span; p < start + 2 * span; p += 64 * page)
		bad += !is_zapped(&self->a, p) || !is_zero(p + page);
	EXPECT_EQ(0UL, bad);
}

/* Lost: the table at each end of a range, when a sender cuts ranges up. */
TEST_F(tables, rounds_range_outward)
{
	const size_t n = 6;
	char *start;

	start = map_empty(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();

	EXPECT_EQ(0, reclaim(start + 3 * page, page));
	EXPECT_EQ(1, tables_gone());
	EXPECT_EQ(0, reclaim(start + 2 * span - page, page));
	EXPECT_EQ(2, tables_gone());
	/* Two edges, a page each: tables 2 and 3, not 4 and 5. */
	EXPECT_EQ(0, reclaim(start + 3 * span - page, 2 * page));
	EXPECT_EQ(4, tables_gone());
	EXPECT_EQ(0, reclaim(start + 4 * span, 2 * span));
	EXPECT_EQ(6, tables_gone());
}

/* Lost: tables at VMA boundaries, of which an address space has thousands. */
TEST_F(tables, frees_empty_table_of_two_vmas)
{
	char *one, *two;

	ASSERT_TRUE(map_two(&self->a, span / 2, &one, &two));
	ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ));
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	note_tables();

	EXPECT_EQ(0, reclaim(one, span / 2));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zapped(&self->a, one));
	EXPECT_TRUE(is_zapped(&self->a, two));
}

/* Lost: data of a VMA that nobody advised, and that shares the table. */
TEST_F(tables, keeps_table_used_by_other_vma)
{
	char *one, *two;

	ASSERT_TRUE(map_two(&self->a, span / 2, &one, &two));
	fill(two + span / 2 - page);
	ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ));
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	note_tables();

	EXPECT_EQ(0, reclaim(one, span / 2));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_kept(two + span / 2 - page));
}

/* Lost: memory that cannot be used again, or reclaim that works only once. */
TEST_F(tables, can_be_repeated)
{
	const size_t n = 4;
	size_t round, i;
	char *start;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (round = 0; round < 4; round++) {
		fill_slots(start, n);
		for (i = 0; i < n; i++)
			EXPECT_TRUE(is_filled(slot(start, i)));
		note_tables();
		ASSERT_TRUE(zap_slots(start, n));
		EXPECT_EQ(0, reclaim(start, n * span));
		EXPECT_EQ((long)n, tables_gone());
		EXPECT_EQ(0, reclaim(start, n * span));
		EXPECT_EQ((long)n, tables_gone());
	}
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
}

/* Lost: the parent's memory, if a forked child's reclaim reached into it. */
TEST_F(tables, in_child_leaves_parent_alone)
{
	const size_t n = 4;
	char *start;
	size_t i;
	pid_t pid;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(snapshot(snap_before, start, n * span));
	note_tables();

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		populate_own_tables(&self->a);
		for (i = 0; i < n; i++)
			if (!is_filled(slot(start, i)))
				_exit(10);
		note_tables();
		if (!zap_slots(start, n) || reclaim(start, n * span))
			_exit(11);
		if (tables_gone() != (long)n)
			_exit(12);
		for (i = 0; i < n; i++)
			if (!is_zapped(&self->a, slot(start, i)))
				_exit(13);
		_exit(0);
	}
	EXPECT_EQ(0, wait_for(pid));
	EXPECT_EQ(0, tables_gone());
	ASSERT_TRUE(snapshot(snap_after, start, n * span));
	EXPECT_TRUE(same_snapshot(n * span));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* The child's copy of what the parent has at the arena's start. */
static int look_after_parent(void *arg)
{
	const struct memory *m = arg;
	size_t i;

	if (!meet_parent())
		return 10;
	for (i = 0; i < m->n; i++)
		if (!is_filled(slot(m->arena->base, i)))
			return 11;
	return 0;
}

/* Lost: the child's memory, if the parent's reclaim after fork() reached it. */
TEST_F(tables, in_parent_leaves_child_alone)
{
	struct memory m = { &self->a, 4, NULL };
	struct child c;
	char *start;
	size_t i;

	start = map_slots(&self->a, m.n);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(start_life(&c, look_after_parent, &m));

	note_tables();
	ASSERT_TRUE(zap_slots(start, m.n));
	EXPECT_EQ(0, reclaim(start, m.n * span));
	EXPECT_EQ((long)m.n, tables_gone());
	EXPECT_EQ(0, finish_child(&c));
	for (i = 0; i < m.n; i++)
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
}

/* Lost: tables that mremap() emptied, or the data that it moved away. */
TEST_F(tables, frees_what_mremap_left)
{
	const size_t n = 4;
	char *start, *to;
	long full;
	size_t i;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	full = vm_pte();
	/* Not by a multiple of a table, or tables would move whole. */
	to = self->a.base + 2 * n * span + page;
	if (mremap(start, n * span, n * span,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   to) == MAP_FAILED)
		SKIP(return, "mremap(MREMAP_DONTUNMAP): %s", strerror(errno));
	note_tables();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	/* The range reaches into one more table now, with nothing there. */
	EXPECT_EQ(0, reclaim(to, n * span));
	EXPECT_EQ(full, vm_pte());
	for (i = 0; i < n; i++) {
		char *p = to + (slot(start, i) - start);

		EXPECT_TRUE(is_present(p));
		EXPECT_TRUE(is_filled_as(p, slot(start, i)));
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
	}
}

/* Lost: tables of memory that mprotect() cut into VMAs of 64 KiB. */
TEST_F(tables, frees_table_split_by_mprotect)
{
	const size_t step = 64 << 10;
	char *start;
	size_t off;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	for (off = 0; off < span; off += step)
		fill(start + off);
	for (off = step; off < span; off += 2 * step)
		ASSERT_EQ(0, mprotect(start + off, step, PROT_READ));
	for (off = 0; off < span - step; off += step)
		ASSERT_EQ(0, madvise(start + off, step, MADV_DONTNEED));
	note_tables();

	/* The last of 32 VMAs still has its page. */
	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_kept(start + span - step));
	ASSERT_EQ(0, madvise(start + span - step, step, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: tables of memory whose access was taken away after it was emptied. */
TEST_F(tables, frees_empty_table_of_prot_none_vma)
{
	char *start;

	start = map_empty(&self->a, 1);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, mprotect(start, span, PROT_NONE));
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(1, tables_gone());
	ASSERT_EQ(0, mprotect(start, span, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_zapped(&self->a, start));
}

/* Lost: data, written by one thread while another one frees tables. */
TEST_F(tables, races_with_faults)
{
	struct race r = { .arena = &self->a };
	pthread_t thread;
	long had;

	r.start = map(&self->a, 0, RACE_TABLES * span);
	ASSERT_NE(NULL, r.start);
	had = freed();
	ASSERT_EQ(0, pthread_create(&thread, NULL, race_reclaim, &r));
	EXPECT_EQ(0, churn(&r, RACE_PASSES));
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, r.errors);
	if (r.passes < RACE_PASSES && !_metadata->exit_code)
		SKIP(return, "no race: too little CPU time");
	EXPECT_TRUE(rises(freed, had + 1));
}

/* Lost: tables of allocators that know no advice but MADV_DONTNEED. */
TEST_F(tables, dontneed_frees_what_it_covers)
{
	static const struct {
		size_t first;
		size_t n;
	} covered[] = { { 0, 1 }, { 0, 32 }, { 7, 20 }, { 31, 1 } };
	const size_t all = 32;
	long had, seen;
	char *start;
	size_t k, i;

	start = map(&self->a, 0, all * span);
	ASSERT_NE(NULL, start);
	for (k = 0; k < 2 * ARRAY_SIZE(covered); k++) {
		const size_t first = covered[k / 2].first;
		const size_t n = covered[k / 2].n;

		fill_slots(start, all);
		note_tables();
		had = freed();
		seen = scanned();
		EXPECT_EQ(0, advise(start + first * span, n * span,
				    discards[k % 2]));
		EXPECT_EQ((long)n, tables_gone());
		EXPECT_TRUE(zap_frees || rises(freed, had + n));
		EXPECT_TRUE(zap_frees || rises(scanned, seen + n));
		for (i = 0; i < all; i++)
			EXPECT_TRUE(i - first < n ?
				    is_zapped(&self->a, slot(start, i)) :
				    is_kept(slot(start, i)));
	}
	fill_slots(start, all);
	for (i = 0; i < all; i++)
		EXPECT_TRUE(is_kept(slot(start, i)));
}

/* Lost: tables that are about to be used again, beside what is given back. */
TEST_F(tables, dontneed_keeps_what_it_covers_in_part)
{
	const size_t n = 4;
	char *start, *last;
	size_t k, i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	last = start + n * span - span / 2;
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		for (i = 0; i < 2 * n; i++)
			fill(start + i * span / 2);
		note_tables();

		EXPECT_EQ(0, advise(start + span / 2, 3 * span, discards[k]));
		EXPECT_EQ(2, tables_gone());
		EXPECT_TRUE(is_kept(start));
		EXPECT_TRUE(is_kept(last));
		EXPECT_FALSE(is_present(start + span / 2));
		EXPECT_FALSE(is_present(last - span / 2));
		/* Two tables lose all they have, to calls that stop short. */
		EXPECT_EQ(0, advise(start, span - page, discards[k]));
		EXPECT_EQ(0, advise(start + page, span - page, discards[k]));
		EXPECT_EQ(0, advise(last, span / 2, discards[k]));
		EXPECT_FALSE(is_present(start));
		EXPECT_FALSE(is_present(last));
		EXPECT_EQ(2, tables_gone());
		/* A length is rounded up to pages; then both are covered. */
		EXPECT_EQ(0, advise(start, span - page + 1, discards[k]));
		EXPECT_EQ(3, tables_gone());
		EXPECT_EQ(0, advise(last - span / 2, span, discards[k]));
		EXPECT_EQ(4, tables_gone());
	}
}

/* Lost: tables at VMA boundaries, or in part what another VMA has there. */
TEST_F(tables, dontneed_frees_table_of_two_vmas)
{
	char *one, *two;
	size_t k;

	if (zap_frees)
		SKIP(return, "%s", vma_by_vma);
	ASSERT_TRUE(map_two(&self->a, span / 2, &one, &two));
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(one);
		fill(two);
		ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ));
		note_tables();

		EXPECT_EQ(0, advise(one, span / 2, discards[k]));
		EXPECT_FALSE(is_present(one));
		EXPECT_TRUE(is_kept(two));
		EXPECT_EQ(0, advise(two, span / 2, discards[k]));
		EXPECT_FALSE(is_present(two));
		EXPECT_EQ(0, tables_gone());
		fill(one);
		ASSERT_TRUE(is_zapped(&self->a, two));
		EXPECT_EQ(0, advise(one, span, discards[k]));
		EXPECT_EQ(1, tables_gone());
		ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ | PROT_WRITE));
		EXPECT_TRUE(is_zapped(&self->a, one));
		EXPECT_TRUE(is_zapped(&self->a, two));
	}
}

/* Lost: as above, where three VMAs meet in the middle of tables. */
TEST_F(tables, dontneed_frees_tables_that_vmas_straddle)
{
	const size_t n = 3;
	char *start;
	size_t k, i;

	if (zap_frees)
		SKIP(return, "%s", vma_by_vma);
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, mprotect(start + span / 2, 2 * span, PROT_READ));
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		for (i = 0; i < 2 * n; i++)
			ASSERT_EQ(0, madvise(start + i * span / 2, page,
					     MADV_POPULATE_READ));
		note_tables();

		EXPECT_EQ(0, advise(start, n * span, discards[k]));
		EXPECT_EQ((long)n, tables_gone());
	}
}

/* Lost: tables beside a hole, in the same table or in one of its own. */
TEST_F(tables, dontneed_frees_in_spite_of_holes)
{
	char *one, *two, *three;
	size_t k;

	if (zap_frees)
		SKIP(return, "%s", vma_by_vma);
	ASSERT_TRUE(map_two(&self->a, span / 4, &one, &two));
	three = map(&self->a, 2 * span, span);
	ASSERT_NE(NULL, three);
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(one);
		fill(two);
		fill(three);
		note_tables();

		/* All that is mapped, and still not the whole table. */
		EXPECT_EQ(-ENOMEM, advise(one, span - span / 4, discards[k]));
		EXPECT_FALSE(is_present(one));
		EXPECT_FALSE(is_present(two));
		EXPECT_EQ(0, tables_gone());
		fill(one);
		fill(two);
		EXPECT_EQ(-ENOMEM, advise(one, span, discards[k]));
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_kept(three));
		fill(one);
		fill(two);
		EXPECT_EQ(-ENOMEM, advise(one, 3 * span, discards[k]));
		EXPECT_EQ(2, tables_gone());
		EXPECT_TRUE(is_zapped(&self->a, one));
		EXPECT_TRUE(is_zapped(&self->a, two));
		EXPECT_TRUE(is_zapped(&self->a, three));
	}
}

/* Lost: locked memory, or tables of the call that may discard it. */
TEST_F(tables, dontneed_keeps_locked_memory)
{
	const size_t n = 3;
	char *start;
	size_t i;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	if (mlock2(start + span, span, MLOCK_ONFAULT))
		SKIP(return, "mlock2: %s", strerror(errno));
	note_tables();

	EXPECT_EQ(-EINVAL, advise(start + span, span, MADV_DONTNEED));
	EXPECT_EQ(-EINVAL, advise(start + span, 2 * span, MADV_DONTNEED));
	EXPECT_EQ(0, tables_gone());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_kept(slot(start, i)));
	/* The error ends it, and does not undo what came before. */
	EXPECT_EQ(-EINVAL, advise(start, n * span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zapped(&self->a, slot(start, 0)));
	EXPECT_TRUE(is_kept(slot(start, 1)));
	EXPECT_TRUE(is_kept(slot(start, 2)));
	note_tables();
	EXPECT_EQ(0, advise(start, n * span, MADV_DONTNEED_LOCKED));
	EXPECT_EQ((long)n, tables_gone());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
}

/* Lost: locked memory that begins or ends in the middle of a table. */
TEST_F(tables, dontneed_keeps_table_of_locked_memory_in_part)
{
	char *one, *two;
	size_t k;

	if (zap_frees)
		SKIP(return, "%s", vma_by_vma);
	ASSERT_TRUE(map_two(&self->a, span / 2, &one, &two));
	for (k = 0; k < 2; k++) {
		char *locked = k ? one : two;
		char *other = k ? two : one;

		fill(one);
		fill(two);
		if (mlock2(locked, span / 2, MLOCK_ONFAULT))
			SKIP(return, "mlock2: %s", strerror(errno));
		note_tables();

		EXPECT_EQ(-EINVAL, advise(one, span, MADV_DONTNEED));
		EXPECT_EQ(0, tables_gone());
		EXPECT_TRUE(is_kept(locked));
		/* Unless the call did not come as far. */
		EXPECT_EQ(other > locked, is_present(other));
		EXPECT_EQ(0, advise(one, span, MADV_DONTNEED_LOCKED));
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_zapped(&self->a, one));
		EXPECT_TRUE(is_zapped(&self->a, two));
		ASSERT_EQ(0, munlock(locked, span / 2));
	}
}

/* Lost: private changes that should be gone, or the file under them. */
TEST_F(tables, dontneed_reverts_to_the_file)
{
	const void *name = text;
	char *start;
	size_t k;

	if (self->a.fd < 0)
		SKIP(return, "no file behind anonymous memory");
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill_as(text, name);
		ASSERT_EQ((ssize_t)page, pwrite(self->a.fd, text, page, 0));
		ASSERT_EQ((ssize_t)page, pwrite(self->a.fd, text, page, page));
		ASSERT_TRUE(is_filled_as(start, name));
		fill(start + page);
		note_tables();

		EXPECT_EQ(0, advise(start, span, discards[k]));
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_filled_as(start, name));
		EXPECT_TRUE(is_filled_as(start + page, is_shared(&self->a) ?
					 start + page : name));
	}
}

static int ticks;

static void tick(int sig)
{
	__atomic_add_fetch(&ticks, sig == SIGALRM, __ATOMIC_RELAXED);
}

/*
 * Makes a bad page of it. NULL, or why not. The kernel tells whoever maps it,
 * without waiting for use.
 */
static const char *poison(char *p)
{
	struct sigaction act = { .sa_handler = tick };

	fill(p);
	if (sigaction(SIGBUS, &act, NULL) || madvise(p, page, MADV_HWPOISON))
		return "MADV_HWPOISON fails";
	return pagemap_get_entry(pagemap_fd, p) & PM_SWAP ? NULL :
	       "the poisoned page was not unmapped";
}

/* Behaviours of the call, and of entries and VMAs that come in one kind. */
FIXTURE(advice)
{
	struct arena a;
};

FIXTURE_SETUP(advice)
{
	if (no_advice)
		SKIP(return, "%s", no_advice);
	ASSERT_TRUE(prepare(&self->a, MAP_PRIVATE | MAP_ANONYMOUS));
	populate_own_tables(&self->a);
}

FIXTURE_TEARDOWN(advice)
{
	close(pagemap_fd);
	put_back();
}

/* Lost: a caller's bug stays hidden, or a batch stops on a legal range. */
TEST_F(advice, checks_arguments_as_madvise_does)
{
	char *start;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);

	EXPECT_EQ(0, reclaim(start, 0));
	EXPECT_EQ(0, reclaim(self->a.base + GIB, 0));
	EXPECT_EQ(-EINVAL, reclaim(start + 1, page));
	EXPECT_EQ(-EINVAL, reclaim(start + page - 1, 1));
	EXPECT_EQ(-EINVAL, reclaim(start + 1, 0));
	/* A length that wraps when it is rounded up, and an end that wraps. */
	EXPECT_EQ(-EINVAL, reclaim(start, SIZE_MAX));
	EXPECT_EQ(-EINVAL, reclaim(start, -(size_t)start));
	EXPECT_EQ(-EINVAL, reclaim(start, SIZE_MAX - 2 * page + 1));
	/* Arguments are looked at before the address space is. */
	EXPECT_EQ(-EINVAL, reclaim(self->a.base + GIB + 1, page));
	EXPECT_EQ(-ENOMEM, reclaim(self->a.base + GIB, page));
}

/* Lost: a last page, if a length were rounded down, or an ENOMEM for it. */
TEST_F(advice, rounds_length_up_to_a_page)
{
	char *start;

	start = map(&self->a, 0, span + page);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(fill_and_zap(start));
	ASSERT_TRUE(fill_and_zap(start + span));
	note_tables();

	EXPECT_EQ(0, reclaim(start, 1));
	EXPECT_EQ(1, tables_gone());
	EXPECT_EQ(0, reclaim(start + span - page, page + 1));
	EXPECT_EQ(2, tables_gone());
	EXPECT_EQ(0, reclaim(start + span, page - 1));
	EXPECT_EQ(-ENOMEM, reclaim(start + span, page + 1));
}

/* Lost: the rest of a range with a hole in it, or the news of the hole. */
TEST_F(advice, does_the_rest_of_a_range_with_holes)
{
	char *one, *two;

	one = map(&self->a, span, span);
	ASSERT_NE(NULL, one);
	two = map(&self->a, 4 * span, span);
	ASSERT_NE(NULL, two);
	ASSERT_TRUE(fill_and_zap(one));
	ASSERT_TRUE(fill_and_zap(two));
	note_tables();

	EXPECT_EQ(-ENOMEM, reclaim(self->a.base, 6 * span));
	EXPECT_EQ(2, tables_gone());
}

/* Lost: as above, where the hole and a VMA have one table between them. */
TEST_F(advice, does_the_rest_of_a_table_with_a_hole)
{
	char *one, *two;

	ASSERT_TRUE(map_two(&self->a, span / 4, &one, &two));
	ASSERT_EQ(0, zap(one));
	note_tables();

	EXPECT_EQ(-ENOMEM, reclaim(one, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_kept(two));
	ASSERT_EQ(0, zap(two));
	EXPECT_EQ(-ENOMEM, reclaim(one, span));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: a batch, if an edge rounded into a hole counted as the caller's. */
TEST_F(advice, never_blames_caller_for_outward_rounding)
{
	char *start;

	start = map(&self->a, span / 4, span / 4);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(fill_and_zap(start));
	note_tables();

	EXPECT_EQ(0, reclaim(start, span / 4));
	EXPECT_EQ(1, tables_gone());
	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(0, reclaim(start + span / 4 - page, page));
}

/* Lost: the news that a range holds nothing at all, next to a VMA or not. */
TEST_F(advice, reports_range_without_vma)
{
	char *start;

	EXPECT_EQ(-ENOMEM, reclaim(self->a.base, span));
	EXPECT_EQ(-ENOMEM, reclaim(self->a.base, GIB));
	start = map(&self->a, 0, span / 4);
	ASSERT_NE(NULL, start);
	fill(start);
	EXPECT_EQ(-ENOMEM, reclaim(start + span / 2, page));
	EXPECT_TRUE(is_kept(start));
}

/* Lost: the machine, if a walk went into the kernel half or took for ever. */
TEST_F(advice, survives_the_whole_address_space)
{
	const size_t n = 4;
	char *start;
	size_t i;

	start = map(&self->a, 0, 2 * n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, 2 * n);
	ASSERT_TRUE(zap_slots(start, n));
	note_tables();

	EXPECT_EQ(-ENOMEM, reclaim(NULL, SIZE_MAX - 2 * page + 1));
	EXPECT_LE((long)n, tables_gone());
	for (i = n; i < 2 * n; i++)
		EXPECT_TRUE(is_kept(slot(start, i)));
	EXPECT_EQ(-ENOMEM, reclaim((void *)(1UL << 63), SIZE_MAX / 2 + 1 -
				   page));
	EXPECT_EQ(-ENOMEM, reclaim((void *)-span, page));
}

/* Lost: the far end of a large range, beyond what one batch examines. */
TEST_F(advice, does_a_range_of_gigabytes)
{
	const size_t step = 100 * span;
	const size_t len = 3 * GIB;
	long empty = 0;
	char *start;
	size_t off;

	start = map(&self->a, 0, len);
	ASSERT_NE(NULL, start);
	for (off = 0; off < len; off += step)
		fill(start + off);
	for (off = 0; off < len; off += 2 * step, empty++)
		ASSERT_EQ(0, zap(start + off));
	note_tables();

	EXPECT_EQ(0, reclaim(start, len));
	EXPECT_EQ(empty, tables_gone());
	for (off = step; off < len; off += 2 * step)
		EXPECT_TRUE(is_kept(start + off));
}

/* Lost: programs that keep a tag in their pointers. */
TEST_F(advice, takes_tagged_address)
{
	uintptr_t tag = 1UL << 59;
	char *start;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
#ifdef __x86_64__
	if (syscall(__NR_arch_prctl, ARCH_ENABLE_TAGGED_ADDR, 6))
		SKIP(return, "no tagged addresses (LAM)");
#elif defined(PR_SET_TAGGED_ADDR_CTRL)
	if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, 0, 0, 0))
		SKIP(return, "no tagged addresses");
#else
	SKIP(return, "no tagged addresses on this architecture");
#endif
	ASSERT_TRUE(fill_and_zap(start));
	note_tables();
	EXPECT_EQ(0, reclaim((void *)((uintptr_t)start | tag), span));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: a program with a profiling timer would see reclaim fail at random. */
TEST_F(advice, is_not_interrupted_by_handled_signals)
{
	const struct itimerval timer = {
		.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000,
	};
	const struct itimerval off = { 0 };
	struct sigaction act = { .sa_handler = tick };
	const size_t n = 16;
	int failed = 0;
	char *start;
	int i;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, sigaction(SIGALRM, &act, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	for (i = 0; i < 200000 &&
	     __atomic_load_n(&ticks, __ATOMIC_RELAXED) < 20; i++)
		failed += reclaim(start, n * span) != 0;
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	EXPECT_EQ(0, failed);
	EXPECT_LE(20, ticks);
}

/* Lost: VmPTE that means something, if the upper levels were miscounted. */
TEST_F(advice, leaves_upper_levels_to_munmap)
{
	const size_t n = 8;
	long none;
	char *start;

	none = vm_pte();
	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();
	/* A PMD table for the arena's first GiB, maybe a PUD table too. */
	ASSERT_LT(none + (long)n * table_kb, vm_pte());
	ASSERT_TRUE(zap_slots(start, n));

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	ASSERT_EQ(0, munmap(start, n * span));
	EXPECT_EQ(none, vm_pte());
}

/* Lost: the tables of a large reservation of which the first part is not in use. */
TEST_F(advice, goes_on_behind_absent_upper_levels)
{
	const size_t length = 1536 * GIB;
	char *start, *at;

	start = mmap(NULL, length, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, start);
	at = start + 1100 * GIB;
	madvise(at, page, MADV_NOHUGEPAGE);
	ASSERT_TRUE(fill_and_zap(at));
	note_tables();

	EXPECT_EQ(0, reclaim(start, length));
	EXPECT_EQ(1, tables_gone());
	munmap(start, length);
}

/* Lost: tables behind MADV_FREE, whose pages go when nobody looks. */
TEST_F(advice, frees_after_madv_free_and_reclaim)
{
	const size_t n = 8;
	char *start;
	size_t i;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();
	ASSERT_EQ(0, madvise(start, n * span, MADV_FREE));

	/* Not reclaimed yet: lazily freed pages are entries like any other. */
	EXPECT_EQ(0, reclaim(start, n * span));
	for (i = 0; i < n; i++)
		if (!page_out(slot(start, i)))
			SKIP(return, "lazily freed pages could not be reclaimed");
	for (i = 0; i < n; i++)
		if (pagemap_get_entry(pagemap_fd, slot(start, i)) & PM_SWAP)
			SKIP(return, "lazily freed pages were swapped");
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zero(slot(start, i)));
}

/* Lost: lazily freed data that MADV_FREE promises to keep once rewritten. */
TEST_F(advice, keeps_lazily_freed_pages)
{
	const size_t n = 4;
	char *start;
	size_t i;

	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, madvise(start, n * span, MADV_FREE));
	fill_slots(start, n);
	note_tables();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(0, tables_gone());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: nothing but an entry; yet an entry is what the rule is about. */
TEST_F(advice, keeps_table_with_zero_page)
{
	char *start;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(is_zero(start + 9 * page));
	ASSERT_TRUE(is_present(start + 9 * page));
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_present(start + 9 * page));
}

/* Lost: swapped-out data. A swap entry is not present, and not nothing. */
TEST_F(advice, keeps_table_with_swap_entry)
{
	char *start;
	char *p;

	if (!have_swap())
		SKIP(return, "no swap space, and none could be made");
	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	p = start + 300 * page;
	fill(p);
	ASSERT_TRUE(fill_and_zap(start + span));
	if (!page_out(p))
		SKIP(return, "the page could not be swapped out");
	ASSERT_TRUE(pagemap_is_swapped(pagemap_fd, p));
	note_tables();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(pagemap_is_swapped(pagemap_fd, p));
	EXPECT_TRUE(is_filled(p));
}

/* Lost: tables of swapped-out shmem, which needs no entry to be found. */
TEST_F(advice, frees_table_of_swapped_shmem)
{
	const size_t n = 4;
	char *start;
	size_t i;

	if (!have_swap())
		SKIP(return, "no swap space, and none could be made");
	self->a.flags = MAP_SHARED | MAP_ANONYMOUS;
	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	note_tables();
	for (i = 0; i < n; i++)
		if (!page_out(slot(start, i)))
			SKIP(return, "the page could not be swapped out");

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ((long)n, tables_gone());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: the mark on a bad page; a program would read zeros for its data. */
TEST_F(advice, keeps_table_with_hwpoison_entry)
{
	const char *not_poisoned;
	uint64_t entry;
	char *start;
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	p = start + 8 * page;
	not_poisoned = poison(p);
	if (not_poisoned)
		SKIP(return, "%s", not_poisoned);
	entry = pagemap_get_entry(pagemap_fd, p);
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ(entry, pagemap_get_entry(pagemap_fd, p));
}

/* Lost: a write-protection that a monitor relies on, so a write goes unseen. */
TEST_F(advice, keeps_uffd_wp_marker)
{
	char *start;
	size_t k;
	int uffd;
	char *p;

	self->a.flags = MAP_SHARED | MAP_ANONYMOUS;
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	uffd = open_uffd_wp(start);
	if (uffd < 0)
		SKIP(return, "no userfaultfd with write-protection of shmem");
	p = start + 255 * page;
	fill(p);
	ASSERT_TRUE(write_protect(uffd, p));
	note_tables();

	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		EXPECT_EQ(0, advise(start, span, discards[k]));
		EXPECT_EQ(0, tables_gone());
		EXPECT_FALSE(is_present(p));
		EXPECT_TRUE(is_write_protected(p));
	}
	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_write_protected(p));

	/* Of memory that nobody watches, markers go too. */
	ASSERT_EQ(0, uffd_unregister(uffd, start, span));
	EXPECT_EQ(0, advise(start, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_filled(p));
	close(uffd);
}

/* Lost: a guard page, without which an overflow of a stack goes unnoticed. */
TEST_F(advice, keeps_guard_marker)
{
	char *start;
	int fds[2];
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, pipe(fds));
	p = start + 7 * page;
	if (madvise(p, page, MADV_GUARD_INSTALL))
		SKIP(return, "MADV_GUARD_INSTALL: %s", strerror(errno));
	ASSERT_EQ(-1, write(fds[1], p, 1));
	ASSERT_EQ(EFAULT, errno);
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ(-1, write(fds[1], p, 1));
	EXPECT_EQ(EFAULT, errno);
	close(fds[0]);
	close(fds[1]);
}

/* Lost: tables of memory that a monitor watches, for missing pages or writes. */
TEST_F(advice, frees_empty_table_of_uffd_vmas)
{
	const bool missing[] = { true, false };
	char *one, *two;
	size_t i;
	int uffd;

	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(map_two(&self->a, span / 2, &one, &two));
		uffd = open_uffd(missing[i] ? 0 :
				 UFFD_FEATURE_PAGEFAULT_FLAG_WP);
		if (uffd < 0)
			SKIP(return, "no userfaultfd: %s", strerror(errno));
		if (uffd_register(uffd, two, span / 2, missing[i], !missing[i],
				  false))
			SKIP(return, "UFFDIO_REGISTER: %s", strerror(errno));
		ASSERT_EQ(0, zap(one));
		note_tables();

		EXPECT_EQ(0, reclaim(one, span / 2));
		EXPECT_EQ(0, tables_gone());
		EXPECT_TRUE(is_filled(two));
		ASSERT_EQ(0, zap(two));
		EXPECT_EQ(0, reclaim(one, span / 2));
		EXPECT_EQ(1, tables_gone());
		close(uffd);
		ASSERT_EQ(0, munmap(one, span));
	}
}

/* Lost: a batch that stops on huge pages, or the data in them. */
TEST_F(advice, passes_over_hugetlb)
{
	size_t huge = default_huge_page_size();
	const char *no_hugetlb;
	char *one, *two, *middle;
	size_t off;

	no_hugetlb = map_around_hugetlb(&self->a, &one, &middle, &two);
	if (no_hugetlb)
		SKIP(return, "%s", no_hugetlb);
	ASSERT_NE(NULL, one);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two);
	for (off = 0; off < huge; off += page)
		fill(middle + off);
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	note_tables();

	EXPECT_EQ(0, reclaim(middle, huge));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ(0, reclaim(one, 2 * span + huge));
	EXPECT_EQ(2, tables_gone());
	for (off = 0; off < huge; off += page)
		EXPECT_TRUE(is_filled(middle + off));
}

/* Lost: a huge page's data, or the table kept for the day it is split. */
TEST_F(advice, passes_over_thp)
{
	const size_t n = 2;
	char *start;
	size_t off;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	if (!fill_huge(start, n))
		SKIP(return, "no transparent huge page obtained");
	note_tables();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(0, reclaim(start + page, page));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_huge_anon(start, n, span));
	for (off = 0; off < n * span; off += page)
		EXPECT_TRUE(is_filled(start + off));
	/* The deposited table must be there to split the huge page with. */
	ASSERT_EQ(0, zap(start));
	ASSERT_EQ(0, munmap(start + span, page));
	EXPECT_TRUE(is_zero(start));
	EXPECT_TRUE(is_filled(start + page));
	EXPECT_TRUE(is_filled(start + 2 * span - page));
}

/* Lost: huge pages behind a freed table. An empty one was no obstacle. */
TEST_F(advice, madv_collapse_goes_on_behind_it)
{
	const size_t n = 3;
	char *start;
	size_t i;

	if (read_pmd_pagesize() != span)
		SKIP(return, "no transparent huge pages");
	start = map_slots(&self->a, n);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, zap(slot(start, 1)));
	ASSERT_EQ(0, madvise(start, n * span, MADV_HUGEPAGE));
	ASSERT_EQ(0, reclaim(start, n * span));

	/* It reports the gap; what counts is what it did beside it. */
	EXPECT_EQ(-1, madvise(start, n * span, MADV_COLLAPSE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(is_huge_anon(start, 2, span));
	for (i = 0; i < n; i += 2)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: the clock. A batch over /proc/PID/maps meets [vvar], a PFNMAP. */
TEST_F(advice, passes_over_vvar)
{
	unsigned long start, end;
	struct timespec then, now;
	char *line;

	ASSERT_TRUE(slurp("/proc/self/maps"));
	line = strstr(text, "[vvar]");
	if (!line)
		SKIP(return, "no [vvar]");
	while (line > text && line[-1] != '\n')
		line--;
	start = strtoul(line, &line, 16);
	end = strtoul(line + 1, NULL, 16);
	ASSERT_LT(start, end);
	if (!has_flag((char *)start, " pf"))
		SKIP(return, "[vvar] is no PFNMAP");
	ASSERT_EQ(0, clock_gettime(CLOCK_MONOTONIC, &then));
	note_tables();

	EXPECT_EQ(0, reclaim((void *)start, end - start));
	EXPECT_EQ(0, tables_gone());
	ASSERT_EQ(0, clock_gettime(CLOCK_MONOTONIC, &now));
	EXPECT_LE(then.tv_sec, now.tv_sec);
}

/* Lost: drivers' mappings. A TCP socket maps as MIXEDMAP, and may share. */
TEST_F(advice, keeps_table_shared_with_mixedmap)
{
	const char *no_mixed = map_mixed(&self->a);
	char *mixed = self->a.base;
	char *start;

	if (no_mixed)
		SKIP(return, "%s", no_mixed);
	start = map(&self->a, span / 2, span / 2);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(fill_and_zap(start));
	note_tables();

	EXPECT_EQ(0, reclaim(mixed, page));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ(0, reclaim(start, span / 2));
	EXPECT_EQ(0, tables_gone());
	ASSERT_EQ(0, munmap(mixed, page));
	EXPECT_EQ(0, reclaim(start, span / 2));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: tables of locked memory, which real-time programs hold most of. */
TEST_F(advice, frees_empty_table_of_mlocked_vma)
{
	char *start;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	if (mlock2(start, span, MLOCK_ONFAULT))
		SKIP(return, "mlock2: %s", strerror(errno));
	fill(start + page);
	if (madvise(start, span / 2, MADV_DONTNEED_LOCKED))
		SKIP(return, "MADV_DONTNEED_LOCKED: %s", strerror(errno));
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(1, tables_gone());
	fill(start + page);
	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_filled(start + page));
}

/* Lost: tables of memory that is secret, not special. */
TEST_F(advice, frees_empty_table_of_secretmem)
{
	char *start;
	int fd;

	fd = syscall(__NR_memfd_secret, 0);
	if (fd < 0)
		SKIP(return, "memfd_secret: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(fd, span));
	start = mmap(self->a.base, span, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	if (start == MAP_FAILED)
		SKIP(return, "mmap of secretmem: %s", strerror(errno));
	fill(start);
	if (madvise(start, page, MADV_DONTNEED_LOCKED))
		SKIP(return, "MADV_DONTNEED_LOCKED: %s", strerror(errno));
	note_tables();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_filled(start));
	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(0, tables_gone());
	EXPECT_TRUE(is_filled(start));
	close(fd);
}

/* Lost: tables below the high-water mark of a deep stack. */
TEST_F(advice, frees_empty_table_of_growsdown_vma)
{
	char *start;

	self->a.flags |= MAP_GROWSDOWN;
	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	fill(start + page);
	fill(start + 2 * span - page);
	ASSERT_EQ(0, zap(start + page));
	note_tables();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zero(start + page));
	EXPECT_TRUE(is_filled(start + 2 * span - page));
}

/* Lost: tables of program text and read-only data that was paged out. */
TEST_F(advice, frees_empty_table_of_program_text)
{
	char *start;
	int fd;

	fd = open("/proc/self/exe", O_RDONLY);
	ASSERT_LE(0, fd);
	start = mmap(self->a.base, page, PROT_READ | PROT_EXEC,
		     MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	if (start == MAP_FAILED)
		SKIP(return, "mmap of the program: %s", strerror(errno));
	ASSERT_EQ(0, memcmp(start, "\177ELF", 4));
	ASSERT_EQ(0, zap(start));
	note_tables();

	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(1, tables_gone());
	EXPECT_EQ(0, memcmp(start, "\177ELF", 4));
	close(fd);
}

/* Lost: sealed memory's tables. Reclaim discards nothing, so seals allow it. */
TEST_F(advice, works_on_sealed_memory)
{
	char *start;

	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	fill(start);
	fill(start + span);
	ASSERT_EQ(0, zap(start));
	ASSERT_EQ(0, mprotect(start, 2 * span, PROT_READ));
	if (syscall(__NR_mseal, start, 2 * span, 0))
		SKIP(return, "mseal: %s", strerror(errno));
	/* A discard must be refused, or the seal proves nothing. */
	ASSERT_EQ(-1, zap(start + span));
	ASSERT_EQ(EPERM, errno);
	note_tables();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zero(start));
	EXPECT_TRUE(is_filled(start + span));
}

/* Lost: the far end of what one MADV_DONTNEED gives back. */
TEST_F(advice, dontneed_of_gigabytes_frees_all)
{
	const size_t n = 1300;
	char *start;
	size_t i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	note_tables();

	EXPECT_EQ(0, advise(start + span, (n - 2) * span, MADV_DONTNEED));
	EXPECT_EQ((long)n - 2, tables_gone());
	EXPECT_TRUE(is_kept(slot(start, 0)));
	EXPECT_TRUE(is_kept(slot(start, n - 1)));
	for (i = 1; i < n - 1; i++)
		EXPECT_FALSE(is_present(slot(start, i)));
}

/* Lost: the same, where GiBs without a table or with a hole lie between. */
TEST_F(advice, dontneed_goes_on_behind_absent_upper_levels)
{
	const size_t step = 1100 * span;
	const size_t len = ARENA_SIZE;
	long n = 0;
	char *start;
	size_t off;

	start = map(&self->a, 0, len);
	ASSERT_NE(NULL, start);
	for (off = 0; off < len; off += step, n++)
		fill(start + off);
	ASSERT_EQ(0, munmap(start + GIB, span));
	note_tables();

	EXPECT_EQ(-ENOMEM, advise(start, len, MADV_DONTNEED));
	EXPECT_EQ(n, tables_gone());
}

/* Lost: tables of snapshots, whose write-protection goes with their pages. */
TEST_F(advice, dontneed_frees_table_of_uffd_wp_anon)
{
	char *start;
	size_t k;
	int uffd;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	uffd = open_uffd_wp(start);
	if (uffd < 0)
		SKIP(return, "no userfaultfd with write-protection");
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(start);
		ASSERT_TRUE(write_protect(uffd, start));
		ASSERT_TRUE(is_write_protected(start));
		note_tables();

		EXPECT_EQ(0, advise(start, span, discards[k]));
		EXPECT_EQ(1, tables_gone());
		EXPECT_FALSE(is_write_protected(start));
		EXPECT_TRUE(is_zero(start));
	}
	close(uffd);
}

/* For whoever waits until its event is read: two VMAs are one when it goes on. */
struct merger {
	int uffd;
	char *vma;		/* half a table, read-only as yet */
};

static void *merge_and_read(void *arg)
{
	struct merger *m = arg;
	struct pollfd event = { .fd = m->uffd, .events = POLLIN };
	struct uffd_msg msg;
	size_t i;

	for (i = 0; i < 2; i++) {
		if (poll(&event, 1, -1) != 1 ||
		    mprotect(m->vma, span / 2, PROT_READ | PROT_WRITE) ||
		    read(m->uffd, &msg, sizeof(msg)) != sizeof(msg)) {
			close(m->uffd);		/* nobody waits any more */
			return m;
		}
	}
	return NULL;
}

/* Lost: tables of VMAs that become one while a monitor hears of the call. */
TEST_F(advice, dontneed_frees_table_of_vmas_that_merge)
{
	/* One of its own would be given back when the thread ends. */
	static char stack[1 << 17];
	pthread_attr_t attr;
	struct merger m;
	pthread_t thread;
	void *failed;
	char *start;
	size_t k;

	if (zap_frees)
		SKIP(return, "%s", vma_by_vma);
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setstack(&attr, stack, sizeof(stack)));
	m.vma = start + span / 2;
	m.uffd = open_uffd(UFFD_FEATURE_EVENT_REMOVE |
			   UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (m.uffd < 0 || uffd_register(m.uffd, start, span, false, true, false))
		SKIP(return, "no userfaultfd with write-protection");
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(start);
		fill(m.vma);
		ASSERT_EQ(0, mprotect(m.vma, span / 2, PROT_READ));
		note_tables();
		ASSERT_EQ(0, pthread_create(&thread, &attr, merge_and_read, &m));

		EXPECT_EQ(0, advise(start, span, discards[k]));
		ASSERT_EQ(0, pthread_join(thread, &failed));
		ASSERT_EQ(NULL, failed);
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_zero(start));
		EXPECT_TRUE(is_zero(m.vma));
		/* Two VMAs cannot grow. */
		ASSERT_EQ(start, mremap(start, span, span + page, 0));
		ASSERT_EQ(0, munmap(start + span, page));
	}
	close(m.uffd);
}

/* Lost: tables of memory that was swapped out before it was given back. */
TEST_F(advice, dontneed_frees_table_of_swap_entry)
{
	char *start;
	char *p;

	if (!have_swap())
		SKIP(return, "no swap space, and none could be made");
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	p = start + 300 * page;
	fill(p);
	if (!page_out(p))
		SKIP(return, "the page could not be swapped out");
	ASSERT_TRUE(pagemap_is_swapped(pagemap_fd, p));
	note_tables();

	EXPECT_EQ(0, advise(start, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zero(p));
}

/* Lost: memory, for ever. A program gives a bad page back for a good one. */
TEST_F(advice, dontneed_frees_table_of_hwpoison_entry)
{
	const char *not_poisoned;
	char *start;
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	p = start + 8 * page;
	not_poisoned = poison(p);
	if (not_poisoned)
		SKIP(return, "%s", not_poisoned);
	note_tables();

	EXPECT_EQ(0, advise(start, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_zero(p));
}

/* Lost: as above, where a monitor said that the page is bad. */
TEST_F(advice, dontneed_frees_table_of_poison_marker)
{
	struct uffdio_poison bad = { .range.len = page };
	char *start;
	int fds[2];
	int uffd;
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, pipe(fds));
	uffd = open_uffd(UFFD_FEATURE_POISON);
	if (uffd < 0)
		SKIP(return, "no userfaultfd with UFFDIO_POISON");
	ASSERT_EQ(0, uffd_register(uffd, start, span, true, false, false));
	p = start + 9 * page;
	bad.range.start = (uintptr_t)p;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_POISON, &bad));
	ASSERT_EQ(-1, write(fds[1], p, 1));
	ASSERT_EQ(EFAULT, errno);
	note_tables();

	EXPECT_EQ(0, advise(start, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	ASSERT_EQ(0, uffd_unregister(uffd, start, span));
	EXPECT_EQ(1, write(fds[1], p, 1));
	EXPECT_TRUE(is_zero(p));
	close(uffd);
	close(fds[0]);
	close(fds[1]);
}

/* Lost: huge pages of hugetlb, or the tables beside them. */
TEST_F(advice, dontneed_passes_over_hugetlb)
{
	size_t huge = default_huge_page_size();
	const char *no_hugetlb;
	char *one, *two, *middle;
	size_t k;

	no_hugetlb = map_around_hugetlb(&self->a, &one, &middle, &two);
	if (no_hugetlb)
		SKIP(return, "%s", no_hugetlb);
	ASSERT_NE(NULL, one);
	ASSERT_NE(NULL, two);
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(one);
		fill(middle);
		fill(two);
		note_tables();

		EXPECT_EQ(0, advise(middle, huge, discards[k]));
		EXPECT_EQ(0, tables_gone());
		EXPECT_TRUE(is_kept(one));
		EXPECT_TRUE(is_zero(middle));
		EXPECT_TRUE(is_kept(two));
		/* Less than all of a huge page stays. */
		fill(middle);
		EXPECT_EQ(0, advise(one, span + huge / 2, discards[k]));
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_filled(middle));
		EXPECT_EQ(0, advise(one, 2 * span + huge, discards[k]));
		EXPECT_EQ(2, tables_gone());
		EXPECT_TRUE(is_zero(one));
		EXPECT_TRUE(is_zero(middle));
		EXPECT_TRUE(is_zero(two));
	}
}

/* Lost: the table of a huge page, of which it had one in reserve, or two. */
TEST_F(advice, dontneed_of_thp)
{
	const size_t n = 3;
	char *start, *middle;
	size_t off;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	middle = start + span;
	if (!fill_huge(start, n))
		SKIP(return, "no transparent huge page obtained");
	note_tables();

	EXPECT_EQ(0, advise(start, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	/* Of another one all but a page: that one needs the table now. */
	EXPECT_EQ(0, advise(middle, span - page, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
	EXPECT_TRUE(is_kept(middle + span - page));
	EXPECT_EQ(0, advise(start, 2 * span, MADV_DONTNEED));
	EXPECT_EQ(2, tables_gone());
	EXPECT_TRUE(is_huge_anon(start, 1, span));
	for (off = 0; off < span; off += page)
		EXPECT_TRUE(is_filled(middle + span + off));
	ASSERT_EQ(0, madvise(start, 2 * span, MADV_NOHUGEPAGE));
	EXPECT_TRUE(is_zero(start));
	EXPECT_TRUE(is_zero(middle));
	EXPECT_TRUE(is_zero(middle + span - page));
}

/* Lost: drivers' mappings, whose tables stay, be they as empty as they may. */
TEST_F(advice, dontneed_keeps_table_shared_with_mixedmap)
{
	const char *no_mixed = map_mixed(&self->a);
	char *mixed = self->a.base;
	char *start;
	size_t k;

	if (no_mixed)
		SKIP(return, "%s", no_mixed);
	start = map(&self->a, page, 2 * span - page);
	ASSERT_NE(NULL, start);
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill(start);
		fill(mixed + span);
		note_tables();
		EXPECT_EQ(0, advise(mixed, 2 * span, discards[k]));
		EXPECT_EQ(1, tables_gone());
		EXPECT_TRUE(is_zero(start));
	}
	ASSERT_EQ(0, munmap(mixed, page));
	if (zap_frees)
		return;
	note_tables();
	EXPECT_EQ(-ENOMEM, advise(mixed, span, MADV_DONTNEED));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: reclaim from an event loop, which has io_uring and no thread. */
TEST_F(advice, works_through_io_uring)
{
	struct request r = { .advice = MADV_RECLAIM_PT };
	const char *no_ring = ring_open();
	const size_t n = 4;

	if (no_ring)
		SKIP(return, "io_uring: %s", no_ring);
	r.addr = map_empty(&self->a, n);
	r.len = n * span;
	ASSERT_NE(NULL, r.addr);
	fill(slot(self->a.base, n - 1));
	note_tables();

	ASSERT_TRUE(ring_do(&r, 1));
	EXPECT_EQ(0, r.res);
	EXPECT_EQ((long)n - 1, tables_gone());
	EXPECT_TRUE(is_kept(slot(self->a.base, n - 1)));
}

static int reclaim_long(void *arg)
{
	const bool by_ring = arg;
	struct request r = {
		.advice = MADV_RECLAIM_PT, .off = LONG_GIBS * GIB,
	};

	r.addr = map_long();
	if (!r.addr || !meet_parent())
		return 10;
	if (!by_ring)
		return reclaim(r.addr, r.off);
	/* The parent takes the completion: the ring is its own. */
	return !ring_submit(&r, 1) || !ring_wait();
}

/*
 * Kills a child that reclaims, as soon as it is seen to do so. On a busy machine
 * it may be done before. Returns what result_when_killed() does.
 */
static long kill_long_reclaim(bool by_ring, long *left)
{
	struct child c;
	long result;

	if (!start_life(&c, reclaim_long, by_ring ? &c : NULL) || !let_go(&c))
		return -ECHILD;
	close(c.pidfd);
	while (tables_gone_of(&c) <= 0)
		sched_yield();
	result = result_when_killed(c.pid, __NR_madvise);
	*left = LONG_GIBS - tables_gone_of(&c);
	ptrace(PTRACE_CONT, c.pid, NULL, NULL);
	wait_for(c.pid);
	return result;
}

/* Lost: Ctrl-C. A killed program frees terabytes of tables before it goes. */
TEST_F(advice, fatal_signal_is_eintr)
{
	long result = 0, left = 0;
	int tries;

#ifndef __x86_64__
	SKIP(return, "cannot tell what a killed call returned");
#endif
	/* Killed in its last batch it has freed all, and is right to say so. */
	for (tries = 0; tries < 20 && (result >= 0 || left <= 0); tries++)
		result = kill_long_reclaim(false, &left);
	EXPECT_EQ(-EINTR, result);
	EXPECT_LT(0, left);
}

static int change_protection_for_ever(void *arg)
{
	char *start = map(arg, 0, page) ? map_long() : NULL;
	int prot;

	if (!start || !meet_parent())
		return 10;
	for (prot = PROT_READ;; prot ^= PROT_WRITE)
		if (mprotect(start, LONG_GIBS * GIB, prot))
			return 11;
}

static int reclaim_for_ever(void *arg)
{
	if (!meet_parent())
		return 10;
	for (;;)
		reclaim_child(arg);
}

/* As a task does that waits for a lock, and may be killed. */
static bool sleeps(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return !slurp(path) || strstr(text, "State:\tD");
}

/* Lost: Ctrl-C. A manager hangs on a target that keeps mmap_lock. */
TEST_F(advice, fatal_signal_in_process_madvise_is_eintr)
{
	struct child target = { .iov = { self->a.base, page } };
	struct child manager;
	long result = 0;
	int tries;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_life(&target, change_protection_for_ever, &self->a));
	ASSERT_EQ((ssize_t)page, reclaim_child(&target));
	ASSERT_TRUE(let_go(&target));
	/* The manager may get the lock before it is killed. */
	for (tries = 0; tries < 100 && result != -EINTR; tries++) {
		ASSERT_TRUE(start_life(&manager, reclaim_for_ever, &target));
		ASSERT_TRUE(let_go(&manager));
		close(manager.pidfd);
		while (!sleeps(manager.pid))
			sched_yield();
		result = result_when_killed(manager.pid, __NR_process_madvise);
		ptrace(PTRACE_CONT, manager.pid, NULL, NULL);
		ASSERT_EQ(-1, wait_for(manager.pid));
	}
	EXPECT_EQ(-EINTR, result);
	ASSERT_EQ(0, kill(target.pid, SIGKILL));
	EXPECT_EQ(-1, wait_for(target.pid));
}

/* Lost: batches of one's own ranges, which need no privilege. */
TEST_F(advice, self_through_pidfd)
{
	struct iovec iov[3];
	char *start;

	start = map_empty(&self->a, 8);
	ASSERT_NE(NULL, start);
	/* Tables 0 and 1, 3, and by their edges 5 and 6. */
	iov[0] = (struct iovec){ start, 2 * span };
	iov[1] = (struct iovec){ start + 3 * span, span };
	iov[2] = (struct iovec){ start + 6 * span - page, 2 * page };
	ASSERT_TRUE(drop_capability(CAP_SYS_NICE));
	note_tables();

	EXPECT_EQ((ssize_t)(3 * span + 2 * page), reclaim_of_self(iov, 3));
	EXPECT_EQ(5, tables_gone());
	EXPECT_EQ(0, reclaim_of_self(iov, 0));
}

/* Lost: a manager that frees tables of others, or the others' data. */
TEST_F(advice, other_process)
{
	struct child c;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_child(&c, &self->a, 16));
	note_tables();

	EXPECT_EQ((ssize_t)(16 * span), reclaim_child(&c));
	EXPECT_EQ(8, tables_gone_of(&c));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ((ssize_t)(16 * span), reclaim_child(&c));
	EXPECT_EQ(8, tables_gone_of(&c));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: where to go on. A vector stops at a hole and says how far it came. */
TEST_F(advice, vector_stops_at_hole)
{
	struct iovec iov[3];
	struct child c;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_child(&c, &self->a, 8));
	iov[0] = (struct iovec){ self->a.base, 2 * span };
	iov[1] = (struct iovec){ self->a.base + GIB, span };
	iov[2] = (struct iovec){ self->a.base + 4 * span, 4 * span };

	EXPECT_EQ((ssize_t)(2 * span), reclaim_of(c.pidfd, iov, 3, 0));
	EXPECT_EQ(1, tables_gone_of(&c));
	EXPECT_EQ(-ENOMEM, reclaim_of(c.pidfd, iov + 1, 2, 0));
	EXPECT_EQ(1, tables_gone_of(&c));
	EXPECT_EQ((ssize_t)(4 * span), reclaim_of(c.pidfd, iov + 2, 1, 0));
	EXPECT_EQ(3, tables_gone_of(&c));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: as above. An element that is partly mapped is done, and not counted. */
TEST_F(advice, vector_stops_at_element_with_hole)
{
	struct iovec iov[3];
	struct child c;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_child(&c, &self->a, 8));
	iov[0] = (struct iovec){ self->a.base, 2 * span };
	/* Tables 5 to 7, of which 6 is empty, and the hole behind them. */
	iov[1] = (struct iovec){ self->a.base + 5 * span, 4 * span };
	iov[2] = (struct iovec){ self->a.base + 4 * span, page };

	EXPECT_EQ((ssize_t)(2 * span), reclaim_of(c.pidfd, iov, 3, 0));
	EXPECT_EQ(2, tables_gone_of(&c));
	EXPECT_EQ(-ENOMEM, reclaim_of(c.pidfd, iov + 1, 2, 0));
	EXPECT_EQ(2, tables_gone_of(&c));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: security. Who may not slow a process down may not reclaim in it. */
TEST_F(advice, other_process_needs_cap_sys_nice)
{
	struct child c;

	ASSERT_TRUE(start_child(&c, &self->a, 2));
	ASSERT_TRUE(drop_capability(CAP_SYS_NICE));

	EXPECT_EQ(-EPERM, reclaim_child(&c));
	EXPECT_EQ(0, tables_gone_of(&c));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: security. Another user's process is as closed as to MADV_COLD. */
TEST_F(advice, other_user_is_refused)
{
	struct child c;
	ssize_t ret;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to have a process of another user");
	ASSERT_TRUE(start_child(&c, &self->a, 2));

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (!become_nobody())
			_exit(10);
		ret = reclaim_child(&c);
		/* EACCES up to now, EPERM by process_madvise(2). */
		if (ret != -EPERM && ret != -EACCES)
			_exit(11);
		if (syscall(__NR_process_madvise, c.pidfd, &c.iov, 1, MADV_COLD,
			    0) != -1 || errno != -ret)
			_exit(12);
		_exit(0);
	}
	EXPECT_EQ(0, wait_for(pid));
	EXPECT_EQ(0, tables_gone_of(&c));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: a manager that cannot tell an exited process from its own mistake. */
TEST_F(advice, dead_process_is_esrch)
{
	struct iovec iov = { self->a.base, span };
	siginfo_t info;
	pid_t pid;
	int fd;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(0);
	fd = open_pidfd(pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	EXPECT_EQ(-ESRCH, reclaim_of(fd, &iov, 1, 0));
	ASSERT_EQ(0, wait_for(pid));
	EXPECT_EQ(-ESRCH, reclaim_of(fd, &iov, 1, 0));
	close(fd);
}

/* Lost: a manager that walks all of /proc and meets a thread of the kernel. */
TEST_F(advice, kernel_thread_is_esrch)
{
	struct iovec iov = { self->a.base, span };
	int fd;

	if (!slurp("/proc/2/comm") || strcmp(text, "kthreadd\n"))
		SKIP(return, "process 2 is no kernel thread");
	fd = open_pidfd(2);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ESRCH, reclaim_of(fd, &iov, 1, 0));
	close(fd);
}

/* Lost: a sender's bug stays hidden; room for flags to come is given away. */
TEST_F(advice, checks_vector_as_process_madvise_does)
{
	static struct iovec iov[MAX_IOV + 1];
	char *start;
	int fd, bad;
	int i;

	fd = open_pidfd(getpid());
	ASSERT_LE(0, fd);
	bad = open("/dev/null", O_RDONLY);
	ASSERT_LE(0, bad);
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	for (i = 0; i <= MAX_IOV; i++)
		iov[i] = (struct iovec){ start, page };

	EXPECT_EQ((ssize_t)(MAX_IOV * page), reclaim_of(fd, iov, MAX_IOV, 0));
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov, MAX_IOV + 1, 0));
	for (i = 0; i < 32; i++)
		EXPECT_EQ(-EINVAL, reclaim_of(fd, iov, 1, 1U << i));
	EXPECT_EQ(-EBADF, reclaim_of(-1, iov, 1, 0));
	EXPECT_EQ(-EBADF, reclaim_of(bad, iov, 1, 0));
	close(bad);
	EXPECT_EQ(-EBADF, reclaim_of(bad, iov, 1, 0));
	/* As [vsyscall] is: it makes the whole vector unusable. */
	iov[1].iov_base = (void *)-(10UL << 20);
	EXPECT_EQ(-EFAULT, reclaim_of(fd, iov, 2, 0));
	iov[1].iov_base = start + 1;
	EXPECT_EQ((ssize_t)page, reclaim_of(fd, iov, 3, 0));
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov + 1, 1, 0));
	/* Without a length, too. */
	iov[1].iov_len = 0;
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov + 1, 2, 0));
	close(fd);
}

/* Lost: the program, if a vector were half done that cannot be read. */
TEST_F(advice, vector_that_cannot_be_read_is_efault)
{
	struct iovec *iov;
	char *start;

	start = map_empty(&self->a, 2);
	ASSERT_NE(NULL, start);
	iov = (struct iovec *)map(&self->a, GIB, 2 * page);
	ASSERT_NE(NULL, iov);
	iov += page / sizeof(*iov) - 1;
	iov[0] = (struct iovec){ start, span };
	iov[1] = (struct iovec){ start + span, span };
	ASSERT_EQ(0, mprotect(iov + 1, page, PROT_NONE));
	note_tables();

	EXPECT_EQ(-EFAULT, reclaim_of_self(NULL, 1));
	EXPECT_EQ(0, reclaim_of_self(NULL, 0));
	EXPECT_EQ(-EFAULT, reclaim_of_self((void *)8, 1));
	EXPECT_EQ(-EFAULT, reclaim_of_self(iov + 1, 1));
	EXPECT_EQ(-EFAULT, reclaim_of_self(iov, 2));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ((ssize_t)span, reclaim_of_self(iov, 1));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: the program. A range that overflows is looked at before any is done. */
TEST_F(advice, vector_with_overflow_does_nothing)
{
	struct iovec iov[2];
	char *start;

	start = map_empty(&self->a, 2);
	ASSERT_NE(NULL, start);
	iov[0] = (struct iovec){ start, span };
	note_tables();

	iov[1] = (struct iovec){ start + span, (size_t)SSIZE_MAX + 1 };
	EXPECT_EQ(-EINVAL, reclaim_of_self(iov, 2));
	iov[1].iov_len = SIZE_MAX;
	EXPECT_EQ(-EINVAL, reclaim_of_self(iov, 2));
	iov[1].iov_len = SSIZE_MAX;
	EXPECT_EQ(-EFAULT, reclaim_of_self(iov, 2));
	EXPECT_EQ(0, tables_gone());
	EXPECT_EQ((ssize_t)span, reclaim_of_self(iov, 1));
	EXPECT_EQ(1, tables_gone());
}

/* Lost: the news of how far a call came. The cut is one of all ranges. */
TEST_F(advice, cut_at_2g_is_of_the_sum)
{
	const size_t cut = INT_MAX & ~(page - 1);
	struct iovec iov[3];
	char *start;
	int i;

	start = map(&self->a, 0, 3 * GIB);
	ASSERT_NE(NULL, start);
	for (i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ start + i * GIB, GIB };
		ASSERT_TRUE(fill_and_zap(start + i * GIB));
	}
	ASSERT_TRUE(fill_and_zap(start + 2 * GIB - page));
	note_tables();

	EXPECT_EQ((ssize_t)cut, reclaim_of_self(iov, 3));
	EXPECT_EQ(3, tables_gone());
	EXPECT_EQ((ssize_t)GIB, reclaim_of_self(iov + 2, 1));
	EXPECT_EQ(4, tables_gone());
}

/* Lost: the table at 2 GiB - 4 KiB, where the kernel cuts every call. */
TEST_F(advice, cut_at_2g_leaves_no_table)
{
	const size_t cut = INT_MAX & ~(page - 1);
	struct iovec iov;
	char *start;

	start = map(&self->a, 0, 3 * GIB);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(fill_and_zap(start));
	ASSERT_TRUE(fill_and_zap(start + 2 * GIB - page));
	ASSERT_TRUE(fill_and_zap(start + 2 * GIB));
	iov.iov_base = start;
	iov.iov_len = 3 * GIB;
	note_tables();

	EXPECT_EQ((ssize_t)cut, reclaim_of_self(&iov, 1));
	EXPECT_EQ(2, tables_gone());
	EXPECT_EQ(0, reclaim(start + cut, 3 * GIB - cut));
	EXPECT_EQ(3, tables_gone());
}

/* Lost: the simplest manager, which sends all of /proc/PID/maps as it is. */
TEST_F(advice, takes_every_vma_in_maps)
{
	static struct iovec iov[MAX_IOV];
	unsigned long start, end;
	ssize_t total = 0;
	const size_t n = 4;
	size_t used = 0;
	char *memory;
	char *line;

	memory = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, memory);
	fill_slots(memory, n);
	ASSERT_TRUE(zap_slots(memory, n - 1));
	note_tables();
	ASSERT_TRUE(slurp("/proc/self/maps"));
	for (line = text; line && used < MAX_IOV; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			break;
		if ((long)start < 0)
			continue;
		iov[used].iov_base = (void *)start;
		iov[used++].iov_len = end - start;
		total += end - start;
	}
	ASSERT_LT(4, (int)used);

	EXPECT_EQ(total, reclaim_of_self(iov, used));
	EXPECT_LE((long)(n - 1), tables_gone());
	EXPECT_TRUE(is_kept(slot(memory, n - 1)));
}

/* Lost: another process's data, written while we free tables in it. */
TEST_F(advice, races_with_faults_of_other_process)
{
	struct race r = { .arena = &self->a };
	long passes = 0, errors = 0;
	struct iovec iov;
	int status = -1;
	long had;
	pid_t pid;
	int fd;

	if (!has_capability(CAP_SYS_NICE))
		SKIP(return, "needs CAP_SYS_NICE");
	r.start = map(&self->a, 0, RACE_TABLES * span);
	ASSERT_NE(NULL, r.start);
	iov.iov_base = r.start;
	iov.iov_len = RACE_TABLES * span;
	had = freed();

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(churn(&r, 0) ? 10 : 0);
	fd = open_pidfd(pid);
	ASSERT_LE(0, fd);
	while (!waitpid(pid, &status, WNOHANG)) {
		ssize_t ret = reclaim_of(fd, &iov, 1, 0);

		if (ret == (ssize_t)iov.iov_len)
			passes++;
		else if (ret != -ESRCH)
			errors++;
	}
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, errors);
	close(fd);
	if (passes < RACE_PASSES && !_metadata->exit_code)
		SKIP(return, "no race: too little CPU time");
	EXPECT_TRUE(rises(freed, had + 1));
}

/* Who may send it to whom: CAP_SYS_NICE, and access as ptrace has it. */
FIXTURE(access)
{
	struct arena a;
	struct child child;
};

FIXTURE_VARIANT(access)
{
	bool (*become)(void);	/* in the child */
	int without;		/* capability of the sender */
	ssize_t error;
};

/* Lost: managers that have CAP_SYS_NICE, and not all of root's power. */
FIXTURE_VARIANT_ADD(access, same_user)
{
	.become = give_up_capabilities,
	.without = CAP_SYS_PTRACE,
};

/* Lost: managers of the system's processes, which belong to many users. */
FIXTURE_VARIANT_ADD(access, other_user_with_cap_sys_ptrace)
{
	.become = become_nobody,
	.without = CAP_SYS_ADMIN,
};

/* Lost: security. CAP_SYS_NICE alone opens no other user's process. */
FIXTURE_VARIANT_ADD(access, other_user)
{
	.become = become_nobody,
	.without = CAP_SYS_PTRACE,
	.error = -EACCES,
};

/* Lost: security. CAP_SYS_PTRACE alone does not either. */
FIXTURE_VARIANT_ADD(access, other_user_without_cap_sys_nice)
{
	.become = become_nobody,
	.without = CAP_SYS_NICE,
	.error = -EPERM,
};

/* Lost: security. What a process hides from its user stays hidden. */
FIXTURE_VARIANT_ADD(access, undumpable)
{
	.become = become_undumpable,
	.without = CAP_SYS_PTRACE,
	.error = -EACCES,
};

/* Lost: security. So does one that may do more than the sender. */
FIXTURE_VARIANT_ADD(access, more_capable)
{
	.without = CAP_SYS_PTRACE,
	.error = -EACCES,
};

FIXTURE_SETUP(access)
{
	if (no_advice)
		SKIP(return, "%s", no_advice);
	if (geteuid() || !has_capability(CAP_SYS_NICE) ||
	    !has_capability(CAP_SYS_PTRACE))
		SKIP(return, "needs root and its capabilities");
	ASSERT_TRUE(prepare(&self->a, MAP_PRIVATE | MAP_ANONYMOUS));
	ASSERT_TRUE(start_child_as(&self->child, &self->a, 2, variant->become));
}

FIXTURE_TEARDOWN(access)
{
	close(pagemap_fd);
}

TEST_F(access, is_checked)
{
	const struct child *c = &self->child;

	ASSERT_TRUE(variant->without == CAP_SYS_PTRACE ?
		    drop_capability_to_read() : drop_capability(variant->without));
	EXPECT_EQ(variant->error ?: (ssize_t)c->iov.iov_len, reclaim_child(c));
	EXPECT_EQ(variant->error ? 0 : 1, tables_gone_of(c));
	EXPECT_EQ(0, finish_child(&self->child));
}

FIXTURE(ring)
{
	struct arena a;
};

FIXTURE_SETUP(ring)
{
	const char *no_ring;

	if (no_advice)
		SKIP(return, "%s", no_advice);
	ASSERT_TRUE(prepare(&self->a, MAP_PRIVATE | MAP_ANONYMOUS));
	no_ring = ring_open();
	if (no_ring)
		SKIP(return, "%s", no_ring);
	populate_own_tables(&self->a);
}

FIXTURE_TEARDOWN(ring)
{
	close(pagemap_fd);
}

/* Lost: all behind 4 GiB, or a call for each. Only off has 64 bits. */
TEST_F(ring, takes_length_of_64_bits)
{
	struct request r = { .advice = MADV_RECLAIM_PT, .off = 4 * GIB + span };
	char *start;

	start = map(&self->a, 0, 4 * GIB + 2 * span);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(fill_and_zap(start));
	ASSERT_TRUE(fill_and_zap(start + span));
	ASSERT_TRUE(fill_and_zap(start + 4 * GIB));
	ASSERT_TRUE(fill_and_zap(start + 4 * GIB + span));
	note_tables();

	r.addr = start;
	ASSERT_TRUE(ring_do(&r, 1));
	EXPECT_EQ(0, r.res);
	EXPECT_EQ(3, tables_gone());
	/* Where both are given, off counts. */
	ASSERT_TRUE(fill_and_zap(start));
	ASSERT_TRUE(fill_and_zap(start + span));
	note_tables();
	r.off = page;
	r.len = 2 * span;
	ASSERT_TRUE(ring_do(&r, 1));
	EXPECT_EQ(0, r.res);
	EXPECT_EQ(1, tables_gone());
}

/* Lost: the error, as nobody's errno tells it, or the rest of the range. */
TEST_F(ring, reports_errors_in_res)
{
	struct {
		struct request r;
		int want;
		size_t at;
	} all[] = {
		{ { .len = page }, -EINVAL, 1 },
		{ { .off = SIZE_MAX }, -EINVAL, 0 },
		{ { .off = -(uint64_t)self->a.base }, -EINVAL, 0 },
		{ { .len = page, .buf_index = 1 }, -EINVAL, 0 },
		{ { .len = page, .splice_fd_in = 1 }, -EINVAL, 0 },
		{ { .len = page, .advice = -1 }, -EINVAL, 0 },
		{ { .len = 0 }, 0, 0 },
		{ { .len = page }, -ENOMEM, GIB },
		{ { .len = 4 * span }, -ENOMEM, 0 },
	};
	const size_t n = ARRAY_SIZE(all);
	size_t i;

	ASSERT_NE(NULL, map_empty(&self->a, 4));
	ASSERT_EQ(0, munmap(self->a.base + span, span));
	note_tables();

	for (i = 0; i < n; i++) {
		struct request *r = &all[i].r;

		r->addr = self->a.base + all[i].at;
		r->advice = r->advice ?: MADV_RECLAIM_PT;
		ASSERT_TRUE(ring_do(r, 1));
		EXPECT_EQ(all[i].want, r->res)
			TH_LOG("request %zu", i);
		/* The last one has a hole, and the rest of it is done. */
		EXPECT_EQ(i == n - 1 ? 3 : 0, tables_gone())
			TH_LOG("request %zu", i);
	}
}

/* Lost: order. A purge and the reclaim behind it are one submission. */
TEST_F(ring, links_it_to_a_purge)
{
	const size_t n = 4;
	struct request r[] = {
		{ .advice = MADV_DONTNEED, .len = n * span - page },
		{ .advice = MADV_RECLAIM_PT, .len = n * span },
	};

	r[0].addr = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, r[0].addr);
	r[0].flags = IOSQE_IO_LINK;
	r[1].addr = r[0].addr;
	fill_slots(self->a.base, n);
	note_tables();

	ASSERT_TRUE(ring_do(r, 2));
	EXPECT_EQ(0, r[0].res);
	EXPECT_EQ(0, r[1].res);
	EXPECT_EQ((long)n, tables_gone());
}

/* Lost: tables of event loops that have their memory given back by a ring. */
TEST_F(ring, dontneed_frees_what_it_covers)
{
	const size_t n = 4;
	struct request r = { .off = n * span };
	size_t k, i;

	r.addr = map(&self->a, 0, (n + 1) * span);
	ASSERT_NE(NULL, r.addr);
	for (k = 0; k < ARRAY_SIZE(discards); k++) {
		fill_slots(self->a.base, n + 1);
		note_tables();
		r.advice = discards[k];
		ASSERT_TRUE(ring_do(&r, 1));
		EXPECT_EQ(0, r.res);
		EXPECT_EQ((long)n, tables_gone());
		for (i = 0; i < n; i++)
			EXPECT_TRUE(is_zero(slot(self->a.base, i)));
		EXPECT_TRUE(is_kept(slot(self->a.base, n)));
	}
}

/* Lost: the links behind a hole; IORING_OP_MADVISE breaks no chain. */
TEST_F(ring, error_breaks_no_chain)
{
	struct request r[] = {
		{ .advice = MADV_RECLAIM_PT, .flags = IOSQE_IO_LINK },
		{ .advice = MADV_RECLAIM_PT, .flags = IOSQE_IO_LINK },
		{ .advice = MADV_RECLAIM_PT },
	};
	char *start;

	start = map_empty(&self->a, 2);
	ASSERT_NE(NULL, start);
	r[0].addr = start + GIB;
	r[0].len = span;
	r[1].addr = start + 1;
	r[1].len = span;
	r[2].addr = start;
	r[2].len = 2 * span;
	note_tables();

	ASSERT_TRUE(ring_do(r, 3));
	EXPECT_EQ(-ENOMEM, r[0].res);
	EXPECT_EQ(-EINVAL, r[1].res);
	EXPECT_EQ(0, r[2].res);
	EXPECT_EQ(2, tables_gone());

	/* One that cannot even begin calls all of the chain off. */
	fill_slots(start, 2);
	ASSERT_EQ(0, zap(start));
	note_tables();
	r[0] = r[2];
	r[0].flags = IOSQE_IO_LINK;
	r[1].buf_index = 1;
	ASSERT_TRUE(ring_do(r, 3));
	EXPECT_EQ(-ECANCELED, r[0].res);
	EXPECT_EQ(-EINVAL, r[1].res);
	EXPECT_EQ(-ECANCELED, r[2].res);
	EXPECT_EQ(0, tables_gone());
}

/* Lost: a purge's promise, if reclaim went on where it was called off. */
TEST_F(ring, cancels_it_with_its_chain)
{
	struct request r[] = {
		{ .opcode = IORING_OP_READ, .flags = IOSQE_IO_LINK },
		{ .advice = MADV_RECLAIM_PT, .len = span },
	};

	r[1].addr = map_empty(&self->a, 1);
	ASSERT_NE(NULL, r[1].addr);
	note_tables();

	ASSERT_TRUE(ring_do(r, 2));
	EXPECT_EQ(-EBADF, r[0].res);
	EXPECT_EQ(-ECANCELED, r[1].res);
	EXPECT_EQ(0, tables_gone());
	ASSERT_TRUE(ring_do(r + 1, 1));
	EXPECT_EQ(0, r[1].res);
	EXPECT_EQ(1, tables_gone());
}

/* Lost: Ctrl-C, where the worker of a ring frees terabytes of tables. */
TEST_F(ring, fatal_signal_is_eintr)
{
	struct request r = { .res = 0 };
	long left;
	int tries;

	for (tries = 0; tries < 20 && !r.res; tries++) {
		kill_long_reclaim(true, &left);
		ASSERT_TRUE(ring_take(&r));
	}
	EXPECT_EQ(-EINTR, r.res);
}

TEST_HARNESS_MAIN
