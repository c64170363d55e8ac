// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* mimalloc 2 has no hooks, but tells where its arenas are. */
#include <stdint.h>

#include "ptreclaim.h"
#include "sys.h"

#define MOST_ARENAS	1024	/* version 2 has 64 to 132 */

int mi_version(void) __attribute__((weak));
void *mi_arena_area(int arena, size_t *size) __attribute__((weak));

/* Version 3 numbers arenas by pointers. */
static int is_version_2(void)
{
	return mi_version && mi_arena_area && mi_version() / 100 == 2;
}

int ptreclaim_mimalloc(void)
{
	size_t size = 0;
	void *start;
	int arena;
	int ret = ptreclaim_probe(NULL);

	if (ret)
		return ret;
	if (!is_version_2())
		return -ENOSYS;
	for (arena = 1; arena <= MOST_ARENAS; arena++) {
		start = mi_arena_area(arena, &size);
		if (!start)
			break;
		ptreclaim_note(start, size);
	}
	/* Without arenas each segment is a mapping of its own, and nobody tells where. */
	if (arena == 1)
		ptreclaim_note(NULL, SIZE_MAX);
	return 0;
}
