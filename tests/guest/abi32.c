// SPDX-License-Identifier: GPL-2.0
/*
 * abi32: an i386 program on the 64-bit kernel has MADV_RECLAIM_PT as a 64-bit program does,
 * by madvise, process_madvise and io_uring. KTAP output; build with -m32, run as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tools/lib/ptreclaim/maps.h"
#include "../../bench/procfs.h"

_Static_assert(sizeof(long) == 4, "this has to be a 32-bit program");

#define PAGE	4096U
#define TABLE	(2U << 20)	/* what one PTE table maps: the kernel's tables are 64-bit */
#define GIB	(1U << 30)
#define AREA	((char *)0x40000000)
#define LAST	((char *)0xffe00000)	/* the last table below 4 GiB */
#define TOP	((char *)0xffffe000)	/* the end of what may be mapped */
#define MAX_IOV	1024
#define MAX_EXECS	99

static bool good;	/* so far, in the test that runs */
static long noted_kb;

static void expect(long want, long got, const char *what, int line)
{
	if (want == got)
		return;
	printf("# line %d: %s is %ld, not %ld\n", line, what, got, want);
	good = false;
}

#define EXPECT(want, got)	expect((want), (got), #got, __LINE__)

static long advise(const char *at, size_t len, int advice)
{
	return madvise((char *)at, len, advice) ? -errno : 0;
}

static long reclaim(const char *at, size_t len)
{
	return advise(at, len, MADV_RECLAIM_PT);
}

static long advise_vector(int pidfd, const void *iov, size_t n, int advice, unsigned int flags)
{
	long ret = syscall(SYS_process_madvise, pidfd, iov, n, advice, flags);

	return ret < 0 ? -errno : ret;
}

static long reclaim_vector(int pidfd, const void *iov, size_t n)
{
	return advise_vector(pidfd, iov, n, MADV_RECLAIM_PT, 0);
}

static int open_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static long vm_pte(pid_t pid)
{
	return procfs_kb(pid, "status", "VmPTE");
}

static void note_tables(void)
{
	noted_kb = vm_pte(getpid());
}

/* Since note_tables(). */
static long tables_gone(void)
{
	return (noted_kb - vm_pte(getpid())) / 4;
}

static char *map(char *at, size_t len)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	char *p = mmap(at, len, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p != at) {
		printf("# cannot map %zu bytes at %p: %s\n", len, at, strerror(errno));
		exit(1);
	}
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

/* No two words of any two pages are the same. */
static void fill(char *p)
{
	uint32_t *word = (uint32_t *)p;

	for (uint32_t i = 0; i < PAGE / sizeof(*word); i++)
		word[i] = (uintptr_t)(word + i) * 2654435761U + 1;
}

static bool is_filled(const char *p)
{
	const uint32_t *word = (const uint32_t *)p;

	for (uint32_t i = 0; i < PAGE / sizeof(*word); i++)
		if (word[i] != (uintptr_t)(word + i) * 2654435761U + 1)
			return false;
	return true;
}

/* A page that is never all of what its table maps. */
static void fill_and_zap(char *p)
{
	fill(p);
	EXPECT(0, advise(p, PAGE, MADV_DONTNEED));
}

/* One page of each table, another one in each. */
static char *slot(size_t i)
{
	return AREA + i * TABLE + i * 37 % 512 * PAGE;
}

/* N tables at AREA, all empty but the odd ones. */
static void map_tables(size_t n)
{
	map(AREA, n * TABLE);
	for (size_t i = 0; i < n; i++) {
		fill(slot(i));
		if (i % 2 == 0)
			EXPECT(0, advise(slot(i), PAGE, MADV_DONTNEED));
	}
	note_tables();
}

static void check_contents(size_t n)
{
	for (size_t i = 1; i < n; i += 2)
		EXPECT(true, is_filled(slot(i)));
	for (size_t i = 0; i < n; i += 2)
		EXPECT(0, *slot(i));
}

static void unmap_tables(size_t n)
{
	munmap(AREA, n * TABLE);
}

static void probe(void)
{
	EXPECT(true, reclaim_pt_supported());
}

