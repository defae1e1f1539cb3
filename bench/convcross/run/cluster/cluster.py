"""Workers of a Dask cluster: found, held against each other, given duels, and lost.

Dask carries duels and answers. Which worker measures what is decided here: Dask would give one
worker several at once and another one none. Dask's own thread only reports; whatever is decided is
decided in the thread that asks, between its questions.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import queue
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from convcross.errors import BadInput
from convcross.results.schema import DuelResult
from convcross.run.cluster import scheduler
from convcross.run.cluster import slurm as jobs
from convcross.run.cluster.compatibility import Requirements, mismatch
from convcross.run.cluster.pool import RETRIES, Pool, Task, Worker
from convcross.run.workers.description import Description

if TYPE_CHECKING:
    from distributed import Client, Future

FIRST = 30.0  # seconds for the first worker to come
DESCRIBE = 180.0  # seconds for a worker to tell what it is: libraries may load over a network
LOOK = 0.5  # seconds between two looks at which workers there are
CLOSE = 10.0  # seconds for workers to end what they hold

Tell = Callable[[str], None]


def _to_stderr(line: str) -> None:
    print(f"convcross: {line}", file=sys.stderr, flush=True)


def connect(
    place: str,
    device: str | None = None,
    algorithm_paths: Sequence[str] = (),
    tell: Tell = _to_stderr,
) -> Cluster:
    """A cluster whose workers can measure; it is to be closed.

    Parameters
    ----------
    place : a scheduler's address, or a TOML file by which one is started (``jobs``)
    device : of each worker; None for its first card, or else its CPU
    algorithm_paths : files and folders, loaded here already, that each worker has too
    tell : is told what becomes of workers, a line each

    Raises
    ------
    BadInput
        No scheduler or no worker in time, or a worker that cannot measure with the others.
    """
    if device is not None and "all" in device:
        raise BadInput(
            f"device is {device!r} with --scheduler; allowed: cpu, cuda:0: a worker has one card"
        )
    scheduler.require_dask()
    with contextlib.ExitStack() as stack:
        stack.enter_context(scheduler.quiet())
        if place.endswith(".toml"):
            slurm = jobs.load(place)
            patience, hint = 60 * slurm.wait_minutes, "see squeue, and slurm-*.out"
            started = stack.enter_context(jobs.start(place, slurm, tell))
            client = stack.enter_context(scheduler.client(started))
        else:
            patience = FIRST
            hint = f"start one: dask worker {place} --nthreads 1 --resources GPU=1"
            client = stack.enter_context(scheduler.client(place))
        cluster = Cluster(client, place, device, algorithm_paths, tell)
        stack.callback(cluster.leave)
        cluster.gather(patience, hint)
        cluster.opened = stack.pop_all()
    return cluster


class Cluster:
    """A Dask cluster whose workers were found fit to measure.

    Attributes
    ----------
    machines : those of each kind of machine
    workers : all, by their addresses
    heard : when the scheduler last answered, on time.monotonic's clock
    opened : what is closed with it
    """

    def __init__(
        self,
        client: Client,
        place: str,
        device: str | None,
        algorithm_paths: Sequence[str],
        tell: Tell,
    ) -> None:
        self.client, self.place = client, place
        self.machines: list[Pool] = []
        self.workers: dict[str, Worker] = {}
        self.heard = time.monotonic()
        self.opened = contextlib.ExitStack()
        self._device, self._paths, self._tell = device, list(algorithm_paths), tell
        self._required = Requirements(algorithm_paths)
        self._run = uuid.uuid4().hex
        self._reports: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._gathering = True  # the first workers: what is wrong with one of them ends it all
        client.loop.add_callback(self._watch)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, and end what was started for it. Twice is harmless."""
        self.opened.close()

    # ---- in Dask's thread ----

    async def _watch(self) -> None:
        """Report the workers that there are, whenever they are others than before."""
        before = None
        while self.client.status not in ("closing", "closed"):
            with contextlib.suppress(Exception):  # it is lost, for now or for good
                asked = self.client.scheduler.identity(n_workers=-1)
                found = (await asyncio.wait_for(asked, scheduler.SECONDS))["workers"]
                self.heard = time.monotonic()
                now = {
                    address: (worker["local_directory"], worker["resources"].get("GPU", 0))
                    for address, worker in found.items()
                    if worker["status"] in ("running", "paused")
                }
                if now != before:
                    self._reports.put(functools.partial(self._see, now))
                before = now
            await asyncio.sleep(LOOK)

    async def _ask(self, worker: Worker) -> None:
        """Report what a worker tells of itself."""
        from convcross.run.cluster import remote

        answer: Any
        try:
            asked = self.client.run(
                remote.describe,
                self._required.code,
                self._device,
                self._paths,
                DESCRIBE,
                workers=[worker.address],
                on_error="return",
            )
            answer = (await asyncio.wait_for(asked, 1.1 * DESCRIBE))[worker.address]
        except Exception as error:
            answer = error
        self._reports.put(functools.partial(self._meet, worker, answer))

    async def _await(self, worker: Worker, task: Task, future: Future[Any]) -> None:
        """Report what a worker answers, or why it does not."""
        answer: Any
        try:
            answer = await future
        except (Exception, asyncio.CancelledError) as error:
            answer = error
        self._reports.put(functools.partial(self._receive, worker, task, future, answer))

    # ---- in the thread that asks ----

    def settle(self, seconds: float) -> None:
        """Take in what was reported; where nothing was, wait so long for it at most."""
        with contextlib.suppress(queue.Empty):
            report = self._reports.get(timeout=seconds) if seconds else self._reports.get_nowait()
            while True:
                report()
                report = self._reports.get_nowait()

    def gather(self, patience: float, hint: str) -> None:
        """Wait for the first worker, and for what those that are there then tell of themselves.

        Raises BadInput where none comes in so many seconds, or one cannot measure with the others.
        """
        deadline = time.monotonic() + patience
        while not self.workers:
            if time.monotonic() > deadline:
                raise BadInput(f"{self.place} has no workers: waited {patience:.0f} s; {hint}")
            self.settle(LOOK)
        while any(worker.asked for worker in self.workers.values()):
            self.settle(LOOK)
        if not self.machines:
            raise BadInput(f"{self.place} has lost its workers before they told what they are")
        self._gathering = False
        hosts = collections.Counter(
            address.rpartition(":")[0] for address, worker in self.workers.items() if worker.pool
        )
        if max(hosts.values(), default=0) > 1 and "cpu" in self.machines[0].description.devices:
            self._tell("note: workers on one host measure on its CPU at the same time")

    def _see(self, found: dict[str, tuple[str, float]]) -> None:
        for address, worker in list(self.workers.items()):
            if address not in found or found[address][0] != worker.folder:
                del self.workers[address]
                self._lose(worker, f"worker {address} has left")
        for address in found.keys() - self.workers.keys():
            folder, cards = found[address]
            self.workers[address] = worker = Worker(address, folder)
            if cards < 1:
                self._refuse(worker, "has no resource GPU; allowed: dask worker --resources GPU=1")
            else:
                self.client.loop.add_callback(self._ask, worker)

    def _meet(self, worker: Worker, answer: Any) -> None:
        if self.workers.get(worker.address) is not worker:
            return  # it has left meanwhile
        worker.asked = False
        if (reason := self._required.unmet(answer)) is not None:
            self._refuse(worker, reason)
            return
        found = Description.model_validate(answer["description"])
        met = [(machine.first, machine.description) for machine in self.machines]
        if (reason := mismatch(found, met)) is not None:
            self._refuse(worker, reason)
            return
        worker.process = answer["process"]
        same = [machine for machine in self.machines if machine.description.name == found.name]
        if not same and not self._gathering:
            kinds = ", ".join(machine.description.name for machine in self.machines)
            self._refuse(worker, f"is a {found.name}, and came after the run began on {kinds}")
            return
        if not same:
            same = [Pool(self, found, worker.address)]
            self.machines += same
        worker.pool = same[0]

    def _refuse(self, worker: Worker, reason: str) -> None:
        """Leave a worker alone; or, of the first ones, have none."""
        if self._gathering:
            raise BadInput(f"worker {worker.address} {reason}")
        worker.asked = False
        self._tell(f"worker {worker.address} is left alone: it {reason}")

    def start(self, worker: Worker, task: Task) -> None:
        """Have a worker measure a duel. It waits for its card where another run has it."""
        from convcross.run.cluster import remote

        worker.task = task
        task.processes.append(worker.process)
        duel = task.duel.model_dump(mode="json")
        task.future = self._submit(worker, remote.measure, duel, worker.process, self._run)
        self.client.loop.add_callback(self._await, worker, task, task.future)

    def _submit(self, worker: Worker, function: Callable[..., Any], *given: Any) -> Future[Any]:
        return self.client.submit(
            function,
            *given,
            key=f"convcross-{function.__name__}-{uuid.uuid4().hex}",
            workers=[worker.address],
            allow_other_workers=False,
            resources={"GPU": 1},
            pure=False,
        )

    def _receive(self, worker: Worker, task: Task, future: Future[Any], answer: Any) -> None:
        if task.future is not future:
            return  # the worker was lost meanwhile
        if isinstance(answer, dict) and worker.pool is not None:
            worker.task = task.future = None
            worker.pool.record_result(task, DuelResult.model_validate(answer))
        elif answer is None:
            self._lose(worker, f"worker {worker.address} was started anew")
            worker.pool = None  # until it is seen as what it is
        else:
            self._lose(worker, f"worker {worker.address}: {scheduler.reason_of(answer)}")

    def _lose(self, worker: Worker, why: str) -> None:
        task, worker.task = worker.task, None
        if task is None or worker.pool is None:
            return
        if task.future is not None:
            task.future.release()
            task.future = None
        task.losses.append(why)
        fate = "measured by another" if len(task.losses) <= RETRIES else "given up"
        self._tell(f"{why}; its duel {task.duel.id} is {fate}")
        worker.pool.take_back(task)

    def kill(self, workers: Sequence[Worker]) -> None:
        """End at once what these workers measure."""
        from convcross.run.cluster import remote

        async def ask() -> None:
            addresses = [worker.address for worker in workers]
            await self.client.run(remote.kill, workers=addresses, on_error="ignore")

        self._briefly(ask)
        for worker in workers:
            if worker.task is not None and worker.task.future is not None:
                worker.task.future.release()
                worker.task.future = None
            worker.task = None

    def leave(self) -> None:
        """Have each worker end what it measures and holds; it waits its turn beside other runs."""
        from convcross.run.cluster import remote

        async def ask() -> None:
            futures = [self._submit(worker, remote.release) for worker in fit]
            await asyncio.gather(*futures, return_exceptions=True)

        fit = [worker for worker in self.workers.values() if worker.pool is not None]
        self.kill([worker for worker in fit if worker.task is not None])
        self._briefly(ask)

    def _briefly(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Who does not answer has nothing to end, or is busy for another."""

        async def bounded() -> None:
            await asyncio.wait_for(ask(), CLOSE)

        if self.client.status == "running":
            with contextlib.suppress(Exception):
                self.client.sync(bounded)
