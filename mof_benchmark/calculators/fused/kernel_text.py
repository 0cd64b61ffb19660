"""The convolution's kernels for one tensor product, in LLVM's words.

A message is, with i the centre, j its neighbour, u the channel::

    out[i, k, u] += w[u] Σ_m A[k, m] x[j, m, u]      A[k, m] = Σ_h C[m, h, k] Y[h]

with the radial weights w read from a table (`radial_table`). The backward pass needs, per path,
T[h, u] = Σ C[m, h, k] x[j, m, u] g[i, k, u]: dE/dw = Σ_h Y[h] T[h], dE/dY[h] = Σ_u w[u] T[h, u] and
dE/dx[j, m, u] = w[u] Σ_k A[k, m] g[i, k, u]. Only non-zero coefficients are written out.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mof_benchmark.calculators.fused.layout import Block, Path
from mof_benchmark.calculators.fused.llvm_text import FunctionWriter

COMMON_ARGUMENTS = (
    ("i64", "atoms"),
    ("ptr", "first"),
    ("ptr", "neighbour"),
    ("ptr", "harmonics"),
    ("ptr", "distance"),
    ("ptr", "table"),
    ("i64", "knots"),
    ("double", "knots_per_A"),
)


@dataclass(frozen=True)
class KernelShape:
    """What the kernels of one convolution are written for."""

    paths: tuple[Path, ...]
    blocks_in: tuple[Block, ...]
    blocks_out: tuple[Block, ...]
    n_harmonics: int
    real: str
    """`float` or `double`."""
    vector_bytes: int
    """Size of the machine's vector registers."""

    @property
    def weights(self) -> int:
        return sum(path.channels for path in self.paths)

    def width(self, path: Path) -> int:
        """Channels in one vector."""
        width = self.vector_bytes // FunctionWriter.size(self.real)
        while path.channels % width:
            width //= 2
        return width


@dataclass(frozen=True)
class _Edge:
    """Values at hand inside the loop over edges."""

    centre: str
    edge: str
    neighbour: str
    row: str
    t: str
    rise: str
    leave: str
    arrive: str


def forward_text(shape: KernelShape) -> str:
    """Function `forward(COMMON_ARGUMENTS, in…, out…)`: add every message to `out`."""
    f = FunctionWriter(
        "forward",
        [*COMMON_ARGUMENTS, *_pointers("in", shape.blocks_in), *_pointers("out", shape.blocks_out)],
        shape.real,
    )
    with f.loop("0", "%atoms") as centre, _edges(f, centre) as e:
        edge = _open_edge(f, shape, centre, e)
        for path in shape.paths:
            width = shape.width(path)
            kind = f.vector(width)
            matrix = _matrix(f, shape, path, edge, width)
            with f.loop("0", str(path.channels), width) as u:
                weight = _weight(f, shape, path, edge, u, width)
                x = _load_in(f, shape, path, edge, u, width)
                weighted = {m: f.multiply(kind, value, weight) for m, value in x.items()}
                for k, columns in _grouped(path, 2, 0).items():
                    target = _address(
                        f,
                        f"%out{path.block_out}",
                        shape.blocks_out[path.block_out],
                        centre,
                        k,
                        path.first_out,
                        u,
                    )
                    total = f.get(kind, target)
                    for m in columns:
                        total = f.multiply_add(kind, matrix[k, m], weighted[m], total)
                    f.put(kind, total, target)
    return f.text()


def backward_text(shape: KernelShape, *, inner_gradient: bool) -> str:
    """Function `backward(COMMON_ARGUMENTS, in…, gradient of out…, [gradient of in…,] harmonics_gradient,
    distance_gradient)`: add the gradients of every message."""
    arguments = [*COMMON_ARGUMENTS, *_pointers("in", shape.blocks_in), *_pointers("out", shape.blocks_out)]
    arguments += _pointers("grad", shape.blocks_in) if inner_gradient else []
    arguments += [("ptr", "harmonics_gradient"), ("ptr", "distance_gradient")]
    f = FunctionWriter("backward", arguments, shape.real)
    widths = sorted({shape.width(path) for path in shape.paths})
    slopes = {width: f.slot(f.vector(width)) for width in widths}
    pulls = {(width, h): f.slot(f.vector(width)) for width in widths for h in range(shape.n_harmonics)}
    with f.loop("0", "%atoms") as centre, _edges(f, centre) as e:
        edge = _open_edge(f, shape, centre, e)
        for width, slot in [*slopes.items(), *((width, slot) for (width, _), slot in pulls.items())]:
            f.put(f.vector(width), "zeroinitializer", slot)
        slope_weights = _slope_weights(f, edge)
        for path in shape.paths:
            width = shape.width(path)
            path_pulls = {h: pulls[width, path.first_harmonic + h] for h in range(path.harmonics)}
            _backward_path(f, shape, path, edge, slope_weights, path_pulls, slopes[width], inner_gradient)
        for h in range(shape.n_harmonics):
            parts = [(slot, width) for (width, n), slot in pulls.items() if n == h]
            target = f.at(f.real, "%harmonics_gradient", f.add(f.times(e, shape.n_harmonics), h))
            _add_totals(f, parts, target, None)
        target = f.at(f.real, "%distance_gradient", e)
        scale = "%knots_per_A" if f.real == "double" else f.let("fptrunc double %knots_per_A to float")
        _add_totals(f, [(slot, width) for width, slot in slopes.items()], target, scale)
    return f.text()