static void madvise_frees_what_is_empty(void)
{
	map_tables(64);
	EXPECT(0, reclaim(AREA, 64 * TABLE));
	EXPECT(32, tables_gone());
	check_contents(64);
	/* Reading zeros brought 32 tables back; a page of each end is enough. */
	EXPECT(0, tables_gone());
	EXPECT(0, advise(slot(2), PAGE, MADV_DONTNEED));
	EXPECT(0, reclaim(AREA + 3 * TABLE - PAGE, 2 * PAGE));
	EXPECT(1, tables_gone());
	unmap_tables(64);
}

static void madvise_errors(void)
{
	map_tables(4);
	EXPECT(-EINVAL, reclaim(AREA + 1, PAGE));
	EXPECT(-EINVAL, reclaim(AREA + PAGE - 1, 1));
	EXPECT(-EINVAL, reclaim(AREA + 1, 0));
	EXPECT(-EINVAL, advise(AREA, PAGE, -1));
	EXPECT(0, reclaim(AREA + GIB, 0));
	EXPECT(-ENOMEM, reclaim(AREA + GIB, PAGE));
	EXPECT(0, tables_gone());
	munmap(AREA + TABLE, TABLE);
	note_tables();
	EXPECT(-ENOMEM, reclaim(AREA, 4 * TABLE));
	EXPECT(2, tables_gone());
	EXPECT(true, is_filled(slot(3)));
	unmap_tables(4);
}

/* The kernel adds in 64 bits: what goes beyond 4 GiB is unmapped there, and no overflow. */
static void ranges_beyond_4_gib(void)
{
	const size_t len[] = { SIZE_MAX, SIZE_MAX - PAGE + 1, -(size_t)AREA, -(size_t)AREA - 1,
			       3 * GIB + PAGE };

	for (size_t i = 0; i < sizeof(len) / sizeof(*len); i++) {
		map_tables(8);
		EXPECT(advise(AREA, len[i], MADV_NORMAL), reclaim(AREA, len[i]));
		EXPECT(4, tables_gone());
		EXPECT(-ENOMEM, reclaim(AREA, len[i]));
		check_contents(8);
		unmap_tables(8);
	}
}

static void last_table_below_4_gib(void)
{
	char *page = TOP - PAGE;

	map(LAST, TOP - LAST);
	fill_and_zap(page);
	note_tables();
	EXPECT(0, reclaim(page, PAGE));
	EXPECT(1, tables_gone());
	/* Its last two pages cannot be mapped. */
	fill_and_zap(page);
	EXPECT(-ENOMEM, reclaim(page, 3 * PAGE));
	EXPECT(1, tables_gone());
	fill_and_zap(page);
	EXPECT(-ENOMEM, reclaim(TOP, 2 * PAGE));
	EXPECT(1, tables_gone());
	fill(page);
	EXPECT(-ENOMEM, reclaim(LAST, TABLE));
	EXPECT(0, tables_gone());
	EXPECT(true, is_filled(page));
	munmap(LAST, TOP - LAST);
}

static void whole_address_space(void)
{
	map_tables(16);
	EXPECT(-ENOMEM, reclaim(NULL, SIZE_MAX));
	EXPECT(true, tables_gone() >= 8);
	check_contents(16);
	unmap_tables(16);
}

static void vector_of_own_ranges(void)
{
	const int fd = open_pidfd(getpid());
	struct iovec iov[] = {
		{ AREA, TABLE }, { AREA + 2 * TABLE, 3 * TABLE }, { AREA + 7 * TABLE - PAGE, PAGE },
	};

	map_tables(16);
	EXPECT(4 * TABLE + PAGE, reclaim_vector(fd, iov, 3));
	EXPECT(4, tables_gone());
	EXPECT(0, reclaim_vector(fd, iov, 0));
	check_contents(16);
	unmap_tables(16);
	close(fd);
}

