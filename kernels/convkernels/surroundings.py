"""What surrounds a call and would change its arithmetic: held off while an algorithm runs.

An algorithm declares its arithmetic, and a caller may be inside ``torch.autocast``, have asked for
TF32 or bfloat16 in matrix products, or have another default device. NumPy's ``errstate`` and
torch's ``inference_mode`` change no number and are left as they are.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from typing import Any

from convkernels import namespaces
from convkernels.toolbox.settings import Held, Setting, attribute

FULL = "ieee"  # as torch calls float32 products in float32
PLAIN = ("none", FULL)  # settings that mean it on a CPU


def held_off(namespace: str, device: str) -> contextlib.AbstractContextManager[Any]:
    """A block in which arrays of this library and device are computed with as declared; what is to
    be held off is found out by the call."""
    if namespace != "torch":
        return namespaces.on(namespace, device)
    blocks = list(_of_torch(device))
    return blocks[0] if len(blocks) == 1 else _every(blocks)


@contextlib.contextmanager
def _every(blocks: Iterable[contextlib.AbstractContextManager[Any]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for block in blocks:
            stack.enter_context(block)
        yield


def _of_torch(device: str) -> Iterator[contextlib.AbstractContextManager[Any]]:
    import torch

    kind = device.partition(":")[0]
    if kind != "cpu":
        yield namespaces.on("torch", device)
    if torch.is_autocast_enabled(kind):
        yield torch.autocast(kind, enabled=False)
    if torch.get_default_device().type != kind:
        yield torch.device(device)
    yield _products(kind)


@functools.cache
def _products(kind: str) -> Held:
    import torch

    backends = torch.backends
    if not hasattr(backends.mkldnn, "conv"):  # before 2.9: one setting for all
        whole = Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        )
        return Held(lambda: [whole])
    if kind == "cpu":
        owners: tuple[Any, ...] = (backends.mkldnn.matmul, backends.mkldnn.conv)
    else:
        owners = (backends.cuda.matmul,)
    return Held(lambda: [precision(owner) for owner in owners if not _is_plain(owner)])


def _is_plain(owner: Any) -> bool:
    return owner.fp32_precision in PLAIN


def precision(owner: Any) -> Setting:
    """float32 in full, of one of torch's kinds of products; put back so that what followed a
    wider setting follows it again."""
    setting = attribute(owner, "fp32_precision", FULL)
    put = setting.put

    def back(found: str) -> None:
        put("none")  # follow the wider setting
        if setting.get() != found:
            put(found)

    return setting._replace(put=back)
