#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""ptreclaim daemon with real processes and real memory pressure, as root in a guest; speaks KTAP."""

import json
import mmap
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "tests/host"))
# pylint: disable=wrong-import-position
from running_daemon import Daemon, parse_metrics  # noqa: E402
from guest import CAPABILITIES, DENIED, OUT, as_user, vmpte  # noqa: E402

SPAN = 2 << 20              # address space of a PTE table
MIB = 1 << 20
TABLES = 4096               # of one who wastes memory: 16 MiB
CGROUPS = Path("/sys/fs/cgroup")
MAP_NORESERVE = 0x4000      # Python has it since 3.13
USER = 1234                 # of as_user()
PROGRAM = OUT / "ptreclaim"
UNIT_USER = as_user("sys_nice", "sys_ptrace", "dac_read_search")
USAGE = 2
HANG = 600                  # s, so that the other tests are made after one that hangs


def child(*_):
    """Does what it is told on standard input, and says when it is done: the other side of Child."""
    memory = mmap.mmap(-1, (TABLES + 1) * SPAN, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    hoard = []
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "waste":                     # a page of each table comes and goes
            for table in range(TABLES):
                memory[table * SPAN + SPAN // 2] = 1
                memory.madvise(mmap.MADV_DONTNEED, table * SPAN + SPAN // 2, mmap.PAGESIZE)
        elif word == "hoard":                   # MiB, and it does not wait for anybody
            hoard.extend(b"x" * MIB for _ in range(int(numbers[0])))
        print(word, flush=True)


class Child:
    def __init__(self, cgroup=None):
        self.process = subprocess.Popen([sys.executable, __file__, "child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)
        if cgroup:
            (cgroup / "cgroup.procs").write_text(str(self.pid))

    def tell(self, words):
        print(words, file=self.process.stdin, flush=True)

    def do(self, words):
        self.tell(words)
        assert self.process.stdout.readline() == f"{words.split()[0]}\n", "the child has died"

    def vmpte(self):
        return vmpte(self.pid)

    def has_ended(self):
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def end(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
            os.close(self.pidfd)


class Cgroup:
    """One in which memory becomes short at HIGH bytes."""

    def __init__(self, name, **limits):
        self.path = CGROUPS / name
        self.path.mkdir()
        for key, value in limits.items():
            (self.path / f"memory.{key}").write_text(str(value))

    def remove(self):
        """Its processes were killed: it is empty as soon as they are reaped."""
        while True:
            try:
                self.path.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


class Test:
    """What each test starts from; what it started is ended."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.folder = Path(self.directory.name)
        self.folder.chmod(0o777)                # for the daemon of another user, and for root without CAP_DAC_OVERRIDE
        self.children, self.daemons, self.cgroups = [], [], []

    def child(self, cgroup=None):
        self.children.append(Child(cgroup and cgroup.path))
        return self.children[-1]

    def waster(self, cgroup=None):
        process = self.child(cgroup)
        process.do("waste")
        assert process.vmpte() >= TABLES * 4096, process.vmpte()
        return process

    def cgroup(self, name, **limits):
        self.cgroups.append(Cgroup(name, **limits))
        return self.cgroups[-1]

    def configure(self, text):
        path = self.folder / "ptreclaim.conf"
        path.write_text(f"[metrics]\nfile = {self.folder}/ptreclaim.prom\n{text}")
        return path

    def start(self, text, *before, **options):
        daemon = Daemon(self.folder, *before, PROGRAM, "daemon", "--config", self.configure(text), **options)
        self.daemons.append(daemon)
        daemon.wait_for("READY=1")
        return daemon

    def metric(self, name):
        return parse_metrics((self.folder / "ptreclaim.prom").read_text())[f"ptreclaim_{name}"]

    def empty(self, pid):
        """Bytes of empty tables, at most."""
        rows = subprocess.run([PROGRAM, "scan", "--json", "-o", "empty-max", "--pid", str(pid)], stdout=subprocess.PIPE,
                              check=True).stdout
        ((row,),) = json.loads(rows).values()
        return row["empty-max"]

    def end(self):
        for daemon in self.daemons:
            status, said = daemon.end()
            assert status == 0, (status, said)
        self.clear()

    def clear(self):
        """Also after a failure: the next test is not to meet what this one has left."""
        for process in self.children:
            process.end()
        for cgroup in self.cgroups:
            cgroup.remove()
        self.directory.cleanup()


def status_row(pid, name):
    return re.search(rf"^{name}:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def is_asleep(pid):
    """In epoll_wait() without a time limit, and with no timer that would end it. False while it is on its way there."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    timers = [path for path in Path(f"/proc/{pid}/fdinfo").iterdir() if "it_value" in path.read_text()]
    armed = [path for path in timers if "it_value: (0, 0)" not in path.read_text()]
    waits_for_ever = (call[0] == "232" and int(call[4], 16) & 0xffffffff == 0xffffffff) or (call[0] == "441" and call[4] == "0x0")
    return waits_for_ever and not armed


def acts_under_pressure(test):
    """As the user of the unit, with its capabilities: not before memory is short, and before the hog is done."""
    daemon = test.start("", *UNIT_USER)
    pid = daemon.process.pid
    assert status_row(pid, "Uid").split()[1] == str(USER)
    for row in ("CapEff", "CapPrm"):
        assert int(status_row(pid, row), 16) == sum(CAPABILITIES.values()), status_row(pid, row)
    victim = test.waster()
    while not is_asleep(pid):
        time.sleep(0.01)
    switches = status_row(pid, "voluntary_ctxt_switches")
    test.child().do("hoard 200")                # plenty is left
    assert sum(test.metric(f'passes_total{{trigger="{name}"}}') for name in ("pressure", "cgroup", "interval", "request")) == 0
    assert is_asleep(pid) and status_row(pid, "voluntary_ctxt_switches") == switches, "it woke up"
    before = victim.vmpte()
    assert before >= TABLES * 4096

    hog = test.child(test.cgroup("hog", high=32 * MIB))
    began = time.monotonic()
    hog.tell("hoard 1000")
    daemon.wait_for("STATUS=", hog.pidfd)
    print(f"# acted {time.monotonic() - began:.1f} s after the hog began")
    assert not hog.has_ended() and not select.select([hog.process.stdout], [], [], 0)[0], "the hog was done before"
    assert test.metric('passes_total{trigger="pressure"}') >= 1
    while victim.vmpte() == before and not hog.has_ended():
        daemon.wait_for("STATUS=", hog.pidfd)
    print(f"# VmPTE {before >> 10} kB -> {victim.vmpte() >> 10} kB")
    assert test.empty(victim.pid) <= (TABLES * SPAN >> 30) * 4096 + 8192, test.empty(victim.pid)
    assert test.metric("reclaimed_bytes_total") >= before - victim.vmpte()


def watches_a_cgroup(test):
    """Reclaims its processes and no others, says so in the journal, and finds it again after it was removed."""
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    Path("/run/systemd/journal").mkdir(parents=True, exist_ok=True)
    journal.bind("/run/systemd/journal/socket")

    def entry(start):
        """The next one that begins so."""
        while True:
            fields = dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines() if "=" in line)
            if fields["MESSAGE"].startswith(start):
                return fields

    cgroup = test.cgroup("watched", high=64 * MIB)
    inside, outside = test.waster(cgroup), test.waster()
    before = outside.vmpte()
    with open(test.folder / "stderr", "w") as stderr:
        st = os.fstat(stderr.fileno())
        daemon = test.start("[pressure]\nsystem = no\ncgroup = /watched\n", stderr=stderr,
                            env={"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"})
    hog = test.child(cgroup)
    hog.tell("hoard 1000")
    fields = entry("cgroup of /watched: ")
    assert (fields["PTRECLAIM_TRIGGER"], fields["PTRECLAIM_CGROUP"], fields["PRIORITY"]) == ("cgroup", "/watched", "6"), fields
    assert int(fields["PTRECLAIM_BYTES"]) > TABLES * 4000 and fields["PTRECLAIM_RECLAIMED"] == "1", fields
    assert inside.vmpte() < MIB and outside.vmpte() == before
    assert not hog.has_ended()

    hog.end()
    inside.end()
    test.children = [outside]
    cgroup.remove()
    assert entry("the cgroup /watched is gone")["PRIORITY"] == "5"
    test.cgroups = []
    cgroup = test.cgroup("watched", high=64 * MIB)
    inside = test.waster(cgroup)
    test.child(cgroup).tell("hoard 1000")
    assert int(entry("cgroup of /watched: ")["PTRECLAIM_BYTES"]) > TABLES * 4000
    assert inside.vmpte() < MIB and outside.vmpte() == before
    assert (test.folder / "stderr").read_text() == ""
    assert daemon.process.poll() is None
    os.unlink("/run/systemd/journal/socket")
    journal.close()


def backs_off(test):
    """A process whose tables come back waits twice as long each time."""
    daemon = test.start("[pressure]\nsystem = no\n[process]\nbackoff = 1s\n"
                        "[pass]\ninterval = 720h\ncpu = 100%\ncpu-burst = 1h\n")
    victim = test.waster()
    before, waits = None, []
    while len(waits) < 3:
        while True:
            seen = time.monotonic()             # the tables are there later than that
            if victim.vmpte() <= MIB:
                break
            there = seen
            daemon.make_pass()
        if before is not None:                  # never less than what the daemon has waited
            waits.append(seen - before)
        before = there
        victim.do("waste")
    print(f"# reclaimed after {', '.join(f'{wait:.1f}' for wait in waits)} s")
    assert waits[0] >= 2 and waits[1] >= 4 and waits[2] >= 8, waits
    assert test.metric("processes_waiting_total") >= 3
    assert test.metric("processes_reclaimed_total") >= 4


def target_is_killed(test):
    """Out of memory, while several look at it and reclaim it: no error of theirs."""
    words = [PROGRAM, "daemon", "--once", "--config", test.configure("[process]\nmin-empty = 4K\n")]
    gone = passes = 0
    for number in range(8):
        cgroup = test.cgroup(f"killed{number}", max=64 * MIB)
        victim = test.waster(cgroup)
        victim.tell("hoard 1000")
        ended = False
        while not ended:
            ended = victim.has_ended()          # and once more while it is a zombie
            runs = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
            for run in runs:
                said = run.communicate()[1]
                assert run.returncode == 0 and "failed" not in said and "denied" not in said, (run.returncode, said)
            gone += test.metric("processes_gone_total")
            passes += len(runs)
        assert victim.process.wait() == -signal.SIGKILL
        assert re.search(r"^oom_kill [1-9]", (cgroup.path / "memory.events").read_text(), re.M)
    print(f"# {passes} passes, of which at least {gone:.0f} met one that was gone")


def stays_small(test):
    """Over 1,000 processes, each of which is looked at in the first pass."""
    sleepers = []
    for _ in range(1000):
        pid = os.fork()
        if not pid:
            signal.pause()
        sleepers.append(pid)
    try:
        daemon = test.start("[process]\nmin-vmpte = 0\nmin-empty = 1G\n[pass]\ncpu = 100%\ncpu-burst = 1h\n")
        pid = daemon.process.pid
        sizes = {"start": (status_row(pid, "VmRSS"), status_row(pid, "RssAnon"))}
        for number in range(1, 101):
            daemon.make_pass()
            if number in (1, 10, 100):
                sizes[number] = (status_row(pid, "VmRSS"), status_row(pid, "RssAnon"))
        print(f"# VmRSS and RssAnon at the start and after passes: {sizes}")
        assert test.metric("processes") >= 1000 and test.metric("processes_audited_total") >= 1000
        print(f"# CPU of a pass: {test.metric('pass_cpu_seconds_total') / 100:.3f} s")
        kb = {key: [int(text.split()[0]) for text in pair] for key, pair in sizes.items()}
        assert max(rss for rss, _ in kb.values()) < 4096, "more than 4 MiB"
        assert kb[100][1] <= kb[10][1], "it grows"
    finally:
        for pid in sleepers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def no_privileges(test):
    """Neither to reclaim, nor to ask for the pressure of a cgroup."""
    run = subprocess.run([*as_user(), PROGRAM, "daemon", "--config", test.configure("")], stderr=subprocess.PIPE, text=True,
                         check=False)
    assert run.returncode == DENIED and "CAP_SYS_NICE and CAP_SYS_PTRACE are needed" in run.stderr, run
    path = test.configure("[pressure]\nsystem = no\ncgroup = /\n")
    run = subprocess.run([*UNIT_USER, PROGRAM, "daemon", "--config", path], stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == USAGE and "Permission denied: the daemon's user has to be able to write" in run.stderr, run


TESTS = [acts_under_pressure, watches_a_cgroup, backs_off, target_is_killed, stays_small, no_privileges]


def hangs(*_):
    raise TimeoutError(f"no end within {HANG} s")


def main():
    signal.signal(signal.SIGALRM, hangs)
    # A daemon that nobody listens to for some passes would wait for room.
    Path("/proc/sys/net/unix/max_dgram_qlen").write_text("512")
    tests = [test for test in TESTS if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    failed = 0
    for number, function in enumerate(tests, 1):
        test = Test()
        began = time.monotonic()
        signal.alarm(HANG)
        try:
            function(test)
            test.end()
            good = True
        except Exception as error:  # pylint: disable=broad-except
            good = False
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
            print(f"# {type(error).__name__}: {error}; lines {lines}")
            for daemon in test.daemons:
                print(f"# a daemon: {daemon.end()}")
            test.clear()
        signal.alarm(0)
        failed += not good
        print(f"# {time.monotonic() - began:.0f} s\n{'' if good else 'not '}ok {number} {function.__name__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(child() if sys.argv[1:] == ["child"] else main())
