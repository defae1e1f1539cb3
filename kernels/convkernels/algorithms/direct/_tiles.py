"""The direct sum over whole images, a tile at a time: compiled by Numba, once for all problems.

A tile's input fits in a core's L2. Where a tile reaches over the image's border it is computed from
a copy of its input with zeros around it, in a buffer of the thread's own; and where its outputs are
no whole number of blocks, into a buffer, of which what belongs to the image is copied out.

Memory is given by address, so that one machine code serves every type.
"""

from __future__ import annotations

from convkernels.cpu.calls import call, compiled, copy, copy_padded
from convkernels.problem import Size


@compiled
def direct_tiles(
    kernels: tuple[int],
    x: int,
    w: tuple[int],
    y: int,
    channels: tuple[int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    block: Size,
    tile: Size,
    at_once: int,
    stride: int,
    item: int,
    buffer: int,
    tasks: Size,
) -> None:
    """Some tiles of all planes of y, counted row by row, plane by plane.

    Parameters
    ----------
    kernels : address of the block's kernel (``_micro_kernel``)
    x, w, y : addresses of (B·G, C/G, H, W), (G, K/G, C/G, kw, kh) and (B·G, K/G, OH, OW)
    channels : (G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw)
    output : (OH, OW)
    block, tile : (rows, columns) of outputs; a tile's are multiples of a block's
    at_once : input rows that are summed in registers
    stride : numbers between rows of a tile's input in the buffer
    item : bytes of a number
    buffer : address of a tile's input, then of its outputs
    tasks : (first, last)
    """
    groups, filters, depth = channels
    down = (output[0] + tile[0] - 1) // tile[0]
    across = (output[1] + tile[1] - 1) // tile[1]
    result = buffer + item * (tile[0] + size[0] - 1) * stride
    for task in range(tasks[0], tasks[1]):
        plane, place = task // (down * across), task % (down * across)
        batch, out = plane // filters, plane % filters
        i0, j0 = place // across * tile[0], place % across * tile[1]
        rows, columns = min(tile[0], output[0] - i0), min(tile[1], output[1] - j0)
        tall = (rows + block[0] - 1) // block[0] * block[0]
        wide = (columns + block[1] - 1) // block[1] * block[1]
        top, left = i0 - pads[0], j0 - pads[1]
        need = (tall + size[0] - 1, wide + size[1] - 1)
        inside = top >= 0 and left >= 0 and top + need[0] <= image[0] and left + need[1] <= image[1]
        y_tile = y + item * ((plane * output[0] + i0) * output[1] + j0)
        whole = tall == rows and wide == columns
        target, target_stride = (y_tile, output[1]) if whole else (result, wide)
        for channel in range(depth):
            weights = ((batch % groups * filters + out) * depth + channel) * size[0] * size[1]
            x_plane = x + item * (batch * depth + channel) * image[0] * image[1]
            if inside:
                source, source_stride = x_plane + item * (top * image[1] + left), image[1]
            else:
                copy_padded(buffer, stride, x_plane, image, (top, left), need, item)
                source, source_stride = buffer, stride
            for i in range(0, tall, block[0]):
                for j in range(0, wide, block[1]):
                    at = source + item * (i * source_stride + j)
                    to = target + item * (i * target_stride + j)
                    add = 1 if channel > 0 else 0
                    call(
                        kernels[0],
                        (
                            *(at, source_stride),
                            w[0] + item * weights,
                            *(to, target_stride),
                            *(size[0], size[1]),
                            *(at_once, add),
                        ),
                    )
        if not whole:
            for i in range(rows):
                copy(y_tile + item * i * output[1], result + item * i * wide, item * columns)
