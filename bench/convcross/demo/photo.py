"""What the demo does with a photograph: reads it, searches a patch in it, filters it both ways."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from convcross.errors import BadInput
from convcross.sweeps import data
from convcross.sweeps.data import Floats
from convkernels import convolve

# Pillow's names of a pixel's bytes that it cuts to 8 bits, and under which it keeps the others.
OTHER_BYTES = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBX", "RGBA")
    for order, other in ("BL", "LB")
} | {"LA;16B": "RGBA"}

GAUSSIAN = (
    np.array(
        [
            [1, 4, 7, 4, 1],
            [4, 16, 26, 16, 4],
            [7, 26, 41, 26, 7],
            [4, 16, 26, 16, 4],
            [1, 4, 7, 4, 1],
        ]
    )
    / 273
)
EMBOSS = np.array([[-2.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
SOBEL = np.outer([1, 2, 1], [-1, 0, 1]) / 8

PIXELS = 1 << 19  # a larger photograph is reduced to so many: the demo takes seconds, not minutes
PATCH = 48  # side of the patch that is searched for, in pixels
CONTRAST, BRIGHTNESS, NOISE = 0.6, 0.2, 0.1  # what the patch goes through before the search
SEED = 0
# Energy under which a window is flat: less than one grey level in 256 at one pixel gives it.
FLAT = 1e-6


@dataclass(frozen=True)
class Photograph:
    """Luminance in [0, 1], (H, W), and what it was before it was reduced."""

    name: str
    values: Floats
    original: tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class Search:
    """A patch, altered, and where it was found; places are (row, column) of its upper left."""

    place: tuple[int, int]
    template: Floats  # (PATCH, PATCH)
    scores: Floats  # (H−PATCH+1, W−PATCH+1)
    found: tuple[int, int]
    plain: tuple[int, int]  # where correlation that is not normalised is largest

    @property
    def score(self) -> float:
        return float(self.scores[self.found])


@dataclass(frozen=True)
class BothOps:
    """Convolution by FFT and correlation by direct sums with one kernel, float32, mode same."""

    kernel: Floats
    convolution: Floats
    correlation: Floats

    @property
    def difference(self) -> Floats:
        return self.convolution - self.correlation

    @property
    def largest(self) -> float:
        """The largest difference, relative to the largest value of the convolution."""
        return float(np.abs(self.difference).max() / np.abs(self.convolution).max())


# ---- the photograph --------------------------------------------------------------------------


def photograph(path: Path | None) -> Photograph:
    """Read any image file that Pillow reads; None is the portrait that ships with matplotlib.

    Turned upright, transparency laid over white, and reduced to PIXELS where it has more, but to no
    side too small for the search. Integers of 32 bits and floats, which have no scale of their own,
    are stretched to [0, 1].

    Raises
    ------
    BadInput
        Missing, no image, broken, or too small for the search.
    """
    if path is None:
        portrait = data.portrait()
        return Photograph("matplotlib's portrait of Grace Hopper", portrait, portrait.shape)
    where = f"photograph {str(path)!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a broken tag, or of a size that is still allowed
            with Image.open(path) as file:
                picture = _upright(file)
            finer = _low_bytes(path)
            width, height = picture.size
            if min(width, height) >= 2 * PATCH:
                values = _luminance(picture, finer)
    except UnidentifiedImageError:
        raise BadInput(f"{where}: not an image; allowed: PNG, JPEG, TIFF, WebP, …") from None
    except Exception as error:  # of a broken file, decoders raise anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(
            f"{where}: {reason or type(error).__name__}; allowed: a readable image file"
        ) from None
    if min(width, height) < 2 * PATCH:
        raise BadInput(
            f"{where} is {width} x {height} pixels; allowed: at least {2 * PATCH} x {2 * PATCH}"
        )
    return Photograph(path.name, values, (height, width))


def _upright(file: Image.Image) -> Image.Image:
    """The picture, decoded, and turned as its EXIF says; as it lies where that is broken."""
    file.load()
    try:
        return ImageOps.exif_transpose(file)
    except Exception:  # of broken tags, their parsers raise anything
        return file.copy()


def _low_bytes(path: Path) -> Image.Image | None:
    """Of a picture of 16 bits a channel, the bytes that Pillow leaves out; None of other pictures,
    and of one channel, which Pillow reads whole.

    Pillow keeps the high byte of each value. In the other byte order that is the low one.
    """
    with Image.open(path) as file:
        layouts = {_layout(tile) for tile in file.tile}
        if len(layouts) != 1 or (layout := layouts.pop()) not in OTHER_BYTES:
            return None
        file.tile = [_renamed(tile, OTHER_BYTES[layout]) for tile in file.tile]
        found = _upright(file)
    if layout == "LA;16B":  # read as four channels of a byte: both of the grey, then of the alpha
        _, grey, _, alpha = found.split()
        found = Image.merge("RGBA", (grey, grey, grey, alpha))
    return found


def _layout(tile: Any) -> str:
    """The name of its pixels' bytes, which its decoder takes alone or first."""
    return str(tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0])


