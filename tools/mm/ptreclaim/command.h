/* SPDX-License-Identifier: GPL-2.0 */
/* What the commands share. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdint.h>

/* Exit statuses, as in ptreclaim(8); 0 and EXIT_FAILURE (1) are stdlib's. */
enum {
	EXIT_USAGE = 2,
	EXIT_NO_ADVICE = 3,	/* this kernel has no MADV_RECLAIM_PT */
	EXIT_DENIED = 4,	/* privileges are missing */
	EXIT_INTERRUPTED = 5,
};

/* argv[0] is the name of the command. Each returns the exit status. */
int cmd_probe(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_reclaim(int argc, char **argv);
int cmd_daemon(int argc, char **argv);

/* The argument of an option. Ends the program if it is no size. */
void size_option(const char *command, const char *option, const char *text, uint64_t *size);

/* Ends the program, for a mistake in its arguments that was reported. */
void __attribute__((noreturn)) try_help(const char *command);

#endif
