// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* glibc's malloc on a kernel that has the advice. */
#include <malloc.h>

#include "allocator.h"

static void release(void)
{
	malloc_trim(0);
}

int main(void)
{
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return run_allocator(release, ptreclaim_glibc, true);
}
