// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "psi.h"

int psi_open(int dir, const char *file, const char *threshold)
{
	int fd = openat(dir, file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	/* With the NUL: the kernel puts one in place of the last byte. */
	if (write(fd, threshold, strlen(threshold) + 1) >= 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}
