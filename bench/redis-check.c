// SPDX-License-Identifier: GPL-2.0
/*
 * redis-check SOCKET COUNT SIZE: reads every key that "DEBUG POPULATE COUNT key
 * SIZE" made, and compares its value: "value:N", then zero bytes up to SIZE.
 * In C, for an interpreter would take minutes in an emulated guest.
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define BATCH		1000	/* keys for each MGET */
#define VALUE_MAX	4096

/* The number of a "*N" or "$N" line. */
static long header(int fd, char type)
{
	const char *line = stream_line(fd);

	if (line[0] != type)
		errx(2, "Redis answers: %s", line);
	return strtol(line + 1, NULL, 10);
}

/* PREFIX and NUMBER at OUT; sprintf would take longer than the rest of the loop. */
static int put(char *out, const char *prefix, unsigned long number)
{
	int len = strlen(prefix);
	int digits = 1;

	memcpy(out, prefix, len);
	for (unsigned long rest = number / 10; rest; rest /= 10)
		digits++;
	for (int i = len + digits - 1; i >= len; i--, number /= 10)
		out[i] = '0' + number % 10;
	return len + digits;
}

static void ask(int fd, unsigned long first, unsigned long n)
{
	static char out[BATCH * 48 + 64];
	size_t len = sprintf(out, "*%lu\r\n$4\r\nMGET\r\n", n + 1);
	char key[32];

	for (unsigned long i = first; i < first + n; i++) {
		int key_len = put(key, "key:", i);

		len += put(out + len, "$", key_len);
		memcpy(out + len, "\r\n", 2);
		memcpy(out + len + 2, key, key_len);
		memcpy(out + len + 2 + key_len, "\r\n", 2);
		len += key_len + 4;
	}
	stream_send(fd, out, len);
}

struct tally {
	unsigned long right;
	unsigned long wrong;
	unsigned long missing;
};

static void compare(int fd, unsigned long first, unsigned long n, long size, struct tally *t)
{
	char expected[VALUE_MAX + 1] = "";
	int used = 0;

	if (header(fd, '*') != (long)n)
		errx(2, "Redis answers another number of values");
	for (unsigned long i = first; i < first + n; i++) {
		long len = header(fd, '$');
		int now;

		if (len < 0) {
			t->missing++;
			continue;
		}
		if (len > VALUE_MAX)
			errx(2, "key:%lu has %ld bytes", i, len);
		now = put(expected, "value:", i);
		if (now < used)
			memset(expected + now, 0, used - now);
		used = now;
		if (!memcmp(stream_take(fd, len + 2), expected, len) && len == size)
			t->right++;
		else
			t->wrong++;
	}
}

static unsigned long batch(unsigned long first, unsigned long count)
{
	return count - first < BATCH ? count - first : BATCH;
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned long size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned long first, next;
	struct tally t = { 0 };
	int fd;

	if (!count || size < 32 || size > VALUE_MAX)
		errx(2, "usage: redis-check SOCKET COUNT SIZE (of 32 to %d bytes)", VALUE_MAX);
	fd = stream_dial(argv[1]);
	/* One batch ahead, so that neither side waits for the other. */
	ask(fd, 0, batch(0, count));
	for (first = 0; first < count; first = next) {
		next = first + batch(first, count);
		if (next < count)
			ask(fd, next, batch(next, count));
		compare(fd, first, next - first, size, &t);
	}
	printf("keys_right %lu\nkeys_wrong %lu\nkeys_missing %lu\n", t.right, t.wrong, t.missing);
	return t.right == count ? 0 : 1;
}
