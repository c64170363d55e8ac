# SPDX-License-Identifier: GPL-2.0
"""ptreclaim daemon over captured trees. What it does to processes is tested in a guest: tools/mm/ptreclaim/test/daemon.py."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import test_ptreclaim
from proctree import TABLE
from running_daemon import Daemon, parse_metrics
from test_ptreclaim import DENIED, FAILED, NO_ADVICE, SOURCE, USAGE, build

INTERRUPTED = 5


class Case(test_ptreclaim.Case):
    """The same with the daemon, and a configuration in a folder of its own."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="ptreclaim-daemon-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "ptreclaim.conf"
        self.metrics_file = self.folder / "ptreclaim.prom"
        self.configure()

    def configure(self, text=""):
        self.file.write_text(f"[metrics]\nfile = {self.metrics_file}\n{text}")

    def run_daemon(self, *words, status=0, env=None):
        said, errors = self.run_program("daemon", *words, status=status, env=env)
        return said.decode(), errors

    def once(self, config=""):
        """What one pass says, without the figures of time."""
        self.configure(config)
        said = self.run_daemon("--once", "--config", self.file, "--sysroot", self.tree.root)[1]
        return re.sub(r", \d+ ms of CPU", "", said)

    def start(self, config="", env=None):
        self.configure(config)
        daemon = Daemon(self.folder, self.program, "daemon", "--config", self.file, "--sysroot", self.tree.root, env=env)
        self.addCleanup(daemon.end)
        daemon.wait_for("READY=1")
        return daemon

    def metrics(self):
        return parse_metrics(self.metrics_file.read_text())

    def metric(self, name):
        return self.metrics()[f"ptreclaim_{name}"]


class Arguments(Case):
    def test_help_fits_a_screen(self):
        lines = self.run_daemon("--help")[0].splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_what_is_wrong(self):
        self.assertIn("unrecognized option '--nothing'", self.run_daemon("--nothing", status=USAGE)[1])
        self.assertIn("as extra is one", self.run_daemon("extra", status=USAGE)[1])
        self.assertIn("/nowhere/proc: No such file", self.run_daemon("--sysroot", "/nowhere", "--config", self.file,
                                                                     status=FAILED)[1])

    def test_configuration_that_is_wrong(self):
        """File, line, key and what is wrong."""
        self.configure("[pass]\ncpu = none\n")
        for words in ((), ("--once",), ("--check",)):
            said = self.run_daemon("--config", self.file, *words, status=USAGE)[1]
            self.assertRegex(said, rf"^ptreclaim daemon: {self.file}:4: cpu: 'none' is no whole number.*\n$")

    def test_no_configuration(self):
        """The default may be missing, but not what is asked for."""
        said = self.run_daemon("--config", self.folder / "nothing", status=USAGE)[1]
        self.assertIn("/nothing: No such file or directory", said)

    def test_nothing_to_do(self):
        self.configure("[pressure]\nsystem = no\n")
        self.assertIn("there is nothing to do: set an interval", self.run_daemon("--config", self.file, status=USAGE)[1])

    def test_no_advice(self):
        """A status of its own, which its unit does not restart it for."""
        said = self.run_daemon("--config", self.file, status=NO_ADVICE, env={"PTRECLAIM_PROBE": "0"})[1]
        self.assertIn("PTRECLAIM_PROBE", said)


class Documents(Case):
    def in_force(self, path):
        return self.run_daemon("--check", "--config", path)[0]

    def keys(self):
        """[(section, key, default or None)], as the program has them."""
        full = "".join(f"{name} = /a\n" if "cgroup" in name else f"{name} = root\n"
                       for name in ("include-cgroup", "exclude-cgroup", "include-user", "exclude-user", "include-command",
                                    "exclude-command"))
        self.configure(f"[filter]\n{full}[pressure]\ncgroup = /a\n")
        defaults = (self.folder / "empty")
        defaults.write_text("")
        given = self.in_force(defaults).splitlines()
        section = None
        for line in self.in_force(self.file).splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line:
                name, value = line.split(" = ")
                yield section, name, value if line in given else None

    def test_example_is_the_default(self):
        (self.folder / "empty").write_text("")
        self.assertEqual(self.in_force(SOURCE / "ptreclaim.conf"), self.in_force(self.folder / "empty"))

    def test_example_has_each_key_with_its_default(self):
        """All of it is commented out; without that it is a good file."""
        text = (SOURCE / "ptreclaim.conf").read_text()
        for section, name, value in self.keys():
            part = text.split(f"\n[{section}]\n")[1].split("\n[")[0]
            self.assertRegex(part, rf"(?m)^#{re.escape(name)} = {re.escape(value) if value else '.+'}$")
        self.file.write_text(re.sub(r"(?m)^#(?=\S)", "", text))
        self.assertEqual(len(self.in_force(self.file).split("\n")), len(list(self.keys())) + 5 + 5)

    def test_manual_has_each_key_with_its_default(self):
        text = (SOURCE.parents[2] / "man/ptreclaim.conf.5").read_text()
        for section, name, value in self.keys():
            part = re.split(r"\n\.S[hs] ", text.split(f"\n.Ss Section {section}\n")[1])[0]
            self.assertIn(f"\n.It Cm {name} ", part)
            entry = part.split(f"\n.It Cm {name} ")[1].split("\n.It ")[0]
            if value:
                self.assertRegex(entry, rf"The default is\n?\s*(\.Li )?\"?{re.escape(value)}\"?[ .]", name)

    def test_manual_has_each_metric(self):
        self.once()
        text = (SOURCE.parents[2] / "man/ptreclaim.8").read_text()
        for name in {name.split("{")[0] for name in self.metrics()}:
            self.assertIn(f".It Li {name}\n", text)


