// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that come and go: fork, execve, exit, the OOM killer. And memory cgroups,
 * which take pages away from this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "race.h"

static bool reap(struct run *run, pid_t pid, int expected)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return fail(run, "waitpid:");
	if (status != expected)
		return fail(run, "a child ended with status %#x", status);
	return true;
}

/* ---- fork: the child has a copy of every table, and frees it when it exits ---- */

/* Where it fails for lack of memory, the kernel frees the tables that it has copied. */
static bool fork_round(struct run *run)
{
	pid_t pid;

	let_fail(true);
	pid = fork();
	if (!pid)
		_exit(0);
	let_fail(false);
	if (pid < 0 && !out_of_memory())
		return fail(run, "fork:");
	if (pid > 0 && !reap(run, pid, 0))
		return false;
	hit(run);
	return true;
}

/* ---- fork-write ---- */

#define COPIES	24	/* pages that a child writes */

/* Status of a child to which no page of the area was open. */
#define WROTE_NOTHING	9

/*
 * Tables that the child shares with nobody get empty and are freed as well. Both return
 * how many of the written pages are left, which come first then.
 */
static unsigned int free_by_advice(struct run *run, char **written, unsigned int nr)
{
	for (unsigned int i = nr - nr / 2; i < nr; i++)
		if (madvise(written[i], PAGE, MADV_DONTNEED))
			_exit(3);
	if (madvise(run->area, AREA, MADV_RECLAIM_PT) && errno != ENOMEM)
		_exit(3);
	return nr - nr / 2;
}

/* The parent's owners may have unmapped a part when it forked. */
static unsigned int free_by_dontneed(struct run *run, char **written, unsigned int nr)
{
	char *middle = run->area + AREA / 2;
	unsigned int left = 0;

	if (madvise(middle, AREA / 2, MADV_DONTNEED) && errno != ENOMEM)
		_exit(3);
	for (unsigned int i = 0; i < nr; i++)
		if (written[i] < middle)
			written[left++] = written[i];
	return left;
}

/*
 * The child writes into its own copy of the area, by way of read(): what the owners
 * have unmapped or protected is an error then and not a signal. Other owners' contents
 * are none of its business, what it wrote is.
 */
static void write_copies(struct run *run)
{
	const char *pattern = run->private;
	int file = *(const int *)(pattern + PAGE);
	char *written[COPIES];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < COPIES; i++) {
		char *addr = run->area + (i % SLOTS * SLOT_PAGES +
					  (run->round * 7 + i * 97) % SLOT_PAGES) * PAGE;
		ssize_t got = pread(file, addr, PAGE, 0);

		if (got == PAGE)
			written[nr++] = addr;
		else if (got != -1 || errno != EFAULT)
			_exit(1);
	}
	for (unsigned int i = 0; i < nr; i++)
		if (memcmp(written[i], pattern, PAGE))
			_exit(2);
	if (without_advice)
		nr = free_by_dontneed(run, written, nr);
	else
		nr = free_by_advice(run, written, nr);
	for (unsigned int i = 0; i < nr; i++)
		if (memcmp(written[i], pattern, PAGE))
			_exit(4);
	if (!nr)
		_exit(WROTE_NOTHING);
}

static bool fork_write_round(struct run *run)
{
	pid_t pid = start_child(run, write_copies);
	int status;

	if (pid < 0)
		return false;
	if (waitpid(pid, &status, 0) != pid)
		return fail(run, "waitpid:");
	if (!status)
		hit(run);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != WROTE_NOTHING)
		return fail(run, "a child that wrote to its copies ended with status %#x", status);
	return true;
}

/* A page of something that no other page holds, and the file that is read from. */
static bool fork_write_set_up(struct run *run)
{
	char *pattern = malloc(PAGE + sizeof(int));
	int file = memfd_create("pattern", MFD_CLOEXEC);

	run->private = pattern;
	if (!pattern)
		return fail(run, "malloc:");
	memcpy(pattern + PAGE, &file, sizeof(file));
	for (unsigned int i = 0; i < PAGE; i++)
		pattern[i] = 'a' + i % 23;
	if (file < 0 || pwrite(file, pattern, PAGE, 0) != PAGE)
		return fail(run, "memfd:");
	return true;
}

