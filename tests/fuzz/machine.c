// SPDX-License-Identifier: GPL-2.0
/* The machine as the model assumes it, and the ways to send the advice. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM	(1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED	(1 << 13)
#endif

#define SWAP_BYTES	(64UL << 20)

int memfd, tcp_socket, device_fd, uffd;
pid_t helper;

static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	need(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value), path);
	close(fd);
}

static void swap_to_zram(void)
{
	static char header[PAGE];
	static const uint32_t info[] = { 1, SWAP_BYTES / PAGE - 1 };	/* version, last page */
	int fd;

	put("/sys/block/zram0/disksize", "64M");
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	fd = open("/dev/zram0", O_WRONLY | O_CLOEXEC);
	need(fd >= 0 && write(fd, header, PAGE) == PAGE && !fsync(fd), "write /dev/zram0");
	close(fd);
	need(!swapon("/dev/zram0", 0), "swapon /dev/zram0");
}

/*
 * One page per fault: no faultaround, no huge page but by MADV_COLLAPSE. With
 * transparent huge pages off khugepaged does nothing, and nothing collapses or
 * splits behind the model's back. KSM and NUMA balancing are idle by default.
 */
void prepare_machine(void)
{
	put("/sys/kernel/mm/transparent_hugepage/enabled", "never");
	put("/sys/kernel/debug/fault_around_bytes", "4096");
	put("/proc/sys/vm/nr_hugepages", "8");
	swap_to_zram();
}

/* The first page of some PCI device's memory. It is mapped, never read. */
static int open_device(void)
{
	struct stat st;
	glob_t found;
	int fd = -1;

	need(!glob("/sys/bus/pci/devices/*/resource[0-5]", 0, NULL, &found), "a PCI resource");
	for (size_t i = 0; i < found.gl_pathc && fd < 0; i++) {
		void *at;

		fd = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)PAGE)
			goto no;
		at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED) {
			munmap(at, PAGE);
			break;
		}
no:
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	globfree(&found);
	return fd;
}

static int open_uffd(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
			    UFFD_FEATURE_WP_UNPOPULATED,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	return fd < 0 || ioctl(fd, UFFDIO_API, &api) ? -1 : fd;
}

void open_sources(void)
{
	memfd = memfd_create("fuzz", MFD_CLOEXEC);
	need(memfd >= 0 && !ftruncate(memfd, OBJECT_PAGES * PAGE), "memfd_create");
	tcp_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(tcp_socket >= 0, "socket");
	device_fd = open_device();
	need(device_fd >= 0, "mmap of a PCI resource");
	uffd = open_uffd();
	need(uffd >= 0, "userfaultfd");
}

long advise(uintptr_t start, size_t len, int advice)
{
	return madvise((void *)start, len, advice) ? -errno : 0;
}

/* ---- process_madvise(), by the process itself and by a helper ---- */

static struct order {
	struct iovec iov[MOST_IOV];
	size_t n;
	unsigned int flags;
	long result;
} *order;

static int to_helper[2], from_helper[2], own_pidfd;

static long send_advice(int pidfd, const struct iovec *iov, size_t n, unsigned int flags)
{
	long ret = syscall(SYS_process_madvise, pidfd, iov, n, MADV_RECLAIM_PT, flags);

	return ret < 0 ? -errno : ret;
}

static void help(void)
{
	char byte;

	close(to_helper[1]);
	close(from_helper[0]);
	while (read(to_helper[0], &byte, 1) == 1) {
		order->result = send_advice(own_pidfd, order->iov, order->n, order->flags);
		if (write(from_helper[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

void start_helper(void)
{
	own_pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	need(own_pidfd >= 0, "pidfd_open");
	order = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	need(order != MAP_FAILED, "mmap");
	need(!pipe2(to_helper, O_CLOEXEC) && !pipe2(from_helper, O_CLOEXEC), "pipe2");
	helper = fork();
	need(helper >= 0, "fork");
	if (!helper)
		help();
	close(to_helper[0]);
	close(from_helper[1]);
}

long advise_self(const struct iovec *iov, size_t n, unsigned int flags)
{
	return send_advice(own_pidfd, iov, n, flags);
}

long advise_remote(const struct iovec *iov, size_t n, unsigned int flags)
{
	char byte = 0;

	memcpy(order->iov, iov, n * sizeof(*iov));
	order->n = n;
	order->flags = flags;
	need(write(to_helper[1], &byte, 1) == 1 && read(from_helper[0], &byte, 1) == 1,
	     "the helper");
	return order->result;
}

/* ---- io_uring, without a library ---- */

static struct {
	int fd;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	_Atomic unsigned int *sq_tail, *cq_head;
	unsigned int *sq_array, *sq_mask, *cq_mask;
} ring;

static void *map_ring(size_t size, off_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
			offset);

	need(at != MAP_FAILED, "mmap of io_uring");
	return at;
}

void open_ring(void)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	ring.fd = syscall(SYS_io_uring_setup, 1, &p);
	need(ring.fd >= 0, "io_uring_setup");
	sq = map_ring(p.sq_off.array + p.sq_entries * sizeof(unsigned int), IORING_OFF_SQ_RING);
	cq = map_ring(p.cq_off.cqes + p.cq_entries * sizeof(*ring.cqe), IORING_OFF_CQ_RING);
	ring.sqe = map_ring(p.sq_entries * sizeof(*ring.sqe), IORING_OFF_SQES);
	ring.cqe = (void *)(cq + p.cq_off.cqes);
	ring.sq_tail = (void *)(sq + p.sq_off.tail);
	ring.sq_array = (void *)(sq + p.sq_off.array);
	ring.sq_mask = (void *)(sq + p.sq_off.ring_mask);
	ring.cq_head = (void *)(cq + p.cq_off.head);
	ring.cq_mask = (void *)(cq + p.cq_off.ring_mask);
}

/* The length has 64 bits in off, or 32 in len. */
long advise_ring(uintptr_t start, size_t len, int advice, bool short_length)
{
	unsigned int tail = *ring.sq_tail, head = *ring.cq_head;
	long ret;

	*ring.sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_MADVISE,
		.addr = start,
		.off = short_length ? 0 : len,
		.len = short_length ? len : 0,
		.fadvise_advice = advice,
	};
	ring.sq_array[tail & *ring.sq_mask] = 0;
	*ring.sq_tail = tail + 1;
	need(syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1,
	     "io_uring_enter");
	ret = ring.cqe[head & *ring.cq_mask].res;
	*ring.cq_head = head + 1;
	return ret;
}
