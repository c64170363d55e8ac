// SPDX-License-Identifier: GPL-2.0
/*
 * MADV_RECLAIM_PT: frees PTE tables that hold no entry, and nothing else.
 *
 * VmPTE counts tables in kB and drops at once, so most checks are differences
 * of VmPTE between two readings, exact to the table. Nothing between the two
 * may allocate a table for the program itself: see populate_own_tables().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>

#include "local_config.h"
#ifdef LOCAL_CONFIG_HAVE_LIBURING
#include <liburing.h>
#endif

#include "../kselftest_harness.h"
#include "vm_util.h"

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
#define ARENA_SIZE	(4 * GIB)
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

static int reclaim(const void *addr, size_t len)
{
	return madvise((void *)addr, len, MADV_RECLAIM_PT) ? -errno : 0;
}

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

static bool capability(int cap, bool drop)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	unsigned int bit = 1U << (cap % 32);

	if (syscall(__NR_capget, &hdr, data))
		return false;
	if (!drop)
		return data[cap / 32].effective & bit;
	data[cap / 32].effective &= ~bit;
	return !syscall(__NR_capset, &hdr, data);
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
};

/*
 * A process with @n tables at @a->base, all empty but the odd ones. It waits,
 * and goes away at once should the test die.
 */
static bool start_child(struct child *c, struct arena *a, size_t n)
{
	int ready[2], go[2];
	char *start;
	size_t i;
	char b;

	if (pipe(ready) || pipe(go))
		return false;
	c->pid = fork();
	if (c->pid < 0)
		return false;
	if (!c->pid) {
		close(go[1]);
		close(ready[0]);
		start = map(a, 0, n * span);
		if (!start)
			_exit(10);
		fill_slots(start, n);
		for (i = 0; i < n; i += 2)
			if (zap(slot(start, i)))
				_exit(11);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &b, 1) != 1)
			_exit(12);
		for (i = 0; i < n; i++) {
			if (i % 2 ? !is_filled(slot(start, i)) :
			    !is_zapped(a, slot(start, i)))
				_exit(13);
		}
		_exit(0);
	}
	close(ready[1]);
	close(go[0]);
	c->go = go[1];
	c->pidfd = open_pidfd(c->pid);
	i = read(ready[0], &b, 1);
	close(ready[0]);
	return i == 1 && c->pidfd >= 0;
}

