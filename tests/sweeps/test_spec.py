"""Sweeps: TOML in, a validated sweep or one clear complaint out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.errors import BadInput
from convcross.sweeps import data, spec
from convcross.sweeps.shipped import shipped
from convkernels import Problem
from convkernels.problem import OPS

GRID = "sizes = [16]\nkernels = [3]\n"
LAYER = '[[layers]]\nname = "first"\nimage = [8, 8]\nkernel = [3, 3]\n'


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def complaint(folder: Path, text: str, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(BadInput) as raised:
        spec.load(write(folder, text), overrides)
    message = str(raised.value)
    assert "\n" not in message
    assert str(folder / "mine.toml") in message
    return message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GRID + "outputs = [2]\n", ("outputs: there are sizes too", "one of the two")),
        ("outputs = [2]\nkernels = [3]\n", ("modes is ['same']", "with outputs: valid")),
        ('outputs = [2]\nmodes = ["valid"]\n', ("kernels: the grid is empty",)),
        ("sizes = [16", ("not TOML", "Unclosed array")),
        (GRID.replace("\n", "\r\r\n"), ("not TOML", "Expected newline")),
        ("a = " + "[" * 3000 + "]" * 3000, ("not TOML",)),
        (f"seed = {'9' * 5000}", ("not TOML", "5000 digits")),
        (
            "sizes = [16]\nkernel = [3]",
            ("kernel: unknown key", "sizes, kernels, dimensions, layers"),
        ),
        (GRID + '"a\\nb" = 1', ("a b: unknown key", "sizes, kernels, dimensions, layers")),
        (
            GRID + "[limits]\nsecond = 1",
            ("limits.second: unknown key", "seconds, samples, run_seconds"),
        ),
        (LAYER + "strides = 1", ("layers.0.strides: unknown key", "stride, dilation")),
        ('[[layers]]\nname = "a"\nimage = [8, 8]', ("layers.0.kernel: missing",)),
        ("sizes = [0]\nkernels = [3]", ("sizes.0", "got 0", "equal to 1")),
        ("sizes = [16]\nkernels = [3, -1]", ("kernels.1", "got -1", "equal to 1")),
        ("sizes = [1.5]\nkernels = [3]", ("sizes.0", "got 1.5", "valid integer")),
        ("sizes = [true]\nkernels = [3]", ("sizes.0", "got True", "valid integer")),
        ('sizes = ["16"]\nkernels = [3]', ("sizes.0", "got '16'", "valid integer")),
        ("sizes = [200000]\nkernels = [3]", ("sizes.0", "got 200000", "131072")),
        (f"sizes = [{'9' * 50}]\nkernels = [3]", ("sizes.0", "131072")),
        ("sizes = 16\nkernels = [3]", ("sizes", "got 16", "valid list")),
        ('sizes = "16,x"\nkernels = [3]', ("sizes", "'x'", "first:last:step")),
        ('sizes = "1:900"\nkernels = "1:900"', ("sizes", "810000 cells", "up to 100000")),
        ("sizes = []\nkernels = [3]", ("sizes: the grid is empty", "allowed: at least one")),
        ("sizes = [16]", ("kernels: the grid is empty", "allowed: at least one")),
        ("", ("sizes: the grid is empty", "allowed: sizes and kernels, or layers")),
        (GRID + 'dtypes = ["float8"]', ("dtypes", "'float8'", "float64, float32, float16")),
        (GRID + 'dtypes = "float32"', ("dtypes", "got 'float32'", "valid list")),
        (GRID + "dtypes = []", ("dtypes", "got []", "at least 1")),
        (GRID + 'modes = ["sane"]', ("modes", "'sane'", "full, same, valid")),
        (GRID + 'ops = ["product"]', ("ops", "'product'", "convolution, correlation")),
        (GRID + 'regime = "cold"', ("regime", "'cold'", "flushed, warm, graph, wall")),
        (GRID + 'boundary = "mirror"', ("boundary", "'mirror'", "zero, circular")),
        (GRID + 'image_data = ["cat"]', ("image_data", "'cat'", "normal, uniform, photo")),
        (GRID + 'kernel_data = ["cat"]', ("kernel_data", "'cat'", "normal, gaussian, box")),
        (GRID + "contenders = []", ("contenders", "got []", "at least 1")),
        (GRID + "contenders = [1]", ("contenders.0", "got 1", "valid string")),
        (GRID + "seed = -1", ("seed", "got -1", "equal to 0")),
        (GRID + "seed = true", ("seed", "got True", "valid integer")),
        (GRID + "threads = 0", ("threads", "got 0", "equal to 1")),
        (GRID + "error_seeds = 0", ("error_seeds", "got 0", "equal to 1")),
        (GRID + "error_seeds = 2.5", ("error_seeds", "got 2.5", "valid integer")),
        (GRID + "[limits]\nseconds = 0", ("limits.seconds", "got 0", "greater than 0")),
        (GRID + "[limits]\nseconds = nan", ("limits.seconds", "got nan", "finite")),
        (GRID + "[limits]\nrun_seconds = true", ("limits.run_seconds", "got True", "number")),
        (GRID + "[limits]\nsamples = 4", ("limits.samples", "got 4", "equal to 5")),
        (GRID + "limits = 3", ("limits", "got 3", "dictionary")),
        (GRID + 'name = "a\\u0007b"', ("name", "'a\\x07b'", "printable")),
        (GRID + 'name = " "', ("name", "' '", "printable")),
        (
            GRID + 'image_data = ["denormal"]\ndtypes = ["float16"]',
            ("dtypes", "float16", "float32"),
        ),
        (
            GRID + 'image_data = ["denormal"]\ndirections = ["grad_weight"]',
            ("directions", "grad_weight", "forward"),
        ),
        (GRID + 'directions = ["back"]', ("direction is 'back'", "grad_input, grad_weight")),
        (
            'sizes = [8]\nkernels = [9, 11]\nmodes = ["valid"]',
            ("kernels: all are larger than the images", "n <= N"),
        ),
        (GRID + "dimensions = 3", ("dimensions", "1 or 2")),
        (GRID + 'modes = ["valid"]\nboundary = "circular"', ("mode is 'valid'", "full, same")),
        (LAYER + "in_channels = 3\ngroups = 2", ("layer 'first'", "in_channels is 3", "groups=2")),
        (LAYER + "stride = 0", ("layers.0.stride", "got 0", "equal to 1")),
        (LAYER + "padding = [[0, 0], [-1, 0]]", ("layers.0.padding.1.0", "got -1", "equal to 0")),
    ],
)
def test_bad_toml(tmp_path: Path, text: str, told: tuple[str, ...]) -> None:
    message = complaint(tmp_path, text)
    for part in told:
        assert part in message


def test_what_is_no_sweep_file(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for place, why in (
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "binary.toml", "not a text file"),
    ):
        with pytest.raises(
            BadInput,
            match=rf"{re.escape(str(place))}.*{why}; allowed: {', '.join(shipped())}, or",
        ):
            spec.load(str(place))


@pytest.mark.parametrize("name", shipped())
def test_shipped_sweeps_are_sweeps(name: str) -> None:
    sweep = spec.load(name)
    assert sweep.name == name
    assert sweep.title
    assert any(True for _ in sweep.cells())


def test_the_sweep_of_errors_asks_for_all_that_errors_depend_on() -> None:
    sweep = spec.load("errors")
    assert sweep.error_seeds >= 5
    assert set(sweep.image_data) == set(data.IMAGES) - {"denormal"}  # of float32 alone
    assert set(sweep.ops) == set(OPS)
    assert {"float64", "float32", "float16"} <= set(sweep.dtypes)
    assert len(sweep.sizes) >= 3
    assert len(sweep.kernels) >= 3


def test_defaults_are_one_setting_and_a_file_names_its_sweep(tmp_path: Path) -> None:
    sweep = spec.load(write(tmp_path, GRID))
    assert sweep.name == "mine"
    [(problem, image_data, kernel_data)] = sweep.cells()
    assert (problem.image, problem.kernel) == ((16, 16), (3, 3))
    assert (problem.op, problem.mode, problem.dtype) == ("convolution", "same", "float32")
    assert (image_data, kernel_data) == ("normal", "normal")
    assert sweep.error_seeds == 1


OUTPUTS = 'outputs = [1, 4]\nkernels = [3, 5]\nmodes = ["valid"]\n'


def test_a_grid_by_outputs_has_images_that_give_them(tmp_path: Path) -> None:
    sweep = spec.load(write(tmp_path, OUTPUTS + "batches = [2]\nchannels = [3, 8]\n"))
    problems = [problem for problem, *_ in sweep.cells()]
    assert {(p.output[0], p.kernel[0], p.in_channels) for p in problems} == {
        (output, kernel, channels) for output in (1, 4) for kernel in (3, 5) for channels in (3, 8)
    }
    assert {(p.batch, p.in_channels == p.out_channels) for p in problems} == {(2, True)}
    assert all(sweep.has(problem) for problem in problems)
    assert not sweep.has(Problem((9, 9), (3, 3), mode="valid"))


def test_a_grid_is_scaled_to_a_cpu_in_proportion(tmp_path: Path) -> None:
    keys = "batches = [16, 128]\nchannels = [1, 64]\ncpu_batch = 8\ncpu_channels = 32\n"
    sweep = spec.load(write(tmp_path, OUTPUTS + keys))
    scaled = sweep.scaled_to(["cpu"])
    assert (scaled.batches, scaled.channels) == ([1, 8], [1, 32])
    told = {scaled.said_of(problem) for problem, *_ in scaled.cells()}
    assert "batch 1, channels 32; in the sweep's grid 16, 64" in told
    assert len(told) == 4
    assert sweep.scaled_to(["cpu", "cuda:0"]) is sweep
    assert spec.Sweep.model_validate(scaled.model_dump(mode="json")).scaled_to(["cpu"]) == scaled


def test_sizes_take_the_place_of_outputs(tmp_path: Path) -> None:
    sweep = spec.load(write(tmp_path, OUTPUTS), {"sizes": "16"})
    assert {problem.image for problem, *_ in sweep.cells()} == {(16, 16)}


def test_cells_are_the_whole_product(tmp_path: Path) -> None:
    """Each cell once, also where a layer is like one of the grid."""
    text = (
        'sizes = [16, 8, 16]\nkernels = "1:5:2"\nops = ["convolution", "correlation"]\n'
        'modes = ["full", "valid"]\ndtypes = ["float64", "float16"]\n'
        'image_data = ["photo", "normal"]\n'
    )
    cells = list(spec.load(write(tmp_path, text + LAYER)).cells())
    assert len(set(cells)) == len(cells) == 2 * 3 * 2 * 2 * 2 * 2
    assert {problem.kernel[0] for problem, _, _ in cells} == {1, 3, 5}


def test_overrides(tmp_path: Path) -> None:
    file = write(tmp_path, GRID + 'ops = ["convolution", "correlation"]\n' + LAYER)
    assert len(spec.load(file).layers) == 1
    over = {"sizes": "32:64:16", "kernels": "3,5", "ops": ["correlation"], "regime": "wall"}
    sweep = spec.load(file, over)
    assert sweep.sizes == [32, 48, 64]
    assert sweep.kernels == [3, 5]
    assert (sweep.ops, sweep.regime) == (["correlation"], "wall")
    assert sweep.layers == []  # the grid asked for, and nothing beside it
    assert "'float8'" in complaint(tmp_path, GRID, {"dtypes": ["float8"]})
    assert "'3:'" in complaint(tmp_path, GRID, {"sizes": "3:"})


def test_layers_alone_have_no_grid_to_override(tmp_path: Path) -> None:
    assert "kernels" in complaint(tmp_path, LAYER, {"sizes": "16"})
    sweep = spec.load(write(tmp_path, LAYER), {"sizes": "16", "kernels": "5"})
    assert (sweep.sizes, sweep.kernels, sweep.layers) == ([16], [5], [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3", [3]),
        ("3,5,7", [3, 5, 7]),
        (" 3 , 5 ", [3, 5]),
        ("3:9:2", [3, 5, 7, 9]),
        ("3:10:2", [3, 5, 7, 9]),
        ("3:5", [3, 4, 5]),
        ("3:63:2", list(range(3, 64, 2))),
        ("1,3:5,9", [1, 3, 4, 5, 9]),
        ("7:7", [7]),
    ],
)
def test_numbers(text: str, found: list[int]) -> None:
    assert spec.numbers(text) == found


BAD = ("", ",", "3,", "x", "-3", "3.5", "3:", ":3", "3:1", "1:9:0", "3:5:1:1", "3 5", "9" * 10)


@pytest.mark.parametrize("text", [*BAD, "1:999999999", "1:90000,1:90000"])
def test_not_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (not a size|an empty or endless range); allowed: "):
        spec.numbers(text)


numeral = st.integers(0, 999).map(str)
plausible = st.lists(st.lists(numeral, min_size=1, max_size=4).map(":".join), max_size=4).map(
    ",".join
)


@settings(max_examples=50)
@given(plausible | st.text("0123456789:, -x.", max_size=12) | st.text(max_size=12))
def test_numbers_of_any_text(text: str) -> None:
    try:
        found, told = spec.numbers(text), ""
    except ValueError as error:
        found, told = [], str(error)
    assert bool(found) != ("allowed: " in told)
    assert all(type(number) is int and number >= 0 for number in found)


scalar = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 40)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from([*spec.OPS, *spec.MODES, *spec.DTYPES, "3:9:2", "normal", "fft/*", "zero"])
)
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
)


def filled(model: Any, names: set[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries with some of a model's keys, whatever their values."""
    known = st.sampled_from(sorted(model.model_fields)) | st.text(max_size=4)
    return st.dictionaries(known, value, max_size=6).map(
        lambda keys: {key: keys[key] for key in keys if key not in names}
    )


