"""The kernels of triton-direct and triton-implicit-gemm; imported where Triton is.

Images are (B, G·C, H, W), filters (G·K, C, kh, kw) to be correlated with, results (B, G·K, rows,
columns), all contiguous. ``top`` and ``left`` zeros lie before the image, and what lies beyond it
is zero. Sums are of type DTYPE. Offsets between planes are of 64 bits.

Only what is in capitals is known to the compiler: it would compile anew for each integer that is 1
or a multiple of 16.
"""

import triton
import triton.language as tl

INTEGERS = ("height", "width", "rows", "columns", "inputs", "outputs", "groups", "top", "left")


@triton.jit(do_not_specialize=(*INTEGERS, "kh", "sy", "dy"))
def direct(
    x_ptr,
    w_ptr,
    y_ptr,
    height,
    width,
    rows,
    columns,
    inputs,
    outputs,
    groups,
    top,
    left,
    kh,
    sy,
    dy,
    KW: tl.constexpr,
    SX: tl.constexpr,
    DX: tl.constexpr,
    DTYPE: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """BM × BN outputs of a plane; programs: (planes of the result, row blocks, column blocks)."""
    plane = tl.program_id(0).to(tl.int64)
    image, filter_ = plane // (groups * outputs), plane % (groups * outputs)
    r = tl.program_id(1) * BM + tl.arange(0, BM)
    c = tl.program_id(2) * BN + tl.arange(0, BN)
    x_plane = x_ptr + (image * groups + filter_ // outputs) * inputs * height * width
    w_plane = w_ptr + filter_ * inputs * kh * KW
    total = tl.full((BM, BN), 0, DTYPE)
    for _ in range(inputs):
        for i in range(kh):
            down = r * sy + i * dy - top
            line = tl.full((BM, BN), 0, DTYPE)  # a kernel row's sum apart: its error grows less
            for j in tl.static_range(KW):
                across = c * SX + j * DX - left
                inside = ((down >= 0) & (down < height))[:, None]
                inside &= ((across >= 0) & (across < width))[None, :]
                pixels = x_plane + down[:, None] * width + across[None, :]
                taps = tl.load(pixels, mask=inside, other=0.0).to(DTYPE)
                line += taps * tl.load(w_plane + i * KW + j).to(DTYPE)
            total += line
        x_plane += height * width
        w_plane += kh * KW
    y_plane = y_ptr + plane * rows * columns
    kept = (r < rows)[:, None] & (c < columns)[None, :]
    tl.store(y_plane + r[:, None] * columns + c[None, :], total, mask=kept)


@triton.jit(do_not_specialize=(*INTEGERS, "kh", "kw", "sy", "sx", "dy", "dx", "batch"))
def implicit_gemm(
    x_ptr,
    w_ptr,
    y_ptr,
    height,
    width,
    rows,
    columns,
    inputs,
    outputs,
    groups,
    top,
    left,
    kh,
    kw,
    sy,
    sx,
    dy,
    dx,
    batch,
    DTYPE: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """BM outputs of all images times BN filters; programs: (blocks of outputs, of filters, groups).

    Rows of the patch matrix are outputs, its columns the C·kh·kw taps, BK at a time.
    """
    group = tl.program_id(2).to(tl.int64)
    pixel = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    filter_ = tl.program_id(1) * BN + tl.arange(0, BN)
    image, place = pixel // (rows * columns), pixel % (rows * columns)
    down = (place // columns * sy - top)[:, None]
    across = (place % columns * sx - left)[:, None]
    x_image = x_ptr + ((image * groups + group) * inputs * height * width)[:, None]
    w_filter = w_ptr + ((group * outputs + filter_) * inputs * kh * kw)[None, :]
    terms = inputs * kh * kw
    total = tl.full((BM, BN), 0, DTYPE)
    for first in range(0, terms, BK):
        tap = first + tl.arange(0, BK)
        channel, i, j = tap // (kh * kw), tap % (kh * kw) // kw, tap % kw
        y, x = down + (i * dy)[None, :], across + (j * dx)[None, :]
        inside = (pixel < batch * rows * columns)[:, None] & (tap < terms)[None, :]
        inside &= (y >= 0) & (y < height) & (x >= 0) & (x < width)
        plane = (channel.to(tl.int64) * height * width)[None, :]
        patches = tl.load(x_image + plane + y * width + x, mask=inside, other=0.0)
        there = (tap < terms)[:, None] & (filter_ < outputs)[None, :]
        filters = tl.load(w_filter + tap[:, None], mask=there, other=0.0)
        total = tl.dot(patches, filters, total, input_precision="ieee")
    y_plane = ((image * groups + group) * outputs)[:, None] + filter_[None, :]
    kept = (pixel < batch * rows * columns)[:, None] & (filter_ < outputs)[None, :]
    tl.store(y_ptr + y_plane * (rows * columns) + place[:, None], total, mask=kept)
