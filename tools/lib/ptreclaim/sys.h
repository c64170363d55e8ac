/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * System calls as the library needs them: a negated error number instead of errno,
 * past whoever interposes the C library's functions, and no cancellation points.
 */
#ifndef PTRECLAIM_SYS_H
#define PTRECLAIM_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Not assigned by upstream Linux, so this name is not for the public header. */
#define PTRECLAIM_ADVICE	26

#ifndef SYS_process_madvise
#define SYS_process_madvise	440
#endif

static inline long sys_call(long nr, long a, long b, long c, long d, long e)
{
	int saved = errno;
	long ret = syscall(nr, a, b, c, d, e, 0L);

	if (ret == -1)
		ret = -errno;
	errno = saved;
	return ret;
}

static inline int sys_reclaim(uintptr_t start, size_t length)
{
	return (int)sys_call(SYS_madvise, (long)start, (long)length, PTRECLAIM_ADVICE, 0, 0);
}

static inline ssize_t sys_process_reclaim(int pidfd, const struct iovec *iov, size_t n)
{
	return sys_call(SYS_process_madvise, pidfd, (long)iov, (long)n, PTRECLAIM_ADVICE, 0);
}

static inline int sys_openat(int dirfd, const char *path)
{
	return (int)sys_call(SYS_openat, dirfd, (long)path, O_RDONLY | O_CLOEXEC, 0, 0);
}

static inline int sys_open(const char *path)
{
	return sys_openat(AT_FDCWD, path);
}

static inline ssize_t sys_read(int fd, void *buf, size_t size)
{
	ssize_t ret;

	do {
		ret = sys_call(SYS_read, fd, (long)buf, (long)size, 0, 0);
	} while (ret == -EINTR);
	return ret;
}

static inline void sys_close(int fd)
{
	sys_call(SYS_close, fd, 0, 0, 0, 0);
}

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)sys_call(SYS_ioctl, fd, (long)request, (long)arg, 0, 0);
}

/* Returns early now and then, as futexes do. A negative time is endless. */
static inline void sys_futex_wait(_Atomic uint32_t *word, uint32_t value, int ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	sys_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value,
		 ms < 0 ? 0 : (long)&time, 0);
}

static inline void sys_futex_wake(_Atomic uint32_t *word)
{
	sys_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0);
}

/* sysconf() is not on the list of async-signal-safe functions. */
static inline size_t sys_page_size(void)
{
	return getauxval(AT_PAGESZ);
}

#endif
