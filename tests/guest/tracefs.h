/* SPDX-License-Identifier: GPL-2.0 */
/* Events of the kernel, in the order in which they happened. They end the program on error. */
#ifndef GUEST_TRACEFS_H
#define GUEST_TRACEFS_H

#include <err.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACEFS	"/sys/kernel/tracing/"

struct trace_event {
	int pid;
	const char *name;
	const char *fields;
};

/* Adds to FILE, where it is one to which can be added. */
__attribute__((format(printf, 2, 3)))
static inline void trace_write(const char *file, const char *format, ...)
{
	char path[256], text[256];
	va_list arguments;
	int fd, len;

	va_start(arguments, format);
	len = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != len)
		err(1, "%s: %s", path, text);
	close(fd);
}

static inline void trace_clear(const char *file)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	close(fd);
}

/* An empty buffer, and a clock that gives each event of any CPU a number of its own. */
static inline void trace_start(void)
{
	trace_clear("trace");
	trace_write("trace_clock", "counter");
	trace_write("tracing_on", "1");
}

/* COMM-PID [CPU] FLAGS NUMBER: NAME: FIELDS */
static inline int trace_parse(char *line, struct trace_event *event)
{
	char *cpu = strstr(line, " ["), *name, *end;
	unsigned long kept, written;

	if (sscanf(line, "# entries-in-buffer/entries-written: %lu/%lu", &kept, &written) == 2 &&
	    kept != written)
		errx(1, "the trace buffer is too small for %lu events", written);
	if (*line == '#' || *line == '\n')
		return 0;
	name = cpu ? strstr(cpu, ": ") : NULL;
	end = name ? strstr(name + 2, ": ") : NULL;
	if (!end)
		errx(1, "no event: %s", line);
	while (*cpu != '-')
		cpu--;
	event->pid = atoi(cpu + 1);
	*end = '\0';
	event->name = name + 2;
	event->fields = end + 2;
	return 1;
}

static inline void trace_stop(void (*take)(const struct trace_event *event, void *data), void *data)
{
	struct trace_event event;
	char *line = NULL;
	size_t size = 0;
	FILE *file;

	trace_write("tracing_on", "0");
	file = fopen(TRACEFS "trace", "re");
	if (!file)
		err(1, TRACEFS "trace");
	while (getline(&line, &size, file) > 0)
		if (trace_parse(line, &event))
			take(&event, data);
	free(line);
	fclose(file);
}

/* The number behind NAME, a field as in "name=". */
static inline long long trace_field(const struct trace_event *event, const char *name)
{
	const char *field = strstr(event->fields, name);

	if (!field)
		errx(1, "%s has no field %s: %s", event->name, name, event->fields);
	return strtoll(field + strlen(name), NULL, 0);
}

#endif
