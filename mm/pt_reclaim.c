// SPDX-License-Identifier: GPL-2.0
/*
 * Give back PTE tables that hold nothing: MADV_RECLAIM_PT, and MADV_DONTNEED.
 *
 * Memory that is purged leaves its page tables behind, on x86-64 4 KiB for each
 * 2 MiB of address space ever touched. Userspace says when they are worth freeing; only
 * tables all of whose entries are pte_none() go, so that no page is zapped and nothing
 * that an entry stands for (swap, migration, userfaultfd-wp, poison) is lost.
 *
 * Read from the bottom: pt_reclaim_range() and, for MADV_DONTNEED,
 * pt_reclaim_zapped() and pt_reclaim_shared() find the VMAs, pt_reclaim_walk()
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

/*
 * A CPU can have TLB entries of a huge page and of small pages, which are on their way
 * out, for the same address. It uses one or the other, and nothing is freed before
 * the flush. For some CPUs it is a machine check.
 */
#ifndef arch_tlb_sizes_may_mix
static inline bool arch_tlb_sizes_may_mix(struct vm_area_struct *vma)
{
	return false;
}
#endif

/* PMD slots examined, empty ones included, and VMAs before mmap_lock may go. */
#define PT_RECLAIM_BATCH	512

/* Every 64th entry, looked at without a lock, tells most tables in use. */
#define PT_RECLAIM_STRIDE	64

struct pt_reclaim {
	struct mm_struct	*mm;
	struct mmu_gather	*tlb;		/* of who has just emptied the tables, or NULL */
	struct rcu_head		*tables;	/* pt_rcu_head of those unlinked in this batch */
	unsigned long		start;		/* of what they mapped */
	unsigned long		end;
	int			budget;		/* PMD slots and VMAs left in this batch */
	unsigned int		scanned;	/* tables, in this batch */
	unsigned int		freed;
	unsigned long		total_scanned;
	unsigned long		total_freed;
};

/* Entries that any_of_32() reads. */
#define PT_RECLAIM_CHUNK	(32 * sizeof(long) / sizeof(pte_t))

static unsigned long any_of_8(const unsigned long *word)
{
	return word[0] | word[1] | word[2] | word[3] |
	       word[4] | word[5] | word[6] | word[7];
}

/* Read without a branch between them: that is what a scan of a table costs most. */
static unsigned long any_of_32(const unsigned long *word)
{
	return any_of_8(word) | any_of_8(word + 8) |
	       any_of_8(word + 16) | any_of_8(word + 24);
}

static noinline bool pt_entries_empty(pte_t *pte, const pte_t *end)
{
	for (; pte < end; pte++)
		if (!pte_none(ptep_get(pte)))
			return false;
	return true;
}

/*
 * All entries of @table are none. The caller holds the lock of the table: there
 * is nobody to write to it, and the hardware writes to present entries only.
 *
 * Most of what is none is zero, so many entries are looked at together. From the
 * first bit on that is set they are looked at one by one, unless it tells that
 * some entry is not none. On s390 zero is not none.
 */
static bool pt_table_empty(pte_t *table)
{
	const pte_t *end = table + PTRS_PER_PTE;
	const pte_t zero = { 0 };
	unsigned long any;

	BUILD_BUG_ON(PTRS_PER_PTE % PT_RECLAIM_CHUNK);

	for (; table < end; table += PT_RECLAIM_CHUNK) {
		any = any_of_32((unsigned long *)table);
		if (pte_none(zero) && likely(!any))
			continue;
		/* The bits of entries that are none make one that is none. */
		if (sizeof(pte_t) == sizeof(any) && !pte_none(*(pte_t *)&any))
			return false;
		return pt_entries_empty(table, end);
	}
	return true;
}

/*
 * Cheap and lockless. The caller is in an RCU read-side critical section, so a
 * table that goes away meanwhile stays readable.
 */
static bool pt_table_looks_empty(pte_t *table)
{
	int i;

	for (i = 0; i < PTRS_PER_PTE; i += PT_RECLAIM_STRIDE)
		if (!pte_none(ptep_get(table + i)))
			return false;
	return true;
}

/*
 * NULL where there is no table. As pte_offset_map(), but for the RCU read-side
 * critical section, which is the caller's, or the lock of the pmd.
 */
static pte_t *pt_table_map(pmd_t pmdval)
{
	if (!pmd_present(pmdval) || pmd_leaf(pmdval) || pmd_bad(pmdval))
		return NULL;
	return __pte_map(&pmdval, 0);
}

