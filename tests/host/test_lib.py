# SPDX-License-Identifier: GPL-2.0
"""libptreclaim's own tests, of which those that need the advice run in a guest."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "tools/lib/ptreclaim"


class Defaults(unittest.TestCase):
    """What the documents say of the deferral is what deferral.c does."""

    def test_documents(self):
        source = (LIBRARY / "deferral.c").read_text()
        idle = re.search(r"#define DEFAULT_IDLE_MS\s+(\d+)\n", source)[1]
        mib = re.search(r"#define DEFAULT_BYTES\s+\(\(uint64_t\)(\d+) << 20\)\n", source)[1]
        page = (LIBRARY.parents[2] / "man/ptreclaim.3").read_text()
        for text in ((LIBRARY / "ptreclaim.h").read_text(), page):
            self.assertEqual(re.findall(r"nothing was noted in it for (.*?)(?:,| \()", text), [f"{idle} ms"])
            self.assertEqual(re.findall(r"(\d+) MiB were noted in it since", text), [mib])
        self.assertEqual(re.findall(r"region is due, instead of (\d+)\.$", page, re.M), [idle, str(int(mib) << 20)])


class Installed(unittest.TestCase):
    """A program is built with what pkg-config says, in C and C++, and runs with the library of its version."""

    PROGRAM = "#include <ptreclaim.h>\nint main(void) { return ptreclaim_support_text(PTRECLAIM_NO_ADVICE)[0] == 0; }\n"

    def call(self, *command, **more):
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
        self.assertEqual(run.returncode, 0, run.stdout)
        return run.stdout

    def test_pkg_config(self):
        with tempfile.TemporaryDirectory() as folder:
            self.call("make", "-s", "-C", str(LIBRARY), "install", f"PREFIX={folder}")
            flags = self.call("pkg-config", "--cflags", "--libs", "ptreclaim",
                              env={**os.environ, "PKG_CONFIG_PATH": f"{folder}/lib/pkgconfig"}).split()
            for compiler, language in (("gcc", "c"), ("g++", "c++")):
                with self.subTest(language):
                    self.call(compiler, "-Wall", "-Wextra", "-Werror", "-o", f"{folder}/program", "-x", language, "-",
                              "-x", "none", *flags, input=self.PROGRAM)
                    self.call(f"{folder}/program", env={"LD_LIBRARY_PATH": f"{folder}/lib"})
                    symbols = subprocess.check_output(["nm", "-D", f"{folder}/program"], text=True)
                    self.assertIn(" ptreclaim_support_text@PTRECLAIM_0.1\n", symbols)


class Check(unittest.TestCase):
    def make(self, *arguments):
        run = subprocess.run(["make", "-s", "-C", LIBRARY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout)
        return run.stdout

    def test_check(self):
        self.assertRegex(self.make("check"), "(?m)^ok sender: ")

    def check_sanitized(self, sanitizers, *names):
        out = LIBRARY.parents[2] / f"build/lib-{sanitizers.replace(',', '-')}"
        programs = [str(out / "test" / name) for name in names]
        self.make(f"OUT={out}", f"SANITIZE={sanitizers}", *programs)
        run = subprocess.run([LIBRARY / "test/run", *programs], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
        self.assertEqual(run.returncode, 0, run.stdout)

    def test_check_with_sanitizers(self):
        self.check_sanitized("address,undefined", "probe", "sender", "process", "maps", "audit", "no_advice", "deferral", "thread",
                             "glibc", "mimalloc", "jemalloc")

    def test_threads_with_sanitizer(self):
        self.check_sanitized("thread", "deferral", "thread")

    def test_a_test_that_fails_is_noticed(self):
        run = subprocess.run([LIBRARY / "test/run", "false", "true"], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stdout, "(?m)^not ok false: ")
        self.assertRegex(run.stdout, "(?m)^not ok true: ")