/* 0 if all that the child had left in its memory is still there. */
static int finish_child(struct child *c)
{
	if (write(c->go, "g", 1) != 1)
		return -1;
	close(c->go);
	close(c->pidfd);
	return wait_for(c->pid);
}

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
	long had, seen, pte;
	char *start;
	size_t i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	pte = vm_pte();
	ASSERT_TRUE(zap_slots(start, n));
	had = freed();
	seen = scanned();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	pte = vm_pte();

	ASSERT_EQ(0, madvise(start, n * span, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
}

/* Lost: tables of every allocator that purges less than 2 MiB at a time. */
TEST_F(tables, frees_after_dontneed_in_64k_steps)
{
	const size_t step = 64 << 10;
	const size_t n = 4;
	char *start;
	size_t off;
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (off = 0; off < n * span; off += step)
		fill(start + off);
	pte = vm_pte();

	for (off = 0; off < n * span; off += step)
		ASSERT_EQ(0, madvise(start + off, step, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
}

/* Lost: tables of blocks of 2 MiB that are not aligned to 2 MiB. */
TEST_F(tables, frees_after_dontneed_shifted_by_half_a_table)
{
	const size_t n = 6;
	char *start;
	size_t i;
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (i = 0; i < 2 * n; i++)
		fill(start + i * span / 2);
	pte = vm_pte();

	/* The first half of the first table and the last of the last stay. */
	for (i = 0; i < n - 1; i++)
		ASSERT_EQ(0, madvise(start + i * span + span / 2, span,
				     MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)(n - 2) * table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (i = 0; i < n; i++)
		fill(start + i * span);
	fill(start + span - page);
	pte = vm_pte();

	for (i = 0; i < n; i++)
		ASSERT_EQ(0, munmap(start + i * span, span / 2));
	for (i = 0; i < n; i++)
		EXPECT_EQ(0, reclaim(start + i * span + span / 2, span / 2));
	EXPECT_EQ(pte - (long)(n - 1) * table_kb, vm_pte());
	EXPECT_TRUE(is_present(start + span - page));
	EXPECT_TRUE(is_filled(start + span - page));
}

/* Lost: tables of a file that was cut short, whose entries went with it. */
TEST_F(tables, frees_after_truncate)
{
	const size_t n = 8;
	char *start;
	size_t i;
	long pte;

	if (self->a.fd < 0)
		SKIP(return, "no file behind anonymous memory");
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	pte = vm_pte();

	ASSERT_EQ(0, ftruncate(self->a.fd, 0));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, len);
	ASSERT_NE(NULL, start);
	for (i = 0; i < n; i++) {
		fill(start + 2 * i * span + at[i] % ptrs * page);
		fill(start + (2 * i + 1) * span + at[i] % ptrs * page);
		ASSERT_EQ(0, zap(start + (2 * i + 1) * span +
				 at[i] % ptrs * page));
	}
	ASSERT_TRUE(snapshot(snap_before, start, len));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, len));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
	ASSERT_TRUE(snapshot(snap_after, start, len));
	EXPECT_TRUE(same_snapshot(len));
	for (i = 0; i < n; i++) {
		char *p = start + 2 * i * span + at[i] % ptrs * page;

		EXPECT_TRUE(is_present(p))
			TH_LOG("entry %zu", at[i]);
		EXPECT_TRUE(is_filled(p))
			TH_LOG("page %zu", at[i]);
		EXPECT_TRUE(is_zapped(&self->a, p + span));
	}
}

/* Lost: data of guard-paged or write-trapped memory; PROT_NONE is no hole. */
TEST_F(tables, keeps_table_with_prot_none_page)
{
	char *start;
	long pte;
	char *p;

	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	p = start + 100 * page;
	fill(p);
	fill(start + span);
	ASSERT_EQ(0, zap(start + span));
	ASSERT_EQ(0, mprotect(p, page, PROT_NONE));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(is_present(p));
	ASSERT_EQ(0, mprotect(p, page, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(is_filled(p));
}

/* Lost: any byte of a neighbour. An empty table beside a full one. */
TEST_F(tables, changes_no_byte)
{
	char *start, *p;
	size_t bad = 0;
	long pte;

	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	for (p = start; p < start + span; p += page)
		fill(p);
	for (p = start + span; p < start + 2 * span; p += 64 * page) {
		fill(p);
		ASSERT_EQ(0, zap(p));
	}
	ASSERT_TRUE(snapshot(snap_before, start, 2 * span));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(pte - table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_TRUE(zap_slots(start, n));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start + 3 * page, page));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_EQ(0, reclaim(start + 2 * span - page, page));
	EXPECT_EQ(pte - 2 * table_kb, vm_pte());
	/* Two edges, a page each: tables 2 and 3, not 4 and 5. */
	EXPECT_EQ(0, reclaim(start + 3 * span - page, 2 * page));
	EXPECT_EQ(pte - 4 * table_kb, vm_pte());
	EXPECT_EQ(0, reclaim(start + 4 * span, 2 * span));
	EXPECT_EQ(pte - 6 * table_kb, vm_pte());
}

/* Lost: tables at VMA boundaries, of which an address space has thousands. */
TEST_F(tables, frees_empty_table_of_two_vmas)
{
	char *one, *two;
	long pte;

	one = map(&self->a, 0, span / 2);
	ASSERT_NE(NULL, one);
	two = map(&self->a, span / 2, span / 2);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two);
	ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ));
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(one, span / 2));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(is_zapped(&self->a, one));
	EXPECT_TRUE(is_zapped(&self->a, two));
}

/* Lost: data of a VMA that nobody advised, and that shares the table. */
TEST_F(tables, keeps_table_used_by_other_vma)
{
	char *one, *two;
	long pte;

	one = map(&self->a, 0, span / 2);
	ASSERT_NE(NULL, one);
	two = map(&self->a, span / 2, span / 2);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two + span / 2 - page);
	ASSERT_EQ(0, mprotect(two, span / 2, PROT_READ));
	ASSERT_EQ(0, zap(one));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(one, span / 2));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_present(two + span / 2 - page));
	EXPECT_TRUE(is_filled(two + span / 2 - page));
}

/* Lost: memory that cannot be used again, or reclaim that works only once. */
TEST_F(tables, can_be_repeated)
{
	const size_t n = 4;
	size_t round, i;
	char *start;
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	for (round = 0; round < 4; round++) {
		fill_slots(start, n);
		for (i = 0; i < n; i++)
			EXPECT_TRUE(is_filled(slot(start, i)));
		pte = vm_pte();
		ASSERT_TRUE(zap_slots(start, n));
		EXPECT_EQ(0, reclaim(start, n * span));
		EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
		EXPECT_EQ(0, reclaim(start, n * span));
		EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_TRUE(snapshot(snap_before, start, n * span));
	pte = vm_pte();

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		populate_own_tables(&self->a);
		for (i = 0; i < n; i++)
			if (!is_filled(slot(start, i)))
				_exit(10);
		pte = vm_pte();
		if (!zap_slots(start, n) || reclaim(start, n * span))
			_exit(11);
		if (vm_pte() != pte - (long)n * table_kb)
			_exit(12);
		for (i = 0; i < n; i++)
			if (!is_zapped(&self->a, slot(start, i)))
				_exit(13);
		_exit(0);
	}
	EXPECT_EQ(0, wait_for(pid));
	EXPECT_EQ(pte, vm_pte());
	ASSERT_TRUE(snapshot(snap_after, start, n * span));
	EXPECT_TRUE(same_snapshot(n * span));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: the child's memory, if the parent's reclaim after fork() reached it. */
TEST_F(tables, in_parent_leaves_child_alone)
{
	const size_t n = 4;
	char *start;
	int go[2];
	size_t i;
	pid_t pid;
	long pte;
	char b;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		if (read(go[0], &b, 1) != 1)
			_exit(10);
		for (i = 0; i < n; i++)
			if (!is_filled(slot(start, i)))
				_exit(11);
		_exit(0);
	}

	pte = vm_pte();
	ASSERT_TRUE(zap_slots(start, n));
	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
	ASSERT_EQ(1, write(go[1], "g", 1));
	EXPECT_EQ(0, wait_for(pid));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zapped(&self->a, slot(start, i)));
}

