/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libptreclaim: frees empty page tables, of one's own or of other processes.
 *
 * Memory that is given back leaves its page tables behind, 4 KiB for each 2 MiB
 * of address space ever touched. Linux with MADV_RECLAIM_PT frees PTE tables that
 * hold nothing; no page is freed and no byte of memory changes. This library knows
 * whether the running kernel has the advice, and how to send it.
 *
 * What holds for all functions, unless their comment says otherwise:
 *
 * - Addresses, lengths and sizes are in bytes. Ranges need no alignment.
 * - 0 is success. A failure is a negated error number, such as -ENOTSUP.
 * - errno is left as it was, also on failure.
 * - No memory is allocated, no lock is taken, no file descriptor outlives a call,
 *   and stdio is not used. An allocator may call them, and so may the child of a
 *   fork of a program with threads.
 * - All of them may be called by any number of threads at once. Where a function
 *   may be called in a signal handler, its comment says so.
 * - None is a cancellation point of threads.
 * - System calls are made by syscall(2), so that a program or a library that
 *   interposes madvise() does not see them.
 */
#ifndef PTRECLAIM_H
#define PTRECLAIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PTRECLAIM_API __attribute__((visibility("default")))
#else
#define PTRECLAIM_API
#endif

/**
 * enum ptreclaim_support - whether the advice can be used, and if not, why
 * @PTRECLAIM_SUPPORTED: it can
 * @PTRECLAIM_NO_ADVICE: the kernel refuses its number
 * @PTRECLAIM_NO_COUNTER: the kernel takes the number, but /proc/vmstat has no row
 *	pt_reclaim_freed: to this kernel the number may mean something else
 * @PTRECLAIM_NO_PROC: the kernel takes the number, but /proc/vmstat cannot be read
 * @PTRECLAIM_DISABLED: the environment has PTRECLAIM_PROBE=0
 *
 * Later versions may add reasons. Since 0.1.
 */
enum ptreclaim_support {
	PTRECLAIM_SUPPORTED = 0,
	PTRECLAIM_NO_ADVICE = 1,
	PTRECLAIM_NO_COUNTER = 2,
	PTRECLAIM_NO_PROC = 3,
	PTRECLAIM_DISABLED = 4
};

/**
 * ptreclaim_probe() - Does this kernel have MADV_RECLAIM_PT?
 * @why: where to put the reason; may be NULL
 *
 * For a caller who does something first that only pays off with the advice, such
 * as noting down ranges. Others need not ask: all functions that send the advice
 * ask by themselves.
 *
 * The number of the advice is provisional, so the kernel has to accept it and to
 * show the counter pt_reclaim_freed. The first answer is kept for the life of the
 * process, unless /proc/vmstat could not be opened for lack of file descriptors
 * or memory; later calls make no system call.
 *
 * PTRECLAIM_PROBE=0 in the environment makes the answer no. PTRECLAIM_PROBE=1 stands
 * in for the counter where /proc is not mounted; the kernel still has to accept the
 * number. Other values are ignored, and so is the variable in programs that run
 * with more privileges than their user (secure_getenv(3): setuid, setgid, file
 * capabilities).
 *
 * Context: Async-signal-safe once a call has returned an answer that is kept. The
 *	first call reads the environment; it must not run beside setenv(3).
 * Return: 0, or -ENOTSUP.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_probe(enum ptreclaim_support *why);

/**
 * ptreclaim_support_text() - The reason in English, for a message
 * @why: what ptreclaim_probe() gave
 *
 * Context: Async-signal-safe.
 * Return: a constant string without a full stop, never NULL.
 *
 * Since 0.1.
 */
PTRECLAIM_API const char *ptreclaim_support_text(enum ptreclaim_support why);

