# SPDX-License-Identifier: GPL-2.0
"""How bench/allocators judges what it has measured."""

import importlib.machinery
import importlib.util
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
loader = importlib.machinery.SourceFileLoader("bench_allocators", str(BENCH / "allocators"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_allocators", loader))
loader.exec_module(bench)


def figures(**changes):
    return {"vmpte_peak": 2000 << 12, "vmpte_idle": 1000 << 12, "empty_min": 0, "empty_max": 0, "rss_idle": 1 << 20,
            "work": 990, "idle_work": 10, "wrong": 0, "busy_vmpte": 1000 << 12, "busy_empty": 0,
            "worked_at": 2000, "idle_at": 3000, "calls": "[]", **changes}


class Judgement(unittest.TestCase):
    def judge(self, variant=bench.PRELOAD, without=None, **changes):
        return bench.judge(variant, [figures(**changes)], without or [figures(empty_max=500 << 12)])

    def test_targets_met(self):
        share, ratio, missed, gain = self.judge(empty_max=50 << 12, work=1010)
        self.assertEqual((share, ratio, missed, gain), (0.05, (1.02, 0), [], "gains 1,800 kB"))

    def test_each_target_is_missed(self):
        for changes, word in (({"empty_max": 51 << 12}, "5.1% of tables empty"), ({"work": 1011}, "work x 1.021"),
                              ({"idle_work": 31}, "work x 1.021"),
                              ({"wrong": 1}, "1 wrong answers")):
            for variant in (bench.PRELOAD, bench.CALL):
                with self.subTest(word, variant=variant):
                    self.assertEqual(self.judge(variant, **changes)[2], [word])

    def test_all_are_told(self):
        self.assertEqual(len(self.judge(empty_max=51 << 12, work=1011, wrong=1)[2]), 3)

    def test_no_gain_is_told(self):
        for empty, gain in ((0, "gains nothing"), (1, "gains little: 4 kB"), (50, "gains little: 200 kB"), (51, "gains 204 kB")):
            with self.subTest(empty):
                self.assertEqual(self.judge(without=[figures(empty_max=empty << 12)])[3], gain)

    def test_without_library_only_answers_count(self):
        for variant in (bench.BASELINE, bench.WITHOUT):
            with self.subTest(variant):
                self.assertEqual(self.judge(variant, empty_max=999 << 12, work=5000)[1:], (None, [], ""))
                self.assertEqual(self.judge(variant, wrong=2)[2], ["2 wrong answers"])

    def test_a_missing_figure_is_an_error(self):
        for key in ("empty_max", "vmpte_idle", "work", "idle_work", "wrong"):
            short = figures()
            del short[key]
            with self.subTest(key), self.assertRaises(KeyError):
                bench.judge(bench.PRELOAD, [short], [figures()])


class Runs(unittest.TestCase):
    """Of several runs the worst decides on tables, all on answers, and the mean on work, as far as it is known."""

    def judge(self, *runs, without=({"work": 990},) * 3):
        return bench.judge(bench.PRELOAD, [figures(**run) for run in runs], [figures(**run) for run in without])

    def test_one_bad_run_is_enough(self):
        good, empty, wrong = {}, {"empty_max": 60 << 12}, {"wrong": 1}
        self.assertEqual(self.judge(good, good, good)[2], [])
        self.assertEqual(self.judge(good, empty, good)[2], ["6.0% of tables empty"])
        self.assertEqual(self.judge(good, good, wrong)[2], ["1 wrong answers"])

    def test_error_of_the_ratio(self):
        _, (ratio, error), missed, _ = self.judge({"work": 995}, {"work": 1015}, {"work": 1035})
        self.assertAlmostEqual(ratio, 1.025)
        self.assertAlmostEqual(error, 2 * 20 / 3 ** 0.5 / 1000)
        self.assertEqual(missed, [])

    def test_runs_that_agree_leave_no_doubt(self):
        self.assertEqual(self.judge(*[{"work": 1011}] * 3)[2], ["work x 1.021"])

    def test_more_than_the_error_is_missed(self):
        self.assertEqual(self.judge({"work": 1040}, {"work": 1041}, {"work": 1042})[2], ["work x 1.051"])


class Rows(unittest.TestCase):
    def test_missed_names_program_and_variant(self):
        by_variant = {bench.BASELINE: [figures()], bench.WITHOUT: [figures()], bench.PRELOAD: [figures(work=1990)]}
        rows, missed = bench.rows_of("redis", "redis", by_variant)
        self.assertEqual(missed, ["redis, preload: work x 2.000"])
        self.assertEqual([row[-1] for row in rows], ["ok", "ok", "MISSED; gains nothing"])
        self.assertTrue(all(len(row) == len(bench.HEAD) for row in rows))

    def test_all_empty_tables_of_all_runs(self):
        runs = [figures(empty_min=2 << 12, empty_max=3 << 12), figures(empty_min=1 << 12, empty_max=1 << 12)]
        rows, _ = bench.rows_of("redis", "redis", {bench.WITHOUT: runs})
        self.assertEqual(rows[0][5:7], ("1..3", "0.3%"))

    def test_sections(self):
        lines = ["noise 1", "workload glibc:0", "work 5", "workload jemalloc:0", "work 6",
                 "workload jemalloc:1", "work 7", "wrong 0"]
        self.assertEqual(bench.by_program(bench.guests.sections(lines)),
                         {"glibc": [{"work": 5}], "jemalloc": [{"work": 6}, {"work": 7, "wrong": 0}]})

    def test_results_of_other_commands_are_kept(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(bench, "REPO", Path(folder)), \
                mock.patch.object(bench, "RESULTS", Path(folder) / "results.json"), mock.patch("builtins.print"):
            bench.store("sweep", {"results": 1}, "release")
            bench.store("run", {"results": 2}, "release")
            stored = json.loads(bench.RESULTS.read_text())
        self.assertEqual([stored[key]["results"] for key in ("sweep", "run")], [1, 2])


class Sweep(unittest.TestCase):
    def row(self, setting=f"100,{64 << 20}", **changes):
        found = bench.sweep_row("redis", setting, figures(**changes), figures())
        return dict(zip(bench.SWEEP_HEAD, found))

    def test_when_tables_were_freed(self):
        row = self.row(calls="[[1000, 1], [2000, 2], [2001, 4], [3000, 8], [3001, 16]]")
        self.assertEqual((row["freed busy"], row["freed idle"]), (3, 12))

    def test_trace(self):
        line = "       ptreclaim-77      [000] .....    {}: mm_pt_reclaim: mm=1 start=0x0 end=0x1 scanned=9 freed={} ret=0\n"
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(bench.servers.Trace, "FOLDER", Path(folder)):
            (Path(folder) / "events/pt_reclaim/mm_pt_reclaim").mkdir(parents=True)
            trace = bench.servers.Trace()
            lines = "".join(line.format(*event) for event in (("12.000345", 3), ("12.5", 7), ("13.000000", 0), ("13.000001", 40)))
            (Path(folder) / "trace").write_text("# entries-in-buffer/entries-written: 4/4   #P:1\n" + lines)
            self.assertEqual(trace.calls(), [[12_000_345_000, 3], [13_000_001_000, 40]])
            (Path(folder) / "trace").write_text("# entries-in-buffer/entries-written: 4/5   #P:1\n" + lines)
            self.assertRaisesRegex(bench.Error, "only 4 of 5 events", trace.calls)

    def test_other_columns(self):
        row = self.row(busy_vmpte=2000 << 12, busy_empty=100 << 12, empty_max=20 << 12, wrong=3, work=1090)
        self.assertEqual([row[key] for key in ("empty busy", "empty idle", "wrong", "ratio")], ["5.0%", "2.0%", 3, "1.100"])

    def test_settings(self):
        for setting, cells in (("without", ("none", "")), (f"0,{512 << 20}", (0, 512)), (f"10,{1 << 63}", (10, "no limit"))):
            with self.subTest(setting):
                row = self.row(setting)
                self.assertEqual((row["idle, ms"], row["MiB"]), cells)

    def test_each_setting_is_measured(self):
        asked = []

        def measure(_flavour, kind, *words):
            self.assertEqual(kind, "sweep")
            asked.extend(words)
            return {f"{program}/{word}": [figures()] for word in words for program in ("jemalloc", "redis")}

        with mock.patch.object(bench, "measure", measure), mock.patch.object(bench.guests, "table") as table:
            results = bench.sweep("release")
        self.assertEqual(len(set(asked)), 7)
        self.assertTrue({"without", f"0,{512 << 20}", f"1000,{64 << 20}", f"1000,{1 << 63}"} <= set(asked))
        self.assertEqual([list(by_setting) for by_setting in results.values()], [asked, asked])
        self.assertEqual(len(table.call_args[0][1]), 2 * len(asked))

    def test_the_library_gets_the_settings(self):
        seen = []

        def run(variant, _number, **_more):
            seen.append((variant, bench.os.environ.get("PTRECLAIM_IDLE_MS"), bench.os.environ.get("PTRECLAIM_BYTES")))

        with mock.patch.dict(bench.os.environ), mock.patch.object(bench, "run_server", lambda _name, *rest, **more: run(*rest)), \
                mock.patch.object(bench, "run_churn", lambda _size, _name, *rest: run(*rest)), mock.patch("builtins.print"), \
                mock.patch.object(bench.servers, "Trace", lambda: mock.Mock(calls=list)):
            bench.guest_sweep(["without", "100,64"])
        self.assertEqual(seen, [("without", None, None)] * 2 + [("preload", "100", "64")] * 2)


class Guest(unittest.TestCase):
    def test_not_on_a_host(self):
        with mock.patch.object(bench, "run_server") as run, self.assertRaisesRegex(bench.Error, "for guests of vm/run"):
            bench.in_guest("redis", bench.PRELOAD)
        run.assert_not_called()


if __name__ == "__main__":
    unittest.main()
