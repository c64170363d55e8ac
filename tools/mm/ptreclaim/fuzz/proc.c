// SPDX-License-Identifier: GPL-2.0
/*
 * The parsers of parse.c with any text, for libFuzzer. The first byte says which one; what it
 * finds has to keep to procs.h, and written down anew it has to be found again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../parse.h"
#include "../size.h"

#define SIZE_MOST	(UINT64_C(1) << 52)	/* bytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

/* The text alone in its memory: a byte too far is noticed. */
static char *copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

static void fuzz_status(const char *text)
{
	struct process p = { 0 };
	struct process again = { 0 };
	char anew[256];

	if (parse_status(text, &p))
		return;
	must(p.vmpte <= SIZE_MOST && p.rss <= SIZE_MOST);
	must(!(p.vmpte % 1024) && !(p.rss % 1024));
	snprintf(anew, sizeof(anew), "Uid:\t1\t%u\t3\t4\nVmRSS:\t%" PRIu64 " kB\nVmPTE:\t%" PRIu64
		 " kB\n", p.uid, p.rss / 1024, p.vmpte / 1024);
	must(!parse_status(anew, &again));
	must(p.uid == again.uid && p.rss == again.rss && p.vmpte == again.vmpte);
}

static void fuzz_stat(const char *text)
{
	struct process p = { 0 };
	struct process again = { 0 };
	uint64_t stack[2];
	char anew[512];

	if (parse_stat(text, &p, &stack[0]))
		return;
	must(strnlen(p.comm, sizeof(p.comm)) < sizeof(p.comm));
	snprintf(anew, sizeof(anew), "1 (%s) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 %"
		 PRIu64 " 23 24 25 26 27 %" PRIu64 "\n", p.comm, p.start, stack[0]);
	must(!parse_stat(anew, &again, &stack[1]));
	must(p.start == again.start && stack[0] == stack[1] && !strcmp(p.comm, again.comm));
}

static void fuzz_cgroup(const char *text)
{
	struct process p;

	memset(&p, 'x', sizeof(p));
	parse_cgroup(text, &p);
	must(strnlen(p.cgroup, sizeof(p.cgroup)) < sizeof(p.cgroup));
	must(!*p.cgroup || *p.cgroup == '/');
	must(!strchr(p.cgroup, '\n'));
}

static void fuzz_pid(const char *text)
{
	pid_t pid = parse_pid(text, '\0');
	char anew[16];

	must(pid >= 0 && pid <= PID_LIMIT);
	snprintf(anew, sizeof(anew), "%d", pid);
	must(!pid || !strcmp(text, anew));
}

static void fuzz_size(const char *text)
{
	char formatted[SIZE_TEXT];
	uint64_t bytes = 17;
	int ret = size_parse(text, &bytes);

	must(!ret || ret == -EINVAL || ret == -ERANGE);
	must(!ret || bytes == 17);
	size_format(bytes, formatted);
	must(strlen(formatted) < SIZE_TEXT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text) = {
		fuzz_status, fuzz_stat, fuzz_cgroup, fuzz_pid, fuzz_size,
	};
	char *text;

	if (!size)
		return 0;
	text = copy(data + 1, size - 1);
	parsers[*data % (sizeof(parsers) / sizeof(*parsers))](text);
	free(text);
	return 0;
}
