// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parse.h"
#include "procs.h"

/* The status of a process in 65536 groups fits. What no file reaches takes no memory. */
static char text[1 << 20];

#define CGROUP_DEPTH	100	/* as many files are open at once */

static int open_at(int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name, flags | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int open_folder(int dirfd, const char *name)
{
	return open_at(dirfd, name, O_RDONLY | O_DIRECTORY);
}

static bool is_cancelled(const volatile int *cancel)
{
	return cancel && *cancel;
}

/* The whole file into the buffer. */
static int read_text(int dirfd, const char *name)
{
	int fd = open_at(dirfd, name, O_RDONLY);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = read(fd, text + used, sizeof(text) - 1 - used);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	n = n < 0 ? -errno : 0;
	text[used] = '\0';
	close(fd);
	return (int)n;
}

static int open_process(const struct procs *procs, pid_t pid)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", pid);
	return open_at(procs->proc, name, O_PATH | O_DIRECTORY);
}

static int read_stat(int dirfd, struct process *p, uint64_t *stack)
{
	int ret = read_text(dirfd, "stat");

	return ret ? ret : parse_stat(text, p, stack);
}

static int read_status(int dirfd, struct process *p)
{
	int ret = read_text(dirfd, "status");

	return ret ? ret : parse_status(text, p);
}

/* The status comes first: most processes of a machine are the kernel's, and end there. */
static int read_process(int dirfd, struct process *p)
{
	uint64_t stack;
	int ret = read_status(dirfd, p);

	p->cgroup[0] = '\0';
	if (ret || !p->vmpte)
		return ret;
	ret = read_stat(dirfd, p, &stack);
	if (ret)
		return ret;
	ret = read_text(dirfd, "cgroup");
	if (!ret)
		parse_cgroup(text, p);
	return ret == -ENOENT && !faccessat(dirfd, "stat", F_OK, 0) ? 0 : ret;
}

static int gone(int error)
{
	return error == -ENOENT ? -ESRCH : error;
}

int procs_one(const struct procs *procs, pid_t pid, struct process *p)
{
	int dirfd = open_process(procs, pid);
	int ret;

	if (dirfd < 0)
		return gone(dirfd);
	p->pid = pid;
	ret = read_process(dirfd, p);
	close(dirfd);
	return gone(ret);
}