toml = filled(spec.Sweep, {"limits", "layers"}).flatmap(
    lambda keys: st.fixed_dictionaries(
        {},
        optional={
            "limits": filled(spec.Limits, set()) | value,
            "layers": st.lists(filled(spec.Layer, set()), max_size=2) | value,
            "sizes": st.lists(st.integers(1, 20), min_size=1, max_size=3),
            "kernels": st.lists(st.integers(1, 20), min_size=1, max_size=3),
        },
    ).map(lambda more: {"name": "fuzzed", **keys, **more})
)


@settings(max_examples=60)
@given(toml)
def test_any_keys_give_a_sweep_or_a_complaint(keys: dict[str, Any]) -> None:
    try:
        sweep, told = spec.validated(keys, "sweep 'fuzzed'"), ""
    except BadInput as error:
        sweep, told = None, str(error)
    if sweep is None:
        assert told.startswith("sweep 'fuzzed': ")
    else:
        assert any(True for _ in sweep.cells())
        assert sweep == spec.Sweep.model_validate_json(sweep.model_dump_json())


def test_a_grid_goes_to_the_size_of_its_images() -> None:
    keys = {"name": "grid", "sizes": [8, 16], "kernels": [3, 8, 9, 16, 17], "modes": ["valid"]}
    problems = [problem for problem, _, _ in spec.validated(keys, "grid").cells()]
    pairs = [(problem.image[0], problem.kernel[0]) for problem in problems]
    assert pairs == [(8, 3), (8, 8), (16, 3), (16, 8), (16, 9), (16, 16)]