/**
 * ptreclaim_range() - Free the empty page tables of a range of one's own
 * @addr: where it starts; need not be aligned
 * @length: in bytes; 0 is allowed and does nothing
 *
 * For an allocator or a program that has given memory back, and does not expect to
 * use the addresses again at once. The range is taken outward, to pages by the
 * library and to whole tables by the kernel; a table in use stays as it is, so
 * nothing can be lost by a range that is too large. ptreclaim_range(NULL, SIZE_MAX)
 * asks for the whole process.
 *
 * Holes are no error: what is mapped between them was dealt with. The range goes
 * to the kernel in one call, however long it is. That the call has succeeded does
 * not tell whether any table was empty.
 *
 * Context: Async-signal-safe once ptreclaim_probe() is. May sleep, as it waits for
 *	threads that change mappings, and make such threads wait.
 * Return: 0; -ENOTSUP without the advice; -EINVAL if @addr + @length is no address;
 *	-EINTR if the process is being killed.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_range(const void *addr, size_t length);

/**
 * struct ptreclaim_result - what a call has done
 * @bytes: how many bytes of ranges the kernel has reported as done, after the
 *	rounding to pages
 * @ranges_done: ranges done without an error, empty ones included
 * @ranges_skipped: ranges that were stepped over, all of them or a part, because of
 *	an error of their own. With -ENOMEM that is a hole, mostly because memory was
 *	unmapped meanwhile; what is mapped around it was dealt with, though @bytes
 *	does not count it. With -EFAULT the range reaches beyond what is a user's, and
 *	is left out from 2 GiB before that on.
 * @calls: how often process_madvise(2) was called with ranges
 * @first_error: of the first range that was skipped, negated, or 0
 *
 * Ranges that are counted by neither were not reached, because the call ended
 * early. Since 0.1.
 */
struct ptreclaim_result {
	uint64_t bytes;
	uint64_t ranges_done;
	uint64_t ranges_skipped;
	uint64_t calls;
	int first_error;
};

/**
 * ptreclaim_ranges() - Free the empty page tables of ranges of a process
 * @pidfd: refers to the process, see pidfd_open(2); one's own will do
 * @ranges: any number of ranges of any length, in any order, in the address space
 *	of that process; they need no alignment and may overlap
 * @count: how many
 * @cancel: looked at before each system call; once it is not 0 the call ends. May be
 *	NULL. Set it with __atomic_store_n(), or in a signal handler as a
 *	volatile sig_atomic_t.
 * @result: is set anew, whatever the return value; may be NULL
 *
 * For a manager of processes, which knows best when one of them is idle. One system
 * call takes 1024 ranges and 2 GiB at most, ends at the first hole, and fails as a
 * whole for one address that is not a user's: this function splits, goes on behind
 * what was done, and steps over what fails. A single system call covers 2 GiB at
 * most, so that a cancelled call ends soon.
 *
 * Needs CAP_SYS_NICE and PTRACE_MODE_READ_FSCREDS (see ptrace(2)), unless the
 * process is one's own. Uses 18 KiB of stack.
 *
 * Context: Async-signal-safe once ptreclaim_probe() is.
 * Return: 0 if all ranges were gone through, also if some were skipped. Otherwise
 *	the call has ended early: -ENOTSUP without the advice (or without
 *	process_madvise(2)); -ECANCELED; -ESRCH if the process has exited; -EPERM or
 *	-EACCES without the privileges; -EBADF if @pidfd is none; -EINTR if the
 *	caller is being killed; -EIO if the kernel's answer makes no sense.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_ranges(int pidfd, const struct iovec *ranges, size_t count,
				   const volatile int *cancel, struct ptreclaim_result *result);

/**
 * ptreclaim_process() - Free the empty page tables of a whole process
 * @pidfd: refers to the process
 * @pid: its number in /proc
 * @cancel: as for ptreclaim_ranges()
 * @result: as for ptreclaim_ranges(); mappings that touch each other count as one
 *	range
 *
 * For a manager that does not want to know more about a process: sends all of
 * /proc/PID/maps. If @pid is reused meanwhile, -ESRCH is returned and nothing was
 * done. For one's own process, ptreclaim_range(NULL, SIZE_MAX) does the same with
 * one system call.
 *
 * Uses 28 KiB of stack.
 *
 * Context: Not async-signal-safe.
 * Return: as ptreclaim_ranges(); also what opening or reading /proc/PID/maps gives
 *	(-EACCES, -ENOENT if there is no such process or no /proc, -EMFILE), and
 *	-EBADMSG if it is not in the format of that file.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_process(int pidfd, pid_t pid, const volatile int *cancel,
				    struct ptreclaim_result *result);

/**
 * struct ptreclaim_vma - a line of /proc/PID/maps
 * @start: first address
 * @end: first address behind it, above @start
 * @inode: of the file, 0 if there is none
 * @prot: PROT_READ, PROT_WRITE and PROT_EXEC
 * @shared: 1 for MAP_SHARED, 0 for MAP_PRIVATE
 * @name: the path or the name in brackets, "" for anonymous memory. A newline that
 *	the kernel has escaped is one again. Cut where the line is longer than 4351
 *	bytes.
 *
 * Only the library makes these; later versions may add fields at the end. Since 0.1.
 */
