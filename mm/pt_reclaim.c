// SPDX-License-Identifier: GPL-2.0
/*
 * Give back PTE tables that hold nothing: MADV_RECLAIM_PT.
 *
 * Memory that is purged leaves its page tables behind, 4 KiB for each 2 MiB of
 * address space ever touched. Userspace says when they are worth freeing; only
 * tables with 512 pte_none() entries go, so that no page is zapped and nothing
 * that an entry stands for (swap, migration, userfaultfd-wp, poison) is lost.
 *
 * Read from the bottom: pt_reclaim_range() finds the VMAs, pt_reclaim_walk()
 * finds their tables, and pt_reclaim_table() alone decides and unlinks.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmap_lock.h>
#include <linux/mman.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include <asm/tlb.h>
#include <asm/tlbflush.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/pt_reclaim.h>

/* PMD slots examined, empty ones included, and VMAs before mmap_lock may go. */
#define PT_RECLAIM_BATCH	512

/* One entry per cache line, looked at without a lock, tells most tables in use. */
#define PT_RECLAIM_STRIDE	(L1_CACHE_BYTES / sizeof(pte_t))

struct pt_reclaim {
	struct mmu_gather	tlb;
	struct mm_struct	*mm;
	bool			gathering;	/* tlb is set up */
	int			budget;		/* PMD slots and VMAs left in this batch */
	unsigned int		scanned;	/* tables, in this batch */
	unsigned int		freed;
	unsigned long		total_scanned;
	unsigned long		total_freed;
};

/*
 * All entries of @table are none. The caller holds the lock of the table: there
 * is nobody to write to it, and the hardware writes to present entries only.
 *
 * Zero is none on every architecture that selects ARCH_SUPPORTS_PT_RECLAIM, so
 * whole words are read, and pte_none() is asked about those that are not zero.
 * pte_val() would not do: Xen PV translates what it finds there.
 */
static bool pt_table_empty(pte_t *table)
{
	const unsigned long *word = (const unsigned long *)table;
	int i, j;

	BUILD_BUG_ON(sizeof(pte_t) != sizeof(*word));

	for (i = 0; i < PTRS_PER_PTE; i += 8, word += 8) {
		if (likely(!(word[0] | word[1] | word[2] | word[3] |
			     word[4] | word[5] | word[6] | word[7])))
			continue;
		for (j = i; j < i + 8; j++)
			if (!pte_none(ptep_get(table + j)))
				return false;
	}
	return true;
}

/*
 * Cheap and lockless: false where *@pmd is no table or one in use. A table that
 * goes away meanwhile stays readable, pte_offset_map() holds rcu_read_lock().
 */
static bool pt_table_looks_empty(struct pt_reclaim *ptr, pmd_t *pmd,
				 unsigned long addr)
{
	bool empty = true;
	pte_t *table;
	int i;

	table = pte_offset_map(pmd, addr);
	if (!table)
		return false;

	ptr->scanned++;
	for (i = 0; empty && i < PTRS_PER_PTE; i += PT_RECLAIM_STRIDE)
		empty = pte_none(ptep_get(table + i));
	pte_unmap(table);
	return empty;
}

/**
 * pt_reclaim_table - Free the PTE table that a pmd points to, if it is empty
 * @tlb: an mmu_gather set up for the mm; the table is freed by way of it
 * @pmd: a pmd of that mm
 * @addr: the first address that the table maps, aligned to PMD_SIZE
 *
 * The one place where a table in use by nobody is unlinked from a live mm. It
 * relies on no earlier look at the table: whether it is empty is decided under
 * both locks, and they are held until the pmd is clear. Who maps a table without
 * its lock has to recheck the pmd under the lock before it writes an entry,
 * because the table it got may have been unlinked since; it is freed after an
 * RCU grace period, and so is its lock.
 *
 * A CPU may use the old pmd from its paging-structure cache until @tlb is
 * flushed. It finds 512 entries that are none there, takes a fault and drops
 * what it cached. No TLB entry of the table can be left then: those of entries
 * that were zapped but not flushed yet are flushed here, since a huge page that
 * gets mapped by the pmd must not meet stale TLB entries of small ones (iTLB
 * multihit, AMD erratum 383).
 *
 * Context: mmap_lock is held, for read at least, and a VMA intersects the table,
 * which keeps free_pgtables() away. The VMA lock is not enough. Not in lazy MMU
 * mode. Takes the pmd lock and, nested in it, the page table lock.
 * Return: true if the table was unlinked.
 */