def _backward_path(
    f: FunctionWriter,
    shape: KernelShape,
    path: Path,
    edge: _Edge,
    slope_weights: dict[str, str],
    pulls: dict[int, str],
    slope: str,
    inner_gradient: bool,
) -> None:
    width = shape.width(path)
    kind = f.vector(width)
    harmonics = {h: f.splat(_harmonic(f, shape, path, edge, h), width) for h in range(path.harmonics)}
    matrix = _matrix(f, shape, path, edge, width) if inner_gradient else {}
    with f.loop("0", str(path.channels), width) as u:
        weight = _weight(f, shape, path, edge, u, width)
        weight_slope = _weight_slope(f, shape, path, edge, slope_weights, u, width)
        x = _load_in(f, shape, path, edge, u, width)
        g = {
            k: f.get(
                kind,
                _address(
                    f,
                    f"%out{path.block_out}",
                    shape.blocks_out[path.block_out],
                    edge.centre,
                    k,
                    path.first_out,
                    u,
                ),
            )
            for k in _grouped(path, 2, 0)
        }
        products: dict[tuple[int, int], str] = {}
        by_harmonic: dict[int, str] = {}
        for m, h, k, value in path.entries:
            if (m, k) not in products:
                products[m, k] = f.multiply(kind, x[m], g[k])
            by_harmonic[h] = f.multiply_add(
                kind, f.constant(value, width), products[m, k], by_harmonic.get(h)
            )
        by_weight = None
        for h, product in by_harmonic.items():
            f.put(kind, f.multiply_add(kind, weight, product, f.get(kind, pulls[h])), pulls[h])
            by_weight = f.multiply_add(kind, harmonics[h], product, by_weight)
        f.put(kind, f.multiply_add(kind, weight_slope, str(by_weight), f.get(kind, slope)), slope)
        if inner_gradient:
            weighted = {k: f.multiply(kind, value, weight) for k, value in g.items()}
            for m, rows in _grouped(path, 0, 2).items():
                target = _address(
                    f,
                    f"%grad{path.block_in}",
                    shape.blocks_in[path.block_in],
                    edge.neighbour,
                    m,
                    path.first_in,
                    u,
                )
                total = f.get(kind, target)
                for k in rows:
                    total = f.multiply_add(kind, matrix[k, m], weighted[k], total)
                f.put(kind, total, target)


def _pointers(name: str, blocks: tuple[Block, ...]) -> list[tuple[str, str]]:
    return [("ptr", f"{name}{i}") for i in range(len(blocks))]


def _edges(f: FunctionWriter, centre: str) -> AbstractContextManager[str]:
    start = f.get("i64", f.at("i64", "%first", centre), 8)
    end = f.get("i64", f.at("i64", "%first", f.add(centre, 1)), 8)
    return f.loop(start, end)


def _open_edge(f: FunctionWriter, shape: KernelShape, centre: str, e: str) -> _Edge:
    """Find the table's row and the Hermite weights of the edge's distance."""
    scaled = f.multiply("double", f.get("double", f.at("double", "%distance", e), 8), "%knots_per_A")
    last = f.add("%knots", -2)
    row = f.let(f"fptosi double {scaled} to i64")
    beyond = f.let(f"icmp sgt i64 {row}, {last}")
    row = f.let(f"select i1 {beyond}, i64 {last}, i64 {row}")
    t = f.subtract("double", scaled, f.let(f"sitofp i64 {row} to double"))
    # Beyond the last knot the weights keep the value they have there, which is zero.
    outside = f.let(f"fcmp ogt double {t}, 1.0")
    t = f.let(f"select i1 {outside}, double 1.0, double {t}")
    rest = f.subtract("double", "1.0", t)
    square, rest_square = f.multiply("double", t, t), f.multiply("double", rest, rest)
    rise = f.multiply("double", square, f.multiply_add("double", "-2.0", t, "3.0"))
    leave = f.multiply("double", t, rest_square)
    arrive = f.subtract("double", "0.0", f.multiply("double", square, rest))
    neighbour = f.get("i64", f.at("i64", "%neighbour", e), 8)
    low = f.at(f.real, "%table", f.times(row, 3 * shape.weights))
    return _Edge(centre, e, neighbour, low, t, *(_real(f, value) for value in (rise, leave, arrive)))


