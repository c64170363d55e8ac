// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's first process. Mounts what programs expect over the read-only
 * root, runs the one command of the job file, passes its output on through
 * virtio ports, reports its status and powers off.
 *
 * The job file is a sequence of NUL-terminated records, tagged by their first
 * byte: C working directory, E environment, A argument, K directory of the host
 * to keep visible although something is mounted over its parent, T rows and
 * columns of the terminal that takes the place of the ports.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_RECORDS	4096
#define MAX_KEEP	8

/* nr= of the ports in vm/run */
enum { PORT_CONTROL = 1, PORT_OUT = 2, PORT_ERR = 3 };

struct job {
	char *cwd;
	char *args[MAX_RECORDS];
	char *env[MAX_RECORDS];
	char *keep[MAX_KEEP];
	int keep_fd[MAX_KEEP];
	int nr_args, nr_env, nr_keep;
	struct winsize terminal;
};

/* A pipe that the command writes, and the port that takes what it wrote. */
struct stream {
	int pipe[2];
	int port;
	unsigned long long bytes;
};

static const struct {
	const char *type, *where, *options;
} mounts[] = {
	{ "proc", "/proc", NULL },
	{ "sysfs", "/sys", NULL },
	{ "devtmpfs", "/dev", NULL },
	{ "devpts", "/dev/pts", "ptmxmode=0666" },
	{ "tmpfs", "/dev/shm", "mode=1777" },
	{ "tmpfs", "/run", "mode=0755" },
	{ "tmpfs", "/tmp", "mode=1777" },
	{ "cgroup2", "/sys/fs/cgroup", NULL },
	{ "debugfs", "/sys/kernel/debug", NULL },
	{ "tracefs", "/sys/kernel/tracing", NULL },
};

/* A panic is what vm/run sees whatever state the guest is in. */
static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fprintf(stderr, "vm/init: ");
	vfprintf(stderr, format, list);
	fprintf(stderr, ": %s\n", strerror(errno));
	va_end(list);
	exit(1);
}

static void read_job(const char *path, struct job *job)
{
	static char records[1 << 20];
	size_t used = 0;
	ssize_t got;
	int fd;

	fd = path ? open(path, O_RDONLY) : -1;
	if (fd < 0)
		die("open the job (PT_JOB)");
	while ((got = read(fd, records + used, sizeof(records) - used)) > 0)
		used += got;
	if (got < 0)
		die("read %s", path);
	close(fd);

	for (char *record = records; record < records + used; record += strlen(record) + 1) {
		char *value = record + 1;

		switch (*record) {
		case 'C':
			job->cwd = value;
			break;
		case 'A':
			job->args[job->nr_args++] = value;
			break;
		case 'E':
			job->env[job->nr_env++] = value;
			break;
		case 'K':
			job->keep_fd[job->nr_keep] = open(value, O_PATH | O_DIRECTORY);
			if (job->keep_fd[job->nr_keep] < 0)
				die("open %s", value);
			job->keep[job->nr_keep++] = value;
			break;
		case 'T':
			sscanf(value, "%hu %hu", &job->terminal.ws_row, &job->terminal.ws_col);
			break;
		}
	}
}

static void make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	mkdir(path, 0755);
}

static void mount_all(const struct job *job)
{
	char source[64];

	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, 0, mounts[i].options))
			die("mount %s", mounts[i].where);
	}
	for (int i = 0; i < job->nr_keep; i++) {
		make_directories(job->keep[i]);
		snprintf(source, sizeof(source), "/proc/self/fd/%d", job->keep_fd[i]);
		if (mount(source, job->keep[i], NULL, MS_BIND, NULL))
			die("mount %s", job->keep[i]);
		close(job->keep_fd[i]);
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

static void enable_controllers(void)
{
	char names[512], *name, *rest = names;
	FILE *file = fopen("/sys/fs/cgroup/cgroup.controllers", "r");

	if (!file || !fgets(names, sizeof(names), file))
		die("read cgroup.controllers");
	fclose(file);
	while ((name = strsep(&rest, " \n"))) {
		file = fopen("/sys/fs/cgroup/cgroup.subtree_control", "w");
		if (!file || (*name && fprintf(file, "+%s", name) < 0) || fclose(file))
			die("enable cgroup controller %s", name);
	}
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		die("loopback interface");
	close(fd);
}

/* The driver adds ports from a work queue: they may come after us. */
static int open_device(const char *pattern)
{
	const struct timespec interval = { .tv_nsec = 1000000 };
	glob_t found;
	int fd = -1;

	for (;;) {
		if (!glob(pattern, 0, NULL, &found)) {
			fd = open(found.gl_pathv[0], O_RDWR | O_NOCTTY | O_CLOEXEC);
			globfree(&found);
		}
		if (fd >= 0)
			return fd;
		nanosleep(&interval, NULL);
	}
}

static int open_port(int number)
{
	char pattern[32];

	snprintf(pattern, sizeof(pattern), "/dev/vport*p%d", number);
	return open_device(pattern);
}

static void write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t wrote = write(fd, data, length);

		if (wrote < 0)
			die("write to port");
		data += wrote;
		length -= wrote;
	}
}