/* Lost: tables that mremap() emptied, or the data that it moved away. */
TEST_F(tables, frees_what_mremap_left)
{
	const size_t n = 4;
	char *start, *to;
	long none, pte;
	size_t i;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	none = vm_pte() - (long)n * table_kb;
	/* Not by a multiple of a table, or tables would move whole. */
	to = self->a.base + 2 * n * span + page;
	if (mremap(start, n * span, n * span,
		   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   to) == MAP_FAILED)
		SKIP(return, "mremap(MREMAP_DONTUNMAP): %s", strerror(errno));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
	/* The range reaches into one more table now, with nothing there. */
	EXPECT_EQ(0, reclaim(to, n * span));
	EXPECT_EQ(none + (long)n * table_kb, vm_pte());
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
	long pte;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	for (off = 0; off < span; off += step)
		fill(start + off);
	for (off = step; off < span; off += 2 * step)
		ASSERT_EQ(0, mprotect(start + off, step, PROT_READ));
	for (off = 0; off < span - step; off += step)
		ASSERT_EQ(0, madvise(start + off, step, MADV_DONTNEED));
	pte = vm_pte();

	/* The last of 32 VMAs still has its page. */
	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_present(start + span - step));
	EXPECT_TRUE(is_filled(start + span - step));
	ASSERT_EQ(0, madvise(start + span - step, step, MADV_DONTNEED));
	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(pte - table_kb, vm_pte());
}

/* Lost: tables of memory whose access was taken away after it was emptied. */
TEST_F(tables, frees_empty_table_of_prot_none_vma)
{
	char *start;
	long pte;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	fill(start);
	ASSERT_EQ(0, zap(start));
	ASSERT_EQ(0, mprotect(start, span, PROT_NONE));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte - table_kb, vm_pte());
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

static int ticks;

static void tick(int sig)
{
	__atomic_add_fetch(&ticks, sig == SIGALRM, __ATOMIC_RELAXED);
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
	long pte;

	start = map(&self->a, 0, span + page);
	ASSERT_NE(NULL, start);
	fill(start);
	fill(start + span);
	ASSERT_EQ(0, zap(start));
	ASSERT_EQ(0, zap(start + span));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 1));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_EQ(0, reclaim(start + span - page, page + 1));
	EXPECT_EQ(pte - 2 * table_kb, vm_pte());
	EXPECT_EQ(0, reclaim(start + span, page - 1));
	EXPECT_EQ(-ENOMEM, reclaim(start + span, page + 1));
}

/* Lost: the rest of a range with a hole in it, or the news of the hole. */
TEST_F(advice, does_the_rest_of_a_range_with_holes)
{
	char *one, *two;
	long pte;

	one = map(&self->a, span, span);
	ASSERT_NE(NULL, one);
	two = map(&self->a, 4 * span, span);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two);
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	pte = vm_pte();

	EXPECT_EQ(-ENOMEM, reclaim(self->a.base, 6 * span));
	EXPECT_EQ(pte - 2 * table_kb, vm_pte());
}

/* Lost: as above, where the hole and a VMA have one table between them. */
TEST_F(advice, does_the_rest_of_a_table_with_a_hole)
{
	char *one, *two;
	long pte;

	one = map(&self->a, 0, span / 4);
	ASSERT_NE(NULL, one);
	two = map(&self->a, span / 2, span / 4);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two);
	ASSERT_EQ(0, zap(one));
	pte = vm_pte();

	EXPECT_EQ(-ENOMEM, reclaim(one, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_present(two));
	EXPECT_TRUE(is_filled(two));
	ASSERT_EQ(0, zap(two));
	EXPECT_EQ(-ENOMEM, reclaim(one, span));
	EXPECT_EQ(pte - table_kb, vm_pte());
}

/* Lost: a batch, if an edge rounded into a hole counted as the caller's. */
TEST_F(advice, never_blames_caller_for_outward_rounding)
{
	char *start;
	long pte;

	start = map(&self->a, span / 4, span / 4);
	ASSERT_NE(NULL, start);
	fill(start);
	ASSERT_EQ(0, zap(start));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span / 4));
	EXPECT_EQ(pte - table_kb, vm_pte());
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
	EXPECT_TRUE(is_present(start));
	EXPECT_TRUE(is_filled(start));
}

