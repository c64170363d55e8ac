/* SPDX-License-Identifier: GPL-2.0 */
/* Two actors that meet in one table, at most 30 pairs, on the first kind of memory that suits both. */

	/* userfaultfd puts entries where the others take tables away */
	"uffd-copy+khugepaged",
	"uffd-copy+collapse-other/shmem",
	"uffd-copy+munmap",
	"uffd-move+fork",
	"uffd-move+pageout-all",
	"uffd-move-hole+touch",
	"uffd-wp+collapse-other/shmem",
	"uffd-wp+mprotect",
	"uffd-zeropage+numa",
	"uffd-fault+dontneed",

	/* a huge page takes a table's place, and gives it back */
	"collapse+split",
	"collapse+mprotect",
	"collapse+munmap",
	"collapse+mremap",
	"collapse+dontneed",
	"collapse-mapped+collapse-other/shmem",
	"khugepaged+swap",
	"khugepaged+fork-write",

	/* entries that are not pages: swap, migration, merged pages */
	"swap+fork",
	"swap+ksm",
	"ksm+fork-write",
	"numa+mremap",
	"compact+free",
	"memcg+populate",

	/* who holds pages while their table goes */
	"o-direct+fork",
	"uring-fixed+pageout-all",
	"vmsplice+numa",

	/* who looks, and who unmaps beside */
	"pagemap-scan-wp+dontneed",
	"smaps+munmap",
	"punch+collapse-other/shmem",
