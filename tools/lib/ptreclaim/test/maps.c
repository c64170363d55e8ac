// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* ptreclaim_maps() with text that kernels write, and with text that they do not. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../maps.h"
#include "tap.h"

#define MAX_VMAS	4096
#define NAME_SIZE	5000

struct seen {
	uint64_t start, end, inode;
	int prot, shared;
	char name[64];
	size_t name_length;
};

static struct seen seen[MAX_VMAS];
static int seen_count;
static int stop_at;

struct text {
	const char *bytes;
	size_t length;
	size_t pos;
	size_t step;		/* bytes that one read gives */
	int error;		/* in place of the end */
};

static ssize_t read_text(void *source, char *buf, size_t size)
{
	struct text *t = source;
	size_t n = t->length - t->pos;

	if (!n)
		return -t->error;
	if (n > t->step)
		n = t->step;
	if (n > size)
		n = size;
	memcpy(buf, t->bytes + t->pos, n);
	t->pos += n;
	return (ssize_t)n;
}

static int see(const struct ptreclaim_vma *vma, void *arg)
{
	struct seen *s = &seen[seen_count++];

	s->start = vma->start;
	s->end = vma->end;
	s->inode = vma->inode;
	s->prot = vma->prot;
	s->shared = vma->shared;
	s->name_length = strlen(vma->name);
	snprintf(s->name, sizeof(s->name), "%s", vma->name);
	return arg != seen || seen_count == stop_at || seen_count == MAX_VMAS ? 7 : 0;
}

static int parse(const char *bytes, size_t length, size_t step, int error)
{
	struct text t = { .bytes = bytes, .length = length, .step = step, .error = error };
	struct ptreclaim_vma vma;
	struct maps_reader r;
	int ret;

	seen_count = 0;
	ptreclaim_maps_start(&r, read_text, &t);
	while ((ret = ptreclaim_maps_next(&r, &vma)) > 0)
		see(&vma, seen);
	return ret;
}

static int parse_line(const char *line)
{
	return parse(line, strlen(line), 4096, 0);
}

static bool is(const char *line, uint64_t start, uint64_t end, int prot, int shared, uint64_t inode,
	       const char *name)
{
	const struct seen *s = seen;

	return !parse_line(line) && seen_count == 1 && s->start == start && s->end == end &&
	       s->prot == prot && s->shared == shared && s->inode == inode &&
	       !strcmp(s->name, name);
}

static const char good[] =
	"00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/a program\n"
	"7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
	"7f0000021000-7f0004000000 ---p 00000000 00:00 0 \n"
	"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n";

static void good_lines(void)
{
	ok(is("00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/a program\n", 0x400000,
	      0x452000, PROT_READ | PROT_EXEC, 0, 173521, "/usr/bin/a program"),
	   "a file, with a space in its path");
	ok(is("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n", 0x7f0000000000, 0x7f0000021000,
	      PROT_READ | PROT_WRITE, 0, 0, ""), "anonymous memory");
	ok(is("1000-2000 ---s ffffffffffffffff fff:fffff 18446744073709551600 x\n", 0x1000, 0x2000,
	      PROT_NONE, 1, 18446744073709551600u, "x"), "large numbers");
	ok(is("0-fffffffffffff000 rwxs 0 0:0 0 /a\\012b\\012\n", 0, 0xfffffffffffff000,
	      PROT_READ | PROT_WRITE | PROT_EXEC, 1, 0, "/a\nb\n"), "escaped newlines");
	ok(is("1000-2000 r--p 0 0:0 0 /a\\01\\0122\\\n", 0x1000, 0x2000, PROT_READ, 0, 0,
	      "/a\\01\n2\\"),
	   "almost an escape");
	ok(is("1000-2000 r--p 0 0:0 0 [anon:a name]\n", 0x1000, 0x2000, PROT_READ, 0, 0,
	      "[anon:a name]"), "a named anonymous mapping");
	ok(!parse_line("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]\n") &&
	   !seen_count, "[vsyscall] is left out");
	ok(!parse_line("") && !seen_count, "nothing at all");
}

static const char *const bad_lines[] = {
	"\n",
	" \n",
	"x\n",
	"1000\n",
	"1000-\n",
	"1000-2000\n",
	"1000-2000 \n",
	"1000-2000 rw-p\n",
	"1000-2000 rw-p 0 0:0 0",
	"1000-2000 rw-p 0 0:0 0\n",
	"1000-2000 rw-p 0 0:0\n",
	"1000-2000 rw-p 0 0 0 \n",
	"1000-2000 rw-p  0 0:0 0 \n",
	"1000-2000 rwp 0 0:0 0 \n",
	"1000-2000 wr-p 0 0:0 0 \n",
	"1000-2000 rw-- 0 0:0 0 \n",
	"1000-2000 rw-pp 0 0:0 0 \n",
	"2000-1000 rw-p 0 0:0 0 \n",
	"1000-1000 rw-p 0 0:0 0 \n",
	"-1000 rw-p 0 0:0 0 \n",
	"10000000000000000-20000000000000000 rw-p 0 0:0 0 \n",
	"1000-2000 rw-p 0 0:0 99999999999999999999 \n",
	"0x1000-0x2000 rw-p 0 0:0 0 \n",
	"1000-2000 rw-p 0 0:0 0a \n",
	"1000-2000 rw-p 0 0:0 -1 \n",
	" 1000-2000 rw-p 0 0:0 0 \n",
	"1000 -2000 rw-p 0 0:0 0 \n",
	"1000-g000 rw-p 0 0:0 0 \n",
	"1000-2000\trw-p 0 0:0 0 \n",
	"1000-2000 rw-p 0 0:0 0x \n",
	"1000-2000 RW-P 0 0:0 0 \n",
};

