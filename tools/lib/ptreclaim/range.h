/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
#ifndef PTRECLAIM_RANGE_H
#define PTRECLAIM_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pages {
	uintptr_t start;
	size_t length;
};

/*
 * A range taken outward to pages. The last page of all is left out: its end is no
 * address, and no program has it. False if the end of the range itself is none.
 */
bool ptreclaim_round(uintptr_t start, size_t length, struct pages *pages);

#endif
