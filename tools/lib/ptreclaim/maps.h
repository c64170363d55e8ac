/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The reader behind ptreclaim_maps(), for who is linked with the archive and wants a loop. */
#ifndef PTRECLAIM_MAPS_H
#define PTRECLAIM_MAPS_H

#include <stddef.h>
#include <sys/types.h>

#include "ptreclaim.h"

#define MAPS_LINE_SIZE	(256 + 4096)	/* what is in front of a path, and PATH_MAX */

/* Like read(2), but with a negated error number. */
typedef ssize_t maps_source(void *source, char *buf, size_t size);

struct maps_reader {
	maps_source *read;
	void *source;
	size_t pos;
	size_t len;
	char buf[4096];
	char line[MAPS_LINE_SIZE];
};

/* For SOURCE a pointer to the file descriptor. */
maps_source ptreclaim_maps_read_fd;

void ptreclaim_maps_start(struct maps_reader *r, maps_source *read, void *source);

/* 1 with the next VMA, whose name holds until the next call; 0 at the end; or an error. */
int ptreclaim_maps_next(struct maps_reader *r, struct ptreclaim_vma *vma);

#endif