static bool all_bad(void)
{
	size_t i;

	for (i = 0; i < sizeof(bad_lines) / sizeof(*bad_lines); i++) {
		if (parse_line(bad_lines[i]) != -EBADMSG || seen_count) {
			printf("# accepted: %s", bad_lines[i]);
			return false;
		}
	}
	return true;
}

static bool truncated_anywhere(void)
{
	size_t length = sizeof(good) - 1;
	size_t n;

	for (n = 0; n <= length; n++) {
		bool whole = !n || good[n - 1] == '\n';
		int lines = 0;
		size_t i;

		for (i = 0; i < n; i++)
			lines += good[i] == '\n';
		if (parse(good, n, 4096, 0) != (whole ? 0 : -EBADMSG) || seen_count != lines ||
		    parse(good, n, 1, EIO) != -EIO || seen_count != lines)
			return false;
	}
	return true;
}

static bool any_read_size(void)
{
	size_t step;

	for (step = 1; step < sizeof(good); step++)
		if (parse(good, sizeof(good) - 1, step, 0) || seen_count != 4 ||
		    strcmp(seen[3].name, "[stack]") || seen[3].end != 0x7ffc00021000)
			return false;
	return true;
}

/* A NUL in the text: no kernel writes one. */
static bool nul_bytes(void)
{
	static const char head[] = "1000-2000\0rw-p 0 0:0 0 x\n";
	static const char name[] = "1000-2000 rw-p 0 0:0 0 x\0y\n";

	return parse(head, sizeof(head) - 1, 4096, 0) == -EBADMSG &&
	       !parse(name, sizeof(name) - 1, 4096, 0) && seen[0].name_length == 1;
}

/* Paths of all lengths around the size of the buffer, and a very long one; the next line is whole.
 */
static bool long_paths(void)
{
	static const char next[] = "\n3000-4000 r--p 0 0:0 0 next\n";
	static const char head[] = "1000-2000 r--p 0 0:0 0 ";
	static char text[200000];
	size_t length;

	for (length = 1; length < 150000; length += length < 4000 || length > 4500 ? 997 : 1) {
		size_t n = sizeof(head) - 1;
		size_t want = 4351 - n < length ? 4351 - n : length;

		memcpy(text, head, n);
		memset(text + n, 'x', length);
		memcpy(text + n + length, next, sizeof(next));
		if (parse(text, n + length + sizeof(next) - 1, 4096, 0) || seen_count != 2 ||
		    seen[0].name_length != want || strcmp(seen[1].name, "next"))
			return false;
	}
	return true;
}

static bool stops(void)
{
	int fd = memfd_create("maps", MFD_CLOEXEC);
	int ret;

	if (write(fd, good, sizeof(good) - 1) < 0)
		return false;
	lseek(fd, 0, SEEK_SET);
	seen_count = 0;
	stop_at = 2;
	ret = ptreclaim_maps(fd, see, seen);
	stop_at = 0;
	close(fd);
	return ret == 7 && seen_count == 2;
}

/* What sscanf() finds in the same file, which is not changed in between. */
static bool like_sscanf(void)
{
	char line[NAME_SIZE];
	int lines = 0;
	bool same;
	FILE *file;
	int fd;

	fd = memfd_create("maps", 0);
	file = fopen("/proc/self/maps", "r");
	if (fd < 0 || !file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (write(fd, line, strlen(line)) < 0)
			return false;
	fclose(file);
	lseek(fd, 0, SEEK_SET);
	seen_count = 0;
	same = !ptreclaim_maps(fd, see, seen) && seen_count > 5;
	lseek(fd, 0, SEEK_SET);
	file = fdopen(fd, "r");
	while (same && file && fgets(line, sizeof(line), file)) {
		const struct seen *s = &seen[lines];
		uint64_t start, end, inode;
		char perms[5];
		char name[64] = "";

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64 " %63[^\n]",
			   &start, &end, perms, &inode, name) < 4)
			return false;
		if (!strcmp(name, "[vsyscall]"))
			continue;
		same = lines++ < seen_count && s->start == start && s->end == end &&
		       s->inode == inode && !strcmp(s->name, name) &&
		       !(s->prot & PROT_READ) == (perms[0] != 'r') &&
		       !(s->prot & PROT_WRITE) == (perms[1] != 'w') &&
		       !(s->prot & PROT_EXEC) == (perms[2] != 'x') &&
		       !s->shared == (perms[3] != 's');
	}
	if (file)
		fclose(file);
	return same && lines == seen_count;
}

int main(void)
{
	plan(17);
	good_lines();
	ok(all_bad(), "lines of another format are refused");
	ok(truncated_anywhere(), "a text cut or failing at each byte");
	ok(any_read_size(), "read() gives any number of bytes");
	ok(nul_bytes(), "NUL bytes");
	ok(long_paths(), "paths of any length");
	ok(stops(), "the visitor ends it");
	ok(like_sscanf(), "/proc/self/maps as sscanf() reads it");
	ok(ptreclaim_maps(-1, see, seen) == -EBADF, "not a file descriptor");
	ok(ptreclaim_maps(open("/", O_RDONLY | O_CLOEXEC), see, seen) == -EISDIR, "a directory");
	return finish();
}