static void pt_table_unmap(pte_t *table)
{
	if (IS_ENABLED(CONFIG_HIGHPTE))
		kunmap_local(table);
}

static bool pt_others_zap(struct mm_struct *mm, const struct mmu_gather *tlb)
{
	return tlb ? mm_tlb_flush_nested(mm) : mm_tlb_flush_pending(mm);
}

/**
 * pt_reclaim_table - Unlink the PTE table that a pmd points to, if it is empty
 * @tlb: the caller's mmu_gather, or NULL if it has none open
 * @vma: one of those that the table maps addresses of
 * @pmd: the pmd
 * @addr: the first address that the table maps, aligned to PMD_SIZE
 *
 * The one place here where a table in use by nobody is unlinked from a live mm.
 * It relies on no earlier look at the table: whether it is empty is decided under
 * both locks, and they are held until the pmd is clear. Who maps a table without
 * its lock has to recheck the pmd under the lock before it writes an entry,
 * because the table it got may have been unlinked since; it is freed after an
 * RCU grace period, and so is its lock.
 *
 * A CPU may use the old pmd from its paging-structure cache until the caller has
 * flushed the TLB. It finds entries that are none there, takes a fault and
 * drops what it cached. TLB entries of the table may be left until somebody who
 * zapped has flushed them; where a huge page that gets mapped by the pmd must
 * not meet those, they are flushed here if somebody else is zapping. What @tlb
 * has zapped has been flushed then.
 *
 * Context: mmap_lock is held, for read at least, and a VMA intersects the table,
 * which keeps free_pgtables() away. The VMA lock is not enough. Not in lazy MMU
 * mode. Takes the pmd lock and, nested in it, the page table lock.
 * Return: the table, to be freed by way of an mmu_gather before mmap_lock is
 * dropped; or NULL, if it stays.
 */
static struct ptdesc *pt_reclaim_table(struct mmu_gather *tlb,
				       struct vm_area_struct *vma, pmd_t *pmd,
				       unsigned long addr)
{
	struct mm_struct *mm = vma->vm_mm;
	spinlock_t *pml, *ptl;
	bool empty;
	pmd_t pmdval;
	pte_t *table;

	mmap_assert_locked(mm);
	VM_WARN_ON_ONCE(addr & ~PMD_MASK);

	pml = pmd_lock(mm, pmd);
	pmdval = pmdp_get(pmd);
	table = pt_table_map(pmdval);
	if (!table) {
		spin_unlock(pml);
		return NULL;
	}
	ptl = pte_lockptr(mm, &pmdval);
	if (ptl != pml)
		spin_lock_nested(ptl, SINGLE_DEPTH_NESTING);

	empty = pt_table_empty(table);
	if (empty) {
		flush_tlb_batched_pending(mm);
		if (!arch_tlb_sizes_may_mix(vma) && pt_others_zap(mm, tlb))
			flush_tlb_range(vma, addr, addr + PMD_SIZE);
		pmd_clear(pmd);
		pmdp_get_lockless_sync();
	}

	if (ptl != pml)
		spin_unlock(ptl);
	pt_table_unmap(table);
	spin_unlock(pml);

	if (!empty)
		return NULL;
	mm_dec_nr_ptes(mm);
	return page_ptdesc(pmd_page(pmdval));
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

static bool pt_neighbours_eligible(struct mm_struct *mm, unsigned long addr)
{
	VMA_ITERATOR(vmi, mm, addr);
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, addr + PMD_SIZE)
		if (!pt_vma_eligible(vma))
			return false;
	return true;
}

/* Every VMA that shares the table at @addr is eligible, as @vma is. */
static bool pt_table_eligible(struct vm_area_struct *vma, unsigned long addr)
{
	return (addr >= vma->vm_start && vma->vm_end - addr >= PMD_SIZE) ||
	       pt_neighbours_eligible(vma->vm_mm, addr);
}

/* Two halves that do not belong together are no pmd: see __pte_offset_map(). */
static pmd_t pt_read_pmd(pmd_t *pmd)
{
	unsigned long flags;
	pmd_t pmdval;

	if (!IS_ENABLED(CONFIG_GUP_GET_PXX_LOW_HIGH))
		return pmdp_get_lockless(pmd);
	local_irq_save(flags);
	pmdval = pmdp_get_lockless(pmd);
	local_irq_restore(flags);
	return pmdval;
}

