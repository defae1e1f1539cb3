"""The demo: any photograph is read, the patch is found, the ops are compared, one figure comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from convcross.cli import app
from convcross.demo import photo, show, words
from convcross.errors import BadInput
from convcross.results.schema import Record
from convcross.sweeps import data
from convcross.sweeps.contenders import available, matching
from convcross.sweeps.spec import Limits
from convkernels import Problem

SIZE = 112, 128  # (H, W)


def scene() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A part of the portrait with the cap and the glasses: bytes, of SIZE."""
    return np.rint(255 * data.portrait()[40:264:2, 160:416:2]).astype(np.uint8)


@pytest.fixture
def scenery(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(scene()).save(path)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples, of three contenders."""
    monkeypatch.setattr(show, "LIMITS", Limits(seconds=0.001, samples=5, run_seconds=20))
    few = ["direct/numpy", "fft/numpy", "scipy-convolve2d"]
    monkeypatch.setattr(show, "matching", lambda _, there: matching(few, there))


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["convcross", "demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


# ---- reading ---------------------------------------------------------------------------------


def rgb() -> Image.Image:
    return Image.fromarray(np.stack([scene()] * 3, axis=-1))


FORMS = {
    "grey.png": lambda: Image.fromarray(scene()),
    "rgb.png": rgb,
    "rgb.tif": rgb,
    "palette.png": lambda: Image.fromarray(scene()).convert("P"),
    "grey-alpha.png": lambda: Image.fromarray(scene()).convert("LA"),
    "opaque.png": lambda: rgb().convert("RGBA"),
    "16-bit.png": lambda: Image.fromarray(scene().astype(np.uint16) * 257),
    "16-bit.tif": lambda: Image.fromarray(scene().astype(np.uint16) * 257),
    "no-suffix-that-says-so.bmp": rgb,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_reads_as_the_same_luminance(name: str, tmp_path: Path) -> None:
    FORMS[name]().save(tmp_path / name)
    photograph = photo.photograph(tmp_path / name)
    assert photograph.original == SIZE
    np.testing.assert_allclose(photograph.values, scene() / 255, atol=1e-6)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_without_a_scale_are_stretched(kind: type, tmp_path: Path) -> None:
    low, high = int(scene().min()), int(scene().max())
    Image.fromarray(kind(1000) * scene().astype(kind) - kind(7)).save(tmp_path / "deep.tif")
    expected = (scene() - float(low)) / (high - low)
    np.testing.assert_allclose(photo.photograph(tmp_path / "deep.tif").values, expected, atol=1e-5)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    picture = rgb().convert("RGBA")
    alpha = np.full(SIZE, 255, dtype=np.uint8)
    alpha[:, :50] = 0
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "cut.png")
    values = photo.photograph(tmp_path / "cut.png").values
    assert np.allclose(values[:, :50], 1)
    np.testing.assert_allclose(values[:, 50:], scene()[:, 50:] / 255, atol=1e-6)


def test_a_photograph_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise by 90°
    Image.fromarray(scene()).save(tmp_path / "side.png", exif=exif)
    photograph = photo.photograph(tmp_path / "side.png")
    np.testing.assert_allclose(photograph.values, np.rot90(scene() / 255, -1), atol=1e-6)


@pytest.mark.parametrize("exif", [b"garbage!garbage", b"Exif\0\0II*\0\x08\0"])
def test_broken_exif_does_not_matter(exif: bytes, tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "scene.png", exif=exif)
    np.testing.assert_allclose(photo.photograph(tmp_path / "scene.png").values, scene() / 255)


def test_a_large_photograph_is_reduced_and_says_from_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo, "PIXELS", 110 * 120)
    Image.fromarray(scene().repeat(4, axis=0).repeat(4, axis=1)).save(tmp_path / "large.png")
    photograph = photo.photograph(tmp_path / "large.png")
    assert photograph.original == (448, 512)
    height, width = photograph.values.shape
    assert 12_600 <= height * width <= 13_200
    assert width / height == pytest.approx(512 / 448, rel=0.02)
    assert photograph.values.mean() == pytest.approx(scene().mean() / 255, rel=0.01)


# ---- bad files -------------------------------------------------------------------------------


def small(path: Path) -> None:
    Image.fromarray(scene()[:95]).save(path, format="PNG")


def cut_short(path: Path) -> None:
    rgb().save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def not_finite(path: Path) -> None:
    Image.fromarray(np.full(SIZE, np.nan, dtype=np.float32)).save(path, format="TIFF")


BAD = {
    "missing": (lambda path: None, "No such file"),
    "a folder": (Path.mkdir, "directory"),
    "text": (lambda path: path.write_text("no image"), "not an image"),
    "empty": (lambda path: path.write_bytes(b""), "not an image"),
    "cut short": (cut_short, "truncated"),
    "not finite": (not_finite, "not finite"),
    "small": (small, "128 x 95 pixels; allowed: at least 96 x 96"),
    "blank": (
        lambda path: Image.new("L", (200, 200), 90).save(path, format="PNG"),
        "no texture",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_and_exit_2(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, message = BAD[name]
    make(tmp_path / "bad")
    out = tmp_path / "figure.png"
    assert exit_code(monkeypatch, tmp_path / "bad", "--out", out, "--device", "cpu") == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert message in complaint
    assert not out.exists()


@pytest.mark.parametrize("flaw", ["truncate", "scramble"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_a_damaged_file_is_read_or_complained_of(form: str, flaw: str, tmp_path: Path) -> None:
    random = data.generator(0, form, flaw)
    path = tmp_path / "damaged"
    rgb().save(path, format=form)
    whole = path.read_bytes()
    for _ in range(20):
        damaged = bytearray(whole)
        if flaw == "truncate":
            damaged = damaged[: int(random.integers(len(whole)))]
        else:
            for place in random.integers(0, min(400, len(whole)), 8):
                damaged[place] = int(random.integers(256))
        path.write_bytes(damaged)
        try:
            values = photo.photograph(path).values
        except BadInput:
            continue
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("name", ["figure.txt", "figure", "folder.png", "scene.png/figure.png"])
def test_a_figure_that_cannot_be_written_is_refused(
    name: str, scenery: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    (scenery.parent / "folder.png").mkdir()
    assert exit_code(monkeypatch, scenery, "--out", scenery.parent / name, "--device", "cpu") == 2


# ---- the search ------------------------------------------------------------------------------


def test_normalised_correlation_is_pearsons_at_every_window() -> None:
    random = data.generator(0, "windows")
    x, template = random.random((14, 17)), random.random((5, 4))
    scores = photo.normalised_correlation(x, template)
    windows = np.lib.stride_tricks.sliding_window_view(x, template.shape)
    expected = [
        [np.corrcoef(window.ravel(), template.ravel())[0, 1] for window in row] for row in windows
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_brightness_and_contrast_do_not_move_the_score() -> None:
    x = data.portrait()[:150, 150:350]
    template = x[20:60, 30:70]
    scores = photo.normalised_correlation(x, template)
    assert scores[20, 30] == pytest.approx(1, abs=1e-9)
    changed = photo.normalised_correlation(0.1 + 3 * x, 0.5 * template - 2)
    np.testing.assert_allclose(changed, scores, atol=1e-6)


def test_a_flat_window_has_score_0() -> None:
    x = np.full((60, 60), 0.7)
    x[30:, 30:] = data.portrait()[200:230, 300:330]
    scores = photo.normalised_correlation(x, data.portrait()[200:210, 300:310])
    assert np.all(scores[:20, :20] == 0)
    assert np.abs(scores).max() <= 1 + 1e-9


def test_the_patch_is_found_where_it_was_cut_and_plain_correlation_fails() -> None:
    sought = photo.search(data.portrait())
    assert sought.found == sought.place
    assert 0.8 < sought.score < 0.99
    assert sought.plain != sought.place
    row, column = sought.place
    cut = data.portrait()[row : row + photo.PATCH, column : column + photo.PATCH]
    assert np.abs(sought.template - cut).max() > 0.3


def test_the_patch_is_cut_where_the_texture_is() -> None:
    x = np.full((200, 260), 0.5)
    x[90:110, 150:170] = data.generator(0, "texture").random((20, 20))
    row, column = photo.most_textured(x)
    assert row <= 90
    assert row + photo.PATCH >= 110
    assert column <= 150
    assert column + photo.PATCH >= 170


def test_stripes_have_no_place() -> None:
    x = np.tile(0.5 + 0.5 * np.sin(np.arange(200) / 3), (150, 1))
    with pytest.raises(BadInput, match="no texture"):
        photo.most_textured(x)


# ---- convolution against correlation ---------------------------------------------------------


def test_the_ops_differ_for_the_emboss_kernel_and_agree_for_the_gaussian() -> None:
    x = scene() / 255
    emboss, gaussian = photo.compare(x, photo.EMBOSS), photo.compare(x, photo.GAUSSIAN)
    assert emboss.largest > 0.5
    assert 0 < gaussian.largest < show.ROUNDING
    flipped = photo.compare(x, photo.EMBOSS[::-1, ::-1])
    np.testing.assert_allclose(flipped.correlation, emboss.convolution, atol=1e-5)


def test_the_gaussian_is_the_one_asked_for() -> None:
    assert photo.GAUSSIAN.sum() == pytest.approx(1)
    assert photo.GAUSSIAN[2, 2] == 41 / 273
    assert np.array_equal(photo.GAUSSIAN, photo.GAUSSIAN.T)
    assert np.array_equal(photo.GAUSSIAN, photo.GAUSSIAN[::-1, ::-1])
    assert not np.array_equal(photo.EMBOSS, photo.EMBOSS[::-1, ::-1])


# ---- times and the whole ---------------------------------------------------------------------


def timed(name: str, median: float, low: float, high: float) -> Record:
    return Record(
        duel="demo",
        problem=Problem((8, 8), (3, 3), mode="same"),
        algorithm=name,
        namespace="numpy",
        device="cpu",
        family="fft",
        arithmetic="ieee",
        image_data="photograph",
        kernel_data="gaussian",
        seed=0,
        regime="warm",
        status="ok",
        median_s=median,
        ci_low_s=low,
        ci_high_s=high,
    )


def test_the_verdict_names_a_winner_only_where_intervals_part() -> None:
    first, close, far = timed("a", 1, 0.9, 1.1), timed("b", 1.2, 1.1, 1.3), timed("c", 3, 2, 4)
    assert words.verdict([first, close, far]) == "a/numpy and b/numpy tie"
    assert words.verdict([first, far]) == "a/numpy is fastest, by a factor of 3"


def test_the_strong_and_the_textbook_ones_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "LIMITS", Limits(seconds=0.001, samples=5, run_seconds=20))
    records = show.time_all(scene()[:60, :60] / 255, photo.GAUSSIAN, ["cpu"])
    there = {str(one) for one in matching(["strong", "textbook"], available(["cpu"]))}
    separable = {name for name in there if "separable" in name}  # the kernel is not of rank 1
    assert {one.contender for one in records} == there - separable
    assert {one.status for one in records} == {"ok"}
    medians = [one.median_s for one in records]
    assert medians == sorted(medians)


def test_a_slow_contender_is_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(show, "LIMITS", Limits(seconds=0.001, samples=5, run_seconds=1e-9))
    slow = show.time_all(scene() / 255, photo.GAUSSIAN, ["cpu"])
    assert len(slow) == 3
    assert {one.status for one in slow} == {"timeout"}
    assert words.outcome(slow[0]).startswith("left out: a run ")


def test_the_command_prints_what_it_found_and_draws_it(
    scenery: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    out = scenery.parent / "new" / "figure.png"
    assert exit_code(monkeypatch, scenery, "--out", out, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "scene.png: 128 x 112 pixels, as luminance"
    assert lines[2].endswith(": right")
    assert lines[-1] == str(out)
    assert sum(line.startswith("fft/numpy@cpu ") for line in lines) == 2
    figure = imread(out)
    assert min(figure.shape[:2]) > 1000
    assert figure[..., :3].std() > 0.1


def test_a_wrong_contender_is_exit_1(
    scenery: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    wrong = timed("a", 1, 1, 1)
    wrong.status, wrong.reason = "wrong", "relative L2 error 1; allowed: 1e-6"
    monkeypatch.setattr(show, "time_all", lambda *_: [wrong])
    out = scenery.parent / "figure.png"
    assert exit_code(monkeypatch, scenery, "--out", out, "--device", "cpu") == 1
    assert out.exists()


def test_the_portrait_is_the_default() -> None:
    assert photo.photograph(None).values.shape == (600, 512)
