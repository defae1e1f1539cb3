"""Overlap-save over whole images, some tiles at a time: compiled by Numba, once for all problems.

As many tiles as two vectors have lanes go through the cache together:
    rows        gathered and transformed                                     → work, in L2
    columns     transformed, multiplied by the spectrum, transformed back    → work, a line in L1
    rows        those that are kept, transformed back and stored
Memory is given by address, so that one machine code serves every type.
"""

from __future__ import annotations

from convkernels.cpu.calls import TILE, call, clear, compiled, copy, get, put, row_of_crossing
from convkernels.problem import Size


@compiled
def overlap_save_tiles(
    kernels: tuple[int, int, int, int],
    x: int,
    w: tuple[int, int, int],
    y: int,
    channels: tuple[int, int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    side: Size,
    lanes: int,
    places: tuple[int, int, int, int],
    item: int,
    buffer: int,
    tasks: Size,
) -> None:
    """Some groups of tiles of all planes of y; a group is 2·lanes tiles of one filter.

    Parameters
    ----------
    kernels : addresses of ``forward_rows``, ``columns``, ``inverse_rows``, ``add_row``
    x, y : addresses of (B, G, C/G, H, W) and (B, G, K/G, OH, OW)
    w : addresses of (G, K/G, C/G) spectra, and of the twiddle factors of rows and of columns
        A spectrum has complex numbers (columns, rows), each in the order of a transform's result.
    channels : (B, G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw)
    output : (OH, OW)
    side : (rows, columns) of a tile
    lanes : of a vector
    places : bytes from the buffer's beginning to work, scratch, a row of each tile, a row of zeros;
        before them lie five words a tile, the address of a row and what is kept of the tile
    item : bytes of a number
    buffer : its address
    tasks : (first, last)
    """
    forward_rows, columns, inverse_rows, add_row = kernels
    batch, groups, filters, depth = channels
    many, step = 2 * lanes, 2 * lanes  # tiles; numbers of a complex vector
    stride = (side[1] + 1) * step  # one element more: a column falls on many sets of the cache
    work, scratch = buffer + places[0], buffer + places[1]
    edges, zeros = buffer + places[2], buffer + places[3]
    addresses, kept_of = buffer, buffer + 8 * many
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
                put(addresses + 8 * t, plane + item * (i * image[1] + j))
                if i < 0 or i + side[0] > image[0] or j < 0 or j + side[1] > image[1]:
                    at = kept_of + TILE * crossing
                    put(at, t)
                    put(at + 8, i)
                    put(at + 16, j)
                    put(at + 24, plane)
                    crossing += 1
            for row in range(side[0]):
                row_of_crossing(
                    row, crossing, kept_of, addresses, image, side[1], item, edges, zeros
                )
                call(forward_rows, (addresses, scratch, work + item * row * stride, w[1]))
                for t in range(many):
                    put(addresses + 8 * t, get(addresses + 8 * t) + item * image[1])
            spectrum = w[0] + item * 2 * (filter_ * depth + channel) * side[0] * side[1]
            for column in range(side[1]):
                at = work + item * column * step
                of_column = spectrum + item * 2 * column * side[0]
                call(columns, (at, stride, scratch, of_column, w[2]))
            for t in range(many):
                put(addresses + 8 * t, edges + item * t * side[1])
            for t in range(here):
                tile = first + t
                b, place = tile // (down * across), tile % (down * across)
                i, j = place // across * kept[0], place % across * kept[1]
                plane = (b * groups * filters + filter_) * output[0] * output[1]
                at = kept_of + TILE * t
                put(at, y + item * (plane + i * output[1] + j))
                put(at + 8, output[0] - i)
                put(at + 16, min(kept[1], output[1] - j))
            for row in range(kept[0]):
                call(inverse_rows, (work + item * row * stride, scratch, addresses, w[1]))
                for t in range(here):
                    at = kept_of + TILE * t
                    if row < get(at + 8):
                        target, result = (
                            get(at) + item * row * output[1],
                            edges + item * t * side[1],
                        )
                        if channel == 0:
                            copy(target, result, item * get(at + 16))
                        else:
                            call(add_row, (target, result, get(at + 16)))