/* Out of line, so that a probe sees each slot that has a table. */
static noinline void pt_reclaim_pmd(struct pt_reclaim *ptr,
				    struct vm_area_struct *vma, pmd_t *pmd,
				    pmd_t pmdval, unsigned long addr)
{
	pte_t *seen = pt_table_map(pmdval);
	struct ptdesc *table;
	bool empty;

	if (!seen)
		return;
	ptr->scanned++;
	empty = ptr->tlb || pt_table_looks_empty(seen);
	pt_table_unmap(seen);
	if (!empty)
		return;
	if (!pt_table_eligible(vma, addr))
		return;

	table = pt_reclaim_table(ptr->tlb, vma, pmd, addr);
	if (!table)
		return;
	if (!ptr->tables)
		ptr->start = addr;
	ptr->end = addr + PMD_SIZE;
	table->pt_rcu_head.next = ptr->tables;
	ptr->tables = &table->pt_rcu_head;
	ptr->freed++;
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
		unsigned long pgd_next, p4d_next, next, slots;
		pgd_t *pgd;
		p4d_t *p4d;
		pud_t *pud, pudval;
		pmd_t *pmd;

		ptr->budget--;

		/* Where a level is folded, its end is the end it is given. */
		pgd = pgd_offset(ptr->mm, addr);
		pgd_next = pgd_addr_end(addr, end);
		if (pgd_none_or_clear_bad(pgd)) {
			addr = pgd_next;
			continue;
		}
		p4d = p4d_offset(pgd, addr);
		p4d_next = p4d_addr_end(addr, pgd_next);
		if (p4d_none_or_clear_bad(p4d)) {
			addr = p4d_next;
			continue;
		}
		pud = pud_offset(p4d, addr);
		next = pud_addr_end(addr, p4d_next);
		pudval = pudp_get(pud);
		if (!pud_present(pudval) || pud_leaf(pudval)) {
			addr = next;
			continue;
		}

		/* Counted in slots: their size need not fit into 32 bits. */
		slots = min((next - addr) >> PMD_SHIFT, ptr->budget + 1UL);
		next = addr + (slots << PMD_SHIFT);
		ptr->budget -= slots - 1;
		rcu_read_lock();
		for (pmd = pmd_offset(pud, addr); addr < next;
		     pmd++, addr += PMD_SIZE) {
			pmd_t pmdval = pt_read_pmd(pmd);

			if (!pmd_none(pmdval))
				pt_reclaim_pmd(ptr, vma, pmd, pmdval, addr);
		}
		rcu_read_unlock();
	}
	return addr;
}

/* What pte_free_tlb() takes: the page or, on s390, where its entries are. */
static pgtable_t pt_pgtable(struct ptdesc *table)
{
	return __same_type(pgtable_t, struct page *) ?
	       (void *)ptdesc_page(table) : ptdesc_address(table);
}

/*
 * What the batch unlinked goes to RCU when @tlb is flushed.
 *
 * Where each table was is not noted: flush from the first to the last. They may be so
 * far apart that their distance does not fit into the size that mmu_gather takes,
 * which has 32 bits. One page of a table is enough to have its pmd forgotten: take
 * one that is flushed anyway, if pages are.
 */
static void pt_reclaim_gather_tables(struct pt_reclaim *ptr, struct mmu_gather *tlb)
{
	unsigned long first = ptr->start, last = ptr->end - PMD_SIZE, size = PMD_SIZE;

	if (tlb->end) {
		size = PAGE_SIZE;
		first = clamp(tlb->start, first, first + PMD_SIZE - size);
		last = clamp(tlb->end - size, last, last + PMD_SIZE - size);
	}
	while (ptr->tables) {
		struct ptdesc *table = container_of(ptr->tables, struct ptdesc,
						    pt_rcu_head);

		ptr->tables = ptr->tables->next;
		tlb_flush_pmd_range(tlb, first, size);
		tlb_flush_pmd_range(tlb, last, size);
		pte_free_tlb(tlb, pt_pgtable(table), first);
	}
}

static void pt_reclaim_free_tables(struct pt_reclaim *ptr)
{
	struct mmu_gather tlb;

	if (ptr->tlb) {
		pt_reclaim_gather_tables(ptr, ptr->tlb);
		return;
	}
	tlb_gather_mmu(&tlb, ptr->mm);
	pt_reclaim_gather_tables(ptr, &tlb);
	tlb_finish_mmu(&tlb);
}