bool pt_reclaim_table(struct mmu_gather *tlb, pmd_t *pmd, unsigned long addr)
{
	struct mm_struct *mm = tlb->mm;
	spinlock_t *pml, *ptl;
	bool empty;
	pmd_t pmdval;
	pte_t *table;

	mmap_assert_locked(mm);
	VM_WARN_ON_ONCE(addr & ~PMD_MASK);

	pml = pmd_lock(mm, pmd);
	table = __pte_offset_map(pmd, addr, &pmdval);
	if (!table) {
		spin_unlock(pml);
		return false;
	}
	ptl = pte_lockptr(mm, &pmdval);
	if (ptl != pml)
		spin_lock_nested(ptl, SINGLE_DEPTH_NESTING);

	empty = pt_table_empty(table);
	if (empty) {
		flush_tlb_batched_pending(mm);
		if (mm_tlb_flush_nested(mm))
			flush_tlb_mm_range(mm, addr, addr + PMD_SIZE,
					   PAGE_SHIFT, false);
		pmd_clear(pmd);
	}

	if (ptl != pml)
		spin_unlock(ptl);
	pte_unmap(table);
	spin_unlock(pml);

	if (empty) {
		pte_free_tlb(tlb, pmd_pgtable(pmdval), addr);
		mm_dec_nr_ptes(mm);
	}
	return empty;
}

/*
 * Not VMAs whose tables are not like others (hugetlb), nor those into which
 * drivers put entries: with a vanished table they report lack of memory, look at
 * the pmd twice (apply_to_page_range()), or have the hypervisor write to a table
 * they no longer hold the lock of (Xen PV).
 */
static bool pt_vma_eligible(struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_HUGETLB | VM_PFNMAP | VM_IO | VM_MIXEDMAP)) &&
	       !vma_is_dax(vma);
}

/* Every VMA that shares the table at @addr is eligible, as @vma is. */
static bool pt_table_eligible(struct vm_area_struct *vma, unsigned long addr)
{
	struct vm_area_struct *other;
	VMA_ITERATOR(vmi, vma->vm_mm, addr);

	if (addr >= vma->vm_start && vma->vm_end - addr >= PMD_SIZE)
		return true;

	for_each_vma_range(vmi, other, addr + PMD_SIZE)
		if (!pt_vma_eligible(other))
			return false;
	return true;
}

static void pt_reclaim_pmd(struct pt_reclaim *ptr, struct vm_area_struct *vma,
			   pmd_t *pmd, unsigned long addr)
{
	if (!pt_table_looks_empty(ptr, pmd, addr) ||
	    !pt_table_eligible(vma, addr))
		return;

	if (!ptr->gathering) {
		tlb_gather_mmu(&ptr->tlb, ptr->mm);
		ptr->gathering = true;
	}
	ptr->freed += pt_reclaim_table(&ptr->tlb, pmd, addr);
}

/*
 * Visit the PMD slots from @addr to @end, both aligned to PMD_SIZE, all of which
 * intersect @vma. The levels above are stable: mmap_lock and the VMA keep them.
 * Returns where it stopped, which is before @end when the budget is used up.
 */
static unsigned long pt_reclaim_walk(struct pt_reclaim *ptr,
				     struct vm_area_struct *vma,
				     unsigned long addr, unsigned long end)
{
	while (addr < end && ptr->budget > 0) {
		unsigned long next;
		pgd_t *pgd;
		p4d_t *p4d;
		pud_t *pud, pudval;
		pmd_t *pmd;

		ptr->budget--;

		pgd = pgd_offset(ptr->mm, addr);
		if (pgd_none_or_clear_bad(pgd)) {
			addr = pgd_addr_end(addr, end);
			continue;
		}
		p4d = p4d_offset(pgd, addr);
		if (p4d_none_or_clear_bad(p4d)) {
			addr = p4d_addr_end(addr, end);
			continue;
		}
		pud = pud_offset(p4d, addr);
		next = pud_addr_end(addr, end);
		pudval = pudp_get(pud);
		if (!pud_present(pudval) || pud_leaf(pudval)) {
			addr = next;
			continue;
		}

		next = min(next, addr + ptr->budget * PMD_SIZE + PMD_SIZE);
		ptr->budget -= ((next - addr) >> PMD_SHIFT) - 1;
		for (pmd = pmd_offset(pud, addr); addr < next;
		     pmd++, addr += PMD_SIZE)
			if (!pmd_none(pmdp_get_lockless(pmd)))
				pt_reclaim_pmd(ptr, vma, pmd, addr);
	}
	return addr;
}

