// SPDX-License-Identifier: GPL-2.0
/* Configuration files that are right, and all the ways in which one can be wrong. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ini.h>

#include "../../../lib/ptreclaim/test/tap.h"
#include "../config.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct config config;
static struct config_error error;

static int parse(const char *text)
{
	return config_parse(&config, text, strlen(text), &error);
}

/* What config_print() gives; to be freed. */
static char *printed(const struct config *of)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		abort();
	config_print(of, to);
	fclose(to);
	return text;
}

static const char defaults[] =
	"[pressure]\nsystem = yes\nthreshold = some 200000 2000000\n"
	"\n[pass]\ninterval = 0s\ncpu = 5%\ncpu-burst = 2s\n"
	"\n[process]\nmin-vmpte = 4M\nmin-empty = 1M\nbackoff = 30s\nbackoff-max = 1h\nremember = 4096\n"
	"\n[filter]\n"
	"\n[metrics]\n";

static const char everything[] =
	"[pressure]\nsystem = no\ncgroup = /system.slice/a.service\ncgroup = /\n"
	"threshold = full 1 10000000\n"
	"\n[pass]\ninterval = 7min\ncpu = 100%\ncpu-burst = 1h\n"
	"\n[process]\nmin-vmpte = 1025\nmin-empty = 3G\nbackoff = 2min\nbackoff-max = 121s\nremember = 1\n"
	"\n[filter]\ninclude-cgroup = /a/*\ninclude-cgroup = /\nexclude-cgroup = /a/b\\x2dc\n"
	"exclude-cgroup = /a /\n"
	"include-user = root\ninclude-user = 4294967294\nexclude-user = 7\n"
	"include-command = a b*\nexclude-command = [ab]?\n"
	"\n[metrics]\nfile = /run/ptreclaim/a.prom\n";

static bool prints_as(const char *text)
{
	char *out = printed(&config);
	bool same = !strcmp(out, text);

	if (!same)
		printf("# %s\n", out);
	free(out);
	return same;
}

static void good_files(void)
{
	ok(!parse("") && prints_as(defaults), "an empty file is the default");
	config_free(&config);
	ok(!parse(defaults) && prints_as(defaults), "so is the default, written out");
	config_free(&config);
	ok(!parse(everything) && prints_as(everything), "each key has its place");
	ok(!config.system && config.cgroup_count == 2 && !strcmp(config.cgroups[1], "") &&
	   !strcmp(config.cgroups[0], "/system.slice/a.service") &&
	   !strcmp(config.threshold, "full 1 10000000"), "pressure");
	ok(config.interval == 420 && config.cpu == 100 && config.cpu_burst == 3600, "pass");
	ok(config.min_vmpte == 1025 && config.min_empty == UINT64_C(3) << 30 &&
	   config.backoff == 120 && config.backoff_max == 121 && config.remember == 1, "process");
	ok(config.rule_count == 9 && config.rules[0].field == RULE_CGROUP &&
	   !config.rules[0].exclude && config.rules[2].exclude && !config.rules[4].uid &&
	   config.rules[5].uid == UINT32_MAX - 1 && config.rules[6].uid == 7 &&
	   config.rules[6].exclude && config.rules[7].field == RULE_COMMAND &&
	   !strcmp(config.rules[7].pattern, "a b*") && !strcmp(config.rules[3].pattern, "/a "),
	   "filter");
	ok(!strcmp(config.metrics, "/run/ptreclaim/a.prom"), "metrics");
	config_free(&config);
}

static void good_lines(void)
{
	ok(!parse("\xef\xbb\xbf[pass]\r\n  ; a comment\r\n\t# another\r\n\r\ncpu=7 ; percent\r\n"
		  "\t cpu-burst : 3\n[process]\nmin-vmpte=2K") &&
	   config.cpu == 7 && config.cpu_burst == 3 && config.min_vmpte == 2048,
	   "comments, blanks, \\r\\n, a byte order mark, no newline at the end");
	config_free(&config);
	ok(!parse("[filter]\nexclude-cgroup = /a//\nexclude-cgroup = ///\n") &&
	   !strcmp(config.rules[0].pattern, "/a") && !strcmp(config.rules[1].pattern, ""),
	   "slashes at the end of a cgroup are dropped");
	config_free(&config);
	ok(!parse("[process]\nmin-vmpte = 18446744073709551615\n") &&
	   config.min_vmpte == UINT64_MAX, "the largest size");
	config_free(&config);
}