static void fork_write_tear_down(struct run *run)
{
	const char *pattern = run->private;

	if (pattern)
		close(*(const int *)(pattern + PAGE));
	free(run->private);
}

/* ---- what this process and a child share whose tables it reclaims ---- */

struct target {
	struct run own;		/* the run as the child sees it: its memory is the area */
	pid_t pid;
	atomic_bool go;		/* the child may begin */
	atomic_ulong calls;	/* of the advice on the child that were done */
	atomic_ulong freed;	/* how often the child found its tables to be fewer */
	char cgroup[128];	/* for oom: the child's */
	unsigned long kills;
	bool is_killed;		/* for exit-target: the child does not end by itself */
	bool ended, released;	/* what happened to one whose tables were freed */
	int fd;
};

static bool new_target(struct run *run, size_t size)
{
	struct target *target = mmap(NULL, sizeof(*target), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *memory = mmap(NULL, size + SLOT, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (target == MAP_FAILED || memory == MAP_FAILED)
		return fail(run, "mmap:");
	run->private = target;
	target->fd = -1;
	target->own = *run;
	target->own.area = (char *)(((uintptr_t)memory + SLOT - 1) & -SLOT);
	target->own.first = 0;
	target->own.pages = SLOT_PAGES;
	return true;
}

static void free_target(struct run *run)
{
	struct target *target = run->private;

	if (!target)
		return;
	if (target->fd >= 0)
		close(target->fd);
	munmap(target, sizeof(*target));
}

static pid_t start_target(struct run *run, void (*live)(struct run *run))
{
	struct target *target = run->private;

	atomic_store(&target->go, false);
	atomic_store(&target->calls, 0);
	atomic_store(&target->freed, 0);
	target->pid = start_child(run, live);
	return target->pid;
}

/*
 * Until the child has begun to die; false if the kernel said anything else. Where it has
 * unmapped a part, or does not map it yet, ENOMEM is the answer.
 */
static bool reclaim_of(struct run *run, pid_t pid, char *start, size_t size, bool holes)
{
	struct target *target = run->private;
	struct iovec memory = { start, size };
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	ssize_t done = -1;

	if (pidfd < 0)
		return fail(run, "pidfd_open:");
	for (;;) {
		done = syscall(SYS_process_madvise, pidfd, &memory, 1, MADV_RECLAIM_PT, 0);
		if (done != (ssize_t)size && !(done < 0 && errno == ENOMEM && holes))
			break;
		atomic_fetch_add(&target->calls, 1);
	}
	if (done != -1 || errno != ESRCH)
		fail(run, "process_madvise(MADV_RECLAIM_PT) on a child returned %zd:", done);
	close(pidfd);
	return !run->why[0];
}

/* It got so far that it can be reclaimed from. */
static void wait_for_calls(struct target *target)
{
	while (!atomic_load(&target->calls))
		sched_yield();
}

#define LOOKS	200

static unsigned long own_tables(void)
{
	return read_row("/proc/self/status", "VmPTE");
}

/* The child gives those who reclaim some time to free a table of its own, and notes that. */
static void look_for_freed(struct target *target, unsigned long before)
{
	for (unsigned int i = 0; i < LOOKS; i++) {
		if (own_tables() < before) {
			atomic_fetch_add(&target->freed, 1);
			break;
		}
		sched_yield();
	}
}

/* What the child itself found wrong counts for more than how it ended. */
static bool child_found_nothing(struct run *run)
{
	struct target *target = run->private;

	if (!target->own.why[0])
		return true;
	run->why[0] = '\0';
	return fail(run, "a child: %s", target->own.why);
}

/* ---- exec: tables of the old and of the new program are reclaimed ---- */

#define EXEC_TOUCHED	5	/* pages of a slot */
#define KEPT_TABLE	9	/* status of a new program none of whose tables was freed */

static char *const exec_true[] = { "true", NULL };
static char *const exec_self[] = { "race", "--after-exec", NULL };
static char *const exec_environment[] = { NULL };

/* The new program: it uses the same addresses. */
int live_after_exec(void)
{
	static struct target target;
	struct run *run = &target.own;
	char *area = mmap(AREA_START, AREA, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (area == MAP_FAILED)
		return 1;
	run->area = area;
	run->pages = SLOT_PAGES;
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		unsigned long before;

		for (unsigned int i = 0; i < EXEC_TOUCHED; i++) {
			char *addr = window_page(run, slot, i * 101);

			if (!check_fresh(run, addr))
				return 2;
			fill(run, addr, addr, slot);
		}
		for (unsigned int i = 0; i < EXEC_TOUCHED; i++) {
			char *addr = window_page(run, slot, i * 101);

			if (!check(run, addr, addr, slot))
				return 3;
		}
		before = own_tables();
		if (take_out(area + slot * SLOT, SLOT))
			return 4;
		look_for_freed(&target, before);
	}
	return atomic_load(&target.freed) ? 0 : KEPT_TABLE;
}

/* Leaves empty tables of its copy behind. */
static void execute(struct run *run)
{
	if (!without_advice)
		wait_for_calls(run->private);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (take_out(run->area + slot * SLOT, SLOT) && errno != ENOMEM && errno != EINVAL)
			_exit(126);
	if (without_advice)
		execve("/bin/true", exec_true, exec_environment);
	else
		execve("/proc/self/exe", exec_self, exec_environment);
	_exit(127);
}

/* The child uses our memory until execve() has made its own. */
static pid_t start_vfork_child(void)
{
	pid_t pid = vfork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execve("/bin/true", exec_true, exec_environment);
		_exit(127);
	}
	return pid;
}

static bool exec_round(struct run *run)
{
	bool done = true;
	int status;
	pid_t pid;

	pid = run->round % 2 ? start_vfork_child() : start_target(run, execute);
	if (pid < 0)
		return fail(run, "fork:");
	if (run->round % 2)
		return reap(run, pid, 0);
	if (!without_advice)
		done = reclaim_of(run, pid, run->area, AREA, true);
	if (!done)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return fail(run, "waitpid:");
	if (!status)
		hit(run);
	else if (done && (!WIFEXITED(status) || WEXITSTATUS(status) != KEPT_TABLE))
		return fail(run, "a child that executed a program ended with status %#x", status);
	return done;
}

static bool exec_set_up(struct run *run)
{
	return new_target(run, SLOT);
}

/* ---- exit-target: it ends by itself, or is killed and has its memory taken away ---- */

static void live_shortly(struct run *run)
{
	struct target *target = run->private;
	struct run *own = &target->own;
	unsigned int rounds = run->round % 8 * 3;

	wait_for_calls(target);
	for (own->round = 0; target->is_killed || own->round < rounds; own->round++) {
		unsigned int slot = own->round % SLOTS;
		unsigned long before;

		for (unsigned int i = 0; i < 4; i++) {
			char *addr = window_page(own, slot, i * 101);

			if (!check_fresh(own, addr))
				_exit(1);
			fill(own, addr, addr, own->round);
		}
		for (unsigned int i = 0; i < 4; i++)
			if (!check(own, window_page(own, slot, i * 101),
				   window_page(own, slot, i * 101), own->round))
				_exit(1);
		/* Every other slot is left full: exit finds both. */
		if (!(slot % 2 || target->is_killed || own->round + SLOTS < rounds))
			continue;
		before = own_tables();
		if (!drop(own, window_page(own, slot, 0), SLOT))
			_exit(1);
		look_for_freed(target, before);
	}
}

/* In a third process. */
static void reclaim_target(struct run *run)
{
	struct target *target = run->private;

	if (!reclaim_of(&target->own, target->pid, target->own.area, AREA, false))
		_exit(1);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

/* Kills the child and takes its memory away, while its tables are reclaimed. */
static bool release(struct run *run, pid_t pid)
{
	struct target *target = run->private;
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	pid_t reclaimer;
	bool released;

	if (pidfd < 0)
		return fail(run, "pidfd_open:");
	reclaimer = start_child(run, reclaim_target);
	while (reclaimer > 0 && !has_ended(reclaimer) && !stopping(run) &&
	       atomic_load(&target->freed) <= run->round % 4)
		sched_yield();
	kill(pid, SIGKILL);
	released = !syscall(SYS_process_mrelease, pidfd, 0);
	/* It is gone already, or another one holds its lock. */
	if (!released && errno != ESRCH && errno != EAGAIN)
		fail(run, "process_mrelease:");
	close(pidfd);
	if (reclaimer < 0 || !reap(run, reclaimer, 0) || run->why[0])
		return false;
	if (released && atomic_load(&target->freed))
		target->released = true;
	return true;
}

static bool exit_target_round(struct run *run)
{
	struct target *target = run->private;
	bool ended;
	pid_t pid;

	/* What the last child left in a file. */
	if (run->memory == SHMEM && !drop(run, target->own.area, AREA))
		return false;
	target->is_killed = run->round % 2;
	pid = start_target(run, live_shortly);
	if (pid < 0)
		return false;
	if (target->is_killed)
		ended = release(run, pid);
	else
		ended = reclaim_of(run, pid, target->own.area, AREA, false);
	if (!ended)
		kill(pid, SIGKILL);
	ended = reap(run, pid, target->is_killed ? SIGKILL : 0) && ended;
	if (!child_found_nothing(run))
		return false;
	if (ended && !target->is_killed && atomic_load(&target->freed))
		target->ended = true;
	/* Once both were seen. */
	if (target->ended && target->released)
		hit(run);
	return ended;
}

/* The child's memory is mapped here, but only the child uses it. */
static bool exit_target_set_up(struct run *run)
{
	int flags = run->memory == SHMEM ? MAP_SHARED : MAP_PRIVATE;
	struct target *target;
	int fd = run->fd;

	if (!new_target(run, AREA))
		return false;
	target = run->private;
	if (run->memory == ANON)
		flags |= MAP_ANONYMOUS;
	if (run->memory == SHMEM) {
		fd = target->fd = memfd_create("target", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, AREA))
			return fail(run, "memfd:");
	}
	if (mmap(target->own.area, AREA, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) ==
	    MAP_FAILED)
		return fail(run, "mmap:");
	return true;
}

/* ---- cgroups ---- */

#define CGROUPS		"/sys/fs/cgroup"

/* A new cgroup with @limit bytes of memory, or 0 for all. */
static bool new_cgroup(struct run *run, char *path, size_t size, unsigned long limit)
{
	char file[160];

	for (unsigned int i = 0; ; i++) {
		snprintf(path, size, CGROUPS "/race-%s-%d-%u", run->actor->name, getpid(), i);
		if (!mkdir(path, 0755))
			break;
		if (errno != EEXIST) {
			path[0] = '\0';
			return skip(run, "cannot make a cgroup in " CGROUPS ":");
		}
	}
	snprintf(file, sizeof(file), "%s/memory.max", path);
	if (access(file, W_OK))
		return skip(run, "the memory controller is not enabled in " CGROUPS ":");
	if (limit && !write_to(file, "%lu", limit))
		return fail(run, "memory.max:");
	return true;
}

/* Those who were in it are reaped, though not always gone. */
static void remove_cgroup(const char *path)
{
	for (unsigned int i = 0; path[0] && rmdir(path) && errno == EBUSY && i < 10000; i++)
		sched_yield();
}

static bool write_cgroup(const char *path, const char *file, const char *value)
{
	char name[400];

	snprintf(name, sizeof(name), "%s/%s", path, file);
	return write_to(name, "%s", value);
}

static unsigned long read_cgroup(const char *path, const char *file, const char *row)
{
	char name[400];

	snprintf(name, sizeof(name), "%s/%s", path, file);
	return read_row(name, row);
}

/* ---- oom ---- */

#define OOM_LIMIT	(4UL << 20)
#define OOM_MEMORY	(32UL << 20)

/* More and more tables stay full, and those between become empty again. */
static void use_up_memory(struct run *run)
{
	struct target *target = run->private;
	struct run *own = &target->own;

	while (!atomic_load(&target->go))
		sched_yield();
	wait_for_calls(target);
	for (char *slot = own->area; slot < own->area + OOM_MEMORY; slot += 2 * SLOT) {
		unsigned long before;

		for (unsigned int i = 0; i < SLOT_PAGES; i += 64)
			fill(own, slot + i * PAGE, slot + i * PAGE, 0);
		for (unsigned int i = 0; i < SLOT_PAGES; i += 64)
			if (!check(own, slot + i * PAGE, slot + i * PAGE, 0))
				_exit(1);
		before = own_tables();
		if (take_out(slot, SLOT))
			_exit(1);
		look_for_freed(target, before);
		for (char *page = slot + SLOT; page < slot + 2 * SLOT; page += PAGE)
			fill(own, page, page, 0);
		for (char *page = slot + SLOT; page < slot + 2 * SLOT; page += PAGE)
			if (!check(own, page, page, 0))
				_exit(1);
	}
	_exit(2);
}

static bool oom_round(struct run *run)
{
	struct target *target = run->private;
	unsigned long kills;
	char number[16];
	bool ended;
	pid_t pid;

	pid = start_target(run, use_up_memory);
	if (pid < 0)
		return false;
	snprintf(number, sizeof(number), "%d", pid);
	ended = write_cgroup(target->cgroup, "cgroup.procs", number);
	if (!ended)
		fail(run, "cannot move a child into a cgroup:");
	atomic_store(&target->go, true);
	ended = ended && reclaim_of(run, pid, target->own.area, OOM_MEMORY, false);
	if (!ended)
		kill(pid, SIGKILL);
	ended = reap(run, pid, SIGKILL) && ended;
	if (!child_found_nothing(run))
		return false;
	kills = read_cgroup(target->cgroup, "memory.events", "oom_kill");
	if (ended && kills > target->kills && atomic_load(&target->freed))
		hit(run);
	target->kills = kills;
	return ended;
}

static bool oom_set_up(struct run *run)
{
	struct target *target;

	if (!new_target(run, OOM_MEMORY))
		return false;
	target = run->private;
	if (!new_cgroup(run, target->cgroup, sizeof(target->cgroup), OOM_LIMIT))
		return false;
	/* Not there without swap in the kernel. */
	if (!write_cgroup(target->cgroup, "memory.swap.max", "0") && errno != ENOENT)
		return fail(run, "memory.swap.max:");
	if (mmap(target->own.area, OOM_MEMORY, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return fail(run, "mmap:");
	return true;
}

static void oom_tear_down(struct run *run)
{
	struct target *target = run->private;

	if (target)
		remove_cgroup(target->cgroup);
	free_target(run);
}

/* ---- memcg, memcg-limit: this process in a cgroup whose memory is taken away ---- */

/* What memcg-limit uses itself, over and over; more than its limit. */
#define PRESSURE	(10UL << 20)
#define PRESSED		12		/* pages of it in a round */

struct squeeze {
	char cgroup[128];
	char home[320];		/* the cgroup to go back to */
	char *pressure;
	unsigned long limited;
};

static bool find_home(struct run *run, struct squeeze *squeeze)
{
	FILE *file = fopen("/proc/self/cgroup", "r");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "0::", 3);
	}
	if (file)
		fclose(file);
	if (!found)
		return skip(run, "no cgroup v2");
	snprintf(squeeze->home, sizeof(squeeze->home), CGROUPS "%s", line + 3);
	return true;
}

static bool move_to(const char *cgroup)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", getpid());
	return write_cgroup(cgroup, "cgroup.procs", number);
}

