// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
// The header in a C++ program, which is linked with the shared library.
#include "../ptreclaim.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "../ptreclaim.h"

static volatile std::sig_atomic_t cancel;

static int count(const ptreclaim_vma *vma, void *arg)
{
	*static_cast<int *>(arg) += vma->start < vma->end;
	return 0;
}

static int report(int number, bool good, const char *name)
{
	std::printf("%sok %d %s\n", good ? "" : "not ", number, name);
	return good ? 0 : 1;
}

int main()
{
	ptreclaim_support why = PTRECLAIM_DISABLED;
	bool supported = ptreclaim_probe(&why) == 0;
	ptreclaim_result result = {};
	ptreclaim_tables tables = {};
	iovec range = {&tables, sizeof(tables)};
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int vmas = 0;
	int failed = 0;

	std::printf("TAP version 13\n1..5\n# %s\n", ptreclaim_support_text(why));
	failed += report(1, supported == (why == PTRECLAIM_SUPPORTED), "probe");
	failed += report(2, (ptreclaim_range(&tables, sizeof(tables)) == 0) == supported, "range");
	failed += report(3, ptreclaim_ranges(-1, &range, 1, &cancel, &result) < 0 &&
			    ptreclaim_process(-1, getpid(), &cancel, &result) < 0, "no process");
	failed += report(4, ptreclaim_maps(fd, count, &vmas) == 0 && vmas > 5, "maps");
	failed += report(5, ptreclaim_audit(getpid(), &cancel, &tables) == 0 && tables.vmpte, "audit");
	close(fd);
	return failed != 0;
}
