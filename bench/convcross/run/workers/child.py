"""A child process that measures duels, watched: what became of it, and whose code it was in."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import psutil

from convcross.machine import memory
from convcross.measure.process import progress_page
from convcross.results.schema import DuelResult
from convcross.text import one_line

if TYPE_CHECKING:  # it loads NumPy, which who only watches does not need
    from convcross.sweeps.duels import Duel

MARK = "CONVCROSS_WORKER"  # in the environment of the child and of all that it starts
POLL = 0.2  # seconds between two looks at a child
DYING = 5.0  # seconds for a process that has closed its pipes: much memory is given back slowly
OWN = 600.0  # seconds for what no contender does: drawing data, the reference
SCARCE = 0.03  # of the machine's memory: less is not left to a child that has most of it
TAIL = 1 << 15  # bytes of its output that are kept
SHOWN = 300  # characters of it in a reason
FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)  # as faulthandler has it


class Stopped(Exception):
    """The child was killed while it measured, as asked."""


@dataclass(frozen=True)
class Lost:
    """A child that did not answer.

    Attributes
    ----------
    contender : whose code it was in, None for nobody's
    status, reason : what became of it, as a record has them
    certain : it is that contender's doing; else another's, or a stranger's, may have reached it
    """

    contender: str | None
    status: Literal["error", "timeout", "oom"]
    reason: str
    certain: bool


class Child:
    """Measures one duel at a time. Used by one thread, but ``kill``.

    Parameters
    ----------
    environment : variables beside those of this process
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._mark, self._killed = uuid.uuid4().hex, threading.Event()
        self._duel: Duel | None = None  # that it measures
        self._output, self._largest = bytearray(), 0
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="convcross-", ignore_cleanup_errors=True)
            )
            page = _memory(stack)
            self._page = stack.enter_context(mmap.mmap(page, progress_page.PAGE.size))
            progress_page.clear(self._page)
            requests, self._requests = _pipe(stack)
            self._answers, answers = _pipe(stack)
            parent, self._lifeline = _pipe(stack)
            self._printed, printed = _pipe(stack)
            theirs = (requests, answers, parent, printed)
            numbers = [requests.fileno(), answers.fileno(), page, parent.fileno()]
            start = (
                f"import sys; sys.path[:] = {sys.path!r}; "
                "from convcross.run.workers import child_main; child_main.main()"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", start, *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env={**os.environ, **environment, "TMPDIR": folder, MARK: self._mark},
                pass_fds=numbers,
                start_new_session=True,  # Ctrl-C is for the parent
            )
            stack.callback(self._end)
            for end in theirs:
                end.close()
            for end in (self._answers, self._printed):
                os.set_blocking(end.fileno(), False)
            self._open = stack.pop_all()

    def ask(self, duel: Duel) -> DuelResult | Lost:
        """What ``measure.duel.measure`` returns, or how the child was lost.

        Raises Stopped where ``kill`` ended it.
        """
        self._output.clear()
        progress_page.clear(self._page)  # it has been idle since its last duel
        with contextlib.suppress(OSError):  # it has died since: the answer will tell
            content = memoryview(duel.model_dump_json().encode() + b"\n")
            while content:
                content = content[self._requests.write(content) :]
        self._duel = duel
        try:
            answer, cut = self._wait(duel)
        finally:
            self._duel = None
        if self._killed.is_set():
            raise Stopped
        if cut is not None:
            return cut
        if answer is None:
            return self._died(duel)
        if "result" in answer:
            result: DuelResult = answer["result"]
            return result
        if "corrupted" in answer:
            return Lost(answer["corrupted"], "error", answer["reason"], certain=True)
        return Lost(
            None, "error", self._with_output(f"measuring failed: {answer['raised']}"), certain=True
        )

    def at_work(self) -> str | None:
        """What it is at, in words; None between two duels."""
        duel = self._duel
        if duel is None:
            return None
        with contextlib.suppress(ValueError):  # the page is closed just now
            seen = progress_page.read(self._page)
            where = duel.id.rpartition("-")[0]
            if seen.contender is None:
                return f"{where}: data, the reference"
            place = f"{seen.contender + 1} of {len(duel.contenders)}"
            return f"{where}: {duel.contenders[seen.contender]} ({place}), {seen.step}"
        return None

    def _wait(self, duel: Duel) -> tuple[dict[str, Any] | None, Lost | None]:
        """Its answer, None where it ended without; and why it has to be ended, if so."""
        limit = duel.limits.cell_seconds
        content, late = b"", 0.0
        quiet = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._printed, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(POLL):
                    part = os.read(key.fd, 1 << 16)
                    if key.fileobj is self._printed:
                        self._output = (self._output + part)[-TAIL:]
                        if not part:
                            selector.unregister(self._printed)
                    elif not part:
                        return None, None
                    else:
                        content += part
                        if content.endswith(b"\n"):
                            return self._understood(duel, content)
                if (now := time.monotonic()) - quiet < POLL:
                    continue
                quiet = now
                if self._process.poll() is not None and not content:
                    return None, None
                seen = progress_page.read(self._page)
                if self._takes_all():
                    name = _name(duel, seen)
                    return None, Lost(name, "oom", self._took(seen), certain=name is not None)
                if late and seen.seconds > late:  # twice: it may be read while it is written
                    return None, self._hung(duel, seen, limit)
                most = OWN if seen.contender is None else limit
                late = most if seen.seconds > most else 0.0

    def _understood(self, duel: Duel, content: bytes) -> tuple[dict[str, Any] | None, Lost | None]:
        """The answer, unless a contender has written into its pipe."""
        with contextlib.suppress(ValueError):
            answer = json.loads(content)
            if isinstance(answer, dict) and answer.keys() & {"result", "corrupted", "raised"}:
                if "result" in answer:
                    answer["result"] = DuelResult.model_validate(answer["result"])
                return answer, None
        reason = self._with_output("wrote into the pipe to its parent")
        return None, Lost(
            _name(duel, progress_page.read(self._page)), "error", reason, certain=False
        )

    def _hung(self, duel: Duel, seen: progress_page.Seen, limit: float) -> Lost:
        reason = f"hung: a call in its {seen.step} did not return within {limit:g} s"
        if seen.contender is None:
            reason = f"hung: nothing was measured for {OWN:g} s"
        return Lost(_name(duel, seen), "timeout", self._with_output(reason), certain=True)

    def _takes_all(self) -> bool:
        machine = psutil.virtual_memory()
        scarce = machine.available < SCARCE * machine.total
        with contextlib.suppress(psutil.Error):
            child = psutil.Process(self._process.pid)
            held = child.memory_info().rss
            if scarce:  # else it is not worth the time to find what it has started
                held += sum(process.memory_info().rss for process in child.children(recursive=True))
            self._largest = max(self._largest, held)
            return scarce and held > machine.total / 2
        return False

    def _took(self, seen: progress_page.Seen) -> str:
        where = "" if seen.contender is None else f" in its {seen.step}"
        return f"held {self._largest / 2**30:.1f} GiB{where}: nearly all of the memory"

    def _died(self, duel: Duel) -> Lost:
        how = "closed the pipe to its parent"
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(DYING)
            how = f"killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        seen = progress_page.read(self._page)
        status: Literal["error", "oom"] = "error"
        if how == "killed by SIGKILL" and self._largest > memory.limit() / 2:
            how += f", as where memory runs out: it held {self._largest / 2**30:.1f} GiB"
            status = "oom"
        where = " between two contenders" if seen.contender is None else f" in its {seen.step}"
        return Lost(_name(duel, seen), status, self._with_output(how + where), certain=False)

    def _with_output(self, reason: str) -> str:
        """The reason and the last lines of the output; of a crash, where Python was."""
        with contextlib.suppress(OSError):
            while part := os.read(self._printed.fileno(), 1 << 16):
                self._output = (self._output + part)[-TAIL:]
        lines = self._output.decode(errors="replace").splitlines()
        crash = next((n for n, text in enumerate(lines) if text.startswith("Fatal Python")), None)
        frames = FRAME.findall("\n".join(lines[crash or 0 :]))
        last = [text for text in lines[:crash] if text.strip()][-3:]
        # File names alone: a record tells nobody's folders.
        where = ", ".join(f"{Path(file).name}:{line} in {name}" for file, line, name in frames[:2])
        parts = ([f"at {where}"] if crash is not None and where else []) + (
            [f"last output: {one_line(' | '.join(last), SHOWN)}"] if last else []
        )
        return "; ".join([reason, *parts])

    def kill(self) -> None:
        """End what it measures, at once; from any thread."""
        self._killed.set()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and whatever it or its contenders have started."""
        self._open.close()

    def _end(self) -> None:
        """End it and all that it started, and wait until they are gone: the next launch is not to
        find what they held of a card."""
        begun = self._marked()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for process in (left := self._marked()):
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs({*begun, *left}, timeout=DYING)

    def _marked(self) -> list[psutil.Process]:
        """What it has started, also in a session of its own, and without a parent any more."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.pid != self._process.pid:
                    found.append(process)
        return found


def _name(duel: Duel, seen: progress_page.Seen) -> str | None:
    return None if seen.contender is None else duel.contenders[seen.contender]


def _memory(stack: contextlib.ExitStack) -> int:
    """The number of a file in memory, of the page's size: one on a disk is written back to it."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("convcross")
        stack.callback(os.close, number)
    else:
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        number = file.fileno()
    os.truncate(number, progress_page.PAGE.size)
    return number


def _pipe(stack: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Its ends to read from and to write to, closed with the stack."""
    reading, writing = os.pipe()
    ends = os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)
    for end in ends:
        stack.callback(end.close)
    return ends


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"
