# SPDX-License-Identifier: GPL-2.0
"""Writes folders that look like /proc and /sys/fs/cgroup of some machine, for --sysroot."""

import os
import shutil
import struct
import tempfile
from pathlib import Path

TABLE = 4096        # bytes of a page table
SPAN = 2 << 20      # address space of a PTE table
PAGE = 4096
PRESENT = 1 << 63
SWAPPED = 1 << 62


class Tree:
    """A machine without a process, until some are added. In memory: the files are many."""

    def __init__(self, folder=None):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = Path(folder or tempfile.mkdtemp(prefix="ptreclaim-tree-", dir=memory))
        self.proc = self.root / "proc"
        self.cgroups = self.root / "sys/fs/cgroup"
        self.proc.mkdir(parents=True)
        self.cgroups.mkdir(parents=True)

    def remove(self):
        shutil.rmtree(self.root)

    def folder(self, pid, **files):
        """A process with these files and no others; the contents are str or bytes."""
        folder = self.proc / str(pid)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    def copy(self, old, new):
        """A process with the same files."""
        folder = self.folder(new)
        for path in (self.proc / str(old)).iterdir():
            os.link(path, folder / path.name)

    def process(self, pid, tables=10, empty=0, *, name=b"program", uid=0, rss=8192, cgroup="/", start=1000, vmpte=None,
                start_at=1 << 30, **files):
        """One with that many PTE tables, the last ones of them empty, in one mapping; FILES replace files of it.

        Its tables stand in one slot of 1 GiB, so it has a PMD table and a PUD table more.
        """
        vmpte = (tables + 2) * TABLE // 1024 if vmpte is None else vmpte
        name = name.encode() if isinstance(name, str) else name
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        status = b"Name:\t%s\nUid:\t0\t%d\t0\t0\nGroups:\t0 1 2\nVmRSS:\t%8d kB\nVmPTE:\t%8s kB\nVmSwap:\t0 kB\n" % (
            escaped, uid, rss // 1024, str(vmpte).encode())
        before, behind = b" ".join([b"0"] * 17), b" ".join(b"%d" % number for number in range(30))
        content = {
            "status": status,
            "stat": b"%d (%s) S 1 %s %d %s\n" % (pid, name, before, start, behind),
            "cgroup": f"0::{cgroup}\n",
            "maps": f"{start_at:x}-{start_at + max(tables, 1) * SPAN:x} rw-p 00000000 00:00 0 \n",
            "smaps_rollup": "AnonHugePages:         0 kB\nShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\n",
            "pagemap": b"",
            **files,
        }
        folder = self.folder(pid, **content)
        if "pagemap" not in files:
            with open(folder / "pagemap", "r+b") as pagemap:
                for table in range(tables - empty):
                    pagemap.seek((start_at + table * SPAN) // PAGE * 8)
                    pagemap.write(struct.pack("<Q", PRESENT))
        self.join(cgroup, pid)
        return folder

    def kernel_thread(self, pid, name="kworker/0:0"):
        self.folder(pid, status=f"Name:\t{name}\nUid:\t0\t0\t0\t0\nKthread:\t1\n", cgroup="0::/\n", maps="",
                    stat=f"{pid} ({name}) S 2\n")
        self.join("/", pid)

    def join(self, cgroup, pid):
        """Lists the process in cgroup.procs."""
        folder = self.cgroups / cgroup.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "cgroup.procs", "a") as procs:
            procs.write(f"{pid}\n")