/* Pages of the area, and not just some of this process, are in swap space. */
static bool area_in_swap(const struct run *run)
{
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		if (in_swap(run, run->area + slot * SLOT, SLOT_PAGES))
			return true;
	return false;
}

static bool memcg_round(struct run *run)
{
	struct squeeze *squeeze = run->private;

	if (!write_cgroup(squeeze->cgroup, "memory.reclaim", "4K swappiness=200") &&
	    errno != EAGAIN)
		return fail(run, "memory.reclaim:");
	if (area_in_swap(run))
		hit(run);
	return true;
}

static bool memcg_set_up(struct run *run)
{
	struct squeeze *squeeze = calloc(1, sizeof(*squeeze));

	run->private = squeeze;
	if (!squeeze)
		return fail(run, "calloc:");
	if (!find_home(run, squeeze) ||
	    !new_cgroup(run, squeeze->cgroup, sizeof(squeeze->cgroup), 0))
		return false;
	if (!write_cgroup(squeeze->cgroup, "memory.reclaim", "0"))
		return skip(run, "memory.reclaim:");
	if (!move_to(squeeze->cgroup))
		return fail(run, "cannot move to a cgroup:");
	return true;
}

static void memcg_tear_down(struct run *run)
{
	struct squeeze *squeeze = run->private;

	if (!squeeze)
		return;
	if (squeeze->pressure)
		munmap(squeeze->pressure, PRESSURE);
	if (squeeze->cgroup[0]) {
		write_cgroup(squeeze->cgroup, "memory.max", "max");
		move_to(squeeze->home);
		remove_cgroup(squeeze->cgroup);
	}
	free(squeeze);
}

