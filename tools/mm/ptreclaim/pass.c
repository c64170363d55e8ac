// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pass.h"

#define CANDIDATES	1024

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static struct memory_limits limits(const struct config *config)
{
	return (struct memory_limits){
		.records = config->remember,
		.wait_min = config->backoff * NS_PER_SEC,
		.wait_max = config->backoff_max * NS_PER_SEC,
		.smaller = config->min_empty,
	};
}

int pass_init(struct pass *pass)
{
	const struct memory_limits most = limits(pass->config);

	if (memory_init(&pass->memory, &most))
		return -ENOMEM;
	if (candidates_init(&pass->candidates, CANDIDATES)) {
		memory_free(&pass->memory);
		return -ENOMEM;
	}
	budget_start(&pass->budget, clock_ns(CLOCK_MONOTONIC),
		     pass->config->cpu_burst * NS_PER_SEC);
	return 0;
}

int pass_configure(struct pass *pass, const struct config *config)
{
	const struct memory_limits most = limits(config);
	int ret = memory_resize(&pass->memory, &most);

	if (!ret)
		pass->config = config;
	return ret;
}

void pass_free(struct pass *pass)
{
	candidates_free(&pass->candidates);
	memory_free(&pass->memory);
}

/* A pass while it runs. */
struct run {
	struct pass *pass;
	struct pass_result *result;
	uint64_t now;		/* when it began */
	uint64_t cpu;		/* this thread's time up to which the budget was charged */
};

static void charge(struct run *run)
{
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	budget_spend(&run->pass->budget, cpu - run->cpu);
	run->result->cpu += cpu - run->cpu;
	run->cpu = cpu;
}

static int list_process(const struct process *p, void *arg)
{
	struct run *run = arg;
	struct pass *pass = run->pass;
	const struct config *config = pass->config;

	run->result->processes++;
	memory_met(&pass->memory, p, run->now);
	if (p->vmpte < config->min_vmpte || p->pid == getpid() ||
	    !rules_allow(config->rules, config->rule_count, p))
		return 0;
	if (memory_allows(&pass->memory, p, run->now))
		candidates_add(&pass->candidates, &(struct candidate){
			.pid = p->pid, .start = p->start, .vmpte = p->vmpte, .rss = p->rss,
		});
	else
		run->result->waiting++;
	return 0;
}

static int list(struct run *run, const char *cgroup)
{
	struct pass *pass = run->pass;
	int ret;

	memory_pass_begin(&pass->memory);
	pass->candidates.count = 0;
	if (cgroup) {
		ret = procs_cgroup(pass->procs, cgroup, pass->cancel, list_process, run,
				   &run->result->gone);
	} else {
		ret = procs_all(pass->procs, pass->cancel, list_process, run, &run->result->gone);
		if (!ret)
			memory_pass_end(&pass->memory);
	}
	candidates_by_vmpte(&pass->candidates);
	charge(run);
	return ret;
}

/* What became of a look that brought nothing. */
static int fruitless(struct run *run, const struct candidate *c, int ret)
{
	if (ret == -ECANCELED)
		return ret;
	if (ret == -ESRCH) {
		run->result->gone++;
		return 0;
	}
	if (ret == -EPERM || ret == -EACCES) {
		run->result->denied++;
	} else if (ret) {
		run->result->failed++;
		run->result->error = ret;
	}
	memory_looked(&run->pass->memory, c, c->vmpte, 0, run->now);
	return 0;
}

static int audit(struct run *run, struct candidate *c)
{
	const struct process p = { .pid = c->pid, .start = c->start };
	struct pass *pass = run->pass;
	struct ptreclaim_tables tables;
	int ret = procs_audit(pass->procs, &p, pass->cancel, &tables);

	run->result->audited += !ret;
	/*
	 * The upper bound: where it is too high, the process has to wait longer after each
	 * look; where the lower one is too low, nobody would ever look.
	 */
	if (ret || !tables.empty_max || tables.empty_max < pass->config->min_empty)
		return fruitless(run, c, ret);
	c->empty = tables.empty_max;
	return 0;
}

static int reclaim(struct run *run, const struct candidate *c)
{
	const struct process p = { .pid = c->pid, .start = c->start };
	struct pass *pass = run->pass;
	struct reclaimed done;
	uint64_t freed;
	int ret;

	if (pass->procs->captured) {
		run->result->found += c->empty;
		return fruitless(run, c, 0);
	}
	ret = procs_reclaim(pass->procs, &p, pass->cancel, &done);
	if (ret && ret != -ECANCELED)
		return fruitless(run, c, ret);
	freed = done.execed || done.after > done.before ? 0 : done.before - done.after;
	run->result->reclaimed++;
	run->result->bytes += freed;
	memory_looked(&pass->memory, c, done.after, freed >= pass->config->min_empty ? freed : 0,
		      run->now);
	return ret;
}

/* Leaves half of the time for reclaiming. What is not looked at now is so by the next pass. */
static int audit_all(struct run *run)
{
	struct pass *pass = run->pass;
	int64_t reserve = pass->budget.left / 2;
	size_t i;
	int ret = 0;

	for (i = 0; i < pass->candidates.count && !ret; i++) {
		if (pass->budget.left <= reserve) {
			run->result->cut = true;
			break;
		}
		ret = audit(run, &pass->candidates.list[i]);
		charge(run);
		pass->alive();
	}
	return ret;
}

static int reclaim_all(struct run *run)
{
	struct pass *pass = run->pass;
	size_t i;
	int ret = 0;

	candidates_by_empty(&pass->candidates);
	for (i = 0; i < pass->candidates.count && pass->candidates.list[i].empty && !ret; i++) {
		if (i && pass->budget.left <= 0) {
			run->result->cut = true;
			break;
		}
		ret = reclaim(run, &pass->candidates.list[i]);
		charge(run);
		pass->alive();
	}
	return ret;
}

static void count(struct metrics *m, enum trigger trigger, const struct pass_result *r, int ret)
{
	m->passes[trigger]++;
	m->passes_cut += r->cut;
	m->audited += r->audited;
	m->reclaimed += r->reclaimed;
	m->waiting += r->waiting;
	m->gone += r->gone;
	m->bytes += r->bytes;
	m->cpu += r->cpu;
	m->errors[ERROR_DENIED] += r->denied;
	m->errors[ERROR_PROCESS] += r->failed;
	m->errors[ERROR_LIST] += ret && ret != -ECANCELED;
	m->processes = r->processes;
	clock_gettime(CLOCK_REALTIME, &m->last_pass);
}

int pass_run(struct pass *pass, enum trigger trigger, const char *cgroup,
	     struct pass_result *result)
{
	struct run run = {
		.pass = pass,
		.result = result,
		.now = clock_ns(CLOCK_MONOTONIC),
		.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID),
	};
	int ret;

	*result = (struct pass_result){ .skipped = false };
	budget_fill(&pass->budget, run.now, (unsigned int)pass->config->cpu,
		    pass->config->cpu_burst * NS_PER_SEC);
	if (pass->budget.left <= 0) {
		result->skipped = true;
		pass->metrics.passes_skipped++;
		return 0;
	}
	ret = list(&run, cgroup);
	if (!ret)
		ret = audit_all(&run);
	if (!ret)
		ret = reclaim_all(&run);
	count(&pass->metrics, trigger, result, ret);
	pass->metrics.remembered = pass->memory.count;
	return ret;
}
