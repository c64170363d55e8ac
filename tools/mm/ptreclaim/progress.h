/* SPDX-License-Identifier: GPL-2.0 */
/* How far a run is, on a terminal, while one call may take long. */
#ifndef PROGRESS_H
#define PROGRESS_H

/* Writes a line to standard error a few times in a second, on SIGALRM. */
void progress_start(void);
void progress_count_process(void);

/* Takes the line away, before anything else is written: it comes back. */
void progress_clear(void);
void progress_end(void);

#endif