static void pt_reclaim_finish_batch(struct pt_reclaim *ptr)
{
	if (ptr->tables)
		pt_reclaim_free_tables(ptr);

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
	VMA_ITERATOR(vmi, mm, 0);
	struct pt_reclaim ptr = { .mm = mm, .budget = PT_RECLAIM_BATCH };
	unsigned long addr, limit, mapped, vma_limit;
	struct vm_area_struct *vma;
	int ret = 0;

	/* A vector may have many short ranges, none of which fills a batch. */
	cond_resched();
	if (fatal_signal_pending(current) || mmap_read_lock_killable(mm)) {
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
			/*
			 * The rwsem lets readers take it from a writer that has
			 * been woken and does not run yet: sleep, so that it can.
			 */
			if (table_backlog_full())
				wait_table_backlog();
			else
				schedule_timeout_killable(1);
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

/* Batches as above, but mmap_lock is kept. */
static void pt_reclaim_end_of_batch(struct pt_reclaim *ptr)
{
	if (ptr->budget > 0)
		return;
	pt_reclaim_finish_batch(ptr);
	cond_resched();
}

static void pt_reclaim_vma(struct pt_reclaim *ptr, struct vm_area_struct *vma,
			   unsigned long addr, unsigned long end)
{
	while (addr < end && !fatal_signal_pending(current)) {
		addr = pt_reclaim_walk(ptr, vma, addr, end);
		pt_reclaim_end_of_batch(ptr);
	}
}

/**
 * pt_reclaim_shared - Free PTE tables of several VMAs that MADV_DONTNEED has emptied
 * @mm: the address space, the caller's own
 * @start: first address of the range of the call
 * @end: first address behind it
 *
 * When all VMAs of the range have been zapped, each of which pt_reclaim_zapped() has
 * seen by itself. The range is taken inward: only tables that the call covers whole
 * are looked at, also where the zap ended early, at a VMA that is locked, say.
 *
 * Context: mmap_lock is held, for read at least, and kept. May sleep. Ends early if a
 * fatal signal is pending.
 */
void pt_reclaim_shared(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	VMA_ITERATOR(vmi, mm, ALIGN(start, PMD_SIZE));
	struct pt_reclaim ptr = { .mm = mm, .budget = PT_RECLAIM_BATCH };
	unsigned long addr = ALIGN(start, PMD_SIZE), limit = end & PMD_MASK;
	struct vm_area_struct *vma;

	for_each_vma_range(vmi, vma, limit) {
		unsigned long vma_end = min(limit, ALIGN(vma->vm_end, PMD_SIZE));

		if (fatal_signal_pending(current))
			break;
		/* The first table may be the last one of the VMA before: done. */
		addr = max(addr, vma->vm_start & PMD_MASK);
		if (pt_vma_eligible(vma))
			pt_reclaim_vma(&ptr, vma, addr, vma_end);
		addr = max(addr, vma_end);
		ptr.budget--;
		pt_reclaim_end_of_batch(&ptr);
	}
	pt_reclaim_finish_batch(&ptr);
}

/**
 * pt_reclaim_zapped - Free the PTE tables that the zap of a VMA has emptied
 * @tlb: the gather of the zap, not flushed yet
 * @vma: the VMA
 * @start: first address that was zapped
 * @end: first address behind it
 *
 * Only tables that were zapped whole are looked at. What is still in one (markers,
 * poison, what somebody else has just faulted in) is seen by pt_reclaim_table(),
 * which decides as always. Tables go with the pages into @tlb, so that one flush does
 * for both, unless the pages must be flushed first.
 *
 * Context: mmap_lock is held, for read at least, and kept. May sleep. Ends early if a
 * fatal signal is pending.
 */
void pt_reclaim_zapped(struct mmu_gather *tlb, struct vm_area_struct *vma,
		       unsigned long start, unsigned long end)
{
	unsigned long addr = ALIGN(start, PMD_SIZE), limit = end & PMD_MASK;
	struct pt_reclaim ptr = {
		.mm = vma->vm_mm,
		.budget = PT_RECLAIM_BATCH,
		.tlb = tlb,
	};

	if (addr >= limit || !pt_vma_eligible(vma))
		return;
	if (!arch_tlb_sizes_may_mix(vma))
		tlb_flush_mmu(tlb);
	pt_reclaim_vma(&ptr, vma, addr, limit);
	pt_reclaim_finish_batch(&ptr);
}
