"""Water put back around the ions of 4 M NaCl, against all-atom SPC/E:

python scripts/references/nacl_spce.py runs/water --frames 600 --seed 7 --keep-water python
scripts/benchmarks/resolvation.py runs/resolvation --reference runs/water.npz --ions
runs/nacl_parent.npz --level runs/nacl

Radial distributions of ions and oxygens, as mean |difference| over 0.2 to 0.8 nm, of water sampled
around ions of an all-atom run (--ions, as nacl_spce.py writes it) and of a coarse level's own run
(--level, a climb of `experiment=nacl`). Its ion frames lie as far apart as the sample allows, each
is run until stationary (at least --least ps), and its block is the error's. Interrupted, the same
command goes on.
"""

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import one_site_water

import cgrec
from cgrec.backmapping.resolvate import OpenMMEngine, Resolvation
from cgrec.mapping import Drop
from cgrec.observables import mean_absolute_difference, rdf
from cgrec.sources import OpenMMSource

sys.path.append(str(Path(__file__).parents[1] / "references"))
from nacl_spce import TEMPERATURE, write_start  # noqa: E402

FORCE_FIELD = ["amber14/spce.xml"]
LOW, HIGH, BINS = 0.2, 0.8, 80  # nm; bins up to HIGH
PAIRS = (("Na", "O"), ("Cl", "O"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of what is made")
    parser.add_argument("--reference", type=Path, required=True, help="npz of ions and oxygens")
    parser.add_argument("--ions", type=Path, help="npz of ions of an all-atom run")
    parser.add_argument("--level", type=Path, help="folder of a climb, whose level 1 are the ions")
    parser.add_argument("--frames", type=int, default=8, help="ion frames of each")
    parser.add_argument("--draws", type=int, default=40, help="water configurations an ion frame")
    parser.add_argument(
        "--least", type=float, default=20.0, help="ps each ion frame is run at least"
    )
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    template = all_atom(arguments.out)
    reference = of_types(arguments.reference)
    ensembles = {}
    if arguments.ions:
        ensembles["all-atom ions"] = of_types(arguments.ions)
    if arguments.level:
        ensembles["level 1 ions"] = cgrec.load(arguments.level).levels[1].frames
    halves = [reference[: len(reference) // 2], reference[len(reference) // 2 :]]
    found = {"two halves of the reference": compare(*halves)}
    for name, ions in ensembles.items():
        folder = arguments.out / name.replace(" ", "_")
        fine, about = resolvated(template, ions, folder, arguments)
        found[name] = {**compare(fine, reference), **about}
    report(found)
    one_site_water.keep(
        arguments.json, {"frames": arguments.frames, "draws": arguments.draws, "found": found}
    )


def all_atom(folder: Path) -> cgrec.Frames:
    """One frame of the all-atom model: its System, and what a water looks like."""
    folder.mkdir(parents=True, exist_ok=True)
    start = folder / "start.pdb"
    if not start.exists():
        write_start(start, np.random.default_rng(0))
    source = OpenMMSource(
        structure=start,
        force_field=FORCE_FIELD,
        temperature=TEMPERATURE,
        n_frames=1,
        stride=1,
        equilibration=0,
        platform="CPU",
    )
    return source.make(folder / "all_atom", 0)


def of_types(path: Path) -> cgrec.Frames:
    """Frames of the sites in an npz, typed by element."""
    with np.load(path) as data:
        types = tuple(n.capitalize() for n in data["site_names"].tolist())
        system = cgrec.System(names=types, masses=np.ones(len(types)))
        return cgrec.Frames(system, data["positions"], float(data["temperature"]), box=data["box"])


def resolvated(
    template: cgrec.Frames, ions: cgrec.Frames, folder: Path, arguments: argparse.Namespace
) -> tuple[cgrec.Frames, dict]:
    """Fine frames around ions far apart in time or from different replicas, and how the runs went."""
    mapping = Drop(["HOH"])(template.system)
    order = sites_in_order(ions.system.types, mapping.coarse.types)
    wanted = np.linspace(0, len(ions) - 1, arguments.frames).round().astype(int)
    coarse = cgrec.Frames(
        mapping.coarse,
        np.asarray(ions.positions, float)[wanted][:, order],
        TEMPERATURE,
        box=template.boxes()[0],
        replicas=np.arange(len(wanted)),
    )
    engine = OpenMMEngine(
        force_field=FORCE_FIELD, timestep=0.004, hydrogen_mass=2.0, platform="CPU"
    )
    tool = Resolvation(mapping, template, engine, least=arguments.least, folder=folder)
    fine = tool(coarse, arguments.draws, generator=1)
    moved = float(
        np.abs(mapping(fine).positions - np.repeat(coarse.positions, arguments.draws, axis=0)).max()
    )
    last = [trace[-1] for trace in tool.traces]
    for k, check in enumerate(last):
        print(
            f"{folder.name} {k}: {'stationary' if check.stationary else 'NOT STATIONARY'} at "
            f"{check}"
        )
    return fine, {
        "round trip, nm": moved,
        "ps": [c.time for c in last],
        "stationary": [c.stationary for c in last],
        "traces": [[asdict(c) for c in trace] for trace in tool.traces],
    }


def sites_in_order(found: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    """(n_sites,) which of the found sites is each wanted one: ions of one type are interchangeable."""
    if Counter(found) != Counter(wanted):
        raise ValueError(f"expected ions {dict(Counter(wanted))}, found {dict(Counter(found))}")
    by_type = {t: iter([i for i, f in enumerate(found) if f == t]) for t in set(found)}
    return np.array([next(by_type[t]) for t in wanted])


def compare(model: cgrec.Frames, reference: cgrec.Frames) -> dict[str, dict[str, float]]:
    """Both g(r); a block is one ion frame of the model, or a 20th of the reference."""
    found, n_blocks = {}, None if model.replicas is None else len(np.unique(model.replicas))
    for pair in PAIRS:
        a, b = rdf(model, *pair, HIGH, BINS, n_blocks=n_blocks), rdf(reference, *pair, HIGH, BINS)
        found["-".join(pair)] = {
            **asdict(mean_absolute_difference(a, b, LOW, HIGH)),
            "peak": float(a.g.max()),
            "reference peak": float(b.g.max()),
            "g": a.g.tolist(),
            "reference g": b.g.tolist(),
        }
    return found


def report(found: dict[str, dict]) -> None:
    rows = [
        (
            name,
            pair,
            f"{d['value']:.4f} +- {d['error']:.4f}",
            d["floor"],
            d["peak"],
            d["reference peak"],
        )
        for name, all_pairs in found.items()
        for pair, d in all_pairs.items()
        if isinstance(d, dict)
    ]
    head = ("water around", "g(r)", "mean |difference|", "by chance", "peak", "reference")
    print(one_site_water.table(head, rows))


if __name__ == "__main__":
    main()
