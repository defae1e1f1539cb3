"""What is recorded: one JSON line a contender of a duel, behind a header line.

A file belongs to one machine. The lines of a duel are appended in one write, with fsync, and end
with a line of kind "duel" that closes it: a duel without that line is torn and does not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from convcross.results.fields import (
    Ceilings,
    Name,
    Positive,
    Round,
    Seconds,
    Seed,
    Threads,
    Weight,
)
from convcross.results.status import checked
from convkernels.problem import Problem

SCHEMA = 1
PHASES = ("plan", "load", "run", "fresh")


class Line(BaseModel):
    """Any line; keys that a later minor version added are kept and passed over."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, ser_json_inf_nan="constants")


class Imported(Line):
    """Of a file that was not measured here: where its times are from.

    Attributes
    ----------
    source : in the words of who imported them
    rows : of the table
    left_out : which were left out, and why, one sentence each
    """

    source: str
    rows: int
    left_out: list[str] = []


class Header(Line):
    """What measured: the first line of a file."""

    kind: Literal["header"] = "header"
    schema_version: int = Field(alias="schema", default=SCHEMA)
    machine: dict[str, Any]  # machine.describe(device): "name", "cpu", "gpus", "os"
    software: dict[str, Any]  # versions, threads, commit
    ceilings: Ceilings | None = None
    sweep: dict[str, Any]  # the sweep as it was run: its TOML's keys, overridden
    contenders: list[str]  # names with device, as in Record.contender
    started_at: str
    imported: Imported | None = None  # None: measured here


class Known(Line):
    """What is known of a measurement: a key that is not known is not written."""

    @model_serializer(mode="wrap")
    def _without_none(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if value is not None}

    def known(self) -> dict[str, Any]:
        """What is known, by its key, as it is."""
        return {key: value for key, value in self if value is not None}


class Certificate(Known):
    """How far the float64 reference is from exact sums, and at how many outputs."""

    worst: float | None = None  # largest distance, relative to the scale of its output
    points: float | None = None  # outputs that were checked
    error_points: float | None = None  # outputs at which errors are measured


class Kernel(Line):
    """A kernel that a run executed, by the name that the profiler gives it."""

    name: str
    share: float  # of the run's time on the device


class Provenance(Known):
    """How a record came about. Other keys are a contender's own words on how it computes."""

    first_plan_s: Positive | None = None  # s, of the first plan in the process
    compile_s: Positive | None = None  # s, that compiling its code took, here or before
    threads: int | None = None  # CPU threads that it was timed with: those that suit it best
    batch: int | None = None  # runs timed together as one sample
    reference: Certificate | None = None
    denormals: Literal["kept", "flushed"] | None = None  # by the processor, after its runs
    scaled: str | None = None  # how the problem differs from what the sweep names
    fresh: str | None = None  # why load and run are not timed as one
    error_seeds: str | None = None  # why fewer data seeds than asked for have an error
    libraries: dict[str, Any] | None = None  # versions, and settings that change arithmetic
    kernels: list[Kernel] | None = None  # largest share first
    streams: list[int] | None = None  # the profiler's numbers of the streams that they ran on
    kernels_untold: str | None = None  # why there are no kernels
    engine: str | None = None  # what a library chose, by the kernels' names
    algebra_untold: str | None = None  # why the record has no ``algebra``
    padded: Any = None  # elements of the padded sides [M1, M2]: a contender's own words


class Reading(Known):
    """What a device tells at one moment."""

    sm_clock_mhz: float | None = None  # MHz
    memory_clock_mhz: float | None = None  # MHz
    power_w: float | None = None  # W, of the whole board
    temperature_c: float | None = None  # °C
    throttle: list[str] | None = None  # what holds the clocks down, in words
    energy_j: float | None = None  # J, from an arbitrary zero
    other_processes: int | None = None  # that compute on the card, without ours
    frequency_mhz: dict[str, float] | None = None  # MHz: mean, min, max over the cores


class Energy(Known):
    """Energy of runs over windows, an element a window; or why it was not measured."""

    j_per_run: list[Positive] | None = None  # J
    runs: list[int] | None = None
    seconds: list[Positive] | None = None  # s
    not_measured: str | None = None


class Telemetry(Known):
    """What was watched while a contender was timed."""

    before: Reading | None = None
    after: Reading | None = None
    missing: dict[str, str] | None = None  # a reading → why the device does not tell it
    launches_hidden: bool | None = None  # the device waited until a sample was queued whole
    sm_hz: float | None = None  # Hz, SM clock over the samples
    rounds_again: int | None = None  # rounds measured again, as rivals' clocks differed
    group: int | None = None  # number of the memory group, where not all fitted at once
    pacer: str | None = None  # the contender that ran in each group
    pacer_ratio: Annotated[float, Field(ge=1e-6, le=1e6)] | None = (
        None  # its time here / in group 0
    )
    energy: Energy | None = None
    worker_lost: bool | None = None  # a worker process was lost in it


class Distances(Line):
    """max|y − z| / max|z| of results that should be equal, or should not, in one dtype."""

    largest: Positive
    least: Positive
    identical: int = Field(ge=0)  # comparisons equal to the last bit
    count: int = Field(ge=1)  # comparisons


class Errors(Known):
    """Distances of the result y from the float64 reference r; of float64 problems, at the sampled
    outputs (``provenance.reference.error_points``) that are known to twice the digits."""

    rel_l2: Positive  # ‖y−r‖₂ / ‖r‖₂
    max_rel: Positive | None = None  # max|y−r| / max|r|
    componentwise: Positive | None = None  # max |y−r| / (|x|*|w|)
    ulp_median: Positive | None = None
    ulp_p999: Positive | None = None