/* Flush and hand to RCU what the batch unlinked; start a new one. */
static void pt_reclaim_finish_batch(struct pt_reclaim *ptr)
{
	if (ptr->gathering)
		tlb_finish_mmu(&ptr->tlb);
	ptr->gathering = false;

	count_vm_events(PT_RECLAIM_SCANNED, ptr->scanned);
	count_vm_events(PT_RECLAIM_FREED, ptr->freed);
	ptr->total_scanned += ptr->scanned;
	ptr->total_freed += ptr->freed;
	ptr->scanned = 0;
	ptr->freed = 0;
	ptr->budget = PT_RECLAIM_BATCH;
}

/**
 * pt_reclaim_range - Free the empty PTE tables of a range, for MADV_RECLAIM_PT
 * @mm: the address space, the caller's own or a remote one; its mm_users pin it
 * @start: first address, page-aligned, possibly tagged
 * @end: first address behind the range, page-aligned
 *
 * The range is taken outward: a table that it covers in part is freed as well
 * if it is empty. So a caller who cuts a range in pieces misses none, and what
 * lies beside the range loses nothing, since an empty table maps nothing. A
 * table that several VMAs share stays unless it may be freed in all of them.
 *
 * Only live VMAs are walked. A munmap() that downgraded its lock frees tables
 * beside us, but none that a live VMA intersects.
 *
 * Context: Takes mmap_lock for read, and gives it up after every 512 PMD slots
 * if somebody waits for it; no VMA is carried over. May sleep.
 * Return: 0, also where there was nothing to free or the VMA is not one to free
 * tables of; -ENOMEM if part of the range is not mapped (all that is mapped was
 * handled); -EINTR if a fatal signal is pending.
 */
int pt_reclaim_range(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct pt_reclaim ptr = { .mm = mm, .budget = PT_RECLAIM_BATCH };
	unsigned long addr, limit, mapped, vma_limit;
	struct vm_area_struct *vma;
	VMA_ITERATOR(vmi, mm, 0);
	int ret = 0;

	if (mmap_read_lock_killable(mm)) {
		ret = -EINTR;
		goto out;
	}

	end -= start;
	start = untagged_addr_remote(mm, start);
	end += start;

	addr = start & PMD_MASK;
	limit = ALIGN(end, PMD_SIZE);
	if (limit < end)	/* the last slot there is, and not a user's */
		limit = end & PMD_MASK;
	mapped = start;		/* all from @start up to here is mapped, or ret says so */
	vma_iter_set(&vmi, addr);

	while ((vma = vma_find(&vmi, limit))) {
		if (vma->vm_start > mapped && mapped < end)
			ret = -ENOMEM;
		mapped = max(mapped, vma->vm_end);

		/* The first table may be the last one of the VMA before: done. */
		addr = max(addr, vma->vm_start & PMD_MASK);
		vma_limit = min(limit, ALIGN(vma->vm_end, PMD_SIZE));
		ptr.budget--;		/* a slot can hold 512 VMAs */
		if (pt_vma_eligible(vma))
			addr = pt_reclaim_walk(&ptr, vma, addr, vma_limit);
		else
			addr = max(addr, vma_limit);
		if (ptr.budget > 0)
			continue;

		pt_reclaim_finish_batch(&ptr);
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (mmap_lock_is_contended(mm) || table_backlog_full()) {
			mmap_read_unlock(mm);
			wait_table_backlog();
			cond_resched();
			if (mmap_read_lock_killable(mm)) {
				ret = -EINTR;
				goto out;
			}
		} else {
			cond_resched();
		}
		/* Not @addr: between them may be VMAs that have not been seen. */
		vma_iter_set(&vmi, min(addr, mapped));
	}
	if (!vma && mapped < end)
		ret = -ENOMEM;
	pt_reclaim_finish_batch(&ptr);
	mmap_read_unlock(mm);
	wait_table_backlog();
out:
	trace_mm_pt_reclaim(mm, start, end, ptr.total_scanned, ptr.total_freed, ret);
	return ret;
}
