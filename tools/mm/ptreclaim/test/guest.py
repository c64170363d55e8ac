#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""ptreclaim(8) on real processes, as root in a guest whose kernel has the advice; speaks KTAP."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parents[4] / "build/ptreclaim"
TABLE = 4096
NO_ADVICE, DENIED, INTERRUPTED = 3, 4, 5
CAPABILITIES = {"nice": 1 << 23, "ptrace": 1 << 19, "read": 1 << 2}


class Failure(Exception):
    pass


def must(good, *what):
    if not good:
        raise Failure(" ".join(map(str, what)))


class Target:
    """A process of test/target.c, or of another program that talks like it."""

    def __init__(self, *words, program="target", before=()):
        self.process = subprocess.Popen([*before, OUT / "test" / program, *map(str, words)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.pid = self.process.pid
        self.expect("ready")

    def expect(self, want):
        line = self.process.stdout.readline().strip()
        must(line == want, f"the target says {line!r}, not {want!r}")

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.expect("holds")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def run(*words, status=0, before=()):
    """Output and error output of a command of ptreclaim."""
    done = subprocess.run([*before, OUT / "ptreclaim", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    must(done.returncode == status, words, f"status {done.returncode}, not {status}:", done.stderr)
    return done.stdout, done.stderr


def row(*words, **more):
    """The only row of its JSON."""
    ((found,),) = json.loads(run(*words, "--json", **more)[0]).values()
    return found


def scan(target, **more):
    return row("scan", "--pid", target.pid, "-o", "vmpte,inuse,deposited,empty,empty-max", **more)


def reclaim(target, *words, **more):
    return row("reclaim", "--pid", target.pid, *words, **more)


def counter(name):
    """Of the kernel: tables "freed" and "scanned"."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith(f"pt_reclaim_{name} "):
            return int(line.split()[1])
    raise Failure(f"no pt_reclaim_{name}")


def vmpte(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmPTE:"):
            return int(line.split()[1]) * 1024
    raise Failure("no VmPTE")


def has_none_empty(left):
    """What VmPTE still has is in use, or is a table above."""
    must(left["empty"] == 0 and left["empty-max"] <= 8 * TABLE, "left:", left)


def nothing_left(target):
    has_none_empty(scan(target))


def as_user(*capabilities, user=1234):
    """A user with these and nothing else."""
    names = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", f"--inh-caps={names}", f"--ambient-caps={names}")


def test_probe():
    checks = {check["check"]: check["works"] for check in json.loads(run("probe", "--json")[0])["probe"]}
    must(checks["advice"] and checks["sending to others"] and checks["PAGEMAP_SCAN"] and checks["PROCMAP_QUERY"], checks)
    must(checks["CAP_SYS_NICE"] and checks["CAP_SYS_PTRACE"] and checks["PSI"], checks)


def test_scan():
    """Empty tables are found right to the table."""
    with Target("tables", 1000) as target:
        full = scan(target)
        target.tell("empty")
        some = scan(target)
        must(some["vmpte"] == full["vmpte"], full, some)
        must(full["inuse"] - some["inuse"] == 900 * TABLE, full, some)
        must(some["empty-max"] - full["empty-max"] == 900 * TABLE, full, some)
        must(some["empty"] <= 900 * TABLE <= some["empty-max"] <= 908 * TABLE, full, some)


def test_dry_run():
    """Says what there is, and changes nothing."""
    with Target("tables", 1000) as target:
        target.tell("empty")
        before, tables = scan(target), counter("freed")
        found = reclaim(target, "--dry-run")
        must(found["empty-max"] == before["empty-max"] and found["empty"] == before["empty"], found, before)
        must(scan(target) == before and counter("freed") == tables, "something was freed")


def test_reclaim():
    """Frees all of them, counts them right, and loses nothing."""
    with Target("tables", 1000) as target:
        target.tell("empty")
        before = scan(target)
        done = reclaim(target)
        must(done["processes"] == 1 and done["before"] == before["vmpte"], done, before)
        must(done["freed"] == done["before"] - done["after"], done)
        must(900 * TABLE <= done["freed"] <= before["empty-max"], done, before)
        nothing_left(target)
        target.tell("check")


def test_min_empty():
    with Target("tables", 1000) as large, Target("tables", 100) as small:
        large.tell("empty")
        small.tell("empty")
        before = scan(small)
        done = row("reclaim", "--all", "--min-empty", "1M")
        must(done["processes"] == 1 and done["skipped"] > 1, done)
        nothing_left(large)
        must(scan(small) == before, "a small one was touched")
        row("reclaim", "--all")
        nothing_left(small)


def test_cgroup():
    subprocess.run(["mountpoint", "-q", "/sys/fs/cgroup"], check=False).returncode and subprocess.run(
        ["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)
    folder = Path("/sys/fs/cgroup/ptreclaim/inner")
    folder.mkdir(parents=True)
    with Target("tables", 1000) as inside, Target("tables", 1000) as outside:
        inside.tell("empty")
        outside.tell("empty")
        (folder / "cgroup.procs").write_text(str(inside.pid))
        before = scan(outside)
        listed = json.loads(run("scan", "--cgroup", "/ptreclaim", "--json", "-o", "pid,cgroup")[0])["processes"]
        must(listed == [{"pid": inside.pid, "cgroup": "/ptreclaim/inner"}], listed)
        must(row("reclaim", "--cgroup", "/ptreclaim")["processes"] == 1, "another number")
        nothing_left(inside)
        must(scan(outside) == before, "one outside was touched")
        (folder.parent.parent / "cgroup.procs").write_text(str(inside.pid))
    folder.rmdir()
    folder.parent.rmdir()
    must("No such file" in run("reclaim", "--cgroup", "/ptreclaim", status=1)[1], "a cgroup that is gone")


def test_two_capabilities():
    """CAP_SYS_NICE and CAP_SYS_PTRACE are enough to reclaim, whoever runs it and whoever is the target."""
    user = as_user("sys_nice", "sys_ptrace")
    with Target("tables", 1000) as target:
        target.tell("empty")
        must(reclaim(target, before=user)["freed"] >= 900 * TABLE, "too little")
        nothing_left(target)
        target.tell("empty")
    with Target("tables", 1000) as target:
        target.tell("empty")
        row("reclaim", "--all", before=user)
        nothing_left(target)


def test_reading():
    """To count tables of other users takes a third one."""
    with Target("tables", 1000) as target:
        target.tell("empty")
        user = as_user("sys_nice", "sys_ptrace", "dac_read_search")
        must(scan(target, before=user) == scan(target), "another result than root's")
        run("probe", before=user)
        user = as_user("sys_nice", "sys_ptrace")
        must("privileges" in run("scan", "--pid", target.pid, before=user, status=DENIED)[1], "no reason given")
        run("probe", before=user, status=DENIED)


def test_no_capabilities():
    user = as_user()
    with Target("tables", 1000) as target:
        target.tell("empty")
        before = vmpte(target.pid)
        must("privileges" in run("reclaim", "--pid", target.pid, before=user, status=DENIED)[1], "no reason given")
        run("reclaim", "--all", before=user, status=DENIED)
        run("probe", before=user, status=DENIED)
        must(vmpte(target.pid) == before, "it was done")


def effective(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return None


def signal_once(target, number, errors=None):
    """The result of a run that gets a signal once it has begun to free tables, and its capabilities then."""
    before = vmpte(target.pid)
    capabilities = None
    with subprocess.Popen([OUT / "ptreclaim", "reclaim", "--pid", str(target.pid), "--json"], stdout=subprocess.PIPE,
                          stderr=errors) as process:
        while vmpte(target.pid) == before and process.poll() is None:
            pass
        if process.poll() is None:
            capabilities = effective(process.pid)
            process.send_signal(number)
        out = process.stdout.read()
    (result,) = json.loads(out)["reclaim"]
    return process.returncode, result, capabilities


def test_interrupt():
    """SIGINT ends a long run early, and it still tells what was done. As root it has no capabilities but three then."""
    with Target("tables", 60000) as target:
        for _ in range(20):
            target.tell("empty")
            before = scan(target)
            status, result, capabilities = signal_once(target, signal.SIGINT)
            early = status == INTERRUPTED and result["freed"] < before["empty-max"] - 1000 * TABLE
            if early:
                break
        must(early and result["interrupted"], "it was never early enough:", status, result)
        must(0 < result["freed"], result, before)
        must(capabilities == sum(CAPABILITIES.values()), f"capabilities {capabilities:x}")
        print(f"# {result['freed'] // TABLE} tables of {before['empty'] // TABLE} until it was interrupted")
        must(scan(target)["vmpte"] == result["after"], "it went on")
        must(not reclaim(target)["interrupted"], "interrupted again")
        nothing_left(target)
        target.tell("check")


def test_progress():
    """On a terminal it tells how far it is in a large process; the timer's signal may come early here."""
    terminal, end = os.openpty()
    with Target("tables", 60000) as target:
        for _ in range(20):             # the program may be done before it is looked at
            target.tell("empty")
            status, result, _ = signal_once(target, signal.SIGALRM, end)
            shown = os.read(terminal, 1 << 16).decode() if select.select([terminal], [], [], 0)[0] else ""
            counts = [int(count) for count in re.findall(r"\r0 processes done, (\d+) tables freed\x1b\[K", shown)]
            must(status == 0, status)
            must(not shown or shown.endswith("\r\x1b[K"), "the line is still there:", repr(shown))
            must(counts == sorted(counts), counts)
            if any(0 < count < result["freed"] // TABLE for count in counts):
                break
        else:
            raise Failure(f"it never told how far it was: {shown!r}")
    print(f"# {len(counts)} lines, the first one at {counts[:1]} tables of {result['freed'] // TABLE}")


def test_churn():
    """Processes come and go meanwhile."""
    gone = runs = 0
    for _ in range(20):                 # on a busy host 1,000 processes are not many for a run to meet
        with Target("churn", 1000) as target:
            while target.process.poll() is None:
                json.loads(run("scan", "--threshold", 0, "--json")[0])
                gone += row("reclaim", "--all", "--min-empty", 0)["gone"]
                runs += 1
        must(target.process.returncode == 0, "churn failed")
        if gone:
            break
    print(f"# {runs} runs, {gone} processes gone")
    must(gone, "no process was gone in a run: this tests nothing")


def test_exec():
    """A process that executes another program meanwhile is counted."""
    execed = 0
    with Target("exec") as target:
        for _ in range(2000):
            done = reclaim(target, "--min-empty", 0)
            must(done["processes"] == 1 and not done["failed"], done)
            execed += done["execed"]
            if execed > 3:
                break
    print(f"# {execed} were in the middle of it")
    must(execed, "none was: this tests nothing")


def cost(words, check=True):
    """CPU time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(options, names):
    """Of a scan to cat of these files, the better one of three each; all files of a process in one go, as scan does.

    A kernel's thread may end before cat gets there.
    """
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    files = [f"/proc/{pid}/{name}" for pid in pids for name in names]
    ours = min(cost([OUT / "ptreclaim", "scan", *options]) for _ in range(3))
    cats = min(cost(["cat", *files], check=False) for _ in range(3))
    print(f"# {len(pids)} processes, {' '.join(names)}: scan {ours:.3f} s, cat {cats:.3f} s, ratio {ours / cats:.2f}")
    return ours / cats


def test_cost():
    """At most three times what cat of the same files takes."""
    with Target("crowd", 1000):
        must(ratio((), ("status", "stat", "cgroup")) <= 3, "too much")
        must(ratio(("--threshold", "0"), ("status", "stat", "cgroup", "maps")) <= 3, "too much with audits")


def test_absent():
    """A kernel without it: one clear message."""
    with Target("tables", 1000) as target:
        target.tell("empty")
        errors = run("reclaim", "--pid", target.pid, status=NO_ADVICE)[1]
        must(errors == "ptreclaim: this kernel has no MADV_RECLAIM_PT\n", errors)
        run("probe", status=NO_ADVICE)
        must(reclaim(target, "--dry-run")["empty-max"] >= 900 * TABLE, "no estimate")


def main(tests):
    """Makes those of a module's tests that the arguments name."""
    chosen = sys.argv[1:] or [name for name in tests if name.startswith("test_") and name != "test_absent"]
    failed = 0
    print(f"TAP version 13\n1..{len(chosen)}", flush=True)
    for number, name in enumerate(chosen, 1):
        reason = ""
        try:
            tests[name]()
        except (Failure, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            reason = f"# {error}"[:1000] + "\n"
            failed += 1
        print(f"{reason}{'not ' if reason else ''}ok {number} {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(globals()))
