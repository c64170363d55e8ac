/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SIZE_H
#define SIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A number of bytes, or of KiB, MiB, GiB or TiB if K, M, G or T follows: all of the text.
 * 0; -EINVAL if it is none, -ERANGE if it does not fit.
 */
int size_parse(const char *text, uint64_t *bytes);

#define SIZE_TEXT	24	/* bytes that a size takes at most, as text */

/* For people: three digits or four, and a unit. */
void size_format(uint64_t bytes, char text[SIZE_TEXT]);

#endif
