# SPDX-License-Identifier: GPL-2.0
"""Runs in a guest: Redis and memcached through cycles of fill, requests and flush, then idle. Prints "key value" lines.

Time is what the clock says less what the processor was idle; under icount that is instructions.
"""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import time
from pathlib import Path

from guests import REPO, Error, pairs

# Memory is idle when nothing has changed for longer than jemalloc's decay and what the library waits.
POLL_SECONDS, SAME_POLLS, MOST_POLLS = 0.5, 30, 400

CYCLES = 3
REDIS_KEYS, REDIS_BYTES, REDIS_REQUESTS = 400_000, 300, 100_000
MEMCACHED_KEYS, MEMCACHED_BYTES, MEMCACHED_MIB = 50_000, 4000, 512


def load_demo():
    os.environ["REDIS_KEYS"] = str(REDIS_KEYS)
    loader = importlib.machinery.SourceFileLoader("redis_demo", str(REPO / "bench/redis-demo"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("redis_demo", loader))
    loader.exec_module(module)
    return module


demo = load_demo()


def figures_of(program, *words):
    """What a program of bench/ prints; it may fail by what it has found."""
    status, output = demo.tool(f"bench/{program}", *words)
    if not output:
        raise Error(f"{program} {' '.join(map(str, words))} failed with status {status}")
    return pairs(output.splitlines())


def say(key, value):
    print(key, value, flush=True)


def row(path, name):
    for line in Path(path).read_text().splitlines():
        words = line.replace(":", " ").split()
        if words and words[0] == name:
            return int(words[1])
    return -1


def busy_ns():
    """What the processor was idle does not count: waiting for a file of the host is no work."""
    return time.monotonic_ns() - int(float(Path("/proc/uptime").read_text().split()[1]) * 1e9)


class Trace:
    """When the advice has freed tables; what MADV_DONTNEED frees is not in it."""

    FOLDER = Path("/sys/kernel/tracing")
    LINE = re.compile(r" (\d+)\.(\d{6}): mm_pt_reclaim: .* freed=([1-9]\d*) ")
    LOST = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")

    def __init__(self):
        for name, text in (("trace", ""), ("trace_clock", "mono"), ("events/pt_reclaim/mm_pt_reclaim/enable", "1")):
            (self.FOLDER / name).write_text(text)

    def calls(self):
        """[ns of CLOCK_MONOTONIC, tables]"""
        text = (self.FOLDER / "trace").read_text()
        kept, written = self.LOST.search(text).groups()
        if kept != written:
            raise Error(f"only {kept} of {written} events are left in {self.FOLDER}/trace")
        return [[int(seconds + micro) * 1000, int(freed)] for seconds, micro, freed in self.LINE.findall(text)]


class Server:
    """A server's size, and what the clock says while it works."""

    def __init__(self, pid):
        self.pid = pid
        self.figures = dict.fromkeys(("vmpte_peak", "work", "idle_work", "busy_vmpte", "busy_empty"), 0)

    def kb(self, name):
        value = row(f"/proc/{self.pid}/status", name)
        if value < 0:
            raise Error(f"no {name} in /proc/{self.pid}/status: the server has ended")
        return value

    def audit(self):
        found = figures_of("reclaim-pid", "--audit", self.pid)
        return {key: found[key] << 10 for key in ("vmpte", "empty_min", "empty_max")}

    def measure(self, function, *arguments):
        start = busy_ns()
        function(*arguments)
        self.figures["work"] += busy_ns() - start
        self.figures["vmpte_peak"] = max(self.figures["vmpte_peak"], self.kb("VmPTE") << 10)

    def look_while_busy(self):
        tables = self.audit()
        self.figures["busy_vmpte"] += tables["vmpte"]
        self.figures["busy_empty"] += tables["empty_max"]

    def be_idle(self):
        """What the server's process does meanwhile is the library's work, and what it does when idle anyway."""
        self.figures["worked_at"] = time.monotonic_ns()
        processor_clock = ~self.pid << 3 | 2        # clock_getcpuclockid(3)
        start = time.clock_gettime_ns(processor_clock)
        self.wait_until_idle()
        self.figures["idle_work"] = time.clock_gettime_ns(processor_clock) - start
        self.figures["idle_at"] = time.monotonic_ns()

    def wait_until_idle(self):
        before, same = None, 0
        for _ in range(MOST_POLLS):
            now = self.kb("VmPTE"), self.kb("VmRSS"), row("/proc/vmstat", "pt_reclaim_scanned")
            before, same = now, same + 1 if now == before else 0
            if same == SAME_POLLS:
                return
            time.sleep(POLL_SECONDS)
        raise Error(f"not idle after {MOST_POLLS * POLL_SECONDS} s: VmPTE, RSS and tables looked at are {before}")

    def report(self):
        tables = self.audit()
        tables["vmpte_idle"] = tables.pop("vmpte")
        for key, value in {**self.figures, **tables, "rss_idle": self.kb("VmRSS") << 10}.items():
            say(key, value)


def seed_devices(folder, seed):
    """Redis reads the secret of its hash tables, which decides in which order FLUSHALL frees, from /dev/urandom."""
    random = Path(folder) / "urandom"
    random.write_bytes(bytes([seed]) * 4096)
    subprocess.run(["mount", "--bind", str(random), "/dev/urandom"], check=True)


def seed_clock(seed):
    """In a child: redis-benchmark draws its keys from time() ^ getpid()."""
    time.clock_settime(time.CLOCK_REALTIME, (1_700_000_000 + seed) ^ os.getpid())


def start_redis(folder, preload):
    # The library must not be in redis-demo's own children.
    os.environ["LD_PRELOAD"] = preload
    try:
        return demo.Redis(folder)
    finally:
        del os.environ["LD_PRELOAD"]


def redis_requests(redis, seed):
    subprocess.run(["redis-benchmark", "-s", redis.path, "-n", str(REDIS_REQUESTS), "-r", str(REDIS_KEYS),
                    "-d", str(REDIS_BYTES), "-P", "16", "-t", "set,get", "-q"], stdout=subprocess.DEVNULL, check=True,
                   preexec_fn=lambda: seed_clock(seed))


def run_redis(folder, preload, seed, cycles=CYCLES):
    seed_devices(folder, seed)
    redis = start_redis(folder, preload)
    try:
        server = Server(redis.pid)
        for _ in range(cycles):
            server.measure(redis.fill)
            server.measure(redis_requests, redis, seed)
            server.measure(redis.call, "FLUSHALL", "SYNC")
            server.look_while_busy()
        server.be_idle()
        server.report()
        redis.fill()
        result = figures_of("redis-check", redis.path, REDIS_KEYS, REDIS_BYTES)
        say("wrong", result["keys_wrong"] + result["keys_missing"])
    finally:
        redis.stop()
        subprocess.run(["umount", "/dev/urandom"], check=True)


def run_memcached(folder, preload, _seed):
    """It draws nothing at random."""
    path = f"{folder}/socket"
    process = subprocess.Popen(["memcached", "-u", "root", "-s", path, "-m", str(MEMCACHED_MIB)],
                               env={**os.environ, "LD_PRELOAD": preload})
    wrong = 0

    def load(what, generation):
        nonlocal wrong
        result = figures_of("memcached-load", path, what, MEMCACHED_KEYS, MEMCACHED_BYTES, generation)
        wrong += result["wrong"] + result["missing"]

    try:
        server = Server(process.pid)
        for generation in range(1, CYCLES + 1):
            server.measure(load, "fill", generation)
            server.measure(load, "check", generation)
            server.measure(load, "flush", generation)
            server.look_while_busy()
        server.be_idle()
        server.report()
        load("fill", CYCLES + 1)
        load("check", CYCLES + 1)
        say("wrong", wrong)
    finally:
        process.kill()
        process.wait()
