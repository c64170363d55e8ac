// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The C library's malloc gives pages back by calls that nobody else sees, and does not
 * tell where its heaps are. They are found among the mappings: [heap], and for arenas of
 * threads, aligned pieces of anonymous memory of which the front is in use.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "maps.h"
#include "ptreclaim.h"
#include "sys.h"

#define HEAP_SIZE	((uint64_t)64 << 20)	/* on 64-bit machines */

const char *gnu_get_libc_version(void) __attribute__((weak));
int malloc_trim(size_t pad) __attribute__((weak));

/* Of others that begin at such an address it does no harm to note them. */
static bool is_heap(const struct ptreclaim_vma *vma)
{
	int both = PROT_READ | PROT_WRITE;

	if (!strcmp(vma->name, "[heap]"))
		return true;
	return !*vma->name && !vma->inode && !vma->shared && (vma->prot & both) == both &&
	       vma->start % HEAP_SIZE == 0 && vma->end - vma->start <= HEAP_SIZE;
}

static int note_heap(const struct ptreclaim_vma *vma, void *arg)
{
	(void)arg;
	if (is_heap(vma))
		ptreclaim_note((const void *)(uintptr_t)vma->start,
			       (size_t)(vma->end - vma->start));
	return 0;
}

int ptreclaim_glibc(void)
{
	int ret = ptreclaim_probe(NULL);
	int fd;

	if (ret)
		return ret;
	if (!gnu_get_libc_version || !malloc_trim)
		return -ENOSYS;
	fd = sys_open("/proc/self/maps");
	if (fd < 0)
		return fd;
	ret = ptreclaim_maps(fd, note_heap, NULL);
	sys_close(fd);
	return ret;
}