struct ptreclaim_vma {
	uint64_t start;
	uint64_t end;
	uint64_t inode;
	int prot;
	int shared;
	const char *name;
};

/**
 * ptreclaim_maps() - Read the mappings of a process
 * @fd: /proc/PID/maps, or text in its format, open for reading
 * @visit: called for each mapping in the order of the text, with @arg; @vma and its
 *	name are gone when it returns. Anything but 0 ends the reading. Must return:
 *	no C++ exception, no longjmp().
 * @arg: for @visit
 *
 * For a caller who wants some mappings of a process only. Leaves [vsyscall] out,
 * which is no mapping of the process though the file has a line for it. The text is
 * not trusted: any input gives VMAs with start < end, or an error.
 *
 * Uses 10 KiB of stack.
 *
 * Context: Async-signal-safe if @visit is.
 * Return: 0 at the end of the text; what @visit returned if that is not 0;
 *	-EBADMSG for a line that is none of maps; else a read(2) error.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_maps(int fd, int (*visit)(const struct ptreclaim_vma *vma, void *arg),
				 void *arg);

/**
 * struct ptreclaim_tables - what the page tables of a process are good for
 * @vmpte: VmPTE of /proc/PID/status, in bytes
 * @empty_min: bytes of PTE tables without an entry, at least: @vmpte less one page
 *	for each table that is or may be counted below; 0 if that is negative
 * @empty_max: the same, at most
 * @in_use: PTE tables with an entry
 * @deposited: PTE tables that the kernel keeps for splitting huge pages
 * @pmd_min: tables above PTE tables, at least: 1 GiB slots that hold a small page
 * @pmd_max: the same, at most: 1 GiB slots that hold a mapping
 * @pud_min: tables above those, at least: 512 GiB slots that hold a small page
 * @pud_max: the same, at most: 512 GiB slots that hold a mapping
 * @changed: 1 if the process went on changing its tables, so that the numbers do
 *	not fit together
 *
 * Since 0.1.
 */
struct ptreclaim_tables {
	uint64_t vmpte;
	uint64_t empty_min;
	uint64_t empty_max;
	uint64_t in_use;
	uint64_t deposited;
	uint64_t pmd_min;
	uint64_t pmd_max;
	uint64_t pud_min;
	uint64_t pud_max;
	int changed;
};

/**
 * ptreclaim_audit() - How much would there be to free in a process?
 * @pid: its number in /proc
 * @cancel: looked at before each mapping; once it is not 0 the call ends. May be NULL.
 * @tables: is set on success
 *
 * For a manager that wants to know which process is worth it, and for tests. Needs
 * no support by the kernel, and PTRACE_MODE_READ_FSCREDS access to the process. Looks
 * again, up to ten times, if VmPTE was not the same before and after.
 *
 * Tables above PTE tables stay until munmap(2) and are not seen from outside. So
 * @tables->empty_min is far too low where large mappings were never touched, and
 * @tables->empty_max a little too high where they are not in use any more, by 4 KiB
 * for each GiB. After all was reclaimed, what is left of @tables->empty_max is that.
 *
 * Both are too high where drivers have mapped device memory, whose tables /proc does
 * not show; and by a table for each huge zero page if the process uses hugetlb pages
 * as well. Kernels before 6.7 have no PAGEMAP_SCAN: there, 8 bytes are read for each
 * page of address space.
 *
 * Uses 22 KiB of stack.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -ECANCELED; what opening or reading files of /proc/PID gives (-EACCES,
 *	-EPERM, -ENOENT, -ESRCH, -EMFILE); -ENODATA if a row is not there, as for
 *	processes without memory of their own; -EBADMSG as ptreclaim_maps();
 *	-ENOTSUP where pages are not of 4 KiB.
 *
 * Since 0.1.
 */
PTRECLAIM_API int ptreclaim_audit(pid_t pid, const volatile int *cancel,
				  struct ptreclaim_tables *tables);

