// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

/* A cgroup's pattern goes for all that is below it, too. Names of units hold backslashes. */
static bool rule_matches(const struct rule *rule, const struct process *p)
{
	switch (rule->field) {
	case RULE_CGROUP:
		return !fnmatch(rule->pattern, p->cgroup,
				FNM_NOESCAPE | FNM_PATHNAME | FNM_LEADING_DIR);
	case RULE_USER:
		return rule->uid == p->uid;
	case RULE_COMMAND:
		return !fnmatch(rule->pattern, p->comm, FNM_NOESCAPE);
	}
	return false;
}

bool rules_allow(const struct rule *rules, size_t count, const struct process *p)
{
	unsigned int wanted = 0;
	unsigned int found = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		bool matches = rule_matches(&rules[i], p);

		if (rules[i].exclude) {
			if (matches)
				return false;
			continue;
		}
		wanted |= 1U << rules[i].field;
		if (matches)
			found |= 1U << rules[i].field;
	}
	return wanted == found;
}

void budget_start(struct budget *b, uint64_t now, uint64_t burst)
{
	b->left = (int64_t)burst;
	b->filled = now;
}

void budget_fill(struct budget *b, uint64_t now, unsigned int percent, uint64_t burst)
{
	uint64_t passed = now - b->filled;
	int64_t most = (int64_t)burst;

	b->filled = now;
	b->left += (int64_t)(passed / 100 * percent);
	if (b->left > most)
		b->left = most;
}

void budget_spend(struct budget *b, uint64_t used)
{
	b->left -= (int64_t)used;
}

/* More than is kept, so that it is not sorted for each new one. */
static size_t candidates_room(size_t capacity)
{
	return 2 * capacity;
}

int candidates_init(struct candidates *c, size_t capacity)
{
	c->list = calloc(candidates_room(capacity), sizeof(*c->list));
	c->count = 0;
	c->capacity = capacity;
	return c->list ? 0 : -ENOMEM;
}

void candidates_free(struct candidates *c)
{
	free(c->list);
	c->list = NULL;
}

/* The larger one first. The older pid decides between equals, so that the order is certain. */
static int descending(uint64_t a, uint64_t b, pid_t pid_a, pid_t pid_b)
{
	if (a != b)
		return a > b ? -1 : 1;
	return pid_a < pid_b ? -1 : pid_a > pid_b;
}

static int compare_vmpte(const void *a, const void *b)
{
	const struct candidate *first = a;
	const struct candidate *second = b;

	return descending(first->vmpte, second->vmpte, first->pid, second->pid);
}

static int compare_empty(const void *a, const void *b)
{
	const struct candidate *first = a;
	const struct candidate *second = b;

	return descending(first->empty, second->empty, first->pid, second->pid);
}

void candidates_by_vmpte(struct candidates *c)
{
	qsort(c->list, c->count, sizeof(*c->list), compare_vmpte);
	if (c->count > c->capacity)
		c->count = c->capacity;
}

void candidates_by_empty(struct candidates *c)
{
	qsort(c->list, c->count, sizeof(*c->list), compare_empty);
}

void candidates_add(struct candidates *c, const struct candidate *new)
{
	if (c->count == candidates_room(c->capacity))
		candidates_by_vmpte(c);
	c->list[c->count++] = *new;
}

int memory_init(struct memory *m, const struct memory_limits *limits)
{
	*m = (struct memory){ .limits = *limits };
	m->records = calloc(limits->records, sizeof(*m->records));
	return m->records ? 0 : -ENOMEM;
}

void memory_free(struct memory *m)
{
	free(m->records);
	m->records = NULL;
}

/* The first record of this pid or a higher one. */
static size_t memory_search(const struct memory *m, pid_t pid)
{
	size_t low = 0;
	size_t high = m->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->records[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void memory_remove(struct memory *m, size_t at)
{
	m->count--;
	memmove(&m->records[at], &m->records[at + 1], (m->count - at) * sizeof(*m->records));
}

/* A record of an earlier process with that pid goes. */
static struct record *memory_find(struct memory *m, pid_t pid, uint64_t start)
{
	size_t at = memory_search(m, pid);

	if (at == m->count || m->records[at].pid != pid)
		return NULL;
	if (m->records[at].start == start)
		return &m->records[at];
	memory_remove(m, at);
	return NULL;
}

static void memory_drop_oldest(struct memory *m)
{
	size_t oldest = 0;
	size_t i;

	for (i = 1; i < m->count; i++)
		if (m->records[i].looked < m->records[oldest].looked)
			oldest = i;
	memory_remove(m, oldest);
}

static struct record *memory_insert(struct memory *m, pid_t pid, uint64_t start)
{
	size_t at;

	if (m->count == m->limits.records)
		memory_drop_oldest(m);
	at = memory_search(m, pid);
	memmove(&m->records[at + 1], &m->records[at], (m->count - at) * sizeof(*m->records));
	m->count++;
	m->records[at] = (struct record){ .pid = pid, .start = start, .seen = m->pass };
	return &m->records[at];
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
	if (value < min)
		return min;
	return value > max ? max : value;
}

int memory_resize(struct memory *m, const struct memory_limits *limits)
{
	struct record *records;
	size_t i;

	if (limits->records != m->limits.records) {
		records = calloc(limits->records, sizeof(*records));
		if (!records)
			return -ENOMEM;
		while (m->count > limits->records)
			memory_drop_oldest(m);
		memcpy(records, m->records, m->count * sizeof(*records));
		free(m->records);
		m->records = records;
	}
	m->limits = *limits;
	for (i = 0; i < m->count; i++)
		m->records[i].wait = within(m->records[i].wait, limits->wait_min, limits->wait_max);
	return 0;
}

void memory_pass_begin(struct memory *m)
{
	m->pass++;
}

void memory_pass_end(struct memory *m)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < m->count; i++)
		if (m->records[i].seen == m->pass)
			m->records[kept++] = m->records[i];
	m->count = kept;
}

static void memory_wait(const struct memory *m, struct record *r, bool lasted)
{
	r->wait = within(lasted ? r->wait / 2 : r->wait * 2, m->limits.wait_min, m->limits.wait_max);
}

void memory_met(struct memory *m, const struct process *p, uint64_t now)
{
	struct record *r = memory_find(m, p->pid, p->start);

	if (!r)
		return;
	r->seen = m->pass;
	if (!r->judged && now - r->looked >= r->wait) {
		r->judged = true;
		memory_wait(m, r, p->vmpte <= r->after || p->vmpte - r->after < r->freed / 2);
	}
	/* A page went for each table that is empty now. */
	if (!r->freed && p->rss < r->rss && r->rss - p->rss >= m->limits.smaller)
		r->wait = 0;
}

bool memory_allows(const struct memory *m, const struct process *p, uint64_t now)
{
	size_t at = memory_search(m, p->pid);
	const struct record *r = &m->records[at];

	return at == m->count || r->pid != p->pid || r->start != p->start ||
	       now - r->looked >= r->wait;
}

void memory_looked(struct memory *m, const struct candidate *c, uint64_t vmpte, uint64_t freed,
		   uint64_t now)
{
	struct record *r = memory_find(m, c->pid, c->start);

	if (!r) {
		r = memory_insert(m, c->pid, c->start);
		r->wait = m->limits.wait_min;
	} else if (!freed) {
		memory_wait(m, r, false);
	}
	r->looked = now;
	r->after = vmpte;
	r->rss = c->rss;
	r->freed = freed;
	r->judged = !freed;
}
