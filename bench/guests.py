# SPDX-License-Identifier: GPL-2.0
"""Run one command in a guest for each kernel flavour, side by side, and read its "key value" lines."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(REPO / "vm"))
from kernel import KERNEL, KERNELS


class Error(Exception):
    pass


def build():
    for folder in ("bench", "tools/mm/ptreclaim"):
        done = subprocess.run(["make", "-s", "-C", str(REPO / folder)], stdout=sys.stderr, check=False)
        if done.returncode:
            raise Error(f"the programs of {folder}/ do not build")


def kernel_options(flavour):
    """FLAVOUR of the default kernel, or KERNEL/FLAVOUR."""
    kernel, _, name = flavour.rpartition("/")
    return [*(("--kernel", kernel) if kernel else ()), "--flavour", name]


def image(flavour):
    """Path of the flavour's kernel, built if need be: a first build takes minutes and says so itself."""
    done = subprocess.run([str(REPO / "vm/kernel"), *kernel_options(flavour), "--print-image"], stdout=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode:
        raise Error(f"no kernel of flavour {flavour}")
    return Path(done.stdout.strip())


def fingerprint(paths):
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest()


class Guest:
    """A running vm/run; its lines are kept, its errors shown as they come."""

    def __init__(self, flavour, options, command):
        self.flavour, self.lines = flavour, []
        self.process = subprocess.Popen([str(REPO / "vm/run"), *kernel_options(flavour), *options, "--", *command], cwd=REPO,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self.read_output), threading.Thread(target=self.show_errors)]
        for reader in self.readers:
            reader.start()

    def read_output(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("workload "):
                print(f"{self.flavour}: {line.split()[1]}", file=sys.stderr, flush=True)

    def show_errors(self):
        for line in self.process.stderr:
            print(f"{self.flavour}: {line.rstrip()}", file=sys.stderr, flush=True)

    def wait(self):
        status = self.process.wait()
        for reader in self.readers:
            reader.join()
        if status:
            raise Error(f"{self.flavour}: the guest's command failed with status {status}")
        return self.lines

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def run(flavours, options, command):
    """{flavour: lines}; where one fails or we are interrupted, none is left running."""
    guests = []
    try:
        for flavour in flavours:
            guests.append(Guest(flavour, options, command))
        return {guest.flavour: guest.wait() for guest in guests}
    finally:
        for guest in guests:
            guest.stop()


def pairs(lines):
    """"key value" lines as a dictionary, numbers as int."""
    found = {}
    for line in lines:
        key, _, value = line.partition(" ")
        found[key] = int(value) if value.lstrip("-").isdigit() else value
    return found


def sections(lines):
    """{workload: {key: value}} of what follows each "workload NAME" line; what comes before the first is left out."""
    found, name = {}, None
    for line in lines:
        if line.startswith("workload "):
            name = line.split()[1]
            found[name] = []
        elif name:
            found[name].append(line)
    return {name: pairs(body) for name, body in found.items()}


def table(head, rows, left=(0,)):
    """Prints rows below each other; the columns named in LEFT are words."""
    cells = [tuple(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
    print()