static const struct {
	const char *text;
	unsigned int line;
	const char *message;
} wrong[] = {
	{ "x\n", 1, "neither [SECTION] nor KEY = VALUE" },
	{ "[pass\n", 1, "neither [SECTION]" },
	{ "\n\n[pass]\ncpu\n", 4, "neither [SECTION]" },
	{ "[pass]\nx\ncpu = none\n", 2, "neither [SECTION]" },
	{ "[pass]\ncpu = none\nx\n", 2, "cpu: 'none' is no whole number" },
	{ "cpu = 5\n", 1, "cpu belongs into section [pass]" },
	{ "[filter]\ncpu = 5\n", 2, "cpu belongs into section [pass]" },
	{ "[pass]\ncpus = 5\n", 2, "no key 'cpus' in section [pass]" },
	{ "[pass]\ncpu = 5\n\ncpu = 6\n", 4, "cpu is in line 2 already" },
	{ "[pass]\ncpu =\n", 2, "cpu has no value" },
	{ "[pass]\ncpu = ; 5\n", 2, "cpu has no value" },
	{ "[filter]\ninclude-command =;a\n", 2, "include-command has no value" },
	{ "[pass]\ncpu = 0\n", 2, "cpu: '0' is out of range: use 1% to 100%" },
	{ "[pass]\ncpu = 101\n", 2, "use 1% to 100%" },
	{ "[pass]\ncpu = -1\n", 2, "no whole number, to which may be added one of %" },
	{ "[pass]\ncpu = 1.5\n", 2, "no whole number" },
	{ "[pass]\ncpu = 5 %\n", 2, "no whole number" },
	{ "[pass]\ncpu-burst = 0\n", 2, "use 1s to 1h" },
	{ "[pass]\ncpu-burst = 3601\n", 2, "use 1s to 1h" },
	{ "[pass]\ninterval = 1d\n", 2, "added one of s, min, h" },
	{ "[pass]\ninterval = 721h\n", 2, "use 0s to 720h" },
	{ "[pass]\ninterval = 99999999999999999999s\n", 2, "out of range" },
	{ "[pass]\ninterval = 18446744073709551615h\n", 2, "out of range" },
	{ "[process]\nmin-vmpte = 16777216T\n", 2, "min-vmpte: '16777216T' is out of range" },
	{ "[process]\nmin-empty = 1P\n", 2, "min-empty: '1P' is no" },
	{ "[process]\nbackoff = 0\n", 2, "use 1s to 720h" },
	{ "[process]\nbackoff-max = 0\n", 2, "use 1s to 720h" },
	{ "[process]\nbackoff = 2\nbackoff-max = 1\n#\n", 3, "backoff is more than backoff-max" },
	{ "[process]\nbackoff-max = 1\nbackoff = 2\n#\n", 3, "backoff is more than backoff-max" },
	{ "[process]\n#\nbackoff = 2h\n#\n", 3, "backoff is more than backoff-max" },
	{ "[process]\nremember = 0\n", 2, "use 1 to 1048576" },
	{ "[process]\nremember = 1k\n", 2, "'1k' is no whole number" },
	{ "[pressure]\nsystem = true\n", 2, "'true' is neither yes nor no" },
	{ "[pressure]\nthreshold = 1 1000000\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = any 1 1000000\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some 1\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some1 1000000\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some 1 1000000 1\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some -1 1000000\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some 1ms 1000000\n", 2, "some|full STALL WINDOW" },
	{ "[pressure]\nthreshold = some 0 2000000\n", 2, "a multiple of 2000000 us up to 10000000" },
	{ "[pressure]\nthreshold = some 2000001 2000000\n", 2, "a multiple of 2000000 us up to 10000000" },
	{ "[pressure]\nthreshold = some 1 1000000\n", 2, "a multiple of 2000000 us up to 10000000" },
	{ "[pressure]\nthreshold = some 1 12000000\n", 2, "a multiple of 2000000 us up to 10000000" },
	{ "[pressure]\ncgroup = a\n", 2, "cgroup: 'a' does not begin with a slash" },
	{ "[filter]\ninclude-cgroup = a\n", 2, "include-cgroup: 'a' does not begin with a slash" },
	{ "[filter]\nexclude-user = no such user\n", 2, "there is no user 'no such user'" },
	{ "[filter]\nexclude-user = 4294967295\n", 2, "no number of a user" },
	{ "[filter]\nexclude-command =\n", 2, "exclude-command has no value" },
	{ "[metrics]\nfile = a.prom\n", 2, "'a.prom' is no absolute path" },
	{ "[metrics]\nfile = /a/\n", 2, "'/a/' is no absolute path" },
	{ "[metrics]\nfile = /a/b\n", 2, "does not end in .prom" },
	{ "[metrics]\nfile = /.prom\n", 0, NULL },
	{ "[metrics]\nfile = .prom\n", 2, "no absolute path" },
	{ "[metrics]\nfile = /a.prom\nfile = /b.prom\n", 3, "file is in line 2 already" },
};

