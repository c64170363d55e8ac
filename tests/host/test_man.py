# SPDX-License-Identifier: GPL-2.0
"""The manual page: what is in it, and programs that compile. tests/guest/man_examples.c runs them."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
import unittest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "man/madvise-pt-reclaim.2"
loader = importlib.machinery.SourceFileLoader("man_example", str(REPO / "tests/man-example"))
sys.dont_write_bytecode = True
man = importlib.util.module_from_spec(importlib.util.spec_from_loader("man_example", loader))
loader.exec_module(man)

SECTIONS = ["NAME", "LIBRARY", "SYNOPSIS", "DESCRIPTION", "RETURN VALUE", "ERRORS", "VERSIONS", "STANDARDS", "NOTES",
            "CAVEATS", "EXAMPLES", "SEE ALSO"]
INTERFACES = ("madvise()", "process_madvise()", "io_uring")
ERRORS = {"EACCES", "EBADF", "EFAULT", "EINTR", "EINVAL", "ENOMEM", "EPERM", "ESRCH"}


def section(text, name):
    return text.split(f"\n.SH {name}\n")[1].split("\n.SH ")[0]


class Page(unittest.TestCase):
    text = PAGE.read_text()

    def test_sections(self):
        self.assertEqual(re.findall(r"^\.SH (.*)$", self.text, re.M), SECTIONS)

    def test_each_interface_is_described(self):
        self.assertEqual(re.findall(r"^\.SS (.*)$", section(self.text, "DESCRIPTION"), re.M), list(INTERFACES))

    def test_each_error_has_an_entry(self):
        entries = re.findall(r"^\.TP\n\.B (E\w+)$", section(self.text, "ERRORS"), re.M)
        self.assertEqual(ERRORS - set(entries), set())

    def test_number_is_that_of_the_kernel(self):
        patches = "".join(path.read_text() for path in (REPO / "patches").glob("*/*.patch"))
        for text in (self.text, patches):
            self.assertEqual(set(re.findall(r"#define MADV_RECLAIM_PT\s+(\d+)", text)), {"26"})


class Programs(unittest.TestCase):
    def test_they_compile(self):
        found = man.programs(PAGE.read_text())
        self.assertEqual(len(found), 2)
        for name, source in found.items():
            with self.subTest(name):
                run = subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o", "/dev/null"],
                                     input=source, stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_escapes(self):
        page = '.\\" SRC BEGIN (a.c)\n.EX\nint i = \\-1;\n\\&\nchar c = \\(aq\\en\\(aq;\n.EE\n.\\" SRC END\n'
        self.assertEqual(man.programs(page), {"a.c": "int i = -1;\n\nchar c = '\\n';\n"})

    def test_what_roff_would_change_is_an_error(self):
        for line in ("printf(\"\\n\");", ".fi", "'x'", "a \\"):
            with self.subTest(line), self.assertRaises((KeyError, ValueError)):
                man.unescape(line)

    def test_unmarked_program_is_an_error(self):
        with self.assertRaises(ValueError):
            man.programs('.\\" SRC BEGIN (a.c)\n.EX\nint i;\n.EE\n\n.EX\nint j;\n.EE\n')


if __name__ == "__main__":
    unittest.main()
