// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libptreclaim-preload.so in a program with a made-up kernel: this program exports
 * __wrap_syscall() as syscall(), which the preloaded object calls. "preload DIRECTORY" starts
 * itself anew for each test, with the object in DIRECTORY.
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define GIB	(1UL << 30)

#include "syscalls.h"
#include "tap.h"
#include "threads.h"

static atomic_int questions, reclaims, elsewhere;
static _Atomic uintptr_t last;
static sem_t reclaimed;
static pid_t main_thread;

static long handle_syscall(long nr, const long arg[6])
{
	if (nr != SYS_madvise || arg[2] != 26)
		return kernel_syscall(nr, arg);
	if (!arg[1]) {
		questions++;
		return 0;
	}
	last = (uintptr_t)arg[0];
	reclaims++;
	elsewhere += gettid() != main_thread;
	sem_post(&reclaimed);
	errno = ENOMEM;		/* holes, of which the program must not hear */
	return -1;
}

long __real_syscall(long nr, ...)
{
	register long r10 __asm__("r10");
	register long r8 __asm__("r8");
	register long r9 __asm__("r9");
	long arg[6];
	long ret;
	va_list args;

	va_start(args, nr);
	take_arguments(arg, args);
	va_end(args);
	r10 = arg[3];
	r8 = arg[4];
	r9 = arg[5];
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret < 0 && ret >= -4095 ? refuse((int)-ret) : ret;
}

static char *page(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p[0] = 1;
	return p;
}

static bool region_of(const void *p)
{
	return last == ((uintptr_t)p & -GIB);
}

/* As they are without the object: seen by running the same without it. */
static bool same_results(void)
{
	char *p = page();
	bool good;

	errno = EDOM;
	good = !madvise(p, 4096, MADV_DONTNEED) && errno == EDOM && !p[0];
	good &= madvise(p + 1, 4096, MADV_DONTNEED) == -1 && errno == EINVAL;
	good &= madvise(p, 4096, 12345) == -1 && errno == EINVAL;
	errno = EDOM;
	munmap(p, 4096);
	good &= madvise(p, 4096, MADV_DONTNEED) == -1 && errno == ENOMEM;
	errno = EDOM;
	good &= !madvise(p, 0, MADV_DONTNEED) && errno == EDOM;
	free(malloc(1 << 20));
	malloc_trim(0);
	return good && !malloc_trim(0) && errno == EDOM;
}

static bool inline_when_alone(void)
{
	char *p = page();

	if (madvise(p, 4096, MADV_WILLNEED) || !madvise(p + 1, 4096, MADV_DONTNEED) || reclaims)
		return false;
	if (madvise(p, 4096, MADV_DONTNEED) || reclaims != 1 || !region_of(p))
		return false;
	return !madvise(p, 4096, MADV_FREE) && reclaims == 2 && !elsewhere &&
	       count_threads() == 1 && questions == 1;
}

static bool trim(void)
{
	void *p = malloc(100);
	bool good;

	malloc_trim(0);
	good = reclaims && region_of(p);
	free(p);
	return good;
}

static void *nothing(void *arg)
{
	return arg;
}

static bool failed_thread(void)
{
	pthread_attr_t attr;
	cpu_set_t none;
	pthread_t thread;

	CPU_ZERO(&none);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(none), &none);
	return pthread_create(&thread, &attr, nothing, NULL) == EINVAL && threads_become(1);
}

static bool thread_with_threads(void)
{
	char *p = page();
	pthread_t thread;
	void *value;

	if (pthread_create(&thread, NULL, nothing, &reclaims) || pthread_join(thread, &value) ||
	    value != &reclaims)
		return false;
	madvise(p, 4096, MADV_DONTNEED);
	sem_wait(&reclaimed);
	return region_of(p) && elsewhere == 1 && threads_become(2);
}

static bool in_child(bool (*test)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		main_thread = gettid();
		reclaims = 0;
		elsewhere = 0;
		questions = 1;
		_exit(!test());
	}
	waitpid(pid, &status, 0);
	return !status;
}

static bool child_is_alone(void)
{
	return thread_with_threads() && in_child(inline_when_alone) &&
	       in_child(thread_with_threads);
}

static bool asked_thread(void)
{
	char *p = page();

	madvise(p, 4096, MADV_DONTNEED);
	sem_wait(&reclaimed);
	return region_of(p) && elsewhere == 1 && count_threads() == 2;
}

static bool asked_thread_in_child(void)
{
	return asked_thread() && in_child(asked_thread);
}

static bool inert(void)
{
	char *p = page();
	pthread_t thread;

	madvise(p, 4096, MADV_DONTNEED);
	malloc_trim(0);
	return !pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL) &&
	       !questions && !reclaims && threads_become(1);
}

static const struct {
	const char *name;
	bool (*test)(void);
	const char *setting;
} tests[] = {
	{ "results and errno", same_results, "PTRECLAIM_PROBE=1" },
	{ "a program alone reclaims in its calls", inline_when_alone, "PTRECLAIM_PROBE=1" },
	{ "malloc_trim", trim, "PTRECLAIM_PROBE=1" },
	{ "a thread that could not be created", failed_thread, "PTRECLAIM_PROBE=1" },
	{ "with threads, a thread", thread_with_threads, "PTRECLAIM_PROBE=1" },
	{ "a child is alone", child_is_alone, "PTRECLAIM_PROBE=1" },
	{ "a thread on demand", asked_thread, "PTRECLAIM_THREAD=1" },
	{ "and in children", asked_thread_in_child, "PTRECLAIM_THREAD=1" },
	{ "switched off", inert, "PTRECLAIM_PROBE=0" },
	{ "results and errno when switched off", same_results, "PTRECLAIM_PROBE=0" },
};

#define TESTS	((int)(sizeof(tests) / sizeof(*tests)))

static bool start(const char *self, const char *object, int test)
{
	char number[8];
	int status = -1;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", test);
	pid = fork();
	if (!pid) {
		setenv("PTRECLAIM_PROBE", "1", 1);
		setenv("PTRECLAIM_IDLE_MS", "0", 1);
		putenv((char *)tests[test].setting);
		if (*object)
			setenv("LD_PRELOAD", object, 1);
		execl(self, self, "run", number, NULL);
		_exit(2);
	}
	waitpid(pid, &status, 0);
	return !status;
}

int main(int argc, char **argv)
{
	char object[4096];
	int i;

	if (argc == 3) {
		alarm(600);
		sem_init(&reclaimed, 0, 0);
		main_thread = gettid();
		return !tests[atoi(argv[2])].test();
	}
	if (argc != 2)
		return 2;
	snprintf(object, sizeof(object), "%s/libptreclaim-preload.so", argv[1]);
	plan(TESTS + 2);
	for (i = 0; i < TESTS; i++)
		ok(start(argv[0], object, i), "%s", tests[i].name);
	ok(start(argv[0], "", 0), "results and errno without the object");
	ok(!start(argv[0], "", 1), "and nothing else without it");
	return finish();
}
