// SPDX-License-Identifier: GPL-2.0
/*
 * reclaim-pid PID: sends MADV_RECLAIM_PT for all of another process.
 * reclaim-pid --audit PID: how many empty PTE tables it has left.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ptreclaim.h>

#include "procfs.h"

#define EXIT_UNSUPPORTED 3
#define TABLE		4096	/* bytes */

static void print_kb(const char *key, pid_t pid)
{
	long long kb = procfs_kb(pid, "status", "VmPTE");

	if (kb < 0)
		printf("%s gone\n", key);
	else
		printf("%s %lld\n", key, kb);
}

static int reclaim(pid_t pid)
{
	struct ptreclaim_result result;
	int pidfd, ret;

	if (ptreclaim_probe(NULL)) {
		puts("unsupported");
		return EXIT_UNSUPPORTED;
	}
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		err(1, "pidfd_open %d", pid);
	print_kb("vmpte_before", pid);
	ret = ptreclaim_process(pidfd, pid, NULL, &result);
	/* What was unmapped meanwhile, or all of the process, is no error. */
	if (!ret && result.first_error != -ENOMEM)
		ret = result.first_error;
	if (ret && ret != -ESRCH) {
		errno = -ret;
		err(1, "MADV_RECLAIM_PT for %d", pid);
	}
	close(pidfd);
	print_kb("vmpte_after", pid);
	printf("bytes_advised %" PRIu64 "\ncalls %" PRIu64 "\nranges_skipped %" PRIu64 "\n",
	       result.bytes, result.calls, result.ranges_skipped);
	return 0;
}

static int audit(pid_t pid)
{
	struct ptreclaim_tables found;
	int ret = ptreclaim_audit(pid, NULL, &found);
	uint64_t bound;

	if (ret) {
		errno = -ret;
		err(1, "page tables of %d", pid);
	}
	if (found.changed)
		errx(1, "process %d goes on changing its page tables: stop it, or try again", pid);
	bound = found.in_use + found.pmd_max + found.pud_max + found.deposited;
	printf("vmpte %" PRIu64 "\nbound %" PRIu64 "\ntables_with_entry %" PRIu64 "\nslots_1g %" PRIu64
	       "\nslots_512g %" PRIu64 "\nthp %" PRIu64 "\nempty_at_most %" PRIu64
	       "\nempty_min %" PRIu64 "\nempty_max %" PRIu64 "\n",
	       found.vmpte / 1024, bound * TABLE / 1024, found.in_use, found.pmd_max, found.pud_max,
	       found.deposited, found.empty_min / TABLE, found.empty_min / 1024,
	       found.empty_max / 1024);
	return 0;
}

int main(int argc, char **argv)
{
	bool auditing = argc == 3 && !strcmp(argv[1], "--audit");
	char *end;
	long pid;

	if (argc != 2 && !auditing)
		errx(2, "usage: reclaim-pid [--audit] PID");
	errno = 0;
	pid = strtol(argv[argc - 1], &end, 10);
	if (errno || *end || pid <= 0 || pid > INT_MAX)
		errx(2, "not a pid: %s", argv[argc - 1]);
	return auditing ? audit(pid) : reclaim(pid);
}
