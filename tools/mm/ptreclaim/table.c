// SPDX-License-Identifier: GPL-2.0
#include <err.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"
#include "table.h"

struct table {
	struct libscols_table *table;
	struct libscols_line *line;
	struct table_style style;
	const struct column *const *columns;
};

static void must(int error)
{
	if (error)
		errx(EXIT_FAILURE, "cannot make the table: %s", strerror(-error));
}

static void add_column(struct table *t, const struct column *c)
{
	bool text = c->kind == CELL_TEXT;
	struct libscols_column *column;

	column = scols_table_new_column(t->table, c->name, 0, text ? 0 : SCOLS_FL_RIGHT);
	if (!column)
		errx(EXIT_FAILURE, "cannot make the table");
	if (c->kind == CELL_FLAG)
		scols_column_set_json_type(column, SCOLS_JSON_BOOLEAN);
	else if (!text)
		scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
}

struct table *table_new(const char *name, const struct table_style *style,
			const struct column *const *columns, unsigned int count)
{
	struct table *t = calloc(1, sizeof(*t));
	unsigned int i;

	if (!t)
		err(EXIT_FAILURE, "cannot make the table");
	t->style = *style;
	t->columns = columns;
	t->table = scols_new_table();
	if (!t->table)
		err(EXIT_FAILURE, "cannot make the table");
	must(scols_table_set_name(t->table, name));
	must(scols_table_enable_json(t->table, style->json));
	must(scols_table_enable_noheadings(t->table, style->no_headings));
	for (i = 0; i < count; i++)
		add_column(t, columns[i]);
	return t;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->table, NULL);
	if (!t->line)
		errx(EXIT_FAILURE, "cannot make the table");
}

/* Bytes of the character that TEXT starts with, as UTF-8 (RFC 3629); 0 if it is none. */
static size_t character(const unsigned char *text)
{
	static const struct {
		unsigned char low, high;	/* of the first byte */
		unsigned char from, to;		/* of the second byte */
		size_t length;
	} forms[] = {
		{ 0x20, 0x7e, 0, 0, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i;
	size_t k;

	for (i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (*text >= forms[i].low && *text <= forms[i].high)
			break;
	if (i == sizeof(forms) / sizeof(*forms))
		return 0;
	if (forms[i].length > 1 && (text[1] < forms[i].from || text[1] > forms[i].to))
		return 0;
	for (k = 2; k < forms[i].length; k++)
		if (text[k] < 0x80 || text[k] > 0xbf)
			return 0;
	return forms[i].length;
}

/*
 * What is no character, and what would control a terminal, as \xNN. JSON would need it
 * too: it cannot say bytes. The text is to be freed.
 */
static char *printable(const char *text)
{
	char *copy = malloc(4 * strlen(text) + 1);
	char *to = copy;
	size_t length;

	if (!copy)
		err(EXIT_FAILURE, "cannot make the table");
	while (*text) {
		length = character((const unsigned char *)text);
		/* U+0080 to U+009F are control characters as well. */
		if (length == 2 && (unsigned char)*text == 0xc2 && (unsigned char)text[1] < 0xa0)
			length = 0;
		if (!length)
			to += sprintf(to, "\\x%02x", (unsigned char)*text++);
		for (; length; length--)
			*to++ = *text++;
	}
	*to = '\0';
	return copy;
}

void table_text(struct table *t, unsigned int column, const char *text)
{
	char *copy = printable(text);

	must(scols_line_set_data(t->line, column, copy));
	free(copy);
}

void table_number(struct table *t, unsigned int column, uint64_t number)
{
	enum cell kind = t->columns[column]->kind;
	char text[SIZE_TEXT];

	if (kind == CELL_SIZE && !t->style.bytes && !t->style.json)
		size_format(number, text);
	else if (kind == CELL_FLAG && !t->style.json)
		snprintf(text, sizeof(text), "%s", number ? "yes" : "no");
	else
		snprintf(text, sizeof(text), "%" PRIu64, number);
	must(scols_line_set_data(t->line, column, text));
}

void table_end(struct table *t)
{
	/* Of a table without lines nothing is printed, not even that it is empty. */
	if (t->style.json && !scols_table_get_nlines(t->table))
		printf("{\n   \"%s\": []\n}\n", scols_table_get_name(t->table));
	else
		must(scols_print_table(t->table));
	scols_unref_table(t->table);
	free(t);
}
