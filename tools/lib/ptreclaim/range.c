// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "ptreclaim.h"
#include "range.h"
#include "sys.h"

bool ptreclaim_round(uintptr_t start, size_t length, struct pages *pages)
{
	uintptr_t rest = sys_page_size() - 1;
	uintptr_t end = start + length;
	uintptr_t up = (end + rest) & ~rest;

	if (end < start)
		return false;
	if (up < end)
		up = end & ~rest;
	pages->start = start & ~rest;
	pages->length = length && up > pages->start ? up - pages->start : 0;
	return true;
}

int ptreclaim_range(const void *addr, size_t length)
{
	struct pages pages;
	int ret = ptreclaim_probe(NULL);

	if (ret)
		return ret;
	if (!ptreclaim_round((uintptr_t)addr, length, &pages))
		return -EINVAL;
	if (!pages.length)
		return 0;
	ret = sys_reclaim(pages.start, pages.length);
	switch (ret) {
	case -ENOMEM:		/* a hole, and all that is mapped was done */
		return 0;
	case -EINVAL:		/* the arguments are right, so it is the advice */
		return -ENOTSUP;
	default:
		return ret;
	}
}
