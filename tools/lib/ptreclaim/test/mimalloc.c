// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The arenas of Debian's mimalloc, with a kernel and a clock that are made up. */
#include <mimalloc.h>

#include "later.h"

static bool whole_without_arenas(void)
{
	return !ptreclaim_mimalloc() && !ptreclaim_flush() && fake.calls == 1 && fake.whole == 1;
}

static bool arenas(void)
{
	struct ptreclaim_counters c;

	if (mi_reserve_os_memory(3 * GIB, false, false) || ptreclaim_mimalloc())
		return false;
	c = counters();
	return c.bytes >= 3 * GIB && c.bytes < 4 * GIB && !c.overflows && !ptreclaim_flush() &&
	       fake.calls >= 3 && !fake.whole;
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(3);
	ok(alone(whole_without_arenas), "without arenas, all of the process");
	ok(alone(arenas), "arenas");
	ok(ptreclaim_gperftools() == -ENOSYS && ptreclaim_jemalloc() == -ENOSYS,
	   "no other allocator");
	return finish();
}
