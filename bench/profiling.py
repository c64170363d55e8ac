# SPDX-License-Identifier: GPL-2.0
"""Instructions of one row of bench/cost by function, counted by a plugin of the emulator."""

import bisect
import os
import shlex
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import guests
from guests import REPO, Error

QEMU = "qemu-system-x86_64"
TABLES = 8192               # of a call, in bench/cost.c
ROWS = ("dontneed_once_call", "dontneed_once_empty_call", "reclaim_once_empty_call", "reclaim_first_entry_call",
        "reclaim_last_entry_call", "reclaim_absent_call")       # those that set marks
LEAST = 0.5                 # instructions for each table: below it, functions are added up
KERNEL_START = 1 << 63


def symbols_of(lines):
    """([address], [name]) of the kernel's functions, by address, of the lines of /proc/kallsyms."""
    found = sorted((int(words[0], 16), words[2]) for words in map(str.split, lines) if len(words) >= 3 and words[1] in "tTwW")
    if not found or not found[-1][0]:
        raise Error("the guest does not show the addresses of its kernel's functions")
    return [address for address, _ in found], [name for _, name in found]


def by_function(blocks, addresses, names, tables=TABLES):
    """[(function, instructions for each table)], most first, of the plugin's lines."""
    counts = Counter()
    for line in blocks:
        address, instructions, count = line.split()
        address = int(address, 16)
        known = address >= KERNEL_START and address >= addresses[0]
        name = names[bisect.bisect_right(addresses, address) - 1] if known else "user space"
        counts[name] += int(instructions) * int(count) / tables
    rows = [(name, count) for name, count in counts.most_common() if count >= LEAST]
    rest = sum(counts.values()) - sum(count for _, count in rows)
    return [*rows, ("all others", rest), ("in all", sum(counts.values()))]


def emulator_with_plugin(folder, out):
    """A command in FOLDER by the emulator's name, which runs it with the plugin."""
    real = shutil.which(QEMU)
    if not real:
        raise Error(f"{QEMU} is not installed: run vm/setup")
    plugin = REPO / "build/bench/count-plugin.so"
    wrapper = Path(folder) / QEMU
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} "$@" -plugin {shlex.quote(f"{plugin},out={out}")}\n')
    wrapper.chmod(0o755)


def profile(row, flavour):
    if row not in ROWS:
        raise Error(f"{row} cannot be profiled: give one of {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "blocks"
        emulator_with_plugin(folder, out)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{path}"
        try:
            command = f"build/bench/cost {shlex.quote(row)} && grep -i ' [tw] ' /proc/kallsyms"
            lines = guests.run([flavour], ["--icount", "--cpus", "1", "--mem", "1G", "--timeout", "900"],
                               ["/bin/sh", "-c", command])[flavour]
        finally:
            os.environ["PATH"] = path
        blocks = out.read_text().splitlines()
    if not blocks:
        raise Error(f"{row}: nothing was counted on the kernel of flavour {flavour}")
    return by_function(blocks, *symbols_of(line for line in lines if not line.startswith(row)))
