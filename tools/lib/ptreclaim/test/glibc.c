// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The heaps of glibc, with a kernel and a clock that are made up. */
#include <malloc.h>
#include <semaphore.h>

#include "later.h"

static sem_t ready, over;

static void *own_arena(void *arg)
{
	*(void **)arg = malloc(1000);
	sem_post(&ready);
	sem_wait(&over);
	return NULL;
}

static uint64_t region_of(const void *p)
{
	return (uintptr_t)p / GIB;
}

static bool heaps(void)
{
	void *in_thread = NULL;
	void *in_heap = malloc(1000);
	pthread_t thread;
	bool good;

	if (pthread_create(&thread, NULL, own_arena, &in_thread))
		return false;
	sem_wait(&ready);
	errno = EDOM;
	fake.watched[0] = region_of(in_heap);
	fake.watched[1] = region_of(in_thread);
	good = !ptreclaim_glibc() && errno == EDOM && counters().notes >= 2 && !ptreclaim_flush();
	fake.odd = 0;	/* reading maps */
	sem_post(&over);
	pthread_join(thread, NULL);
	return good && fake.met[0] && fake.met[1] && !fake.whole && counters().bytes < 200 * MIB;
}

int main(void)
{
	setenv("PTRECLAIM_PROBE", "1", 1);
	plan(1);
	ok(alone(heaps), "the heap and the arena of a thread");
	return finish();
}
