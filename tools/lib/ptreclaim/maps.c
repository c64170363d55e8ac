// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "maps.h"
#include "sys.h"

/* A byte, EOF_ at the end, or an error. */
#define EOF_	256

static int next_byte(struct maps_reader *r)
{
	ssize_t n;

	if (r->pos == r->len) {
		n = r->read(r->source, r->buf, sizeof(r->buf));
		if (n <= 0)
			return n ? (int)n : EOF_;
		r->pos = 0;
		r->len = (size_t)n;
	}
	return (unsigned char)r->buf[r->pos++];
}

/* 1 with the next line, 0 at the end. A line has no bound: its front is kept. */
static int next_line(struct maps_reader *r)
{
	size_t len = 0;
	int c;

	while ((c = next_byte(r)) >= 0 && c != EOF_ && c != '\n')
		if (len < MAPS_LINE_SIZE - 1)
			r->line[len++] = (char)c;
	r->line[len] = '\0';
	if (c < 0)
		return c;
	if (c == '\n')
		return 1;
	return len ? -EBADMSG : 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

/* Moves *TEXT behind a number and the one byte that has to follow it. */
static bool take_number(const char **text, int base, char behind, uint64_t *number)
{
	const char *p = *text;

	*number = 0;
	while (digit(*p) < base) {
		if (*number > (UINT64_MAX - 15) / (unsigned int)base)
			return false;
		*number = *number * (unsigned int)base + (unsigned int)digit(*p++);
	}
	if (p == *text || *p != behind)
		return false;
	*text = p + 1;
	return true;
}

/* One letter of the permissions: SET, or else UNSET. */
static bool take_letter(const char **text, char set, char unset, int flag, int *flags)
{
	char c = **text;

	if (c != set && c != unset)
		return false;
	if (c == set)
		*flags |= flag;
	++*text;
	return true;
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

static bool parse(char *line, struct ptreclaim_vma *vma)
{
	const char *p = line;
	uint64_t unused;

	vma->prot = PROT_NONE;
	vma->shared = 0;
	if (!take_number(&p, 16, '-', &vma->start) || !take_number(&p, 16, ' ', &vma->end) ||
	    vma->start >= vma->end)
		return false;
	if (!take_letter(&p, 'r', '-', PROT_READ, &vma->prot) ||
	    !take_letter(&p, 'w', '-', PROT_WRITE, &vma->prot) ||
	    !take_letter(&p, 'x', '-', PROT_EXEC, &vma->prot) ||
	    !take_letter(&p, 's', 'p', 1, &vma->shared) || *p++ != ' ')
		return false;
	if (!take_number(&p, 16, ' ', &unused) || !take_number(&p, 16, ':', &unused) ||
	    !take_number(&p, 16, ' ', &unused) || !take_number(&p, 10, ' ', &vma->inode))
		return false;
	/* Spaces pad up to the name; a path may hold some, but starts with none. */
	p += strspn(p, " ");
	unescape(line + (p - line));
	vma->name = p;
	return true;
}

void ptreclaim_maps_start(struct maps_reader *r, maps_source *read, void *source)
{
	r->read = read;
	r->source = source;
	r->pos = 0;
	r->len = 0;
}

int ptreclaim_maps_next(struct maps_reader *r, struct ptreclaim_vma *vma)
{
	int ret;

	do {
		ret = next_line(r);
		if (ret <= 0)
			return ret;
		if (!parse(r->line, vma))
			return -EBADMSG;
	} while (!strcmp(vma->name, "[vsyscall]"));	/* no VMA: any advice on it is EFAULT */
	return 1;
}

ssize_t ptreclaim_maps_read_fd(void *source, char *buf, size_t size)
{
	return sys_read(*(int *)source, buf, size);
}

int ptreclaim_maps(int fd, int (*visit)(const struct ptreclaim_vma *vma, void *arg), void *arg)
{
	struct ptreclaim_vma vma;
	struct maps_reader r;
	int ret;

	ptreclaim_maps_start(&r, ptreclaim_maps_read_fd, &fd);
	while ((ret = ptreclaim_maps_next(&r, &vma)) > 0) {
		ret = visit(&vma, arg);
		if (ret)
			return ret;
	}
	return ret;
}
