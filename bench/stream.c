// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define LINE_MAX_LEN	256
#define TRIES		3000	/* 30 s */

static char in[256 * 1024];
static size_t in_pos;
static size_t in_len;

int stream_dial(const char *path)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		errx(2, "%s: too long for a socket", path);
	strcpy(addr.sun_path, path);
	if (fd < 0)
		err(2, "socket");
	for (int tries = 0; connect(fd, (struct sockaddr *)&addr, sizeof(addr)); tries++) {
		if ((errno != ENOENT && errno != ECONNREFUSED) || tries == TRIES)
			err(2, "%s", path);
		nanosleep(&pause, NULL);
	}
	return fd;
}

void stream_send(int fd, const char *out, size_t len)
{
	while (len) {
		ssize_t n = write(fd, out, len);

		if (n < 0)
			err(2, "write to the server");
		out += n;
		len -= (size_t)n;
	}
}

char *stream_need(int fd, size_t len)
{
	if (in_len - in_pos < len) {
		memmove(in, in + in_pos, in_len - in_pos);
		in_len -= in_pos;
		in_pos = 0;
	}
	while (in_len < len) {
		ssize_t n = read(fd, in + in_len, sizeof(in) - in_len);

		if (n < 0)
			err(2, "read from the server");
		if (!n)
			errx(2, "the server closed the connection");
		in_len += (size_t)n;
	}
	return in + in_pos;
}

char *stream_take(int fd, size_t len)
{
	char *taken = stream_need(fd, len);

	in_pos += len;
	return taken;
}

char *stream_line(int fd)
{
	size_t len = 2;
	char *text;

	while (text = stream_need(fd, len), text[len - 1] != '\n') {
		if (++len > LINE_MAX_LEN)
			errx(2, "the server answers nonsense");
	}
	text[len - 2] = '\0';
	return stream_take(fd, len);
}