/* Lost: the machine, if a walk went into the kernel half or took for ever. */
TEST_F(advice, survives_the_whole_address_space)
{
	const size_t n = 4;
	char *start;
	size_t i;
	long pte;

	start = map(&self->a, 0, 2 * n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, 2 * n);
	ASSERT_TRUE(zap_slots(start, n));
	pte = vm_pte();

	EXPECT_EQ(-ENOMEM, reclaim(NULL, SIZE_MAX - 2 * page + 1));
	EXPECT_GE(pte - (long)n * table_kb, vm_pte());
	for (i = n; i < 2 * n; i++) {
		EXPECT_TRUE(is_present(slot(start, i)));
		EXPECT_TRUE(is_filled(slot(start, i)));
	}
	EXPECT_EQ(-ENOMEM, reclaim((void *)(1UL << 63), SIZE_MAX / 2 + 1 -
				   page));
	EXPECT_EQ(-ENOMEM, reclaim((void *)-span, page));
}

/* Lost: the far end of a large range, beyond what one batch examines. */
TEST_F(advice, does_a_range_of_gigabytes)
{
	const size_t step = 100 * span;
	const size_t len = 3 * GIB;
	long pte, empty = 0;
	char *start;
	size_t off;

	start = map(&self->a, 0, len);
	ASSERT_NE(NULL, start);
	for (off = 0; off < len; off += step)
		fill(start + off);
	for (off = 0; off < len; off += 2 * step, empty++)
		ASSERT_EQ(0, zap(start + off));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, len));
	EXPECT_EQ(pte - empty * table_kb, vm_pte());
	for (off = step; off < len; off += 2 * step) {
		EXPECT_TRUE(is_present(start + off));
		EXPECT_TRUE(is_filled(start + off));
	}
}

/* Lost: programs that keep a tag in their pointers. */
TEST_F(advice, takes_tagged_address)
{
	uintptr_t tag = 1UL << 59;
	char *start;
	long pte;

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
	fill(start);
	ASSERT_EQ(0, zap(start));
	pte = vm_pte();
	EXPECT_EQ(0, reclaim((void *)((uintptr_t)start | tag), span));
	EXPECT_EQ(pte - table_kb, vm_pte());
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

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
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
	long none, full;
	char *start;

	none = vm_pte();
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	full = vm_pte();
	/* A PMD table for the arena's first GiB, maybe a PUD table too. */
	ASSERT_LT(none + (long)n * table_kb, full);
	ASSERT_TRUE(zap_slots(start, n));

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(full - (long)n * table_kb, vm_pte());
	ASSERT_EQ(0, munmap(start, n * span));
	EXPECT_EQ(none, vm_pte());
}

/* Lost: tables behind MADV_FREE, whose pages go when nobody looks. */
TEST_F(advice, frees_after_madv_free_and_reclaim)
{
	const size_t n = 8;
	char *start;
	size_t i;
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	pte = vm_pte();
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
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_zero(slot(start, i)));
}

/* Lost: lazily freed data that MADV_FREE promises to keep once rewritten. */
TEST_F(advice, keeps_lazily_freed_pages)
{
	const size_t n = 4;
	char *start;
	size_t i;
	long pte;

	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_EQ(0, madvise(start, n * span, MADV_FREE));
	fill_slots(start, n);
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte, vm_pte());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: nothing but an entry; yet an entry is what the rule is about. */
TEST_F(advice, keeps_table_with_zero_page)
{
	char *start;
	long pte;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_TRUE(is_zero(start + 9 * page));
	ASSERT_TRUE(is_present(start + 9 * page));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_present(start + 9 * page));
}

/* Lost: swapped-out data. A swap entry is not present, and not nothing. */
TEST_F(advice, keeps_table_with_swap_entry)
{
	char *start;
	long pte;
	char *p;

	if (!have_swap())
		SKIP(return, "no swap space, and none could be made");
	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	p = start + 300 * page;
	fill(p);
	fill(start + span);
	ASSERT_EQ(0, zap(start + span));
	if (!page_out(p))
		SKIP(return, "the page could not be swapped out");
	ASSERT_TRUE(pagemap_is_swapped(pagemap_fd, p));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(pagemap_is_swapped(pagemap_fd, p));
	EXPECT_TRUE(is_filled(p));
}

