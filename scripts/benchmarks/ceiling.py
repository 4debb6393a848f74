"""How far is our force call from what this machine can do? python scripts/benchmarks/ceiling.py
[--data WATER.npz]

Measures, on one thread and in turn with the call itself: the arithmetic a core does at best
(float32 multiply-adds on registers, and matrix products that fit its caches), the bandwidth of its
memory (a triad of arrays far larger than the caches) and of its caches. Counts, from the formulas
of the network, the floating point operations of one force call (forward and backward; pairs within
the cutoff only; a sine, a root or an exponential is one operation) and the bytes it cannot avoid
moving (positions, neighbour table, weights, forces, once each). The larger of the two times these
take at the ceilings is a bound; printed is the call's time as a multiple of it, and of the one with
the matrix products of this torch as ceiling instead.
"""

import argparse
import ctypes
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import one_site_water as water
import torch

from cgrec.potential import DensityNetwork
from cgrec.potential.graph import SiteGraph

GIGA = 1e9
UNITS = {"arithmetic": "GFLOP/s", "matrix product": "GFLOP/s", "memory": "GB/s", "cache": "GB/s"}

#: Twelve independent chains of multiply-adds, as wide as the machine's registers.
MULTIPLY_ADDS = r"""
#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
typedef float vector __attribute__((vector_size(BYTES)));
float run(long n) {
    vector x[12], a = {0}, b = {0};
    float sum = 0;
    for (int i = 0; i < 12; i++) x[i] = a + (float)i;
    a += 0.5f, b += 1.5f;
    for (long k = 0; k < n; k++)
        #pragma GCC unroll 12
        for (int i = 0; i < 12; i++) x[i] = x[i] * a + b;
    for (int i = 0; i < 12; i++) for (int j = 0; j < BYTES / 4; j++) sum += x[i][j];
    return sum;
}
long operations(long n) { return n * 12 * 2 * (BYTES / 4); }
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="npz of one-site water (default: generated, 343 sites)"
    )
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--quick", action="store_true", help="a small box, uncompiled, two rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = (
        water.read(arguments.data)
        if arguments.data
        else water.generated(2, per_side=5 if arguments.quick else 7)
    )
    potential = water.frozen(DensityNetwork.for_frames(frames, cutoff=water.CUTOFF))
    graph = potential.graph(frames[:1])
    found = measure(potential, graph, arguments)
    report(potential, graph, found, arguments.json)


def measure(
    potential: DensityNetwork, graph: SiteGraph, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Ceilings in operations or bytes per second, calls in seconds."""
    calls = {
        "arithmetic": multiply_adds(),
        "matrix product": max_of([product(n) for n in (64, 128, 256, 384)]),
        "memory": triad(2**24 if arguments.quick else 2**26),
        "cache": triad(2**15),
        "eager call": lambda: water.seconds_of(lambda: potential(graph)),
    }
    if not arguments.quick:
        compiled = potential.compiled()
        compiled(graph)
        calls["compiled call"] = lambda: water.seconds_of(lambda: compiled(graph))
    return water.interleaved(calls, 2 if arguments.quick else arguments.repeats)


def multiply_adds(n: int = 2**20) -> Callable[[], float]:
    """Operations per second of a loop in C; nothing without a compiler, the matrix products speak
    then.
    """
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return lambda: 0.0
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "loop.c", Path(folder) / "loop.so"
        source.write_text(MULTIPLY_ADDS)
        subprocess.run(
            [
                compiler,
                "-O3",
                "-march=native",
                "-ffp-contract=fast",
                "-shared",
                "-fPIC",
                source,
                "-o",
                library,
            ],
            check=True,
        )
        loop = ctypes.CDLL(str(library))
    loop.run.argtypes = loop.operations.argtypes = [ctypes.c_long]
    loop.run.restype, loop.operations.restype = ctypes.c_float, ctypes.c_long
    return lambda: loop.operations(n) / water.seconds_of(lambda: loop.run(n), 0.05)


