"""Global settings of a library, held at a value while somebody needs it, then as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """A setting's way in and out, and the value that it is to be held at."""

    get: Callable[[], Any]
    put: Callable[[Any], object]
    value: Any


class Held:
    """A block in which settings have the values wanted, of all threads.

    Of several threads inside at once the first finds the user's values and the last puts them back:
    each for itself would take another's for the user's.
    """

    def __init__(self, wanted: Callable[[], Iterable[Setting]]) -> None:
        self._wanted, self._lock = wanted, threading.Lock()
        self._inside = 0
        self._found: list[tuple[Setting, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                try:
                    for setting in self._wanted():
                        found = setting.get()
                        if found != setting.value:
                            setting.put(setting.value)
                            self._found.append((setting, found))
                except BaseException:
                    self._put_back()
                    raise
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._put_back()

    def _put_back(self) -> None:
        while self._found:
            setting, found = self._found.pop()
            setting.put(found)


def attribute(owner: Any, name: str, value: Any) -> Setting:
    """A setting that is an attribute of a module or an object."""
    return Setting(lambda: getattr(owner, name), lambda found: setattr(owner, name, found), value)
