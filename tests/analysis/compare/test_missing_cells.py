"""What the second file lacks: told, and a failure for who asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import synthetic

KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def results(path: Path, seed: int, kernels: tuple[int, ...] = KERNELS) -> Path:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    duels = synthetic.duels(curves, sizes=[512], kernels=kernels, rounds=100, seed=seed)
    return synthetic.write(path, duels)


def test_fewer_cells_fail(tmp_path: Path, convcross: Callable[..., tuple[int, str, str]]) -> None:
    a = results(tmp_path / "a.jsonl", 1)
    fewer = results(tmp_path / "fewer.jsonl", seed=3, kernels=(3, 5, 7))
    code, _, err = convcross(a, fewer, "--fail-on-slower")
    assert code == 1
    assert (
        "B lacks 10 cells of A, of direct/numpy@cpu, fft/numpy@cpu; allowed: --allow-missing" in err
    )
    assert convcross(a, fewer, "--fail-on-slower", "--allow-missing")[0] == 0
    assert convcross(fewer, a, "--fail-on-slower")[0] == 0  # more than before is no loss
    assert convcross(a, fewer, "--allow-missing")[0] == 2