/* Lost: tables of swapped-out shmem, which needs no entry to be found. */
TEST_F(advice, frees_table_of_swapped_shmem)
{
	const size_t n = 4;
	char *start;
	size_t i;
	long pte;

	if (!have_swap())
		SKIP(return, "no swap space, and none could be made");
	self->a.flags = MAP_SHARED | MAP_ANONYMOUS;
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	pte = vm_pte();
	for (i = 0; i < n; i++)
		if (!page_out(slot(start, i)))
			SKIP(return, "the page could not be swapped out");

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(pte - (long)n * table_kb, vm_pte());
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: the mark on a bad page; a program would read zeros for its data. */
TEST_F(advice, keeps_table_with_hwpoison_entry)
{
	struct sigaction act = { .sa_handler = tick };
	uint64_t entry;
	char *start;
	long pte;
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	p = start + 8 * page;
	fill(p);
	/* The kernel tells whoever maps the page, without waiting for use. */
	ASSERT_EQ(0, sigaction(SIGBUS, &act, NULL));
	if (madvise(p, page, MADV_HWPOISON))
		SKIP(return, "MADV_HWPOISON: %s", strerror(errno));
	entry = pagemap_get_entry(pagemap_fd, p);
	if (!(entry & PM_SWAP))
		SKIP(return, "the poisoned page was not unmapped");
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_EQ(entry, pagemap_get_entry(pagemap_fd, p));
}

/* Lost: a write-protection that a monitor relies on, so a write goes unseen. */
TEST_F(advice, keeps_uffd_wp_marker)
{
	struct uffdio_writeprotect wp;
	char *start;
	int uffd;
	long pte;
	char *p;

	uffd = open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			 UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	if (uffd < 0)
		SKIP(return, "no userfaultfd with write-protection of shmem");
	self->a.flags = MAP_SHARED | MAP_ANONYMOUS;
	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	p = start + 255 * page;
	fill(p);
	if (uffd_register(uffd, start, span, false, true, false))
		SKIP(return, "UFFDIO_REGISTER_MODE_WP of shmem fails");
	wp.range.start = (uintptr_t)p;
	wp.range.len = page;
	wp.mode = UFFDIO_WRITEPROTECT_MODE_WP;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	ASSERT_EQ(0, zap(p));
	ASSERT_FALSE(is_present(p));
	ASSERT_NE(0ULL, pagemap_get_entry(pagemap_fd, p) & PM_UFFD_WP);
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_NE(0ULL, pagemap_get_entry(pagemap_fd, p) & PM_UFFD_WP);
	ASSERT_EQ(0, uffd_unregister(uffd, start, span));
	EXPECT_TRUE(is_filled(p));
	close(uffd);
}

/* Lost: a guard page, without which an overflow of a stack goes unnoticed. */
TEST_F(advice, keeps_guard_marker)
{
	char *start;
	int fds[2];
	long pte;
	char *p;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, pipe(fds));
	p = start + 7 * page;
	if (madvise(p, page, MADV_GUARD_INSTALL))
		SKIP(return, "MADV_GUARD_INSTALL: %s", strerror(errno));
	ASSERT_EQ(-1, write(fds[1], p, 1));
	ASSERT_EQ(EFAULT, errno);
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
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
	long pte;

	one = map(&self->a, 0, span / 2);
	ASSERT_NE(NULL, one);
	two = map(&self->a, span / 2, span / 2);
	ASSERT_NE(NULL, two);
	for (i = 0; i < 2; i++) {
		uffd = open_uffd(missing[i] ? 0 : UFFD_FEATURE_PAGEFAULT_FLAG_WP);
		if (uffd < 0)
			SKIP(return, "no userfaultfd: %s", strerror(errno));
		fill(one);
		fill(two);
		if (uffd_register(uffd, two, span / 2, missing[i], !missing[i], false))
			SKIP(return, "UFFDIO_REGISTER: %s", strerror(errno));
		ASSERT_EQ(0, zap(one));
		pte = vm_pte();

		EXPECT_EQ(0, reclaim(one, span / 2));
		EXPECT_EQ(pte, vm_pte());
		EXPECT_TRUE(is_filled(two));
		ASSERT_EQ(0, zap(two));
		EXPECT_EQ(0, reclaim(one, span / 2));
		EXPECT_EQ(pte - table_kb, vm_pte());
		ASSERT_EQ(0, uffd_unregister(uffd, two, span / 2));
		close(uffd);
	}
}

/* Lost: a batch that stops on huge pages, or the data in them. */
TEST_F(advice, passes_over_hugetlb)
{
	const int flags = MAP_FIXED_NOREPLACE | MAP_HUGETLB;
	size_t huge = default_huge_page_size();
	char *one, *two, *middle;
	size_t off;
	long pte;

	if (huge < span || !have_hugepage())
		SKIP(return, "no huge page in the hugetlb pool");
	one = map(&self->a, huge - span, span);
	ASSERT_NE(NULL, one);
	middle = mmap(self->a.base + huge, huge, PROT_READ | PROT_WRITE,
		      self->a.flags | flags, -1, 0);
	if (middle == MAP_FAILED)
		SKIP(return, "mmap(MAP_HUGETLB): %s", strerror(errno));
	two = map(&self->a, 2 * huge, span);
	ASSERT_NE(NULL, two);
	fill(one);
	fill(two);
	for (off = 0; off < huge; off += page)
		fill(middle + off);
	ASSERT_EQ(0, zap(one));
	ASSERT_EQ(0, zap(two));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(middle, huge));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_EQ(0, reclaim(one, 2 * span + huge));
	EXPECT_EQ(pte - 2 * table_kb, vm_pte());
	for (off = 0; off < huge; off += page)
		EXPECT_TRUE(is_filled(middle + off));
}

