"""Machine code of kernels: compiled once a processor, kept on disk, found again by any process."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convkernels import cache, compiling
from convkernels.cpu.instructions import Instructions

_loaded: dict[str, Compiled] = {}
_lock = threading.RLock()  # one compiles, who else needs the same code waits
_alive: list[Any] = []  # engines own the code's memory


@dataclasses.dataclass(frozen=True)
class Compiled:
    """Kernels in memory.

    Attributes
    ----------
    addresses : of each kernel by its name
    seconds : that compiling took, in this process or in the one that kept it
    origin : "compiled" in this process, or read from "disk"
    """

    addresses: dict[str, int]
    seconds: float
    origin: str


def load(
    names: Sequence[str],
    key: Sequence[object],
    text: Callable[[], str],
    instructions: Instructions,
) -> Compiled:
    """The kernels of these names, from memory, from disk, or compiled and kept.

    Parameters
    ----------
    names : of the module's kernels
    key : all that the module's text depends on, its writer's source included (``source``)
    text : the module's LLVM text, asked for where it must be compiled

    Raises NotCompiled where it must, inside ``compiling.kept_alone``.
    """
    import llvmlite

    key = (llvmlite.__version__, dataclasses.astuple(instructions), tuple(key))
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    with _lock:
        if digest not in _loaded:
            _loaded[digest] = _compiled(digest, names, text, instructions)
        return _loaded[digest]


def _compiled(
    digest: str, names: Sequence[str], text: Callable[[], str], instructions: Instructions
) -> Compiled:
    path = cache.folder() / "kernels" / f"{digest}.o"
    kept = _read(path)
    if kept is not None:
        seconds, code = kept
        return Compiled(_link(code, names), seconds, "disk")
    compiling.begin(", ".join(names))
    begin = time.perf_counter()
    code = emit(text(), instructions)
    seconds = time.perf_counter() - begin
    head = f"{seconds:.6f} {hashlib.sha256(code).hexdigest()}\n"
    cache.write(path, head.encode() + code)
    return Compiled(_link(code, names), seconds, "compiled")


@functools.cache
def source(*files: str) -> str:
    """A digest of these files and of what they all stand on: the layer that writes vector code."""
    every = (*files, str(Path(__file__).with_name("vectors.py")), __file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in every)).hexdigest()


def emit(text: str, instructions: Instructions) -> bytes:
    """Object code of a module, optimised for these instructions, which need not be this machine's.

    Raises RuntimeError on text that LLVM refuses.
    """
    return _target(instructions).emit_object(_optimised(text, instructions))  # type: ignore[no-any-return]


def assembly(text: str, instructions: Instructions) -> str:
    """The same as assembly text."""
    return _target(instructions).emit_assembly(_optimised(text, instructions))  # type: ignore[no-any-return]


def _optimised(text: str, instructions: Instructions) -> Any:
    import llvmlite.binding as llvm

    target = _target(instructions)
    module = llvm.parse_assembly(text)
    module.data_layout = str(target.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(module, passes)
    return module


@functools.cache
def _target(instructions: Instructions) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(instructions.triple)
    return target.create_target_machine(
        cpu=instructions.cpu,
        features=instructions.features,
        opt=3,
        reloc="pic",
        codemodel="jitdefault",
        jit=True,
    )


def _link(code: bytes, names: Sequence[str]) -> dict[str, int]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _alive.append(engine)
    return {name: int(engine.get_function_address(name)) for name in names}


def _read(path: Path) -> tuple[float, bytes] | None:
    try:
        head, _, code = path.read_bytes().partition(b"\n")
        seconds, digest = head.split()
        whole = hashlib.sha256(code).hexdigest().encode() == digest
        return (float(seconds), code) if whole else None
    except (OSError, ValueError):  # none yet, or not what was written
        return None
