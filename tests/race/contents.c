// SPDX-License-Identifier: GPL-2.0
/* What pages hold, what the kernel says of them, and its settings. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "race.h"

#define WORDS	(PAGE / sizeof(uint64_t))

static bool note(struct run *run, const char *format, va_list list)
{
	int error = errno, length;

	/* The first reason is the one that counts. */
	if (run->why[0])
		return false;
	length = vsnprintf(run->why, sizeof(run->why), format, list);
	if (length > 0 && length < (int)sizeof(run->why) && run->why[length - 1] == ':')
		snprintf(run->why + length, sizeof(run->why) - length, " %s", strerror(error));
	return false;
}

bool fail(struct run *run, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	note(run, format, list);
	va_end(list);
	return false;
}

bool skip(struct run *run, const char *format, ...)
{
	va_list list;

	run->skipped = !run->why[0];
	va_start(list, format);
	note(run, format, list);
	va_end(list);
	return false;
}

char *turn(const struct run *run)
{
	return window_page(run, run->round % SLOTS, run->round / SLOTS % run->pages);
}

char *window(const struct run *run)
{
	return window_page(run, run->round % SLOTS, 0);
}

/* The page's number in the area, so that contents may move with it, and the round. */
static uint64_t first_word(const struct run *run, const char *addr, unsigned long round)
{
	return (uint64_t)(addr - run->area) / PAGE << 48 | (round + 1) << 9;
}

void fill(const struct run *run, void *page, const char *addr, unsigned long round)
{
	uint64_t word = first_word(run, addr, round);
	volatile uint64_t *words = page;

	for (size_t i = 0; i < WORDS; i++)
		words[i] = word + i;
}

bool check(struct run *run, const void *page, const char *addr, unsigned long round)
{
	uint64_t word = first_word(run, addr, round), found;
	const volatile uint64_t *words = page;

	for (size_t i = 0; i < WORDS; i++) {
		found = words[i];
		if (found == word + i)
			continue;
		return fail(run, "page %zu, word %zu, round %lu: %s, it is %#llx",
			    (size_t)(addr - run->area) / PAGE, i, round,
			    !found ? "the contents are lost" :
			    found >> 48 == word >> 48 ? "the contents are old" :
			    "the contents are another's", (unsigned long long)found);
	}
	return true;
}

bool check_fresh(struct run *run, const char *addr)
{
	const volatile uint64_t *words = (const volatile uint64_t *)addr;
	uint64_t word = first_word(run, addr, -1UL);

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t found = words[i];

		if (found != (run->memory == FILE_PRIVATE ? word + i : 0))
			return fail(run, "page %zu, word %zu: nobody wrote it, and it is %#llx",
				    (size_t)(addr - run->area) / PAGE, i,
				    (unsigned long long)found);
	}
	return true;
}

/* A call that covers a slot would free its table, and leave none to the advice. */
int take_out(char *addr, size_t length)
{
	size_t first = length < SLOT || only_dontneed ? length : SLOT / 2;

	return madvise(addr, first, MADV_DONTNEED) ||
	       (first < length && madvise(addr + first, length - first, MADV_DONTNEED));
}

bool drop(struct run *run, char *addr, size_t length)
{
	char *end = addr + length;

	if (run->memory == FILE_PRIVATE) {
		addr = (char *)((uintptr_t)addr & -FAULT_AROUND);
		end = (char *)(((uintptr_t)end + FAULT_AROUND - 1) & -FAULT_AROUND);
	}
	if (run->memory == SHMEM ? madvise(addr, end - addr, MADV_REMOVE) :
				   take_out(addr, end - addr))
		return fail(run, "cannot empty memory:");
	return true;
}

bool drop_window(struct run *run)
{
	return drop(run, window(run), run->pages * PAGE);
}

/* FILLED * 9 is less than a window has pages: they differ. */
char *filled(const struct run *run, unsigned int i)
{
	return window_page(run, run->round % SLOTS,
			   (run->round / SLOTS * 7 + i * 9) % run->pages);
}

void fill_some(const struct run *run, unsigned long round)
{
	for (unsigned int i = 0; i < FILLED; i++)
		fill(run, filled(run, i), filled(run, i), round);
}

bool check_some(struct run *run, unsigned long round)
{
	for (unsigned int i = 0; i < FILLED; i++)
		if (!check(run, filled(run, i), filled(run, i), round))
			return false;
	return true;
}

bool pagemap_entries(const char *addr, uint64_t *entries, size_t nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t size = nr * sizeof(*entries), got;

	if (fd < 0)
		return false;
	got = pread(fd, entries, size, (uintptr_t)addr / PAGE * sizeof(*entries));
	close(fd);
	return got == size;
}

uint64_t pagemap_entry(const char *addr)
{
	uint64_t entry;

	return pagemap_entries(addr, &entry, 1) ? entry : 0;
}

bool in_swap(const struct run *run, const char *addr, size_t nr)
{
	/* What a file has of its pages: the fourth count is of evicted ones. */
	const struct {
		uint64_t offset, length;
	} range = { addr - run->area, nr * PAGE };
	uint64_t counts[5] = { }, entries[SLOT_PAGES];
	bool found = false;

	if (run->memory == SHMEM) {
		if (syscall(SYS_cachestat, run->fd, &range, counts, 0))
			err(1, "cachestat");
		return counts[3];
	}
	if (!pagemap_entries(addr, entries, nr))
		return false;
	/* The last types of the 32 are migration and the like. */
	for (size_t i = 0; i < nr; i++)
		found |= entries[i] & PM_SWAP && (entries[i] & 31) < 16;
	return found;
}

unsigned long read_row(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	size_t length = strlen(name);
	unsigned long number = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && strchr(": \t", line[length])) {
			sscanf(line + length, "%*[: \t]%lu", &number);
			break;
		}
	if (file)
		fclose(file);
	return number;
}

bool write_to(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error;
	va_list list;
	bool done;

	if (fd < 0)
		return false;
	va_start(list, format);
	done = vdprintf(fd, format, list) > 0;
	va_end(list);
	error = errno;
	close(fd);
	errno = error;
	return done;
}

bool read_setting(const char *path, char *value, size_t size)
{
	FILE *file = fopen(path, "r");
	char line[128] = "", *start, *end;

	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	start = strchr(line, '[');
	start = start ? start + 1 : line;
	end = start + strcspn(start, "] \n");
	*end = '\0';
	snprintf(value, size, "%s", start);
	return *start;
}

static bool change(struct run *run, struct setting *setting)
{
	if (access(setting->path, F_OK))
		return setting->optional || skip(run, "no %s", setting->path);
	if (!read_setting(setting->path, setting->before, sizeof(setting->before)))
		return fail(run, "cannot read %s:", setting->path);
	if (!write_to(setting->path, "%s", setting->value))
		return fail(run, "cannot write to %s:", setting->path);
	setting->changed = true;
	return true;
}

struct setting *change_settings(struct run *run, const struct setting *settings, size_t count)
{
	struct setting *copy = calloc(count, sizeof(*copy));

	if (!copy) {
		fail(run, "no memory");
		return NULL;
	}
	memcpy(copy, settings, count * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		if (!change(run, &copy[i])) {
			change_back(copy, count);
			return NULL;
		}
	return copy;
}

void change_back(struct setting *settings, size_t count)
{
	while (settings && count--)
		if (settings[count].changed)
			write_to(settings[count].path, "%s", settings[count].before);
	free(settings);
}

pid_t start_child(struct run *run, void (*work)(struct run *run))
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fail(run, "fork:");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		work(run);
	_exit(0);
}