class Record(Line):
    """One contender of one duel. All times are seconds; samples are a single run's."""

    kind: Literal["record"] = "record"
    duel: str
    problem: Problem
    algorithm: Name
    namespace: Name
    device: Name
    family: Name
    arithmetic: str
    image_data: Name
    kernel_data: Name
    seed: Seed
    # None: of a file from before there were any.
    launch: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] | None = None
    regime: Name
    threads: Threads | None = None
    status: Annotated[str, AfterValidator(checked)]
    reason: str | None = None
    phase_seconds: dict[str, list[Seconds]] = Field(default_factory=dict)
    rounds: list[Round] = Field(default_factory=list)  # of each run sample
    fresh_rounds: list[Round] = Field(default_factory=list)  # of each fresh and load sample
    # Rounds in which the process waited for a core: their samples are in no median.
    preempted: list[Round] = Field(default_factory=list)
    fresh_preempted: list[Round] = Field(default_factory=list)
    median_s: Seconds | None = None  # of run, with its 95 % order-statistics interval
    ci_low_s: Seconds | None = None
    ci_high_s: Seconds | None = None
    settled: bool | None = None
    p95_s: Seconds | None = None  # of run: 95 % of the samples take no longer
    error: Errors | None = None
    error_seeds: list[Positive] = Field(default_factory=list)  # rel_l2 of each data seed
    stage_seconds: dict[str, list[Seconds]] = Field(default_factory=dict)  # of staged runs
    floor_s: Positive | None = None
    workspace_bytes: Positive | None = None  # that the algorithm declares, with the next three
    declared_flops: Positive | None = None
    declared_bytes: Positive | None = None
    declared_once_flops: Positive | None = None  # of plan and load
    # Relation ("commutes", …) → dtype → its distances; of profiled duels (see measure.algebra).
    algebra: dict[str, dict[str, Distances]] = Field(default_factory=dict)
    provenance: Provenance = Field(default_factory=Provenance)
    telemetry: Telemetry = Field(default_factory=Telemetry)
    flags: list[str] = Field(default_factory=list)
    started_at: str = ""

    @property
    def contender(self) -> str:
        """algorithm/namespace@device"""
        return f"{self.algorithm}/{self.namespace}@{self.device}"

    def waited(self, phase: str) -> list[bool]:
        """Of each sample of phase run or fresh, whether it waited for a core and others did not.

        Where most waited (flag ``preempted``), all are as good as any.
        """
        rounds, waited = self.rounds, set(self.preempted)
        if phase == "fresh":
            rounds, waited = self.fresh_rounds, set(self.fresh_preempted)
        if "preempted" in self.flags:
            waited = set()
        return [number in waited for number in rounds]


class Learned(Line):
    """How one network has learned: see ``convcross demo --learning``."""

    kind: Literal["learned"] = "learned"
    network: Literal["correlation", "fft", "convolution", "rotated"]
    dtype: Literal["float32", "float64"]
    seed: Seed
    steps: Annotated[int, Field(ge=1)]  # of gradient descent
    loss: list[Positive] = Field(min_length=1)  # mean cross-entropy of each epoch
    # Share of the examples kept out that it tells right, after each epoch.
    accuracy: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)
    # ‖w − v‖ / ‖v‖ of all its filters w, rotated back where they began rotated, from those v of
    # "correlation" of this dtype and seed: at the start, and after each epoch.
    apart: list[Positive] = Field(min_length=1)
    filters: list[list[list[Weight]]] = []  # of its first layer, in the end: (count, rows, columns)

    @model_validator(mode="after")
    def _one_length(self) -> Learned:
        epochs = len(self.accuracy)
        if (len(self.loss), len(self.apart)) != (epochs, epochs + 1):
            raise ValueError(
                f"accuracy is of {epochs} epochs, loss of {len(self.loss)}, apart of "
                f"{len(self.apart)}; allowed: as many losses, and one distance more, of the start"
            )
        shapes = {(len(own), len(row)) for own in self.filters for row in own or [[]]}
        if len(shapes) > 1 or (self.filters and 0 in shapes.pop()):
            raise ValueError("filters are ragged or empty; allowed: one size of rows and columns")
        return self


class DuelFooter(Line):
    """The last line of a duel: where its time went, in seconds, and what else used the cores."""

    kind: Literal["duel"] = "duel"
    duel: str
    records: int
    seconds: dict[str, float]  # measured, warmup, verification, preparation, rest
    neighbours: dict[str, float] = Field(default_factory=dict)  # see machine.contention
    # What was not as the header has it when --resume-anyway measured this duel: key → [then, now].
    changed: dict[str, tuple[Any, Any]] = Field(default_factory=dict)
    cut: bool = False  # the budget ended within it: --resume measures it again


class DuelResult(BaseModel):
    """What measuring a duel gives, on its way from the process that measures to the writer.

    Attributes
    ----------
    records : one a contender, in the duel's order
    seconds, neighbours, cut : see ``DuelFooter``
    """

    records: list[Record]
    seconds: dict[str, float]
    neighbours: dict[str, float]
    cut: bool = False


def dump(lines: Iterable[Line]) -> bytes:
    """The lines as UTF-8 JSON lines; not a number is never written."""
    text = []
    for line in lines:
        data = line.model_dump(mode="json", by_alias=True)
        text.append(json.dumps(data, separators=(",", ":"), allow_nan=False))
    return ("\n".join(text) + "\n").encode()
