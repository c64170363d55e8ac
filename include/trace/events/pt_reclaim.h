/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pt_reclaim

#if !defined(_TRACE_PT_RECLAIM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_PT_RECLAIM_H

#include <linux/tracepoint.h>

struct mm_struct;

/**
 * mm_pt_reclaim - called when a range was searched for empty page tables
 *
 * @mm:		address space the range belongs to, not always the caller's
 * @start:	first address, as given by the caller; untagged, unless a fatal
 *		signal came before anything was done
 * @end:	first address behind the range
 * @scanned:	PTE tables looked at
 * @freed:	PTE tables freed, 4 KiB each
 * @ret:	0 or a negative errno, as the caller gets it
 */
TRACE_EVENT(mm_pt_reclaim,

	TP_PROTO(struct mm_struct *mm, unsigned long start, unsigned long end,
		 unsigned long scanned, unsigned long freed, int ret),

	TP_ARGS(mm, start, end, scanned, freed, ret),

	TP_STRUCT__entry(
		__field(struct mm_struct *,	mm)
		__field(unsigned long,		start)
		__field(unsigned long,		end)
		__field(unsigned long,		scanned)
		__field(unsigned long,		freed)
		__field(int,			ret)
	),

	TP_fast_assign(
		__entry->mm		= mm;
		__entry->start		= start;
		__entry->end		= end;
		__entry->scanned	= scanned;
		__entry->freed		= freed;
		__entry->ret		= ret;
	),

	TP_printk("mm=%p start=0x%lx end=0x%lx scanned=%lu freed=%lu ret=%d",
		  __entry->mm, __entry->start, __entry->end,
		  __entry->scanned, __entry->freed, __entry->ret)
);

#endif /* _TRACE_PT_RECLAIM_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
