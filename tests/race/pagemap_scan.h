/* SPDX-License-Identifier: GPL-2.0 */
/* PAGEMAP_SCAN, which came after the headers of Debian 12. */
#ifndef RACE_PAGEMAP_SCAN_H
#define RACE_PAGEMAP_SCAN_H

#include <stdint.h>
#include <linux/fs.h>
#include <linux/ioctl.h>

#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN		_IOWR('f', 16, struct pm_scan_arg)
#define PM_SCAN_WP_MATCHING	(1 << 0)
#define PM_SCAN_CHECK_WPASYNC	(1 << 1)
#define PAGE_IS_WRITTEN		(1 << 1)
#define PAGE_IS_PRESENT		(1 << 3)
#define PAGE_IS_HUGE		(1 << 6)
#endif

#endif
