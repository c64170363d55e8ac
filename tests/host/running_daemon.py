# SPDX-License-Identifier: GPL-2.0
"""Runs ptreclaim daemon in the place of its service manager."""

import os
import re
import select
import signal
import socket
import subprocess
import time

HANG = 100      # s


def parse_metrics(text):
    """{name with labels: value}; an error if Prometheus would not take it."""
    found, kinds = {}, {}
    for line in text.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            assert words[2] not in kinds and words[3].strip(), line
            kinds[words[2]] = None
        elif words[:2] == ["#", "TYPE"]:
            assert kinds[words[2]] is None and words[3] in ("counter", "gauge"), line
            assert words[2].endswith("_total") == (words[3] == "counter"), line
            kinds[words[2]] = words[3]
        else:
            match = re.fullmatch(r'((\w+)(?:\{\w+="\w+"\})?) ([0-9.]+)', line)
            assert match and kinds[match[2]] and match[1] not in found, line
            found[match[1]] = float(match[3])
    assert text.endswith("\n")
    return found


class Daemon:
    """One that runs, and what it tells its service manager."""

    def __init__(self, folder, *words, env=None, stderr=subprocess.PIPE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        os.chmod(folder / "notify", 0o666)
        self.process = subprocess.Popen([*words], stdin=subprocess.DEVNULL, stderr=stderr, text=True,
                                        env={"LC_ALL": "C.UTF-8", "NOTIFY_SOCKET": str(folder / "notify"), **(env or {})})
        self.pidfd = os.pidfd_open(self.process.pid)
        self.result = None

    def wait_for(self, text, *ends):
        """All messages up to the one that has the text in it. An error if it, or one of these pidfds, ends before."""
        seen = []
        while not seen or text not in seen[-1]:
            ready = select.select([self.socket, self.pidfd, *ends], [], [], HANG)[0]
            if self.socket not in ready:
                why = self.end() if self.pidfd in ready else "too late" if ready else "it hangs"
                raise AssertionError(f"{text} has not come, only {seen}: {why}")
            seen.append(self.socket.recv(4096).decode())
        return seen

    def send(self, number, then):
        self.process.send_signal(number)
        return self.wait_for(then)

    def make_pass(self):
        self.send(signal.SIGUSR1, "STATUS=")

    def last_words(self):
        """What it said. It may wait for room for a message; if it does not end at all it is killed, which its status tells."""
        give_up = time.monotonic() + HANG
        while True:
            try:
                return self.process.communicate(timeout=0.1)[1]
            except subprocess.TimeoutExpired:
                while select.select([self.socket], [], [], 0)[0]:
                    self.socket.recv(4096)
                if time.monotonic() > give_up:
                    self.process.kill()

    def end(self):
        """(exit status, what it said)"""
        if not self.result:
            if self.process.poll() is None:
                self.process.terminate()
            said = self.last_words()
            self.result = (self.process.returncode, said)
            os.close(self.pidfd)
            self.socket.close()
        return self.result
