"""What a GPU gives, against one core of the CPU beside it: python scripts/benchmarks/gpu.py [--data
WATER.npz]

First the contracts of tests/devices, on the device. Then the default network on one-site water, of
one box, 4x4x4 and 15x15x15 (316, 20,224 and 10^6 sites of the water that --data is): a force call,
plain and traced, the search for neighbours, and a step of Langevin dynamics. NequIP and MACE, in their
plain form, where they are installed. Ten minutes; with --quick two.

Without --data a generated liquid stands in for water, which is fit for timing. Without a GPU it says
so in one line.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import one_site_water as water
import torch
from torch import Tensor

import cgrec
from cgrec.dynamics import Langevin
from cgrec.dynamics.integrators import ReplicaNoise
from cgrec.dynamics.langevin import prepared
from cgrec.potential import DensityNetwork, Potential

TESTS = Path(__file__).parents[2] / "tests" / "devices"
#: Sites up to which peers are asked: they need some 100 KB a site.
MOST_OF_PEERS = 30_000
#: Seconds the contracts may take.
CONTRACTS = 240


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="npz of one-site water (default: generated)")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument(
        "--quick", action="store_true", help="without the contracts and the largest"
    )
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu.py: expected a GPU that torch can use, found none; run it where there is one")
    torch.set_num_threads(1)
    frames = water.read(arguments.data) if arguments.data else water.generated(per_side=7)
    copies = (1, 4) if arguments.quick else (1, 4, 15)
    results: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "seconds": {}}
    if not arguments.quick:
        results["contracts"] = contracts()
    for c in copies:
        start = water.replicated(frames[:1], c)
        found = {where: seconds(frames, start, where) for where in ("cuda", "cpu")}
        if start.n_sites <= MOST_OF_PEERS:
            found["peers on cuda"] = peers(frames, arguments.data, c)
        results["seconds"][start.n_sites] = found
        show(start.n_sites, found)
        water.keep(arguments.json, results)  # what is measured is not lost


def contracts() -> str:
    """The last line that pytest says of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", str(TESTS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONTRACTS)
        said = done.stdout.strip().splitlines()[-12:]
    except subprocess.TimeoutExpired:
        said = [f"contracts: not done after {CONTRACTS} s"]
    print("\n".join(said), flush=True)
    return said[-1]


def seconds(frames: cgrec.Frames, start: cgrec.Frames, where: str) -> dict[str, float]:
    """{what: s} of one frame on a device."""
    network = DensityNetwork.for_frames(frames, cutoff=water.CUTOFF)
    potential = water.frozen(network).to(where)
    fast, graph = potential.compiled(), potential.graph(start)
    calls: dict[str, Callable[[], object]] = {
        "force call, plain": lambda: potential(graph),
        "force call, compiled": lambda: fast(graph),
        "neighbours and graph": lambda: potential.graph(start),
    }
    found = {name: timed(waited(call, where)) for name, call in calls.items()}
    try:
        return {**found, "MD step": step(potential, start)}
    except torch.OutOfMemoryError:
        return {**found, "MD step": float("nan")}


def timed(call: Callable[[], None]) -> float:
    """s of a call after the first, which compiles; nan where there is not memory enough."""
    try:
        call()
        return water.seconds_of(call, budget=3.0)
    except torch.OutOfMemoryError:
        return float("nan")


def step(potential: Potential, start: cgrec.Frames, steps: int = 20) -> float:
    """s of a step of Langevin dynamics, searches for neighbours included, mean of `steps`."""
    engine = Langevin(n_replicas=1, timestep=0.01, compile=True)
    noise = ReplicaNoise(1, 1, potential.device)
    own = start[:1]
    replicas = prepared(engine, potential, own, own, noise, Path("not_written")).replicas
    replicas.find_forces()
    shape = tuple(replicas.positions.shape[1:])
    replicas.advance(replicas.noise.draw(1, shape)[0])
    synchronise(potential.device.type)
    begin = time.perf_counter()
    for noise in replicas.noise.draw(steps, shape):
        replicas.advance(noise)
    synchronise(potential.device.type)
    return (time.perf_counter() - begin) / steps


def waited(call: Callable[[], object], where: str) -> Callable[[], None]:
    """A call to whose end the host waits."""

    def run() -> None:
        call()
        synchronise(where)

    return run


def synchronise(where: str) -> None:
    if where == "cuda":
        torch.cuda.synchronize()


# -- peers
# ----------------------------------------------------------------------------------------------


def peers(frames: cgrec.Frames, data: Path | None, copies: int) -> dict[str, float | str]:
    """{library: s of a force call}, or why there is none."""
    from peer_libraries import Mace, Nequip, Water

    with tempfile.TemporaryDirectory() as place:
        path = data or Path(place) / "water.npz"
        if data is None:
            np.savez(
                path,
                positions=frames.positions,
                forces=frames.need_forces(),
                box=np.asarray(frames.box),
                temperature=frames.temperature,
            )
        liquid, found = Water.load(path), {}
        for name, kind in (("nequip", Nequip), ("mace", Mace)):
            try:
                peer = kind(liquid, Path(place), "eager")
                call = waited(peer_call(peer, copies), "cuda")
                call()
                found[name] = water.seconds_of(call, budget=3.0)
            # not installed, too little memory, another version: the others are measured all the same
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"[:120]
    return found


def peer_call(peer: Any, copies: int) -> Callable[[], object]:
    """A force call of a peer on the device; the neighbour list is made before."""
    graph = peer.graph(*peer.water.replicated(copies))
    batch = peer.joined([graph]) if hasattr(peer, "joined") else graph
    given = {k: v.cuda() if isinstance(v, Tensor) else v for k, v in dict(batch).items()}
    model = peer.model().eval().requires_grad_(False).cuda()
    return lambda: model(dict(given))


def show(n_sites: int, found: dict[str, dict[str, Any]]) -> None:
    """Milliseconds."""
    here, there = found["cpu"], found["cuda"]
    rows = [[what, 1e3 * there[what], 1e3 * here[what], here[what] / there[what]] for what in here]
    for name, value in found.get("peers on cuda", {}).items():
        rows.append(
            [f"{name}, force call", value if isinstance(value, str) else 1e3 * value, "", ""]
        )
    print(f"\n{n_sites} sites")
    print(water.table(["ms", "GPU", "one core", "GPU gains"], rows), flush=True)


if __name__ == "__main__":
    main()