static bool all_wrong(void)
{
	bool good = true;
	size_t i;

	for (i = 0; i < COUNT(wrong); i++) {
		int ret = parse(wrong[i].text);

		if (wrong[i].message ? ret == -EINVAL && error.line == wrong[i].line &&
				       strstr(error.text, wrong[i].message) : !ret) {
			config_free(&config);
			continue;
		}
		printf("# %s# gives %d, line %u: %s\n", wrong[i].text, ret, error.line, error.text);
		good = false;
	}
	return good;
}

static bool too_many(const char *section, const char *line, int limit, const char *message)
{
	static char text[CONFIG_SIZE_MAX];
	bool good;
	int i;

	strcpy(text, section);
	for (i = 0; i < limit; i++)
		strcat(text, line);
	good = !parse(text);
	config_free(&config);
	strcat(text, line);
	return good && parse(text) == -EINVAL && error.line == (unsigned int)limit + 2 &&
	       strstr(error.text, message);
}

/* Some length is the longest; it is kept whole, and the next one is an error. */
static bool long_lines(void)
{
	static char text[100000];
	int length;

	for (length = 1; length < 5000; length++) {
		int head = sprintf(text, "[filter]\nexclude-command = ");

		memset(text + head, 'x', (size_t)length);
		strcpy(text + head + length, "\n[pass]\ncpu = 9\n");
		if (parse(text))
			break;
		if (strlen(config.rules[0].pattern) != (size_t)length || config.cpu != 9)
			return false;
		config_free(&config);
	}
	printf("# the longest value has %d bytes\n", length - 1);
	return length > 150 && length - 1 + (int)strlen("exclude-command = \n") < INI_MAX_LINE &&
	       error.line == 2 && strstr(error.text, "the line is longer than");
}

static bool nul_byte(void)
{
	static const char text[] = "[pass]\ncpu = 5\0\n";

	return config_parse(&config, text, sizeof(text) - 1, &error) == -EINVAL && error.line == 2 &&
	       strstr(error.text, "NUL");
}

/* Cut anywhere: good or an error of the last line. */
static bool truncated_anywhere(void)
{
	char text[sizeof(everything)];
	size_t n;

	for (n = 0; n < sizeof(everything); n++) {
		unsigned int lines = 1;
		size_t i;

		/* A copy, so that a sanitizer sees what is read behind the end. */
		memcpy(text, everything, n);
		text[n] = 0;
		for (i = 0; i + 1 < n; i++)
			lines += text[i] == '\n';
		if (config_parse(&config, text, n, &error)) {
			if (error.line != lines)
				return false;
			continue;
		}
		config_free(&config);
	}
	return true;
}

static void files(void)
{
	char path[] = "/tmp/ptreclaim-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, everything, strlen(everything)) < 0)
		abort();
	ok(!config_read(&config, path, &error) && prints_as(everything), "a file");
	config_free(&config);
	if (ftruncate(fd, CONFIG_SIZE_MAX + 1))
		abort();
	ok(config_read(&config, path, &error) == -EFBIG && !error.line &&
	   strstr(error.text, "too large"), "a file that is too large");
	close(fd);
	unlink(path);
	ok(config_read(&config, path, &error) == -ENOENT && !error.line &&
	   strstr(error.text, "No such file"), "no file");
	ok(config_read(&config, "/", &error) == -EISDIR, "a folder");
}

int main(void)
{
	plan(21);
	good_files();
	good_lines();
	ok(all_wrong(), "what is wrong is found, with its line");
	ok(too_many("[pressure]\n", "cgroup = /a\n", CONFIG_CGROUPS, "more than 64"),
	   "too many cgroups");
	ok(too_many("[filter]\n", "exclude-command = a\n", CONFIG_RULES, "more than 256 rules"),
	   "too many rules");
	ok(long_lines(), "a line that is too long is an error");
	ok(nul_byte(), "so is a NUL byte");
	ok(truncated_anywhere(), "a text cut at each byte");
	files();
	return finish();
}
