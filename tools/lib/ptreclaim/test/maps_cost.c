// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Why ptreclaim_process() asks for mappings (PROCMAP_QUERY) where it can: what that costs,
 * beside reading the text. In a guest with -icount, where a ns is an instruction.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>

#include "../ptreclaim.h"
#include "procs.h"
#include "tap.h"

#define QUERY_NEXT	(1 << 4)

struct query {
	uint64_t size, flags, address, start, end, more[6];
	uint32_t sizes[4];
};

static const int counts[] = { 10, 1000, 50000 };

/* Neighbours that cannot be one mapping; ten at first, then more. */
static void map_more(int number)
{
	int have = number ? counts[number - 1] : 0;

	for (; have < counts[number]; have++)
		if (mmap(NULL, 4096, have % 2 ? PROT_READ : PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
			TAP_BAIL("mmap");
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int count_vma(const struct ptreclaim_vma *vma, void *arg)
{
	(void)vma;
	++*(int *)arg;
	return 0;
}

static int read_text(int fd)
{
	int count = 0;

	return ptreclaim_maps(fd, count_vma, &count) ? -1 : count;
}

static int ask(int fd)
{
	struct query q = { .size = sizeof(q), .flags = QUERY_NEXT };
	int count = 0;

	while (!ioctl(fd, _IOWR('f', 17, struct query), &q)) {
		q.address = q.end;
		count++;
	}
	return count;
}

/* Instructions of one of them for each mapping, the file's opening included. */
static double cost(const char *path, int (*list)(int fd), int *count)
{
	uint64_t start = now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		TAP_BAIL(path);
	*count = list(fd);
	close(fd);
	return (double)(now() - start) / *count;
}

int main(void)
{
	struct child c = child_start(map_more);
	char path[32];
	size_t i;

	plan(2 * sizeof(counts) / sizeof(*counts));
	snprintf(path, sizeof(path), "/proc/%d/maps", c.pid);
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		double text, query;
		int by_text, by_query;

		child_step(&c);
		cost(path, read_text, &by_text);	/* what only a first time costs */
		text = cost(path, read_text, &by_text);
		query = cost(path, ask, &by_query);
		ok(by_text > counts[i] && by_text == by_query, "%d mappings, either way", by_text);
		ok(query < text, "%.0f instructions for each in place of %.0f", query, text);
	}
	child_end(&c);
	return finish();
}
