// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "parse.h"

/* More than a process can have, in kB: sums of these do not overflow either. */
#define KB_LIMIT	(UINT64_C(1) << 42)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Moves *TEXT behind blanks and a number. */
static bool take_number(const char **text, uint64_t *number)
{
	const char *c = *text + strspn(*text, " \t");
	uint64_t found = 0;

	if (!is_digit(*c))
		return false;
	for (; is_digit(*c); c++) {
		unsigned int digit = (unsigned int)(*c - '0');

		if (found > (UINT64_MAX - digit) / 10)
			return false;
		found = found * 10 + digit;
	}
	*number = found;
	*text = c;
	return true;
}

/* Where the line that begins with NAME goes on, or NULL. */
static const char *find_line(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (strncmp(text, name, length) != 0) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	return text + length;
}

/* A row in kB, as bytes; none is 0. */
static int parse_size_row(const char *text, const char *name, uint64_t *size)
{
	const char *row = find_line(text, name);
	uint64_t kb = 0;

	if (row && (!take_number(&row, &kb) || strncmp(row, " kB\n", 4) != 0 || kb > KB_LIMIT))
		return -EBADMSG;
	*size = kb * 1024;
	return 0;
}

int parse_status(const char *text, struct process *p)
{
	const char *row = find_line(text, "Uid:");
	uint64_t real;
	uint64_t effective;

	if (!row || !take_number(&row, &real) || !take_number(&row, &effective) ||
	    effective > UINT32_MAX)
		return -EBADMSG;
	p->uid = (uid_t)effective;
	if (parse_size_row(text, "VmRSS:", &p->rss))
		return -EBADMSG;
	return parse_size_row(text, "VmPTE:", &p->vmpte);
}

static void copy(char *to, size_t size, const char *from, size_t length)
{
	if (length >= size)
		length = size - 1;
	memcpy(to, from, length);
	to[length] = '\0';
}

/* Fields are counted as in proc(5), where the state is the third one. */
static const char *find_field(const char *state, int number)
{
	for (; state && number > 3; number--) {
		state = strchr(state, ' ');
		if (state)
			state++;
	}
	return state;
}

int parse_stat(const char *text, struct process *p, uint64_t *stack)
{
	/* A name may have any bytes; the last parenthesis is behind it. */
	const char *name = strchr(text, '(');
	const char *end = strrchr(text, ')');
	const char *field;

	if (!name || !end || end < name || end[1] != ' ')
		return -EBADMSG;
	copy(p->comm, sizeof(p->comm), name + 1, (size_t)(end - name) - 1);
	field = find_field(end + 2, 22);
	if (!field || !take_number(&field, &p->start))
		return -EBADMSG;
	field = find_field(end + 2, 28);
	if (!field || !take_number(&field, stack))
		return -EBADMSG;
	return 0;
}

void parse_cgroup(const char *text, struct process *p)
{
	const char *path = find_line(text, "0::");
	bool good = path && *path == '/';

	copy(p->cgroup, sizeof(p->cgroup), good ? path : "", good ? strcspn(path, "\n") : 0);
}

pid_t parse_pid(const char *text, char behind)
{
	uint64_t number;

	if (!is_digit(*text) || *text == '0' || !take_number(&text, &number) ||
	    *text != behind || number > PID_LIMIT)
		return 0;
	return (pid_t)number;
}
