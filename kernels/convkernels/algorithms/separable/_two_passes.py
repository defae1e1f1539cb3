"""Two one-dimensional passes, a tile at a time: compiled by Numba, once for all problems.

What the pass along rows gives of a tile stays in the cache until the pass along columns has read
it, and the next tile below takes over the rows that it shares. Both passes are blocks of the direct
sum, with kernels of one row and of one column. Memory is given by address, so that one machine code
serves every type.
"""

from __future__ import annotations

from convkernels.cpu.calls import call, compiled, copy, copy_padded
from convkernels.problem import Size


@compiled
def separable_tiles(
    kernels: tuple[int, int],
    x: int,
    w: tuple[int, int],
    y: int,
    channels: tuple[int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    block: Size,
    tile: Size,
    at_once: int,
    tallest: int,
    strides: Size,
    item: int,
    buffer: int,
    tasks: Size,
) -> None:
    """Some tiles of all planes of y, counted column by column, plane by plane.

    Parameters
    ----------
    kernels : addresses of the blocks' kernels for one row and for one column
    x, y : addresses of (B·G, C/G, H, W) and (B·G, K/G, OH, OW)
    w : addresses of rows (G, K/G, C/G, kw) and columns (G, K/G, C/G, kh)
    channels : (G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw)
    output : (OH, OW)
    block, tile : (rows, columns) of outputs; a tile's are multiples of a block's
    at_once : input rows that a column pass sums in registers
    tallest : rows that the buffer has of a tile's input, and of what the first pass gives
    strides : numbers between rows of either
    item : bytes of a number
    buffer : address of a tile's input, of the first pass's results, of the tile's outputs
    tasks : (first, last)
    """
    groups, filters, depth = channels
    down = (output[0] + tile[0] - 1) // tile[0]
    across = (output[1] + tile[1] - 1) // tile[1]
    copied_stride, middle_stride = strides
    shared = size[0] - 1  # rows that a tile's input has in common with that of the tile below
    middle = buffer + item * tallest * copied_stride
    result = middle + item * tallest * middle_stride
    for task in range(tasks[0], tasks[1]):
        plane, place = task // (down * across), task % (down * across)
        batch, out = plane // filters, plane % filters
        i0, j0 = place % down * tile[0], place // down * tile[1]
        rows, columns = min(tile[0], output[0] - i0), min(tile[1], output[1] - j0)
        tall = (rows + block[0] - 1) // block[0] * block[0]
        wide = (columns + block[1] - 1) // block[1] * block[1]
        known = 0  # rows of the pass between that the tile above has left
        if depth == 1 and task > tasks[0] and i0 > 0:
            known = shared
            above = middle + item * tile[0] * middle_stride
            for row in range(shared):
                offset = item * row * middle_stride
                copy(middle + offset, above + offset, item * wide)
        top, left = i0 - pads[0] + known, j0 - pads[1]
        reads = tall + size[0] - 1 - known
        need = ((reads + block[0] - 1) // block[0] * block[0], wide + size[1] - 1)
        inside = top >= 0 and left >= 0 and top + need[0] <= image[0] and left + need[1] <= image[1]
        y_tile = y + item * ((plane * output[0] + i0) * output[1] + j0)
        whole = tall == rows and wide == columns
        target, target_stride = (y_tile, output[1]) if whole else (result, wide)
        for channel in range(depth):
            pair = (batch % groups * filters + out) * depth + channel
            row_weights, column_weights = w[0] + item * pair * size[1], w[1] + item * pair * size[0]
            x_plane = x + item * (batch * depth + channel) * image[0] * image[1]
            if inside:
                source, source_stride = x_plane + item * (top * image[1] + left), image[1]
            else:
                copy_padded(buffer, copied_stride, x_plane, image, (top, left), need, item)
                source, source_stride = buffer, copied_stride
            for i in range(0, need[0], block[0]):
                for j in range(0, wide, block[1]):
                    at = source + item * (i * source_stride + j)
                    to = middle + item * ((known + i) * middle_stride + j)
                    sizes = (1, size[1], 1, 0)
                    call(
                        kernels[0],
                        (at, source_stride, row_weights, to, middle_stride, *sizes),
                    )
            for i in range(0, tall, block[0]):
                for j in range(0, wide, block[1]):
                    at = middle + item * (i * middle_stride + j)
                    to = target + item * (i * target_stride + j)
                    sizes = (size[0], 1, at_once, 1 if channel > 0 else 0)
                    call(
                        kernels[1],
                        (at, middle_stride, column_weights, to, target_stride, *sizes),
                    )
        if not whole:
            for i in range(rows):
                copy(y_tile + item * i * output[1], result + item * i * wide, item * columns)
