/* SPDX-License-Identifier: GPL-2.0 */
/* Pressure stall information: Documentation/accounting/psi.rst of Linux. */
#ifndef PSI_H
#define PSI_H

/*
 * Asks to be told of memory pressure: FILE below DIR is pressure/memory of /proc or
 * memory.pressure of a cgroup, THRESHOLD is as in "some 200000 2000000". Returns a file
 * descriptor that poll(2) reports EPOLLPRI on, at most once per window, and EPOLLERR once the
 * cgroup is gone; or -errno.
 */
int psi_open(int dir, const char *file, const char *threshold);

#endif
