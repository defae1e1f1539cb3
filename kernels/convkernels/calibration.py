"""What contenders take on this machine, as ``convcross calibrate`` has measured it, and where that
is kept.

A file a device in the user's cache folder, plain JSON. It holds for the machine, the device, the
number of threads and the versions of the libraries that it was measured with (its key); where one
of them is another, ``current`` gives none, and ``problem_with`` says which.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convkernels import cache, versions
from convkernels.cpu import processor
from convkernels.cuda import driver
from convkernels.discovery import find
from convkernels.problem import DIRECTIONS, Problem, one_of
from convkernels.registry import Algorithm, Cost
from convkernels.toolbox import threads

if TYPE_CHECKING:
    from convkernels.prediction import Array, CostModel, Prediction

KIND, SCHEMA = "calibration", 3
PHASES = ("plan", "load", "run")
COMMAND = "convcross calibrate"  # which makes and renews it

revision = 0  # counts how often ``forget`` was called: what was made of a calibration is then old


@dataclasses.dataclass(frozen=True)
class Key:
    """What a calibration holds for.

    Attributes
    ----------
    machine : the processor's or the card's name, with the processor's cores
    device : "cpu" or "cuda:0"
    threads : of the CPU that algorithms may use; 0 where a card computes
    versions : of each library that is installed, by its name
    """

    machine: str
    device: str
    threads: int
    versions: Mapping[str, str]


Phases = Mapping[str, "CostModel"]  # a cost model of each of PHASES, by its name


@dataclasses.dataclass(frozen=True)
class Fit:
    """One contender's.

    Attributes
    ----------
    passes : cost models by the direction that its own code computes; a gradient that it solves as a
        forward problem is a sample of "forward", and predicted by it
    share_of_bound : the largest error that was measured, over the one that it promises
    spare : directions asked in which, wherever it is fast, others are as fast, so that a choice
        does without it
    """

    passes: Mapping[str, Phases]
    share_of_bound: float
    spare: tuple[str, ...] = ()

    def knows(self, algorithm: Algorithm, direction: str) -> bool:
        """Whether it predicts the contender's algorithm in this direction."""
        return algorithm.own_direction(direction) in self.passes

    def seconds(self, algorithm: Algorithm, problem: Problem, cost: Cost) -> list[float]:
        """What each of PHASES will take of a problem in a direction that it knows."""
        solved = algorithm.solved(problem)
        phases = self.passes[solved.direction]
        return [phases[phase].seconds(solved, cost) for phase in PHASES]

    def predict(self, algorithm: Algorithm, problem: Problem) -> list[Prediction]:
        """As ``seconds``, with intervals."""
        solved, cost = algorithm.solved(problem), algorithm.cost(problem)
        phases = self.passes[solved.direction]
        return [phases[phase].predict(solved, cost) for phase in PHASES]

    def predict_many(
        self, algorithm: Algorithm, problems: Sequence[Problem], direction: str
    ) -> list[Array]:
        """(m, 3) seconds, low and high of m problems in one direction, for each of PHASES."""
        solved = [algorithm.solved(problem) for problem in problems]
        costs = [algorithm.cost(problem) for problem in problems]
        phases = self.passes[algorithm.own_direction(direction)]
        return [phases[phase].predict_many(solved, costs) for phase in PHASES]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A problem that was measured and kept out of the fits.

    Attributes
    ----------
    seconds : of each of PHASES, by the names of the contenders that may be among the fastest
    """

    problem: Problem
    seconds: Mapping[str, tuple[float, ...]]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Of a device's contenders, by their names ("fft/numpy").

    Attributes
    ----------
    made_at : UTC, ISO 8601
    commit : of the code that made it
    held_out : problems that no fit has seen
    slower : why the contenders that have no fit have none, by their names
    """

    key: Key
    made_at: str
    commit: str
    contenders: Mapping[str, Fit]
    held_out: tuple[HeldOut, ...] = ()
    slower: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def leading(self, direction: str = "forward") -> list[str]:
        """The contenders that a choice takes in this direction, in order of their names."""

        def leads(name: str, fit: Fit) -> bool:
            algorithm = find(name.partition("/")[0])
            computes = direction in algorithm.directions and fit.knows(algorithm, direction)
            return computes and direction not in fit.spare

        return sorted(name for name, fit in self.contenders.items() if leads(name, fit))

    def predict(self, contender: str, problem: Problem) -> list[Prediction] | None:
        """What each of PHASES of a contender that it knows will take, in seconds; None where the
        contender refuses the problem, or was not measured in its direction."""
        name, _, namespace = contender.partition("/")
        algorithm, fit = find(name), self.contenders[contender]
        if not fit.knows(algorithm, problem.direction):
            return None
        if algorithm.refuses(problem, namespace, self.key.device) is not None:
            return None
        return fit.predict(algorithm, problem)

    def to_json(self) -> dict[str, Any]:
        contenders = {
            name: {
                "passes": {
                    direction: {phase: model.to_json() for phase, model in phases.items()}
                    for direction, phases in fit.passes.items()
                },
                "error": {"share_of_bound": fit.share_of_bound},
                "spare": list(fit.spare),
            }
            for name, fit in self.contenders.items()
        }
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "key": dataclasses.asdict(self.key),
            "made_at": self.made_at,
            "commit": self.commit,
            "contenders": contenders,
            "held_out": [
                {"problem": held.problem.to_json(), "seconds": dict(held.seconds)}
                for held in self.held_out
            ],
            "slower": dict(self.slower),
        }

    @classmethod
    def from_json(cls, data: Any) -> Calibration:
        """What ``to_json`` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        if (data["kind"], data["schema"]) != (KIND, SCHEMA):
            raise ValueError(
                f"kind is {data['kind']!r}, schema {data['schema']!r}; allowed: {KIND}, {SCHEMA}"
            )
        contenders = {str(name): _fit(fit) for name, fit in data["contenders"].items()}
        return cls(
            _key(data["key"]),
            str(data["made_at"]),
            str(data["commit"]),
            contenders,
            tuple(map(_held_out, data["held_out"])),
            {str(name): str(reason) for name, reason in data["slower"].items()},
        )


def _key(data: Any) -> Key:
    numbers = {str(library): str(version) for library, version in data["versions"].items()}
    return Key(str(data["machine"]), str(data["device"]), int(data["threads"]), numbers)


def _fit(data: Any) -> Fit:
    from convkernels.prediction import CostModel

    for direction in (*data["passes"], *data["spare"]):
        one_of("direction", direction, DIRECTIONS)
    passes = {
        direction: {phase: CostModel.from_json(phases[phase]) for phase in PHASES}
        for direction, phases in data["passes"].items()
    }
    return Fit(passes, float(data["error"]["share_of_bound"]), tuple(data["spare"]))


def _held_out(data: Any) -> HeldOut:
    seconds = {
        str(name): tuple(float(value) for value in values)
        for name, values in data["seconds"].items()
    }
    return HeldOut(Problem.from_json(data["problem"]), seconds)


def path(device: str) -> Path:
    """Where the calibration of this device is kept."""
    return cache.folder() / KIND / f"{device.replace(':', '-')}.json"


def key(device: str) -> Key:
    """What a calibration that is made here and now will hold for.

    Raises RuntimeError where there is no such card.
    """
    count = threads.count() if device == "cpu" else 0
    return Key(_machine(device), device, count, versions.installed())


@functools.cache
def _machine(device: str) -> str:
    kind, _, index = device.partition(":")
    if kind == "cuda":
        return driver.device_name(int(index))
    return f"{processor.name()}, {threads.usable()} cores"


def write(calibration: Calibration) -> Path:
    """Keep it in the place of the device's last. Raises OSError where it cannot."""
    file = path(calibration.key.device)
    text = json.dumps(calibration.to_json(), allow_nan=False) + "\n"
    written = cache.write(file, text.encode())
    forget()
    if not written:
        raise OSError(f"calibration {file} cannot be written; {cache.FOLDER} names another folder")
    return file