/**
 * ptreclaim_audit_at() - ptreclaim_audit() by the folder of a process
 * @dirfd: /proc/PID, open; O_PATH will do
 * @cancel: as for ptreclaim_audit()
 * @tables: as for ptreclaim_audit()
 *
 * However pids are reused meanwhile, all that is read belongs to the process for which
 * the folder was opened.
 *
 * Or @dirfd is a copy of such a folder, with status, maps, pagemap and smaps_rollup. In
 * the copy of pagemap the entry of a page stands where it does in the original; what is
 * not mapped may be a hole, and reading holes takes no time.
 *
 * Uses 22 KiB of stack.
 *
 * Context: Not async-signal-safe.
 * Return: as ptreclaim_audit(), with -ENOENT or -ESRCH if the process has gone.
 *
 * Since 0.3.
 */
PTRECLAIM_API int ptreclaim_audit_at(int dirfd, const volatile int *cancel,
				     struct ptreclaim_tables *tables);

/**
 * ptreclaim_note() - Memory was given back: reclaim its page tables later
 * @addr: where the range starts; need not be aligned
 * @length: in bytes; 0 is allowed and does nothing
 *
 * For an allocator, after each madvise(MADV_DONTNEED) and the like. Reclaiming at once
 * would not pay: what was given back is often taken again soon, and then needs a new
 * table. So ranges are noted, as regions of 1 GiB, and a region is reclaimed once
 *
 * - nothing was noted in it for 1000 ms (PTRECLAIM_IDLE_MS in the environment), or
 * - 512 MiB were noted in it since it was last done (PTRECLAIM_BYTES, in bytes).
 *
 * Noting alone does nothing: call ptreclaim_start() once, or ptreclaim_due() or
 * ptreclaim_flush() from time to time. Without the advice a note is a comparison.
 *
 * The library has room for 4096 regions, in sets of 16. Where it is used up, and for a
 * single note of more than 1 TiB, all of the process counts as noted.
 *
 * Wait-free: takes a bounded number of steps for each GiB of the range, whatever other
 * threads do. Makes no system call, but for one that wakes the thread of
 * ptreclaim_start() if it has nothing to wait for.
 *
 * Context: Async-signal-safe once ptreclaim_probe() is and ptreclaim_set_deferral() or
 *	ptreclaim_note() has been called; the first call reads the environment.
 *
 * Since 0.2.
 */
PTRECLAIM_API void ptreclaim_note(const void *addr, size_t length);

/**
 * ptreclaim_set_deferral() - How long to put off what was noted
 * @idle_ms: a region is due after so many ms without a note in it
 * @bytes: and as soon as so many bytes were noted in it; 0 is the same as 1, UINT64_MAX
 *	turns this rule off
 *
 * Holds from now on, also for what is noted already, and instead of what the environment
 * says.
 *
 * Context: Async-signal-safe.
 *
 * Since 0.2.
 */
PTRECLAIM_API void ptreclaim_set_deferral(unsigned int idle_ms, uint64_t bytes);

/**
 * ptreclaim_due() - Reclaim the regions that are due
 * @next: where to put the ms until the next region falls due, or -1 if nothing is
 *	noted, as poll(2) wants its timeout; may be NULL
 *
 * For a program with a loop of its own, in place of a thread. While nothing is due, it
 * costs no more than a look at the clock.
 *
 * Context: Async-signal-safe once ptreclaim_note() is. May sleep, as ptreclaim_range().
 * Return: 0; -ENOTSUP without the advice; or the first error of ptreclaim_range(), after
 *	which the other regions were done nevertheless.
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_due(int *next);

/**
 * ptreclaim_flush() - Reclaim all that was noted, now
 *
 * For a program that knows that it will be idle. A region that another thread has begun
 * to reclaim may not be finished on return.
 *
 * Context: as ptreclaim_due()
 * Return: as ptreclaim_due()
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_flush(void);

/**
 * ptreclaim_start() - Let a thread reclaim what is due
 *
 * The thread belongs to the library, has all signals blocked, and sleeps until the first
 * region falls due; while nothing is noted it does not wake up. If it runs already,
 * nothing is done.
 *
 * The child of a fork has no such thread, but what was noted; it may start one. A process
 * with threads cannot do some things any more, such as unshare(2) of a user namespace:
 * see ptreclaim_stop().
 *
 * Allocates memory, takes locks and calls pthread_create(), so an allocator must not
 * call it.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -ENOTSUP without the advice; -EBUSY if another thread is in ptreclaim_stop();
 *	-EAGAIN or -ENOMEM as pthread_create(3).
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_start(void);

/**
 * ptreclaim_stop() - End the thread of ptreclaim_start()
 *
 * Waits for the region that it is reclaiming. What was noted stays so. Without a thread,
 * nothing is done.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -EBUSY if another thread is in ptreclaim_start() or ptreclaim_stop().
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_stop(void);

/**
 * struct ptreclaim_counters - what became of notes, since the process has started
 * @notes: calls of ptreclaim_note(), but for empty ranges and without the advice
 * @bytes: their sum
 * @calls: how often ptreclaim_range() was called for them
 * @regions: of these, for a region; the others were for all of the process
 * @overflows: notes that made all of the process be noted
 *
 * The child of a fork goes on counting from its parent's numbers. Since 0.2.
 */
