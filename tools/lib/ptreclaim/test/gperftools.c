// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Debian's tcmalloc, with a kernel and a clock that are made up. */
#include <gperftools/malloc_extension_c.h>
#include <string.h>

#include "later.h"

static bool nothing(void)
{
	return !ptreclaim_gperftools() && !ptreclaim_flush() && !fake.calls;
}

static bool released(void)
{
	void *volatile big = malloc(64 * MIB);

	memset(big, 1, 64 * MIB);
	free(big);
	MallocExtension_ReleaseFreeMemory();
	return !ptreclaim_gperftools() && !ptreclaim_flush() && fake.calls == 1 &&
	       fake.whole == 1;
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(3);
	ok(alone(nothing), "nothing was given back");
	ok(alone(released), "something was");
	ok(ptreclaim_mimalloc() == -ENOSYS && ptreclaim_jemalloc() == -ENOSYS,
	   "no other allocator");
	return finish();
}
