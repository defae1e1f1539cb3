"""A CUDA device that does nothing but keep the order and the time of what it is given."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from convkernels.cuda import kernel as cuda

L2 = 50 << 20
LATENCY = 5_000  # ns that a launch takes the host
STREAM = 0x5EED


class Device:
    """A stand-in for CuPy and a GPU of one stream.

    A launch takes the host LATENCY. Work runs as soon as it is queued, or once the hold before it
    is released: the word is looked at whenever the host launches or waits. Who waits for a hold
    that nobody released waits until it gives up.
    """

    def __init__(self) -> None:
        self.host = self.now = 1_000_000_000  # ns
        self.queued: list[str] = []
        self.done: list[str] = []
        self.waiting: list[tuple[str, Callable[[], None]]] = []
        self.closed: tuple[ctypes.c_uint64, ctypes.c_uint64, int, int] | None = None
        self.streams: list[int] = []
        self.flushed: list[int] = []
        self.hz = 1.755e9
        self.ticks = 32  # ns, of the timer
        self.sms: list[list[int]] = [[0, 1, 2, 5], [0, 1, 2, 5]]  # that a stamp meets, in turn
        self.sides = itertools.cycle([0, 1])

    def put(self, name: str, action: Callable[[], None]) -> None:
        self.host += LATENCY
        self.queued.append(name)
        self.waiting.append((name, action))
        self.pump()

    def pump(self) -> None:
        if self.closed and self.closed[0].value < self.closed[2]:
            return
        self.closed = None
        self.now = max(self.now, self.host)
        while self.waiting and not self.closed:
            name, action = self.waiting.pop(0)
            action()
            self.done.append(name)

    def synchronize(self) -> None:
        self.pump()
        if self.closed:
            _, gave_up, ticket, limit = self.closed
            gave_up.value, self.closed = ticket, None
            self.now += limit
            self.pump()
        self.host = max(self.host, self.now)

    def work(self, ns: int, name: str = "step") -> None:
        def action() -> None:
            self.now += ns

        self.put(name, action)

    def launcher(self, kernel: cuda.Kernel, device: str) -> Callable[..., None]:
        assert device == "cuda:0"
        return {"hold": self.hold, "stamp": self.stamp, "tick": self.tick}[kernel.name]

    def hold(self, grid: Any, block: Any, arguments: Any) -> None:
        assert grid == block == (1,)
        released, gave_up, ticket, limit = map(int, arguments)
        words = (ctypes.c_uint64.from_address(word) for word in (released, gave_up))

        def action() -> None:
            first, second = words
            if first.value < ticket:
                self.closed = first, second, ticket, limit

        self.put("hold", action)

    def stamp(self, grid: Any, block: Any, arguments: Any) -> None:
        address, count = map(int, arguments)

        def action() -> None:
            rows = (ctypes.c_uint64 * (2 * count)).from_address(address)
            for sm in self.sms[next(self.sides)]:
                rows[2 * sm] = round(self.now * self.hz / 1e9) + 10**12 * (sm + 1)
                rows[2 * sm + 1] = self.now // self.ticks * self.ticks

        self.put("stamp", action)

    def tick(self, grid: Any, block: Any, arguments: Any) -> None:
        ctypes.c_uint64.from_address(int(arguments[0])).value = self.ticks

    def cupy(self) -> SimpleNamespace:
        """As much of CuPy as the stopwatch uses."""
        device = self

        class Card(contextlib.nullcontext[Any]):
            attributes = {"L2CacheSize": L2, "MultiProcessorCount": 4}  # noqa: RUF012

            def __init__(self, index: int) -> None:
                assert index == 0
                super().__init__(self)

            def synchronize(self) -> None:
                device.synchronize()

        class Stream(contextlib.nullcontext[Any]):
            def __init__(self, pointer: int) -> None:
                super().__init__(self)
                device.streams.append(pointer)

            @classmethod
            def from_external(cls, theirs: Any) -> Stream:
                version, pointer = theirs.__cuda_stream__()
                assert version == 0
                return cls(pointer)

            def synchronize(self) -> None:
                device.synchronize()

        class Event:
            ns = math.nan

            def record(self, stream: Stream) -> None:
                def action() -> None:
                    self.ns = device.now

                device.put("event", action)

        class Memory:
            def memset_async(self, value: int, size: int) -> None:
                device.flushed.append(size)
                device.work(40_000, "flush")

        def pinned(size: int) -> Any:
            return (ctypes.c_char * size)(*b"\xff" * size)

        return SimpleNamespace(
            cuda=SimpleNamespace(
                Device=Card,
                Stream=Stream,
                Event=Event,
                alloc=lambda size: Memory(),
                alloc_pinned_memory=pinned,
                get_current_stream=lambda: Stream(0),
                get_elapsed_time=lambda begin, end: (end.ns - begin.ns) * 1e-6,
            )
        )
