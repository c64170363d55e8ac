# SPDX-License-Identifier: GPL-2.0
"""How vm/kernel turns patches and new files into a kernel tree."""

import contextlib
import importlib.machinery
import importlib.util
import io
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

VM = Path(__file__).resolve().parents[2] / "vm"
sys.path.insert(0, str(VM))
loader = importlib.machinery.SourceFileLoader("vm_kernel", str(VM / "kernel"))
kernel = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_kernel", loader))
sys.dont_write_bytecode = True
loader.exec_module(kernel)

ORIGINAL = "".join(f"line {number}\n" for number in range(1, 21))
PATCH = """\
Subject: [PATCH] mm: change line 10

--- a/mm/memory.c
+++ b/mm/memory.c
@@ -9,3 +9,3 @@
 line 9
-line 10
+line ten
 line 11
"""
NEW_FILE = """\
--- /dev/null
+++ b/mm/added.c
@@ -0,0 +1 @@
+added
"""


class Sandbox(unittest.TestCase):
    """A checkout, and a tree of two files in a cache, both in a temporary directory."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.repo = Path(directory.name) / "repo"
        self.put("patches/6.12/0001-mm-change.patch", PATCH)
        self.tree = kernel.Tree.__new__(kernel.Tree)
        self.tree.top = Path(directory.name) / "cache"
        for name in ("pristine", "patched"):
            setattr(self.tree, name, self.tree.top / name)
            (self.tree.top / name / "mm").mkdir(parents=True)
        (self.tree.pristine / "mm/memory.c").write_text(ORIGINAL)
        (self.tree.pristine / "mm/mmap.c").write_text(ORIGINAL)
        for name in ("memory.c", "mmap.c"):
            os.link(self.tree.pristine / "mm" / name, self.tree.patched / "mm" / name)

    def put(self, name, text):
        path = self.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def sync(self):
        self.tree.series = kernel.Series("6.12", self.repo)
        messages = io.StringIO()
        with contextlib.redirect_stderr(messages):
            self.tree.sync()
        return messages.getvalue()

    def patched(self, name="mm/memory.c"):
        return (self.tree.patched / name).read_text()

    def fails_with(self, *parts):
        with self.assertRaises(kernel.Error) as caught:
            self.sync()
        for part in parts:
            self.assertIn(part, str(caught.exception))


class Unfinished(unittest.TestCase):
    def test_who_leaves_the_mark(self):
        for error, left in ((None, False), (kernel.Error("make failed"), False),
                            (KeyboardInterrupt(), True), (SystemExit(143), True)):
            with self.subTest(error), tempfile.TemporaryDirectory() as objects:
                try:
                    with kernel.Unfinished(Path(objects)):
                        if error:
                            raise error
                except BaseException as caught:
                    self.assertIs(caught, error)
                self.assertEqual((Path(objects) / "unfinished").exists(), left)


class Inputs(Sandbox):
    def inputs(self, patch):
        self.put("patches/6.12/0001-mm-change.patch", patch)
        return list(kernel.Series("6.12", self.repo).inputs())

    def test_message_does_not_decide_the_image(self):
        exported = PATCH.replace("--- a", "---\n mm/memory.c | 2 +-\n\ndiff --git a/mm/memory.c b/mm/memory.c\n--- a")
        for patch in (PATCH, exported):
            with self.subTest(patch):
                before = self.inputs(patch)
                self.assertEqual(self.inputs(patch.replace("mm: change line 10", "mm: say more\n\nTested: yes")), before)
                self.assertNotEqual(self.inputs(patch.replace("line ten", "line 11")), before)


class Sync(Sandbox):
    def test_patch_is_applied_and_pristine_stays(self):
        self.assertEqual(self.sync(), "")
        self.assertIn("line ten\n", self.patched())
        self.assertEqual((self.tree.pristine / "mm/memory.c").read_text(), ORIGINAL)

    def test_what_does_not_differ_is_not_written(self):
        self.put("mm/pt_reclaim.c", "int one;\n")
        self.sync()
        before = (self.tree.patched / "mm/memory.c").stat()
        self.put("mm/pt_reclaim.c", "int two;\n")
        self.sync()
        after = (self.tree.patched / "mm/memory.c").stat()
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))
        self.assertEqual(self.patched("mm/pt_reclaim.c"), "int two;\n")

    def test_dropped_patch_and_new_file_are_undone(self):
        self.put("patches/6.12/0002-mm-add.patch", NEW_FILE)
        self.put("mm/pt_reclaim.c", "int one;\n")
        self.sync()
        self.assertEqual(self.patched("mm/added.c"), "added\n")
        for name in ("patches/6.12/0001-mm-change.patch", "patches/6.12/0002-mm-add.patch", "mm/pt_reclaim.c"):
            (self.repo / name).unlink()
        self.sync()
        self.assertEqual(self.patched(), ORIGINAL)
        self.assertEqual(sorted(path.name for path in (self.tree.patched / "mm").iterdir()), ["memory.c", "mmap.c"])

    def test_no_patches_at_all(self):
        (self.repo / "patches/6.12/0001-mm-change.patch").unlink()
        self.sync()
        self.assertEqual(self.patched(), ORIGINAL)

    def test_moved_lines_are_reported(self):
        (self.tree.pristine / "mm/memory.c").write_text("new\n" * 3 + ORIGINAL)
        self.assertRegex(self.sync(), r"0001-mm-change.patch: mm/memory.c: .*offset 3 lines")
        self.assertIn("line ten\n", self.patched())

    def test_editor_backups_are_left_out(self):
        for name in ("mm/pt_reclaim.c~", "mm/.pt_reclaim.c.swp", "mm/pt_reclaim.o"):
            self.put(name, "x")
        self.sync()
        self.assertEqual(sorted(path.name for path in (self.tree.patched / "mm").iterdir()), ["memory.c", "mmap.c"])


class BadSeries(Sandbox):
    def test_patch_that_does_not_apply_is_named_with_its_file(self):
        (self.tree.pristine / "mm/memory.c").write_text("something else\n" * 20)
        self.fails_with("0001-mm-change.patch", "mm/memory.c", "Hunk #1 FAILED")

    def test_second_patch_is_named_when_it_is_the_one(self):
        self.put("patches/6.12/0002-mm-again.patch", PATCH)
        self.fails_with("0002-mm-again.patch", "mm/memory.c")

    def test_patch_of_a_missing_file(self):
        self.put("patches/6.12/0001-mm-change.patch", PATCH.replace("memory.c", "no_such.c"))
        self.fails_with("0001-mm-change.patch", "mm/no_such.c")

    def test_failure_leaves_the_tree_alone(self):
        self.put("patches/6.12/0002-mm-again.patch", PATCH)
        self.fails_with("0002")
        self.assertEqual(self.patched(), ORIGINAL)

    def test_patch_outside_the_tree(self):
        self.put("patches/6.12/0001-mm-change.patch", PATCH.replace("mm/memory.c", "../../escape"))
        self.fails_with("0001-mm-change.patch", "outside the tree")

    def test_patch_without_changes(self):
        self.put("patches/6.12/0002-empty.patch", "Subject: nothing\n")
        self.fails_with("0002-empty.patch", "changes no file")

    def test_new_file_that_linux_has(self):
        self.put("mm/mmap.c", "mine\n")
        self.fails_with("mm/mmap.c", "Linux 6.12")


class Image(Sandbox):
    def image(self):
        self.tree.kernel, self.tree.version = "6.12", "6.12.1-1"
        self.tree.series = kernel.Series("6.12", self.repo)
        return self.tree.image("release")

    def test_depends_on_what_is_compiled_in_only(self):
        before = self.image()
        self.put("Documentation/mm/pt_reclaim.rst", "text\n")
        self.put("tools/testing/selftests/mm/madv_pt_reclaim.c", "int test;\n")
        self.assertEqual(self.image(), before)
        self.put("mm/pt_reclaim.c", "int one;\n")
        self.assertNotEqual(self.image(), before)


class Packages(Sandbox):
    def packages(self, data):
        """What make finds as its configuration."""
        config = self.tree.top / "config"
        config.write_bytes(data)
        self.tree.kernel, self.tree.repo, self.tree.lock = "6.12", self.repo, lambda patched: contextlib.nullcontext()
        with mock.patch.object(self.tree, "make", create=True), mock.patch.object(kernel, "REPO", self.repo):
            self.tree.packages(config)
        return (self.tree.patched / "build-deb/.config").read_text()

    def test_configuration_as_it_is_or_packed(self):
        text = "CONFIG_SMP=y\nCONFIG_PT_RECLAIM=y\n"
        for data in (text.encode(), lzma.compress(text.encode())):
            self.assertEqual(self.packages(data), text)

    def test_what_is_no_configuration(self):
        with self.assertRaisesRegex(kernel.Error, "config is no configuration of a kernel"):
            self.packages(b"\x1f\x8b\x08CONFIG_SMP=y")

    def test_configuration_without_the_option(self):
        with self.assertRaisesRegex(kernel.Error, "without CONFIG_PT_RECLAIM"):
            self.packages(b"CONFIG_SMP=n\n")


APT = """\
#!/bin/sh
# What vm/kernel asks of apt-get: a mirror, lists, a package.
case "$*" in
*indextargets*) echo "mirror://security x-security"; echo "mirror://main x" ;;
*update*) cp sources.list "$LOG"; [ -z "$BROKEN" ] || { echo "E: $BROKEN"; exit 100; } ;;
*download*) dpkg-deb --build "$PACKAGE" linux-source-9.9_9.9.1-1_all.deb ;;
esac
"""


class Fetch(unittest.TestCase):
    """A source package that this machine does not install, with an apt-get that needs no network."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        package = self.top / "package"
        for name, text in (("DEBIAN/control", "Package: linux-source-9.9\nVersion: 9.9.1-1\nArchitecture: all\n"
                                              "Maintainer: nobody <n@localhost>\nDescription: none\n"),
                           ("linux-source-9.9/mm/mmap.c", ORIGINAL)):
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text)
        (package / "usr/src").mkdir(parents=True)
        subprocess.run(["tar", "-cJf", package / "usr/src/linux-source-9.9.tar.xz", "-C", package, "linux-source-9.9"],
                       check=True)
        shutil.rmtree(package / "linux-source-9.9")
        (self.top / "bin").mkdir()
        (self.top / "bin/apt-get").write_text(APT)
        (self.top / "bin/apt-get").chmod(0o755)
        self.set_environment(PATH=f"{self.top}/bin:{os.environ['PATH']}", LOG=str(self.top / "log"),
                             PACKAGE=str(package), BROKEN="")
        self.addCleanup(setattr, kernel, "CACHE", kernel.CACHE)
        kernel.CACHE = self.top / "cache"

    def set_environment(self, **variables):
        for name, value in variables.items():
            self.addCleanup(os.environ.__setitem__, name, os.environ.get(name, ""))
            os.environ[name] = value

    def fetch(self):
        with contextlib.redirect_stderr(io.StringIO()):
            return kernel.Fetched("linux-source-9.9", "suite-backports")

    def test_unpacks_what_apt_has_checked(self):
        source = self.fetch()
        self.assertEqual(source.version, "9.9.1-1")
        source.unpack(self.top)
        self.assertEqual((self.top / "mm/mmap.c").read_text(), ORIGINAL)
        self.assertEqual((self.top / "log").read_text(),
                         f"deb [signed-by={kernel.KEYRING}] mirror://main suite-backports main\n")

    def test_fetches_once(self):
        self.fetch()
        (self.top / "bin/apt-get").write_text("#!/bin/sh\nexit 1\n")
        self.assertEqual(self.fetch().version, "9.9.1-1")

    def test_what_apt_says_is_told_and_nothing_is_left(self):
        os.environ["BROKEN"] = "The repository is not signed."
        with self.assertRaisesRegex(kernel.Error, "suite-backports failed: E: The repository is not signed.; check the network"):
            self.fetch()
        self.assertEqual(list((kernel.CACHE / "packages").glob("*.deb")), [])


class Fragments(unittest.TestCase):
    def test_each_kernel_has_its_own_after_the_common_one(self):
        for version in kernel.KERNELS:
            tree = kernel.Tree.__new__(kernel.Tree)
            tree.kernel = version
            names = [path.name for path in tree.fragments("none")]
            self.assertEqual(names, ["base.config", f"base-{version}.config", "none.config", f"none-{version}.config",
                                     "patched.config"])


if __name__ == "__main__":
    unittest.main()
