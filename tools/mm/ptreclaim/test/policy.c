// SPDX-License-Identifier: GPL-2.0
/* The daemon's decisions, with a made-up clock. */
#include <string.h>

#include "../../../lib/ptreclaim/test/tap.h"
#include "../policy.h"

#define MIB	(UINT64_C(1) << 20)
#define SEC	NS_PER_SEC
#define WAIT	(10 * SEC)
#define WAIT_MAX (80 * SEC)
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct rule cgroup(const char *pattern, bool exclude)
{
	return (struct rule){ RULE_CGROUP, exclude, 0, (char *)pattern };
}

static struct rule command(const char *pattern, bool exclude)
{
	return (struct rule){ RULE_COMMAND, exclude, 0, (char *)pattern };
}

static struct rule user(uid_t uid, bool exclude)
{
	return (struct rule){ RULE_USER, exclude, uid, NULL };
}

static struct process process(const char *path, uid_t uid, const char *comm)
{
	struct process p = { .pid = 1, .uid = uid };

	snprintf(p.cgroup, sizeof(p.cgroup), "%s", path);
	snprintf(p.comm, sizeof(p.comm), "%s", comm);
	return p;
}

static bool allowed(struct rule rule, const char *path, uid_t uid, const char *comm)
{
	struct process p = process(path, uid, comm);

	return rules_allow(&rule, 1, &p);
}

static void cgroup_rules(void)
{
	static const struct {
		const char *pattern, *path;
		bool matches;
	} cases[] = {
		{ "/system.slice", "/system.slice", true },
		{ "/system.slice", "/system.slice/redis.service", true },
		{ "/system.slice", "/system.slice/a/b/c", true },
		{ "/system.slice", "/system.slices", false },
		{ "/system.slice", "/system", false },
		{ "/system.slice", "/user.slice/system.slice", false },
		{ "/system.slice", "/", false },
		{ "/system.slice", "", false },
		{ "/*/redis.service", "/system.slice/redis.service", true },
		{ "/*/redis.service", "/system.slice/redis.service/worker", true },
		{ "/*/redis.service", "/a/b/redis.service", false },
		{ "/pods/pod[0-9]", "/pods/pod7/x", true },
		{ "/pods/pod[0-9]", "/pods/podx", false },
		{ "/a\\x2db.scope", "/a\\x2db.scope", true },
		{ "/a\\x2db.scope", "/ax2db.scope", false },
		{ "", "/", true },
		{ "", "/a/b", true },
	};
	bool good = true;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		if (allowed(cgroup(cases[i].pattern, false), cases[i].path, 0, "a") != cases[i].matches ||
		    allowed(cgroup(cases[i].pattern, true), cases[i].path, 0, "a") == cases[i].matches) {
			printf("# %s and %s\n", cases[i].pattern, cases[i].path);
			good = false;
		}
	}
	ok(good, "a cgroup's pattern goes for it and all below");
}

static void other_rules(void)
{
	ok(allowed(command("redis-*", false), "/", 0, "redis-server") &&
	   !allowed(command("redis-*", false), "/", 0, "my-redis-server") &&
	   !allowed(command("redis", false), "/", 0, "redis-server") &&
	   allowed(command("a\n*", false), "/", 0, "a\nb/c"), "a pattern for the whole command");
	ok(allowed(user(7, false), "/", 7, "a") && !allowed(user(7, false), "/", 70, "a") &&
	   !allowed(user(0, true), "/", 0, "a"), "a user");
}

