/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PRIVILEGES_H
#define PRIVILEGES_H

/* Gives up all capabilities but those that other processes need: see privileges.c. */
void privileges_drop(void);

/* The effective ones that are kept. */
struct privilege {
	unsigned int capability;
	const char *name;
	const char *use;
};

#define PRIVILEGES	3

extern const struct privilege privileges[PRIVILEGES];

#endif
