"""The filters' gradient by overlap-save, some tiles at a time: compiled by Numba, once for all.

As many tiles as two vectors have lanes go through the cache together, of the output's gradient and
of what they meet of x:
    rows        gathered and transformed                            → work of either, in L2
    columns     transformed, and their product added to the sums    → sums, a vector a frequency
Some groups of tiles, a chunk, are a task of each pair of channels, whose sums of all lanes are what
is written. Memory is given by address, so that one machine code serves every type.
"""

from __future__ import annotations

from convkernels.cpu.calls import TILE, call, clear, compiled, get, put, row_of_crossing
from convkernels.problem import Size


@compiled
def rows_of_tiles(
    kernel: int,
    planes: Size,
    image: Size,
    pads: Size,
    tiles: tuple[int, int, int, int],
    kept: Size,
    part: Size,
    side: Size,
    many: int,
    places: tuple[int, int, int],
    factors: int,
    item: int,
    buffer: int,
    work: int,
) -> None:
    """Rows of a group of tiles, gathered and transformed; zero beyond ``part`` of a tile.

    Parameters
    ----------
    kernel : address of ``partial_rows``
    planes : address of the first image's plane, and bytes from an image's to the next
    image : (H, W)
    pads : (top, left) zeros before the image
    tiles : the first, how many, down, across
    kept : (rows, columns) from a tile to the next
    part : (rows, columns) of a tile that are its own
    side : (rows, columns) of a tile
    many : tiles of a group; where there are fewer, those that are left are zero
    places : bytes from the buffer's beginning to scratch, a row of each tile, a row of zeros
    factors, work : addresses
    """
    first, here, down, across = tiles
    addresses, crossings = buffer, buffer + 8 * many
    scratch, edges, zeros = buffer + places[0], buffer + places[1], buffer + places[2]
    stride = (side[1] + 1) * many
    clear(edges, item * many * side[1])
    crossing = 0
    for t in range(many):
        tile = first + t
        if t >= here:  # of none: zeros
            at = crossings + TILE * crossing
            put(at, t)
            put(at + 8, image[0])
            put(at + 16, 0)
            put(at + 24, planes[0])
            put(addresses + 8 * t, zeros)
            crossing += 1
            continue
        b, place = tile // (down * across), tile % (down * across)
        i = place // across * kept[0] - pads[0]
        j = place % across * kept[1] - pads[1]
        plane = planes[0] + b * planes[1]
        put(addresses + 8 * t, plane + item * (i * image[1] + j))
        if i < 0 or i + part[0] > image[0] or j < 0 or j + side[1] > image[1]:
            at = crossings + TILE * crossing
            put(at, t)
            put(at + 8, i)
            put(at + 16, j)
            put(at + 24, plane)
            crossing += 1
    for row in range(part[0]):
        row_of_crossing(row, crossing, crossings, addresses, image, side[1], item, edges, zeros)
        call(kernel, (addresses, scratch, work + item * row * stride, factors, part[1]))
        for t in range(many):
            put(addresses + 8 * t, get(addresses + 8 * t) + item * image[1])
    for row in range(part[0], side[0]):
        clear(work + item * row * stride, item * side[1] * many)


@compiled
def overlap_save_sums(
    kernels: tuple[int, int, int],
    gy: int,
    x: tuple[int, int, int],
    sums: int,
    channels: tuple[int, int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    side: Size,
    lanes: int,
    places: tuple[int, int, int, int, int, int],
    chunks: int,
    item: int,
    buffer: int,
    tasks: Size,
) -> None:
    """Some chunks of some pairs of channels.

    Parameters
    ----------
    kernels : addresses of ``partial_rows``, ``column_sums``, ``add_lanes``
    gy, x, sums : addresses of (B, G, K/G, OH, OW), of (B, G, C/G, H, W) and the twiddle factors of
        rows and of columns, and of (G, K/G, C/G, chunks) sums
        A sum has complex numbers (columns, rows), each in the order of a transform's result.
    channels : (B, G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw)
    output : (OH, OW)
    side : (rows, columns) of a tile
    lanes : of a vector
    places : bytes from the buffer's beginning to scratch, a row of each tile, a row of zeros, work
        of x, work of gy, sums; before them lie five words a tile
    chunks : of each pair
    item : bytes of a number
    buffer : its address
    tasks : (first, last)
    """
    batch, groups, filters, depth = channels
    many = 2 * lanes  # tiles, and numbers of a complex vector
    work_x, work_gy, own = buffer + places[3], buffer + places[4], buffer + places[5]
    near = (places[0], places[1], places[2])
    clear(buffer + places[2], item * side[1])
    kept = (side[0] - size[0] + 1, side[1] - size[1] + 1)
    down = (output[0] + kept[0] - 1) // kept[0]
    across = (output[1] + kept[1] - 1) // kept[1]
    tiles = batch * down * across
    of_pair = (tiles + many - 1) // many
    points = side[0] * side[1]
    for task in range(tasks[0], tasks[1]):
        pair, chunk = task // chunks, task % chunks
        plane, channel = pair // depth, pair % depth
        x_plane = plane // filters * depth + channel
        pixels, outputs = item * image[0] * image[1], item * output[0] * output[1]
        of_x = (x[0] + pixels * x_plane, pixels * groups * depth)
        of_gy = (gy + outputs * plane, outputs * groups * filters)
        clear(own, item * points * many)
        for group in range(of_pair * chunk // chunks, of_pair * (chunk + 1) // chunks):
            first = group * many
            some = (first, min(many, tiles - first), down, across)
            rows_of_tiles(
                kernels[0], of_x, image, pads, some, kept, side, side, many, near, x[1], item,
                buffer, work_x,
            )  # fmt: skip
            rows_of_tiles(
                kernels[0], of_gy, output, (0, 0), some, kept, kept, side, many, near, x[1], item,
                buffer, work_gy,
            )  # fmt: skip
            for column in range(side[1]):
                at = item * column * many
                call(
                    kernels[1],
                    (
                        *(work_gy + at, work_x + at, (side[1] + 1) * many, buffer + places[0]),
                        *(own + item * column * side[0] * many, x[2]),
                    ),
                )
        call(kernels[2], (own, sums + item * task * points * 2, 2 * points))
