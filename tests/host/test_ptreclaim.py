# SPDX-License-Identifier: GPL-2.0
"""ptreclaim(8) over captured trees. What it does to processes is tested in a guest: tools/mm/ptreclaim/test/guest.py."""

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from proctree import TABLE, Tree

REPO = Path(__file__).resolve().parents[2]
SOURCE = REPO / "tools/mm/ptreclaim"
FAILED, USAGE, NO_ADVICE, DENIED = 1, 2, 3, 4


def build(sanitizers="", *targets):
    """Path of the program."""
    suffix = f"-{sanitizers.replace(',', '-')}" if sanitizers else ""
    out = REPO / f"build/ptreclaim{suffix}"
    run = subprocess.run(["make", "-s", "-C", SOURCE, f"OUT={out}", f"LIBOUT={REPO}/build/lib{suffix}", f"SANITIZE={sanitizers}",
                          *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stdout)
    return out / "ptreclaim"


class Case(unittest.TestCase):
    """Runs the program over a tree that setUp() has begun."""

    sanitizers = ""

    @classmethod
    def setUpClass(cls):
        cls.program = build(cls.sanitizers)

    def setUp(self):
        self.tree = Tree()
        self.addCleanup(self.tree.remove)

    def run_program(self, *words, status=0, env=None):
        """Output and error output, as bytes: names of processes may be any."""
        run = subprocess.run([self.program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, check=False, timeout=100, env={"LC_ALL": "C.UTF-8", **(env or {})})
        self.assertEqual(run.returncode, status, (words, run.stdout, run.stderr))
        return run.stdout, run.stderr.decode()

    def scan(self, *words, status=0):
        return self.run_program("scan", "--sysroot", self.tree.root, *words, status=status)

    def rows(self, *words, status=0):
        """The only list of the JSON."""
        (rows,) = json.loads(self.scan("--json", *words, status=status)[0]).values()
        return rows

    def pids(self, *words):
        return [row["pid"] for row in self.rows(*words)]


class Scan(Case):
    def test_figures(self):
        self.tree.process(7, 300, 200, name="heap", uid=1234567, rss=5 << 20, cgroup="/a/b")
        self.tree.kernel_thread(8)
        (row,) = self.rows("-o", "pid,uid,user,rss,vmpte,inuse,deposited,empty,empty-max,processes,audited,unseen,command,cgroup")
        self.assertEqual(row, {
            "pid": 7, "uid": 1234567, "user": "1234567", "rss": 5 << 20, "vmpte": 302 * TABLE, "inuse": 100 * TABLE,
            "deposited": 0, "empty": 200 * TABLE, "empty-max": 200 * TABLE, "processes": 1, "audited": 1, "unseen": 0,
            "command": "heap", "cgroup": "/a/b"})

    def test_bounds(self):
        """64 GiB of which nothing was ever touched: 64 PMD tables, or none."""
        maps = "40000000-1040000000 rw-p 00000000 00:00 0 \n"
        self.tree.process(7, 100, 0, maps=maps, vmpte=102 * 4 + 1000)
        (row,) = self.rows()
        self.assertEqual((row["empty"], row["empty-max"]), (1000 * 1024 - 63 * TABLE, 1000 * 1024))

    def test_huge_pages(self):
        """A copy of pagemap does not tell huge pages from 512 small ones, smaps_rollup does."""
        rollup = "AnonHugePages:    20480 kB\nShmemPmdMapped:     4096 kB\nFilePmdMapped:         0 kB\n"
        self.tree.process(7, 100, 20, smaps_rollup=rollup, vmpte=(100 - 2 + 2) * 4)
        (row,) = self.rows("-o", "inuse,deposited,empty")
        self.assertEqual(row, {"inuse": 68 * TABLE, "deposited": 10 * TABLE, "empty": 20 * TABLE})

    def test_table(self):
        self.tree.process(7, 300, 200)
        out = self.scan("-o", "pid,vmpte,empty,command")[0].decode()
        self.assertEqual([line.split() for line in out.splitlines()],
                         [["PID", "VMPTE", "EMPTY", "COMMAND"], ["7", "1.2M", "800K", "program"]])
        out = self.scan("-o", "pid,vmpte", "--bytes", "--noheadings")[0]
        self.assertEqual(out.split(), [b"7", b"1236992"])

    def test_threshold(self):
        self.tree.process(7, 62, 60)
        self.tree.process(8, 61, 60)
        self.assertEqual(self.pids(), [7])
        self.assertEqual(sorted(self.pids("--threshold", "252K")), [7, 8])
        self.assertEqual(self.pids("--threshold", 252 * 1024 + 1), [7])
        self.assertEqual(self.pids("--threshold", "1G"), [])
        self.assertEqual(self.pids("--pid", 8), [8])

    def test_what_is_not_audited_is_not_read(self):
        """Nothing but status, stat and cgroup: the others are not even there."""
        folder = self.tree.process(7, 61, 60)
        for name in ("maps", "pagemap", "smaps_rollup"):
            (folder / name).unlink()
        (row,) = self.rows("--total")
        self.assertEqual((row["processes"], row["audited"], row["unseen"]), (1, 0, 63 * TABLE))
        self.assertIsNone(row["empty"])

    def test_min_empty(self):
        self.tree.process(7, 300, 99)
        self.tree.process(8, 300, 100)
        self.assertEqual(self.pids("--min-empty", "400K"), [8])
        self.assertEqual(sorted(self.pids("--min-empty", "396K")), [7, 8])

    def test_sort(self):
        self.tree.process(30, 300, 50, name="b", uid=2, rss=1 << 20)
        self.tree.process(20, 200, 99, name="c", uid=10, rss=3 << 20)
        self.tree.process(100, 400, 70, name="a", uid=1, rss=2 << 20)
        for column, pids in (("pid", [20, 30, 100]), ("VMPTE", [100, 30, 20]), ("rss", [20, 100, 30]), ("command", [100, 30, 20]),
                             ("user", [100, 20, 30]), ("empty", [20, 100, 30])):
            self.assertEqual(self.pids("--sort", column), pids, column)
        self.assertEqual(self.pids(), [20, 100, 30])

    def test_totals(self):
        """Of the processes, of their cgroups, and of all: the same sums."""
        cgroups = ("/", "/a", "/a/b", "/c")
        for pid in range(1, 41):
            self.tree.process(pid, pid * 10, pid * 3, cgroup=cgroups[pid % 4], rss=pid * 4096)
        names = ("processes", "audited", "rss", "vmpte", "unseen", "inuse", "deposited", "empty", "empty-max")
        columns = ",".join(names)
        (total,) = self.rows("--total", "-o", columns)
        groups = self.rows("--by-cgroup", "-o", columns + ",cgroup")
        processes = self.rows("--threshold", 0, "-o", columns)
        (all_audited,) = self.rows("--threshold", 0, "--total", "-o", columns)
        self.assertEqual(sorted(row["cgroup"] for row in groups), list(cgroups))
        self.assertEqual(total["processes"], 40)
        self.assertEqual(total["audited"], 34)
        self.assertEqual(total["unseen"], sum((pid * 10 + 2) * TABLE for pid in range(1, 41) if pid * 10 + 2 < 64))
        for name in names:
            self.assertEqual(total[name], sum(row[name] or 0 for row in groups), name)
            self.assertEqual(all_audited[name], sum(row[name] for row in processes), name)
        self.assertEqual(total["vmpte"], sum((pid * 10 + 2) * TABLE for pid in range(1, 41)))

    def test_cgroups(self):
        self.tree.process(1, 100, cgroup="/")
        self.tree.process(2, 100, cgroup="/a")
        self.tree.process(3, 100, cgroup="/a/b")
        self.tree.process(4, 100, cgroup="/ab")
        self.tree.process(5, 100, cgroup="/a/b/c/d")
        self.assertEqual(sorted(self.pids("--cgroup", "/a")), [2, 3, 5])
        self.assertEqual(sorted(self.pids("--cgroup", "/a/b/")), [3, 5])
        self.assertEqual(sorted(self.pids("--cgroup", "/")), [1, 2, 3, 4, 5])
        self.assertEqual(sorted(self.pids("--cgroup", "/ab", "--cgroup", "/a", "--cgroup", "/a/b", "--pid", 1)), [1, 2, 3, 4, 5])
        self.assertIn("/nothing: No such file", self.scan("--cgroup", "/nothing", status=FAILED)[1])

    def test_deep_cgroups(self):
        self.tree.process(1, 100, cgroup="/x" * 90)
        self.tree.process(2, 100, cgroup="/y" * 120)
        self.assertEqual(self.pids("--cgroup", "/x"), [1])
        self.assertIn("levels", self.scan("--cgroup", "/y", status=FAILED)[1])

    def test_too_few_descriptors(self):
        """An error, rather than processes that are not listed."""
        self.tree.process(1, 100, cgroup="/x" * 50)
        run = subprocess.run(["prlimit", "--nofile=30", self.program, "scan", "--sysroot", self.tree.root, "--cgroup", "/x"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((run.returncode, run.stdout), (FAILED, b""))
        self.assertIn(b"Too many open files", run.stderr)

    def test_cgroup_v1_is_no_cgroup(self):
        self.tree.process(1, 100, **{"cgroup": "/"})
        lines = "12:memory:/docker/1\n1:name=systemd:/user\n"
        self.tree.folder(2, **{name: (self.tree.proc / "1" / name).read_bytes()
                               for name in ("status", "stat", "maps", "pagemap", "smaps_rollup")}, cgroup=lines)
        self.assertEqual({row["cgroup"] for row in self.rows("-o", "cgroup")}, {"/", None})

    def test_no_cgroup_file_or_hierarchy(self):
        """A kernel without cgroups."""
        (self.tree.process(1, 100) / "cgroup").unlink()
        (self.tree.cgroups / "cgroup.procs").unlink()
        self.tree.cgroups.rmdir()
        self.assertEqual(self.rows("-o", "cgroup"), [{"cgroup": None}])
        self.assertIn("no cgroup v2", self.scan("--cgroup", "/", status=FAILED)[1])

    def test_missing_process(self):
        self.tree.process(1, 100)
        self.tree.kernel_thread(2)
        self.assertIn("process 3: No such process", self.scan("--pid", 3, status=FAILED)[1])
        out, errors = self.scan("--pid", 2, "--pid", 1, "-o", "pid", "-n", status=FAILED)
        self.assertIn("process 2 has no memory", errors)
        self.assertEqual(out.split(), [b"1"])


class Reclaim(Case):
    """What it does before it sends anything."""

    def dry_run(self, *words, status=0):
        (row,) = json.loads(self.run_program("reclaim", "--sysroot", self.tree.root, "--dry-run", "--json", *words,
                                             status=status)[0])["dry-run"]
        return row

    def test_dry_run(self):
        self.tree.process(1, 300, 200)
        self.tree.process(2, 300, 63)
        self.tree.process(3, 61, 60, cgroup="/a")
        self.tree.folder(4)
        self.assertEqual(self.dry_run("--all"), {
            "processes": 1, "before": 302 * TABLE, "empty": 200 * TABLE, "empty-max": 200 * TABLE, "skipped": 2, "gone": 1,
            "denied": 0, "failed": 0, "interrupted": False})
        self.assertEqual(self.dry_run("--all", "--min-empty", 0)["empty"], (200 + 63 + 60) * TABLE)
        self.assertEqual(self.dry_run("--all", "--min-empty", "252K")["empty"], (200 + 63) * TABLE)
        self.assertEqual(self.dry_run("--pid", 3)["empty"], 60 * TABLE)
        self.assertEqual(self.dry_run("--pid", 3, "--min-empty", "252K")["skipped"], 1)
        self.assertEqual(self.dry_run("--cgroup", "/a")["skipped"], 1)
        self.assertEqual(self.dry_run("--pid", 5, status=FAILED)["processes"], 0)

    def test_failed(self):
        """An error of one process is reported, and the others are looked at."""
        (self.tree.process(1, 300, 200) / "maps").write_text("nonsense\n")
        self.tree.process(2, 300, 100)
        row = self.dry_run("--all", status=FAILED)
        self.assertEqual((row["failed"], row["processes"], row["empty"]), (1, 1, 100 * TABLE))
        errors = self.run_program("reclaim", "--sysroot", self.tree.root, "--dry-run", "--all", "--quiet", status=FAILED)
        self.assertEqual(errors, (b"", "ptreclaim: process 1: Bad message\n"))

    def test_no_advice(self):
        out, errors = self.run_program("reclaim", "--all", status=NO_ADVICE, env={"PTRECLAIM_PROBE": "0"})
        self.assertEqual((out, errors.count("\n"), "PTRECLAIM_PROBE" in errors), (b"", 1, True))


class Probe(Case):
    CHECKS = ["kernel", "advice", "CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "sending to others", "PAGEMAP_SCAN",
              "PROCMAP_QUERY", "cgroup v2", "PSI"]

    def test_json(self):
        out = self.run_program("probe", "--json", status=NO_ADVICE, env={"PTRECLAIM_PROBE": "0"})[0]
        checks = {row["check"]: row for row in json.loads(out)["probe"]}
        self.assertEqual(list(checks), self.CHECKS)
        self.assertEqual(checks["kernel"]["found"], os.uname().release)
        self.assertEqual(checks["advice"], {"check": "advice", "works": False, "advice": "unset PTRECLAIM_PROBE",
                                            "found": "the environment variable PTRECLAIM_PROBE is 0"})
        for row in checks.values():
            self.assertEqual(row["works"], not row["advice"])

    def test_table(self):
        out = self.run_program("probe", status=NO_ADVICE, env={"PTRECLAIM_PROBE": "0"})[0].decode().splitlines()
        self.assertEqual(out[0].split(), ["CHECK", "WORKS", "FOUND", "ADVICE"])
        self.assertEqual(len(out), len(self.CHECKS) + 1)


class Odd(Case):
    """What no kernel writes, or only in bad moments, must not harm the rest."""

    NAMES = {
        b"new\nline": "new\\x0aline",
        b"esc\x1b[31m": "esc\\x1b[31m",
        b'quote"\\': 'quote"\\',
        b") S 1 2 (": ") S 1 2 (",
        b"caf\xc3\xa9": "café",
        b"cut\xc3": "cut\\xc3",
        b"\xff\xfe": "\\xff\\xfe",
        b"over\xc0\xaf": "over\\xc0\\xaf",
        b"half\xed\xa0\x80": "half\\xed\\xa0\\x80",
        b"c1\xc2\x9b": "c1\\xc2\\x9b",
        b"\xf0\x9f\x90\xa7": "\U0001f427",
        b"tab\tdel\x7f": "tab\\x09del\\x7f",
        b" ": " ",
        b"x" * 64: "x" * 64,
        b"y" * 300: "y" * 64,
    }

    def test_names(self):
        for pid, name in enumerate(self.NAMES, 1):
            self.tree.process(pid, 100, name=name)
        rows = self.rows("--sort", "pid", "-o", "command")
        self.assertEqual([row["command"] for row in rows], list(self.NAMES.values()))
        out = self.scan("--sort", "pid", "-o", "pid,command", "-n")[0]
        self.assertEqual(len(out.splitlines()), len(self.NAMES))
        self.assertFalse(set(out.decode()) & set("\x1b\t\x9b\x7f"))

    def test_cgroup_names(self):
        self.tree.process(1, 100, cgroup='/new\x0bline/"\\x2d')
        self.assertEqual(self.rows("-o", "cgroup"), [{"cgroup": '/new\\x0bline/"\\x2d'}])

    def test_other_locale(self):
        self.tree.process(1, 100, name="caf\xe9")
        for locale in ("C", "C.UTF-8"):
            out = self.run_program("scan", "--sysroot", self.tree.root, "--json", env={"LC_ALL": locale})[0]
            self.assertEqual(json.loads(out)["processes"][0]["command"], "caf\xe9")

    def check_ignored(self):
        """Pids 1 and 1000 are in order, all others are not listed."""
        self.tree.process(1, 100)
        self.tree.process(1000, 100)
        self.assertEqual(sorted(self.pids("--all")), [1, 1000])
        self.assertEqual(sorted(self.pids("--cgroup", "/")), [1, 1000])
        (row,) = self.rows("--total")
        self.assertEqual(row["vmpte"], 2 * 102 * TABLE)

    def test_vanished(self):
        self.tree.folder(2)
        self.tree.folder(3, status="", stat="", cgroup="", maps="", pagemap="", smaps_rollup="")
        for pid, name in enumerate(("status", "stat", "maps", "pagemap", "smaps_rollup"), 4):
            (self.tree.process(pid, 100) / name).unlink()
        for pid, name in enumerate(("status", "stat"), 14):
            (self.tree.process(pid, 100) / name).write_text("")
        self.tree.join("/", 99)
        self.check_ignored()

    def test_absurd_sizes(self):
        for pid, vmpte in enumerate(("18446744073709551615", "18446744073709551616", "-1", "many", "", "4398046511105", "1e3",
                                     "18446744073709551716",
                                     "9" * 100), 2):
            self.tree.process(pid, 100, vmpte=vmpte)
        self.check_ignored()

    def test_largest_sizes(self):
        """They still add up."""
        for pid in range(2, 12):
            self.tree.process(pid, 100, vmpte=1 << 42)
        (row,) = self.rows("--total")
        self.assertEqual(row["vmpte"], 10 << 52)

    def test_other_text(self):
        (self.tree.process(2, 100) / "stat").write_text("2 (name\n")
        (self.tree.process(3, 100) / "stat").write_text("3 (name) S 1\n")
        (self.tree.process(4, 100) / "stat").write_text("3 )name( S 1\n")
        (self.tree.process(5, 100) / "status").write_bytes(b"\0" * 4096)
        (self.tree.process(6, 100) / "status").write_text("VmPTE:\t400 kB\n")
        (self.tree.process(7, 100) / "status").write_text("Uid:\t0\t4294967296\nVmPTE:\t400 kB\n")
        (self.tree.process(8, 100) / "maps").write_text("nonsense\n")
        (self.tree.process(9, 100) / "status").write_text("Uid:\t0\t0\t0\t0\nVmPTE:\t400 MB\n")
        self.check_ignored()

    def test_many_groups(self):
        folder = self.tree.process(1, 100)
        status = (folder / "status").read_text().replace("Groups:\t0 1 2\n", f"Groups:\t{'4294967294 ' * 65536}\n")
        (folder / "status").write_text(status)
        self.assertEqual(self.pids(), [1])

    def test_other_files(self):
        for name in ("self", "12x", "-3", "0", "01", "99999999999999999999", "4194305", "sys"):
            (self.tree.proc / name).mkdir()
        (self.tree.proc / "17").write_text("no folder")
        (self.tree.cgroups / "cgroup.procs").write_text("0\n-1\nx\n\n99999999999\n17\n")
        self.check_ignored()

    def test_empty(self):
        self.assertEqual(self.rows(), [])
        self.assertEqual(self.rows("--total"), [])
        self.assertEqual(self.rows("--by-cgroup"), [])


class Many(Case):
    def test_ten_thousand(self):
        """One in a hundred is large. The figures of a run, not the time, would tell a leak of descriptors."""
        for pid in range(1, 10001):
            if pid % 100 == 0:
                self.tree.process(pid, 100, 50)
            elif pid < 100:
                self.tree.folder(pid, status="Name:\tx\nUid:\t0\t0\t0\t0\nVmRSS:\t    8 kB\nVmPTE:\t   40 kB\n",
                                 stat=f"{pid} (x) S {'0 ' * 49}\n", cgroup=f"0::/g{pid % 7}\n")
            else:
                self.tree.copy(pid % 100, pid)
        self.assertEqual(sorted(self.pids()), list(range(100, 10001, 100)))
        (row,) = self.rows("--total")
        self.assertEqual((row["processes"], row["audited"], row["empty"]), (10000, 100, 100 * 50 * TABLE))
        self.assertEqual(row["vmpte"], 9900 * 40 * 1024 + 100 * 102 * TABLE)
        self.assertEqual(sum(row["processes"] for row in self.rows("--by-cgroup")), 10000)


class Arguments(Case):
    def check_usage(self, message, *words):
        out, errors = self.run_program(*words, status=USAGE)
        self.assertEqual(out, b"")
        self.assertIn(message, errors)
        self.assertRegex(errors, r"Try ptreclaim.* --help\.\n$")

    def test_commands(self):
        self.check_usage("a command is missing")
        self.check_usage("no command blah", "blah")
        self.check_usage("no command ", "")

    def test_scan(self):
        for word in ("x", "0", "01", "-1", "1x", "4194305", "99999999999999999999"):
            self.check_usage(f"--pid {word}", "scan", "--pid", word)
        for word in ("", "x", "1X", "1KK", "-1", "1.5M", "99999999999999999999", "20000000T"):
            self.check_usage("--threshold", "scan", "--threshold", word)
            self.check_usage("--min-empty", "scan", "--min-empty", word)
        self.check_usage("--cgroup a", "scan", "--cgroup", "a")
        self.check_usage("no column x", "scan", "-o", "pid,x")
        self.check_usage("no column ", "scan", "-o", "pid,")
        self.check_usage("more columns", "scan", "-o", ",".join(["pid"] * 15))
        self.check_usage("no column pidx", "scan", "--sort", "pidx")
        self.check_usage("what is extra?", "scan", "extra")
        self.check_usage("unrecognized option", "scan", "--nothing")

    def test_reclaim(self):
        self.check_usage("of which processes?", "reclaim")
        self.check_usage("only be looked at", "reclaim", "--all", "--sysroot", "/")
        self.check_usage("--min-empty x", "reclaim", "--all", "--min-empty", "x")
        self.check_usage("--pid 0", "reclaim", "--pid", 0)
        self.check_usage("what is extra?", "reclaim", "--all", "extra")

    def test_probe(self):
        self.check_usage("what is extra?", "probe", "extra")
        self.check_usage("invalid option", "probe", "-x")

    def test_sysroot(self):
        out, errors = self.run_program("scan", "--sysroot", "/nowhere", status=FAILED)
        self.assertEqual((out, "/nowhere/proc: No such file" in errors), (b"", True))

    def test_help_fits_a_screen(self):
        for words in ([], ["probe"], ["scan"], ["reclaim"]):
            lines = self.run_program(*words, "--help")[0].decode().splitlines()
            self.assertLessEqual(len(lines), 36, words)
            self.assertLessEqual(max(map(len, lines)), 80, words)

    def help(self, *words):
        return self.run_program(*words, "--help")[0].decode()

    def test_options_are_in_the_manual(self):
        page = (REPO / "man/ptreclaim.8").read_text()
        self.assertEqual(set(re.findall(r"^  (\w+)", self.help(), re.M)), set(re.findall(r"^\.Ss ptreclaim (\w+)", page, re.M)))
        for command in ("probe", "scan", "reclaim"):
            for option in re.findall(r"--([a-z-]+)", self.help(command)):
                self.assertRegex(page, rf"(?m)^\.It Fl (\w , )?-{option}( |$)")
        columns = re.findall(r"^  ([A-Z-]+) ", self.help("scan").split("Columns:")[1], re.M)
        row = self.run_program("reclaim", "--all", "--dry-run", "--sysroot", self.tree.root)[0].decode()
        columns += row.splitlines()[0].split()
        named = re.findall(r"[A-Z-]+", " ".join(re.findall(r"^\.It Li (.*)$", page, re.M)))
        self.assertEqual(set(columns) - set(named), set())

    def complete(self, *words):
        script = f"""
            PATH={self.program.parent}:$PATH; source {SOURCE}/completion/ptreclaim; compopt() {{ :; }}
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ptreclaim; printf '%s\\n' "${{COMPREPLY[@]}}" """
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", script, "bash", "ptreclaim", *words], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        return run.stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete("re"), ["reclaim"])
        self.assertEqual(self.complete("scan", "--by-"), ["--by-cgroup"])
        for command in ("probe", "scan", "reclaim"):
            self.assertEqual(set(self.complete(command, "--")), set(re.findall("--[a-z-]+", self.help(command))))
        self.assertEqual(self.complete("scan", "-o", "pid,vm"), ["PID,VMPTE"])
        self.assertEqual(self.complete("scan", "--sort", "r"), ["RSS"])
        self.assertIn(str(os.getpid()), self.complete("reclaim", "--pid", str(os.getpid())))

    def test_version(self):
        self.assertRegex(self.run_program("--version")[0], rb"^ptreclaim \d+\.\d+\.\d+\n$")

    def test_full_disk(self):
        self.tree.process(1, 100)
        with open("/dev/full", "wb") as full:
            run = subprocess.run([self.program, "scan", "--sysroot", self.tree.root], stdout=full, stderr=subprocess.PIPE,
                                 check=False)
        self.assertEqual(run.returncode, FAILED)
        self.assertIn(b"No space left", run.stderr)


class OddWithSanitizers(Odd):
    sanitizers = "address,undefined"


class Fuzz(unittest.TestCase):
    """fuzz/proc.c without libFuzzer: what it has to keep to for each text of a tree, and for changes of it."""

    def test_parsers(self):
        build("", "tests")
        tree = Tree()
        self.addCleanup(tree.remove)
        seeds = []
        for pid, name in enumerate(Odd.NAMES, 1):
            folder = tree.process(pid, 100, name=name, cgroup="/a/b", uid=2 ** 32 - 1)
            for parser, file in enumerate(("status", "stat", "cgroup")):
                seeds.append(bytes([parser]) + (folder / file).read_bytes())
        seeds += [b"\3" + text for text in (b"1", b"4194304", b"4194305", b"0")]
        seeds += [b"\4" + text for text in (b"1K", b"16777215T", b"18446744073709551615", b"300M")]
        seeds += [b"\2" + b"0::/" + b"x" * length + b"\n" for length in (4090, 5000)]
        files = []
        for number, seed in enumerate(seeds):
            files.append(tree.root / f"seed-{number}")
            files[-1].write_bytes(seed)
        run = subprocess.run([REPO / "build/ptreclaim/fuzz/replay", "5000", *files], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, f"{len(seeds)} files, 5000 changes of each\n"))


class Processes(unittest.TestCase):
    def test_procs(self):
        for sanitizers in ("", "address,undefined"):
            program = build(sanitizers, "tests").parent / "test/procs"
            run = subprocess.run([REPO / "tools/lib/ptreclaim/test/run", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, check=False)
            self.assertRegex(run.stdout, r"(?m)^ok procs: \d+$")


class Install(unittest.TestCase):
    FILES = {"include/ptreclaim.h", "lib/libptreclaim.a", "lib/libptreclaim.so", "lib/libptreclaim-preload.so",
             "lib/pkgconfig/ptreclaim.pc", "sbin/ptreclaim", "share/bash-completion/completions/ptreclaim",
             "share/man/man2/madvise-pt-reclaim.2", "share/man/man3/ptreclaim.3", "share/man/man7/ptreclaim-preload.7",
             "share/man/man8/ptreclaim.8"}

    def test_install(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(["make", "-s", "-C", REPO, "install", "PREFIX=/usr", f"DESTDIR={folder}"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(run.returncode, 0, run.stdout)
            found = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if not path.is_dir()}
            self.assertEqual({f"usr/{name}" for name in self.FILES} - found, set())
            run = subprocess.run([f"{folder}/usr/sbin/ptreclaim", "--version"], stdout=subprocess.PIPE, check=True)
            self.assertIn(b"ptreclaim ", run.stdout)


class ProbeWithSanitizers(Probe):
    sanitizers = "address,undefined"


class ReclaimWithSanitizers(Reclaim):
    sanitizers = "address,undefined"


class ScanWithSanitizers(Scan):
    sanitizers = "address,undefined"


class ArgumentsWithSanitizers(Arguments):
    sanitizers = "address,undefined"


if __name__ == "__main__":
    unittest.main()
