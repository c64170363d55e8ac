// SPDX-License-Identifier: GPL-2.0
/*
 * memcached-load SOCKET fill|check|flush COUNT SIZE GENERATION: COUNT requests to
 * memcached, each for a key of its own; flush is one. Values depend on the key and on
 * GENERATION, so that one from before a flush is wrong. Prints how many answers were
 * right, wrong or missing; status 1 unless all are right, 2 if there are none.
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define BATCH		100	/* requests before their answers are read */
#define SIZE_MIN	64
#define SIZE_MAX	4096

static unsigned long count;
static unsigned long size;
static unsigned long generation;

static struct {
	unsigned long right;
	unsigned long wrong;
	unsigned long missing;
} tally;

static void make_value(char *out, unsigned long key)
{
	int len = snprintf(out, SIZE_MIN, "value:%lu:%lu:", generation, key);

	memset(out + len, 'a' + (int)((key + generation) % 26), size - (size_t)len);
}

static void tell(bool is_right)
{
	if (is_right)
		tally.right++;
	else
		tally.wrong++;
}

static void fill(int fd, unsigned long first, unsigned long n)
{
	static char out[BATCH * (SIZE_MAX + 64)];
	size_t len = 0;

	for (unsigned long key = first; key < first + n; key++) {
		len += (size_t)sprintf(out + len, "set key:%lu 0 0 %lu\r\n", key, size);
		make_value(out + len, key);
		len += size;
		memcpy(out + len, "\r\n", 2);
		len += 2;
	}
	stream_send(fd, out, len);
	for (unsigned long i = 0; i < n; i++)
		tell(!strcmp(stream_line(fd), "STORED"));
}

/* After the line of a VALUE: its bytes, and the end of them. KEY has to be it. */
static void compare(int fd, const char *head, unsigned long key)
{
	static char expected[SIZE_MAX + 2];
	unsigned long named, len;
	const char *value;

	if (sscanf(head, "VALUE key:%lu 0 %lu", &named, &len) != 2 || len > SIZE_MAX)
		errx(2, "memcached answers: %s", head);
	make_value(expected, key);
	memcpy(expected + size, "\r\n", 2);
	value = stream_take(fd, len + 2);
	tell(named == key && len == size && !memcmp(value, expected, size + 2));
}

/* A request for each key: of several in one, who is missing would not be known. */
static void check(int fd, unsigned long first, unsigned long n)
{
	static char out[BATCH * 32];
	const char *head;
	size_t len = 0;

	for (unsigned long key = first; key < first + n; key++)
		len += (size_t)sprintf(out + len, "get key:%lu\r\n", key);
	stream_send(fd, out, len);
	for (unsigned long key = first; key < first + n; key++) {
		head = stream_line(fd);
		if (!strcmp(head, "END")) {
			tally.missing++;
			continue;
		}
		compare(fd, head, key);
		if (strcmp(stream_line(fd), "END"))
			errx(2, "memcached has answered more than was asked");
	}
}

static void flush(int fd)
{
	stream_send(fd, "flush_all\r\n", 11);
	tell(!strcmp(stream_line(fd), "OK"));
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *text && !*end ? value : 0;
}

/* Everything is right, and the request is known. */
static bool parse(int argc, char **argv)
{
	if (argc != 6)
		return false;
	count = number(argv[3]);
	size = number(argv[4]);
	generation = number(argv[5]);
	return count && count <= 100000000 && size >= SIZE_MIN && size <= SIZE_MAX && generation &&
	       generation <= 1000 && (!strcmp(argv[2], "fill") || !strcmp(argv[2], "check") ||
				      !strcmp(argv[2], "flush"));
}

int main(int argc, char **argv)
{
	void (*request)(int fd, unsigned long first, unsigned long n);
	int fd;

	if (!parse(argc, argv))
		errx(2, "usage: memcached-load SOCKET fill|check|flush COUNT SIZE GENERATION "
		     "(of %d to %d bytes, from 1)", SIZE_MIN, SIZE_MAX);
	fd = stream_dial(argv[1]);
	request = strcmp(argv[2], "fill") ? check : fill;
	if (!strcmp(argv[2], "flush"))
		flush(fd);
	else
		for (unsigned long first = 0; first < count; first += BATCH)
			request(fd, first, count - first < BATCH ? count - first : BATCH);
	printf("right %lu\nwrong %lu\nmissing %lu\n", tally.right, tally.wrong, tally.missing);
	return tally.wrong || tally.missing;
}