/* Lost: a huge page's data, or the table kept for the day it is split. */
TEST_F(advice, passes_over_thp)
{
	const size_t n = 2;
	char *start;
	size_t off;
	long pte;

	if (read_pmd_pagesize() != span)
		SKIP(return, "no transparent huge pages");
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	ASSERT_EQ(0, madvise(start, n * span, MADV_HUGEPAGE));
	for (off = 0; off < n * span; off += page)
		fill(start + off);
	if (!check_huge_anon(start, n, span))
		SKIP(return, "no transparent huge page obtained");
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, n * span));
	EXPECT_EQ(0, reclaim(start + page, page));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(check_huge_anon(start, n, span));
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
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_EQ(0, zap(slot(start, 1)));
	ASSERT_EQ(0, madvise(start, n * span, MADV_HUGEPAGE));
	ASSERT_EQ(0, reclaim(start, n * span));

	/* It reports the gap; what counts is what it did beside it. */
	EXPECT_EQ(-1, madvise(start, n * span, MADV_COLLAPSE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(check_huge_anon(start, 2, span));
	for (i = 0; i < n; i += 2)
		EXPECT_TRUE(is_filled(slot(start, i)));
}

/* Lost: the clock. A batch over /proc/PID/maps meets [vvar], a PFNMAP. */
TEST_F(advice, passes_over_vvar)
{
	unsigned long start, end;
	struct timespec then, now;
	char *line;
	long pte;

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
	pte = vm_pte();

	EXPECT_EQ(0, reclaim((void *)start, end - start));
	EXPECT_EQ(pte, vm_pte());
	ASSERT_EQ(0, clock_gettime(CLOCK_MONOTONIC, &now));
	EXPECT_LE(then.tv_sec, now.tv_sec);
}

/* Lost: drivers' mappings. A TCP socket maps as MIXEDMAP, and may share. */
TEST_F(advice, keeps_table_shared_with_mixedmap)
{
	char *mixed, *start;
	long pte;
	int fd;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		SKIP(return, "no TCP socket to map: %s", strerror(errno));
	mixed = mmap(self->a.base, page, PROT_READ,
		     MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	if (mixed == MAP_FAILED)
		SKIP(return, "mmap of a TCP socket: %s", strerror(errno));
	if (!has_flag(mixed, " mm"))
		SKIP(return, "the mapping of a TCP socket is no MIXEDMAP");
	start = map(&self->a, span / 2, span / 2);
	ASSERT_NE(NULL, start);
	fill(start);
	ASSERT_EQ(0, zap(start));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(mixed, page));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_EQ(0, reclaim(start, span / 2));
	EXPECT_EQ(pte, vm_pte());
	ASSERT_EQ(0, munmap(mixed, page));
	EXPECT_EQ(0, reclaim(start, span / 2));
	EXPECT_EQ(pte - table_kb, vm_pte());
	close(fd);
}

/* Lost: tables of locked memory, which real-time programs hold most of. */
TEST_F(advice, frees_empty_table_of_mlocked_vma)
{
	char *start;
	long pte;

	start = map(&self->a, 0, span);
	ASSERT_NE(NULL, start);
	if (mlock2(start, span, MLOCK_ONFAULT))
		SKIP(return, "mlock2: %s", strerror(errno));
	fill(start + page);
	if (madvise(start, span / 2, MADV_DONTNEED_LOCKED))
		SKIP(return, "MADV_DONTNEED_LOCKED: %s", strerror(errno));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	fill(start + page);
	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_filled(start + page));
}

/* Lost: tables of memory that is secret, not special. */
TEST_F(advice, frees_empty_table_of_secretmem)
{
	char *start;
	long pte;
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
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(is_filled(start));
	EXPECT_EQ(0, reclaim(start, span));
	EXPECT_EQ(pte, vm_pte());
	EXPECT_TRUE(is_filled(start));
	close(fd);
}

/* Lost: tables below the high-water mark of a deep stack. */
TEST_F(advice, frees_empty_table_of_growsdown_vma)
{
	char *start;
	long pte;

	self->a.flags |= MAP_GROWSDOWN;
	start = map(&self->a, 0, 2 * span);
	ASSERT_NE(NULL, start);
	fill(start + page);
	fill(start + 2 * span - page);
	ASSERT_EQ(0, zap(start + page));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(is_zero(start + page));
	EXPECT_TRUE(is_filled(start + 2 * span - page));
}

/* Lost: tables of program text and read-only data that was paged out. */
TEST_F(advice, frees_empty_table_of_program_text)
{
	char *start;
	long pte;
	int fd;

	fd = open("/proc/self/exe", O_RDONLY);
	ASSERT_LE(0, fd);
	start = mmap(self->a.base, page, PROT_READ | PROT_EXEC,
		     MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	if (start == MAP_FAILED)
		SKIP(return, "mmap of the program: %s", strerror(errno));
	ASSERT_EQ(0, memcmp(start, "\177ELF", 4));
	ASSERT_EQ(0, zap(start));
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, page));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_EQ(0, memcmp(start, "\177ELF", 4));
	close(fd);
}

/* Lost: sealed memory's tables. Reclaim discards nothing, so seals allow it. */
TEST_F(advice, works_on_sealed_memory)
{
	char *start;
	long pte;

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
	pte = vm_pte();

	EXPECT_EQ(0, reclaim(start, 2 * span));
	EXPECT_EQ(pte - table_kb, vm_pte());
	EXPECT_TRUE(is_zero(start));
	EXPECT_TRUE(is_filled(start + span));
}

