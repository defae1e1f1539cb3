"""A Dask scheduler, reached in bounded time and without Dask's own words on the terminal.

A cluster is trusted: whoever reaches a scheduler's port has code run by its workers, and what
workers answer is unpickled here, as Dask does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from convcross.errors import BadInput

if TYPE_CHECKING:
    from distributed import Client

ALLOWED = "allowed: tcp://host:port or tls://host:port, or a TOML file with [slurm]"
SECONDS = 10.0  # for the scheduler to answer, and to be found again when it was lost


def require_dask() -> None:
    """Raises BadInput, with the command that helps, where it is not installed."""
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise BadInput(
            "--scheduler needs Dask, which is not installed: pip install 'convcross[cluster]'"
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Dask, Tornado and asyncio log what they meet; what matters of it is told otherwise."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(distributed|dask|dask_jobqueue|tornado)\b")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def client(scheduler: str | Any) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a ``distributed.deploy.Cluster``.

    Raises BadInput where no scheduler answers, or one that cannot load this convcross.
    """
    from distributed import Client

    if isinstance(scheduler, str):
        _knock(scheduler)
    try:
        if isinstance(scheduler, str):
            asyncio.run(_greet(scheduler))
        found = Client(scheduler, timeout=SECONDS, set_as_default=False, name="convcross")
    except Exception as error:
        raise BadInput(f"no Dask scheduler answers at {scheduler} ({reason_of(error)})") from None
    try:
        _check(found, scheduler)
        yield found
    finally:
        with contextlib.suppress(Exception):  # one that is lost need not be left
            found.close(timeout=SECONDS)


def reason_of(error: BaseException) -> str:
    """Its kind and the first line of its message."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _knock(address: str) -> None:
    """Dask retries what is refused; ask once, and tell why."""
    match = re.fullmatch(r"(?:tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise BadInput(f"--scheduler is {address!r}; {ALLOWED}")
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), SECONDS).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"--scheduler {address} is not reached: {reason}; {ALLOWED}") from None


async def _greet(address: str) -> None:
    """A client would wait without end for what accepts and does not answer."""
    from distributed import Security
    from distributed.core import connect, send_recv

    secured = Security().get_connection_args("client")
    async with asyncio.timeout(SECONDS):
        comm = await connect(address, timeout=SECONDS, **secured)
        try:
            answer = await send_recv(comm, op="identity")
        finally:
            comm.abort()
    if answer.get("type") != "Scheduler":
        raise ValueError(f"it is a {answer.get('type')}")


def _check(found: Client, scheduler: object) -> None:
    from convcross.run.cluster import remote

    async def ask() -> Any:
        return await asyncio.wait_for(found.run_on_scheduler(remote.version), SECONDS)

    try:
        found.sync(ask)
    except Exception as error:
        raise BadInput(
            f"the scheduler at {scheduler} cannot load this convcross ({reason_of(error)}); "
            "allowed: the same convcross for the scheduler, its workers and this machine"
        ) from None
