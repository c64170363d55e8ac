// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <stdlib.h>

#include "options.h"

bool common_option(struct common *c, int letter, const char *command)
{
	switch (letter) {
	case 'p':
	case 'g':
	case 'a':
		targets_option(&c->targets, letter, optarg, command);
		return true;
	case 'b':
		c->style.bytes = true;
		return true;
	case 'J':
		c->style.json = true;
		return true;
	case 'n':
		c->style.no_headings = true;
		return true;
	case COMMON_SYSROOT:
		c->sysroot = optarg;
		return true;
	}
	return false;
}

void common_open(struct common *c)
{
	int ret = procs_open(&c->procs, c->sysroot);

	if (ret) {
		errno = -ret;
		err(EXIT_FAILURE, "%s/proc", c->sysroot ? c->sysroot : "");
	}
}

void common_close(struct common *c)
{
	procs_close(&c->procs);
	targets_free(&c->targets);
}