static void open_stream(struct stream *stream, int port)
{
	stream->port = open_port(port);
	if (pipe2(stream->pipe, O_CLOEXEC))
		die("pipe");
}

static void drain(struct stream *stream, struct pollfd *ready)
{
	static char buffer[1 << 16];
	ssize_t got;

	if (!ready->revents)
		return;
	got = read(stream->pipe[0], buffer, sizeof(buffer));
	if (got > 0) {
		write_all(stream->port, buffer, got);
		stream->bytes += got;
	} else {
		ready->fd = -1;
	}
}

static pid_t start(const struct job *job, int in, int out, int err)
{
	pid_t child = fork();
	sigset_t none;

	if (child < 0)
		die("fork");
	if (child)
		return child;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (job->terminal.ws_row) {
		ioctl(in, TIOCSCTTY, 0);
		ioctl(in, TIOCSWINSZ, &job->terminal);
	}
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	if (chdir(job->cwd)) {
		fprintf(stderr, "vm/init: cannot change to %s: %s\n", job->cwd, strerror(errno));
		_exit(126);
	}
	environ = (char **)job->env;
	execvp(job->args[0], job->args);
	fprintf(stderr, "vm/init: cannot run %s: %s\n", job->args[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static int status_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* Reaps the dead; once the command is among them the rest is killed. True when nobody is left. */
static int reap(pid_t command, int *status)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		if (pid == command)
			*status = status_of(wait_status);
		if (*status >= 0)
			kill(-1, SIGKILL);
	}
	return pid < 0;
}

/* Returns the command's status when it and all it started are gone and their output is passed on. */
static int supervise(pid_t command, struct stream *out, struct stream *err)
{
	struct pollfd ready[3] = { { .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN } };
	struct signalfd_siginfo info;
	int status = -1, alone = 0;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	ready[0].fd = signalfd(-1, &child, SFD_CLOEXEC);
	ready[1].fd = out ? out->pipe[0] : -1;
	ready[2].fd = err ? err->pipe[0] : -1;

	while (!alone || ready[1].fd >= 0 || ready[2].fd >= 0) {
		if (poll(ready, 3, -1) < 0)
			die("poll");
		if (ready[0].revents && read(ready[0].fd, &info, sizeof(info)) > 0)
			alone = reap(command, &status);
		if (out)
			drain(out, &ready[1]);
		if (err)
			drain(err, &ready[2]);
	}
	return status;
}

int main(void)
{
	struct stream out = { .port = -1 }, err = { .port = -1 };
	static struct job job;
	char report[80], answer;
	int control, status, fd;
	sigset_t child;

	read_job(getenv("PT_JOB"), &job);
	mount_all(&job);
	fd = open("/dev/console", O_RDWR | O_NOCTTY);
	dup2(fd, 1);
	dup2(fd, 2);
	enable_controllers();
	loopback_up();
	sethostname("guest", 5);

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);

	control = open_port(PORT_CONTROL);
	if (job.terminal.ws_row) {
		fd = open_device("/dev/hvc0");
		status = supervise(start(&job, fd, fd, fd), NULL, NULL);
	} else {
		pid_t command;

		open_stream(&out, PORT_OUT);
		open_stream(&err, PORT_ERR);
		command = start(&job, open("/dev/null", O_RDONLY | O_CLOEXEC), out.pipe[1], err.pipe[1]);
		close(out.pipe[1]);
		close(err.pipe[1]);
		status = supervise(command, &out, &err);
	}

	snprintf(report, sizeof(report), "%d %llu %llu\n", status, out.bytes, err.bytes);
	write_all(control, report, strlen(report));
	/* vm/run answers when it has all of the output. */
	if (read(control, &answer, 1) < 0)
		die("read from control port");
	reboot(RB_POWER_OFF);
	die("power off");
}
