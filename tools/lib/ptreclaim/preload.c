// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libptreclaim-preload.so: the library for programs that do not know it. Stands in front
 * of functions of the C library, whose results and errno are passed on as they are.
 *
 * That is enough for jemalloc, mimalloc and gperftools as well, which call madvise() by
 * its name; hooks in them would change what they do, and note everything twice.
 *
 * A program that has one thread keeps one: some system calls need that. So what is due is
 * reclaimed in its own calls then, and by the library's thread once it has others.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>

#include "ptreclaim.h"
#include "sys.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

typedef int madvise_function(void *addr, size_t length, int advice);
typedef int malloc_trim_function(size_t pad);
typedef int pthread_create_function(pthread_t *thread, const pthread_attr_t *attr,
				    void *(*run)(void *), void *arg);

static struct {
	madvise_function *madvise;
	malloc_trim_function *malloc_trim;
	pthread_create_function *pthread_create;
} next;

static bool active;		/* the kernel has the advice; set once, before main() */
static bool always_thread;	/* PTRECLAIM_THREAD=1 */
static atomic_bool forked;	/* this process is a child that has started no thread */

/* The C library keeps its answer in a child, which has one thread nevertheless. */
static bool is_alone(void)
{
	return __libc_single_threaded || atomic_load_explicit(&forked, memory_order_relaxed);
}

static void start_thread(void)
{
	/* That there is none is no failure of the program. */
	ptreclaim_start();
}

static void note(const void *addr, size_t length)
{
	ptreclaim_note(addr, length);
	if (is_alone() && !always_thread)
		ptreclaim_due(NULL);
}

static bool gives_back(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
	       advice == MADV_DONTNEED_LOCKED;
}

PTRECLAIM_API int madvise(void *addr, size_t length, int advice)
{
	int ret;

	/* A call from another constructor may be earlier than ours. */
	ret = next.madvise ? next.madvise(addr, length, advice) :
			     (int)syscall(SYS_madvise, addr, length, (long)advice, 0L, 0L, 0L);
	if (active && !ret && gives_back(advice))
		note(addr, length);
	return ret;
}

PTRECLAIM_API int malloc_trim(size_t pad)
{
	int saved;
	int ret;

	if (!next.malloc_trim)
		return 0;
	ret = next.malloc_trim(pad);
	if (active) {
		saved = errno;
		ptreclaim_glibc();
		if (is_alone() && !always_thread)
			ptreclaim_due(NULL);
		errno = saved;
	}
	return ret;
}

static pthread_create_function *find_pthread_create(void)
{
	if (!next.pthread_create)
		*(void **)&next.pthread_create = dlsym(RTLD_NEXT, "pthread_create");
	return next.pthread_create;
}

/* Also called by ptreclaim_start(), which does nothing while another call of it goes on. */
PTRECLAIM_API int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
				 void *(*run)(void *), void *arg)
{
	pthread_create_function *create = find_pthread_create();
	int ret = create ? create(thread, attr, run, arg) : EAGAIN;

	if (active && !ret) {
		atomic_store(&forked, false);
		start_thread();
	}
	return ret;
}

static void in_child(void)
{
	atomic_store(&forked, true);
	if (always_thread)
		start_thread();
}

static bool environment_is(const char *name, const char *value)
{
	const char *set = secure_getenv(name);

	return set && !strcmp(set, value);
}

__attribute__((constructor)) static void load(void)
{
	int saved = errno;

	*(void **)&next.madvise = dlsym(RTLD_NEXT, "madvise");
	*(void **)&next.malloc_trim = dlsym(RTLD_NEXT, "malloc_trim");
	find_pthread_create();
	if (!ptreclaim_probe(NULL)) {
		always_thread = environment_is("PTRECLAIM_THREAD", "1");
		/* The thread's own handler has to come first, so that it can be started anew. */
		if (always_thread)
			start_thread();
		pthread_atfork(NULL, NULL, in_child);
		active = true;
	}
	errno = saved;
}
