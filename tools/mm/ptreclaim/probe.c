// SPDX-License-Identifier: GPL-2.0
#include <cap-ng.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptreclaim.h>

#include "command.h"
#include "privileges.h"
#include "procs.h"
#include "table.h"

static const struct column columns[] = {
	{ "CHECK", CELL_TEXT, 0, NULL },
	{ "WORKS", CELL_FLAG, 0, NULL },
	{ "FOUND", CELL_TEXT, 0, NULL },
	{ "ADVICE", CELL_TEXT, 0, NULL },
};

enum { CHECK, WORKS, FOUND, ADVICE, COLUMNS };

struct probe {
	struct table *table;
	int status;
};

/* STATUS is that of the program if this does not work, 0 if that does not matter. */
static void say(struct probe *p, const char *check, bool works, const char *found,
		const char *advice, int status)
{
	table_row(p->table);
	table_text(p->table, CHECK, check);
	table_number(p->table, WORKS, works);
	table_text(p->table, FOUND, found);
	table_text(p->table, ADVICE, works ? "" : advice);
	if (!works && !p->status)
		p->status = status;
}

static void probe_kernel(struct probe *p)
{
	enum ptreclaim_support why;
	struct utsname name;
	bool works = !ptreclaim_probe(&why);

	if (uname(&name))
		err(EXIT_FAILURE, "uname");
	say(p, "kernel", true, name.release, "", 0);
	say(p, "advice", works, ptreclaim_support_text(why),
	    why == PTRECLAIM_NO_PROC ? "mount /proc" :
	    why == PTRECLAIM_DISABLED ? "unset PTRECLAIM_PROBE" :
	    "boot a kernel with CONFIG_PT_RECLAIM; scan works without", EXIT_NO_ADVICE);
}

static void probe_privileges(struct probe *p)
{
	unsigned int i;

	for (i = 0; i < PRIVILEGES; i++) {
		bool have = capng_have_capability(CAPNG_EFFECTIVE, privileges[i].capability);
		char advice[128];

		snprintf(advice, sizeof(advice), "run as root or with it, %s", privileges[i].use);
		say(p, privileges[i].name, have, have ? "effective" : "missing", advice,
		    EXIT_DENIED);
	}
}

/* A process that ends when the other end of the pipe is closed. */
static pid_t start_child(int *end)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		err(EXIT_FAILURE, "pipe");
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (!pid) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) < 0);
	}
	close(ends[0]);
	*end = ends[1];
	return pid;
}

/* 0, or why a process cannot be sent to that nothing else protects. */
static int send_to(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int ret;

	if (pidfd < 0)
		return -errno;
	ret = ptreclaim_process(pidfd, pid, NULL, NULL);
	/* The privileges are the same for each advice, on any kernel. */
	if (ret == -ENOTSUP)
		ret = syscall(SYS_process_madvise, pidfd, NULL, 0, MADV_COLD, 0) < 0 ? -errno : 0;
	close(pidfd);
	return ret;
}

/*
 * In a container a capability may be there and not be enough: process_madvise() asks for
 * that of the initial user namespace.
 */
static void probe_sending(struct probe *p)
{
	const char *advice = "allow process_madvise() and pidfd_open() in the seccomp filter";
	int end;
	pid_t pid = start_child(&end);
	int ret = send_to(pid);

	close(end);
	waitpid(pid, NULL, 0);
	if (ret == -EPERM)
		advice = "run with CAP_SYS_NICE of the initial user namespace, not a container's";
	say(p, "sending to others", !ret, ret ? strerror(-ret) : "process_madvise() works",
	    advice, EXIT_DENIED);
}

/* Whether a file in /proc/self knows an ioctl: with arguments that make no sense, ENOTTY if not. */
static bool knows(const char *path, unsigned long request)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool known;

	if (fd < 0)
		return false;
	known = ioctl(fd, request, NULL) == 0 || errno != ENOTTY;
	close(fd);
	return known;
}

/* Without them there are other ways: only the time differs. */
static void probe_speed(struct probe *p)
{
	bool scan = knows("/proc/self/pagemap", _IOWR('f', 16, char[96]));
	bool query = knows("/proc/self/maps", _IOWR('f', 17, char[104]));

	say(p, "PAGEMAP_SCAN", scan, scan ? "there" : "missing",
	    "Linux 6.7; scan reads 8 bytes for each page instead", 0);
	say(p, "PROCMAP_QUERY", query, query ? "there" : "missing",
	    "Linux 6.11; reclaim reads the text of maps instead", 0);
}

static void probe_cgroups(struct probe *p)
{
	struct procs procs;
	int ret = procs_open(&procs, NULL);
	bool works = !ret && procs.cgroups >= 0;

	if (!ret)
		procs_close(&procs);
	say(p, "cgroup v2", works, works ? "mounted" : "not mounted",
	    "mount -t cgroup2 none /sys/fs/cgroup; --cgroup needs it", 0);
}

/* Opening it is not enough: with psi=0 only the first read or write fails. */
static void probe_psi(struct probe *p)
{
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
	char byte;
	bool works = fd >= 0 && read(fd, &byte, 1) == 1;

	if (fd >= 0)
		close(fd);
	say(p, "PSI", works, works ? "there" : "missing",
	    "boot with psi=1 (CONFIG_PSI); the daemon's triggers need it", 0);
}

static void print_help(void)
{
	puts("Usage: ptreclaim probe [OPTION...]\n\n"
	     "Tell what works on this machine, and what to do about the rest.\n\n"
	     "  -J, --json, -n, --noheadings\n\n"
	     "Exit status: 0 if reclaim works for all processes, 3 if this kernel has no\n"
	     "MADV_RECLAIM_PT, 4 if privileges are missing.");
}

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'J' },
	{ "noheadings", no_argument, NULL, 'n' },
	{ 0 },
};

int cmd_probe(int argc, char **argv)
{
	const struct column *shown[COLUMNS];
	struct table_style style = { 0 };
	struct probe p = { 0 };
	unsigned int i;
	int letter;

	while ((letter = getopt_long(argc, argv, "hJn", options, NULL)) != -1) {
		switch (letter) {
		case 'J':
			style.json = true;
			break;
		case 'n':
			style.no_headings = true;
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		default:
			try_help("probe");
		}
	}
	if (optind < argc) {
		warnx("what is %s?", argv[optind]);
		try_help("probe");
	}
	for (i = 0; i < COLUMNS; i++)
		shown[i] = &columns[i];
	p.table = table_new("probe", &style, shown, COLUMNS);
	probe_kernel(&p);
	probe_privileges(&p);
	probe_sending(&p);
	probe_speed(&p);
	probe_cgroups(&p);
	probe_psi(&p);
	table_end(p.table);
	return p.status;
}
