// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The reader of /proc/PID/maps with any input, for libFuzzer. The first byte says how many bytes a
 * read gives. Each VMA has to keep to what the header promises, and written down anew it
 * has to be read as the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../maps.h"

#define NAME_MAX_LENGTH	4351

struct text {
	const char *bytes;
	size_t left;
	size_t step;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t read_text(void *source, char *buf, size_t size)
{
	struct text *t = source;
	size_t n = t->left < t->step ? t->left : t->step;

	if (n > size)
		n = size;
	memcpy(buf, t->bytes, n);
	t->bytes += n;
	t->left -= n;
	return (ssize_t)n;
}

/* A name that holds an escape, or was cut, reads as another one; so would one without its blanks.
 */
static bool is_plain(const char *name)
{
	return !strchr(name, '\\') && !strchr(name, '\n') && strlen(name) < NAME_MAX_LENGTH / 2;
}

static void write_and_read(const struct ptreclaim_vma *vma)
{
	char line[NAME_MAX_LENGTH];
	struct text t = { .bytes = line, .step = sizeof(line) };
	struct ptreclaim_vma read;
	struct maps_reader again;

	t.left = (size_t)snprintf(line, sizeof(line),
				  "%" PRIx64 "-%" PRIx64 " %c%c%c%c 0 0:0 %" PRIu64 " %s\n",
				  vma->start, vma->end, vma->prot & PROT_READ ? 'r' : '-',
				  vma->prot & PROT_WRITE ? 'w' : '-',
				  vma->prot & PROT_EXEC ? 'x' : '-', vma->shared ? 's' : 'p',
				  vma->inode, vma->name);
	ptreclaim_maps_start(&again, read_text, &t);
	if (ptreclaim_maps_next(&again, &read) != 1 || vma->start != read.start ||
	    vma->end != read.end || vma->prot != read.prot || vma->shared != read.shared ||
	    vma->inode != read.inode || strcmp(vma->name, read.name) != 0)
		abort();
}

static void check(const struct ptreclaim_vma *vma)
{
	if (vma->start >= vma->end || vma->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC) ||
	    vma->shared >> 1 || strlen(vma->name) > NAME_MAX_LENGTH ||
	    !strcmp(vma->name, "[vsyscall]") || vma->name[0] == ' ')
		abort();
	if (is_plain(vma->name))
		write_and_read(vma);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ptreclaim_vma vma;
	struct maps_reader r;
	struct text t;
	int ret;

	if (!size)
		return 0;
	t.step = (size_t)data[0] + 1;
	t.bytes = (const char *)data + 1;
	t.left = size - 1;
	ptreclaim_maps_start(&r, read_text, &t);
	while ((ret = ptreclaim_maps_next(&r, &vma)) > 0)
		check(&vma);
	if (ret && ret != -EBADMSG)
		abort();
	return 0;
}
