// SPDX-License-Identifier: GPL-2.0
/*
 * replay N FILE...: calls a harness for libFuzzer with each file, and N times with one that
 * was changed at some places: where there is no libFuzzer, and always the same.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_INPUT	16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)random_state * limit) >> 32);
}

/* One byte other, one piece twice, one piece less. */
static size_t change(uint8_t *data, size_t size)
{
	static const char odd[] = "\n\t ()-/:0129kB\0\x7f\x80\xff";
	size_t at = random_below((uint32_t)size);
	size_t piece = 1 + random_below((uint32_t)(size - at));

	switch (random_below(4)) {
	case 0:
		data[at] = (uint8_t)random_below(256);
		return size;
	case 1:
		data[at] = (uint8_t)odd[random_below(sizeof(odd) - 1)];
		return size;
	case 2:
		if (size + piece > SIZE_MAX_INPUT)
			return size;
		memmove(data + at + piece, data + at, size - at);
		return size + piece;
	default:
		memmove(data + at, data + at + piece, size - at - piece);
		return size - piece;
	}
}

static void replay(const char *name, long count)
{
	static uint8_t original[SIZE_MAX_INPUT];
	static uint8_t data[SIZE_MAX_INPUT];
	FILE *file = fopen(name, "rb");
	size_t length;

	if (!file)
		err(1, "%s", name);
	length = fread(original, 1, sizeof(original), file);
	fclose(file);
	LLVMFuzzerTestOneInput(original, length);
	while (length && count--) {
		size_t size = length;
		uint32_t changes = 1 + random_below(4);

		memcpy(data, original, length);
		while (size && changes--)
			size = change(data, size);
		LLVMFuzzerTestOneInput(data, size);
	}
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 3)
		errx(2, "usage: replay N FILE...");
	for (i = 2; i < argc; i++)
		replay(argv[i], atol(argv[1]));
	printf("%d files, %ld changes of each\n", argc - 2, atol(argv[1]));
	return 0;
}
