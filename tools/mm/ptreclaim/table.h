/* SPDX-License-Identifier: GPL-2.0 */
/* Rows in columns, or as JSON, by libsmartcols. Ends the program where memory runs out. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum cell {
	CELL_TEXT,
	CELL_NUMBER,
	CELL_SIZE,		/* in bytes; with a unit in tables for people */
	CELL_FLAG,
};

struct column {
	const char *name;	/* in capitals; JSON has it in small letters */
	enum cell kind;
	int source;		/* the caller's: which figure goes there */
	const char *help;
};

struct table_style {
	bool json;
	bool bytes;
	bool no_headings;
};

struct table;

/* NAME is that of the list in JSON. Columns have to live as long as the table. */
struct table *table_new(const char *name, const struct table_style *style,
			const struct column *const *columns, unsigned int count);
void table_row(struct table *t);

/* Of the last row. Cells that are not set are empty, or null. */
void table_text(struct table *t, unsigned int column, const char *text);
void table_number(struct table *t, unsigned int column, uint64_t number);

/* Prints and frees it. */
void table_end(struct table *t);

#endif