static void rules_together(void)
{
	const struct rule rules[] = {
		cgroup("/a", false), cgroup("/b", false), user(1, false), cgroup("/a/not", true),
		command("sh", true),
	};
	const struct process first = process("/a/x", 1, "x"), second = process("/b", 1, "x");
	const struct process elsewhere = process("/c", 1, "x"), other_user = process("/a", 2, "x");
	const struct process excluded = process("/a/not/x", 1, "x"), shell = process("/a", 1, "sh");

	ok(rules_allow(NULL, 0, &first), "all without a rule");
	ok(rules_allow(rules, COUNT(rules), &first) && rules_allow(rules, COUNT(rules), &second),
	   "one rule of a field is enough");
	ok(!rules_allow(rules, COUNT(rules), &elsewhere) &&
	   !rules_allow(rules, COUNT(rules), &other_user), "each field has to match");
	ok(!rules_allow(rules, COUNT(rules), &excluded) &&
	   !rules_allow(rules, COUNT(rules), &shell), "what excludes wins");
	ok(rules_allow(rules + 3, 2, &elsewhere) && !rules_allow(rules + 3, 2, &shell),
	   "rules to exclude only");
}

static void budgets(void)
{
	struct budget b;

	budget_start(&b, 100 * SEC, 2 * SEC);
	ok(b.left == 2 * (int64_t)SEC, "a budget starts full");
	budget_spend(&b, SEC);
	budget_fill(&b, 110 * SEC, 5, 2 * SEC);
	ok(b.left == (int64_t)(SEC + SEC / 2), "5 %% of 10 s come in");
	budget_fill(&b, 1000 * SEC, 5, 2 * SEC);
	ok(b.left == 2 * (int64_t)SEC, "no more than the burst is saved up");
	budget_spend(&b, 3 * SEC);
	budget_fill(&b, 1010 * SEC, 5, 2 * SEC);
	ok(b.left == -(int64_t)SEC / 2, "what was spent too much is a debt");
	budget_fill(&b, 1020 * SEC, 5, SEC / 10);
	ok(!b.left, "which is paid first");
	budget_fill(&b, 1020 * SEC + SEC, 5, SEC / 10);
	budget_fill(&b, 1030 * SEC, 5, SEC / 10);
	ok(b.left == (int64_t)SEC / 10, "a smaller burst holds at once");
	budget_fill(&b, UINT64_C(1) << 62, 100, 3600 * SEC);
	ok(b.left == 3600 * (int64_t)SEC, "a century without a pass");
}

/* VmPTE of 1 .. COUNT in an order that is neither, each twice. */
static bool largest(size_t count, size_t capacity)
{
	struct candidates c;
	bool good;
	size_t i;

	if (candidates_init(&c, capacity))
		return false;
	for (i = 0; i < 2 * count; i++) {
		uint64_t size = i * 7 % count + 1;

		candidates_add(&c, &(struct candidate){ .pid = (pid_t)i + 1, .vmpte = size,
							.empty = count - size });
	}
	candidates_by_vmpte(&c);
	good = c.count == (2 * count < capacity ? 2 * count : capacity);
	for (i = 0; i < c.count; i++)
		good = good && c.list[i].vmpte == count - i / 2 &&
		       (!(i & 1) || c.list[i].pid > c.list[i - 1].pid);
	candidates_by_empty(&c);
	for (i = 1; i < c.count; i++)
		good = good && c.list[i].empty <= c.list[i - 1].empty;
	candidates_free(&c);
	return good;
}

static const struct memory_limits limits = { 4, WAIT, WAIT_MAX, MIB };

static struct process met_process(pid_t pid, uint64_t start, uint64_t vmpte)
{
	return (struct process){ .pid = pid, .start = start, .vmpte = vmpte, .rss = 100 * MIB };
}

static bool allows(const struct memory *m, pid_t pid, uint64_t start, uint64_t now)
{
	const struct process p = met_process(pid, start, 0);

	return memory_allows(m, &p, now);
}

static void met(struct memory *m, pid_t pid, uint64_t start, uint64_t vmpte, uint64_t now)
{
	const struct process p = met_process(pid, start, vmpte);

	memory_met(m, &p, now);
}