def test_a_grid_of_lines() -> None:
    keys = {"name": "lines", "sizes": [8, 64], "kernels": [3, 63], "dimensions": 1}
    problems = [problem for problem, _, _ in spec.validated(keys, "lines").cells()]
    assert [(problem.image, problem.kernel) for problem in problems] == [
        ((1, 8), (1, 3)),
        ((1, 64), (1, 3)),
        ((1, 64), (1, 63)),
    ]


@pytest.mark.parametrize("name", ["image", "crossover"])
def test_the_grids_that_come_along_reach_large_kernels(name: str) -> None:
    """To n = N of images up to 512, the largest odd n there, and to 511 of larger ones."""
    largest: dict[int, int] = {}
    for problem, _, _ in spec.load(name).cells():
        N, n = problem.image[0], problem.kernel[0]
        largest[N] = max(n, largest.get(N, 0))
    assert largest == {N: min(N - 1, 511) for N in largest}
    assert {64, 512, 4096} <= largest.keys()


def test_directions_are_problems_of_their_own(tmp_path: Path) -> None:
    """Of a filters' gradient, which has no kernel, one kind of kernel data."""
    text = GRID + 'directions = ["forward", "grad_input", "grad_weight"]\n'
    sweep = spec.load(write(tmp_path, text + 'kernel_data = ["normal", "box"]\n'))
    found = [(problem.direction, kernel) for problem, _, kernel in sweep.cells()]
    assert found == [
        ("forward", "normal"),
        ("forward", "box"),
        ("grad_input", "normal"),
        ("grad_input", "box"),
        ("grad_weight", "normal"),
    ]
    assert {problem.direction for problem, _, _ in spec.load("quick").cells()} == {"forward"}
