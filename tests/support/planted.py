"""Contenders that fail in known ways, in a file as a user would write one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from convkernels import discovery, registry

# name → (status, words of the reason)
FAILURES = {
    "planted-wrong": ("wrong", "relative L2 error"),
    "planted-pixel": ("wrong", "relative L2 error"),
    "planted-nan": ("wrong", "1 of 256 outputs are not finite"),
    "planted-shape": ("wrong", "shape (15, 16); expected (16, 16)"),
    "planted-dtype": ("wrong", "dtype float64; expected float32"),
    "planted-list": ("error", "AttributeError"),
    "planted-raises": ("error", "ValueError: first line"),
    "planted-memory": ("oom", "MemoryError: no message"),
    "planted-allocation": ("oom", "Unable to allocate"),
    "planted-refuses": ("unsupported", "odd kernels are dull"),
    "planted-load": ("unsupported", "full rank"),
    "planted-run": ("unsupported", "not today"),
    "planted-plan": ("error", "KeyError: 'planned'"),
    "planted-kept": ("wrong", "after timing: 256 of 256 outputs are not finite"),
    "planted-copied": ("wrong", "after timing: relative L2 error"),
    "planted-in-place": ("wrong", "after timing: it modified its input image"),
    "planted-accumulates": ("wrong", "after timing"),
    "planted-spoils-image": ("wrong", "after timing: it modified its input image"),
    "planted-spoils-kernel": ("wrong", "after timing: it modified its input kernel"),
    "planted-thread": ("wrong", "after timing: relative L2 error"),
    "planted-later": ("error", "RuntimeError: the sixth run"),
    "planted-reload": ("error", "RuntimeError: the third load"),
    "planted-ask": ("error", "ZeroDivisionError"),
    "planted-cost": ("error", "TypeError"),
    "planted-workspace": ("error", "cost's workspace is nan; allowed"),
    "planted-hungry": ("oom", "GiB are free"),
    "planted-bound": ("error", "RuntimeError: no bound"),
    "planted-provenance": ("error", "not JSON serializable"),
    "planted-provenance-nan": ("error", "not JSON compliant"),
}

SOURCE = """
import math
import threading
import numpy as np
from scipy import signal
from convkernels import Cost, UnsupportedProblem, algorithm

