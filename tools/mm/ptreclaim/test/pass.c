// SPDX-License-Identifier: GPL-2.0
/* Passes over processes that are made up, with made-up clocks: who is looked at, when, and why. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../../lib/ptreclaim/test/tap.h"
#include "../pass.h"

#define MIB	(UINT64_C(1) << 20)
#define SEC	NS_PER_SEC
#define MS	(SEC / 1000)

static struct fake {
	uint64_t vmpte;		/* MiB */
	uint64_t empty;
	uint64_t stays;		/* of EMPTY, as it was an estimate */
	uint64_t shrunk;	/* VmRSS, by so many MiB */
	const char *cgroup;
	pid_t pid;
	int audit_error;
	int reclaim_error;
	bool execed;
	bool stops;		/* a signal comes while it is audited, or */
	bool stops_later;	/* while it is reclaimed */
} fakes[8];

static uint64_t now, cpu;
static uint64_t audit_cost, reclaim_cost;
static volatile int cancel;
static int list_error;
static int alives;
static char done[256];		/* what was done, in order */
static struct config config;
static struct procs procs;
static struct pass pass;
static struct pass_result result;

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	uint64_t ns = clock == CLOCK_THREAD_CPUTIME_ID ? cpu : now;

	*t = (struct timespec){ (time_t)(ns / SEC), (long)(ns % SEC) };
	return 0;
}

static int visit_fakes(const char *cgroup, const volatile int *stop,
		       int (*visit)(const struct process *p, void *arg), void *arg)
{
	struct fake *f;
	int ret;

	for (f = fakes; f->pid; f++) {
		struct process p = {
			.pid = f->pid, .start = 1, .vmpte = f->vmpte * MIB,
			.rss = (100 - f->shrunk) * MIB,
		};

		snprintf(p.cgroup, sizeof(p.cgroup), "%s", f->cgroup ? f->cgroup : "/");
		if (*stop)
			return -ECANCELED;
		if (cgroup && strcmp(cgroup, p.cgroup) != 0)
			continue;
		ret = visit(&p, arg);
		if (ret)
			return ret;
	}
	return list_error;
}

int procs_all(const struct procs *of, const volatile int *stop,
	      int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone)
{
	*gone += of != &procs;
	return visit_fakes(NULL, stop, visit, arg);
}

int procs_cgroup(const struct procs *of, const char *path, const volatile int *stop,
		 int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone)
{
	*gone += of != &procs;
	return visit_fakes(path, stop, visit, arg);
}

static struct fake *find(const struct process *p, char what)
{
	struct fake *f = fakes;

	while (f->pid != p->pid)
		f++;
	snprintf(done + strlen(done), sizeof(done) - strlen(done), " %c%d", what, p->pid);
	return f;
}

int procs_audit(const struct procs *of, const struct process *p, const volatile int *stop,
		struct ptreclaim_tables *tables)
{
	struct fake *f = find(p, 'a');

	cpu += audit_cost;
	*tables = (struct ptreclaim_tables){ .empty_max = f->empty * MIB };
	cancel = f->stops;
	if (*stop)
		return -ECANCELED;
	return of == &procs && p->start == 1 ? f->audit_error : -EINVAL;
}

int procs_reclaim(const struct procs *of, const struct process *p, const volatile int *stop,
		  struct reclaimed *reclaimed)
{
	struct fake *f = find(p, 'r');

	cpu += reclaim_cost;
	*reclaimed = (struct reclaimed){ .before = f->vmpte * MIB, .execed = f->execed };
	f->vmpte -= f->empty - f->stays;
	f->empty = 0;
	reclaimed->after = f->vmpte * MIB;
	cancel = f->stops_later;
	if (*stop)
		return -ECANCELED;
	return of == &procs && p->start == 1 ? f->reclaim_error : -EINVAL;
}

static void alive(void)
{
	alives++;
}

/* 2 s of processor time to begin with, 5 % from then on. */
static void begin(const struct fake *list, size_t count)
{
	memset(fakes, 0, sizeof(fakes));
	memcpy(fakes, list, count * sizeof(*list));
	config = (struct config){
		.cpu = 5, .cpu_burst = 2, .min_vmpte = 4 * MIB, .min_empty = MIB, .backoff = 30,
		.backoff_max = 3600, .remember = 100,
	};
	procs = (struct procs){ .captured = false };
	pass_free(&pass);
	pass = (struct pass){
		.procs = &procs, .config = &config, .cancel = &cancel, .alive = alive,
	};
	now = 1000 * SEC;
	cpu = 5 * SEC;
	audit_cost = MS;
	reclaim_cost = MS;
	cancel = 0;
	list_error = 0;
	alives = 0;
	if (pass_init(&pass))
		_exit(1);
}

