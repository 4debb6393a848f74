"""What mappings cost, and how long it takes to say so: python scripts/benchmarks/mapping_scores.py
--peptide runs/full

noise      share of the mean square mapped force that the least-noise map takes away from the basic one; fitted to half of the
           blocks, judged on the other half, and the reverse. Always: one-site water of the packaged network's trajectory.
entropy    second cumulant of the mapping entropy, in k_B, of maps of the peptide's level-0 frames
protein    seconds for every score of one molecule, from frames of an elastic network around a PDB file
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from one_site_water import keep, table
from scipy.spatial.distance import pdist, squareform

import cgrec
from cgrec.files import package_path
from cgrec.mapping import (
    CentresOfMass,
    Drop,
    HeavyAtoms,
    Mapping,
    MoleculeCentres,
    Pick,
    basic,
    least_noise,
)
from cgrec.mapping.choose.essential import essential_dynamics
from cgrec.mapping.choose.scores import hidden_fluctuation, kinetic_share, noise_removed
from cgrec.units import thermal_energy

TEMPERATURE = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peptide", type=Path, help="run of experiment=alanine_dipeptide or the like"
    )
    parser.add_argument("--salt", type=Path, help="npz of ion_ and water_ positions and forces")
    parser.add_argument("--protein", type=Path, help="PDB of one molecule")
    parser.add_argument(
        "--frames", type=int, default=3000, help="of the protein, and for entropies"
    )
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    water = cgrec.Frames.load(package_path("package:water_nnp") / "trajectory")
    found: dict[str, Any] = {
        "noise": [noise("water, one site", MoleculeCentres()(water.system), water)],
    }
    if arguments.peptide:
        frames = cgrec.load(arguments.peptide).levels[0].frames
        found["noise"].append(noise("peptide, heavy atoms", HeavyAtoms()(frames.system), frames))
        found["entropy"] = entropies(frames, arguments.frames)
    if arguments.salt:
        frames, pooled = salt(arguments.salt)
        ions = Drop(["HOH"])(frames.system)
        all_water = Drop(["HOH"])(pooled.system)
        found["noise"] += [
            noise("ions", ions, frames),
            noise("ions + w * all water", all_water, pooled, within_molecule=False),
            noise("ions + each water", ions, frames, within_molecule=False),
        ]
    if arguments.protein:
        found["protein"] = protein(arguments.protein, arguments.frames)
    for rows in found.values():
        print(table(list(rows[0]), [list(row.values()) for row in rows]) + "\n")
    keep(arguments.json, found)


def noise(name: str, mapping: Mapping, frames: cgrec.Frames, **options: Any) -> dict[str, Any]:
    """Mean over sites of <|B F|^2>, and the share removed: of the sum, and its range over sites."""
    halves = [frames[np.sort(index)] for index in frames.block_indices(2)]
    fitted = [least_noise(mapping, half, **options) for half in reversed(halves)]
    joined = cgrec.Frames.concatenate
    score = noise_removed(
        joined([basic(mapping)(half) for half in halves]),
        joined([force_map(half) for force_map, half in zip(fitted, halves)]),
    )
    return {
        "system": name,
        "frames": len(frames),
        "basic": float(score.before.value.mean()),
        "least": float(score.after.value.mean()),
        "removed": float(score.total.value),
        "error": float(score.total.error),
        "least site": float(score.removed.value.min()),
        "most site": float(score.removed.value.max()),
    }


def entropies(frames: cgrec.Frames, n_frames: int) -> list[dict[str, Any]]:
    """Maps of falling size, two of them with as many sites."""
    frames = frames[:: max(1, len(frames) // n_frames)]
    maps = {"heavy atoms": HeavyAtoms()(frames.system)}
    for n in (6, 5, 3):
        maps[f"essential, {n}"] = of_partition(frames.system, essential_dynamics(frames, n)[0])
    maps["backbone, 5"] = Pick(["ACE:C", "ALA:N", "ALA:CA", "ALA:C", "NME:N"])(frames.system)
    maps["alpha carbon, 1"] = Pick(["ALA:CA"])(frames.system)
    rows = []
    for name, mapping in maps.items():
        score = hidden_fluctuation(frames, mapping(frames))
        rows.append(
            {
                "map": name,
                "sites": mapping.coarse.n_sites,
                "second cumulant / k_B": score.value.value,
                "error": score.value.error,
                "unmapped": score.unmapped.value,
            }
        )
    return rows


def protein(path: Path, n_frames: int) -> list[dict[str, Any]]:
    frames, alpha = elastic_network(path, n_frames)
    seconds: list[dict[str, Any]] = []

    def timed(what: str, call: Callable[[], Any], show: Callable[[Any], str]) -> Any:
        begin = time.perf_counter()
        result = call()
        seconds.append(
            {"what": what, "seconds": time.perf_counter() - begin, "result": show(result)}
        )
        return result

    plain = lambda e: f"{float(e.value):.3f} +- {float(e.error):.3f}"  # noqa: E731
    beads, _ = timed(
        f"essential dynamics, {len(alpha)} beads",
        lambda: essential_dynamics(frames, len(alpha)),
        lambda r: f"{r[1]:.3g} nm^2",
    )
    for name, mapping in (
        ("essential", of_partition(frames.system, beads)),
        ("alpha carbons", Pick([f"#{i}" for i in alpha])(frames.system)),
    ):
        coarse = mapping(frames)
        timed(
            f"{name}: force noise removed",
            lambda m=mapping: noise("", m, frames),
            lambda r: f"{r['removed']:.3f} +- {r['error']:.3f}",
        )
        timed(
            f"{name}: second cumulant / k_B",
            lambda c=coarse: hidden_fluctuation(frames, c),
            lambda r: f"{plain(r.value)} of {plain(r.unmapped)}",
        )
        timed(
            f"{name}: kinetic share",
            lambda c=coarse: kinetic_share(frames, c, 5),
            lambda r: plain(r.share),
        )
    total = {"what": "all", "seconds": sum(s["seconds"] for s in seconds), "result": ""}
    return [*seconds, total]


def elastic_network(path: Path, n_frames: int, seed: int = 0) -> tuple[cgrec.Frames, list[int]]:
    """Frames in time of overdamped springs between heavy atoms within 0.8 nm, and the alpha carbons
    among them.
    """
    found = cgrec.read(path, temperature=TEMPERATURE)
    found = HeavyAtoms()(found.system)(found)
    rest, system = np.asarray(found.positions[0], float), found.system
    near = squareform(pdist(rest))
    unit = (rest[:, None] - rest) / (near + np.eye(len(rest)))[..., None]
    springs = np.where((near > 0) & (near < 0.8), 2000.0, 0.0)
    springs[tuple(system.bonds.T)] = springs[tuple(system.bonds.T[::-1])] = 100000.0
    blocks = -springs[..., None, None] * unit[..., None] * unit[..., None, :]
    blocks[np.arange(len(rest)), np.arange(len(rest))] = -blocks.sum(axis=1)
    values, modes = np.linalg.eigh(blocks.transpose(0, 2, 1, 3).reshape(3 * len(rest), -1))
    values, modes = values[6:], modes[:, 6:]
    rng, width = np.random.default_rng(seed), np.sqrt(thermal_energy(TEMPERATURE) / values)
    memory = np.exp(-values / values[0] / 20)  # the slowest takes 20 frames
    amplitude = np.empty((n_frames, len(values)))
    amplitude[0] = rng.normal(size=len(values))
    for t in range(1, n_frames):
        amplitude[t] = memory * amplitude[t - 1] + np.sqrt(1 - memory**2) * rng.normal(
            size=len(values)
        )
    amplitude *= width
    shape = (n_frames, len(rest), 3)
    frames = cgrec.Frames(
        system,
        rest + (amplitude @ modes.T).reshape(shape),
        TEMPERATURE,
        forces=-(amplitude * values @ modes.T).reshape(shape),
        energies=0.5 * (amplitude**2 @ values),
    )
    return frames, [i for i, name in enumerate(system.names) if name == "CA"]


def of_partition(system: cgrec.System, beads: list[list[int]]) -> Mapping:
    return CentresOfMass({f"B{k}": [f"#{i}" for i in bead] for k, bead in enumerate(beads)})(system)


def salt(path: Path) -> tuple[cgrec.Frames, cgrec.Frames]:
    """Ions with one site for each water molecule, and with one for all of them (their mean
    position, the sum of forces).
    """
    with np.load(path) as data:
        names = tuple(str(name) for name in data["site_names"])
        ions = {what: np.asarray(data[f"ion_{what}"], float) for what in ("positions", "forces")}
        water = {what: np.asarray(data[f"water_{what}"], float) for what in ions}
        where = {"temperature": float(data["temperature"]), "box": data["box"]}
    one = {
        "positions": water["positions"].mean(1, keepdims=True),
        "forces": water["forces"].sum(1, keepdims=True),
    }
    return tuple(
        cgrec.Frames(
            _solution(names, solvent["forces"].shape[1]),
            **{what: np.concatenate([ions[what], solvent[what]], axis=1) for what in ions},
            **where,
        )
        for solvent in (water, one)
    )


def _solution(ions: tuple[str, ...], n_water: int) -> cgrec.System:
    mass = {"NA": 22.99, "CL": 35.45}
    return cgrec.System(
        names=(*ions, *("W",) * n_water),
        masses=[*(mass[ion] for ion in ions), *(18.015,) * n_water],
        residue_names=(*ions, *("HOH",) * n_water),
    )


if __name__ == "__main__":
    main()
