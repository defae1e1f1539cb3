"""Contenders that take their process down with them, or try to, in a file as a user would write
one. What they do to a process they do in a worker's only: elsewhere they raise."""

from __future__ import annotations

from pathlib import Path

# name → (status, words of the reason)
FAILURES = {
    # a process lost
    "crashing-segfault": ("error", "killed by SIGSEGV in its preparation"),
    "crashing-abort": ("error", "killed by SIGABRT in its preparation"),
    "crashing-exit": ("error", "ended with exit code 3"),
    "crashing-exit-0": ("error", "ended with exit code 0"),
    "crashing-kill": ("error", "killed by SIGKILL in its preparation"),
    "crashing-closes-all": ("error", "in its preparation"),
    "crashing-babbles": ("error", "wrote into the pipe to its parent"),
    # what Python means to pass every handler
    "crashing-sys-exit": ("error", "SystemExit: 4"),
    "crashing-interrupt": ("error", "KeyboardInterrupt: no message"),
    # a process that does not come back
    "crashing-loop": ("timeout", "hung: a call in its preparation did not return within"),
    "crashing-holds": ("timeout", "hung: a call in its preparation did not return within"),
    "crashing-deaf": ("timeout", "hung: a call in its preparation did not return within"),
    "crashing-stops": ("timeout", "hung: a call in its preparation did not return within"),
    # memory
    "crashing-100-gib": ("oom", "Unable to allocate 100. GiB"),
    "crashing-hoards": ("oom", "MemoryError"),
    "crashing-ruins": ("error", "ValueError: ruined"),
    # exceptions that are hard to tell of
    "crashing-payload": ("error", "ValueError: (<function"),
    "crashing-unspeakable": ("error", "Unspeakable: no message"),
    "crashing-endless-message": ("error", "ValueError: xxxx"),
    # what goes on when it has returned
    "crashing-leaves-thread": ("error", "it left a thread running"),
    # at every moment
    "crashing-refuses": ("error", "killed by SIGSEGV in its answers"),
    "crashing-plan": ("error", "killed by SIGSEGV in its preparation"),
    "crashing-load": ("error", "killed by SIGSEGV in its preparation"),
    "crashing-sixth": ("error", "killed by SIGSEGV in its"),
    "crashing-fresh": ("error", "killed by SIGSEGV in its timed loads"),
    "crashing-again": ("error", "killed by SIGSEGV in its last run"),
}

# What a worker outlives, and its other contenders too.
HARMLESS = (
    "crashing-shouts",
    "crashing-shouts-in-c",
    "crashing-garbage",
    "crashing-closes-output",
    "crashing-reads-input",
    "crashing-leaves-child",
    "crashing-leaves-daemon",
    "crashing-deletes-folder",
    "crashing-changes-folder",
)

# Beside the file: that a contender is at it, and the process that one left running.
AT_IT, LEFT = "at.it", "left.pid"