/* A process: its number, its page tables and those of them that are empty, in MiB; more. */
#define P(number, tables, none, ...) \
	(struct fake){ .pid = number, .vmpte = tables, .empty = none, __VA_ARGS__ }

#define BEGIN(...) begin((const struct fake[]){ __VA_ARGS__ }, \
			 sizeof((struct fake[]){ __VA_ARGS__ }) / sizeof(struct fake))

static bool does(int ret, const char *what)
{
	int got;

	done[0] = '\0';
	got = pass_run(&pass, TRIGGER_PRESSURE, NULL, &result);
	if (got == ret && !strcmp(done, what))
		return true;
	printf("# returned %d and did%s\n", got, done);
	return false;
}

static void order(void)
{
	BEGIN(P(1, 10, 5), P(2, 30, 1), P(3, 20, 9), P(4, 3, 3), P(5, 40, 0));
	ok(does(0, " a5 a2 a3 a1 r3 r1 r2"), "the largest first, then those with most to free");
	ok(result.processes == 5 && result.audited == 4 && result.reclaimed == 3 && alives == 7 &&
	   result.bytes == 15 * MIB && result.cpu == 7 * MS && !result.cut && !result.skipped,
	   "which is counted");
	ok(pass.metrics.passes[TRIGGER_PRESSURE] == 1 && pass.metrics.bytes == 15 * MIB &&
	   pass.metrics.cpu == 7 * MS && pass.metrics.last_pass.tv_sec == 1000 &&
	   pass.metrics.remembered == 4 && pass.metrics.processes == 5, "in the metrics, too");
	ok(does(0, "") && result.waiting == 4, "all are left alone after that");
	now += 30 * SEC;
	fakes[0] = P(1, 10, 5);
	fakes[1].empty = 2;
	ok(does(0, " a5 a2 a3 r2") && result.waiting == 1, "those that came back, for longer");
	now += 30 * SEC;
	ok(does(0, " a2 a1 r1") && result.waiting == 2, "and then again");
}

static void limits(void)
{
	BEGIN(P(1, 4, 1), P(2, 3, 3));
	config.min_vmpte = 4 * MIB;
	ok(does(0, " a1 r1"), "as much as is asked for is enough");
	BEGIN(P(1, 10, 0));
	config.min_empty = 0;
	ok(does(0, " a1") && does(0, "") && result.waiting == 1, "nothing is not");
	BEGIN(P(1, 10, 0));
	does(0, " a1");
	fakes[0].shrunk = 1;
	ok(does(0, " a1"), "unless the process becomes smaller");
	BEGIN(P(1, 10, 0));
	config.min_empty = 2 * MIB;
	does(0, " a1");
	fakes[0] = P(1, 10, 5, .stays = 4);
	now += 30 * SEC;
	does(0, " a1 r1");
	now += 30 * SEC;
	ok(does(0, ""), "nor is little, where the estimate was more");
	BEGIN(P(getpid(), 10, 10), P(1, 10, 10));
	ok(does(0, " a1 r1"), "the daemon itself is left out");
	BEGIN(P(1, 10, 5, .cgroup = "/a"), P(2, 10, 5, .cgroup = "/b"));
	config.rules[0] = (struct rule){ RULE_CGROUP, true, 0, (char *)"/a" };
	config.rule_count = 1;
	ok(does(0, " a2 r2"), "so are those that rules exclude");
}

/* For an hour. */
static void leave_alone(void)
{
	config.backoff = 3600;
	if (pass_configure(&pass, &config))
		_exit(1);
}

