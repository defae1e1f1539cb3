"""Plans kept between calls: used again, by one call at a time, and never past what made them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from convkernels import Cost, Problem, UnsupportedProblem, algorithm, convolve, namespaces, plans
from convkernels.discovery import algorithms, find
from convkernels.plans import MOST, MOST_BYTES
from convkernels.toolbox import threads
from support.contenders import TEXTBOOK

PROBLEM = Problem((40, 36), (5, 4), mode="same")
NAMES = [
    (name, namespace)
    for name, found in algorithms().items()
    for namespace in ("numpy", "torch")
    if found.missing(namespace) is None
    and found.refuses(PROBLEM, namespace, "cpu") is None
    and found.family != "separable"
]


def image(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape or (40, 36)).astype("float32")


def filter_(seed: int) -> Any:
    return image(seed, 5, 4)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, clean_registry: None) -> list[Any]:
    """Every instance that is planned of an algorithm called "planted", in order."""
    found: list[Any] = []

    @algorithm(name="planted", family="direct", namespaces=("numpy", "torch"), arithmetic="ieee",
               source="this test")  # fmt: skip
    class Planted:
        problem: Problem
        b: Any
        fails = False

        @staticmethod
        def cost(problem: Problem) -> Cost:
            return Cost(0.0, 0.0, workspace=float(problem.image[0] << 20))

        def plan(self, problem: Problem, xp: Any, device: str) -> None:
            self.problem = problem
            found.append(self)

        def load(self, b: Any) -> None:
            self.b = b

        def run(self, a: Any) -> Any:
            if bool(a[0, 0] == 13.0):
                raise RuntimeError("unlucky")
            return a * self.b[0, 0]

    return found


def call(rows: int = 8, name: str = "planted", first: float = 1.0, **options: Any) -> Any:
    x, w = np.ones((rows, 8)), np.ones((3, 3))
    x[0, 0] = first
    return convolve(x, w, mode="same", algorithm=name, **options)


def test_a_shape_is_planned_once(planned: list[Any]) -> None:
    for name in ("planted", "auto", "planted"):
        call(name=name)
    call(9)
    assert [instance.problem.image[0] for instance in planned] == [8, 9]
    assert plans.count() == 2


@pytest.mark.parametrize("options", [{"op": "correlation"}, {"boundary": "circular"}])
def test_another_problem_is_planned_anew(planned: list[Any], options: dict[str, Any]) -> None:
    call()
    call(**options)
    assert len(planned) == 2


@pytest.mark.parametrize(("name", "namespace"), NAMES)
def test_a_kept_plan_computes_as_a_new_one(name: str, namespace: str) -> None:
    """Whatever it computed before: another filter, an image of NaN."""

    def y(x: Any, w: Any) -> Any:
        operands = (namespaces.from_numpy(array, namespace, "cpu", "float32") for array in (x, w))
        with np.errstate(all="ignore"):
            return convolve(*operands, mode="same", algorithm=name)

    expected = namespaces.to_numpy(y(image(1), filter_(1))).copy()
    plans.clear()
    with warnings.catch_warnings():  # that a transform spreads it
        warnings.simplefilter("ignore", RuntimeWarning)
        y(np.where(np.eye(40, 36) > 0, np.nan, image(2)).astype("float32"), filter_(2))
    first = y(image(1), filter_(1))
    assert plans.count() == 1
    np.testing.assert_array_equal(namespaces.to_numpy(first), expected)
    y(image(3), 1e-30 * filter_(3))
    np.testing.assert_array_equal(namespaces.to_numpy(first), expected)


@pytest.mark.parametrize("name", ["auto", *TEXTBOOK, "numba-direct", "numba-overlap-save"])
def test_threads_never_share_a_plan(name: str) -> None:
    together = threading.Barrier(8)
    expected = [convolve(image(k), filter_(k), mode="same", algorithm=name) for k in range(8)]

    def repeated(k: int) -> bool:
        together.wait()
        x, w = image(k), filter_(k)
        return all(
            np.array_equal(convolve(x, w, mode="same", algorithm=name), expected[k])
            for _ in range(20)
        )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(repeated, range(8)))
    assert 1 <= plans.count() <= 8


def test_what_is_taken_out_is_nobody_elses() -> None:
    found = find("direct")
    first, second = (plans.take(found, PROBLEM, "numpy", "cpu") for _ in range(2))
    assert first.instance is not second.instance
    plans.put_back(first)
    plans.put_back(second)
    assert plans.count() == 2
    again = {id(plans.take(found, PROBLEM, "numpy", "cpu").instance) for _ in range(2)}
    assert again == {id(first.instance), id(second.instance)}
    assert plans.count() == 0


def test_the_plan_that_was_not_used_for_longest_goes(planned: list[Any]) -> None:
    for rows in range(1, MOST + 1):
        call(rows)
    call(1)  # used again: 2 is now the oldest
    call(MOST + 1)
    assert plans.count() == MOST
    planned.clear()
    call(1)
    assert planned == []
    call(2)
    assert len(planned) == 1


def test_plans_are_few_where_they_are_large(planned: list[Any]) -> None:
    rows = (MOST_BYTES >> 20) // 3  # MiB: three that take more than a third
    for more in range(1, 4):
        call(rows + more)
    assert plans.count() == 2
    call(MOST_BYTES >> 20)  # alone, with its filter: not kept, and no other goes for it
    assert plans.count() == 2


def test_nothing_is_kept_of_a_call_that_raises(planned: list[Any]) -> None:
    call()
    with pytest.raises(RuntimeError, match="unlucky"):
        call(first=13.0)
    assert plans.count() == 0
    call()
    assert len(planned) == 2


def test_a_refused_kernel_leaves_no_plan() -> None:
    with pytest.raises(UnsupportedProblem):
        convolve(image(1), filter_(1), algorithm="separable")
    assert plans.count() == 0


def test_clear_forgets_those_in_use_too(planned: list[Any]) -> None:
    call()
    plan = plans.take(find("planted"), PROBLEM, "numpy", "cpu")
    plans.clear()
    assert plans.count() == 0
    plans.put_back(plan)
    assert plans.count() == 0


def test_given_threads_have_plans_of_their_own(planned: list[Any]) -> None:
    call()
    with threads.limited(1):
        call()
        call()
    call()
    assert len(planned) == 2


def test_a_name_that_is_registered_again_is_planned_again(planned: list[Any]) -> None:
    call(name="auto")

    @algorithm(name="planted", family="direct", namespaces="numpy", arithmetic="ieee",
               source="this test")  # fmt: skip
    def other(x: Any, w: Any, problem: Problem) -> Any:
        return x * 0 + 7

    assert float(call()[0, 0]) == 7


@pytest.mark.usefixtures("clean_registry")
def test_what_is_registered_later_can_be_chosen() -> None:
    def fresh() -> str:
        plan = plans.take_best(PROBLEM, "numpy", "cpu")
        plans.put_back(plan)
        return plan.algorithm.name

    before = fresh()

    @algorithm(name="later", family="direct", namespaces="numpy", arithmetic="ieee",
               source="this test")  # fmt: skip
    class Later:
        @staticmethod
        def cost(problem: Problem) -> Cost:
            return Cost(0.0, 0.0)

        def run(self, a: Any) -> Any:
            return a

    assert before != "later"
    assert fresh() == "later"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # with threads: the point of it
@pytest.mark.parametrize("name", ["auto", "direct", "numba-direct", "numba-overlap-save"])
def test_a_forked_child_begins_with_none(name: str) -> None:
    x, w = image(1), filter_(1)
    expected = convolve(x, w, mode="same", algorithm=name)
    store = plans._store
    store.lock.acquire()  # as another thread may at that moment: nobody lets it go in the child
    child = os.fork()
    if child == 0:
        code = 1
        try:
            none = plans.count() == 0 and plans._store is not store
            y = convolve(x, w, mode="same", algorithm=name)
            code = 0 if none and np.array_equal(y, expected) and plans.count() == 1 else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    store.lock.release()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert plans.count() == 1


# ---- torch -------------------------------------------------------------------------------------


@contextlib.contextmanager
def default_dtype(torch: Any) -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def one_more_thread(torch: Any) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "changed", [lambda torch: torch.inference_mode(), default_dtype, one_more_thread]
)
def test_torchs_settings_have_plans_of_their_own(
    planned: list[Any], changed: Callable[[Any], AbstractContextManager[Any]], torch: Any
) -> None:
    x, w = torch.ones(8, 8), torch.ones(3, 3)
    convolve(x, w, mode="same", algorithm="planted")
    with changed(torch):
        convolve(x, w, mode="same", algorithm="planted")
        convolve(x, w, mode="same", algorithm="planted")
    convolve(x, w, mode="same", algorithm="planted")
    assert len(planned) == 2


@pytest.mark.parametrize("name", ["auto", *TEXTBOOK])
def test_a_plan_of_inference_mode_does_not_reach_outside(name: str, torch: Any) -> None:
    x, w = torch.from_numpy(image(1)), torch.from_numpy(filter_(1))
    with torch.inference_mode():
        expected = convolve(x, w, mode="same", algorithm=name).clone()
    y = convolve(x, w, mode="same", algorithm=name)
    assert not y.is_inference()
    assert torch.equal(y, expected)
    convolve(x.requires_grad_(), w, mode="same", algorithm=name).sum().backward()
    assert x.grad is not None


def test_nothing_is_kept_where_gradients_are_wanted(planned: list[Any], torch: Any) -> None:
    x, w = torch.ones(8, 8), torch.ones(3, 3)
    convolve(x, w, mode="same", algorithm="planted")
    for _ in range(2):
        convolve(x.requires_grad_(), w, mode="same", algorithm="planted").sum().backward()
    assert len(planned) == 3
    assert [plans.count(), planned[0].b.requires_grad] == [1, False]
    with torch.no_grad():
        convolve(x, w, mode="same", algorithm="planted")
    assert len(planned) == 3
