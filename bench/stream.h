/* SPDX-License-Identifier: GPL-2.0 */
/* A connection to a server's socket, for the clients that check its answers. They end where it fails. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stddef.h>

/* Waits for a server that has just been started. */
int stream_dial(const char *path);

void stream_send(int fd, const char *out, size_t len);

/* The next LEN bytes in one piece, without taking them. */
char *stream_need(int fd, size_t len);

/* Takes LEN bytes that are there: returns them, good until the next call. */
char *stream_take(int fd, size_t len);

/* Takes a line that ends in "\r\n", as a string without that. */
char *stream_line(int fd);

#endif
