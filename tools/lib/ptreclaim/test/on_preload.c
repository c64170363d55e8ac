// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * "on_preload yes|no": a program with jemalloc and two threads, that knows nothing of the
 * library, and is started with libptreclaim-preload.so. Either its empty tables go by
 * themselves, or the object does nothing at all.
 */
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <sched.h>

#include "allocator.h"
#include "threads.h"

const char *malloc_conf = "dirty_decay_ms:0";

static void *wait_forever(void *arg)
{
	pause();
	return arg;
}

int main(int argc, char **argv)
{
	bool acts = argc == 2 && !strcmp(argv[1], "yes");
	struct ptreclaim_tables t;
	pthread_t thread;

	alarm(200);
	no_huge_pages();
	plan(2);
	ok(!pthread_create(&thread, NULL, wait_forever, NULL) && count_threads() == 2 + acts,
	   "a thread of the library");
	fill_and_free();
	t = audit();
	printf("# %llu bytes of empty tables at first\n", (unsigned long long)t.empty_max);
	while (acts && t.empty_max > FEW) {
		sched_yield();
		t = audit();
	}
	printf("# %llu bytes in the end\n", (unsigned long long)t.empty_max);
	ok(acts || t.empty_max > MANY, "empty tables go, or stay");
	return finish();
}
