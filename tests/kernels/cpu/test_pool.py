"""Work shared among threads of our own: by many callers at once, and in a forked child."""

from __future__ import annotations

import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from convkernels import Problem
from convkernels.cpu import operands, pool
from convkernels.discovery import find
from convkernels.toolbox import threads

NAMES = ("numba-direct", "numba-overlap-save", "numba-separable")
PROBLEM = Problem((300, 310), (9, 7), mode="same", batch=3)

pytestmark = pytest.mark.skipif(operands.missing() is not None, reason=str(operands.missing()))


def loaded(name: str, count: int) -> Any:
    """Planned for so many threads, with the same kernel of rank 1 each time."""
    rng = np.random.default_rng(1)
    w = np.outer(rng.standard_normal(9), rng.standard_normal(7)).astype(np.float32)
    with threads.limited(count):
        instance = find(name).prepare(PROBLEM, "numpy", "cpu")
    instance.load(w)
    return instance


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(PROBLEM.x_shape).astype(np.float32)


def test_every_piece_is_done_once() -> None:
    for count in (1, 2, 3, 64):
        done: list[int] = []
        pool.share(done.append, 100, count)
        assert sorted(done) == list(range(100))


def test_pieces_run_at_the_same_time() -> None:
    meet = threading.Barrier(4, timeout=20)
    pool.share(lambda piece: meet.wait(), 4, 4)  # breaks unless four threads come


def test_what_a_piece_raises_is_raised_when_none_runs() -> None:
    running: set[int] = set()

    def work(piece: int) -> None:
        running.add(piece)
        if piece == 3:
            running.discard(piece)
            raise KeyError("the third")
        running.discard(piece)

    with pytest.raises(KeyError, match="the third"):
        pool.share(work, 50, 4)
    assert not running
    pool.share(running.add, 5, 4)  # and the next work is done
    assert running == set(range(5))


def test_tasks_are_given_in_pieces_that_leave_none_out() -> None:
    for count, workers in ((1, 1), (1, 4), (7, 2), (1000, 3)):
        found: list[int] = []
        pool.Tasks(count, workers).share(lambda piece, found=found: found.extend(range(*piece)))
        assert sorted(found) == list(range(count))


def test_buffers_begin_on_cache_lines_and_are_used_again() -> None:
    buffers = pool.Buffers(100)
    with buffers.one() as first, buffers.one() as second:
        assert abs(first - second) >= 100
        assert first % 64 == second % 64 == 0
    with buffers.one() as third:
        assert third in (first, second)
    assert len(buffers.free) == 2


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_on_one_plan(name: str) -> None:
    instance = loaded(name, 2)
    alone = [instance.run(image(seed)) for seed in range(8)]
    with ThreadPoolExecutor(8) as executor:
        for _ in range(5):
            together = list(executor.map(lambda seed: instance.run(image(seed)), range(8)))
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_threads_as_one_likes(name: str) -> None:
    few = loaded(name, 1)
    expected = few.run(image(0))
    with threads.limited(64):
        # Plans give small work to few threads: this one is told that its work is worth all.
        many = find(name).prepare(PROBLEM, "numpy", "cpu")
    many.threads, many.tasks = 64, pool.Tasks(many.tasks.pieces[-1][1], 64)
    many.load(np.outer(*map(np.ravel, _factors())).astype(np.float32))
    if name == "numba-overlap-save":  # which may take another tile for more threads
        np.testing.assert_allclose(many.run(image(0)), expected, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_array_equal(many.run(image(0)), expected)


def _factors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal(9), rng.standard_normal(7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # with threads: the point of it
@pytest.mark.parametrize("name", NAMES)
def test_a_forked_child_computes_the_same(name: str) -> None:
    instance = loaded(name, 2)
    expected = instance.run(image(0))  # the parent's threads have been used
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if np.array_equal(instance.run(image(0)), expected) else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