static void looked(struct memory *m, pid_t pid, uint64_t start, uint64_t freed, uint64_t now)
{
	const struct candidate c = { .pid = pid, .start = start, .rss = 100 * MIB };

	memory_looked(m, &c, MIB, freed, now);
}

/* Met in a pass of its own, as the daemon does it. */
static bool meet(struct memory *m, uint64_t vmpte, uint64_t now)
{
	memory_pass_begin(m);
	met(m, 1, 1, vmpte, now);
	memory_pass_end(m);
	return allows(m, 1, 1, now);
}

/* When it may be looked at again, if it has VmPTE at each pass; there is one a second. */
static uint64_t until_allowed(struct memory *m, uint64_t vmpte, uint64_t now)
{
	uint64_t waited;

	for (waited = 0; !meet(m, vmpte, now + waited * SEC); waited++)
		if (waited > 10000)
			break;
	return waited;
}

static void waits(void)
{
	struct memory m;
	uint64_t now = 1000 * SEC;

	if (!ok(!memory_init(&m, &limits), "a memory"))
		return;
	ok(meet(&m, 10 * MIB, now), "a new process is looked at");
	looked(&m, 1, 1, 9 * MIB, now);
	ok(!meet(&m, 10 * MIB, now + WAIT - 1), "and then not for a while");

	ok(until_allowed(&m, 10 * MIB, now) == 20, "twice as long if all comes back");
	now += 20 * SEC;
	looked(&m, 1, 1, 9 * MIB, now);
	ok(until_allowed(&m, MIB + 9 * MIB / 2, now) == 40, "or half of it");
	now += 40 * SEC;
	looked(&m, 1, 1, 9 * MIB, now);
	ok(until_allowed(&m, 10 * MIB, now) == 80, "twice again");
	now += 80 * SEC;
	looked(&m, 1, 1, 9 * MIB, now);
	ok(until_allowed(&m, 10 * MIB, now) == 80, "up to the maximum");
	now += 80 * SEC;
	looked(&m, 1, 1, 9 * MIB, now);
	ok(until_allowed(&m, MIB + 9 * MIB / 2 - 1, now) == 80, "less than half came back");
	now += 80 * SEC;
	looked(&m, 1, 1, 9 * MIB, now);
	ok(until_allowed(&m, 0, now) == 40, "half as long then");
	now += 40 * SEC;
	looked(&m, 1, 1, 0, now);
	ok(until_allowed(&m, MIB, now) == 40, "twice as long if there was nothing");
	now += 40 * SEC;
	looked(&m, 1, 1, MIB, now);
	ok(until_allowed(&m, MIB, now) == 40, "it is judged when the time is over");
	now += 40 * SEC;
	looked(&m, 1, 1, MIB, now);
	until_allowed(&m, MIB, now);
	now += 20 * SEC;
	looked(&m, 1, 1, MIB, now);
	until_allowed(&m, MIB, now);
	now += 20 * SEC;
	looked(&m, 1, 1, MIB, now);
	ok(until_allowed(&m, MIB, now) == 10, "and down to the minimum");
	memory_free(&m);
}

/* It had nothing to free. */
static void smaller(void)
{
	const uint64_t now = 1000 * SEC;
	struct process p = met_process(1, 1, MIB);
	struct memory m;

	if (memory_init(&m, &limits))
		return;
	looked(&m, 1, 1, 0, now);
	p.rss -= MIB - 1;
	memory_met(&m, &p, now + SEC);
	ok(!memory_allows(&m, &p, now + SEC), "a process that is a little smaller");
	p.rss--;
	memory_met(&m, &p, now + SEC);
	ok(memory_allows(&m, &p, now + SEC), "one that is smaller is looked at anew");
	looked(&m, 1, 1, 0, now + SEC);
	p.rss += 10 * MIB;
	ok(until_allowed(&m, MIB, now + SEC) == 10, "and then left alone for the least time");
	looked(&m, 1, 1, MIB, now + 11 * SEC);
	p.rss = 0;
	memory_met(&m, &p, now + 12 * SEC);
	ok(!memory_allows(&m, &p, now + 12 * SEC), "one that was reclaimed has to wait");
	memory_free(&m);
}

