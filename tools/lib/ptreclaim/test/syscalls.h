/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * For programs that are linked with -Wl,--wrap=syscall: the library's system calls come
 * to handle_syscall(), which each of them defines. It may hand them on to the kernel.
 */
#ifndef PTRECLAIM_TEST_SYSCALLS_H
#define PTRECLAIM_TEST_SYSCALLS_H

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static long handle_syscall(long nr, const long arg[6]);

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

/* The library always gives six arguments. */
static inline void take_arguments(long arg[6], va_list args)
{
	int i;

	for (i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
}

long __wrap_syscall(long nr, ...)
{
	long arg[6];
	va_list args;

	va_start(args, nr);
	take_arguments(arg, args);
	va_end(args);
	return handle_syscall(nr, arg);
}

static inline long kernel_syscall(long nr, const long arg[6])
{
	return __real_syscall(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static inline long refuse(int error)
{
	errno = error;
	return -1;
}

#endif