class Units(Case):
    """What starts it: the unit of systemd, and the DaemonSet."""

    unit = SOURCE / "systemd/ptreclaim.service"
    manifest = (SOURCE / "kubernetes/daemonset.yaml").read_text()

    def directives(self, name):
        return re.findall(rf"(?m)^{name}=(.*)$", self.unit.read_text())

    def analyze(self, *words):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        unit = self.folder / self.unit.name
        unit.write_text(self.unit.read_text().replace("/usr/sbin/ptreclaim", str(self.program)))
        run = subprocess.run(["systemd-analyze", *words, unit], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        return run.returncode, run.stdout

    def test_each_directive_is_known(self):
        self.assertEqual(self.analyze("verify", "--man=no"), (0, ""))

    def test_exposure(self):
        """Of 100, by what systemd thinks of it; 96 is that of a service without any setting."""
        self.assertEqual(self.analyze("security", "--offline=yes", "--threshold=20", "--no-pager")[0], 0)

    def test_capabilities(self):
        """Those that the program does not give up."""
        kept = re.findall(r'"(CAP_\w+)"', (SOURCE / "privileges.c").read_text())
        self.assertEqual(len(kept), 3)
        for name in ("AmbientCapabilities", "CapabilityBoundingSet"):
            self.assertEqual(self.directives(name), [" ".join(kept)])
        (added,) = re.findall(r"add: (\[.*\])", self.manifest)
        self.assertEqual(json.loads(added), [name.removeprefix("CAP_") for name in kept])

    def test_what_lasts_is_no_reason_to_restart(self):
        self.assertEqual(self.directives("RestartPreventExitStatus"), [f"{USAGE} {NO_ADVICE} {DENIED}"])

    def test_user(self):
        (user,) = self.directives("User")
        self.assertRegex((SOURCE / "systemd/ptreclaim.sysusers").read_text(), rf"(?m)^u {user} ")

    def test_configuration_of_the_manifest(self):
        text = re.search(r"(?m)  ptreclaim\.conf: \|\n((?:    .*\n)+)", self.manifest)[1]
        self.file.write_text(text)
        out = self.run_daemon("--check", "--config", self.file)[0]
        self.assertIn("file = /metrics/ptreclaim.prom", out)
        self.assertIn("mountPath: /metrics\n", self.manifest)


class Once(Case):
    def test_finds_what_is_empty(self):
        self.tree.process(7, 2000, 1500)
        self.tree.process(8, 2000, 0)
        self.tree.process(9, 100, 90)
        self.tree.kernel_thread(10)
        self.assertEqual(self.once(), "ptreclaim daemon: request: 0B of page tables freed in 0 of 3 processes, 2 audited, "
                                      "5.9M could be freed\n")
        self.assertEqual(self.metric("processes_audited_total"), 2)
        self.assertEqual(self.metric('passes_total{trigger="request"}'), 1)
        self.assertEqual(self.metric("processes"), 3)
        self.assertEqual(self.metric("processes_remembered"), 2)
        self.assertGreater(self.metric("pass_cpu_seconds_total"), 0)
        self.assertGreater(self.metric("last_pass_timestamp_seconds"), 1.5e9)

    def test_thresholds(self):
        self.tree.process(7, 100, 50)
        vmpte, empty = 102 * TABLE, 50 * TABLE
        for min_vmpte, min_empty, audited, found in ((vmpte, empty, 1, True), (vmpte, empty + 1, 1, False),
                                                     (vmpte + 1, 0, 0, False)):
            said = self.once(f"[process]\nmin-vmpte = {min_vmpte}\nmin-empty = {min_empty}\n")
            self.assertEqual(self.metric("processes_audited_total"), audited)
            self.assertEqual("200K could be freed" in said, found)

    def test_filters(self):
        self.tree.process(7, 100, 50, name="redis-server", uid=1234, cgroup="/a/b")
        self.tree.process(8, 100, 50, name="sh", uid=0, cgroup="/c")
        for rule, audited in (("include-cgroup = /a", 1), ("exclude-cgroup = /a/b\nexclude-cgroup = /c", 0),
                              ("include-user = root", 1), ("exclude-user = 1234", 1), ("include-command = redis-*", 1),
                              ("exclude-command = *", 0), ("exclude-command = s\n", 2)):
            self.once(f"[process]\nmin-vmpte = 0\nmin-empty = 0\n[filter]\n{rule}\n")
            self.assertEqual(self.metric("processes_audited_total"), audited, rule)

    def test_processes_that_are_gone(self):
        self.tree.process(7, 2000, 1500)
        self.tree.folder(8)
        (self.tree.process(9, 2000, 1500) / "maps").unlink()
        (self.tree.process(10, 2000, 1500) / "stat").unlink()
        self.assertIn("5.9M could be freed", self.once())
        self.assertEqual(self.metric("processes_gone_total"), 3)
        self.assertEqual(self.metric('errors_total{reason="process"}'), 0)

    def test_a_signal_ends_it(self):
        """It comes before the pass, which would have found a process."""
        self.tree.process(7, 2000, 1500)

        def pending():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            os.kill(os.getpid(), signal.SIGTERM)

        run = subprocess.run([self.program, "daemon", "--once", "--config", self.file, "--sysroot", self.tree.root],
                             stderr=subprocess.PIPE, check=False, preexec_fn=pending)
        self.assertEqual(run.returncode, INTERRUPTED, run.stderr)
        self.assertEqual(self.metric("processes"), 0)

    def test_metrics_that_cannot_be_written(self):
        self.metrics_file = self.folder / "nothing/ptreclaim.prom"
        self.assertIn(f"cannot write the metrics to {self.metrics_file}: No such file or directory", self.once())


class Loop(Case):
    def test_pass_on_request(self):
        self.tree.process(7, 2000, 1500)
        daemon = self.start()
        self.assertEqual(self.metric('passes_total{trigger="request"}'), 0)
        daemon.make_pass()
        self.assertEqual(self.metric('passes_total{trigger="request"}'), 1)
        self.assertEqual(self.metric("processes_audited_total"), 1)
        daemon.make_pass()
        self.assertEqual((self.metric("processes_audited_total"), self.metric("processes_waiting_total")), (1, 1))

    def test_processes_that_have_exited_are_forgotten(self):
        self.tree.process(7, 2000, 0)
        self.tree.process(8, 2000, 0)
        daemon = self.start()
        daemon.make_pass()
        self.assertEqual(self.metric("processes_remembered"), 2)
        (self.tree.proc / "7/status").unlink()
        daemon.make_pass()
        self.assertEqual(self.metric("processes_remembered"), 1)

    def test_pass_at_intervals(self):
        self.tree.process(7, 2000, 1500)
        daemon = self.start("[pass]\ninterval = 1s\n")
        daemon.wait_for("STATUS=")
        daemon.wait_for("STATUS=")
        self.assertGreaterEqual(self.metric('passes_total{trigger="interval"}'), 2)      # the next one may be over, too

    def test_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.start()
            daemon.send(number, "STOPPING=1")
            self.assertEqual(daemon.end(), (0, ""))
            (self.folder / "notify").unlink()

    def test_watchdog(self):
        daemon = self.start(env={"WATCHDOG_USEC": "200000"})
        for _ in range(3):
            daemon.wait_for("WATCHDOG=1")
        self.assertEqual(self.metric('passes_total{trigger="request"}'), 0)

    def test_watchdog_in_a_pass(self):
        """Between processes, as the event loop does not run meanwhile."""
        for pid in range(1, 4):
            self.tree.process(pid, 2000, 0)
        seen = self.start().send(signal.SIGUSR1, "STATUS=")
        self.assertEqual(seen[:-1], ["WATCHDOG=1"] * 3)

    def test_reload(self):
        self.tree.process(7, 100, 50)
        daemon = self.start()
        daemon.make_pass()
        self.assertEqual(self.metric("processes_audited_total"), 0)
        self.configure("[process]\nmin-vmpte = 0\n[pass]\ninterval = 1s\n")
        seen = daemon.send(signal.SIGHUP, "READY=1")
        self.assertRegex(seen[0], r"RELOADING=1\nMONOTONIC_USEC=\d+")
        self.assertEqual(self.metric('config_reloads_total{result="good"}'), 1)
        daemon.wait_for("STATUS=")
        self.assertEqual(self.metric("processes_audited_total"), 1)
        self.assertGreaterEqual(self.metric('passes_total{trigger="interval"}'), 1)

    def test_reload_of_a_file_that_is_wrong(self):
        """All stays as it was, until the file is right."""
        self.tree.process(7, 100, 50)
        daemon = self.start()
        self.configure("[process]\nmin-vmpte = 0\n")
        daemon.send(signal.SIGHUP, "READY=1")
        self.configure("[process]\nmin-vmpte = 1T\nmin-empty = x\n")
        daemon.send(signal.SIGHUP, "READY=1")
        self.assertEqual(self.metric("config_last_reload_successful"), 0)
        self.assertEqual(self.metric('config_reloads_total{result="bad"}'), 1)
        daemon.make_pass()
        self.assertEqual(self.metric("processes_audited_total"), 1)
        self.configure()
        daemon.send(signal.SIGHUP, "READY=1")
        self.assertEqual(self.metric("config_last_reload_successful"), 1)
        said = daemon.end()[1].splitlines()
        self.assertEqual(said.pop(0), "ptreclaim daemon: the configuration was read anew")
        self.assertEqual(said[0], f"ptreclaim daemon: {self.file}:5: min-empty: 'x' is no whole number, "
                                  "to which may be added one of K, M, G, T")
        self.assertEqual(said[1:], ["ptreclaim daemon: the configuration stays as it was",
                                    "ptreclaim daemon: the configuration was read anew"])

    def test_metrics_that_cannot_be_written_are_said_once(self):
        self.metrics_file = self.folder / "later/ptreclaim.prom"
        daemon = self.start()
        daemon.make_pass()
        self.metrics_file.parent.mkdir()
        daemon.make_pass()
        self.assertEqual(self.metric('errors_total{reason="metrics"}'), 2)
        self.assertEqual(daemon.end()[1].count("cannot write the metrics"), 1)

    def test_nothing_is_said_of_a_pass_that_does_nothing(self):
        self.tree.process(7, 2000, 1500)
        daemon = self.start()
        daemon.make_pass()
        self.assertEqual(daemon.end(), (0, ""))


class OnceWithSanitizers(Once):
    sanitizers = "address,undefined"


class LoopWithSanitizers(Loop):
    sanitizers = "address,undefined"


class Parts(unittest.TestCase):
    """Tests in C of what needs no process."""

    def check(self, *arguments):
        run = subprocess.run(["make", "-s", "-C", SOURCE, "check", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertRegex(run.stdout, r"(?m)^ok policy: ")

    def test_check(self):
        self.check()

    def test_fuzzing(self):
        """A short run of fuzz/config.c, always the same, with sanitizers."""
        example = (SOURCE / "ptreclaim.conf").read_text()
        with tempfile.TemporaryDirectory() as folder:
            seed = Path(folder) / "seed"
            seed.write_text(re.sub(r"(?m)^#(?=\S)", "", example).replace(" redis\n", " root\n"))
            program = build().parent / "fuzz/replay-config"
            self.check("tests")
            run = subprocess.run([program, "20000", seed], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 check=False)
        self.assertEqual((run.returncode, run.stdout), (0, "1 files, 20000 changes of each\n"))

    def test_install(self):
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder)
            for _ in range(2):
                run = subprocess.run(["make", "-s", "-C", SOURCE, "install", "PREFIX=/usr", f"DESTDIR={top}"],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual(run.returncode, 0, run.stdout)
                self.assertTrue((top / "usr/share/man/man5/ptreclaim.conf.5").exists())
                self.assertTrue((top / "usr/lib/sysusers.d/ptreclaim.conf").exists())
                unit = (top / "usr/lib/systemd/system/ptreclaim.service").read_text()
                self.assertIn("\nExecStart=/usr/sbin/ptreclaim daemon\n", unit)
                with open(top / "etc/ptreclaim.conf", "a") as config:
                    config.write("# changed\n")
            self.assertEqual((top / "etc/ptreclaim.conf").read_text().count("# changed\n"), 2)

    def test_check_with_sanitizers(self):
        out = build("address,undefined").parent
        self.check(f"OUT={out}", f"LIBOUT={out.parent}/lib-address-undefined", "SANITIZE=address,undefined")


if __name__ == "__main__":
    unittest.main()