ABOUT = dict(family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")


def right(x, w, problem):
    function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
    return function(x, w, mode=problem.mode)


def plant(name):
    return algorithm(name="planted-" + name, **ABOUT)


@plant("right")
def planted(x, w, problem):
    return right(x, w, problem)


class Right:
    runs = loads = 0

    def load(self, b):
        self.b = b
        self.loads += 1

    def run(self, a):
        self.runs += 1
        return right(a, self.b, self.problem)


@plant("wrong")
class Wrong(Right):
    def run(self, a):
        return super().run(a) * np.float32(1.01)


@plant("pixel")
class Pixel(Right):
    def run(self, a):
        y = super().run(a)
        y[2, 3] += 1e-3
        return y


@plant("nan")
class NaN(Right):
    def run(self, a):
        y = super().run(a)
        y[-1, -1] = math.nan
        return y


@plant("shape")
class Shape(Right):
    def run(self, a):
        return super().run(a)[:-1]


@plant("dtype")
class DType(Right):
    def run(self, a):
        return super().run(a).astype(np.float64)


@plant("list")
class List(Right):
    def run(self, a):
        return super().run(a).tolist()


@plant("raises")
class Raises(Right):
    def run(self, a):
        raise ValueError("first line\\nsecond line")


@plant("memory")
class Memory(Right):
    def run(self, a):
        raise MemoryError


@plant("allocation")
class Allocation(Right):
    def run(self, a):
        return np.empty((1 << 50, 8))


@plant("refuses")
class Refuses(Right):
    @staticmethod
    def refuses(problem, namespace, device):
        return "odd kernels are dull"


@plant("load")
class Load(Right):
    def load(self, b):
        raise UnsupportedProblem("full rank")


@plant("run")
class Run(Right):
    def run(self, a):
        raise UnsupportedProblem("not today")


@plant("plan")
class Plan(Right):
    def plan(self, problem, xp, device):
        raise KeyError("planned")


@plant("kept")
class Kept(Right):
    y = None

    def run(self, a):
        if self.y is None:
            self.y = super().run(a)
        return self.y


@plant("copied")
class Copied(Kept):
    def run(self, a):
        return super().run(a).copy()


@plant("in-place")
class InPlace(Right):
    def run(self, a):
        a[...] = super().run(a) if self.runs == 0 else a
        return a


@plant("accumulates")
class Accumulates(Right):
    y = np.float32(0)

    def run(self, a):
        self.y = self.y + super().run(a)
        return self.y


@plant("spoils-image")
class SpoilsImage(Right):
    def run(self, a):
        y = super().run(a)
        if self.runs > 2:
            a[0, 0] *= np.float32(1 + 1e-6)  # too little to be wrong
        return y


@plant("spoils-kernel")
class SpoilsKernel(Right):
    def load(self, b):
        super().load(b.copy())
        b[0, 0] = 0


@plant("thread")
class Thread(Right):
    # from the third run on it returns before a thread of its has done the work, by more than a
    # busy machine keeps its caller waiting
    def run(self, a):
        y = super().run(a)
        if self.runs > 2:
            done, y = y, np.zeros_like(y)
            threading.Timer(0.1, lambda: np.copyto(y, done)).start()
        return y


@plant("later")
class Later(Right):
    def run(self, a):
        if self.runs == 5:
            raise RuntimeError("the sixth run")
        return super().run(a)


@plant("reload")
class Reload(Right):
    def load(self, b):
        super().load(b)
        if self.loads == 3:
            raise RuntimeError("the third load")


@plant("ask")
class Ask(Right):
    @staticmethod
    def refuses(problem, namespace, device):
        return str(1 // 0)


@plant("cost")
class CostRaises(Right):
    @staticmethod
    def cost(problem):
        return Cost()


@plant("workspace")
class Workspace(Right):
    @staticmethod
    def cost(problem):
        return Cost(1.0, 1.0, math.nan)


@plant("hungry")
class Hungry(Right):
    @staticmethod
    def cost(problem):
        return Cost(1.0, 1.0, 1e17)


@plant("bound")
class Bound(Right):
    @staticmethod
    def error_bound(problem):
        raise RuntimeError("no bound")


@plant("provenance")
class Provenance(Right):
    def provenance(self):
        return {"engine": object()}


@plant("provenance-nan")
class ProvenanceNaN(Right):
    def provenance(self):
        return {"score": math.nan}
"""


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Whatever the block registers is forgotten after it."""
    discovery.algorithms()
    before, loaded = dict(registry.registered), set(sys.modules)
    try:
        yield
    finally:
        registry.registered.clear()
        registry.registered.update(before)
        for name in set(sys.modules) - loaded:
            if name.startswith("convkernels_user_"):  # else loading it again would do nothing
                del sys.modules[name]


def plant(folder: Path, source: str = SOURCE) -> str:
    """The path of a file in the folder, for ``--algorithms``."""
    path = folder / "planted.py"
    path.write_text(source)
    return str(path)


def slow(cost: str, sleep: float) -> str:
    """A contender "slow" that declares this cost in FLOP and sleeps so long in a run."""
    return f"""
import time
from convkernels import Cost, algorithm
from scipy import signal
IMAGES = []

@algorithm(name="slow", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
class Slow:
    @staticmethod
    def cost(problem):
        return Cost({cost}, problem.min_bytes)

    def run(self, a):
        IMAGES.append(a.shape)
        time.sleep({sleep})
        return signal.convolve2d(a, self.b, mode="same")
"""


def images_of(path: str) -> list[tuple[int, ...]]:
    """Shapes of the images that the contender of ``slow`` has run on."""
    [module] = [one for one in sys.modules.values() if getattr(one, "__file__", None) == path]
    return list(module.IMAGES)