/* What the next process would meet as well. */
static bool is_lasting(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

struct visit {
	const struct procs *procs;
	const volatile int *cancel;
	int (*visit)(const struct process *p, void *arg);
	void *arg;
	uint64_t gone;
};

static int visit_pid(struct visit *v, pid_t pid)
{
	struct process p;
	int ret;

	if (is_cancelled(v->cancel))
		return -ECANCELED;
	ret = procs_one(v->procs, pid, &p);
	if (is_lasting(ret))
		return ret;
	if (ret)
		v->gone++;
	return ret || !p.vmpte ? 0 : v->visit(&p, v->arg);
}

/* The next entry of a folder in *ENTRY, or NULL at the end. */
static int next_entry(DIR *folder, struct dirent **entry)
{
	errno = 0;
	*entry = readdir(folder);
	return *entry ? 0 : -errno;
}

/* Takes the descriptor. */
static int open_stream(int fd, DIR **folder)
{
	int ret;

	if (fd < 0)
		return fd;
	*folder = fdopendir(fd);
	ret = *folder ? 0 : -errno;
	if (ret)
		close(fd);
	return ret;
}

static int visit_all(struct visit *v)
{
	struct dirent *entry;
	DIR *folder;
	int ret = open_stream(open_folder(v->procs->proc, "."), &folder);

	if (ret)
		return ret;
	while (!ret && !(ret = next_entry(folder, &entry)) && entry) {
		pid_t pid = parse_pid(entry->d_name, '\0');

		if (pid)
			ret = visit_pid(v, pid);
	}
	closedir(folder);
	return ret;
}

static int finish(const struct visit *v, int ret, uint64_t *gone)
{
	if (gone)
		*gone = v->gone;
	return ret;
}

int procs_all(const struct procs *procs, const volatile int *cancel,
	      int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone)
{
	struct visit v = { .procs = procs, .cancel = cancel, .visit = visit, .arg = arg };

	return finish(&v, visit_all(&v), gone);
}

/*
 * A threaded cgroup has no list of processes (EOPNOTSUPP): the one above it has. Nor
 * has one that was removed meanwhile (ENODEV).
 */
static int visit_members(struct visit *v, int dirfd)
{
	int fd = open_at(dirfd, "cgroup.procs", O_RDONLY);
	char line[32];
	FILE *file;
	int ret = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	file = fdopen(fd, "r");
	if (!file) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while (!ret && fgets(line, sizeof(line), file)) {
		pid_t pid = parse_pid(line, '\n');

		if (pid)
			ret = visit_pid(v, pid);
	}
	fclose(file);
	return ret;
}

static bool is_below(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
	       strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* The next folder in one, or -ENOENT. Cgroups that are removed meanwhile have no processes. */
static int open_below(DIR *folder)
{
	struct dirent *entry;
	int ret = 0;

	while (!ret && !(ret = next_entry(folder, &entry)) && entry) {
		if (!is_below(entry))
			continue;
		ret = open_at(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		if (ret >= 0)
			return ret;
		if (!is_lasting(ret))
			ret = 0;
	}
	return ret ? ret : -ENOENT;
}

/* Takes the descriptor; the folder goes to the first free place. */
static int enter(struct visit *v, int fd, DIR **folders, int depth)
{
	int ret = depth < CGROUP_DEPTH ? visit_members(v, fd) : -ELOOP;

	if (ret) {
		close(fd);
		return ret;
	}
	return open_stream(fd, &folders[depth]);
}

/* Takes the descriptor. */
static int visit_cgroups(struct visit *v, int fd)
{
	DIR *folders[CGROUP_DEPTH];
	int depth = 0;
	int ret = 0;

	while (!ret && (fd >= 0 || depth)) {
		if (fd >= 0) {
			ret = enter(v, fd, folders, depth);
			depth += !ret;
		} else {
			closedir(folders[--depth]);
		}
		if (!ret && depth)
			fd = open_below(folders[depth - 1]);
		if (!ret && depth && fd < 0 && fd != -ENOENT)
			ret = fd;
	}
	while (depth)
		closedir(folders[--depth]);
	return ret;
}

int procs_cgroup(const struct procs *procs, const char *path, const volatile int *cancel,
		 int (*visit)(const struct process *p, void *arg), void *arg, uint64_t *gone)
{
	struct visit v = { .procs = procs, .cancel = cancel, .visit = visit, .arg = arg };
	int fd = -ENOENT;

	if (procs->cgroups >= 0 && *path == '/') {
		path += strspn(path, "/");
		fd = open_folder(procs->cgroups, *path ? path : ".");
	}
	return finish(&v, fd < 0 ? fd : visit_cgroups(&v, fd), gone);
}

/* The folder of the process that P was read from, and not of one that has its pid now. */
static int open_same(const struct procs *procs, const struct process *p, uint64_t *stack)
{
	int dirfd = open_process(procs, p->pid);
	struct process now;
	int ret;

	if (dirfd < 0)
		return gone(dirfd);
	ret = read_stat(dirfd, &now, stack);
	if (!ret && now.start != p->start)
		ret = -ESRCH;
	if (ret) {
		close(dirfd);
		return gone(ret);
	}
	return dirfd;
}

int procs_audit(const struct procs *procs, const struct process *p, const volatile int *cancel,
		struct ptreclaim_tables *tables)
{
	uint64_t stack;
	int dirfd = open_same(procs, p, &stack);
	int ret;

	if (dirfd < 0)
		return dirfd;
	ret = ptreclaim_audit_at(dirfd, cancel, tables);
	close(dirfd);
	/* No VmPTE any more: a zombie. */
	return ret == -ENODATA ? -ESRCH : gone(ret);
}

static int send_advice(int dirfd, int pidfd, const struct process *p, const volatile int *cancel,
		       struct reclaimed *done)
{
	struct process now;
	int sent;
	int ret = read_status(dirfd, &now);

	if (ret || !now.vmpte)		/* a zombie has no tables */
		return ret ? ret : -ESRCH;
	done->before = now.vmpte;
	sent = ptreclaim_process(pidfd, p->pid, cancel, &done->result);
	if (sent && sent != -ECANCELED)
		return sent;
	ret = read_status(dirfd, &now);
	done->after = now.vmpte;
	return ret ? ret : sent;
}

int procs_reclaim(const struct procs *procs, const struct process *p, const volatile int *cancel,
		  struct reclaimed *done)
{
	struct process now;
	uint64_t stack[2];
	int pidfd;
	int dirfd;
	int ret;

	*done = (struct reclaimed){ 0 };
	if (procs->captured)
		return -EROFS;
	/* Opened first: if the folder is that of P, this refers to P too. */
	pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (pidfd < 0)
		return -errno;
	dirfd = open_same(procs, p, &stack[0]);
	ret = dirfd;
	if (dirfd >= 0) {
		ret = send_advice(dirfd, pidfd, p, cancel, done);
		if (!read_stat(dirfd, &now, &stack[1]) && stack[0] != stack[1]) {
			done->execed = true;
			if (ret == -ESRCH)	/* its memory is gone, itself not */
				ret = 0;
		}
		close(dirfd);
	}
	close(pidfd);
	return gone(ret);
}

/* -1 where it is not mounted, or is version 1 alone. */
static int open_cgroups(void)
{
	static const char *const paths[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;
	size_t i;

	for (i = 0; i < 2; i++)
		if (!statfs(paths[i], &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
			return open_folder(AT_FDCWD, paths[i]);
	return -1;
}

static int open_captured(struct procs *procs, const char *sysroot)
{
	int root = open_folder(AT_FDCWD, sysroot);

	if (root < 0)
		return root;
	procs->proc = open_folder(root, "proc");
	procs->cgroups = open_folder(root, "sys/fs/cgroup");
	close(root);
	return 0;
}

int procs_open(struct procs *procs, const char *sysroot)
{
	int ret = 0;

	procs->captured = sysroot;
	if (sysroot) {
		ret = open_captured(procs, sysroot);
	} else {
		procs->proc = open_folder(AT_FDCWD, "/proc");
		procs->cgroups = open_cgroups();
	}
	if (ret)
		return ret;
	if (procs->cgroups < 0)
		procs->cgroups = -1;
	if (procs->proc < 0) {
		ret = procs->proc;
		procs_close(procs);
	}
	return ret;
}

void procs_close(struct procs *procs)
{
	if (procs->proc >= 0)
		close(procs->proc);
	if (procs->cgroups >= 0)
		close(procs->cgroups);
	procs->proc = -1;
	procs->cgroups = -1;
}
