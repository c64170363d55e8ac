// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* gperftools' tcmalloc on a kernel that has the advice. */
#include <gperftools/malloc_extension_c.h>

#include "allocator.h"

static void release(void)
{
	MallocExtension_ReleaseFreeMemory();
}

int main(void)
{
	return run_allocator(release, ptreclaim_gperftools, true);
}