static void vector_stops_at_hole(void)
{
	const int fd = open_pidfd(getpid());
	struct iovec iov[] = {
		{ AREA, 2 * TABLE }, { AREA + 5 * TABLE, 4 * TABLE }, { AREA + 2 * TABLE, TABLE },
	};

	map_tables(8);
	EXPECT(2 * TABLE, reclaim_vector(fd, iov, 3));
	EXPECT(2, tables_gone());
	EXPECT(-ENOMEM, reclaim_vector(fd, iov + 1, 2));
	EXPECT(2, tables_gone());
	EXPECT(TABLE, reclaim_vector(fd, iov + 2, 1));
	EXPECT(3, tables_gone());
	check_contents(8);
	unmap_tables(8);
	close(fd);
}

static void vector_errors(void)
{
	static struct iovec iov[MAX_IOV + 1];
	const int fd = open_pidfd(getpid());
	struct iovec *edge;

	map_tables(4);
	for (int i = 0; i <= MAX_IOV; i++)
		iov[i] = (struct iovec){ AREA + TABLE, PAGE };
	EXPECT(MAX_IOV * PAGE, reclaim_vector(fd, iov, MAX_IOV));
	iov[0].iov_base = AREA;
	EXPECT(-EINVAL, reclaim_vector(fd, iov, MAX_IOV + 1));
	EXPECT(-EINVAL, advise_vector(fd, iov, 1, MADV_RECLAIM_PT, 1));
	EXPECT(-EBADF, reclaim_vector(-1, iov, 1));
	EXPECT(-EBADF, reclaim_vector(STDOUT_FILENO, iov, 1));
	EXPECT(-EFAULT, reclaim_vector(fd, NULL, 1));
	EXPECT(-EFAULT, reclaim_vector(fd, (void *)0xfffffff8, 1));
	iov[1].iov_len = 0x80000000;
	EXPECT(-EINVAL, reclaim_vector(fd, iov, 2));
	iov[1].iov_len = SIZE_MAX;
	EXPECT(-EINVAL, reclaim_vector(fd, iov, 2));
	edge = (struct iovec *)map(AREA + GIB, 2 * PAGE) + PAGE / sizeof(*edge) - 1;
	*edge = iov[0];
	mprotect(edge + 1, PAGE, PROT_NONE);
	note_tables();
	EXPECT(-EFAULT, reclaim_vector(fd, edge, 2));
	EXPECT(0, tables_gone());
	EXPECT(PAGE, reclaim_vector(fd, edge, 1));
	EXPECT(1, tables_gone());
	iov[1] = (struct iovec){ AREA + 1, PAGE };
	EXPECT(PAGE, reclaim_vector(fd, iov, 2));
	EXPECT(-EINVAL, reclaim_vector(fd, iov + 1, 1));
	/* Where a 64-bit program would meet EFAULT. */
	iov[1] = (struct iovec){ TOP, INT_MAX };
	EXPECT(advise_vector(fd, iov + 1, 1, MADV_COLD, 0), reclaim_vector(fd, iov + 1, 1));
	EXPECT(-ENOMEM, reclaim_vector(fd, iov + 1, 1));
	munmap(AREA + GIB, 2 * PAGE);
	unmap_tables(4);
	close(fd);
}

/* The sum is cut before 2 GiB, so that it fits into a ssize_t of 32 bits. */
static void vector_is_cut_at_2_gib(void)
{
	const struct iovec iov[] = { { AREA, GIB }, { AREA, GIB }, { AREA + GIB, PAGE } };
	const int fd = open_pidfd(getpid());

	map(AREA, GIB + TABLE);
	fill_and_zap(AREA);
	fill_and_zap(AREA + GIB - PAGE);
	fill_and_zap(AREA + GIB);
	note_tables();
	EXPECT(INT_MAX - PAGE + 1, reclaim_vector(fd, iov, 3));
	EXPECT(2, tables_gone());
	munmap(AREA, GIB + TABLE);
	close(fd);
}

struct child {
	pid_t pid;
	int pidfd;
	int go;
	long noted_kb;
};

static void live(int ready, int go, size_t n)
{
	char b = 'r';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_tables(n);
	if (!good || write(ready, &b, 1) != 1 || read(go, &b, 1) != 1)
		_exit(1);
	check_contents(n);
	fflush(stdout);
	_exit(!good);
}

/* A process with N tables at AREA, as map_tables() has them. */
static struct child start_child(size_t n)
{
	struct child c;
	int ready[2], go[2];
	char b;

