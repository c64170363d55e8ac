// SPDX-License-Identifier: GPL-2.0
/*
 * reclaim-pid PID: sends MADV_RECLAIM_PT for all of another process.
 * reclaim-pid --audit PID: how many empty PTE tables it has left.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "maps.h"
#include "procfs.h"

#define BATCH		1024	/* UIO_MAXIOV */
#define CALL_MAX	(0x7fffffffULL & ~4095ULL)	/* the kernel cuts a vector here */
#define EXIT_UNSUPPORTED 3

#define PTE_SHIFT	21	/* bytes that one PTE table maps, as a shift */
#define PMD_SHIFT	30
#define PUD_SHIFT	39

struct sender {
	int pidfd;
	struct iovec iov[BATCH];
	size_t n;
	uint64_t bytes;
	uint64_t calls;
	uint64_t skipped;
	bool gone;
};

/* Drops BYTES from the front of the vector. */
static size_t advance(struct iovec *iov, size_t first, size_t n, uint64_t bytes)
{
	while (first < n && bytes >= iov[first].iov_len)
		bytes -= iov[first++].iov_len;
	if (bytes) {
		iov[first].iov_base = (char *)iov[first].iov_base + bytes;
		iov[first].iov_len -= bytes;
	}
	return first;
}

static void send_batch(struct sender *s)
{
	size_t first = 0;

	while (first < s->n && !s->gone) {
		ssize_t done = syscall(SYS_process_madvise, s->pidfd, s->iov + first, s->n - first,
				       MADV_RECLAIM_PT, 0);

		s->calls++;
		if (done > 0) {
			s->bytes += done;
			first = advance(s->iov, first, s->n, done);
		} else if (done < 0 && errno == ENOMEM) {
			/* Unmapped meanwhile. Only what the kernel's cut let through was seen. */
			uint64_t len = s->iov[first].iov_len;

			s->skipped++;
			first = advance(s->iov, first, s->n, len < CALL_MAX ? len : CALL_MAX);
		} else if (done < 0 && errno == ESRCH) {
			s->gone = true;
		} else if (done < 0) {
			err(1, "process_madvise at %p", s->iov[first].iov_base);
		} else {
			errx(1, "process_madvise at %p: no progress", s->iov[first].iov_base);
		}
	}
	s->n = 0;
}

static void print_kb(const char *key, pid_t pid)
{
	long long kb = procfs_kb(pid, "status", "VmPTE");

	if (kb < 0)
		printf("%s gone\n", key);
	else
		printf("%s %lld\n", key, kb);
}

static int reclaim(pid_t pid)
{
	static struct sender s;
	static struct maps m;
	struct vma vma;
	int ret;

	if (!reclaim_pt_supported()) {
		puts("unsupported");
		return EXIT_UNSUPPORTED;
	}
	s.pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (s.pidfd < 0)
		err(1, "pidfd_open %d", pid);
	if (maps_open(&m, pid))
		err(1, "/proc/%d/maps", pid);
	print_kb("vmpte_before", pid);
	while (!s.gone && (ret = maps_next(&m, &vma)) > 0) {
		s.iov[s.n].iov_base = (void *)vma.start;
		s.iov[s.n].iov_len = vma.end - vma.start;
		if (++s.n == BATCH)
			send_batch(&s);
	}
	if (!s.gone && ret < 0 && errno != ESRCH)
		err(1, "/proc/%d/maps", pid);
	send_batch(&s);
	maps_close(&m);
	print_kb("vmpte_after", pid);
	printf("bytes_advised %" PRIu64 "\ncalls %" PRIu64 "\nranges_skipped %" PRIu64 "\n",
	       s.bytes, s.calls, s.skipped);
	return 0;
}

/* PAGEMAP_SCAN, Linux 6.7; Debian 12 has older headers. */
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
#define SCAN_PRESENT	(1 << 3)
#define SCAN_SWAPPED	(1 << 4)	/* and migration entries and markers: any not none */
#define SCAN_HUGE	(1 << 6)
#define SCAN_VEC	1024

