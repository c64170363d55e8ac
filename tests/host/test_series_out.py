# SPDX-License-Identifier: GPL-2.0
"""How vm/series takes the series out of a checkout, into kernel trees, and back."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

VM = Path(__file__).resolve().parents[2] / "vm"
sys.path.insert(0, str(VM))
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("vm_series", str(VM / "series"))
series = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_series", loader))
loader.exec_module(series)

ORIGINAL = "".join(f"line {number}\n" for number in range(1, 21))
MAKEFILE = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\n"
PATCH = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: somebody <noreply@localhost>
Date: Sat, 21 Nov 2026 00:00:00 +0000
Subject: [PATCH] {subject}

Why.
---
 {file} | 2 +-

diff --git a/{file} b/{file}
--- a/{file}
+++ b/{file}
@@ -9,3 +9,3 @@
 line 9
-line 10
+{line}
 line 11
"""


class Sandbox(unittest.TestCase):
    """A checkout with two patches and two new files, an unpacked kernel, and a tree of a user's."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.repo, self.user = self.top / "repo", self.top / "user"
        self.put("repo/patches/6.12/0001-mm-change.patch", PATCH.format(subject="mm: change", file="mm/memory.c", line="ten"))
        self.put("repo/patches/6.12/0002-mm-add.patch", PATCH.format(subject="mm: add", file="mm/Makefile", line="obj += added.o"))
        self.put("repo/patches/cover-letter.txt", "mm: all of it\n\nFor @KERNEL@:\n@DEMO@\n\n@TESTED@\n")
        self.put("repo/patches/6.12/figures.md", "| a | b |\n|---|---|\n| 1 | 2 |\n")
        self.put("repo/patches/6.12/tested.txt", "- all\n")
        self.put("repo/mm/added.c", "#include <trace/events/added.h>\n")
        self.put("repo/include/trace/events/added.h", "/* a header */\n")
        for tree in ("pristine", "user"):
            self.put(f"{tree}/Makefile", MAKEFILE)
            self.put(f"{tree}/mm/memory.c", ORIGINAL)
            self.put(f"{tree}/mm/Makefile", ORIGINAL)
        tree = series.Tree.__new__(series.Tree)
        tree.pristine, tree.lock, tree.series = self.top / "pristine", lambda patched: contextlib.nullcontext(), self.series()
        for name, value in (("REPO", self.repo), ("COVER", self.repo / "patches/cover-letter.txt"), ("Tree", lambda kernel: tree),
                            ("Series", lambda kernel: self.series()), ("KERNELS", {"6.12": "linux-source-6.12"})):
            patcher = mock.patch.object(series, name, value)
            patcher.start()
            self.addCleanup(patcher.stop)

    @staticmethod
    def run_quietly(function, *arguments):
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
            function(*arguments)
        return text.getvalue()

    def series(self):
        return sys.modules["kernel"].Series("6.12", self.repo)

    def put(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def text(self, name):
        return (self.top / name).read_text()

    def git(self, tree, *command):
        return subprocess.run(["git", "-C", self.top / tree, "-c", "user.name=x", "-c", "user.email=x@localhost", *command],
                              env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, check=True, stdout=subprocess.PIPE, text=True).stdout

    def make_git(self, tree):
        self.git(tree, "init", "-q")
        self.git(tree, "add", "-A")
        self.git(tree, "commit", "-qm", "base")

    def files(self, tree):
        return {path.relative_to(self.top / tree).as_posix(): path.read_text()
                for path in (self.top / tree).rglob("*") if path.is_file() and ".git" not in path.parts}

    def fails_with(self, function, *arguments, parts):
        with self.assertRaises(series.Error) as caught:
            self.run_quietly(function, *arguments)
        for part in parts:
            self.assertIn(part, str(caught.exception))


class Import(Sandbox):
    def test_plain_tree(self):
        self.assertIn("is Linux 6.12.117: patches/6.12", self.run_quietly(series.import_into, self.user))
        self.assertIn("line 9\nten\n", self.text("user/mm/memory.c"))
        self.assertEqual(self.text("user/mm/added.c"), self.text("repo/mm/added.c"))

    def test_twice(self):
        self.run_quietly(series.import_into, self.user)
        before = self.files("user")
        self.assertIn("nothing to do", self.run_quietly(series.import_into, self.user))
        self.assertEqual(self.files("user"), before)

    def test_git_tree(self):
        self.make_git("user")
        self.assertIn("Nothing is committed", self.run_quietly(series.import_into, self.user))
        self.git("user", "add", "-A")
        self.git("user", "commit", "-qm", "it")
        self.assertIn("nothing to do", self.run_quietly(series.import_into, self.user))

    def test_changes_of_the_user_are_not_touched(self):
        self.make_git("user")
        self.put("user/mm/memory.c", ORIGINAL + "mine\n")
        before = self.files("user")
        self.fails_with(series.import_into, self.user, parts=["mm/memory.c", "commit or stash"])
        self.assertEqual(self.files("user"), before)

    def test_failure_names_patch_and_hunk_and_changes_nothing(self):
        self.put("user/mm/Makefile", ORIGINAL.replace("line 10", "other"))
        before = self.files("user")
        self.fails_with(series.import_into, self.user, parts=["0002-mm-add.patch", "mm/Makefile", "Hunk #1 FAILED", "as it was"])
        self.assertEqual(self.files("user"), before)

    def test_other_version_of_the_series(self):
        self.run_quietly(series.import_into, self.user)
        self.put("user/mm/added.c", "older\n")
        before = self.files("user")
        self.fails_with(series.import_into, self.user, parts=["mm/added.c", "take the older one out"])
        self.assertEqual(self.files("user"), before)

    def test_other_version_of_linux(self):
        self.put("user/Makefile", MAKEFILE.replace("12", "18"))
        text = self.run_quietly(series.import_into, self.user)
        self.assertIn("WARNING: patches/6.12 is the nearest", text)
        self.assertIn("ten\n", self.text("user/mm/memory.c"))

    def test_series_of_choice(self):
        self.put("user/Makefile", MAKEFILE.replace("12", "18"))
        self.assertIn("WARNING: patches/6.12 is what you asked for", self.run_quietly(series.import_into, self.user, "6.12"))

    def test_no_hunk_goes_where_its_context_is_not(self):
        insertion = PATCH.format(subject="mm: add", file="mm/Makefile", line="x").replace("-line 10\n+x\n", "+added\n line 10\n")
        self.put("repo/patches/6.12/0002-mm-add.patch", insertion.replace("@@ -9,3 +9,3 @@", "@@ -9,3 +9,4 @@"))
        self.run_quietly(series.import_into, self.user)
        self.assertIn("line 9\nadded\nline 10\n", self.text("user/mm/Makefile"))
        self.put("user/mm/Makefile", ORIGINAL.replace("line 9", "other").replace("line 11", "another"))
        self.put("user/mm/memory.c", ORIGINAL)
        (self.user / "mm/added.c").unlink()
        (self.user / "include/trace/events/added.h").unlink()
        before = self.files("user")
        self.fails_with(series.import_into, self.user, parts=["0002-mm-add.patch", "mm/Makefile", "Hunk #1 FAILED"])
        self.assertEqual(self.files("user"), before)

    def test_missing_file_is_named(self):
        (self.user / "mm/Makefile").unlink()
        self.fails_with(series.import_into, self.user, parts=["0002-mm-add.patch", "mm/Makefile: it is not there"])

    def test_error_in_the_middle_leaves_the_tree_as_it_was(self):
        before = self.files("user")
        real = series.write

        def write(path, data):
            if path.name == "added.c":
                raise OSError(28, "No space left on device", str(path))
            real(path, data)

        with mock.patch.object(series, "write", write):
            self.fails_with(series.import_into, self.user, parts=["No space left on device", "as it was"])
        self.assertEqual(self.files("user"), before)

    def test_program_that_a_patch_adds_can_be_executed(self):
        self.put("repo/patches/6.12/0003-mm-script.patch", "Subject: [PATCH] mm: script\n\ndiff --git a/mm/run.sh b/mm/run.sh\n"
                 "new file mode 100755\n--- /dev/null\n+++ b/mm/run.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\n")
        self.run_quietly(series.import_into, self.user)
        self.assertTrue(os.access(self.user / "mm/run.sh", os.X_OK))
        self.put("user/mm/added.c", "older\n")
        self.fails_with(series.import_into, self.user, parts=["rm mm/added.c", "mm/run.sh"])

    def test_git_tree_of_which_it_is_a_part(self):
        for path in ("user/Makefile", "user/mm/memory.c"):
            self.put(f"outer/{path}", self.text(path))
        self.put("outer/user/mm/Makefile", ORIGINAL)
        self.make_git("outer")
        self.put("outer/user/mm/memory.c", ORIGINAL + "mine\n")
        self.fails_with(series.import_into, self.top / "outer/user", parts=["mm/memory.c", "commit or stash"])

    @unittest.skipUnless(os.geteuid() == 0, "only root makes files of another user")
    def test_git_tree_of_another_user(self):
        self.make_git("user")
        for path in (self.user, self.user / ".git"):
            os.chown(path, 65534, 65534)
        before = self.files("user")
        with mock.patch.dict(os.environ, {"GIT_CONFIG_GLOBAL": os.devnull}):
            self.fails_with(series.import_into, self.user, parts=["another user's", "safe.directory"])
        self.assertEqual(self.files("user"), before)

    def test_nearest(self):
        for version, kernel in (((6, 12, 3), "6.12"), ((6, 13, 0), "6.12"), ((6, 18, 0), "7.3"), ((7, 2, 0), "7.3"), ((7, 3, 0), "7.3"), ((8, 0, 0), "7.3"), ((5, 4, 0), "6.12")):
            self.assertEqual(series.nearest(version, ["7.3", "6.12"]), kernel, version)

    def test_no_kernel_tree(self):
        self.fails_with(series.import_into, self.repo, parts=["no kernel tree"])
        self.put("user/Makefile", "all:\n")
        self.fails_with(series.import_into, self.user, parts=["no kernel tree", "PATCHLEVEL"])


class Mail(Sandbox):
    def test_git_am_takes_it_and_gives_the_same_files(self):
        self.run_quietly(series.make_series, "6.12")
        self.make_git("user")
        self.git("user", "am", "-q", *sorted((self.repo / "build/series/6.12").glob("*.patch")))
        self.assertEqual(self.git("user", "log", "--format=%s"), "mm: add\nmm: change\nbase\n")
        self.assertEqual(self.git("user", "show", "--name-only", "--format=").split(),
                         ["include/trace/events/added.h", "mm/Makefile", "mm/added.c"])
        self.assertIn("nothing to do", self.run_quietly(series.import_into, self.user))

    def test_cover_letter(self):
        self.run_quietly(series.make_series, "6.12")
        letter = self.text("repo/build/series/6.12/cover-letter.txt")
        self.assertIn("Subject: [PATCH 0/2] mm: all of it\n", letter)
        self.assertIn("For 6.12:\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- all\n", letter)
        self.assertNotIn("***", letter)

    def test_nobody_signs_off(self):
        self.run_quietly(series.make_series, "6.12")
        for path in (self.repo / "build/series/6.12").iterdir():
            self.assertNotIn("Signed-off-by", path.read_text())

    def test_file_that_no_patch_brings_in(self):
        self.put("repo/mm/lonely.c", "\n")
        tree = series.Tree("6.12")
        tree.series = self.series()
        self.fails_with(series.make_series, "6.12", parts=["mm/lonely.c", "Makefile"])


class Edit(Sandbox):
    def setUp(self):
        super().setUp()
        self.run_quietly(series.make_tree, "6.12")

    def amend(self):
        self.put("repo/linux-6.12/mm/Makefile", self.text("repo/linux-6.12/mm/Makefile").replace("line 20", "last"))
        self.git("repo/linux-6.12", "commit", "-qa", "--amend", "--no-edit")

    def test_new_files_are_those_of_the_checkout(self):
        self.put("repo/linux-6.12/mm/added.c", "edited\n")
        self.assertEqual(self.text("repo/mm/added.c"), "edited\n")
        self.assertEqual(self.git("repo/linux-6.12", "status", "--porcelain"), "")

    def test_export_is_stable(self):
        self.run_quietly(series.export, "6.12")
        first = self.files("repo/patches")
        self.assertIn("is what linux-6.12 has", self.run_quietly(series.export, "6.12"))
        self.assertEqual(self.files("repo/patches"), first)

    def test_edited_patch_is_written(self):
        self.run_quietly(series.export, "6.12")
        self.amend()
        self.assertEqual(self.run_quietly(series.export, "6.12"), "patches/6.12/0002-mm-add.patch\n")
        self.assertIn("+last\n", self.text("repo/patches/6.12/0002-mm-add.patch"))

    def test_renamed_patch_replaces_the_old_one(self):
        self.git("repo/linux-6.12", "commit", "-q", "--amend", "-m", "mm: other")
        self.run_quietly(series.export, "6.12")
        self.assertEqual(sorted(path.name for path in (self.repo / "patches/6.12").iterdir()),
                         ["0001-mm-change.patch", "0002-mm-other.patch", "figures.md", "tested.txt"])

    def test_nothing_is_lost(self):
        self.fails_with(series.make_tree, "6.12", parts=["linux-6.12 is there already", "make export"])
        self.put("repo/linux-6.12/mm/memory.c", "edited\n")
        before = self.files("repo/patches")
        self.fails_with(series.export, "6.12", parts=["in no commit", "mm/memory.c"])
        self.assertEqual(self.files("repo/patches"), before)

    def test_commits_after_a_detached_head_are_not_lost(self):
        self.git("repo/linux-6.12", "checkout", "-q", "HEAD~1")
        before = self.files("repo/patches")
        self.fails_with(series.export, "6.12", parts=["HEAD", "git checkout"])
        self.assertEqual(self.files("repo/patches"), before)

    def test_changes_of_others_are_not_undone(self):
        self.put("repo/patches/6.12/0001-mm-change.patch", PATCH.format(subject="mm: change", file="mm/memory.c", line="TEN"))
        before = self.files("repo/patches")
        self.fails_with(series.export, "6.12", parts=["patches/6.12 has changed since", "format-patch base"])
        self.assertEqual(self.files("repo/patches"), before)

    def test_link_that_an_editor_replaced(self):
        link = self.repo / "linux-6.12/mm/added.c"
        link.unlink()
        self.put("repo/linux-6.12/mm/added.c", "edited\n")
        self.fails_with(series.export, "6.12", parts=["mv linux-6.12/mm/added.c mm/added.c"])
        link.rename(self.repo / "mm/added.c")
        self.run_quietly(series.export, "6.12")
        self.assertTrue(link.is_symlink())
        self.assertEqual(link.read_text(), "edited\n")

    def test_export_without_tree(self):
        (self.repo / "linux-6.12").rename(self.top / "elsewhere")
        self.fails_with(series.export, "6.12", parts=["make tree"])