	if (pipe(ready) || pipe(go))
		exit(1);
	fflush(stdout);
	c.pid = fork();
	if (!c.pid) {
		close(go[1]);
		live(ready[1], go[0], n);
	}
	close(ready[1]);
	close(go[0]);
	EXPECT(1, read(ready[0], &b, 1));
	close(ready[0]);
	c.go = go[1];
	c.pidfd = open_pidfd(c.pid);
	c.noted_kb = vm_pte(c.pid);
	return c;
}

static void finish_child(struct child *c)
{
	int status = -1;

	EXPECT(1, write(c->go, "g", 1));
	waitpid(c->pid, &status, 0);
	EXPECT(0, status);
	close(c->go);
	close(c->pidfd);
}

static void other_process(void)
{
	const struct iovec iov[] = { { AREA, 16 * TABLE }, { AREA + GIB, PAGE } };
	struct child c = start_child(32);

	EXPECT(16 * TABLE, reclaim_vector(c.pidfd, iov, 2));
	EXPECT(c.noted_kb - 8 * 4, vm_pte(c.pid));
	finish_child(&c);
}

static void dead_process(void)
{
	const struct iovec iov = { AREA, 2 * TABLE };
	struct child c = start_child(2);
	siginfo_t info;

	EXPECT(2 * TABLE, reclaim_vector(c.pidfd, &iov, 1));
	kill(c.pid, SIGKILL);
	waitid(P_PID, c.pid, &info, WEXITED | WNOWAIT);
	EXPECT(-ESRCH, reclaim_vector(c.pidfd, &iov, 1));
	waitpid(c.pid, NULL, 0);
	EXPECT(-ESRCH, reclaim_vector(c.pidfd, &iov, 1));
	close(c.go);
	close(c.pidfd);
}

static void keep_one_capability(int cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	EXPECT(0, syscall(SYS_capget, &header, data));
	for (int i = 0; i < 2; i++)
		data[i].effective = i == cap / 32 ? 1U << cap % 32 : 0;
	EXPECT(0, syscall(SYS_capset, &header, data));
}

/* In a process of its own, which has to do without the other capabilities. */
static void refused_with(int cap, int error, const struct child *c)
{
	const struct iovec iov = { AREA, TABLE };
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		keep_one_capability(cap);
		EXPECT(error, reclaim_vector(c->pidfd, &iov, 1));
		fflush(stdout);
		_exit(!good);
	}
	waitpid(pid, &status, 0);
	EXPECT(0, status);
	EXPECT(c->noted_kb, vm_pte(c->pid));
}

/* CAP_SYS_NICE, and access by ptrace: a child has more capabilities than what is left here. */
static void both_capabilities_are_needed(void)
{
	struct child c = start_child(2);

	refused_with(CAP_SYS_PTRACE, -EPERM, &c);
	refused_with(CAP_SYS_NICE, -EACCES, &c);
	finish_child(&c);
}

