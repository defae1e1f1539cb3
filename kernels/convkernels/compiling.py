"""Whether code may be compiled now, or only what was compiled before may be used."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

from convkernels.problem import UnsupportedProblem

_refused = contextvars.ContextVar("refused", default=False)


class NotCompiled(UnsupportedProblem):
    """Code that a plan needs is neither in memory nor on disk, and must not be compiled now."""


@contextlib.contextmanager
def kept_alone() -> Iterator[None]:
    """A block in which a plan that would have to compile raises NotCompiled; of this thread."""
    token = _refused.set(True)
    try:
        yield
    finally:
        _refused.reset(token)


def begin(what: str) -> None:
    """Called before something is compiled. Raises NotCompiled inside ``kept_alone``."""
    if _refused.get():
        raise NotCompiled(f"{what} is not compiled yet, and would have to be")