struct ptreclaim_counters {
	uint64_t notes;
	uint64_t bytes;
	uint64_t calls;
	uint64_t regions;
	uint64_t overflows;
};

/**
 * ptreclaim_get_counters() - What became of notes
 * @counters: is set; each number for itself, while others may be counting
 *
 * Context: Async-signal-safe.
 *
 * Since 0.2.
 */
PTRECLAIM_API void ptreclaim_get_counters(struct ptreclaim_counters *counters);

/**
 * ptreclaim_jemalloc() - Note what jemalloc gives back
 *
 * Puts hooks around the extent hooks of all arenas, which note each range that was
 * purged or decommitted; ptreclaim_note() says what is to be done about that. Automatic
 * arenas that were not in use yet are created, for 84 KiB of memory each: jemalloc has
 * four for each processor. For arenas that the program makes later, call it again.
 *
 * Finds mallctl() or je_mallctl() where the dynamic linker does. What jemalloc does is
 * the same as before, with the default hooks and with hooks of the program's own.
 *
 * Allocates memory and takes locks, so an allocator must not call it, nor a hook.
 *
 * Context: Not async-signal-safe. Not in the child of a fork of a program with threads.
 * Return: 0; -ENOSYS if there is no jemalloc 5; -ENOTSUP without the advice; -EOPNOTSUPP,
 *	which is the same number on Linux, with opt.hpa, which hooks would turn off; -ENOSPC
 *	if there are more than eight different tables of hooks; or what mallctl(3) says.
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_jemalloc(void);

/**
 * ptreclaim_glibc() - Note the heaps of the C library's malloc
 *
 * For after malloc_trim(0): finds the heap and the arenas of threads in /proc/self/maps,
 * and notes them as ptreclaim_note() does. Call ptreclaim_flush() to reclaim them at
 * once. Other memory that looks like an arena of a thread is noted too, which does no
 * harm. Uses 10 KiB of stack.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -ENOSYS if the C library is not glibc; -ENOTSUP without the advice; else as
 *	open(2) and ptreclaim_maps().
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_glibc(void);

/**
 * ptreclaim_mimalloc() - Note the arenas of mimalloc 2
 *
 * For after mi_collect(true), as ptreclaim_glibc() is for after malloc_trim(). If there
 * are no arenas, as in versions before 2.1 unless the program has reserved some, all of
 * the process is noted.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -ENOSYS if there is no mimalloc 2; -ENOTSUP without the advice.
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_mimalloc(void);

/**
 * ptreclaim_gperftools() - Note what gperftools' tcmalloc has given back
 *
 * For after MallocExtension_ReleaseFreeMemory(). Its interface for C does not tell where
 * that memory is: if it is 2 MiB or more, all of the process is noted. In C++,
 * MallocExtension::Ranges() gives the ranges to hand to ptreclaim_note().
 *
 * Takes a lock of the allocator.
 *
 * Context: Not async-signal-safe.
 * Return: 0; -ENOSYS if there is no such allocator; -ENOTSUP without the advice.
 *
 * Since 0.2.
 */
PTRECLAIM_API int ptreclaim_gperftools(void);

#ifdef __cplusplus
}
#endif

#endif
