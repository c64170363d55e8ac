// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "procfs.h"

#define TABLE	(2UL << 20)	/* what a page table maps */

static char text[64 * 1024];

static int read_text(const char *path)
{
	size_t len = 0;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	close(fd);
	if (n < 0)
		return -1;
	text[len] = '\0';
	return 0;
}

/* What follows NAME and SEP at the start of a line. */
static const char *find_row(const char *name, char sep)
{
	size_t len = strlen(name);
	const char *line = text;

	while (line) {
		if (!strncmp(line, name, len) && line[len] == sep)
			return line + len + 1;
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	errno = ENOENT;
	return NULL;
}

static long long read_row(const char *path, const char *name, char sep)
{
	const char *row;

	if (read_text(path))
		return -1;
	row = find_row(name, sep);
	return row ? strtoll(row, NULL, 10) : -1;
}

long long procfs_kb(pid_t pid, const char *file, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return read_row(path, name, ':');
}

long long procfs_meminfo(const char *name)
{
	return read_row("/proc/meminfo", name, ':');
}

long long procfs_vmstat(const char *name)
{
	return read_row("/proc/vmstat", name, ' ');
}

bool reclaim_pt_supported(void)
{
	return !madvise(NULL, 0, MADV_RECLAIM_PT) &&
	       procfs_vmstat("pt_reclaim_freed") >= 0;
}

bool dontneed_frees_shared_table(void)
{
	char *area = mmap(NULL, 2 * TABLE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *table = area + (-(uintptr_t)area & (TABLE - 1));
	long long with, without;

	if (area == MAP_FAILED || madvise(area, 2 * TABLE, MADV_NOHUGEPAGE) ||
	    mprotect(table, TABLE / 2, PROT_READ))
		err(1, "two mappings of a page table");
	table[TABLE / 2] = 1;
	with = procfs_kb(getpid(), "status", "VmPTE");
	if (madvise(table, TABLE, MADV_DONTNEED))
		err(1, "MADV_DONTNEED");
	without = procfs_kb(getpid(), "status", "VmPTE");
	munmap(area, 2 * TABLE);
	return without < with;
}
