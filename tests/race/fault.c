// SPDX-License-Identifier: GPL-2.0
/* Owners whose page faults fill tables. */
#include <stdlib.h>
#include <sys/mman.h>

#include "race.h"

/* ---- touch: the owner that the actors without memory disturb ---- */

#define KEPT	3	/* slots that are full while the others are empty */
#define TOUCHED	16	/* pages of a slot */

/* Every round fills some pages of a slot, and checks and empties those of KEPT rounds ago. */
static char *touched(const struct run *run, unsigned long round, unsigned int i)
{
	return window_page(run, round % SLOTS, (round / SLOTS * 7 + i * 5) % run->pages);
}

static bool touch_round(struct run *run)
{
	unsigned long old = run->round - KEPT;

	let_fail(true);
	for (unsigned int i = 0; i < TOUCHED; i++) {
		char *addr = touched(run, run->round, i);

		if (!check_fresh(run, addr))
			return false;
		fill(run, addr, addr, run->round);
	}
	for (unsigned int i = 0; i < TOUCHED && run->round >= KEPT; i++) {
		char *addr = touched(run, old, i);

		if (!check(run, addr, addr, old))
			return false;
	}
	if (run->round >= KEPT && !drop(run, window_page(run, old % SLOTS, 0), run->pages * PAGE))
		return false;
	let_fail(false);
	hit(run);
	return true;
}

const struct actor fault_actors[] = {
	{
		.name = "touch",
		.does = "reads, writes, checks and empties pages",
		.memory = ON_ALL, .owner = true, .scarce = true, .rounds = 50,
		.round = touch_round,
	},
	{ }
};
