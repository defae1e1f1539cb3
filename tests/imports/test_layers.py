"""Public lists of layers become sweeps: each format, what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.errors import BadInput
from convcross.imports.layers import Layers, import_layers
from convcross.sweeps import spec
from convkernels import Problem

DEEPBENCH = """\
// Vector saves w, h, c, n, k, filter_w(s), filter_h(r), pad_w, pad_h, wstride, hstride
std::vector<std::tuple<unsigned int, unsigned int>> training_set = {
    std::make_tuple(700, 161, 1, 4, 32, 20, 5, 0, 0, 2, 2),
    std::make_tuple(56, 56, 64, 8, 64, 3, 3, 1, 1, 1, 1)
};
std::vector<std::tuple<unsigned int, unsigned int>> inference_device_set = {
    std::make_tuple(151, 40, 1, 1, 32, 20, 5, 8, 8, 8, 2),
    //std::make_tuple(7, 7, 512, 1, 512, 3, 3, 1, 1, 1, 1), ARM convolution seg faults
    std::make_tuple(56, 56, 64, 8, 64, 3, 3, 1, 1, 1, 1),
    std::make_tuple(56, 56, 64)
};
"""
BENCHDNN = """\
# a comment
--reset --dir=FWD_B
mb1ic3ih224oc64oh112kh7sh2ph3n"name"
g2_ic32oc32_iw27kw2_n"line"
mb1ic3oc64_ih1200oh600kh7sh2dh0ph3_iw1000ow500kw7sw2dw0pw3
ic8oc8_ih5oh2kh3dh2ph3n"dilated"
ic3oc4_id8ih8kd3kh3n"volume"
what is this
"""
TRITONBENCH = """\
Operator: aten.convolution.default
cnt: 1, ((T([96, 3, 224, 224], f16), T([32, 3, 3, 3], f16), None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1), {})
cnt: 1, ((T([5, 64, 13, 13], f16, stride=(1, 2, 3, 4)), T([64, 1, 3, 5], f16), T([64], f16), [1, 1], [0, 2], [2, 1], False, [0, 0], 64), {})
cnt: 2, ((T([4, 64, 100], f32), T([64, 64, 5], f32), None, [1], [2], [1], False, [0], 1), {})
cnt: 1, ((T([5, 64, 13, 13], f16), T([64, 64, 3, 3], f16), None, [1, 1], [0, 0], [1, 1], True, [0, 0], 1), {})
Operator: aten.convolution_backward.default
cnt: 1, ((T([5, 64, 11, 11], f16), T([5, 64, 13, 13], f16), T([64, 64, 3, 3], f16), [64], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True]), {})
"""  # noqa: E501
CSV = """\
name, H, W, kh, kw, in_channels, out_channels, batch, pad_h
"a, ""quoted"" é", 32, 30, 3, 5, 4, 8, 2, 1
, 1, 100, 1, 7
bad, 1, x, 1, 7
short, 3, 3, 3
too large, 4, 4, 9, 9, 1, 1, 1, 0
"""


def converted(folder: Path, text: str) -> tuple[list[Problem], Layers]:
    """The problems of the sweep that is made of a list."""
    (folder / "list.txt").write_text(text, encoding="utf-8")
    path, found = import_layers(folder / "list.txt", folder / "made.toml")
    return [problem for problem, _, _ in spec.load(str(path)).cells()], found


def layer(image: tuple[int, int], kernel: tuple[int, int], **fields: object) -> Problem:
    return Problem(image, kernel, op="correlation", **fields)  # type: ignore[arg-type]


def test_deepbench(tmp_path: Path) -> None:
    found, layers = converted(tmp_path, DEEPBENCH)
    padded = ((1, 1), (1, 1))
    assert found == [
        layer((161, 700), (5, 20), batch=4, out_channels=32, stride=2, padding=((0, 0), (0, 0))),
        layer((56, 56), (3, 3), batch=8, in_channels=64, out_channels=64, padding=padded),
        layer((40, 151), (5, 20), out_channels=32, stride=(2, 8), padding=((8, 8), (8, 8))),
    ]
    assert [one.name for one in layers.layers] == [
        "training_set",
        "training_set 2",
        "inference_device_set",
    ]
    assert layers.layers[0].source == "list.txt:3"
    assert layers.sentences() == [
        "1 found twice",
        "1 left out: a make_tuple without 11 whole numbers (line 10)",
    ]


def test_benchdnn(tmp_path: Path) -> None:
    found, layers = converted(tmp_path, BENCHDNN)
    first, line, wide, dilated = found
    assert first == layer(
        (224, 224), (7, 7), in_channels=3, out_channels=64, stride=2, padding=((3, 2), (3, 2))
    )
    assert first.output == (112, 112)
    assert line == layer(
        (1, 27), (1, 2), batch=2, in_channels=32, out_channels=32, groups=2, padding=((0, 0),) * 2
    )
    assert (wide.image, wide.output) == ((1200, 1000), (600, 500))
    assert (dilated.dilation, dilated.output) == ((3, 3), (2, 2))
    assert [one.name for one in layers.layers] == ["name", "line", "layer 1", "dilated"]
    assert layers.sentences() == [
        "1 left out: a convolution in three dimensions (line 7)",
        "1 left out: no descriptor of a convolution (line 8)",
    ]


def test_tritonbench(tmp_path: Path) -> None:
    found, layers = converted(tmp_path, TRITONBENCH)
    assert found == [
        layer(
            (224, 224),
            (3, 3),
            batch=96,
            in_channels=3,
            out_channels=32,
            stride=2,
            padding=((1, 1), (1, 1)),
        ),
        layer(
            (13, 13),
            (3, 5),
            batch=5,
            in_channels=64,
            out_channels=64,
            groups=64,
            dilation=(2, 1),
            padding=((0, 0), (2, 2)),
        ),
        layer((1, 100), (1, 5), batch=4, in_channels=64, out_channels=64, padding=((0, 0), (2, 2))),
    ]
    assert layers.sentences() == ["1 left out: a transposed convolution (line 5)"]


def test_tritonbench_as_json(tmp_path: Path) -> None:
    call = TRITONBENCH.splitlines()[1].removeprefix("cnt: 1, ")
    found, _ = converted(tmp_path, f'{{"aten.convolution.default": {{"{call}": 1}}}}')
    assert [problem.batch for problem in found] == [96]


def test_csv(tmp_path: Path) -> None:
    found, layers = converted(tmp_path, CSV)
    assert found == [
        layer(
            (32, 30),
            (3, 5),
            batch=2,
            in_channels=4,
            out_channels=8,
            padding=((1, 1), (0, 0)),
        ),
        layer((1, 100), (1, 7), mode="same"),
    ]
    assert [one.name for one in layers.layers] == ['a, "quoted" é', "layer 1"]
    assert layers.sentences() == [
        "1 left out: what should be a whole number is none (line 4)",
        "1 left out: no kw (line 5)",
        "1 left out: kernel is [9, 9]; allowed with this padding: up to [4, 4] for image [4, 4] "
        "(line 6)",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no list of layers; allowed: DeepBench"),
        ("contender,family,N,n,seconds\n", "no list of layers"),
        ("H,W,kh,kw\n", "no layer"),
        ("H,W,kh,kw\n3,3,4,x\n", "no layer; 1 left out: what should be a whole number"),
        ("H,W,kh,kw\n99999999,3,4,3\n", "no layer; 1 left out: image.0"),
        ("std::make_tuple(1, 2)\n", "no layer; 1 left out: a make_tuple without 11"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as refusal:
        converted(tmp_path, text)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "made.toml").exists()


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    converted(tmp_path, CSV)
    with pytest.raises(BadInput, match="exists; allowed: a new file"):
        converted(tmp_path, CSV)


def test_the_shipped_layers_have_names_and_sources_and_fit_a_cpu() -> None:
    sweep = spec.load("layers")
    assert len(sweep.layers) >= 36
    assert len({one.name for one in sweep.layers}) == len(sweep.layers)
    assert all(one.source for one in sweep.layers)
    networks = ("AlexNet", "VGG-16", "ResNet-50", "ConvNeXt", "RepLKNet", "convnet", "DeepBench")
    assert all(any(one.name.startswith(name) for one in sweep.layers) for name in networks)
    fitted = sweep.scaled_to(["cpu"])
    assert max(one.batch for one in fitted.layers) <= 4
    large = next(one for one in fitted.layers if one.name == "convnet-benchmarks L2")
    problem = Problem(**large.fields(), op="correlation")
    assert fitted.said_of(problem) == "batch 4; in the sweep's layer 128"
