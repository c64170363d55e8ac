# SPDX-License-Identifier: GPL-2.0
"""Copies of this checkout with another series, to build kernels of and to run guests with."""

import shutil
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(REPO / "vm"))
from kernel import KERNEL, KERNELS

PARTS = ("vm", "patches", "mm", "include", "Documentation", "tools")


def series(kernel=KERNEL):
    """Name -> text of the patches."""
    return {path.name: path.read_text() for path in sorted((REPO / "patches" / kernel).glob("*.patch"))}


def checkout(directory, patches, kernel=KERNEL):
    """A copy of what makes a kernel and a guest, with these patches, name -> text, for a series."""
    shutil.rmtree(directory, ignore_errors=True)
    for part in PARTS:
        shutil.copytree(REPO / part, directory / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(directory / "patches" / kernel)
    (directory / "patches" / kernel).mkdir()
    for name, text in patches.items():
        (directory / "patches" / kernel / name).write_text(text)
    return directory
