# SPDX-License-Identifier: GPL-2.0
"""How tests/run judges what a guest test says."""

import contextlib
import importlib.machinery
import importlib.util
import io
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))      # for what tests/run imports
loader = importlib.machinery.SourceFileLoader("tests_run", str(TESTS / "run"))
driver = importlib.util.module_from_spec(importlib.util.spec_from_loader("tests_run", loader))
sys.modules["tests_run"] = driver
loader.exec_module(driver)


class Judgement(unittest.TestCase):
    def judge(self, text, status=0, errors="", judge=driver.Ktap):
        """Returns (passed, failed, skipped) and what was printed."""
        tally = driver.Tally()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            judge = judge("case", tally)
            for line in text.splitlines():
                judge.take(line)
            judge.finish(status, errors)
        return (tally.passed, tally.failed, tally.skipped), printed.getvalue()

    def test_results_count(self):
        counts, printed = self.judge("TAP version 13\n1..3\n# RUN a\nok 1 a.b\n# why\nnot ok 2 a.c\nok 3 a.d # SKIP no swap\n", 1)
        self.assertEqual(counts, (1, 2, 1))
        self.assertIn("ok case: a.b\n", printed)
        self.assertIn("not ok case: a.c\n# # why\n", printed)
        self.assertIn("ok case: a.d # SKIP no swap\n", printed)
        self.assertIn("exit status 1", printed)

    def test_old_forms(self):
        counts, printed = self.judge("1..3\nok 1 - a\nok 2 # SKIP no swap\nok 3\n")
        self.assertEqual(counts, (2, 0, 1))
        self.assertIn("ok case: a\nok case: 2 # SKIP no swap\nok case: 3\n", printed)

    def test_all_passed(self):
        self.assertEqual(self.judge("1..2\nok 1 a\nok 2 b\n")[0], (2, 0, 0))

    def test_missing_plan(self):
        counts, printed = self.judge("ok 1 a\n")
        self.assertEqual(counts, (1, 1, 0))
        self.assertIn("no plan", printed)

    def test_plan_mismatch(self):
        for text in ("1..2\nok 1 a\n", "1..1\nok 1 a\nok 2 b\n", "1..2\nok 1 a\nok 1 a\n", "1..1\nok 1 a\n1..1\n"):
            with self.subTest(text):
                self.assertEqual(self.judge(text)[0][1], 1)

    def test_no_output_at_all(self):
        self.assertEqual(self.judge("")[0], (0, 1, 0))

    def test_exit_status_counts(self):
        counts, printed = self.judge("1..1\nok 1 a\n", 125, "vm/run: the kernel reported a bug")
        self.assertEqual(counts, (1, 1, 0))
        self.assertIn("the kernel reported a bug", printed)

    def test_bail_out(self):
        self.assertEqual(self.judge("1..1\nok 1 a\nBail out! no memory\n")[0], (1, 1, 0))

    def test_nothing_but_skips_is_a_failure(self):
        for text in ("1..1\nok 1 a # SKIP not supported\n", "1..0 # SKIP not supported\n"):
            with self.subTest(text):
                self.assertEqual(self.judge(text)[0][:2], (0, 1))

    def test_status_only(self):
        self.assertEqual(self.judge("hello\n", 0, judge=driver.Status)[0], (1, 0, 0))
        self.assertEqual(self.judge("hello\n", 3, judge=driver.Status)[0], (0, 1, 0))


class Choice(unittest.TestCase):
    @staticmethod
    def names(*arguments):
        return [driver.case_name(*pair) for pair in driver.choose(*arguments)]

    def test_the_first_kernel_unless_all_are_asked_for(self):
        names = self.names([], False, None)
        self.assertFalse([name for name in names if re.match(r"\d", name)])
        every = self.names([], True, None)
        self.assertLess(set(names), set(every))
        self.assertEqual(len(every), len(set(every)))
        for kernel in list(driver.KERNELS)[1:]:
            self.assertIn(f"{kernel}/selftest/madv_pt_reclaim/debug", every)
            self.assertTrue(all(name.startswith(f"{kernel}/") for name in self.names([], True, kernel)))

    def test_a_name_finds_deep_ones(self):
        deep = next(case.name for case in driver.CASES if case.deep)
        self.assertNotIn(deep, self.names([], False, None))
        self.assertIn(deep, self.names([deep], False, None))

    def test_a_case_of_one_kernel(self):
        self.assertTrue(self.names(["race/dontneed"], True, "6.12"))
        self.assertFalse(self.names(["race/dontneed"], True, "7.3"))


class Child(unittest.TestCase):
    def test_ends_if_we_are_to_end(self):
        """It does so without, too, when its input is closed, but not by the signal."""
        with self.assertRaises(KeyboardInterrupt), driver.child(["cat"], stdin=subprocess.PIPE) as cat:
            raise KeyboardInterrupt
        self.assertEqual(cat.returncode, -signal.SIGTERM)


class Total(unittest.TestCase):
    def total(self, passed, failed, skipped):
        tally = driver.Tally()
        tally.passed, tally.failed, tally.skipped = passed, failed, skipped
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = tally.finish()
        return status, printed.getvalue()

    def test_line_and_status(self):
        self.assertEqual(self.total(3, 0, 0), (0, "3 passed, 0 failed\n"))
        self.assertEqual(self.total(3, 0, 1), (0, "3 passed, 0 failed, 1 skipped\n"))
        self.assertEqual(self.total(3, 2, 0), (1, "3 passed, 2 failed\n"))
        self.assertEqual(self.total(0, 0, 1), (1, "0 passed, 0 failed, 1 skipped\n"))


if __name__ == "__main__":
    unittest.main()