/* Lost: reclaim from an event loop, which has io_uring and no thread. */
TEST_F(advice, works_through_io_uring)
{
#ifdef LOCAL_CONFIG_HAVE_LIBURING
	const size_t n = 4;
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	char *start;
	int round;
	long pte;
	int ret;

	ret = io_uring_queue_init(4, &ring, 0);
	if (ret)
		SKIP(return, "io_uring_queue_init: %s", strerror(-ret));
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_TRUE(zap_slots(start, n - 1));
	pte = vm_pte();

	/* Round 0 has nothing to do, and brings in what liburing needs. */
	for (round = 0; round < 2; round++) {
		sqe = io_uring_get_sqe(&ring);
		ASSERT_NE(NULL, sqe);
		if (round)
			io_uring_prep_madvise(sqe, start, n * span,
					      MADV_RECLAIM_PT);
		else
			io_uring_prep_nop(sqe);
		ASSERT_EQ(1, io_uring_submit(&ring));
		ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
		ret = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
		if (round && ret == -EOPNOTSUPP)
			SKIP(return, "io_uring without IORING_OP_MADVISE");
		EXPECT_EQ(0, ret);
		if (!round)
			pte = vm_pte();
	}
	EXPECT_EQ(pte - (long)(n - 1) * table_kb, vm_pte());
	EXPECT_TRUE(is_present(slot(start, n - 1)));
	EXPECT_TRUE(is_filled(slot(start, n - 1)));
	io_uring_queue_exit(&ring);
#else
	SKIP(return, "built without liburing");
#endif
}

/* Lost: batches of one's own ranges, which need no privilege. */
TEST_F(advice, self_through_pidfd)
{
	struct iovec iov[3];
	const size_t n = 8;
	char *start;
	long pte;
	int fd;

	fd = open_pidfd(getpid());
	ASSERT_LE(0, fd);
	start = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, start);
	fill_slots(start, n);
	ASSERT_TRUE(zap_slots(start, n));
	/* Tables 0 and 1, 3, and by their edges 5 and 6. */
	iov[0].iov_base = start;
	iov[0].iov_len = 2 * span;
	iov[1].iov_base = start + 3 * span;
	iov[1].iov_len = span;
	iov[2].iov_base = start + 6 * span - page;
	iov[2].iov_len = 2 * page;
	ASSERT_TRUE(capability(CAP_SYS_NICE, true));
	pte = vm_pte();

	EXPECT_EQ((ssize_t)(3 * span + 2 * page), reclaim_of(fd, iov, 3, 0));
	EXPECT_EQ(pte - 5 * table_kb, vm_pte());
	EXPECT_EQ(0, reclaim_of(fd, iov, 0, 0));
	close(fd);
}

/* Lost: a manager that frees tables of others, or the others' data. */
TEST_F(advice, other_process)
{
	const size_t n = 16;
	struct iovec iov;
	struct child c;
	long own, pte;

	if (!capability(CAP_SYS_NICE, false))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_child(&c, &self->a, n));
	iov.iov_base = self->a.base;
	iov.iov_len = n * span;
	own = vm_pte();
	pte = vm_pte_of(c.pid);

	EXPECT_EQ((ssize_t)(n * span), reclaim_of(c.pidfd, &iov, 1, 0));
	EXPECT_EQ(pte - (long)(n / 2) * table_kb, vm_pte_of(c.pid));
	EXPECT_EQ(own, vm_pte());
	EXPECT_EQ((ssize_t)(n * span), reclaim_of(c.pidfd, &iov, 1, 0));
	EXPECT_EQ(pte - (long)(n / 2) * table_kb, vm_pte_of(c.pid));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: where to go on. A vector stops at a hole and says how far it came. */
