// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * gperftools' C interface tells how much was given back, but not where: that is all of
 * the process, then. The ranges themselves are for C++ only.
 */
#include <stdint.h>

#include "ptreclaim.h"
#include "sys.h"

#define TABLE_SPAN	((size_t)2 << 20)	/* what a PTE table maps */

int MallocExtension_GetNumericProperty(const char *name, size_t *value) __attribute__((weak));

int ptreclaim_gperftools(void)
{
	size_t unmapped = 0;
	int ret = ptreclaim_probe(NULL);

	if (ret)
		return ret;
	if (!MallocExtension_GetNumericProperty ||
	    !MallocExtension_GetNumericProperty("tcmalloc.pageheap_unmapped_bytes", &unmapped))
		return -ENOSYS;
	if (unmapped >= TABLE_SPAN)
		ptreclaim_note(NULL, SIZE_MAX);
	return 0;
}
