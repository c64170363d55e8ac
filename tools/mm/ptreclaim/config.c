// SPDX-License-Identifier: GPL-2.0
/*
 * inih takes the lines apart. It gets them from here, so that the line of each error is
 * known, and that what it would cut or join silently is an error.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "config.h"
#include "size.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* The smallest first; the first one is the default. */
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };
static const struct unit percent[] = { { "%", 1 }, { "", 1 }, { NULL, 0 } };
static const struct unit time_units[] = {
	{ "s", 1 }, { "", 1 }, { "min", 60 }, { "h", 3600 }, { NULL, 0 }
};
static const struct unit size_units[] = {
	{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { "T", UINT64_C(1) << 40 },
	{ NULL, 0 }
};

enum kind { NUMBER, YES_NO, THRESHOLD, CGROUP, RULE, METRICS };

struct key {
	const char *section;
	const char *name;
	const char *standard;		/* NULL: none */
	enum kind kind;
	size_t offset;			/* in struct config */
	/* NUMBER */
	const struct unit *units;
	uint64_t min;
	uint64_t max;
	/* RULE */
	enum rule_field field;
	bool exclude;
};

#define AT(member)	.offset = offsetof(struct config, member)
#define MONTH		(UINT64_C(30) * 24 * 3600)

static const struct key keys[] = {
	{ "pressure", "system", "yes", YES_NO, AT(system) },
	{ "pressure", "cgroup", NULL, CGROUP, .units = NULL },
	{ "pressure", "threshold", "some 200000 2000000", THRESHOLD, AT(threshold) },
	{ "pass", "interval", "0s", NUMBER, AT(interval), time_units, 0, MONTH },
	{ "pass", "cpu", "5%", NUMBER, AT(cpu), percent, 1, 100 },
	{ "pass", "cpu-burst", "2s", NUMBER, AT(cpu_burst), time_units, 1, 3600 },
	{ "process", "min-vmpte", "4M", NUMBER, AT(min_vmpte), size_units, 0, UINT64_MAX },
	{ "process", "min-empty", "1M", NUMBER, AT(min_empty), size_units, 0, UINT64_MAX },
	{ "process", "backoff", "30s", NUMBER, AT(backoff), time_units, 1, MONTH },
	{ "process", "backoff-max", "1h", NUMBER, AT(backoff_max), time_units, 1, MONTH },
	{ "process", "remember", "4096", NUMBER, AT(remember), plain, 1, 1 << 20 },
	{ "filter", "include-cgroup", NULL, RULE, .field = RULE_CGROUP },
	{ "filter", "exclude-cgroup", NULL, RULE, .field = RULE_CGROUP, .exclude = true },
	{ "filter", "include-user", NULL, RULE, .field = RULE_USER },
	{ "filter", "exclude-user", NULL, RULE, .field = RULE_USER, .exclude = true },
	{ "filter", "include-command", NULL, RULE, .field = RULE_COMMAND },
	{ "filter", "exclude-command", NULL, RULE, .field = RULE_COMMAND, .exclude = true },
	{ "metrics", "file", NULL, METRICS, .units = NULL },
};

#define KEYS (sizeof(keys) / sizeof(*keys))

struct parser {
	struct config *config;
	struct config_error *error;
	const char *text;
	size_t left;
	unsigned int line;
	unsigned int given[KEYS];	/* lines */
	bool failed;
};

__attribute__((format(printf, 2, 3)))
static int fail(struct parser *p, const char *format, ...)
{
	va_list args;

	p->failed = true;
	p->error->line = p->line;
	va_start(args, format);
	vsnprintf(p->error->text, sizeof(p->error->text), format, args);
	va_end(args);
	return -EINVAL;
}

/* Digits and a unit, and nothing else. */
static int parse_number(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t number = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return -ERANGE;
	for (; units->name; units++)
		if (!strcmp(units->name, text))
			return __builtin_mul_overflow(number, units->factor, value) ? -ERANGE : 0;
	return -EINVAL;
}

/* With the largest unit that leaves a whole number. */
static void print_number(FILE *to, uint64_t value, const struct unit *units)
{
	const struct unit *best = units;
	const struct unit *unit;

	for (unit = units; unit->name; unit++)
		if (value && !(value % unit->factor) && unit->factor > best->factor)
			best = unit;
	fprintf(to, "%" PRIu64 "%s", value / best->factor, best->name);
}

/* "30s to 1h", for messages. */
static const char *range(const struct key *key, char *text, size_t size)
{
	FILE *to = fmemopen(text, size, "w");

	text[0] = 0;
	if (!to)
		return text;
	print_number(to, key->min, key->units);
	fputs(" to ", to);
	print_number(to, key->max, key->units);
	fclose(to);
	return text;
}

static int set_number(struct parser *p, const struct key *key, const char *value)
{
	uint64_t *number = (uint64_t *)((char *)p->config + key->offset);
	const struct unit *unit;
	char units[32] = "";
	char limits[64];
	int ret;

	ret = key->units == size_units ? size_parse(value, number) :
					 parse_number(value, key->units, number);
	if (!ret && *number >= key->min && *number <= key->max)
		return 0;
	if (ret != -EINVAL)
		return fail(p, "%s: '%.60s' is out of range: use %s", key->name, value,
			    range(key, limits, sizeof(limits)));
	for (unit = key->units; unit->name; unit++)
		if (*unit->name)
			snprintf(units + strlen(units), sizeof(units) - strlen(units), "%s%s",
				 *units ? ", " : "", unit->name);
	return fail(p, "%s: '%.60s' is no whole number%s%s", key->name, value,
		    *units ? ", to which may be added one of " : "", units);
}

static int set_yes_no(struct parser *p, const struct key *key, const char *value)
{
	bool *flag = (bool *)((char *)p->config + key->offset);

	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return fail(p, "%s: '%.60s' is neither yes nor no", key->name, value);
	*flag = !strcmp(value, "yes");
	return 0;
}

/* Without CAP_SYS_RESOURCE, which the daemon does not keep, windows are of whole steps. */
#define WINDOW_STEP	2000000		/* us */
#define WINDOW_MAX	10000000

static int set_threshold(struct parser *p, const struct key *key, const char *value)
{
	char *threshold = (char *)p->config + key->offset;
	char kind[6], stall_text[22], window_text[22], rest;
	uint64_t stall, window;

	if (sscanf(value, "%5s %21s %21s %c", kind, stall_text, window_text, &rest) != 3 ||
	    (strcmp(kind, "some") != 0 && strcmp(kind, "full") != 0) ||
	    parse_number(stall_text, plain, &stall) || parse_number(window_text, plain, &window))
		return fail(p, "%s: '%.60s' is not of the form some|full STALL WINDOW, in us",
			    key->name, value);
	if (!window || window % WINDOW_STEP || window > WINDOW_MAX || !stall || stall > window)
		return fail(p, "%s: the window has to be a multiple of %d us up to %d, and the "
			    "stall 1 us to a window", key->name, WINDOW_STEP, WINDOW_MAX);
	snprintf(threshold, sizeof(p->config->threshold), "%s %" PRIu64 " %" PRIu64, kind, stall,
		 window);
	return 0;
}

/* NULL if there is no memory. */
static char *copy(struct parser *p, const char *value)
{
	char *text = strdup(value);

	if (!text)
		fail(p, "out of memory");
	return text;
}

/* Slashes at the end say nothing, and would have to be in a process' path. */
static char *copy_cgroup(struct parser *p, const struct key *key, const char *value)
{
	char *text;
	size_t length;

	if (*value != '/') {
		fail(p, "%s: '%.60s' does not begin with a slash", key->name, value);
		return NULL;
	}
	text = copy(p, value);
	if (!text)
		return NULL;
	for (length = strlen(text); length && text[length - 1] == '/'; length--)
		text[length - 1] = 0;
	return text;
}

static int add_cgroup(struct parser *p, const struct key *key, const char *value)
{
	struct config *c = p->config;

	if (c->cgroup_count == CONFIG_CGROUPS)
		return fail(p, "%s: there are more than %d: watch one above them", key->name,
			    CONFIG_CGROUPS);
	c->cgroups[c->cgroup_count] = copy_cgroup(p, key, value);
	if (!c->cgroups[c->cgroup_count])
		return -EINVAL;
	c->cgroup_count++;
	return 0;
}

static int find_user(struct parser *p, const struct key *key, const char *value, uid_t *uid)
{
	const struct passwd *user;
	uint64_t number;

	if (!parse_number(value, plain, &number)) {
		if (number >= UINT32_MAX)
			return fail(p, "%s: '%.60s' is no number of a user", key->name, value);
		*uid = (uid_t)number;
		return 0;
	}
	errno = 0;
	user = getpwnam(value);
	if (!user)
		return fail(p, "%s: there is no user '%.60s'%s%s", key->name, value,
			    errno ? ": " : "", errno ? strerror(errno) : "");
	*uid = user->pw_uid;
	return 0;
}

static int add_rule(struct parser *p, const struct key *key, const char *value)
{
	struct config *c = p->config;
	struct rule rule = { .field = key->field, .exclude = key->exclude };

	if (c->rule_count == CONFIG_RULES)
		return fail(p, "%s: there are more than %d rules: use patterns", key->name,
			    CONFIG_RULES);
	if (key->field == RULE_USER && find_user(p, key, value, &rule.uid))
		return -EINVAL;
	rule.pattern = key->field == RULE_CGROUP ? copy_cgroup(p, key, value) : copy(p, value);
	if (!rule.pattern)
		return -EINVAL;
	c->rules[c->rule_count++] = rule;
	return 0;
}

static int set_metrics(struct parser *p, const struct key *key, const char *value)
{
	size_t length = strlen(value);

	if (*value != '/' || value[length - 1] == '/')
		return fail(p, "%s: '%.60s' is no absolute path of a file", key->name, value);
	if (length < 6 || strcmp(value + length - 5, ".prom") != 0)
		return fail(p, "%s: '%.60s' does not end in .prom, so it would not be collected",
			    key->name, value);
	p->config->metrics = copy(p, value);
	return p->config->metrics ? 0 : -EINVAL;
}

static int set(struct parser *p, const struct key *key, const char *value)
{
	/* inih takes a semicolon for a comment behind a blank only. */
	if (!*value || *value == ';')
		return fail(p, "%s has no value: leave the line out for the default", key->name);
	switch (key->kind) {
	case NUMBER:
		return set_number(p, key, value);
	case YES_NO:
		return set_yes_no(p, key, value);
	case THRESHOLD:
		return set_threshold(p, key, value);
	case CGROUP:
		return add_cgroup(p, key, value);
	case RULE:
		return add_rule(p, key, value);
	case METRICS:
		return set_metrics(p, key, value);
	}
	return -EINVAL;
}

static bool is_list(const struct key *key)
{
	return key->kind == CGROUP || key->kind == RULE;
}

static int unknown(struct parser *p, const char *section, const char *name)
{
	size_t i;

	for (i = 0; i < KEYS; i++)
		if (!strcmp(keys[i].name, name))
			return fail(p, "%s belongs into section [%s]", name, keys[i].section);
	return fail(p, "there is no key '%.60s' in section [%.60s]: see ptreclaim.conf(5)", name,
		    section);
}

/* For inih: 0 is an error. */
static int handle(void *arg, const char *section, const char *name, const char *value)
{
	struct parser *p = arg;
	size_t i;

	for (i = 0; i < KEYS; i++)
		if (!strcmp(keys[i].section, section) && !strcmp(keys[i].name, name))
			break;
	if (i == KEYS)
		return unknown(p, section, name) == 0;
	if (p->given[i] && !is_list(&keys[i]))
		return fail(p, "%s is in line %u already", name, p->given[i]) == 0;
	p->given[i] = p->line;
	return set(p, &keys[i], value) == 0;
}

/* For inih, as fgets(). An indented line would continue the value of the one above. */
static char *next_line(char *buf, int size, void *arg)
{
	struct parser *p = arg;
	const char *end;
	size_t length;

	if (p->failed || !p->left)
		return NULL;
	p->line++;
	end = memchr(p->text, '\n', p->left);
	length = end ? (size_t)(end - p->text) : p->left;
	if (memchr(p->text, 0, length)) {
		fail(p, "there is a NUL byte: this is no text");
		return NULL;
	}
	if (length + 2 > (size_t)size) {	/* a newline and a NUL */
		fail(p, "the line is longer than %d bytes: use a pattern", size - 2);
		return NULL;
	}
	memcpy(buf, p->text, length);
	memcpy(buf + length, "\n", 2);
	p->left -= length + !!end;
	p->text += length + !!end;
	return memmove(buf, buf + strspn(buf, " \t"), strlen(buf) - strspn(buf, " \t") + 1);
}

static unsigned int line_of(const struct parser *p, const char *name)
{
	size_t i;

	for (i = 0; i < KEYS; i++)
		if (!strcmp(keys[i].name, name))
			return p->given[i];
	return 0;
}

static int check_whole(struct parser *p)
{
	unsigned int first = line_of(p, "backoff");
	unsigned int second = line_of(p, "backoff-max");

	if (p->config->backoff <= p->config->backoff_max)
		return 0;
	p->line = first > second ? first : second;
	return fail(p, "backoff is more than backoff-max");
}

void config_defaults(struct config *config)
{
	struct config_error error;
	struct parser p = { .config = config, .error = &error };
	size_t i;

	*config = (struct config){ .system = false };
	for (i = 0; i < KEYS; i++)
		if (keys[i].standard && set(&p, &keys[i], keys[i].standard))
			abort();
}

int config_parse(struct config *config, const char *text, size_t length,
		 struct config_error *error)
{
	struct parser p = { .config = config, .error = error, .text = text, .left = length };
	int ret;

	config_defaults(config);
	ret = ini_parse_stream(next_line, &p, handle, &p);
	if (ret > 0 && (!p.failed || (unsigned int)ret < error->line)) {
		p.line = (unsigned int)ret;
		fail(&p, "this is neither [SECTION] nor KEY = VALUE");
	}
	if (ret < 0 && !p.failed)
		fail(&p, "out of memory");
	if (!p.failed)
		check_whole(&p);
	if (!p.failed)
		return 0;
	config_free(config);
	return -EINVAL;
}

/* All of a file, and a NUL. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while ((n = read(fd, text + length, size - length)) > 0) {
		length += (size_t)n;
		if (length == size)
			return -EFBIG;
	}
	if (n < 0)
		return -errno;
	text[length] = 0;
	return (ssize_t)length;
}

int config_read(struct config *config, const char *path, struct config_error *error)
{
	char *text = malloc(CONFIG_SIZE_MAX + 1);
	ssize_t length;
	int fd, ret;

	*error = (struct config_error){ .line = 0 };
	fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	length = fd < 0 ? -errno : read_all(fd, text, CONFIG_SIZE_MAX + 1);
	if (fd >= 0)
		close(fd);
	if (length < 0) {
		ret = (int)length;
		snprintf(error->text, sizeof(error->text), "%s", strerror(-ret));
	} else {
		ret = config_parse(config, text, (size_t)length, error);
	}
	free(text);
	return ret;
}

void config_free(struct config *config)
{
	size_t i;

	for (i = 0; i < config->cgroup_count; i++)
		free(config->cgroups[i]);
	for (i = 0; i < config->rule_count; i++)
		free(config->rules[i].pattern);
	free(config->metrics);
	*config = (struct config){ .system = false };
}

static void print_value(FILE *to, const struct key *key, const char *value)
{
	size_t length = strlen(value);

	/* The slash that was taken from a path: "/" is kept as "", and a blank is no end. */
	fprintf(to, "%s = %s%s\n", key->name, value,
		!length || isspace((unsigned char)value[length - 1]) ? "/" : "");
}