TEST_F(advice, vector_stops_at_hole)
{
	struct iovec iov[3];
	struct child c;
	long pte;

	if (!capability(CAP_SYS_NICE, false))
		SKIP(return, "needs CAP_SYS_NICE");
	ASSERT_TRUE(start_child(&c, &self->a, 8));
	iov[0].iov_base = self->a.base;
	iov[0].iov_len = 2 * span;
	iov[1].iov_base = self->a.base + GIB;
	iov[1].iov_len = span;
	iov[2].iov_base = self->a.base + 4 * span;
	iov[2].iov_len = 4 * span;
	pte = vm_pte_of(c.pid);

	EXPECT_EQ((ssize_t)(2 * span), reclaim_of(c.pidfd, iov, 3, 0));
	EXPECT_EQ(pte - table_kb, vm_pte_of(c.pid));
	EXPECT_EQ(-ENOMEM, reclaim_of(c.pidfd, iov + 1, 2, 0));
	EXPECT_EQ(pte - table_kb, vm_pte_of(c.pid));
	EXPECT_EQ((ssize_t)(4 * span), reclaim_of(c.pidfd, iov + 2, 1, 0));
	EXPECT_EQ(pte - 3 * table_kb, vm_pte_of(c.pid));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: security. Who may not slow a process down may not reclaim in it. */
TEST_F(advice, other_process_needs_cap_sys_nice)
{
	struct iovec iov;
	struct child c;
	long pte;

	ASSERT_TRUE(start_child(&c, &self->a, 2));
	iov.iov_base = self->a.base;
	iov.iov_len = 2 * span;
	ASSERT_TRUE(capability(CAP_SYS_NICE, true));
	pte = vm_pte_of(c.pid);

	EXPECT_EQ(-EPERM, reclaim_of(c.pidfd, &iov, 1, 0));
	EXPECT_EQ(pte, vm_pte_of(c.pid));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: security. Another user's process is as closed as to MADV_COLD. */
TEST_F(advice, other_user_is_refused)
{
	struct iovec iov;
	struct child c;
	ssize_t ret;
	pid_t pid;
	long pte;

	if (geteuid())
		SKIP(return, "needs root, to have a process of another user");
	ASSERT_TRUE(start_child(&c, &self->a, 2));
	iov.iov_base = self->a.base;
	iov.iov_len = 2 * span;
	pte = vm_pte_of(c.pid);

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(10);
		ret = reclaim_of(c.pidfd, &iov, 1, 0);
		/* EACCES up to now, EPERM by process_madvise(2). */
		if (ret != -EPERM && ret != -EACCES)
			_exit(11);
		if (syscall(__NR_process_madvise, c.pidfd, &iov, 1, MADV_COLD,
			    0) != -1 || errno != -ret)
			_exit(12);
		_exit(0);
	}
	EXPECT_EQ(0, wait_for(pid));
	EXPECT_EQ(pte, vm_pte_of(c.pid));
	EXPECT_EQ(0, finish_child(&c));
}

/* Lost: a manager that cannot tell an exited process from its own mistake. */
TEST_F(advice, dead_process_is_esrch)
{
	struct iovec iov = { self->a.base, span };
	siginfo_t info;
	pid_t pid;
	int fd;

	if (!capability(CAP_SYS_NICE, false))
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
	for (i = 0; i <= MAX_IOV; i++) {
		iov[i].iov_base = start;
		iov[i].iov_len = page;
	}

	EXPECT_EQ((ssize_t)(MAX_IOV * page), reclaim_of(fd, iov, MAX_IOV, 0));
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov, MAX_IOV + 1, 0));
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov, 1, 1));
	EXPECT_EQ(-EBADF, reclaim_of(-1, iov, 1, 0));
	EXPECT_EQ(-EBADF, reclaim_of(bad, iov, 1, 0));
	EXPECT_EQ(-EFAULT, reclaim_of(fd, (void *)8, 1, 0));
	/* As [vsyscall] is: it makes the whole vector unusable. */
	iov[1].iov_base = (void *)-(10UL << 20);
	EXPECT_EQ(-EFAULT, reclaim_of(fd, iov, 2, 0));
	iov[1].iov_base = start + 1;
	EXPECT_EQ((ssize_t)page, reclaim_of(fd, iov, 3, 0));
	EXPECT_EQ(-EINVAL, reclaim_of(fd, iov + 1, 1, 0));
	close(bad);
	close(fd);
}

/* Lost: the table at 2 GiB - 4 KiB, where the kernel cuts every call. */
TEST_F(advice, cut_at_2g_leaves_no_table)
{
	const size_t cut = INT_MAX & ~(page - 1);
	struct iovec iov;
	char *start;
	long pte;
	int fd;

	fd = open_pidfd(getpid());
	ASSERT_LE(0, fd);
	start = map(&self->a, 0, 3 * GIB);
	ASSERT_NE(NULL, start);
	fill(start);
	fill(start + 2 * GIB - page);
	fill(start + 2 * GIB);
	ASSERT_EQ(0, zap(start));
	ASSERT_EQ(0, zap(start + 2 * GIB - page));
	ASSERT_EQ(0, zap(start + 2 * GIB));
	iov.iov_base = start;
	iov.iov_len = 3 * GIB;
	pte = vm_pte();

	EXPECT_EQ((ssize_t)cut, reclaim_of(fd, &iov, 1, 0));
	EXPECT_EQ(pte - 2 * table_kb, vm_pte());
	EXPECT_EQ(0, reclaim(start + cut, 3 * GIB - cut));
	EXPECT_EQ(pte - 3 * table_kb, vm_pte());
	close(fd);
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
	long pte;
	int fd;

	fd = open_pidfd(getpid());
	ASSERT_LE(0, fd);
	memory = map(&self->a, 0, n * span);
	ASSERT_NE(NULL, memory);
	fill_slots(memory, n);
	ASSERT_TRUE(zap_slots(memory, n - 1));
	pte = vm_pte();
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

	EXPECT_EQ(total, reclaim_of(fd, iov, used, 0));
	EXPECT_GE(pte - (long)(n - 1) * table_kb, vm_pte());
	EXPECT_TRUE(is_present(slot(memory, n - 1)));
	EXPECT_TRUE(is_filled(slot(memory, n - 1)));
	close(fd);
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

	if (!capability(CAP_SYS_NICE, false))
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

TEST_HARNESS_MAIN