static void budgets(void)
{
	BEGIN(P(1, 50, 5), P(2, 40, 6), P(3, 30, 7), P(4, 20, 8));
	leave_alone();
	audit_cost = 600 * MS;
	reclaim_cost = 500 * MS;
	ok(does(0, " a1 a2 r2 r1") && result.cut && pass.metrics.passes_cut == 1,
	   "half of the time is for reclaiming");
	ok(does(0, "") && result.skipped && pass.metrics.passes_skipped == 1 &&
	   pass.metrics.passes[TRIGGER_PRESSURE] == 1, "without time there is no pass");
	now += 5 * SEC;
	ok(does(0, " a3 r3") && result.cut, "a little time is for the first of the others");
	now += 15 * SEC;
	ok(does(0, "") && result.skipped, "and leaves a debt");
	now += 10 * SEC;
	ok(does(0, " a4 r4") && !result.cut, "then the next one");
	BEGIN(P(1, 50, 5), P(2, 40, 6), P(3, 30, 7));
	leave_alone();
	reclaim_cost = 2 * SEC;
	ok(does(0, " a1 a2 a3 r3") && result.cut, "the rest is for the next pass");
	now += 60 * SEC;
	ok(does(0, " a1 a2 r2") && result.cut, "which begins with them");
}

static void failures(void)
{
	BEGIN(P(1, 50, 5, .audit_error = -ESRCH), P(2, 40, 6, .audit_error = -EACCES),
	      P(3, 30, 7, .audit_error = -EIO), P(4, 20, 8, .reclaim_error = -ESRCH),
	      P(5, 19, 8, .reclaim_error = -EPERM), P(6, 18, 8, .execed = true),
	      P(7, 17, 8));
	ok(does(0, " a1 a2 a3 a4 a5 a6 a7 r4 r5 r6 r7"), "an error is no reason to leave out others");
	ok(result.gone == 2 && result.denied == 2 && result.failed == 1 && result.error == -EIO &&
	   result.reclaimed == 2 && result.bytes == 8 * MIB && pass.metrics.gone == 2 &&
	   pass.metrics.errors[ERROR_DENIED] == 2 && pass.metrics.errors[ERROR_PROCESS] == 1,
	   "each is counted");
	ok(does(0, " a1 a4") && result.waiting == 5,
	   "those that failed are left alone, those gone may come back");
	BEGIN(P(1, 50, 5));
	list_error = -EMFILE;
	ok(does(-EMFILE, "") && pass.metrics.errors[ERROR_LIST] == 1, "an error of the list ends it");
}

static void stops(void)
{
	BEGIN(P(1, 50, 5), P(2, 40, 5, .stops = true), P(3, 30, 5));
	ok(does(-ECANCELED, " a1 a2") && !pass.metrics.errors[ERROR_LIST], "a signal ends a pass");
	cancel = 1;
	ok(does(-ECANCELED, "") && !result.processes, "or keeps it from beginning");
	cancel = 0;
	fakes[1].stops = false;
	ok(does(0, " a1 a2 a3 r1 r2 r3"), "which is held against no process");
	BEGIN(P(1, 50, 5, .stops_later = true), P(2, 40, 5));
	ok(does(-ECANCELED, " a1 a2 r1") && result.bytes == 5 * MIB && result.reclaimed == 1,
	   "what was freed until then is counted");
}

static void others(void)
{
	BEGIN(P(1, 50, 5, .cgroup = "/a"), P(2, 40, 5, .cgroup = "/b"));
	does(0, " a1 a2 r1 r2");
	done[0] = '\0';
	now += 3600 * SEC;
	fakes[0].empty = 5;
	fakes[1].empty = 5;
	ok(!pass_run(&pass, TRIGGER_CGROUP, "/b", &result) && !strcmp(done, " a2 r2") &&
	   result.processes == 1 && pass.metrics.passes[TRIGGER_CGROUP] == 1, "a cgroup's processes");
	ok(pass.memory.count == 2, "the others are not forgotten");
	fakes[0] = fakes[1];
	fakes[1].pid = 0;
	ok(does(0, "") && pass.memory.count == 1, "until they have exited");

	BEGIN(P(1, 50, 5), P(2, 40, 6));
	procs.captured = true;
	ok(does(0, " a1 a2") && result.found == 11 * MIB && !result.bytes && !result.reclaimed,
	   "processes of a captured tree are only looked at");
}

static void new_configuration(void)
{
	struct config new;

	BEGIN(P(1, 50, 5), P(2, 3, 2));
	does(0, " a1 r1");
	new = config;
	new.min_vmpte = 0;
	ok(!pass_configure(&pass, &new) && does(0, " a2 r2") && result.waiting == 1,
	   "a new configuration, and nothing forgotten");
	pass.config = &config;
}

int main(void)
{
	plan(32);
	order();
	limits();
	budgets();
	failures();
	stops();
	others();
	new_configuration();
	pass_free(&pass);
	return finish();
}
