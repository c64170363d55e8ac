// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

static const char units[] = "BKMGTPE";
static const char suffixes[] = "KMGT";

int size_parse(const char *text, uint64_t *bytes)
{
	const char *unit;
	uint64_t number;
	int shift = 0;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		unit = strchr(suffixes, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (int)(unit - suffixes + 1);
	}
	if (number > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = number << shift;
	return 0;
}

void size_format(uint64_t bytes, char text[SIZE_TEXT])
{
	uint64_t tenths;
	int unit = 0;

	while (unit < 6 && bytes >> (10 * (unit + 1)))
		unit++;
	if (!unit) {
		snprintf(text, SIZE_TEXT, "%" PRIu64 "B", bytes);
		return;
	}
	/* Rounded to the nearest tenth, of what is left of ten more bits. */
	tenths = ((bytes >> (10 * (unit - 1))) * 10 + 512) / 1024;
	if (tenths % 10 && tenths < 1000)
		snprintf(text, SIZE_TEXT, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
			 units[unit]);
	else
		snprintf(text, SIZE_TEXT, "%" PRIu64 "%c", (tenths + 5) / 10, units[unit]);
}
