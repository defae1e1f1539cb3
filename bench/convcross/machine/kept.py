"""What is known of a machine and kept, a file each.

Beside its results, ``results/<machine>/…``, where it is committed with them; and in the user's
cache folder, so that a run from another folder finds it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from convcross.errors import BadInput, first_complaint
from convkernels import cache

Model = TypeVar("Model", bound=BaseModel)


def path(machine_name: str, kind: str) -> Path:
    """Where it is kept, relative to the working directory."""
    return Path("results") / machine_name / f"{kind}.json"


def load(model: type[Model], machine_name: str, kind: str, made_by: str) -> Model | None:
    """The content of a machine's file (``describe.name``), beside the results in the working
    directory or else in the user's cache folder; None where there is none.

    Parameters
    ----------
    model : what the file is checked against; it has a field ``machine``
    kind : the file's name
    made_by : the command that writes it

    Raises BadInput on a file that is damaged or of another machine.
    """
    for file in (path(machine_name, kind), _cached(machine_name, kind)):
        found = _read(file, model, machine_name, kind, made_by)
        if found is not None:
            return found
    return None


def _cached(machine_name: str, kind: str) -> Path:
    return cache.folder() / "machines" / machine_name / f"{kind}.json"


def _read(
    file: Path, model: type[Model], machine_name: str, kind: str, made_by: str
) -> Model | None:
    try:
        found = model.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{kind} file {file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise BadInput(
            f"{kind} file {file}: {first_complaint(error)}; allowed: what {made_by} writes"
        ) from None
    machine = getattr(found, "machine", None)
    if machine != machine_name:
        raise BadInput(f"{kind} file {file}: machine is {machine!r}; allowed: {machine_name}")
    return found


def write(content: Mapping[str, Any], kind: str) -> Path:
    """Keep it in the place of what was there; the file beside the results. Raises BadInput where it
    cannot."""
    file = path(content["machine"], kind)
    beside = file.with_suffix(".tmp")
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    cache.write(_cached(content["machine"], kind), text.encode())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text)
        os.replace(beside, file)
    except OSError as error:
        raise BadInput(f"{kind} file {file} cannot be written: {error.strerror}") from None
    return file
