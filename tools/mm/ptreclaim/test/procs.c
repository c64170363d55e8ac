// SPDX-License-Identifier: GPL-2.0
/* procs.c with this machine's processes: that it means the one that was seen, and no other. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../../../lib/ptreclaim/test/procs.h"
#include "../../../lib/ptreclaim/test/tap.h"
#include "../procs.h"

static struct procs procs;
static struct process me;

static int see(const struct process *p, void *arg)
{
	if (p->pid == getpid())
		me = *p;
	return *(int *)arg;
}

static void nothing(int number)
{
	(void)number;
}

/* Whatever is wrong about it, nothing is done, and nothing counts as an error of the system. */
static bool is_gone(const struct process *p)
{
	struct ptreclaim_tables tables;
	struct reclaimed done;

	return procs_audit(&procs, p, NULL, &tables) == -ESRCH &&
	       procs_reclaim(&procs, p, NULL, &done) == -ESRCH && !done.result.calls;
}

static void test_walk(void)
{
	int cancel = 1;
	int stop = 0;
	uint64_t gone;

	ok(!procs_all(&procs, NULL, see, &stop, &gone) && me.pid == getpid() &&
	   me.uid == geteuid() && me.vmpte && me.rss && me.start && !strcmp(me.comm, "procs"),
	   "finds itself");
	stop = 7;
	ok(procs_all(&procs, NULL, see, &stop, NULL) == 7, "ends with what the visitor says");
	ok(procs_all(&procs, &cancel, see, &stop, NULL) == -ECANCELED, "is cancelled");
	ok(procs_cgroup(&procs, "/nothing/there", NULL, see, &stop, NULL) == -ENOENT &&
	   procs_cgroup(&procs, "relative", NULL, see, &stop, NULL) == -ENOENT, "no cgroup");
}

static void test_same(void)
{
	struct ptreclaim_tables tables;
	struct process other = me;
	struct child c;
	int cancel = 1;

	ok(!procs_audit(&procs, &me, NULL, &tables) && tables.vmpte, "audits itself");
	ok(procs_audit(&procs, &me, &cancel, &tables) == -ECANCELED, "not once it is cancelled");
	other.start++;
	ok(is_gone(&other), "a process that has the pid now is not the one that was seen");

	c = child_start(nothing);
	child_step(&c);
	ok(!procs_one(&procs, c.pid, &other) && other.vmpte && !strcmp(other.comm, "procs"),
	   "a child");
	child_kill(&c);
	ok(is_gone(&other), "a zombie");
	child_reap(&c);
	ok(is_gone(&other) && procs_one(&procs, c.pid, &other) == -ESRCH, "one that is no more");
}

static void test_captured(void)
{
	struct procs captured;
	struct reclaimed done;
	struct process p;
	int stop = 7;

	ok(!procs_open(&captured, "/") && captured.captured &&
	   !procs_one(&captured, getpid(), &p) && p.start == me.start, "a tree somewhere");
	ok(procs_reclaim(&captured, &p, NULL, &done) == -EROFS, "is not to be reclaimed");
	/* Any folders will do: none has a list of processes. */
	close(captured.cgroups);
	captured.cgroups = open("/etc", O_RDONLY | O_DIRECTORY);
	ok(!procs_cgroup(&captured, "/", NULL, see, &stop, NULL), "folders without processes");
	procs_close(&captured);
	ok(procs_open(&captured, "/nowhere") == -ENOENT &&
	   procs_open(&captured, "/dev") == -ENOENT, "no tree");
}

int main(void)
{
	int files;

	plan(15);
	if (procs_open(&procs, NULL))
		TAP_BAIL("/proc");
	files = open_files();
	test_walk();
	test_same();
	test_captured();
	ok(open_files() == files + 3, "files are closed, but for the child's");
	return finish();
}
