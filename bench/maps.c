// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "maps.h"

int maps_open(struct maps *m, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	m->pos = 0;
	m->len = 0;
	m->fd = open(path, O_RDONLY | O_CLOEXEC);
	return m->fd < 0 ? -1 : 0;
}

void maps_close(struct maps *m)
{
	close(m->fd);
}

/* A byte, 0 at the end, -1 with errno. A process that exits in between reads as the end. */
static int next_byte(struct maps *m)
{
	ssize_t n;

	if (m->pos == m->len) {
		n = read(m->fd, m->buf, sizeof(m->buf));
		if (n <= 0)
			return n ? -1 : 0;
		m->pos = 0;
		m->len = n;
	}
	return (unsigned char)m->buf[m->pos++];
}

/*
 * "\012" is a newline: the one byte that the kernel escapes in a path. A path
 * that holds these four characters reads the same, and cannot be told apart.
 */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (!strncmp(s, "\\012", 4)) {
			*out++ = '\n';
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* Paths have no bound here, so only what fits is kept of a line: the head always does. */
static int next_line(struct maps *m, char *line, size_t size)
{
	size_t len = 0;
	int c;

	while ((c = next_byte(m)) > 0 && c != '\n')
		if (len < size - 1)
			line[len++] = c;
	line[len] = '\0';
	if (c < 0)
		return -1;
	if (c == '\n')
		return 1;
	if (!len)
		return 0;
	errno = EBADMSG;
	return -1;
}

int maps_next(struct maps *m, struct vma *vma)
{
	char line[256];
	int name = 0;
	int ret;

	do {
		ret = next_line(m, line, sizeof(line));
		if (ret <= 0)
			return ret;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4[-rwxsp] %*x %*x:%*x %*u%n",
			   &vma->start, &vma->end, vma->perms, &name) != 3 ||
		    !name || vma->start >= vma->end) {
			errno = EBADMSG;
			return -1;
		}
		/* Spaces pad up to the name; a path may hold some, but starts with none. */
		name += strspn(line + name, " ");
		snprintf(vma->name, sizeof(vma->name), "%.*s", (int)sizeof(vma->name) - 1,
			 line + name);
		unescape(vma->name);
	} while (!strcmp(vma->name, "[vsyscall]"));	/* no VMA: any advice on it is EFAULT */
	return 1;
}
