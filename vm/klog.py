# SPDX-License-Identifier: GPL-2.0
"""Kernel log lines that mean that the kernel found something wrong with itself."""

import re

# After the time stamp and the prefix that some subsystems put before their reports.
PREFIX = r"(?:\[[^\]]*\] ?)*(?:watchdog: |rcu: )?"

REPORTS = [
    r"WARNING: ",                                          # WARN_ON and lockdep
    r"(?:possible|INFO: possible) .*(?:locking|dependency|deadlock).* detected",
    r"suspicious RCU usage|inconsistent .*lock state|held lock freed|bad unlock balance",
    r"BUG: ",                                              # KASAN, Bad page state, Bad rss-counter, soft lockup
    r".*non-zero pgtables_bytes",
    r".*Bad page state",
    r"kernel BUG at ",
    r"Oops: |Oops:",
    r"(?:general protection fault|invalid opcode|divide error|double fault|stack segment|int3)\b.*: [0-9a-f]{4} \[",
    r"UBSAN: ",
    r"INFO: \w+ .*detected.* stall",                       # RCU
    r"INFO: task .* blocked for more than",
    r"INFO: task hung",
    r"INFO: trying to register non-static key",
    r"\S+:\d+: bad (?:pgd|p4d|pud|pmd|pte)",
    r".*Bad swap (?:file|offset) entry",
    r"list_(?:add|del) corruption",
    r"Kernel panic - not syncing: (?!System is deadlocked on memory|Out of memory)",
]

REPORT = re.compile(PREFIX + "(?:" + "|".join(REPORTS) + ")")
OUT_OF_MEMORY = re.compile(PREFIX + r"(?:Out of memory\b.*: Killed process \d+.*|Kernel panic - not syncing: "
                           r"(?:System is deadlocked on memory|Out of memory).*)")


def reports(text):
    """The lines of a kernel log that report a kernel bug."""
    return [line for line in text.splitlines() if REPORT.match(line)]


def out_of_memory(text):
    """The lines in which the whole guest, not one memory cgroup, ran out of memory."""
    return [line for line in text.splitlines() if OUT_OF_MEMORY.match(line)]
