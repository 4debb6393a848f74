"""The all-atom NNP of water against its ab initio labels.

    python scripts/benchmarks/water.py --labels water_aimd.npz RUN [RUN ...]

Each RUN is a climb whose level 0 came from `source=network`, e.g. (at 300 K, 512 molecules)

    cgrec climb experiment=water_nnp source.potential=package:water_nnp source.labels=null \\
        source.temperature=300 source.copies=2 source.dynamics.n_replicas=1 \\
        source.dynamics.length=50 run=runs/water_512_300

Prints the error on the labels that were held out, the replicas lost, ns a day, and the radial
distributions of every run against the ab initio frames (which are all of one short trajectory:
their own block error is the floor's larger part).
"""

import argparse
import json
from pathlib import Path

import one_site_water
import torch

import cgrec
from cgrec.observables import mean_absolute_difference, radial_distributions
from cgrec.potential import Potential
from cgrec.sources.network import network_path, without_net_force
from cgrec.sources.nnp.quantum import EV_PER_ANGSTROM, force_rmse


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument(
        "--labels", type=Path, required=True, help="the ab initio frames (angstrom, eV)"
    )
    parser.add_argument("--potential", default="package:water_nnp")
    parser.add_argument("--temperature", type=float, default=330.0, help="K, of the labels")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    labels = cgrec.read(
        arguments.labels,
        temperature=arguments.temperature,
        length_unit="angstrom",
        energy_unit="eV",
        force_unit="eV/angstrom",
    )
    found = {
        "held out": held_out(without_net_force(labels), arguments.potential),
        "runs": [run(folder, labels) for folder in arguments.runs],
    }
    one_site_water.keep(arguments.json, found)


def held_out(labels: cgrec.Frames, name: str) -> dict[str, float]:
    """Errors on the labels no member has seen, computed anew."""
    place = network_path(name)
    about = json.loads((place / "about.json").read_text())
    unseen = labels[about["n_training"] :]
    committee = Potential.load(place / "committee.pt")
    parts = {
        "committee": committee,
        **{f"member {k + 1}": m for k, m in enumerate(committee.members)},
    }
    errors = {name: force_rmse(p, unseen) / EV_PER_ANGSTROM * 1e3 for name, p in parts.items()}
    print(
        f"force RMSE on the last {len(unseen)} of {len(labels)} frames, meV/A: "
        + ", ".join(f"{name} {e:.1f}" for name, e in errors.items())
    )
    return errors


def run(folder: Path, labels: cgrec.Frames) -> dict:
    level = cgrec.load(folder).levels[0]
    frames, about = level.frames, level.simulation
    molecules = frames.n_sites // 3
    print(
        f"\n{folder}: {molecules} molecules, {frames.temperature:g} K, {about['replicas']} x "
        f"{1e3 * about['simulated'] / about['replicas']:g} ps, "
        f"{len(about['lost'])} lost, kinetic temperature {about['kinetic_temperature'][0]:.1f} "
        f"K, {about['ns_per_day']:.1f} ns/day"
    )
    rows = []
    if abs(frames.temperature - labels.temperature) < 1:
        reach = radial_distributions(labels[:1])[0].r[-1]
        for a, b in zip(radial_distributions(frames, reach + 0.005), radial_distributions(labels)):
            d = mean_absolute_difference(a, b, 0.2, reach)
            rows.append({"types": a.types, "value": d.value, "error": d.error, "floor": d.floor})
            print(
                f"  g(r) {'-'.join(a.types)} from 0.2 to {reach:.2f} nm: mean |difference| "
                f"{d.value:.4f} +- {d.error:.4f}, floor {d.floor:.4f}"
            )
    return {"folder": str(folder), "molecules": molecules, "simulation": about, "g(r)": rows}


if __name__ == "__main__":
    main()
