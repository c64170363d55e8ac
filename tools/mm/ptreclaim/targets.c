// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "parse.h"
#include "targets.h"

static void *grow(void *array, size_t count, size_t size)
{
	array = reallocarray(array, count + 1, size);
	if (!array)
		err(EXIT_FAILURE, "arguments");
	return array;
}

static void add_pid(struct targets *t, const char *text, const char *command)
{
	pid_t pid = parse_pid(text, '\0');

	if (!pid) {
		warnx("--pid %s: give the number of a process", text);
		try_help(command);
	}
	t->pids = grow(t->pids, t->pid_count, sizeof(*t->pids));
	t->pids[t->pid_count++] = pid;
}

static void add_cgroup(struct targets *t, const char *path, const char *command)
{
	if (*path != '/') {
		warnx("--cgroup %s: give the path within the hierarchy, as in /proc/PID/cgroup; "
		      "it begins with /", path);
		try_help(command);
	}
	t->cgroups = grow(t->cgroups, t->cgroup_count, sizeof(*t->cgroups));
	t->cgroups[t->cgroup_count++] = path;
}

void targets_option(struct targets *t, int letter, const char *argument, const char *command)
{
	switch (letter) {
	case 'p':
		add_pid(t, argument, command);
		break;
	case 'g':
		add_cgroup(t, argument, command);
		break;
	default:
		t->all = true;
	}
}

void targets_free(struct targets *t)
{
	free(t->pids);
	free(t->cgroups);
}

bool targets_name(const struct targets *t, pid_t pid)
{
	size_t i;

	for (i = 0; i < t->pid_count; i++)
		if (t->pids[i] == pid)
			return true;
	return false;
}

struct once {
	int (*visit)(const struct process *p, void *arg);
	void *arg;
	unsigned char *seen;	/* a bit for each pid */
};

static int visit_once(const struct process *p, void *arg)
{
	struct once *o = arg;
	unsigned char bit = 1U << p->pid % 8;
	unsigned char *byte = &o->seen[p->pid / 8];

	if (*byte & bit)
		return 0;
	*byte |= bit;
	return o->visit(p, o->arg);
}

static void report(struct targets *t, int error, const char *what)
{
	t->missing = true;
	errno = -error;
	warn("%s", what);
}

static int visit_pids(struct targets *t, const struct procs *procs, struct once *o)
{
	struct process p;
	char what[32];
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < t->pid_count; i++) {
		int error = procs_one(procs, t->pids[i], &p);

		snprintf(what, sizeof(what), "process %d", t->pids[i]);
		if (error) {
			report(t, error, what);
		} else if (!p.vmpte) {
			t->missing = true;
			warnx("%s has no memory of its own", what);
		} else {
			ret = visit_once(&p, o);
		}
	}
	return ret;
}

static int visit_cgroups(struct targets *t, const struct procs *procs, const volatile int *cancel,
			 struct once *o)
{
	uint64_t gone = 0;
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < t->cgroup_count; i++) {
		ret = procs_cgroup(procs, t->cgroups[i], cancel, visit_once, o, &gone);
		t->gone += gone;
		if (ret == -ENOENT || ret == -ENOTDIR) {
			report(t, ret, t->cgroups[i]);
			ret = 0;
		}
	}
	return ret;
}

int targets_visit(struct targets *t, const struct procs *procs, const volatile int *cancel,
		  int (*visit)(const struct process *p, void *arg), void *arg)
{
	struct once o = { .visit = visit, .arg = arg, .seen = calloc(PID_LIMIT / 8 + 1, 1) };
	int ret;

	if (!o.seen)
		return -ENOMEM;
	if (procs->cgroups < 0 && t->cgroup_count)
		warnx("there is no cgroup v2 hierarchy");
	if (t->all) {
		ret = procs_all(procs, cancel, visit_once, &o, &t->gone);
	} else {
		ret = visit_pids(t, procs, &o);
		if (!ret)
			ret = visit_cgroups(t, procs, cancel, &o);
	}
	free(o.seen);
	return ret;
}