def current(device: str) -> Calibration | None:
    """The calibration that holds here and now, or None; read once a process (``forget``)."""
    return None if problem_with(device) else _found(device)[0]


def problem_with(device: str) -> str | None:
    """Why there is no calibration that holds here and now, in a sentence that names the command
    which makes one; None where there is."""
    calibration, why_none = _found(device)
    if calibration is None:
        return why_none
    theirs, ours = _facts(calibration.key), _facts(key(device))
    for fact in {**ours, **theirs}:
        was, now = theirs.get(fact), ours.get(fact)
        if was != now:
            complaint = f"{fact} is {was!r}; allowed: {now!r}, as here"
            return f"calibration {path(device)}: {complaint}; {_renew(device)}"
    return None


def _facts(key: Key) -> dict[str, str | int]:
    return {
        "machine": key.machine,
        "device": key.device,
        "threads": key.threads,
        **key.versions,
    }


def forget() -> None:
    """Read the files anew when they are next asked for."""
    global revision
    revision += 1
    _found.cache_clear()


@functools.cache
def _found(device: str) -> tuple[Calibration | None, str | None]:
    """A device's, whatever it holds for, or None with the reason."""
    file = path(device)
    try:
        return Calibration.from_json(json.loads(file.read_bytes())), None
    except FileNotFoundError:
        return None, f"no calibration of {device} is kept here; {_renew(device)}"
    except OSError as error:
        return None, f"calibration {file} cannot be read: {error.strerror}; {_renew(device)}"
    except KeyError as error:
        complaint = f"it has no {error}"
    except (ValueError, TypeError, AttributeError) as error:
        complaint = str(error).partition("\n")[0]
    return None, f"calibration {file} is damaged: {complaint}; {_renew(device)}"


def _renew(device: str) -> str:
    return f"{COMMAND}{'' if device == 'cpu' else f' --device {device}'} makes one"
