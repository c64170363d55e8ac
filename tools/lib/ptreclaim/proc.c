// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>

#include "proc.h"
#include "sys.h"

#define PATH_SIZE	64

/* Digits of a pid, written backwards in front of END. */
static char *put_number(char *end, unsigned int number)
{
	do {
		*--end = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return end;
}

int ptreclaim_proc_open(pid_t pid, const char *file)
{
	static const char proc[] = "/proc/";
	char path[PATH_SIZE];
	char digits[16];
	char *end = digits + sizeof(digits);
	char *start = put_number(end, (unsigned int)pid);
	size_t used = sizeof(proc) - 1;
	size_t len = strlen(file);

	memcpy(path, proc, used);
	memcpy(path + used, start, (size_t)(end - start));
	used += (size_t)(end - start);
	path[used++] = '/';
	if (len >= sizeof(path) - used)
		return -ENAMETOOLONG;
	memcpy(path + used, file, len + 1);
	return sys_open(path);
}

static void add_digit(struct proc_row *row, unsigned int digit)
{
	row->digits = true;
	if (row->value > (UINT64_MAX - digit) / 10)
		row->value = UINT64_MAX;
	else
		row->value = row->value * 10 + digit;
}

static void take_byte(struct proc_row *row, char c)
{
	bool is_digit = c >= '0' && c <= '9';

	if (row->found)
		return;
	if (row->digits && !is_digit) {
		row->found = true;
	} else if (c == '\n') {
		row->matched = 0;
		row->other = false;
	} else if (row->other) {
		return;
	} else if (row->name[row->matched]) {
		row->other = c != row->name[row->matched++];
	} else if (is_digit) {
		add_digit(row, (unsigned int)(c - '0'));
	} else if (c != ' ' && c != '\t') {
		row->other = true;
	}
}

/* How many were found in one piece of the text or before. */
static size_t take_bytes(struct proc_row *row, size_t count, const char *bytes, size_t size)
{
	size_t found = 0;
	size_t i;

	for (; count--; row++) {
		for (i = 0; i < size && !row->found; i++)
			take_byte(row, bytes[i]);
		found += row->found;
	}
	return found;
}

int ptreclaim_proc_rows(int fd, struct proc_row *rows, size_t count)
{
	char buf[4096];
	ssize_t n;

	while ((n = sys_read(fd, buf, sizeof(buf))) > 0)
		if (take_bytes(rows, count, buf, (size_t)n) == count)
			break;
	return n < 0 ? (int)n : 0;
}

int ptreclaim_proc_row(int fd, const char *name, uint64_t *value)
{
	struct proc_row row = { .name = name };
	int ret = ptreclaim_proc_rows(fd, &row, 1);

	if (!ret && !row.found)
		ret = -ENODATA;
	if (!ret)
		*value = row.value;
	return ret;
}
