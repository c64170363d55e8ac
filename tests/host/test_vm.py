# SPDX-License-Identifier: GPL-2.0
"""What vm/run and vm/kernel promise to those who call them. Uses the unpatched kernel."""

import fcntl
import hashlib
import os
import select
import signal
import stat
import struct
import subprocess
import tempfile
import termios
import unittest
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
RUN = REPO / "vm/run"


def setUpModule():
    """What a build prints is no guest's output."""
    subprocess.run([REPO / "vm/kernel", "--flavour", "baseline"], stdout=subprocess.DEVNULL, check=True)


def vm_run(*arguments, options=(), cwd=None):
    return subprocess.run([RUN, "--flavour", "baseline", "--timeout", "300", *options, "--", *arguments], cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


class Command(unittest.TestCase):
    """One boot, many promises."""

    def test_output_arguments_environment_and_status(self):
        script = ('echo out; echo err >&2; printf "%s|" "$@" "$NAME"; pwd; cat; touch /tmp/w && rm /tmp/w && id -u;'
                  'touch /root/w 2>/dev/null || echo read-only; exit 7')
        strange = ["a b", "", "'", '"', "$HOME", "new\nline", "\\", "ü"]
        with tempfile.TemporaryDirectory() as directory:
            run = vm_run("sh", "-c", script, "sh", *strange, options=("--env", "NAME=c d=e"), cwd=directory)
            where = os.path.realpath(directory)
        self.assertEqual(run.stdout, "out\n" + "|".join(strange) + f"|c d=e|{where}\n0\nread-only\n")
        self.assertEqual(run.stderr, "err\n")
        self.assertEqual(run.returncode, 7)

    def test_all_output_arrives(self):
        run = vm_run("sh", "-c", "head -c 20000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait")
        self.assertEqual(hashlib.sha256(run.stdout.encode()).digest(), hashlib.sha256(bytes(20000000)).digest())
        self.assertEqual(len(run.stderr), 10000000)
        self.assertEqual(run.returncode, 0)

    def test_signal(self):
        self.assertEqual(vm_run("sh", "-c", "kill -SEGV $$").returncode, 128 + signal.SIGSEGV)

    def test_not_found(self):
        run = vm_run("no-such-command")
        self.assertEqual(run.returncode, 127)
        self.assertIn("no-such-command", run.stderr)

    def test_what_it_leaves_behind_is_killed(self):
        self.assertEqual(vm_run("sh", "-c", "sleep 1000000 & setsid sleep 1000000 & exit 3").returncode, 3)

    def test_file_systems_and_loopback(self):
        run = vm_run("sh", "-c", "set -e; for f in /proc/self/pagemap /sys/kernel/mm/lru_gen/enabled /dev/ptmx "
                     "/sys/kernel/debug/hwpoison /sys/kernel/tracing/events; do test -e $f; done; touch /run/x /dev/shm/x;"
                     "grep memory /sys/fs/cgroup/cgroup.subtree_control; echo ready >/dev/stdout; ip -br address show lo")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("127.0.0.1", run.stdout)

    def test_icount(self):
        run = vm_run("nproc", options=("--icount",))
        self.assertEqual((run.returncode, run.stdout), (0, "1\n"), run.stderr)


class Failure(unittest.TestCase):
    """Each ends with its own status and one clear line."""

    def fails(self, status, message, *arguments, options=()):
        run = vm_run(*arguments, options=options)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertIn(message, run.stderr)
        return run

    def test_panic(self):
        self.fails(125, "Kernel panic - not syncing: sysrq triggered crash", "sh", "-c", "echo c >/proc/sysrq-trigger")

    def test_kernel_report(self):
        run = self.fails(125, "BUG: made up", "sh", "-c", "echo BUG: made up >/dev/kmsg; exit 0")
        log = run.stderr.split("its log is ")[1].splitlines()[0]
        self.assertIn("BUG: made up", Path(log).read_text())

    def test_kernel_log_is_kept(self):
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            vm_run("sh", "-c", "echo hello log >/dev/kmsg", options=("--klog", log))
            self.assertIn("hello log", log.read_text())

    def test_hang(self):
        self.fails(124, "no end within 5 s", "sleep", "1000000", options=("--timeout", "5"))

    def test_out_of_memory(self):
        self.fails(137, "the guest ran out of memory", "sh", "-c", "exec tail /dev/zero", options=("--mem", "256M"))

    def test_more_memory_than_the_machine_has(self):
        self.fails(125, "QEMU did not start", "true", options=("--mem", "900000G"))

    def test_bad_options(self):
        for options, message in ((("--flavour", "nosuch"), "no such flavour 'nosuch': use one of release"),
                                 (("--kernel", "1.0"), "no such kernel '1.0': use one of"),
                                 (("--mem", "much"), "--mem much"),
                                 (("--cpus", "99"), "--cpus 99"),
                                 (("--icount", "--cpus", "2"), "--icount needs --cpus 1"),
                                 (("--env", "x"), "--env x"),
                                 (("--tty",), "--tty needs a terminal")):
            with self.subTest(options):
                run = self.fails(125, message, "true", options=options)
                self.assertEqual(run.stderr.count("\n"), 1)

    def test_no_command(self):
        run = subprocess.run([RUN, "true"], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 125)
        self.assertIn("there must be --", run.stderr)


class Interrupted(unittest.TestCase):
    """However vm/run ends, QEMU ends with it."""

    def end_with(self, number):
        with subprocess.Popen([RUN, "--flavour", "baseline", "--", "sh", "-c", "echo up; sleep 1000000"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              # Background jobs of a shell inherit that it is ignored.
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as run:
            self.assertEqual(run.stdout.readline(), "up\n")
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            self.assertEqual(len(children), 1)
            qemu = os.pidfd_open(int(children[0]))
            run.send_signal(number)
            run.wait()
            select.select([qemu], [], [])
            os.close(qemu)
            return run.returncode

    def test_interrupt(self):
        self.assertEqual(self.end_with(signal.SIGINT), 130)

    def test_terminate(self):
        self.assertEqual(self.end_with(signal.SIGTERM), 143)

    def test_kill(self):
        self.assertEqual(self.end_with(signal.SIGKILL), -signal.SIGKILL)


class Terminal(unittest.TestCase):
    def test_shell(self):
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        with subprocess.Popen([RUN, "--flavour", "baseline", "--timeout", "300", "--tty", "--", "bash", "--norc"],
                              stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
                              env={**os.environ, "TERM": "dumb"}) as run:
            os.close(theirs)
            self.read_until(ours, b"# ")
            os.write(ours, b"stty size\n")
            self.read_until(ours, b"33 99")
            self.read_until(ours, b"# ")
            # Not ^C at the prompt: bash may look at it only when the next key comes.
            os.write(ours, b"echo a$((1 + 1))b; cat -E\n")
            self.read_until(ours, b"a2b")
            # cat has the terminal once it has answered. Before, ^C may come between the two and be the shell's alone.
            os.write(ours, b"up\n")
            self.read_until(ours, b"up$")
            os.write(ours, b"\x03")
            self.read_until(ours, b"# ")
            os.write(ours, b"exit 5\n")
            self.read_until(ours, None)
            self.assertEqual((run.wait(), run.stderr.read()), (5, b""))
        os.close(ours)

    def read_until(self, terminal, end):
        """A guest that says nothing more is ended by --timeout, which closes the terminal."""
        seen = b""
        while end is None or end not in seen:
            try:
                seen += os.read(terminal, 1)
            except OSError:             # the other side is closed
                self.assertIsNone(end, seen)
                return


class Setup(unittest.TestCase):
    def run_setup(self, installed):
        """vm/setup without root, sudo and packages."""
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            (Path(directory) / "setup").write_bytes((REPO / "vm/setup").read_bytes())
            for name, text in (("dpkg-query", installed), ("apt-get", "exit 99")):
                tool = Path(directory) / name
                tool.write_text(f"#!/bin/sh\n{text}\n")
                tool.chmod(0o755)
            as_nobody = ["/usr/bin/setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
            return subprocess.run([*as_nobody, "/bin/bash", f"{directory}/setup"], env={"PATH": directory}, cwd="/",
                                  capture_output=True, text=True, check=False)

    def test_missing_packages_are_named(self):
        run = self.run_setup("echo 'installed gcc'")
        self.assertEqual(run.returncode, 1)
        self.assertIn("not root and no sudo", run.stderr)
        self.assertIn("qemu-system-x86", run.stderr)
        self.assertNotIn(" gcc ", run.stderr)

    def test_nothing_to_do(self):
        run = self.run_setup('shift 3; for name; do echo "installed $name:amd64"; done')
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))

    def test_is_executable(self):
        for name in ("setup", "kernel", "run"):
            self.assertTrue((REPO / "vm" / name).stat().st_mode & stat.S_IXUSR, name)


if __name__ == "__main__":
    unittest.main()
