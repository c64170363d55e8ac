# SPDX-License-Identifier: GPL-2.0
"""Which kernel log lines fail a run. A missed one lets a broken kernel pass."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "vm"))
import klog

REPORTS = """\
[    1.234567] WARNING: CPU: 1 PID: 77 at mm/memory.c:1234 zap_pte_range+0x1/0x2
[    1.234567][   T77] WARNING: CPU: 1 PID: 77 at mm/memory.c:1234 zap_pte_range+0x1/0x2
[   12.345678] WARNING: possible circular locking dependency detected
[   12.345678] WARNING: possible recursive locking detected
[   12.345678] possible recursive locking detected
[   12.345678] WARNING: suspicious RCU usage
[   12.345678] WARNING: inconsistent lock state
[   12.345678] WARNING: held lock freed!
[   12.345678] WARNING: bad unlock balance detected!
[   12.345678] BUG: KASAN: slab-use-after-free in pt_reclaim+0x1/0x2
[   12.345678] BUG: Bad rss-counter state mm:00000000abcdef01 type:MM_ANONPAGES val:1
[   12.345678] BUG: non-zero pgtables_bytes on freeing mm: 4096
[   12.345678] BUG: Bad page state in process cat  pfn:12345
[   12.345678] BUG: Bad page map in process cat  pte:8000000012345067 pmd:12345067
[   12.345678] BUG: sleeping function called from invalid context at mm/x.c:1
[   12.345678] BUG: unable to handle page fault for address: ffff888000000000
[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [cat:77]
[   12.345678] kernel BUG at mm/page_table_check.c:111!
[   12.345678] Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] PREEMPT SMP
[   12.345678] general protection fault: 0000 [#1] PREEMPT SMP NOPTI
[   12.345678] UBSAN: shift-out-of-bounds in mm/x.c:1:2
[   12.345678] rcu: INFO: rcu_preempt self-detected stall on CPU
[   12.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[   12.345678] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 20 jiffies
[  123.456789] INFO: task cat:77 blocked for more than 120 seconds.
[   12.345678] INFO: trying to register non-static key.
[   12.345678] mm/pgtable-generic.c:54: bad pmd ffff888003a2a000(0000000012345067)
[   12.345678] get_swap_device: Bad swap file entry 3fffffffffffe
[   12.345678] list_del corruption. next->prev should be ffff, but was 0000
[   12.345678] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100
BUG: made without a time stamp
""".splitlines()

HARMLESS = """\
[    0.000000] Linux version 6.12.117 (pt_reclaim@localhost)
[    0.123456] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on
[    1.234567] traps: cat[77] general protection fault ip:401000 sp:7ffc error:0 in cat[401000+1000]
[    1.234567] cat[77]: segfault at 0 ip 0000000000401000 sp 00007ffc error 4 in cat[401000+1000]
[    1.234567] FAULT_INJECTION: forcing a failure.
[    1.234567] cat: page allocation failure: order:0, mode:0xcc0(GFP_KERNEL), nodemask=(null)
[    1.234567] Memory cgroup out of memory: Killed process 77 (cat) total-vm:1kB
[    1.234567] Memory failure: 0x12345: recovery action for dirty LRU page: Recovered
[    1.234567] rcu: 	RCU CPU stall warnings timeout set to 60 (rcu_cpu_stall_timeout).
[    1.234567] ODEBUG: selftest passed
[    1.234567] Lock dependency validator:
""".splitlines()


class Reports(unittest.TestCase):
    def test_reports_are_found(self):
        for line in REPORTS:
            with self.subTest(line):
                self.assertEqual(klog.reports(line), [line])

    def test_other_lines_are_not(self):
        for line in HARMLESS:
            with self.subTest(line):
                self.assertEqual(klog.reports(line), [])

    def test_order_is_kept(self):
        mixed = [line for pair in zip(REPORTS, HARMLESS) for line in pair]
        self.assertEqual(klog.reports("\n".join(mixed)), REPORTS[:len(HARMLESS)])


class OutOfMemory(unittest.TestCase):
    KILLED = "[    9.000000] Out of memory: Killed process 77 (tail) total-vm:1048576kB, anon-rss:9kB"
    DEADLOCK = "[    9.000000] Kernel panic - not syncing: System is deadlocked on memory"

    def test_of_the_guest_is_found_and_is_no_bug(self):
        for line in (self.KILLED, self.DEADLOCK):
            self.assertEqual(klog.out_of_memory(line), [line])
            self.assertEqual(klog.reports(line), [])

    def test_of_a_cgroup_is_not(self):
        self.assertEqual(klog.out_of_memory("[    9.000000] Memory cgroup out of memory: Killed process 7 (a)"), [])


if __name__ == "__main__":
    unittest.main()
