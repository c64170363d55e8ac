# SPDX-License-Identifier: GPL-2.0
"""How bench/compare judges what it has measured, and what becomes of the figures."""

import importlib.machinery
import importlib.util
import io
import re
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.dont_write_bytecode = True
BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import guests       # noqa: E402, after the path
import judge        # noqa: E402
import profiling    # noqa: E402
import report       # noqa: E402


def program(name):
    loader = importlib.machinery.SourceFileLoader(f"bench_{name}", str(BENCH / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


compare = program("compare")
figures = program("figures")

OURS = "release"
ALL_THREE = {"munmap_1_cycle": (1000, 1000, 1000), "munmap_8192_cycle": (1000, 1000, 1000),
             "munmap_8192_emptied_call": (4000, 4000, 4000), "munmap_deferred_work": (0, 300, 300),
             "munmap_deferred_time": (10, 9000, 9000), "fork_exit_cycle": (1000, 1000, 1000),
             "dontneed_each_call": (7000, 7000, 8700), "dontneed_once_call": (5000, 5000, 6200),
             "dontneed_page_call": (3000, 3000, 3015), "dontneed_untouched_call": (11000, 11500, 11500),
             "dontneed_cycle": (15000, 15000, 20000), "dontneed_full_cycle": (900000, 900000, 909000), "mmap_cycle": (9000, 10000, 10050),
             "touch_new_table": (9000, 10000, 10050), "touch_old_table": (900, 900, 990),
             "refault_cycle": (15000, 15000, 15000), "refault_full_cycle": (900000, 900000, 900000)}
OURS_ONLY = {"reclaim_once_empty_call": 1000, "reclaim_each_empty_call": 2500, "reclaim_first_entry_call": 90,
             "reclaim_last_entry_call": 950, "reclaim_absent_call": 18, "reclaim_untouched_55t_call": 16000,
             "reclaim_deferred_work": 350, "reclaim_deferred_time": 8000000, "reclaim_refault_cycle": 20000,
             "reclaim_refault_full_cycle": 909000}
ROWS = ALL_THREE | {name: ("unsupported", "unsupported", figure) for name, figure in OURS_ONLY.items()}


def costs(**changes):
    """All targets met, to the instruction; CHANGES are ours."""
    found = {flavour: {name: row[i] for name, row in ROWS.items()} for i, flavour in enumerate(("baseline", "backend", OURS))}
    found[OURS].update(changes)
    return found


def curve(exponent, factor=1000.0, sizes=tuple(1 << power for power in range(10, 21, 2))):
    return {size: round(factor * size ** exponent) for size in sizes}


LIMITS = {"munmap_1_cycle": 1040, "fork_exit_cycle": 1040, "dontneed_each_call": 8700, "dontneed_once_call": 6200,
          "dontneed_page_call": 3015, "mmap_cycle": 10050, "touch_new_table": 10050, "reclaim_once_empty_call": 1000,
          "reclaim_each_empty_call": 2500, "reclaim_first_entry_call": 90, "reclaim_last_entry_call": 950,
          "reclaim_absent_call": 18, "reclaim_untouched_55t_call": 16000}


class Costs(unittest.TestCase):
    def verdict(self, name, figure, **more):
        return judge.judge_cost(name, costs(**{name: figure}), OURS, **more)[2]

    def test_each_limit(self):
        for name, limit in LIMITS.items():
            with self.subTest(name):
                self.assertAlmostEqual(judge.judge_cost(name, costs(), OURS)[1], limit)
                self.assertEqual(self.verdict(name, limit), "ok")
                self.assertRegex(self.verdict(name, int(limit * 1.02) + 1), "^MISSED by 2|^MISSED by 5.6%")

    def test_two_percent_are_no_miss(self):
        self.assertEqual(self.verdict("reclaim_untouched_55t_call", 16320), "ok, 2.0% over")
        self.assertEqual(self.verdict("reclaim_untouched_55t_call", 16321), "MISSED by 2.0%")

    def test_limits_follow_the_same_run(self):
        found = costs()
        found["baseline"]["munmap_8192_emptied_call"] = 2000
        self.assertEqual(judge.judge_cost("reclaim_once_empty_call", found, OURS),
                         ("0.25 x munmap_8192_emptied", 500, "MISSED by 100.0%"))

    def test_nothing_is_promised_of_what_is_printed_only(self):
        for name in ("munmap_deferred_work", "munmap_deferred_time", "touch_old_table", "refault_cycle", "reclaim_deferred_work",
                     "reclaim_refault_cycle"):
            with self.subTest(name):
                self.assertEqual(judge.judge_cost(name, costs(**{name: 10 ** 9}), OURS), ("", None, ""))

    def test_no_figure_is_an_error(self):
        with self.assertRaisesRegex(guests.Error, "reclaim_absent_call: unsupported"):
            self.verdict("reclaim_absent_call", "unsupported")
        found = costs()
        del found[OURS]["fork_exit_cycle"]
        with self.assertRaises(KeyError):
            judge.judge_cost("fork_exit_cycle", found, OURS)

    def test_beyond_reach(self):
        beyond = {"reclaim_last_entry_call": (1100, "why")}
        self.assertEqual(self.verdict("reclaim_last_entry_call", 1122, beyond=beyond), "beyond reach")
        self.assertEqual(self.verdict("reclaim_last_entry_call", 1123, beyond=beyond), "MISSED by 18.2%")
        self.assertEqual(self.verdict("reclaim_first_entry_call", 1100, beyond=beyond), "MISSED by 1122.2%")


class Growth(unittest.TestCase):
    def verdict(self, series, points):
        return judge.judge_growth(series, points)[2]

    def test_as_claimed(self):
        for series, exponent in judge.GROWTH.items():
            with self.subTest(series):
                self.assertEqual(self.verdict(series, curve(exponent)), "ok")

    def test_another_power(self):
        for series, exponent in judge.GROWTH.items():
            for off in (-0.03, 0.03):
                with self.subTest(series, off=off):
                    self.assertEqual(self.verdict(series, curve(exponent + off, 1e6)), "MISSED")

    def test_n_log_n(self):
        points = {size: cost * (size.bit_length() - 1) for size, cost in curve(1).items()}
        self.assertEqual(self.verdict("reclaim_tables", points), "MISSED")

    def test_one_point_off(self):
        for factor in (0.8, 1.2):
            points = curve(1)
            points[1 << 16] = round(points[1 << 16] * factor)
            with self.subTest(factor):
                self.assertEqual(self.verdict("reclaim_tables", points), "MISSED")

    def test_span_that_costs_a_little(self):
        sizes = [*(4 ** power for power in range(8)), 56320]
        self.assertEqual(self.verdict("reclaim_span_gib", {size: 500000 + size // 2 for size in sizes}), "ok")
        self.assertEqual(self.verdict("reclaim_span_gib", {size: 500000 + size * 10 for size in sizes}), "MISSED")

    def test_too_few_points_are_an_error(self):
        for sizes in ((1, 8, 64, 512), (1, 2, 3, 4, 5, 6)):
            with self.subTest(sizes), self.assertRaisesRegex(guests.Error, "say nothing"):
                judge.judge_growth("reclaim_tables", curve(1, sizes=sizes))

    def test_munmap_is_not_judged(self):
        self.assertEqual(self.verdict("munmap_tables", curve(2)), "")



class Parts(unittest.TestCase):
    """With what guests say in place of guests."""

    arguments = SimpleNamespace(ours=OURS, append="", no_newest=True)

    def part(self, part, said):
        results = {}
        def run(flavours, *_):
            return {flavour: said(flavour) for flavour in flavours}

        with mock.patch.object(guests, "run", run), \
             mock.patch.object(compare.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0)), \
             redirect_stdout(io.StringIO()) as out:
            missed = part(self.arguments, results)
        return missed, results, out.getvalue()

    @staticmethod
    def cost_lines(found):
        return lambda flavour: ["kernel 6.12.117", *(f"{name} {figure}" for name, figure in found[flavour].items())]

    def test_costs_met(self):
        missed, results, _ = self.part(compare.costs, self.cost_lines(costs()))
        self.assertEqual(missed, [])
        self.assertEqual(results["kernels"], dict.fromkeys(("baseline", "backend", OURS), "6.12.117"))
        self.assertEqual(results["costs"][OURS]["refault_cycle"], 15000)

    def test_costs_missed_are_named(self):
        with mock.patch.object(profiling, "profile", lambda row, flavour: [(f"{row} on {flavour}", 94.0)]):
            said = self.cost_lines(costs(reclaim_first_entry_call=94, fork_exit_cycle=2000))
            missed, results, out = self.part(compare.costs, said)
        self.assertEqual(missed, ["fork_exit_cycle: MISSED by 92.3%", "reclaim_first_entry_call: MISSED by 4.4%"])
        self.assertIn("MISSED by 92.3%", out)
        self.assertEqual(results["profiles"], {"reclaim_first_entry_call": [(f"reclaim_first_entry_call on {OURS}", 94.0)]})
        self.assertEqual(results["targets"]["fork_exit_cycle"]["verdict"], "MISSED by 92.3%")

    def test_a_profile_that_fails_hides_nothing(self):
        def profile(*_):
            raise guests.Error("no plugin")

        with mock.patch.object(profiling, "profile", profile):
            missed, results, _ = self.part(compare.costs, self.cost_lines(costs(reclaim_first_entry_call=94)))
        self.assertEqual(missed, ["reclaim_first_entry_call: MISSED by 4.4%",
                                  "reclaim_first_entry_call: MISSED, and no profile: no plugin"])
        self.assertEqual((results["profiles"], results["costs"][OURS]["reclaim_first_entry_call"]), ({}, 94))

    @staticmethod
    def scale_lines(span=0):
        found = {"reclaim_tables": curve(1), "reclaim_pmd_tables": curve(1), "reclaim_span_gib": curve(span, 5e5)}
        ours = [f"{series}.{size} {cost}" for series, points in found.items() for size, cost in points.items()]
        return lambda flavour: ours if flavour == OURS else [f"munmap_tables.{size} {cost}" for size, cost in curve(1).items()]

    def test_scale(self):
        self.assertEqual(self.part(compare.scale, self.scale_lines())[0], [])
        self.assertEqual(self.part(compare.scale, self.scale_lines(0.1))[0], ["growth of reclaim_span_gib: MISSED"])

    def test_scale_without_the_advice_is_an_error(self):
        said = self.scale_lines()
        with self.assertRaisesRegex(guests.Error, "no figures of reclaim_pmd_tables, reclaim_span_gib, reclaim_tables"):
            self.part(compare.scale, lambda _: said("baseline"))

    def test_a_part_that_fails_is_missed_and_hides_no_other(self):
        def fails(_, results):
            results["costs"] = {}
            raise guests.Error("the guest is gone")

        def lacks(_, results):
            return results["row"]

        def works(_, results):
            results["held"] = [1]
            return ["a row: MISSED"]

        results = {}
        with mock.patch.dict(compare.PARTS, {"costs": fails, "scale": lacks, "held": works}), redirect_stderr(io.StringIO()):
            missed = compare.measure(("costs", "scale", "held"), self.arguments, results)
        self.assertEqual(missed, ["costs: MISSED, as the guest is gone", "scale: MISSED, as there is no 'row'", "a row: MISSED"])
        self.assertEqual(results, {"held": [1]})

    @staticmethod
    def held_lines(slots):
        return lambda _: ["TAP version 13", "1..2", "# few tables: 277 calls, the writer waited 66 times; of 512 slots at most, "
                          f"the lock was given up after {slots}, the writer had it after 925 (mean 239); retaken 0 times before",
                          "ok 1 few tables"]

    def test_held(self):
        self.assertEqual(self.part(compare.held, self.held_lines(512))[0], [])
        self.assertEqual(self.part(compare.held, self.held_lines(513))[0], ["mmap_lock, few tables: MISSED"])
        with self.assertRaisesRegex(guests.Error, "has not said"):
            self.part(compare.held, lambda _: ["ok 1"])

    def test_faults_are_ratios(self):
        said = {OURS: ["rss_growth_kept_kb 4", "rss_growth_reclaimed_kb 2048", "faults_alone 1000", "faults_beside_reclaim 300",
                       "faults_beside_munmap 250"],
                "baseline": ["rss_growth_kept_kb 4", "faults_alone 1000", "faults_beside_munmap 200"]}
        missed, _, out = self.part(compare.faults, said.get)
        self.assertEqual(missed, [])
        self.assertEqual(re.findall(r"\S+ x alone", out), ["0.20 x alone", "0.30 x alone", "0.25 x alone"])

    @staticmethod
    def series_lines(right):
        return lambda _: ["workload fifty-gib", "vmpte_series 0:40 5:100", "redis_keys 1000000",
                          "redis_vmpte_series 1:100 2:900 3:500", "redis_stages 1:start 2:loaded", f"redis_keys_right {right}"]

    def test_series(self):
        missed, results, _ = self.part(compare.series, self.series_lines(1000000))
        self.assertEqual(missed, [])
        self.assertEqual(results["series"][OURS]["redis"], [[1, 100], [2, 900], [3, 500]])
        self.assertEqual(results["series"][OURS]["stages"], {"start": 1, "loaded": 2})
        missed, _, _ = self.part(compare.series, self.series_lines(999999))
        self.assertEqual(missed, ["Redis: 999999 of 1,000,000 keys right after the refill"])

    def test_newest_kernel_takes_part_once_there_are_patches(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(compare, "REPO", Path(folder)):
            every = SimpleNamespace(ours=OURS, no_newest=False)
            self.assertEqual(compare.sides(every), ["baseline", OURS])
            (Path(folder) / "patches/7.3").mkdir(parents=True)
            self.assertEqual(compare.sides(every), ["baseline", OURS, "7.3/baseline", "7.3/release"])
            self.assertEqual(compare.sides(self.arguments), ["baseline", OURS])
        self.assertEqual(guests.kernel_options("7.3/release"), ["--kernel", "7.3", "--flavour", "release"])
        self.assertEqual(guests.kernel_options("release"), ["--flavour", "release"])


class Profile(unittest.TestCase):
    def test_by_function(self):
        addresses, names = profiling.symbols_of(["ffffffff81000000 T first", "ffffffff81000100 t second",
                                                 "ffffffff82000000 d data"])
        self.assertEqual(names, ["first", "second"])
        rows = profiling.by_function(["ffffffff81000010 4 100", "ffffffff81000100 2 10", "ffffffff810001f0 1 10", "400000 1 5",
                                      "ffffffff81000020 1 1"], addresses, names, 10)
        self.assertEqual(rows, [("first", 40.1), ("second", 3.0), ("user space", 0.5), ("all others", 0.0), ("in all", 43.6)])

    def test_hidden_addresses_are_an_error(self):
        for lines in ([], ["0000000000000000 T first"]):
            with self.subTest(lines), self.assertRaisesRegex(guests.Error, "addresses"):
                profiling.symbols_of(lines)


def whole():
    """The results of a whole run."""
    parts = Parts()
    results = {"measured": "2026-01-01 00:00:00", "commit": "0123456789ab", "seconds": 1, "ours": OURS, "missed": [],
               "machine": {"processor": "a <processor>", "processors": 2, "memory_gib": 8, "emulator": "QEMU"}}
    said = {compare.costs: parts.cost_lines(costs()), compare.scale: parts.scale_lines(), compare.held: parts.held_lines(500),
            compare.faults: lambda _: ["rss_growth_kept_kb 4", "rss_growth_reclaimed_kb 2048", "faults_alone 1000",
                                       "faults_beside_reclaim 300", "faults_beside_munmap 250"],
            compare.series: parts.series_lines(1000000)}
    for part, lines in said.items():
        results |= parts.part(part, lines)[1]
    return results


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = report.page(whole())

    def test_needs_nothing_else(self):
        self.assertNotRegex(self.page, r"<script|<link|<img|@import|url\((?!#)|(?:src|href)=['\"](?!#)")
        self.assertEqual(self.page.count("<svg"), 5)

    def test_ids_are_its_own(self):
        ids = re.findall(r"\bid=['\"]([^'\"]+)", self.page)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertLessEqual(set(re.findall(r"(?:href=['\"]|url\()#([^'\")]+)", self.page)), set(ids))

    def test_plots_follow_the_page_colours(self):
        self.assertNotRegex(self.page, r"=['\"](?:black|gr[ae]y)['\"]")

    def test_figures_are_there(self):
        for what in ("0123456789ab", "a &lt;processor&gt;", "6.12.117 unpatched", "Every target is met.", "1,350", "2,048",
                     "0.30"):
            with self.subTest(what):
                self.assertIn(what, self.page)

    def test_missed_is_told(self):
        page = report.page({**whole(), "missed": ["fork_exit_cycle: MISSED by 5.0%"]})
        self.assertIn("<li>fork_exit_cycle: MISSED by 5.0%</li>", page)
        self.assertNotIn("Every target is met.", page)
        self.assertIn('<td class="word missed">MISSED by 5.0%</td>', report.table(("a",), [("MISSED by 5.0%",)]))

    def test_a_part_alone(self):
        results = whole()
        for name in ("series", "scale", "growth", "faults", "held"):
            del results[name]
        self.assertNotIn("<svg", report.page(results))

    def test_profile(self):
        page = report.page({**whole(), "profiles": {"reclaim_last_entry_call": [["pte_walk", 1000.25], ["in all", 1100.0]]}})
        self.assertIn('<td class="word">pte_walk</td><td>1,000.2</td>', page)


DEMO = {
    "run": {"allowed": {"fifty-gib": 208, "steps-64k": 80, "shifted-1m": 80, "free": 80},
            "results": {side: {name: {"vmpte_start": 40, "vmpte_worked": worked, "vmpte_after": 244}
                               for name in figures.WORKLOADS}
                        for side, worked in (("baseline", 102636), ("ours", 240))}},
    "full": {"keys": 3000000,
             "results": {side: {"redis": {"redis_vmpte_start": 100, "redis_vmpte_purged": 2408, "redis_vmpte_after": 740,
                                          "redis_audit_empty_at_most": 0, "redis_keys_right": 3000000}}
                         for side in ("baseline", "ours")}},
}


class Figures(unittest.TestCase):
    def test_readme(self):
        bench = whole()
        bench["scale"] = {series: {str(size): cost for size, cost in points.items()} for series, points in bench["scale"].items()}
        text = figures.readme_text(DEMO, bench)
        self.assertIn("| 50 GiB, touched and MADV_DONTNEEDed 2 MiB by 2 MiB | 40 | 102,636 | 240 | 244 | 248 |", text)
        self.assertIn("of one table +0.0 %,", " ".join(text.split()))
        self.assertIn("1,048,576 tables cost 1,024 times what 1,024 do", " ".join(text.split()))
        self.assertTrue(all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|")))

    def test_guide(self):
        self.assertEqual(figures.refault_table(whole()).splitlines()[3:6], [
            "one page of each 2 MiB                 15,000   20,000  +33.3 %",
            "all pages of each 2 MiB               900,000  909,000   +1.0 %",
            "growth of RSS, kB, huge pages always        4    2,048"])

    def test_fill(self):
        self.assertEqual(figures.fill("a\nB\nold\nE\nz\n", "BE", "new", "f"), "a\nB\n\nnew\n\nE\nz\n")
        for text in ("a", "B", "E B", "B B E", "B E E"):
            with self.subTest(text), self.assertRaisesRegex(guests.Error, "f must have one line B"):
                figures.fill(text, "BE", "new", "f")

    def test_files_have_the_marks(self):
        marks = [(figures.README, figures.README_MARKS)]
        marks += [(figures.GUIDE, figures.guide_marks(name)) for name in figures.guide_tables(DEMO, whole())]
        for path, pair in marks:
            with self.subTest(path.name):
                figures.fill(path.read_text(), pair, "new", path.name)

    def test_wrap_keeps_code_together(self):
        self.assertEqual(figures.wrap("one two `make bench` three", 12), "one two\n`make bench`\nthree")
        self.assertEqual(figures.wrap("about 12 % of it", 8), "about\n12 % of\nit")

    def test_a_run_with_a_part_missing_is_an_error(self):
        with self.assertRaisesRegex(guests.Error, "has no scale: run make bench again"):
            figures.need({"costs": {1: 1}}, "bench", "costs", "scale")


if __name__ == "__main__":
    unittest.main()
