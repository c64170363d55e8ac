// SPDX-License-Identifier: GPL-2.0
/* The metrics' file: whole at any time, or as it was. tests/host looks at what is in it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../lib/ptreclaim/test/tap.h"
#include "../metrics.h"

#define WRITES	3000

static char folder[] = "/tmp/ptreclaim-test-XXXXXX";
static char path[64];

/* All of a file, or "" if there is none. */
static void read_file(char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	while (fd >= 0 && length < size - 1 && (n = read(fd, text + length, 100)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The numbers of one line each, which are the same in all of one file. */
static bool is_whole(const char *text)
{
	static const char *const names[] = {
		"passes_total{trigger=\"interval\"}", "passes_skipped_total", "reclaimed_bytes_total",
		"processes_remembered",
	};
	unsigned long number, first = 0;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char line[80];
		const char *at;

		snprintf(line, sizeof(line), "\nptreclaim_%s ", names[i]);
		at = strstr(text, line);
		if (!at)
			return false;
		number = strtoul(at + strlen(line), NULL, 10);
		if (i && number != first)
			return false;
		first = number;
	}
	return strstr(text, "\nptreclaim_last_pass_timestamp_seconds 1.000000002\n") &&
	       text[strlen(text) - 1] == '\n';
}

static struct metrics numbered(unsigned int number)
{
	return (struct metrics){
		.passes = { [TRIGGER_INTERVAL] = number }, .passes_skipped = number,
		.bytes = number, .remembered = number, .last_pass = { 1, 2 },
	};
}

static int write_number(unsigned int number)
{
	const struct metrics m = numbered(number);

	return metrics_write(&m, path);
}

/* Reads until the pipe ends. The exit status says whether each file was whole. */
static void read_for_ever(int end)
{
	struct pollfd p = { .fd = end };
	char text[16384];
	int reads = 0;

	while (!poll(&p, 1, 0)) {
		read_file(text, sizeof(text));
		if (!is_whole(text)) {
			printf("# read as %s\n", text);
			fflush(stdout);
			_exit(1);
		}
		reads++;
	}
	_exit(reads < 2);
}

static bool write_numbers(void)
{
	unsigned int i;

	for (i = 1; i <= WRITES; i++)
		if (write_number(i))
			return false;
	return true;
}

/* With two that write it. */
static bool always_whole(void)
{
	int status;
	int ends[2];
	pid_t pid;
	bool good;

	if (write_number(0) || pipe(ends))
		return false;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(ends[1]);
		read_for_ever(ends[0]);
	}
	close(ends[0]);
	if (!fork())
		_exit(!write_numbers());
	good = write_numbers();
	close(ends[1]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return false;
	return wait(&status) > 0 && !status && good;
}

/* The file system has no room: what was there stays, and nothing is left over. */
static bool no_room(void)
{
	const struct rlimit none = { 100, RLIM_INFINITY };
	struct rlimit old;
	char before[16384], after[16384], new[80];
	struct stat st;
	int ret;

	read_file(before, sizeof(before));
	getrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
	ret = write_number(7);
	setrlimit(RLIMIT_FSIZE, &old);
	read_file(after, sizeof(after));
	snprintf(new, sizeof(new), "%s.%d", path, getpid());
	return ret == -EFBIG && is_whole(before) && !strcmp(before, after) && stat(new, &st) == -1;
}

static bool others_can_read(void)
{
	struct stat st;

	return !stat(path, &st) && (st.st_mode & 0777) == 0644;
}

/* Somebody who may write to the folder has put a link to a file of ours in the way. */
static bool no_link_is_followed(void)
{
	char new[80];

	snprintf(new, sizeof(new), "%s.%d", path, getpid());
	return !symlink("/dev/null", new) && write_number(9) == -ELOOP;
}

int main(void)
{
	umask(022);
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/a.prom", folder);
	plan(5);
	ok(always_whole(), "a reader sees whole files only");
	ok(others_can_read(), "others can read it");
	ok(no_room(), "without room, it stays as it was");
	ok(no_link_is_followed(), "no link is followed");
	unlink(path);
	rmdir(folder);
	ok(write_number(1) == -ENOENT, "no such folder");
	return finish();
}
