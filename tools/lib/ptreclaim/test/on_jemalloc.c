// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* jemalloc on a kernel that has the advice. */
#include <jemalloc/jemalloc.h>

#include "allocator.h"

const char *malloc_conf = "dirty_decay_ms:0";

static void release(void)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.purge", (unsigned int)MALLCTL_ARENAS_ALL);
	mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
	mallctl(name, NULL, NULL, NULL, 0);
}

int main(void)
{
	return ptreclaim_jemalloc() || run_allocator(release, ptreclaim_jemalloc, false);
}
