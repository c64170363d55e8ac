// SPDX-License-Identifier: GPL-2.0
#include <cap-ng.h>
#include <err.h>
#include <stdlib.h>

#include "privileges.h"

/*
 * process_madvise(2) asks for the first. The second opens maps, pagemap and smaps_rollup of
 * processes of others. But pagemap has mode 0400, so for those of other users the third has
 * to open it as well: it reads and searches, where CAP_DAC_OVERRIDE would write. Without it
 * processes of other users are reclaimed, but not audited.
 */
const struct privilege privileges[PRIVILEGES] = {
	{ CAP_SYS_NICE, "CAP_SYS_NICE", "to reclaim page tables of other processes" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "to see the memory of processes of other users" },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	  "to count empty page tables of processes of other users" },
};

void privileges_drop(void)
{
	unsigned int keep = 0;
	unsigned int i;

	if (capng_get_caps_process())
		errx(EXIT_FAILURE, "cannot read the capabilities of this process");
	if (capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE)
		return;
	for (i = 0; i < PRIVILEGES; i++)
		if (capng_have_capability(CAPNG_PERMITTED, privileges[i].capability))
			keep |= 1U << i;
	capng_clear(CAPNG_SELECT_CAPS);
	for (i = 0; i < PRIVILEGES; i++)
		if (keep & 1U << i)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     privileges[i].capability);
	if (capng_apply(CAPNG_SELECT_CAPS))
		errx(EXIT_FAILURE, "cannot give up capabilities");
}