def _slope_weights(f: FunctionWriter, edge: _Edge) -> dict[str, str]:
    t, rest = edge.t, f.subtract("double", "1.0", edge.t)
    return {
        "rise": _real(f, f.multiply("double", "6.0", f.multiply("double", t, rest))),
        "leave": _real(f, f.multiply("double", rest, f.multiply_add("double", "-3.0", t, "1.0"))),
        "arrive": _real(f, f.multiply("double", t, f.multiply_add("double", "3.0", t, "-2.0"))),
    }


def _real(f: FunctionWriter, value: str) -> str:
    return value if f.real == "double" else f.let(f"fptrunc double {value} to float")


def _table(
    f: FunctionWriter, shape: KernelShape, path: Path, edge: _Edge, part: int, u: str, width: int
) -> str:
    """Part 0: values, 1: rises, 2: slopes of the row; 5: slopes of the next row."""
    index = f.add(u, part * shape.weights + path.first_weight)
    return f.get(f.vector(width), f.at(f.real, edge.row, index))


def _weight(f: FunctionWriter, shape: KernelShape, path: Path, edge: _Edge, u: str, width: int) -> str:
    total = _table(f, shape, path, edge, 0, u, width)
    for part, factor in ((1, edge.rise), (2, edge.leave), (5, edge.arrive)):
        value = _table(f, shape, path, edge, part, u, width)
        total = f.multiply_add(f.vector(width), f.splat(factor, width), value, total)
    return total


def _weight_slope(
    f: FunctionWriter,
    shape: KernelShape,
    path: Path,
    edge: _Edge,
    factors: dict[str, str],
    u: str,
    width: int,
) -> str:
    total = None
    for part, factor in ((1, factors["rise"]), (2, factors["leave"]), (5, factors["arrive"])):
        value = _table(f, shape, path, edge, part, u, width)
        total = f.multiply_add(f.vector(width), f.splat(factor, width), value, total)
    return str(total)


def _harmonic(f: FunctionWriter, shape: KernelShape, path: Path, edge: _Edge, h: int) -> str:
    index = f.add(f.times(edge.edge, shape.n_harmonics), path.first_harmonic + h)
    return f.get(f.real, f.at(f.real, "%harmonics", index))


def _matrix(
    f: FunctionWriter, shape: KernelShape, path: Path, edge: _Edge, width: int
) -> dict[tuple[int, int], str]:
    """The small matrix A of one path and edge, each element in all lanes."""
    harmonics = {h: _harmonic(f, shape, path, edge, h) for h in range(path.harmonics)}
    sums: dict[tuple[int, int], str] = {}
    for m, h, k, value in path.entries:
        sums[k, m] = f.multiply_add(f.real, f.number(value), harmonics[h], sums.get((k, m)))
    return {place: f.splat(value, width) for place, value in sums.items()}


def _load_in(
    f: FunctionWriter, shape: KernelShape, path: Path, edge: _Edge, u: str, width: int
) -> dict[int, str]:
    block = shape.blocks_in[path.block_in]
    return {
        m: f.get(
            f.vector(width), _address(f, f"%in{path.block_in}", block, edge.neighbour, m, path.first_in, u)
        )
        for m in _grouped(path, 0, 2)
    }


def _address(
    f: FunctionWriter, array: str, block: Block, atom: str, component: int, first: int, u: str
) -> str:
    base = f.times(atom, block.components * block.channels)
    return f.at(f.real, array, f.add(base, u, component * block.channels + first))


def _add_totals(f: FunctionWriter, parts: list[tuple[str, int]], target: str, scale: str | None) -> None:
    total = f.get(f.real, target)
    for slot, width in parts:
        value = f.total(f.get(f.vector(width), slot), width)
        if scale is not None:
            value = f.multiply(f.real, value, scale)
        total = f.let(f"fadd {f.real} {total}, {value}")
    f.put(f.real, total, target)


def _grouped(path: Path, row: int, column: int) -> dict[int, list[int]]:
    groups: dict[int, set[int]] = defaultdict(set)
    for entry in path.entries:
        groups[int(entry[row])].add(int(entry[column]))
    return {key: sorted(groups[key]) for key in sorted(groups)}