struct audit {
	int pagemap;
	uint64_t tables;	/* with an entry */
	uint64_t gib;		/* 1 GiB slots that intersect a VMA: PMD tables */
	uint64_t tib;		/* 512 GiB slots: PUD tables */
	uint64_t next_table;	/* slots below these are counted */
	uint64_t next_gib;
	uint64_t next_tib;
};

/* VMAs and regions come in order, and may share a slot. */
static void count_slots(uint64_t start, uint64_t end, int shift, uint64_t *count, uint64_t *next)
{
	uint64_t first = start >> shift;
	uint64_t last = (end - 1) >> shift;

	if (first < *next)
		first = *next;
	if (first > last)
		return;
	*count += last - first + 1;
	*next = last + 1;
}

static void audit_vma(struct audit *a, const struct vma *vma)
{
	static struct scan_region vec[SCAN_VEC];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = vma->start,
		.end = vma->end,
		.vec = (uintptr_t)vec,
		.vec_len = SCAN_VEC,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_HUGE,
	};
	int n;
	int i;

	count_slots(vma->start, vma->end, PMD_SHIFT, &a->gib, &a->next_gib);
	count_slots(vma->start, vma->end, PUD_SHIFT, &a->tib, &a->next_tib);
	/* pagemap says nothing of the entries of a PFNMAP VMA. */
	if (!strncmp(vma->name, "[vvar", 5)) {
		count_slots(vma->start, vma->end, PTE_SHIFT, &a->tables, &a->next_table);
		return;
	}
	while (arg.start < arg.end) {
		n = ioctl(a->pagemap, SCAN_IOCTL, &arg);
		if (n < 0)
			err(1, "PAGEMAP_SCAN at %#" PRIx64, arg.start);
		/* What a 2 MiB page maps has no table but the deposited one. */
		for (i = 0; i < n; i++)
			if (!(vec[i].categories & SCAN_HUGE))
				count_slots(vec[i].start, vec[i].end, PTE_SHIFT, &a->tables,
					    &a->next_table);
		arg.start = arg.walk_end;
	}
}

static long long need_kb(pid_t pid, const char *file, const char *name)
{
	long long kb = procfs_kb(pid, file, name);

	if (kb < 0)
		err(1, "%s of /proc/%d/%s", name, pid, file);
	return kb;
}

static int audit(pid_t pid)
{
	long long thp, before, vmpte, bound;
	static struct maps m;
	struct vma vma;
	struct audit a;
	char path[64];
	int tries = 0;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	/* A process that runs may fault in between: look again, a few times. */
	do {
		memset(&a, 0, sizeof(a));
		a.pagemap = open(path, O_RDONLY | O_CLOEXEC);
		if (a.pagemap < 0 || maps_open(&m, pid))
			err(1, "%s", path);
		before = need_kb(pid, "status", "VmPTE");
		while ((ret = maps_next(&m, &vma)) > 0)
			audit_vma(&a, &vma);
		if (ret < 0)
			err(1, "/proc/%d/maps", pid);
		thp = need_kb(pid, "smaps_rollup", "AnonHugePages") / 2048;
		vmpte = need_kb(pid, "status", "VmPTE");
		maps_close(&m);
		close(a.pagemap);
	} while (before != vmpte && ++tries < 10);

	bound = 4 * (a.tables + a.gib + a.tib + thp);
	printf("vmpte %lld\nbound %lld\ntables_with_entry %" PRIu64 "\nslots_1g %" PRIu64
	       "\nslots_512g %" PRIu64 "\nthp %lld\nempty_at_most %lld\n",
	       vmpte, bound, a.tables, a.gib, a.tib, thp, vmpte > bound ? (vmpte - bound) / 4 : 0);
	return 0;
}

int main(int argc, char **argv)
{
	bool auditing = argc == 3 && !strcmp(argv[1], "--audit");
	char *end;
	long pid;

	if (argc != 2 && !auditing)
		errx(2, "usage: reclaim-pid [--audit] PID");
	errno = 0;
	pid = strtol(argv[argc - 1], &end, 10);
	if (errno || *end || pid <= 0 || pid > INT_MAX)
		errx(2, "not a pid: %s", argv[argc - 1]);
	return auditing ? audit(pid) : reclaim(pid);
}
