// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "privileges.h"
#include "size.h"

/* The value of a macro as a string. */
#define TEXT_OF(value)	#value
#define TEXT(macro)	TEXT_OF(macro)

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "probe", cmd_probe, "what works on this machine, and what to do about the rest" },
	{ "scan", cmd_scan, "list processes with their empty page tables" },
	{ "reclaim", cmd_reclaim, "free the empty page tables of processes" },
	{ "daemon", cmd_daemon, "free them when memory is short, or at intervals" },
};

#define COMMANDS	(sizeof(commands) / sizeof(*commands))

static void print_help(void)
{
	size_t i;

	puts("Usage: ptreclaim COMMAND [OPTION...]\n\n"
	     "See and free empty page tables of processes.\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].what);
	puts("\n  --help, --version\n\n"
	     "ptreclaim COMMAND --help tells the options of a command, ptreclaim(8) the rest.");
}

void try_help(const char *command)
{
	fprintf(stderr, "Try ptreclaim%s%s --help.\n", command ? " " : "", command ? command : "");
	exit(EXIT_USAGE);
}

void size_option(const char *command, const char *option, const char *text, uint64_t *size)
{
	if (size_parse(text, size)) {
		warnx("%s %s: give a size, such as 300K or 2M", option, text);
		try_help(command);
	}
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* What was printed has to be there: a full disk is an error. */
static int flushed(int status)
{
	if (ferror(stdout) || fflush(stdout)) {
		warn("standard output");
		return status ? status : EXIT_FAILURE;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;

	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		warnx("a command is missing");
		try_help(NULL);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help();
		return flushed(EXIT_SUCCESS);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("ptreclaim " TEXT(VERSION));
		return flushed(EXIT_SUCCESS);
	}
	command = find_command(argv[1]);
	if (!command) {
		warnx("there is no command %s", argv[1]);
		try_help(NULL);
	}
	privileges_drop();
	return flushed(command->run(argc - 1, argv + 1));
}