def _renamed(tile: Any, layout: str) -> Any:
    alone = isinstance(tile.args, str)
    return tile._replace(args=layout if alone else (layout, *tile.args[1:]))


def _luminance(picture: Image.Image, finer: Image.Image | None) -> Floats:
    if finer is not None:
        levels = (256.0 * np.asarray(picture) + np.asarray(finer)) / 65535.0
        colours, opaque = levels[..., :3], levels[..., 3:] if levels.shape[-1] == 4 else 1.0
        over_white = colours * opaque + (1.0 - opaque)
        picture = Image.fromarray(data.luminance(over_white).astype(np.float32))
    elif picture.mode.startswith(("I", "F")):  # deeper than a byte
        deep = np.asarray(picture, dtype=np.float64)
        low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (deep.min(), deep.max())
        if not math.isfinite(high - low):
            raise ValueError("it has values that are not finite")
        picture = Image.fromarray(((deep - low) / ((high - low) or 1.0)).astype(np.float32))
    else:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    scale = math.sqrt(PIXELS / (picture.width * picture.height))
    scale = max(scale, 2 * PATCH / min(picture.size))
    if scale < 1:
        size = (round(scale * picture.width), round(scale * picture.height))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return data.luminance(np.asarray(picture))


# ---- the search ------------------------------------------------------------------------------


def _correlate(x: Floats, w: Floats) -> Floats:
    y: Floats = convolve(x, w, op="correlation", mode="valid", algorithm="fft")
    return y


def _peak(values: Floats) -> tuple[int, int]:
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return int(row), int(column)


def most_textured(x: Floats) -> tuple[int, int]:
    """(row, column) of the PATCH × PATCH window that is told best from its neighbours.

    The lesser eigenvalue of its summed structure tensor is the largest (Shi & Tomasi 1994).

    Raises BadInput where no window has texture in two directions.
    """
    dx, dy = _correlate(x, SOBEL), _correlate(x, SOBEL.T)
    box = np.ones((PATCH - 2, PATCH - 2))  # of the derivatives that lie within the window
    xx, xy, yy = (_correlate(product, box) for product in (dx * dx, dx * dy, dy * dy))
    lesser = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    if not lesser.max() > FLAT:
        raise BadInput("the photograph has no texture to search for; allowed: one with some detail")
    return _peak(lesser)


def normalised_correlation(x: Floats, template: Floats) -> Floats:
    """Pearson's correlation of a template with every window of an image (Lewis 1995).

    One correlation by FFT for the products, two with boxes for the windows' means and energies.

    Parameters
    ----------
    x : (H, W)
    template : (h, w)

    Returns
    -------
    array (H−h+1, W−w+1)
        In [−1, 1]; 0 where the window is flat.
    """
    x = x - x.mean()  # the sums of squares cancel less
    template = template - template.mean()
    box = np.ones_like(template)
    total = _correlate(x, box)
    energy = _correlate(x * x, box) - total**2 / box.size
    scores: Floats = np.zeros_like(energy)
    norms = np.sqrt(np.maximum(energy, FLAT)) * np.linalg.norm(template)
    np.divide(_correlate(x, template), norms, out=scores, where=energy > FLAT)
    return scores


def search(x: Floats) -> Search:
    """Cut out the most textured patch, alter its contrast, brightness and noise, and find it."""
    row, column = place = most_textured(x)
    noise = NOISE * data.generator(SEED, "demo").standard_normal((PATCH, PATCH))
    patch = x[row : row + PATCH, column : column + PATCH]
    template = CONTRAST * patch + BRIGHTNESS + noise
    scores = normalised_correlation(x, template)
    return Search(place, template, scores, _peak(scores), _peak(_correlate(x, template)))


# ---- convolution against correlation ---------------------------------------------------------


def compare(x: Floats, kernel: Floats) -> BothOps:
    """Both ops on one kernel, each by an algorithm of its own: what is left is not shared code."""
    x32, w32 = x.astype(np.float32), kernel.astype(np.float32)
    convolution = convolve(x32, w32, op="convolution", mode="same", algorithm="fft")
    correlation = convolve(x32, w32, op="correlation", mode="same", algorithm="direct")
    return BothOps(kernel, convolution.astype(np.float64), correlation.astype(np.float64))
