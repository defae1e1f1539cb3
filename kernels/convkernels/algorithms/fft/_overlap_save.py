"""Overlap-save over whole images, some tiles at a time: compiled by Numba, once for all problems.

As many tiles as two vectors have lanes go through the cache together:
    rows        gathered and transformed                                     → work, in L2
    columns     transformed, multiplied by the spectrum, transformed back    → work, a line in L1
    rows        those that are kept, transformed back and stored
Memory is given by address, so that one machine code serves every type.
"""

from __future__ import annotations

from typing import Any

from convkernels.cpu.calls import call, clear, compiled, copy
from convkernels.problem import Size

WORDS = 4  # that the driver keeps of each tile


@compiled
def overlap_save_tiles(
    kernels: tuple[int, int, int, int],
    x: int,
    w: int,
    y: int,
    factors: tuple[int, int],
    channels: tuple[int, int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    side: Size,
    lanes: int,
    item: int,
    words: Any,
    tasks: Size,
) -> None:
    """Some groups of tiles of all planes of y; a group is 2·lanes tiles of one filter.

    Parameters
    ----------
    kernels : addresses of ``forward_rows``, ``columns``, ``inverse_rows``, ``add_row``
    x, w, y : addresses of (B, G, C/G, H, W), of (G, K/G, C/G) spectra, and of (B, G, K/G, OH, OW)
        A spectrum has complex numbers (columns, rows), each in the order of a transform's result.
    factors : addresses of the twiddle factors of (columns, rows)
    channels : (B, G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw)
    output : (OH, OW)
    side : (rows, columns) of a tile
    lanes : of a vector
    item : bytes of a number
    words : ``buffer_words`` of them, of 8 bytes: the buffer
    tasks : (first, last)
    """
    forward_rows, columns, inverse_rows, add_row = kernels
    batch, groups, filters, depth = channels
    many, step = 2 * lanes, 2 * lanes  # tiles; numbers of a complex vector
    stride = (side[1] + 1) * step  # one element more: a column falls on many sets of the cache
    rows_of, work, scratch, edges, zeros = _places(side, lanes, item)
    work, scratch, edges, zeros = (
        words.ctypes.data + 8 * work,
        words.ctypes.data + 8 * scratch,
        words.ctypes.data + 8 * edges,
        words.ctypes.data + 8 * zeros,
    )
    addresses = words.ctypes.data
    clear(zeros, item * side[1])
    kept = (side[0] - size[0] + 1, side[1] - size[1] + 1)
    down = (output[0] + kept[0] - 1) // kept[0]
    across = (output[1] + kept[1] - 1) // kept[1]
    tiles = batch * down * across
    of_filter = (tiles + many - 1) // many
    for task in range(tasks[0], tasks[1]):
        filter_, first = task // of_filter, task % of_filter * many
        group = filter_ // filters
        here = min(many, tiles - first)
        for channel in range(depth):
            crossing = 0  # tiles that reach over the image's border
            clear(edges, item * many * side[1])
            for t in range(many):
                tile = first + min(t, here - 1)
                b, place = tile // (down * across), tile % (down * across)
                i = place // across * kept[0] - pads[0]
                j = place % across * kept[1] - pads[1]
                plane = x + item * ((b * groups + group) * depth + channel) * image[0] * image[1]
                words[t] = plane + item * (i * image[1] + j)
                if i < 0 or i + side[0] > image[0] or j < 0 or j + side[1] > image[1]:
                    at = rows_of + WORDS * crossing
                    words[at], words[at + 1], words[at + 2], words[at + 3] = t, i, j, plane
                    crossing += 1
            for row in range(side[0]):
                for number in range(crossing):
                    at = rows_of + WORDS * number
                    t, i, j = words[at], words[at + 1] + row, words[at + 2]
                    low, high = max(0, -j), min(side[1], image[1] - j)
                    pixels = words[at + 3] + item * (i * image[1] + j)
                    edge = edges + item * t * side[1]
                    if i < 0 or i >= image[0] or high <= low:
                        words[t] = zeros
                    elif low == 0 and high == side[1]:
                        words[t] = pixels
                    else:
                        copy(edge + item * low, pixels + item * low, item * (high - low))
                        words[t] = edge  # zero outside, since no row of a tile reaches further
                call(forward_rows, (addresses, scratch, work + item * row * stride, factors[0]))
                for t in range(many):
                    words[t] += item * image[1]
            spectrum = w + item * 2 * (filter_ * depth + channel) * side[0] * side[1]
            for column in range(side[1]):
                at = work + item * column * step
                of_column = spectrum + item * 2 * column * side[0]
                call(columns, (at, stride, scratch, of_column, factors[1]))
            for t in range(many):
                words[t] = edges + item * t * side[1]
            for t in range(here):
                tile = first + t
                b, place = tile // (down * across), tile % (down * across)
                i, j = place // across * kept[0], place % across * kept[1]
                plane = (b * groups * filters + filter_) * output[0] * output[1]
                at = rows_of + WORDS * t
                words[at] = y + item * (plane + i * output[1] + j)
                words[at + 1], words[at + 2] = output[0] - i, min(kept[1], output[1] - j)
            for row in range(kept[0]):
                call(inverse_rows, (work + item * row * stride, scratch, addresses, factors[0]))
                for t in range(here):
                    at = rows_of + WORDS * t
                    if row < words[at + 1]:
                        target = words[at] + item * row * output[1]
                        if channel == 0:
                            copy(target, words[t], item * words[at + 2])
                        else:
                            call(add_row, (target, words[t], words[at + 2]))


@compiled
def _places(side: Size, lanes: int, item: int) -> tuple[int, int, int, int, int]:
    """Words from a buffer's beginning to what is kept of each tile, to work, scratch, a row of each
    tile, a row of zeros; addresses of rows come first."""
    step, line = 2 * lanes * item, 8  # bytes of a complex vector; words of a cache line
    rows_of = 2 * lanes
    work = (rows_of + WORDS * 2 * lanes + line - 1) // line * line
    scratch = work + side[0] * (side[1] + 1) * step // 8
    edges = scratch + max(side) * step // 8
    zeros = edges + 2 * lanes * side[1] * item // 8
    return rows_of, work, scratch, edges, zeros


@compiled
def buffer_words(side: Size, lanes: int, item: int) -> int:
    """Words of 8 bytes that ``overlap_save_tiles`` needs."""
    return _places(side, lanes, item)[4] + side[1] * item // 8