struct ring {
	int fd;
	char *memory;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

static bool ring_open(struct ring *ring)
{
	const struct io_uring_params *p = &ring->params;
	const int prot = PROT_READ | PROT_WRITE;
	size_t len;

	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(SYS_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0 || !(p->features & IORING_FEAT_SINGLE_MMAP))
		return false;
	len = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	ring->memory = mmap(NULL, len, prot, MAP_SHARED | MAP_POPULATE, ring->fd,
			    IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, sizeof(*ring->sqes), prot, MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	return ring->memory != MAP_FAILED && ring->sqes != MAP_FAILED;
}

static unsigned int *ring_word(const struct ring *ring, uint32_t offset)
{
	return (unsigned int *)(ring->memory + offset);
}

/* The result of one request, which is alone in the ring. */
static long ring_do(struct ring *ring, uint64_t at, uint64_t off, uint32_t len)
{
	const struct io_uring_params *p = &ring->params;
	unsigned int *tail = ring_word(ring, p->sq_off.tail);
	unsigned int *head = ring_word(ring, p->cq_off.head);
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(ring->memory + p->cq_off.cqes);
	long result;

	memset(ring->sqes, 0, sizeof(*ring->sqes));
	ring->sqes[0].opcode = IORING_OP_MADVISE;
	ring->sqes[0].addr = at;
	ring->sqes[0].off = off;
	ring->sqes[0].len = len;
	ring->sqes[0].fadvise_advice = MADV_RECLAIM_PT;
	*ring_word(ring, p->sq_off.array) = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return 1;
	if (__atomic_load_n(ring_word(ring, p->cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		return 2;
	result = cqes[*head & *ring_word(ring, p->cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static void by_io_uring(void)
{
	const uint64_t area = (uintptr_t)AREA;
	struct ring ring;

	EXPECT(true, ring_open(&ring));
	if (!good)
		return;
	EXPECT(0, ring_do(&ring, area, 0, 0));
	map_tables(16);
	EXPECT(0, ring_do(&ring, area, 0, 4 * TABLE));
	EXPECT(2, tables_gone());
	EXPECT(0, ring_do(&ring, area + 4 * TABLE, 4 * TABLE, 0));
	EXPECT(4, tables_gone());
	EXPECT(-EINVAL, ring_do(&ring, area + 8 * TABLE + 1, 0, PAGE));
	EXPECT(-EINVAL, ring_do(&ring, area + 8 * TABLE, -area, 0));
	EXPECT(-EINVAL, ring_do(&ring, area + 8 * TABLE, UINT64_MAX, 0));
	EXPECT(-ENOMEM, ring_do(&ring, area + GIB, 0, PAGE));
	EXPECT(4, tables_gone());
	/* Beyond 4 GiB, and the mapped part done. */
	EXPECT(-ENOMEM, ring_do(&ring, area + 8 * TABLE, 8ULL * GIB, 0));
	EXPECT(8, tables_gone());
	check_contents(16);
	unmap_tables(16);
	close(ring.fd);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "probe", probe },
	{ "madvise frees what is empty, and nothing else", madvise_frees_what_is_empty },
	{ "madvise: EINVAL and ENOMEM", madvise_errors },
	{ "ranges beyond 4 GiB", ranges_beyond_4_gib },
	{ "the last table below 4 GiB", last_table_below_4_gib },
	{ "the whole address space", whole_address_space },
	{ "process_madvise on own ranges", vector_of_own_ranges },
	{ "a vector stops at a hole", vector_stops_at_hole },
	{ "process_madvise: EINVAL, EBADF, EFAULT", vector_errors },
	{ "a vector is cut at 2 GiB - 4 KiB", vector_is_cut_at_2_gib },
	{ "process_madvise on another process", other_process },
	{ "process_madvise: ESRCH", dead_process },
	{ "process_madvise: EPERM, EACCES", both_capabilities_are_needed },
	{ "io_uring", by_io_uring },
};

/* The stack is put somewhere below 4 GiB, sometimes where it shares the last table. */
static bool last_table_is_free(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	static struct maps_reader maps;
	struct ptreclaim_vma vma;
	bool is_free = true;

	if (fd < 0)
		return false;
	ptreclaim_maps_start(&maps, ptreclaim_maps_read_fd, &fd);
	while (ptreclaim_maps_next(&maps, &vma) > 0)
		is_free &= vma.end <= (uintptr_t)LAST;
	close(fd);
	return is_free;
}

/* So that the stack needs no other table in the middle of a test. */
static void use_stack(void)
{
	char below[128 << 10];

	explicit_bzero(below, PAGE);
}

int main(int argc, char **argv)
{
	const size_t n = sizeof(tests) / sizeof(*tests);
	int execs = argc > 1 ? atoi(argv[1]) : 0;
	bool all_good = true;
	char next[16];

	if (!last_table_is_free() && execs < MAX_EXECS) {
		snprintf(next, sizeof(next), "%d", execs + 1);
		execl("/proc/self/exe", argv[0], next, NULL);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%zu\n", n);
	use_stack();
	for (size_t i = 0; i < n; i++) {
		good = true;
		tests[i].run();
		printf("%sok %zu %s\n", good ? "" : "not ", i + 1, tests[i].name);
		all_good &= good;
	}
	return !all_good;
}
