// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <sys/ioctl.h>

#include "proc.h"
#include "sender.h"
#include "sys.h"

/* PROCMAP_QUERY, Linux 6.11: headers may be older. */
struct procmap_query {
	uint64_t size;
	uint64_t flags;
	uint64_t address;
	uint64_t start;
	uint64_t end;
	uint64_t vma_flags;
	uint64_t page_size;
	uint64_t offset;
	uint64_t inode;
	uint32_t major;
	uint32_t minor;
	uint32_t name_size;	/* 0: no name, and no build ID */
	uint32_t build_id_size;
	uint64_t name;
	uint64_t build_id;
};

#define QUERY_IOCTL	_IOWR('f', 17, struct procmap_query)
#define QUERY_NEXT	(1 << 4)	/* the mapping at the address, or else the next one */

/* Mappings that touch are one range: they may share a table, and it is looked at once. */
struct joiner {
	struct sender sender;
	uint64_t start;
	uint64_t end;
};

static int send_joined(struct joiner *j)
{
	uint64_t length = j->end - j->start;

	return length ? ptreclaim_sender_add(&j->sender, j->start, length) : 0;
}

static int join_range(struct joiner *j, uint64_t start, uint64_t end)
{
	int ret;

	if (start == j->end) {
		j->end = end;
		return 0;
	}
	ret = send_joined(j);
	j->start = start;
	j->end = end;
	return ret;
}

static int join(const struct ptreclaim_vma *vma, void *arg)
{
	return join_range(arg, vma->start, vma->end);
}

/*
 * Asks for one mapping after the other, which takes half as many instructions as reading
 * the text. -ENOTTY, and nothing done, where that is not known.
 */
static int join_queried(struct joiner *j, int fd)
{
	struct procmap_query query = { .size = sizeof(query), .flags = QUERY_NEXT };
	int ret;

	while (!(ret = sys_ioctl(fd, QUERY_IOCTL, &query))) {
		if (query.end <= query.address)
			return -EIO;
		ret = join_range(j, query.start, query.end);
		if (ret)
			return ret;
		query.address = query.end;
	}
	return ret == -ENOENT ? 0 : ret;	/* nothing above it */
}

static int send_maps(struct joiner *j, pid_t pid)
{
	int fd = ptreclaim_proc_open(pid, "maps");
	int ret;

	if (fd < 0)
		return fd;
	/* Now that the file is open: if the process is still there, the file is its own. */
	ret = ptreclaim_sender_check(&j->sender);
	if (!ret)
		ret = join_queried(j, fd);
	if (ret == -ENOTTY)
		ret = ptreclaim_maps(fd, join, j);
	if (!ret)
		ret = send_joined(j);
	if (!ret)
		ret = ptreclaim_sender_flush(&j->sender);
	sys_close(fd);
	return ret;
}

int ptreclaim_process(int pidfd, pid_t pid, const volatile int *cancel,
		      struct ptreclaim_result *result)
{
	struct joiner j;
	int ret;

	ptreclaim_sender_init(&j.sender, pidfd, cancel);
	j.start = 0;
	j.end = 0;
	ret = ptreclaim_probe(NULL);
	if (!ret)
		ret = send_maps(&j, pid);
	if (result)
		*result = j.sender.result;
	return ret;
}