/*
 * The cgroup is always full: whoever wants a page, or a table, takes pages first. They
 * are those that nobody used for long, so mostly the actor's own; memcg takes others.
 */
static bool memcg_limit_round(struct run *run)
{
	struct squeeze *squeeze = run->private;
	unsigned long limited;

	for (unsigned int i = 0; i < PRESSED && !stopping(run); i++)
		squeeze->pressure[(run->round * PRESSED + i) * PAGE % PRESSURE] = run->round;
	limited = read_cgroup(squeeze->cgroup, "memory.events", "max");
	if (limited > squeeze->limited)
		hit(run);
	squeeze->limited = limited;
	return true;
}

static bool memcg_limit_set_up(struct run *run)
{
	struct squeeze *squeeze;
	char *pressure;

	if (!memcg_set_up(run))
		return false;
	squeeze = run->private;
	pressure = mmap(NULL, PRESSURE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	if (pressure == MAP_FAILED)
		return fail(run, "mmap:");
	squeeze->pressure = pressure;
	memset(pressure, 1, PRESSURE);
	/* Most of it can be swapped out at any time, so that nobody is killed. */
	if (!write_cgroup(squeeze->cgroup, "memory.max", "8M"))
		return fail(run, "memory.max:");
	return true;
}

const struct actor process_actors[] = {
	{
		.name = "fork",
		.does = "forks a child that exits",
		.memory = ON_ALL, .scarce = true, .rounds = 5, .round = fork_round,
	},
	{
		.name = "fork-write",
		.does = "forks a child that writes to its copies, and reclaims their tables",
		.memory = ON_ANON | ON_FILE, .rounds = 5, .set_up = fork_write_set_up,
		.round = fork_write_round, .tear_down = fork_write_tear_down,
	},
	{
		.name = "exec",
		.does = "fork or vfork, then execve, before and after which the child's tables are reclaimed",
		.memory = ON_ALL, .rounds = 6, .set_up = exec_set_up, .round = exec_round,
		.tear_down = free_target,
	},
	{
		.name = "exit-target",
		.does = "reclaims tables of a child that exits or is killed and released meanwhile",
		.memory = ON_ALL, .advises = true, .rounds = 15, .set_up = exit_target_set_up,
		.round = exit_target_round, .tear_down = free_target,
	},
	{
		.name = "oom",
		.does = "reclaims tables of a child that the OOM killer kills meanwhile",
		.memory = ON_ANON, .advises = true, .rounds = 2, .set_up = oom_set_up,
		.round = oom_round, .tear_down = oom_tear_down,
	},
	{
		.name = "memcg",
		.does = "reclaims the memory of this process by way of its cgroup",
		.memory = ON_ALL, .swap = true, .rounds = 8, .set_up = memcg_set_up,
		.round = memcg_round, .tear_down = memcg_tear_down,
	},
	{
		.name = "memcg-limit",
		.does = "keeps this process at its cgroup's limit: to allocate is to reclaim",
		.memory = ON_ALL, .swap = true, .rounds = 10, .set_up = memcg_limit_set_up,
		.round = memcg_limit_round, .tear_down = memcg_tear_down,
	},
	{ }
};