static void forgetting(void)
{
	const struct memory_limits three = { 3, WAIT, WAIT_MAX, MIB }, one = { 1, WAIT, WAIT_MAX, MIB };
	const struct memory_limits shorter = { 2, 2 * SEC, 4 * SEC, MIB };
	const uint64_t now = 1000 * SEC;
	struct memory m;
	pid_t pid;

	if (!ok(!memory_init(&m, &three), "a memory of three"))
		return;
	memory_pass_begin(&m);
	for (pid = 1; pid <= 3; pid++)
		looked(&m, 4 - pid, 1, MIB, now + (uint64_t)pid);
	ok(m.count == 3 && !allows(&m, 1, 1, now + SEC) && !allows(&m, 2, 1, now + SEC) &&
	   !allows(&m, 3, 1, now + SEC), "it holds three");
	ok(allows(&m, 2, 2, now + SEC), "another process of the same pid");
	looked(&m, 9, 1, MIB, now + 9);
	ok(m.count == 3 && allows(&m, 3, 1, now + SEC) && !allows(&m, 9, 1, now + SEC),
	   "a fourth takes the place of the one looked at first");
	looked(&m, 2, 2, MIB, now + 10);
	ok(m.count == 3 && allows(&m, 2, 1, now + SEC) && !allows(&m, 2, 2, now + SEC),
	   "the pid's new process takes the place of the old one");
	memory_pass_begin(&m);
	met(&m, 9, 1, 0, now + SEC);
	met(&m, 2, 2, 0, now + SEC);
	memory_pass_end(&m);
	ok(m.count == 2 && !allows(&m, 9, 1, now + SEC) && !allows(&m, 2, 2, now + SEC) &&
	   allows(&m, 1, 1, now + SEC), "those gone are forgotten, small ones are not");
	ok(!memory_resize(&m, &one) && m.count == 1 && !allows(&m, 2, 2, now + SEC),
	   "a smaller memory keeps the one looked at last");
	ok(!memory_resize(&m, &shorter) && m.count == 1 && !allows(&m, 2, 2, now + 3 * SEC) &&
	   allows(&m, 2, 2, now + 5 * SEC), "new limits hold for what is in it");
	memory_free(&m);
}

/* Random processes, looked at again and again: never more than the memory holds. */
static bool bounded(void)
{
	const struct memory_limits hundred = { 100, WAIT, WAIT_MAX, MIB };
	uint32_t random = 1;
	struct memory m;
	bool good = true;
	size_t i;

	if (memory_init(&m, &hundred))
		return false;
	memory_pass_begin(&m);
	for (i = 0; i < 20000 && good; i++) {
		uint64_t start;
		pid_t pid;

		random = random * 1664525 + 1013904223;
		pid = (pid_t)(random >> 22) + 1;
		start = random >> 20 & 1;
		met(&m, pid, start, MIB, i * SEC);
		looked(&m, pid, start, MIB, i * SEC);
		good = m.count <= 100 && !allows(&m, pid, start, i * SEC);
	}
	for (i = 1; i < m.count; i++)
		good = good && m.records[i].pid > m.records[i - 1].pid;
	memory_free(&m);
	return good;
}

int main(void)
{
	plan(44);
	cgroup_rules();
	other_rules();
	rules_together();
	budgets();
	ok(largest(10, 1000), "few candidates");
	ok(largest(1000, 2000), "as many candidates as there is room for");
	ok(largest(1000, 100), "the largest of more");
	ok(largest(1000, 2), "the largest two");
	waits();
	smaller();
	forgetting();
	ok(bounded(), "20,000 looks in a memory of 100");
	return finish();
}
