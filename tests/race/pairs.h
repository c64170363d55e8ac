/* SPDX-License-Identifier: GPL-2.0 */
/* Actors that meet in one table, at most 30 rows; on the first kind of memory that suits all. */

	/* userfaultfd puts entries where the others take tables away */
	"uffd-copy+munmap",
	"uffd-copy+pageout-all/shmem",
	"uffd-move+swap",
	"uffd-move+pageout-all",
	"uffd-move-hole+touch",
	"uffd-wp+fork",
	"uffd-wp+mprotect/shmem",
	"uffd-zeropage+swap/shmem",
	"uffd-fault+fork/shmem",

	/* a huge page takes a table's place, and gives it back */
	"collapse+split",
	"collapse+mprotect",
	"collapse+munmap",
	"collapse+mremap",
	"collapse+fork",
	"collapse-mapped+collapse-other/shmem",
	"khugepaged+swap",
	"khugepaged+fork-write",
	"dontneed+collapse-other/shmem",

	/* entries that are not pages: swap, migration, merged pages */
	"swap+fork",
	"swap+ksm",
	"ksm+fork-write",
	"numa+mremap",
	"compact+free",
	"memcg+populate",

	/* who holds pages while their table goes */
	"o-direct+fork",
	"uring-fixed+fork-write",
	"vmsplice+compact",

	/* who looks, and who unmaps beside */
	"pagemap-scan-wp+dontneed",
	"smaps+munmap",
	"lru-gen+pageout-all",
