// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "journal.h"
#include "size.h"

/* JOURNAL_STREAM is inherited by programs whose standard error goes elsewhere: it has to fit. */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat st;

	return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
	       !fstat(2, &st) && st.st_dev == device && st.st_ino == inode;
}

void say(int priority, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (to_journal())
		sd_journal_print(priority, "%s", text);
	else
		fprintf(stderr, "ptreclaim daemon: %s\n", text);
}

__attribute__((format(printf, 3, 4)))
static void append(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, size - length, format, args);
	va_end(args);
}

static void describe(char *text, size_t size, enum trigger trigger, const char *cgroup,
		     const struct pass_result *r)
{
	char bytes[SIZE_TEXT], found[SIZE_TEXT];

	size_format(r->bytes, bytes);
	size_format(r->found, found);
	text[0] = '\0';
	append(text, size, "%s%s%s: ", trigger_name(trigger), cgroup ? " of " : "",
	       cgroup ? cgroup : "");
	if (r->skipped) {
		append(text, size, "no processor time left");
		return;
	}
	append(text, size, "%s of page tables freed in %" PRIu64 " of %" PRIu64 " processes, %" PRIu64
	       " audited, %" PRIu64 " ms of CPU", bytes, r->reclaimed, r->processes, r->audited,
	       r->cpu / 1000000);
	if (r->found)
		append(text, size, ", %s could be freed", found);
	if (r->cut)
		append(text, size, ", out of processor time");
	if (r->denied)
		append(text, size, ", %" PRIu64 " denied", r->denied);
	if (r->failed)
		append(text, size, ", %" PRIu64 " failed: %s", r->failed, strerror(-r->error));
}

void say_pass(enum trigger trigger, const char *cgroup, const struct pass_result *result,
	      bool always)
{
	int priority = result->failed ? LOG_WARNING : LOG_INFO;
	char text[512];

	if (!always && !result->reclaimed && !result->denied && !result->failed)
		return;
	describe(text, sizeof(text), trigger, cgroup, result);
	if (!to_journal()) {
		say(priority, "%s", text);
		return;
	}
	sd_journal_send("MESSAGE=%s", text, "PRIORITY=%d", priority,
			"PTRECLAIM_TRIGGER=%s", trigger_name(trigger),
			"PTRECLAIM_CGROUP=%s", cgroup ? cgroup : "",
			"PTRECLAIM_PROCESSES=%" PRIu64, result->processes,
			"PTRECLAIM_AUDITED=%" PRIu64, result->audited,
			"PTRECLAIM_RECLAIMED=%" PRIu64, result->reclaimed,
			"PTRECLAIM_BYTES=%" PRIu64, result->bytes,
			"PTRECLAIM_CPU_NS=%" PRIu64, result->cpu, NULL);
}