def product(n: int) -> Callable[[], float]:
    """Operations per second of n x n float32 matrix products."""
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    times = max(1, 2**25 // n**3)
    return lambda: (
        times
        * 2
        * n**3
        / water.seconds_of(lambda: repeat(times, lambda: torch.mm(a, b, out=out)), 0.05)
    )


def triad(n: int) -> Callable[[], float]:
    """Bytes per second of a = b + s c over n float32 numbers: two read, one written."""
    a, b, c = torch.zeros(n), torch.randn(n), torch.randn(n)
    times = max(1, 2**22 // n)
    return lambda: (
        times
        * 12
        * n
        / water.seconds_of(lambda: repeat(times, lambda: torch.add(b, c, alpha=2.0, out=a)), 0.1)
    )


def repeat(times: int, call: Callable[[], object]) -> None:
    for _ in range(times):
        call()


def max_of(calls: list[Callable[[], float]]) -> Callable[[], float]:
    return lambda: max(call() for call in calls)


def report(
    potential: DensityNetwork, graph: SiteGraph, found: dict[str, list[float]], path: Path | None
) -> None:
    # A ceiling is the best that was seen; a call is judged by its median and its fastest.
    peak = {name: max(found[name]) for name in UNITS}
    arithmetic = max(peak["arithmetic"], peak["matrix product"])
    counts, moved = operations(potential, graph), compulsory_bytes(potential, graph)
    total = sum(counts.values())
    bound = max(total / arithmetic, moved / peak["memory"])
    products = max(total / peak["matrix product"], moved / peak["memory"])
    ceilings = [
        [f"{name}, {u}", statistics.median(found[name]) / GIGA, peak[name] / GIGA]
        for name, u in UNITS.items()
    ]
    amounts = [
        [f"MFLOP, {name}", n / 1e6, 1e3 * n / arithmetic]
        for name, n in {**counts, "in all": total}.items()
    ]
    amounts.append(["MB that must move", moved / 1e6, 1e3 * moved / peak["memory"]])
    calls = {name: times for name, times in found.items() if name.endswith("call")}
    timed = [
        [
            name,
            1e3 * median,
            1e3 * min(t),
            median / bound,
            min(t) / bound,
            min(t) / products,
            total / min(t) / GIGA,
        ]
        for name, t in calls.items()
        for median in [statistics.median(t)]
    ]
    work = f"one force call, {len(graph.species)} sites, {pairs(potential, graph)} pairs"
    print(water.table(["ceiling (one thread)", "median", "best"], ceilings), end="\n\n")
    print(water.table([work, "amount", "ms at the ceiling"], amounts), end="\n\n")
    print(
        water.table(
            [
                "call",
                "median ms",
                "fastest ms",
                "median / bound",
                "fastest / bound",
                "at product speed",
                "GFLOP/s",
            ],
            timed,
        )
    )
    water.keep(
        path, {"rounds": found, "operations": counts, "bytes": moved, "bound_seconds": bound}
    )


def pairs(potential: DensityNetwork, graph: SiteGraph) -> int:
    """Pairs within the cutoff, each counted from both ends."""
    return int((graph.neighbour_vectors().norm(dim=-1) < potential.cutoff).sum())


def operations(potential: DensityNetwork, graph: SiteGraph) -> dict[str, float]:
    """Floating point operations of the parts of a force call.

    Going back costs a matrix product with fixed weights once more, a product of two things that
    move twice more.
    """
    p, s = pairs(potential, graph), len(graph.species)
    config = potential.config
    c, r, w, l_max = (config[k] for k in ("channels", "n_radial", "width", "l_max"))
    degrees, harmonics, triples = l_max + 1, (l_max + 1) ** 2, potential.layers[0].triples
    features = c * (1 + degrees + len(triples))
    layers, types = config["n_layers"], len(potential.types)
    # Vectors 6, length 6, scaled length 1, envelope 10, three operations a Bessel function, two a
    # harmonic; back twice.
    geometry = 3 * p * (23 + 3 * r + 2 * harmonics)
    radial = (
        2 * p * 2 * r * c * degrees + 3 * p * c * degrees
    )  # product with weights; times the neighbour's own
    density = 3 * p * 2 * harmonics * c
    # The first layer, whose states are those of types: moments have no channels, and take their weights
    # once a site and type.
    moments = 3 * p * 2 * harmonics * r
    weights = 2 * s * types * 2 * harmonics * r * c
    mixing = 2 * s * 2 * harmonics * c * 3 * c
    powers = 3 * s * 2 * harmonics * c
    coupling = sum(
        2 * 2 * (2 * i + 1) * (2 * j + 1) * (2 * k + 1)
        + 3 * 2 * (2 * i + 1) * (2 * j + 1)
        + 3 * 2 * (2 * i + 1)
        for i, j, k in triples
    )
    readout = 2 * s * 2 * w * (features + w + c + 1) + 3 * s * 2 * 4 * w
    return {
        "pair geometry": geometry,
        "radial functions": (layers - 1) * radial + weights,
        "densities": (layers - 1) * density + moments,
        "mixing": layers * mixing,
        "products": layers * (powers + s * c * coupling),
        "readout": layers * readout,
    }


def compulsory_bytes(potential: DensityNetwork, graph: SiteGraph) -> int:
    """Positions, species, neighbour table and weights read, forces written."""
    held = [
        graph.positions,
        graph.species,
        graph.neighbour_index,
        graph.neighbour_shift,
        *potential.parameters(),
    ]
    return (
        sum(t.numel() * t.element_size() for t in held)
        + graph.positions.numel() * graph.positions.element_size()
    )


if __name__ == "__main__":
    main()
