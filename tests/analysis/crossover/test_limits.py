"""What results cannot say of a crossover is a sentence: what, and why."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.load import load
from convcross.errors import BadInput
from support import synthetic
from support.synthetic import swept

PAIR = [("direct", "fft")]


def one(rows: Sequence[Crossover]) -> Crossover:
    assert len(rows) == 1
    return rows[0]


def refusal(paths: list[Path], **how: object) -> str:
    with pytest.raises(BadInput) as caught:
        crossovers(paths, **how)
    message = str(caught.value)
    assert "\n" not in message
    return message


def twice(folder: Path, crossing: float, seed: int = 0) -> list[Path]:
    """A sweep, and a newer one in which fft crosses at ``crossing`` in the place of 21."""
    settings = {"sizes": [512], "kernels": (3, 5, 7, 9, 11, 15, 21, 31)}
    old = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(21)}
    new = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(crossing)}
    later = synthetic.header(started_at="2026-11-02T00:00:00Z")
    return [
        synthetic.write(folder / "new.jsonl", synthetic.duels(new, seed=seed, **settings), later),
        synthetic.write(folder / "old.jsonl", synthetic.duels(old, **settings)),
    ]


def test_the_newest_of_two_measurements_counts_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = twice(tmp_path, 7.5)
    for order in (paths, paths[::-1]):
        caplog.clear()
        assert one(crossovers(order, pairs=PAIR)).n_star == pytest.approx(7.5, rel=0.02)
        assert "16 measurements found twice; the newest counts" in caplog.text
        told = re.search(
            r"8 of those found twice differ by more than the 95 % intervals, most of all "
            r"fft/numpy at N = 512, n = (\d+): (\S+) s, then (\S+) s",
            caplog.text,
        )
        assert told
        assert float(told[2]) / float(told[3]) == pytest.approx((21 / 7.5) ** 2, rel=0.1)


def test_two_measurements_that_agree_contradict_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crossovers(twice(tmp_path, 21), pairs=PAIR)
    assert "found twice" in caplog.text
    assert "differ" not in caplog.text


def test_machines_are_not_mixed(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [
        synthetic.write(
            tmp_path / f"{name}.jsonl", synthetic.duels(contenders), synthetic.header(name)
        )
        for name in ("one", "other")
    ]
    message = refusal(paths)
    assert "'one'" in message
    assert "'other'" in message


def test_thread_counts_are_not_mixed(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [
        synthetic.write(
            tmp_path / f"{threads}.jsonl",
            synthetic.duels(contenders, seed=threads, threads=threads),
        )
        for threads in (1, 2)
    ]
    duels = synthetic.duels(contenders, sizes=[1024], threads=1)
    paths[0] = synthetic.write(tmp_path / "other-sizes.jsonl", duels)
    assert "threads are 1 and 2" in refusal(paths)


def test_one_contender_makes_no_crossover(tmp_path: Path) -> None:
    duels = synthetic.duels({"fft/numpy": synthetic.fft(9.4)})
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert "fft/numpy is the only contender" in refusal([path])


def test_one_image_size_and_one_kernel_limit_what_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256, 512])
    crossovers([synthetic.write(tmp_path / "both.jsonl", duels)], pairs=PAIR)
    assert not caplog.text
    duels = synthetic.duels(contenders, sizes=[512], kernels=[7])
    row = one(crossovers([synthetic.write(tmp_path / "one.jsonl", duels)], pairs=PAIR))
    assert (row.verdict, row.n_star, row.low) == ("beyond-grid", None, 7)
    assert "direct and fft share one kernel size only at N = 512" in caplog.text
    assert "N = 512 is the only image size: n* there can be said, not how it" in caplog.text


def test_a_pair_without_common_cells_is_told_beside_one_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    duels += synthetic.duels({"im2col-gemm/numpy": synthetic.direct()}, sizes=[256])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert len(crossovers([path], pairs=[*PAIR, ("im2col", "fft")])) == 1
    assert "pair im2col,fft: no cell in which both have a usable time" in caplog.text


def test_schemas_of_two_versions_are_not_read_as_one(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [tmp_path / "now.jsonl", tmp_path / "later.jsonl"]
    for path in paths:
        synthetic.write(path, synthetic.duels(contenders, sizes=[512]))
    paths[1].write_text(paths[1].read_text().replace('"schema":1', '"schema":2', 1))
    message = refusal(paths)
    assert "later.jsonl:1: schema is 2; allowed: 1 to 1" in message


def test_all_censored_makes_no_crossover(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256], status="timeout")
    message = refusal([synthetic.write(tmp_path / "a.jsonl", duels)])
    assert "no usable time" in message
    assert "16 timeout" in message


def test_no_finished_duel(tmp_path: Path) -> None:
    assert "no finished duel" in refusal([synthetic.write(tmp_path / "a.jsonl", [])])


def test_layers_alone_make_no_crossover(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, problem={"stride": (2, 2)})
    assert "no square image" in refusal([synthetic.write(tmp_path / "a.jsonl", duels)])


def test_a_missing_family_names_what_is_there(tmp_path: Path) -> None:
    contenders = {"im2col/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    path = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(contenders))
    message = refusal([path])
    assert "family direct" in message
    assert "im2col/numpy" in message


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"pairs": [("direct", "winograd")]}, "'winograd'"),
        ({"pairs": [("direct", "fft/cupy")]}, "'fft/cupy'"),
        ({"pairs": [("direct", "fft@cuda:0")]}, "'fft@cuda:0'"),
        ({"pairs": [("fft", "fft")]}, "two different sides"),
        ({"phase": "last"}, "allowed: steady, fresh, first"),
        ({"cost": "money"}, "allowed: time, error, workspace"),
        ({"cost": "energy"}, "not measured"),
        ({"cost": "energy", "phase": "fresh"}, "allowed with cost 'energy': steady"),
        ({"cost": "error", "phase": "first"}, "allowed with cost 'error': steady"),
        ({"cost": "workspace"}, "no cell in which both have a usable workspace"),
    ],
)
def test_bad_requests_name_what_is_allowed(
    tmp_path: Path, how: dict[str, object], told: str
) -> None:
    assert told in refusal([swept(tmp_path, synthetic.fft(9.4))], **how)


def test_disjoint_cells_make_no_crossover(tmp_path: Path) -> None:
    duels = synthetic.duels({"direct/numpy": synthetic.direct()}, sizes=[256])
    duels += synthetic.duels({"fft/numpy": synthetic.fft(9.4)}, sizes=[512])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert "no cell in which both" in refusal([path])


def test_a_cell_that_a_search_measured_again_is_not_doubled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    first, *others = synthetic.duels(contenders, sizes=[512])
    again = [one.model_copy(update={"duel": f"{one.duel}+2"}) for one in first]
    path = synthetic.write(tmp_path / "a.jsonl", [first, *others, again])
    assert len(load([path]).frame) == len(first) * (1 + len(others))
    assert "found twice" not in caplog.text
