"""The filters' gradient over whole images, a tile at a time: compiled by Numba, once for all.

A tile of gy and what it meets of x are copied into a buffer of the thread's own, with zeros around
them, which fits in a core's L2; every block of the gradient passes over it. Some tiles of all, a
chunk, are a task of each pair of channels, with a sum of its own: who calls adds the chunks.

Memory is given by address, so that one machine code serves every type.
"""

from __future__ import annotations

from convkernels.cpu.calls import call, clear, compiled, copy, copy_padded
from convkernels.problem import Size


@compiled
def weight_tiles(
    kernels: tuple[int],
    gy: int,
    x: tuple[int],
    w: int,
    channels: tuple[int, int, int, int],
    image: Size,
    pads: Size,
    size: Size,
    output: Size,
    block: Size,
    tile: Size,
    strides: Size,
    lanes: int,
    chunks: int,
    item: int,
    buffer: int,
    tasks: Size,
) -> None:
    """Some chunks of some pairs of channels.

    Parameters
    ----------
    kernels : address of the block's kernel (``_weight_kernel``)
    gy, x, w : addresses of (B, G, K/G, OH, OW), (B, G, C/G, H, W) and (G, K/G, C/G, chunks, kh, kw)
    channels : (B, G, K/G, C/G)
    image : (H, W)
    pads : (top, left) zeros before the image
    size : (kh, kw), in whole blocks
    output : (OH, OW)
    block : (rows, columns) of the kernel
    tile : (rows, columns) of gy
    strides : numbers between rows of a tile in the buffer, of gy and of x
    lanes : of a vector
    chunks : of each pair
    item : bytes of a number
    buffer : address of a tile of gy, then of x
    tasks : (first, last)
    """
    batch, groups, filters, depth = channels
    down = (output[0] + tile[0] - 1) // tile[0]
    across = (output[1] + tile[1] - 1) // tile[1]
    tiles = batch * down * across
    above = block[0] - 1
    pixels = buffer + item * (tile[0] + 2 * above) * strides[0]
    for task in range(tasks[0], tasks[1]):
        pair, chunk = task // chunks, task % chunks
        plane, channel = pair // depth, pair % depth
        target = w + item * task * size[0] * size[1]
        clear(target, item * size[0] * size[1])
        for one in range(tiles * chunk // chunks, tiles * (chunk + 1) // chunks):
            b, place = one // (down * across), one % (down * across)
            i0, j0 = place // across * tile[0], place % across * tile[1]
            rows, columns = min(tile[0], output[0] - i0), min(tile[1], output[1] - j0)
            wide = (columns + lanes - 1) // lanes * lanes
            source = gy + item * (b * groups * filters + plane) * output[0] * output[1]
            clear(buffer, item * above * strides[0])
            for i in range(rows):
                at = buffer + item * (above + i) * strides[0]
                copy(at, source + item * ((i0 + i) * output[1] + j0), item * columns)
                clear(at + item * columns, item * (wide - columns))
            clear(buffer + item * (above + rows) * strides[0], item * above * strides[0])
            group = plane // filters
            source = x[0] + item * ((b * groups + group) * depth + channel) * image[0] * image[1]
            need = (rows + size[0] - 1, wide + size[1] - 1)
            copy_padded(pixels, strides[1], source, image, (i0 - pads[0], j0 - pads[1]), need, item)
            for r in range(0, size[0], block[0]):
                for c in range(0, size[1], block[1]):
                    call(
                        kernels[0],
                        (
                            *(buffer, strides[0]),
                            *(pixels + item * (r * strides[1] + c), strides[1]),
                            *(rows, wide),
                            *(target + item * (r * size[1] + c), size[1]),
                        ),
                    )