SOURCE = """
import ctypes
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from scipy import signal as scipy_signal
from convkernels import algorithm

ABOUT = dict(family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
AT_IT, LEFT = (Path(__file__).with_name(name) for name in ("at.it", "left.pid"))
GIB = 1 << 30


class Right:
    def plan(self, problem, xp, device):
        self.problem, self.loads, self.runs = problem, 0, 0
        self.at("plan")

    def load(self, b):
        self.b, self.loads = b, self.loads + 1
        self.at({1: "load", 3: "fresh"}.get(self.loads))

    def run(self, a):
        self.runs += 1
        self.at({1: "run", 6: "sixth"}.get(self.runs))
        if self.runs == 1:
            self.corner = float(a[0, 0])
        elif a[0, 0] == -self.corner:
            self.at("again")
        op = self.problem.op
        function = scipy_signal.convolve2d if op == "convolution" else scipy_signal.correlate2d
        return function(a, self.b, mode=self.problem.mode)

    def at(self, moment):
        if moment == self.moment:
            if "CONVCROSS_WORKER" not in os.environ:
                raise RuntimeError("this is no worker")
            AT_IT.touch()
            self.act()


def plant(name, moment="run"):
    def register(act):
        algorithm(name="crashing-" + name, **ABOUT)(
            type("Planted", (Right,), {"moment": moment, "act": staticmethod(act)})
        )
        return act

    return register


@plant("sixth", "sixth")
@plant("fresh", "fresh")
@plant("again", "again")
@plant("load", "load")
@plant("plan", "plan")
@plant("segfault")
def segfault():
    print("the last words")
    ctypes.string_at(0)


@plant("abort")
def abort():
    os.abort()


@plant("exit")
def exit_3():
    os._exit(3)


@plant("exit-0")
def exit_0():
    os._exit(0)


@plant("kill")
def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@plant("closes-all")
def closes_all():
    os.closerange(0, 1024)


@plant("babbles")
def babbles():
    for descriptor in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"babble\\n")
        except OSError:
            pass


@plant("sys-exit")
def sys_exit():
    sys.exit(4)


@plant("interrupt")
def interrupt():
    raise KeyboardInterrupt


@plant("loop")
def loop():
    while True:
        pass


@plant("holds")
def holds_the_gil():
    ctypes.PyDLL(None).pause()


@plant("deaf")
def deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
    while True:
        time.sleep(1)


@plant("stops")
def stops():
    os.kill(os.getpid(), signal.SIGSTOP)


def hoard(take):
    # 64 MiB at a time, up to 100 GiB, but never more than half of what was free
    held, enough = [], psutil.virtual_memory().available / 2
    while len(held) < 1600:
        if psutil.virtual_memory().available < enough:
            raise RuntimeError("the guard did not hold")
        held.append(take(GIB // 16))


@plant("100-gib")
def allocates():
    np.ones(100 * GIB, np.uint8)


@plant("hoards")
def hoards():
    hoard(lambda size: np.ones(size, np.uint8))


@plant("hoards-shared")
def hoards_shared():
    def take(size):
        shared = mmap.mmap(-1, size)
        shared.write(b"1" * size)
        return shared

    hoard(take)


@plant("hoards-in-child")
def hoards_in_child():
    if os.fork() == 0:
        hoards_shared()
    time.sleep(60)


@plant("payload")
def payload():
    raise ValueError(lambda: None, threading.Lock(), sys.stdout)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


@plant("unspeakable")
def unspeakable():
    raise Unspeakable


@plant("endless-message")
def endless_message():
    raise ValueError("x" * 10**7)


@algorithm(name="crashing-refuses", **ABOUT)
class Refuses(Right):
    moment, act = "refuses", staticmethod(segfault)

    @staticmethod
    def refuses(problem, namespace, device):
        Refuses().at("refuses")


# ---- what does no harm to others -----------------------------------------------------------------

MANY = 100_000_000  # bytes


@plant("shouts")
def shouts():
    line = "x" * 999
    for _ in range(MANY // 1000):
        print(line)


@plant("shouts-in-c")
def shouts_in_c():
    for descriptor in (1, 2):
        left = MANY // 2
        while left > 0:
            left -= os.write(descriptor, b"x" * 65536)


@plant("garbage")
def garbage():
    for stream in (sys.stdout, sys.stderr):
        os.write(stream.fileno(), bytes(range(256)) + b'\\n{"records": []}\\n\\x1b[2J')


@plant("closes-output")
def closes_output():
    os.closerange(0, 3)


@plant("reads-input")
def reads_input():
    sys.stdin.read()
    os.read(0, 100)


def spin():
    while True:
        pass


@plant("leaves-thread")
def leaves_thread():
    threading.Thread(target=spin, daemon=False).start()


@plant("forks")
def forks():
    # both go on, the copy half a second later
    if os.fork() == 0:
        time.sleep(0.5)


@plant("leaves-child")
def leaves_child():
    LEFT.write_text(str(subprocess.Popen(["sleep", "3600"], start_new_session=True).pid))


@plant("leaves-daemon")
def leaves_daemon():
    # its parent is gone when the worker looks for its children
    subprocess.run(["sh", "-c", f"setsid sleep 3600 & echo $! > '{LEFT}'"], check=True)


@plant("deletes-folder")
def deletes_folder():
    folder = Path(os.environ["TMPDIR"]).resolve()  # the worker's own
    if Path(tempfile.gettempdir()).resolve() != folder or "convcross" not in folder.name:
        raise RuntimeError(f"{folder} is not the worker's own")
    shutil.rmtree(folder)


@plant("ruins")
def ruins():
    deletes_folder()
    closes_output()
    raise ValueError("ruined")


@plant("changes-folder")
def changes_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


# ---- who is not to blame, or only this once ------------------------------------------------------


@plant("sleeps")
def sleeps():
    time.sleep(0.5)


@plant("fluke")
def fluke():
    crashed = Path(__file__).with_name("crashed")
    if not crashed.exists():
        crashed.touch()
        segfault()


@plant("poisons")
def poisons():
    # as corrupted memory does: it is another one that dies of it
    from convkernels.algorithms.fft.fft import FFT

    FFT.run = lambda self, a: ctypes.string_at(0)
"""

IMPORTED = """
import ctypes
import os

if "CONVCROSS_WORKER" in os.environ:
    ctypes.string_at(0)
"""


def crashing(folder: Path) -> str:
    """The path of the file in the folder, for ``--algorithms``."""
    path = folder / "crashing.py"
    path.write_text(SOURCE)
    return str(path)
