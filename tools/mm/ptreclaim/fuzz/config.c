// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's configuration with any text, for libFuzzer. What is taken has to be within its
 * limits, and written down anew it has to be the same; what is not has to have a reason.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"

#define LINE_MOST	198	/* of inih */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

/* In place of the C library's, which looks into files or asks services. */
struct passwd *getpwnam(const char *name)
{
	static struct passwd user = { .pw_uid = 7 };

	return strcmp(name, "root") != 0 ? NULL : &user;
}

static char *print(const struct config *config, size_t *size)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, size);

	must(to);
	config_print(config, to);
	must(!fclose(to));
	return text;
}

static bool has_long_line(const char *text)
{
	size_t length;

	for (; *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		if (length > LINE_MOST)
			return true;
	}
	return false;
}

static void check_limits(const struct config *c)
{
	unsigned long stall, window;
	char kind[5];
	size_t i;

	must(c->cpu >= 1 && c->cpu <= 100 && c->cpu_burst >= 1 && c->cpu_burst <= 3600);
	must(c->backoff >= 1 && c->backoff <= c->backoff_max && c->remember >= 1);
	must(c->cgroup_count <= CONFIG_CGROUPS && c->rule_count <= CONFIG_RULES);
	must(sscanf(c->threshold, "%4s %lu %lu", kind, &stall, &window) == 3 && stall &&
	     stall <= window && window <= 10000000 && !(window % 2000000));
	for (i = 0; i < c->rule_count; i++)
		must(c->rules[i].field != RULE_CGROUP || !*c->rules[i].pattern ||
		     *c->rules[i].pattern == '/');
	must(!c->metrics || *c->metrics == '/');
}

static void check_again(const struct config *config)
{
	struct config_error error;
	struct config again;
	size_t size, second_size;
	char *text = print(config, &size), *second;

	/* What stood closer together may not fit into a line any more. */
	if (!has_long_line(text)) {
		must(!config_parse(&again, text, size, &error));
		second = print(&again, &second_size);
		must(!strcmp(text, second));
		free(second);
		config_free(&again);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { .line = 0 };
	struct config config;
	char *text = malloc(size + 1);
	unsigned int lines = 1;
	size_t i;

	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	for (i = 0; i < size; i++)
		lines += text[i] == '\n';
	if (config_parse(&config, text, size, &error)) {
		must(error.line >= 1 && error.line <= lines && *error.text);
	} else {
		check_limits(&config);
		check_again(&config);
		config_free(&config);
	}
	free(text);
	return 0;
}
