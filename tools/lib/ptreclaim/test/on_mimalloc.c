// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* mimalloc 2 on a kernel that has the advice. */
#include <mimalloc.h>

#include "allocator.h"

static void release(void)
{
	mi_collect(true);
}

int main(void)
{
	return mi_reserve_os_memory(1UL << 30, false, false) ||
	       run_allocator(release, ptreclaim_mimalloc, true);
}
