/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Between deferral.c, which knows what is due, and thread.c, which waits for it. */
#ifndef PTRECLAIM_DEFERRAL_H
#define PTRECLAIM_DEFERRAL_H

/* ms until something is due: 0 if it is, -1 if nothing is noted. */
int ptreclaim_left(void);

/* Something is due earlier than it was. */
void ptreclaim_wake(void);

#endif
