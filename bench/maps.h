/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_MAPS_H
#define BENCH_MAPS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct maps {
	int fd;
	size_t pos;
	size_t len;
	char buf[8192];
};

struct vma {
	uint64_t start;
	uint64_t end;
	char perms[5];
	char name[128];	/* escapes undone, cut where longer, "" for anonymous memory */
};

/* 0, or -1 with errno. */
int maps_open(struct maps *m, pid_t pid);

/* 1 with the next VMA, 0 at the end, -1 with errno (EBADMSG for text that is no maps line). */
int maps_next(struct maps *m, struct vma *vma);

void maps_close(struct maps *m);

#endif
