"""Photographs as users have them: deep, long, and broken."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convcross.demo import photo
from convcross.errors import BadInput
from convcross.sweeps import data

SOAK = bool(os.environ.get("CONVCROSS_SOAK"))
BROKEN = 3500 if SOAK else 60  # files of each format
SIZE = 112, 128  # (H, W)


def deep(channels: int) -> np.ndarray:
    """Values of 16 bits whose low bytes are not their high ones."""
    rng = np.random.default_rng(channels)
    smooth = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1]))[..., None]
    return (200 * smooth + rng.integers(0, 256, (*SIZE, channels))).astype(">u2")


def png(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits a channel; colour as in the PNG specification, table 11.1."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("channels", "colour"), [(1, 0), (3, 2), (2, 4), (4, 6)], ids=["grey", "RGB", "LA", "RGBA"]
)
def test_sixteen_bits_a_channel_are_read_in_full(
    channels: int, colour: int, tmp_path: Path
) -> None:
    values = deep(channels)
    path = tmp_path / "deep.png"
    path.write_bytes(png(values if channels > 1 else values[..., 0], colour))
    levels = values.astype(float) / 65535
    grey = levels[..., :1] if channels < 3 else levels[..., :3]
    opaque = levels[..., -1:] if channels in (2, 4) else 1.0
    over_white = grey * opaque + (1 - opaque)
    expected = data.luminance(np.broadcast_to(over_white, (*SIZE, 3)))
    np.testing.assert_allclose(photo.photograph(path).values, expected, atol=2e-7)


@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_deep_tiff(order: str, tmp_path: Path) -> None:
    """Of either byte order: three channels of 16 bits in one strip."""
    values = deep(3).astype("<u2" if order == "II" else ">u2")
    pack = "<" if order == "II" else ">"
    height, width = SIZE
    strip = values.tobytes()
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 8),  # where the bits of each channel are
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 14),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(strip)),
    ]
    content = order.encode() + struct.pack(f"{pack}HI", 42, 14 + len(strip))
    content += struct.pack(f"{pack}3H", 16, 16, 16) + strip
    content += struct.pack(f"{pack}H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        body = struct.pack(f"{pack}HH", value, 0) if short else struct.pack(f"{pack}I", value)
        content += struct.pack(f"{pack}HHI", tag, kind, count) + body
    (tmp_path / "deep.tif").write_bytes(content + bytes(4))
    expected = data.luminance(values.astype(float) / 65535)
    np.testing.assert_allclose(photo.photograph(tmp_path / "deep.tif").values, expected, atol=2e-7)


def test_a_panorama_is_reduced_to_what_the_search_needs(tmp_path: Path) -> None:
    Image.fromarray(deep(1)[..., 0].astype(np.uint8)).resize((20400, 300)).save(tmp_path / "p.png")
    found = photo.photograph(tmp_path / "p.png")
    assert found.original == (300, 20400)
    height, width = found.values.shape
    assert height == 2 * photo.PATCH
    assert width == pytest.approx(20400 * height / 300, abs=1)


@pytest.mark.parametrize("size", [(300, 95), (95, 300)])
def test_too_small_is_said_of_the_photograph_itself(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("L", size).save(tmp_path / "small.png")
    with pytest.raises(BadInput, match=f"is {size[0]} x {size[1]} pixels; allowed: at least 96"):
        photo.photograph(tmp_path / "small.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "DDS"])
def test_broken_files_end_in_one_clear_line(form: str, tmp_path: Path) -> None:
    picture, whole = Image.fromarray(deep(1)[..., 0].astype(np.uint8)).convert("RGB"), io.BytesIO()
    try:
        picture.save(whole, form)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no {form}: {error}")
    content, rng = whole.getvalue(), random.Random(form)
    path = tmp_path / "broken"
    for _ in range(BROKEN):
        broken = bytearray(content)
        for _ in range(rng.choice([1, 2, 8, 50])):
            place = rng.randrange(min(len(broken), rng.choice([64, 512, len(broken)])))
            broken[place] = rng.randrange(256)
        path.write_bytes(broken[: rng.choice([len(broken), rng.randrange(1, len(broken))])])
        told = "photograph"
        try:
            assert np.isfinite(photo.photograph(path).values).all()
        except BadInput as error:
            told = str(error)
        assert "photograph" in told
        assert "\n" not in told
