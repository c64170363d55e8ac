/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* A child that does one thing after the other, and holds still in between. */
#ifndef PTRECLAIM_TEST_PROCS_H
#define PTRECLAIM_TEST_PROCS_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TABLE_SIZE	(2UL << 20)	/* address space of a PTE table */

#define TAP_BAIL(what) do { printf("Bail out! %s: %m\n", what); exit(1); } while (0)

struct child {
	pid_t pid;
	int pidfd;
	int command;		/* a byte starts the next step */
	int answer;		/* the child's, when a step is done */
};

/* STEP is called with 0, 1, 2 ... in the child, which ends when the parent has gone. */
static inline struct child child_start(void (*step)(int number))
{
	struct child c;
	int down[2];
	int up[2];
	char byte = 0;
	int n;

	fflush(stdout);
	if (pipe(down) || pipe(up))
		TAP_BAIL("pipe");
	c.pid = fork();
	if (c.pid < 0)
		TAP_BAIL("fork");
	if (!c.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		for (n = 0; read(down[0], &byte, 1) == 1; n++) {
			step(n);
			if (write(up[1], &byte, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	c.command = down[1];
	c.answer = up[0];
	c.pidfd = (int)syscall(SYS_pidfd_open, c.pid, 0);
	if (c.pidfd < 0)
		TAP_BAIL("pidfd_open");
	return c;
}

static inline void child_step(const struct child *c)
{
	char byte = 0;

	if (write(c->command, &byte, 1) != 1 || read(c->answer, &byte, 1) != 1)
		TAP_BAIL("the child has died");
}

/* Killed, but still to be waited for. */
static inline void child_kill(const struct child *c)
{
	struct pollfd gone = { .fd = c->pidfd, .events = POLLIN };

	kill(c->pid, SIGKILL);
	if (poll(&gone, 1, -1) != 1)
		TAP_BAIL("poll");
}

static inline void child_reap(const struct child *c)
{
	if (waitpid(c->pid, NULL, 0) != c->pid)
		TAP_BAIL("waitpid");
}

static inline void child_end(const struct child *c)
{
	child_kill(c);
	child_reap(c);
	close(c->pidfd);
	close(c->command);
	close(c->answer);
}

/* Private memory that starts at a table. */
static inline char *map_tables(size_t tables)
{
	size_t length = (tables + 1) * TABLE_SIZE;
	char *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (map == MAP_FAILED)
		TAP_BAIL("mmap");
	start = (char *)(((uintptr_t)map + TABLE_SIZE - 1) & -TABLE_SIZE);
	if (start > map)
		munmap(map, (size_t)(start - map));
	munmap(start + tables * TABLE_SIZE, (size_t)(map + TABLE_SIZE - start));
	return start;
}

/* Small pages, one in each table, of which KEEP in a hundred stay. The others leave an empty table.
 */
static inline void make_empty(char *start, size_t tables, size_t keep)
{
	size_t i;

	if (madvise(start, tables * TABLE_SIZE, MADV_NOHUGEPAGE))
		TAP_BAIL("MADV_NOHUGEPAGE");
	for (i = 0; i < tables; i++) {
		start[i * TABLE_SIZE] = 1;
		if (i % 100 >= keep && madvise(start + i * TABLE_SIZE, 4096, MADV_DONTNEED))
			TAP_BAIL("MADV_DONTNEED");
	}
}

/* Of this process: before and after, for what should leave none open. */
static inline int open_files(void)
{
	int count = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
