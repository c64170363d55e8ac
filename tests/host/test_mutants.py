# SPDX-License-Identifier: GPL-2.0
"""When tests/race/mutants takes a fix that is missing for found."""

import importlib.machinery
import importlib.util
import sys
import unittest
from pathlib import Path

RACE = Path(__file__).resolve().parents[1] / "race"
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("mutants", str(RACE / "mutants"))
mutants = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants", loader))
sys.modules["mutants"] = mutants
loader.exec_module(mutants)

PASSED = "TAP version 13\n1..1\nok 1 touch/anon\n"
FAILED = "TAP version 13\n1..1\n# touch: page 3 is lost\nnot ok 1 touch/anon\n"
REPORT = "vm/run: the kernel reported a bug:\n  [    3.141592] BUG: KASAN: slab-use-after-free in f+0x1/0x2\n"


class Judge(unittest.TestCase):
    def test_nothing(self):
        self.assertEqual(mutants.judge(PASSED, "", 0, "lost"), (True, ""))

    def test_failed_test(self):
        self.assertEqual(mutants.judge(FAILED, "", 0, "is lost"), (True, "touch/anon: touch: page 3 is lost"))
        self.assertEqual(mutants.judge(FAILED.replace("# touch: page 3 is lost\n", ""), "", 1, "touch"), (True, "touch/anon"))

    def test_report_of_the_kernel(self):
        self.assertEqual(mutants.judge(PASSED, REPORT, 1, mutants.USED_AFTER_FREE),
                         (True, "BUG: KASAN: slab-use-after-free in f+0x1/0x2"))

    def test_another_failure_does_not_count(self):
        self.assertEqual(mutants.judge(FAILED, "", 0, "EEXIST"), (False, "touch/anon: touch: page 3 is lost"))
        self.assertFalse(mutants.judge(PASSED, REPORT, 1, "Bad page state")[0])

    def test_guest_that_does_not_run_does_not_count(self):
        for out, status in (("", 0), ("", 124), (PASSED, 124), ("TAP version 13\n", 0)):
            with self.subTest(out=out, status=status):
                good, found = mutants.judge(out, "no QEMU", status, ".*")
                self.assertFalse(good)
                self.assertIn(f"exit status {status}: no QEMU", found)


class List(unittest.TestCase):
    def test_each_undoes_something_and_names_tests(self):
        cases = [case.name for case in mutants.tests.CASES]
        for mutant in mutants.MUTANTS:
            with self.subTest(mutant.name, kernel=mutant.kernel):
                self.assertIn("\n@@ ", mutant.patch())
                self.assertTrue(mutant.finds)
                self.assertTrue(cases.count(mutant.case) == 1 if mutant.case else mutant.flavour and mutant.tests)


if __name__ == "__main__":
    unittest.main()