static void print_rules(FILE *to, const struct config *config, const struct key *key)
{
	size_t i;

	for (i = 0; i < config->rule_count; i++)
		if (config->rules[i].field == key->field &&
		    config->rules[i].exclude == key->exclude)
			print_value(to, key, config->rules[i].pattern);
}

static void print_key(FILE *to, const struct config *config, const struct key *key)
{
	const char *at = (const char *)config + key->offset;
	size_t i;

	switch (key->kind) {
	case NUMBER:
		fprintf(to, "%s = ", key->name);
		print_number(to, *(const uint64_t *)at, key->units);
		fputc('\n', to);
		break;
	case YES_NO:
		print_value(to, key, *(const bool *)at ? "yes" : "no");
		break;
	case THRESHOLD:
		print_value(to, key, at);
		break;
	case CGROUP:
		for (i = 0; i < config->cgroup_count; i++)
			print_value(to, key, config->cgroups[i]);
		break;
	case RULE:
		print_rules(to, config, key);
		break;
	case METRICS:
		if (config->metrics)
			print_value(to, key, config->metrics);
		break;
	}
}

void config_print(const struct config *config, FILE *to)
{
	const char *section = "";
	size_t i;

	for (i = 0; i < KEYS; i++) {
		if (strcmp(section, keys[i].section) != 0)
			fprintf(to, "%s[%s]\n", *section ? "\n" : "", keys[i].section);
		section = keys[i].section;
		print_key(to, config, &keys[i]);
	}
}
