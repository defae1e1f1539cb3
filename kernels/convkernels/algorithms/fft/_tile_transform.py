"""Transforms of many tiles at once: a vector holds the same pixel of as many tiles as it has lanes.

Every butterfly is then made of plain vector instructions, without shuffles. A complex number is a
pair of vectors, real parts and imaginary parts; two real tiles go as one complex tile, since a real
filter never mixes the two. Forward transforms decimate in frequency and leave their result in
digit-reversed order, inverse ones decimate in time and take it so: nothing is ever reordered but
the filter's spectrum, once (Van Loan 1992, Computational Frameworks for the FFT, section 1.10).

Kernels, each for one length M:
    forward_rows    gathers rows of 2·lanes real tiles, transposes, transforms
    columns         transforms a column, multiplies by the filter's spectrum, transforms back
    inverse_rows    transforms back, transposes, stores rows
    add_row         adds a row of numbers to another
    partial_rows    forward_rows, with zeros from some column on
    column_sums     transforms a column of two groups of tiles and adds the product to sums
    add_lanes       the sum of each vector's lanes
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkernels.cpu.instructions import Instructions
from convkernels.problem import Size

if TYPE_CHECKING:
    import numpy as np

    from convkernels.cpu.objects import Compiled
    from convkernels.cpu.vectors import Vectors

SIDES = (16, 32, 64, 128, 256)  # of tiles

# Radices of a transform: a butterfly of 8 complex vectors fills 16 registers and needs as many for
# its factors and what is under way; with 16 in all, 4 are the most.
_MANY = {16: (4, 4), 32: (8, 4), 64: (8, 8), 128: (8, 4, 4), 256: (8, 8, 4)}
_FEW = {16: (4, 4), 32: (4, 4, 2), 64: (4, 4, 4), 128: (4, 4, 4, 2), 256: (4, 4, 4, 4)}

Complex = tuple[Any, Any]


def radices(side: int, instructions: Instructions) -> tuple[int, ...]:
    return (_MANY if instructions.registers >= 32 else _FEW)[side]


def twiddles(radices: Sequence[int], dtype: str) -> np.ndarray:
    """Factors between passes: for each pass but the last cos, sin of −2π·n2·k1/B, n2-major."""
    import numpy as np

    tables, block = [np.zeros(1)], math.prod(radices)
    for radix in radices[:-1]:
        n2, k1 = np.arange(block // radix)[:, None], np.arange(1, radix)[None]
        factor = np.exp(-2j * np.pi * n2 * k1 / block)
        tables.append(np.stack([factor.real, factor.imag], -1).ravel())
        block //= radix
    return np.concatenate([*tables[1:], tables[0]]).astype(dtype)


def _offsets(radices: Sequence[int]) -> list[int]:
    """Where each pass's factors begin in ``twiddles``."""
    offsets, block = [0], math.prod(radices)
    for radix in radices[:-1]:
        offsets.append(offsets[-1] + 2 * (block // radix) * (radix - 1))
        block //= radix
    return offsets


def order(radices: Sequence[int]) -> np.ndarray:
    """The frequency that lies at each place of a forward transform's result."""
    import numpy as np

    if len(radices) == 1:
        return np.arange(radices[0])
    first, rest = np.arange(radices[0]), radices[0] * order(radices[1:])
    return np.concatenate([start + rest for start in first])


@functools.cache
def row_kernels(side: int, dtype: str, instructions: Instructions) -> Compiled:
    """``forward_rows`` (row addresses, scratch, work, factors), ``inverse_rows`` (work, scratch,
    row addresses, factors) and ``add_row`` (target, source, count), compiled.

    Row addresses are 2·lanes words; scratch and work hold ``side`` complex vectors each.
    """
    passes = radices(side, instructions)
    return _compiled(
        {
            "forward_rows": (4, functools.partial(_forward_rows, passes)),
            "inverse_rows": (4, functools.partial(_inverse_rows, passes)),
            "add_row": (3, _add_row),
        },
        side,
        dtype,
        instructions,
    )


@functools.cache
def column_kernel(side: int, dtype: str, instructions: Instructions) -> Compiled:
    """``columns`` (work, numbers between its elements, scratch, spectrum, factors), compiled."""
    passes = radices(side, instructions)
    kernels = {"columns": (5, functools.partial(_column, passes))}
    return _compiled(kernels, side, dtype, instructions)


@functools.cache
def sum_kernels(side: Size, dtype: str, instructions: Instructions) -> tuple[Compiled, Compiled]:
    """Of rows ``partial_rows`` (row addresses, scratch, work, factors, columns); of columns
    ``column_sums`` (work of conjugates, work, numbers between elements, scratch of two columns,
    sums one after another, factors) and ``add_lanes`` (vectors, numbers, count), compiled."""
    across, down = radices(side[1], instructions), radices(side[0], instructions)
    rows = {"partial_rows": (5, functools.partial(_partial_rows, across))}
    columns = {"column_sums": (6, functools.partial(_column_sums, down)), "add_lanes": (3, _lanes)}
    return (
        _compiled(rows, side[1], dtype, instructions),
        _compiled(columns, side[0], dtype, instructions),
    )


def _compiled(
    kernels: dict[str, tuple[int, Any]], side: int, dtype: str, instructions: Instructions
) -> Compiled:
    from convkernels.cpu import objects, vectors

    lanes = instructions.lanes(dtype)
    return objects.load(
        tuple(kernels),
        (tuple(kernels), objects.source(__file__), radices(side, instructions), lanes, dtype),
        lambda: vectors.module(kernels, dtype, lanes, instructions),
        instructions,
    )


# ---- kernels ---------------------------------------------------------------------------------


def _forward_rows(passes: Sequence[int], v: Vectors, arguments: Sequence[Any]) -> None:
    _partial_rows(passes, v, [*arguments, None])


def _partial_rows(passes: Sequence[int], v: Vectors, arguments: Sequence[Any]) -> None:
    rows, scratch, work, factors, columns = arguments
    step = 2 * v.lanes
    with v.loop(math.prod(passes), v.lanes) as column:
        for half in (0, v.lanes):  # real parts, then imaginary parts
            addresses = [v.at(v.word(rows, half + k), column) for k in range(v.lanes)]
            for k, pixels in enumerate(_load_transposed(v, addresses)):
                v.store(pixels, scratch, v.plus(v.times(v.plus(column, k), step), half))
    if columns is not None:
        with v.loop(v.times(v.minus(math.prod(passes), columns), step), v.lanes) as k:
            v.store(v.constant(0.0), scratch, v.plus(v.times(columns, step), k))
    last = len(passes) - 1
    for number in range(last + 1):
        target = work if number == last else scratch
        _pass(v, passes, number, (scratch, step), (target, step), factors, inverse=False)


def _inverse_rows(passes: Sequence[int], v: Vectors, arguments: Sequence[Any]) -> None:
    work, scratch, rows, factors = arguments
    step = 2 * v.lanes
    last = len(passes) - 1
    for number in range(last, -1, -1):
        source = work if number == last else scratch
        _pass(v, passes, number, (source, step), (scratch, step), factors, inverse=True)
    with v.loop(math.prod(passes), v.lanes) as column:
        for half in (0, v.lanes):
            pixels = [
                v.load(scratch, v.plus(v.times(v.plus(column, k), step), half))
                for k in range(v.lanes)
            ]
            addresses = [v.at(v.word(rows, half + k), column) for k in range(v.lanes)]
            _store_transposed(v, pixels, addresses)


def _column(passes: Sequence[int], v: Vectors, arguments: Sequence[Any]) -> None:
    """The product with the spectrum is taken in registers, between a pass and its inverse."""
    work, stride, scratch, spectrum, factors = arguments
    far, near = (work, stride), (scratch, 2 * v.lanes)
    last = len(passes) - 1
    for number in range(last):
        _pass(v, passes, number, near if number else far, near, factors, inverse=False)
    source, target = (near, near) if last else (far, far)
    _pass(v, passes, last, source, target, factors, inverse=False, spectrum=spectrum)
    for number in range(last - 1, -1, -1):
        _pass(v, passes, number, near, near if number else far, factors, inverse=True)


def _column_sums(passes: Sequence[int], v: Vectors, arguments: Sequence[Any]) -> None:
    conjugates, work, stride, scratch, sums, factors = arguments
    length, step = math.prod(passes), 2 * v.lanes
    near = [(v.at(scratch, number * length * step), step) for number in (0, 1)]
    for far, own in zip((conjugates, work), near, strict=True):
        for number in range(len(passes)):
            source = own if number else (far, stride)
            _pass(v, passes, number, source, own, factors, inverse=False)
    with v.loop(length) as place:
        a, b = (_load(v, own, place) for own in near)
        real, imaginary = _load(v, (sums, step), place)
        real = v.fma(a[0], b[0], v.fma(a[1], b[1], real))
        imaginary = v.fma(a[0], b[1], v.fma(v.builder.fneg(a[1]), b[0], imaginary))
        _store(v, (real, imaginary), (sums, step), place)


def _lanes(v: Vectors, arguments: Sequence[Any]) -> None:
    with v.loop(arguments[2]) as k:
        v.store(v.added(v.load(arguments[0], v.times(k, v.lanes))), arguments[1], k)


def _add_row(v: Vectors, arguments: Sequence[Any]) -> None:
    target, source, count = arguments
    whole = v.minus(count, v.builder.srem(count, v.whole(v.lanes)))
    with v.loop(whole, v.lanes) as k:
        v.store(v.builder.fadd(v.load(target, k), v.load(source, k)), target, k)
    with v.loop(v.minus(count, whole)) as k:
        at = v.plus(whole, k)
        sum_ = v.builder.fadd(v.load(target, at, lanes=1), v.load(source, at, lanes=1))
        v.store(sum_, target, at)


# ---- a pass of a transform -------------------------------------------------------------------


def _pass(
    v: Vectors,
    passes: Sequence[int],
    number: int,
    source: tuple[Any, Any],
    target: tuple[Any, Any],
    factors: Any,
    *,
    inverse: bool,
    spectrum: Any = None,
) -> None:
    """One pass over a line; source and target are (address, numbers between elements).

    With a spectrum, of the last pass: forward, times the spectrum, and back.
    """
    radix, offset = passes[number], _offsets(passes)[number]
    block = math.prod(passes[number:])
    inner = block // radix
    with v.loop(math.prod(passes), block) as begin, v.loop(inner) as n2:
        first = v.plus(begin, n2)
        places = [v.plus(first, k * inner) for k in range(radix)]
        z = [_load(v, source, place) for place in places]
        row = v.plus(v.times(n2, 2 * (radix - 1)), offset)

        def turned(z: list[Complex], row: Any = row, inner: int = inner) -> list[Complex]:
            if inner == 1:
                return z
            pairs = (v.plus(row, 2 * k - 2) for k in range(1, len(z)))
            return [
                z[0],
                *(_times(v, a, factors, p, inverse) for a, p in zip(z[1:], pairs, strict=True)),
            ]

        if spectrum is not None:
            z = [
                _times(v, a, spectrum, v.times(place, 2), False)
                for a, place in zip(_dft(v, z, False), places, strict=True)
            ]
            z = _dft(v, z, True)
        elif inverse:
            z = _dft(v, turned(z), True)
        else:
            z = turned(_dft(v, z, False))
        for a, place in zip(z, places, strict=True):
            _store(v, a, target, place)


def _load(v: Vectors, line: tuple[Any, Any], place: Any) -> Complex:
    at = v.at(line[0], v.times(place, line[1]))
    return v.load(at), v.load(at, v.lanes)


def _store(v: Vectors, a: Complex, line: tuple[Any, Any], place: Any) -> None:
    at = v.at(line[0], v.times(place, line[1]))
    v.store(a[0], at)
    v.store(a[1], at, v.lanes)


def _times(v: Vectors, a: Complex, table: Any, offset: Any, conjugate: bool) -> Complex:
    """a · (c + is), or a · (c − is), with c and s beside each other in memory."""
    c, s = v.splat(table, offset), v.splat(table, v.plus(offset, 1))
    return _product(v, a, c, s, conjugate)


def _product(v: Vectors, a: Complex, c: Any, s: Any, conjugate: bool) -> Complex:
    plus, minus = (s, v.builder.fneg(s)) if conjugate else (v.builder.fneg(s), s)
    real, imaginary = v.builder.fmul(a[0], c), v.builder.fmul(a[1], c)
    return v.fma(a[1], plus, real), v.fma(a[0], minus, imaginary)


def _dft(v: Vectors, z: Sequence[Complex], inverse: bool) -> list[Complex]:
    """A transform of 1, 2, 4, 8, … complex vectors, in natural order."""
    n = len(z)
    if n == 1:
        return list(z)
    even, odd = _dft(v, z[0::2], inverse), _dft(v, z[1::2], inverse)
    low: list[Complex] = []
    high: list[Complex] = []
    for k in range(n // 2):
        plus, minus = _butterfly(v, even[k], odd[k], k, n, inverse)
        low.append(plus)
        high.append(minus)
    return low + high


def _butterfly(
    v: Vectors, e: Complex, o: Complex, k: int, n: int, inverse: bool
) -> tuple[Complex, Complex]:
    """e ± o · exp(∓2πik/n): multiplications by 1, ∓i and √½(±1 ∓ i) cost none of their own."""
    add, subtract = v.builder.fadd, v.builder.fsub
    if 8 * k in (n, 3 * n):
        total, difference = add(o[0], o[1]), subtract(o[0], o[1])
        negative = v.builder.fneg
        turned = {  # √2 times the product
            (n, False): (total, negative(difference)),
            (n, True): (difference, total),
            (3 * n, False): (negative(difference), negative(total)),
            (3 * n, True): (negative(total), difference),
        }[8 * k, inverse]
        half, minus_half = v.constant(math.sqrt(0.5)), v.constant(-math.sqrt(0.5))
        return (
            (v.fma(half, turned[0], e[0]), v.fma(half, turned[1], e[1])),
            (v.fma(minus_half, turned[0], e[0]), v.fma(minus_half, turned[1], e[1])),
        )
    if 4 * k == n:  # times −i, or i
        plus = (add(e[0], o[1]), subtract(e[1], o[0]))
        minus = (subtract(e[0], o[1]), add(e[1], o[0]))
        return (minus, plus) if inverse else (plus, minus)
    if k:
        angle = 2 * math.pi * k / n
        c, s = v.constant(math.cos(angle)), v.constant(-math.sin(angle))
        o = _product(v, o, c, s, inverse)
    return (
        (add(e[0], o[0]), add(e[1], o[1])),
        (subtract(e[0], o[0]), subtract(e[1], o[1])),
    )


# ---- between rows of pixels and vectors of tiles ---------------------------------------------


def _load_transposed(v: Vectors, addresses: Sequence[Any]) -> list[Any]:
    """Rows of ``lanes`` pixels → for each pixel the vector of all rows.

    Quarters of 128 bits are put together as they are loaded, so that what is left to shuffle stays
    within them, where it is cheapest.
    """
    part = 16 // v.item
    columns: list[Any] = []
    for begin in range(0, v.lanes, part):
        rows = []
        for k in range(part):
            pieces = [v.load(a, begin, lanes=part) for a in addresses[k::part]]
            while len(pieces) > 1:
                both = range(2 * pieces[0].type.count)
                pieces = [
                    v.shuffle(a, b, both) for a, b in zip(pieces[0::2], pieces[1::2], strict=True)
                ]
            rows.append(pieces[0])
        columns += _transposed(v, rows)
    return columns


def _store_transposed(v: Vectors, pixels: Sequence[Any], addresses: Sequence[Any]) -> None:
    """The way back."""
    part = 16 // v.item
    for begin in range(0, v.lanes, part):
        for k, rows in enumerate(_transposed(v, pixels[begin : begin + part])):
            for g, address in enumerate(addresses[k::part]):
                piece = v.shuffle(rows, rows, range(part * g, part * (g + 1)))
                v.store(piece, address, begin)


def _transposed(v: Vectors, rows: Sequence[Any]) -> list[Any]:
    """In each 128 bits of 2 (float64) or 4 (float32) vectors, the transposed square."""

    def shuffle(a: Any, b: Any, pattern: Sequence[int]) -> Any:
        size = len(rows)
        lanes = [
            begin + (p if p < size else v.lanes + p - size)
            for begin in range(0, v.lanes, size)
            for p in pattern
        ]
        return v.shuffle(a, b, lanes)

    if len(rows) == 2:
        return [shuffle(rows[0], rows[1], (0, 2)), shuffle(rows[0], rows[1], (1, 3))]
    a, b = shuffle(rows[0], rows[1], (0, 4, 1, 5)), shuffle(rows[0], rows[1], (2, 6, 3, 7))
    c, d = shuffle(rows[2], rows[3], (0, 4, 1, 5)), shuffle(rows[2], rows[3], (2, 6, 3, 7))
    return [
        shuffle(a, c, (0, 1, 4, 5)),
        shuffle(a, c, (2, 3, 6, 7)),
        shuffle(b, d, (0, 1, 4, 5)),
        shuffle(b, d, (2, 3, 6, 7)),
    ]
