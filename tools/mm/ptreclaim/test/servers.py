#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""ptreclaim(8) on servers that are idle, as root and as a user with two capabilities, in a guest as guest.py; speaks KTAP.

A server holds data, gets rid of most of it and is reclaimed: no empty table is left, and it holds what it is filled with then.
"""

import contextlib
import ctypes
import errno
import glob
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from guest import OUT, TABLE, Target, as_user, counter, has_none_empty, main, must, row, run, vmpte

USERS = {"root": (), "two capabilities": as_user("sys_nice", "sys_ptrace")}
NOBODY = 65534
AS_NOBODY = as_user(user=NOBODY)
BENCH = OUT.parent / "bench"
SPAN = 2 << 20              # address space of a PTE table
GIB = 1 << 30
PROCESS_MADVISE, RECLAIM_PT = 440, 26
LIBC = ctypes.CDLL(None, use_errno=True)


def output(*words):
    return subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        os.chown(path, NOBODY, NOBODY)
        yield path


@contextlib.contextmanager
def server(*words, ready=None):
    """It may have to say something before it can be used."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            must(ready is None or any(ready in line for line in process.stdout), words[0], "ended")
            yield process
        finally:
            process.kill()


def whole_tables(pid):
    """Where each PTE table of a process can be, in pieces of at most 1 GiB."""
    end = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[vsyscall]"):
            continue
        first, last = (int(text, 16) for text in line.split()[0].split("-"))
        start, end = max(first // SPAN * SPAN, end), -(-last // SPAN) * SPAN
        for piece in range(start, end, GIB):
            yield piece, min(end - piece, GIB)


def look_again(pid):
    """The kernel is told to look at each table once: how many there are, and how many of these were empty."""
    before = counter("scanned"), counter("freed")
    pidfd = os.pidfd_open(pid)
    for start, length in whole_tables(pid):
        vector = (ctypes.c_uint64 * 2)(start, length)
        if LIBC.syscall(ctypes.c_long(PROCESS_MADVISE), pidfd, vector, ctypes.c_long(1), RECLAIM_PT, 0) < 0:
            must(ctypes.get_errno() == errno.ENOMEM, "process_madvise:", os.strerror(ctypes.get_errno()))
    os.close(pidfd)
    return counter("scanned") - before[0], counter("freed") - before[1]


def must_be_in_use(found):
    """Each table; in the formula of EMPTY one may hide behind a table above it that could be there and is not.

    The kernel does not look at the table, or two, that [vvar] is in.
    """
    has_none_empty(found)
    tables, empty = look_again(found["pid"])
    must(empty == 0 and 0 <= found["inuse"] // TABLE - tables <= 2, f"the kernel finds {tables} tables, {empty} empty:", found)


def processes(*words):
    return json.loads(run("scan", *words, "--threshold", 0, "-o", "pid,vmpte,inuse,empty,empty-max", "--json")[0])["processes"]


def total(rows, column):
    return sum(found[column] for found in rows)


def release(who, user, *words, tables=0):
    """Reclaims idle processes, in which at least so many tables have to be empty: all is done, and counted right.

    Threads of a server may touch memory meanwhile. Figures may differ by the tables that this takes, which is by 0 if none do.
    """
    before, freed = processes(*words), counter("freed")
    must(total(before, "empty") >= tables * TABLE, "this tests little:", before)
    done = row("reclaim", *words, "--min-empty", 0, before=USERS[user])
    freed = counter("freed") - freed
    after = processes(*words)
    print(f"# {who}, {user}: VmPTE {total(before, 'vmpte') >> 10} kB -> {total(after, 'vmpte') >> 10} kB, at most"
          f" {total(after, 'empty-max') >> 10} kB empty{'' if done['freed'] else ': nothing to gain'}")
    must(done["processes"] == len(before) and not done["denied"] + done["failed"] + done["gone"], done)
    touched = range(total(after, "inuse") - total(before, "inuse") + 1)
    must(done["before"] - total(before, "vmpte") in touched, done, before, after)
    must(total(after, "vmpte") - done["after"] in touched, done, before, after)
    must(done["freed"] == done["before"] - done["after"], done)
    must(freed * TABLE - done["freed"] in touched, done, "but by the kernel's count", freed)
    must(total(before, "empty") <= done["freed"] <= total(before, "empty-max"), done, before)
    for found in after:
        must_be_in_use(found)


REDIS_KEYS, REDIS_BYTES = 30_000, 4000
REDIS_LARGE = 200

# Of half a megabyte each, with a number at the end.
REDIS_FILL = "for n = 1, ARGV[1] do redis.call('SETRANGE', 'large:' .. n, 524288, n) end return 'OK'"
REDIS_CHECK = "for n = 1, ARGV[1] do assert(redis.call('GETRANGE', 'large:' .. n, 524288, -1) == tostring(n)) end return 'OK'"
REDIS_THIN = "for n = 1, ARGV[1], 2 do redis.call('DEL', 'large:' .. n) end return 'OK'"


def test_redis():
    """Every other large value goes, and later all of the rest: no MADV_DONTNEED of jemalloc's covers a whole table."""
    with folder() as path:
        path += "/socket"

        def order(*words):
            answer = output("redis-cli", "-s", path, *words)
            must(answer == "OK", words, answer)

        def script(text):
            order("EVAL", text, 0, REDIS_LARGE)

        def fill():
            order("DEBUG", "POPULATE", REDIS_KEYS, "key", REDIS_BYTES)
            script(REDIS_FILL)

        def check():
            print("#", output(BENCH / "redis-check", path, REDIS_KEYS, REDIS_BYTES).replace("\n", ", "))
            script(REDIS_CHECK)

        def shrink():
            # MEMORY PURGE does not wait for what jemalloc's own thread is purging: end that first.
            order("CONFIG", "SET", "jemalloc-bg-thread", "no")
            script(REDIS_THIN)
            order("MEMORY", "PURGE")
            order("FLUSHALL", "SYNC")
            order("MEMORY", "PURGE")

        with server(*AS_NOBODY, "redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--hz", "1",
                    "--enable-debug-command", "local", ready="ready to accept connections") as redis:
            fill()
            for user in USERS:
                shrink()
                release("Redis", user, "--pid", redis.pid, tables=50)
                order("CONFIG", "SET", "jemalloc-bg-thread", "yes")
                fill()
                check()


MEMCACHED_KEYS, MEMCACHED_BYTES = 25_000, 4000


def test_memcached():
    """Its slabs stay in use after flush_all. It drops its privileges itself, as Debian has it, and is not dumpable then."""
    with folder() as path:
        path += "/socket"

        def load(what, generation):
            done = output(BENCH / "memcached-load", path, what, MEMCACHED_KEYS, MEMCACHED_BYTES, generation)
            print(f"# {what}:", done.replace("\n", ", "))

        with server("memcached", "-u", "nobody", "-s", path, "-m", "512") as memcached:
            load("fill", 1)
            for generation, user in enumerate(USERS, 1):
                load("check", generation)
                load("flush", generation)
                release("memcached", user, "--pid", memcached.pid)
                load("fill", generation + 1)
            load("check", len(USERS) + 1)


def test_go():
    """A heap that shrank in steps."""
    with Target(program="target-go", before=AS_NOBODY) as target:
        for user in USERS:
            target.tell("empty")
            release("Go", user, "--pid", target.pid, tables=20)
            target.tell("check")


BACKENDS = 30
CLUSTER = """
listen_addresses = ''
shared_buffers = 64MB
work_mem = 32MB
temp_buffers = 16MB
autovacuum = off
fsync = off
"""

# One row in a page. By INSERT, so that all of it is in the shared buffers.
SHARED = """
CREATE TABLE shared (text text) WITH (fillfactor = 10);
INSERT INTO shared SELECT repeat(md5(n::text), 20) FROM generate_series(1, 5000) n;
CHECKPOINT;
"""

WORK = """
CREATE TEMP TABLE own AS SELECT repeat(md5((n * {0})::text), 32) AS text FROM generate_series(1, 4000) n;
"""

# Sorts, hashes, and reads all of the shared table.
CHECKSUM = """
SELECT md5(string_agg(text, '' ORDER BY text DESC)), (SELECT count(*) FROM (SELECT DISTINCT text FROM own) AS hashed),
       (SELECT sum(hashtext(text)) FROM shared) FROM own;
"""


class Session:
    """A psql and the backend that serves it."""

    def __init__(self, psql):
        self.process = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell("SELECT pg_backend_pid();\n")
        self.pid = int(self.answer())

    def tell(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline().strip()
        must(line, "psql has ended")
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


@contextlib.contextmanager
def postgres(path, cgroup):
    """The words that start psql on a new cluster of PostgreSQL, whose processes are in the cgroup."""
    programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    data = f"{path}/data"
    output(*AS_NOBODY, programs / "initdb", "--no-sync", "--locale=C", "--auth=trust", data)
    with open(f"{data}/postgresql.conf", "a") as configuration:
        configuration.write(f"{CLUSTER}unix_socket_directories = '{path}'\n")
    control = [*AS_NOBODY, programs / "pg_ctl", "-w", "-s", "-D", data]
    subprocess.run([*control, "-l", f"{path}/log", "start"], check=True,
                   preexec_fn=lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid())))
    try:
        yield [*AS_NOBODY, programs / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", path, "postgres"]
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True)


@contextlib.contextmanager
def cgroup_below(parent, name):
    path = parent / name
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


@contextlib.contextmanager
def swap():
    Path("/sys/block/zram0/disksize").write_text("1G")
    subprocess.run(["mkswap", "-q", "/dev/zram0"], check=True)
    subprocess.run(["swapon", "/dev/zram0"], check=True)
    try:
        yield
    finally:
        subprocess.run(["swapoff", "/dev/zram0"], check=True)
        Path("/sys/block/zram0/reset").write_text("1")


def shared_pages(session):
    return int(Path(f"/proc/{session.pid}/status").read_text().split("RssShmem:")[1].split()[0])


def page_out(cgroup, sessions):
    """As when memory is short: the shared buffers go to the swap, and backends that are idle do not bring them back."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            (cgroup / "memory.reclaim").write_text("1G")
        if sum(map(shared_pages, sessions)) == 0:
            return
    must(False, "the shared buffers stay:", [shared_pages(session) for session in sessions])


def checksums(sessions, query):
    for number, session in enumerate(sessions, 1):
        session.tell(query.format(number))
    return [session.answer() for session in sessions]


def test_postgresql():
    """Many backends, each with a table of its own and page tables for all of the shared buffers, and these are swapped out."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(swap())
        cgroup = stack.enter_context(cgroup_below(Path("/sys/fs/cgroup"), "postgres"))
        backends = stack.enter_context(cgroup_below(cgroup, "backends"))
        psql = stack.enter_context(postgres(stack.enter_context(folder()), cgroup))
        subprocess.run(psql, input=SHARED, text=True, check=True)
        sessions = [stack.enter_context(Session(psql)) for _ in range(BACKENDS)]
        for session in sessions:
            (backends / "cgroup.procs").write_text(str(session.pid))
        sums = checksums(sessions, WORK + CHECKSUM)
        must(len(set(sums)) == BACKENDS, sums)
        release("30 backends of PostgreSQL that have worked", "root", "--cgroup", "/postgres/backends")
        for user in USERS:
            page_out(cgroup, sessions)
            release("the same, shared buffers swapped out", user, "--cgroup", "/postgres/backends", tables=10 * BACKENDS)
            must(checksums(sessions, CHECKSUM) == sums, "other results than before")
        must([int(line) for line in checksums(sessions, "SELECT pg_backend_pid();\n")] == [session.pid for session in sessions],
             "backends have ended")


if __name__ == "__main__":
    sys.exit(main(globals()))
