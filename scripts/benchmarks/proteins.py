"""Proteins from their C-alpha trace, each left out of what is learned: python
scripts/benchmarks/proteins.py --data FOLDER

FOLDER holds PDB files: 1uao, chignolin_cln025, trpcage_2jof, villin_2f4k, 1vii_3frames, bba_1fme,
wwdomain_1pin, proteing_1mi0. Hydrogens are taken away and put back by OpenMM at pH 7 (amber14-all),
so that all files name their atoms alike (histidine as HIE). Norleucine is read as methionine (CD as
SD), a missing OXT is put opposite O, of alternate places the first is taken; a residue without CB
that is no glycine lends its backbone only, and its protein is not tested. Twins (1uao and CLN025;
both villins) are left out together, and the first model of a file is the answer.

Each trace is filled in by `ResidueLibrary` (best of its draws and mean) and `ResidueTemplate`. Side
chains in a clash are drawn again and kept where that is better; then the energy (amber14-all, no
cutoff, relative permittivity 4 in place of water) is minimised in u of `Split` (FIRE: E. Bitzek et
al., Phys. Rev. Lett. 97, 170201 (2006)), where the C-alpha atoms cannot move. A draw that lost a
hand on the way is drawn again.

clashes    pairs of heavy atoms more than three bonds apart, nearer than the sum of their van der Waals radii (A. Bondi, J.
           Phys. Chem. 68, 441 (1964)) less 0.04 nm; "own" is the number in the experimental structure
bonds      missing and spurious: of the topology and not found from distances (1.25 times the sum of covalent radii), and the reverse
flips      stereocentres of the other hand than in experiment;  cis: peptide bonds below 90 degrees that are not so in experiment
rmsd       nm, without superposition (the C-alpha atoms are where they are): N, CA, C, O; all heavy atoms
"""

from __future__ import annotations

import argparse
import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from one_site_water import keep, table

import cgrec
from cgrec.backmapping import (
    OpenMMForceField,
    ResidueLibrary,
    ResidueTemplate,
    alpha_carbons,
    minimise,
)
from cgrec.io.topology import add_guessed_bonds
from cgrec.observables.structure import handedness, stereocentres

#: nm, Bondi 1964.
RADII = {"C": 0.170, "N": 0.155, "O": 0.152, "S": 0.180}
OVERLAP = 0.04  # nm
STANDARD = [
    "ALA",
    "ARG",
    "ASN",
    "ASP",
    "CYS",
    "GLN",
    "GLU",
    "GLY",
    "HIS",
    "ILE",
    "LEU",
    "LYS",
    "MET",
    "PHE",
    "PRO",
    "SER",
    "THR",
    "TRP",
    "TYR",
    "VAL",
]
TWINS = [{"1uao", "chignolin_cln025"}, {"villin_2f4k", "1vii_3frames"}]
BACKBONE = ("N", "CA", "C", "O")
Atom = tuple[str, str, str, list[float]]  # residue number, residue name, name, place in Angstrom


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = (
        Path(__file__).resolve().parents[2]
        / "shared"
        / "data"
        / "protein_structures"
        / "experimental"
    )
    parser.add_argument("--data", type=Path, default=default, help="folder of PDB files")
    parser.add_argument("--only", nargs="*", help="proteins to test, by the names of their files")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2000, help="of FIRE")
    parser.add_argument(
        "--permittivity", type=float, default=4.0, help="relative, of the Coulomb forces"
    )
    parser.add_argument("--nearest", type=int, default=10)
    parser.add_argument("--width", type=float, default=0.07, help="nm")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    proteins = {path.stem: Protein(path) for path in sorted(arguments.data.glob("*.pdb"))}
    found = []
    for name, protein in proteins.items():
        if protein.whole and (not arguments.only or name in arguments.only):
            twins = next((t for t in TWINS if name in t), {name})
            others = [p.frames for n, p in proteins.items() if n not in twins]
            found += tested(name, protein, others, arguments)
            print(shown(found[-2:]), flush=True)
    print(shown(found))
    print(summary(found))
    keep(arguments.json, {"torch": torch.__version__, "proteins": found})


class Protein:
    """A PDB file with its hydrogens put back: frames, OpenMM topology, and whether all of its
    residues are whole.
    """

    def __init__(self, path: Path) -> None:
        from openmm import app, unit

        random.seed(0)  # addHydrogens draws the places it starts from
        self.force_field = app.ForceField("amber14-all.xml")
        positions = []
        for atoms in models(path):
            broken, text = completed(atoms)
            read = app.PDBFile(io.StringIO(text))
            full = app.Modeller(read.topology, read.positions)
            variants = ["HIE" if r.name == "HIS" else None for r in full.topology.residues()]
            full.addHydrogens(self.force_field, pH=7.0, variants=variants)
            positions.append(np.array(full.positions.value_in_unit(unit.nanometer)))
            self.topology = full.topology
            self.whole = not broken
        atoms = list(self.topology.atoms())
        system = cgrec.System(
            names=tuple(a.name for a in atoms),
            elements=tuple(a.element.symbol for a in atoms),
            masses=[a.element.mass._value for a in atoms],
            bonds=[(b[0].index, b[1].index) for b in self.topology.bonds()],
            residues=np.array([a.residue.index for a in atoms]),
            residue_names=tuple(
                "UNK" if a.residue.index in broken else a.residue.name for a in atoms
            ),
        )
        self.frames = cgrec.Frames(system, np.array(positions), 300.0)

    def amber(self, permittivity: float) -> OpenMMForceField:
        """amber14 with Coulomb forces divided by `permittivity`."""
        import openmm
        from openmm import app

        system = self.force_field.createSystem(
            self.topology, nonbondedMethod=app.NoCutoff, constraints=None
        )
        pairs = next(f for f in system.getForces() if isinstance(f, openmm.NonbondedForce))
        for k in range(pairs.getNumParticles()):
            charge, sigma, epsilon = pairs.getParticleParameters(k)
            pairs.setParticleParameters(k, charge / permittivity**0.5, sigma, epsilon)
        for k in range(pairs.getNumExceptions()):
            i, j, charge, sigma, epsilon = pairs.getExceptionParameters(k)
            pairs.setExceptionParameters(k, i, j, charge / permittivity, sigma, epsilon)
        return OpenMMForceField(system)


def models(path: Path) -> list[list[Atom]]:
    """Heavy atoms of standard residues of each model of a PDB file."""
    found: list[dict[tuple[str, str], Atom]] = [{}]
    for line in path.read_text().splitlines():
        if line.startswith("ENDMDL"):
            found.append({})
        if line.startswith(("ATOM", "HETATM")):
            name, residue, number = line[12:16].strip(), line[17:20], line[21:27]
            if residue == "NLE":
                residue, name = "MET", {"CD": "SD"}.get(name, name)
            if residue in STANDARD and not name.lstrip("0123456789").startswith("H"):
                xyz = [float(line[k : k + 8]) for k in (30, 38, 46)]
                found[-1].setdefault((number, name), (number, residue, name, xyz))
    return [list(atoms.values()) for atoms in found if atoms]


def completed(atoms: list[Atom]) -> tuple[set[int], str]:
    """Indices of residues that lack their side chain (as GLY in the text), and PDB text with an OXT
    at the end.
    """
    numbers = list(dict.fromkeys(a[0] for a in atoms))
    broken, lines = set(), []
    for k, number in enumerate(numbers):
        here = {a[2]: np.array(a[3]) for a in atoms if a[0] == number}
        residue = next(a[1] for a in atoms if a[0] == number)
        if residue != "GLY" and "CB" not in here:
            broken.add(k)
            residue = "GLY"
        if number == numbers[-1] and "OXT" not in here:
            along = (here["C"] - here["CA"]) / np.linalg.norm(here["C"] - here["CA"])
            bond = here["O"] - here["C"]
            here["OXT"] = here["C"] + 2 * (bond @ along) * along - bond
        for name, (x, y, z) in here.items():
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {name:<3s} {residue} A{k + 1:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {name[0]:>2s}"
            )
    return broken, "\n".join([*lines, "END\n"])


def tested(
    name: str, protein: Protein, others: list[cgrec.Frames], arguments: Any
) -> list[dict[str, Any]]:
    """Rows of the template and the library of one protein."""
    answer, mapping = protein.frames[:1], alpha_carbons(protein.frames.system)
    coarse, amber, rows = mapping(answer), protein.amber(arguments.permittivity), []
    for method in (ResidueTemplate, ResidueLibrary):
        begin = time.perf_counter()
        backmapper = method.fit(others, mapping, nearest=arguments.nearest, width=arguments.width)
        drawn = backmapper(coarse, n_draws=1 if method is ResidueTemplate else arguments.draws)
        fine, energy, again = corrected(backmapper, drawn, amber, arguments.steps)
        rows.append(
            {
                "protein": name,
                "method": method.__name__,
                "residues": coarse.n_sites,
                "draws": len(fine),
                "kJ/mol": energy.tolist(),
                "drawn again": again,
            }
            | {
                "wall seconds": time.perf_counter() - begin,
                "round trip": float(np.abs(mapping(fine).positions - coarse.positions).max()),
            }
            | {
                "before": measured(drawn, answer),
                "after": measured(fine, answer),
                "own": float(clashes(answer).sum()) / 2,
            }
        )
    return rows


def corrected(
    backmapper: ResidueLibrary, drawn: cgrec.Frames, amber: OpenMMForceField, steps: int
) -> tuple[cgrec.Frames, np.ndarray, int]:
    """Frames without clashes, their energies, and how many were drawn again because minimising
    turned a hand.

    Pieces have the right hand, so that it changed shows without the answer that a draw was strained
    beyond repair.
    """
    centres, again = stereocentres(drawn.system), 0
    generator = torch.Generator().manual_seed(2)
    coarse, hands = backmapper.mapping(drawn), handedness(drawn, centres)
    fine = minimise(redrawn(backmapper, drawn), backmapper.mapping, amber, steps)
    for _ in range(5 if len(drawn) > 1 else 0):
        bad = np.flatnonzero((handedness(fine, centres) != hands).any(1))
        if not len(bad):
            break
        again += len(bad)
        fresh = redrawn(backmapper, backmapper(coarse[bad], generator=generator))
        fine.positions[bad] = minimise(fresh, backmapper.mapping, amber, steps).positions
    return fine, amber.energy_and_forces(fine)[0], again


def redrawn(backmapper: ResidueLibrary, frames: cgrec.Frames, rounds: int = 40) -> cgrec.Frames:
    """Side chains in a clash drawn again, some at a time, kept in frames where fewer clash."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(1)
    for _ in range(rounds):
        now = clashes(frames)
        which = (now > 0) & (rng.random(now.shape) < 0.5)
        trial = backmapper.redraw(frames, which, generator)
        good = clashes(trial).sum(1) <= now.sum(1)
        positions = np.where(good[:, None, None], trial.positions, frames.positions)
        frames = cgrec.Frames(frames.system, positions, frames.temperature)
    return frames


def clashes(frames: cgrec.Frames) -> np.ndarray:
    """(n_frames, n_residues), clashes each residue is part of; one within a residue counts twice
    there.
    """
    i, j, nearest = clash_pairs(frames.system)
    x, residues = frames.positions, frames.system.residues
    near = np.linalg.norm(x[:, i] - x[:, j], axis=-1) < nearest
    found = np.zeros((len(x), residues.max() + 1))
    for ends in (residues[i], residues[j]):
        np.add.at(found, (slice(None), ends), near)
    return found


def clash_pairs(system: cgrec.System) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of heavy atoms more than three bonds apart, and the distance below which they clash,
    nm.
    """
    close = {(p[0], p[-1]) for n in (2, 3, 4) for p in system.bonded_paths(n)}
    heavy = [k for k, e in enumerate(system.elements) if e != "H"]
    i, j = np.array(
        [
            (a, b)
            for a in heavy
            for b in heavy
            if a < b and (a, b) not in close and (b, a) not in close
        ]
    ).T
    radii = np.array([RADII.get(e, 0.0) for e in system.elements])
    return i, j, radii[i] + radii[j] - OVERLAP


def measured(frames: cgrec.Frames, answer: cgrec.Frames) -> dict[str, Any]:
    """Everything of each frame, beside experiment."""
    system, x = frames.system, frames.positions
    apart = ((x - answer.positions) ** 2).sum(-1)
    backbone = np.isin(system.names, BACKBONE)
    heavy = np.array(system.elements) != "H"
    bonds = [bond_faults(system, frame) for frame in x]
    centres = stereocentres(system)
    return {
        "backbone": np.sqrt(apart[:, backbone].mean(1)).tolist(),
        "heavy": np.sqrt(apart[:, heavy].mean(1)).tolist(),
        "clashes": (clashes(frames).sum(1) / 2).tolist(),
        "missing": [m for m, _ in bonds],
        "spurious": [s for _, s in bonds],
        "flips": (handedness(frames, centres) != handedness(answer, centres)).sum(1).tolist(),
        "stereocentres": len(centres),
        "cis": (cis(frames) & ~cis(answer)).sum(1).tolist(),
    }


def bond_faults(system: cgrec.System, x: np.ndarray) -> tuple[int, int]:
    """Numbers of bonds of the topology that distances do not show, and of those they show besides."""
    from dataclasses import replace

    pairs = lambda s: {tuple(sorted(b)) for b in s.bonds.tolist()}  # noqa: E731
    found, known = pairs(add_guessed_bonds(replace(system, bonds=None), x, None)), pairs(system)
    return len(known - found), len(found - known)


def cis(frames: cgrec.Frames) -> np.ndarray:
    """(n_frames, n_peptide_bonds) whether CA-C-N-CA is below 90 degrees."""
    index = {
        (int(r), n): k for k, (r, n) in enumerate(zip(frames.system.residues, frames.system.names))
    }
    last = int(frames.system.residues.max())
    quads = [
        [index[r, "CA"], index[r, "C"], index[r + 1, "N"], index[r + 1, "CA"]] for r in range(last)
    ]
    a, b, c, d = (frames.positions[:, k] for k in np.array(quads).T)
    return (np.cross(b - a, c - b) * np.cross(c - b, d - c)).sum(-1) > 0


def mean(values: list[float], digits: int = 1) -> str:
    """Mean and its standard error, which a single value does not have."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.{digits}f}({error:.{digits}f})"


def summary(rows: list[dict[str, Any]]) -> str:
    """Backbone RMSD, nm, over proteins: errors are those of their scatter."""
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        backbones = [r["after"]["backbone"] for r in rows if r["method"] == method]
        best, all_draws = ([f(b) for b in backbones] for f in (min, np.mean))
        lines.append(
            f"{method}: backbone {mean(all_draws, 4)} nm, best of draws {mean(best, 4)} nm, "
            f"{len(backbones)} proteins"
        )
    return "\n".join(lines)


def shown(rows: list[dict[str, Any]]) -> str:
    """A line a protein and method. Errors are standard errors over draws; best: of least RMSD,
    which only experiment tells; least E: of least energy.
    """
    head = [
        "protein",
        "method",
        "flips",
        "cis",
        "missing",
        "spurious",
        "clashes",
        "own",
        "backbone best",
        "least E",
        "mean",
        "before",
        "heavy best",
        "mean",
        "round trip",
        "s",
    ]
    body = []
    for r in rows:
        a = r["after"]
        body.append(
            [
                r["protein"],
                r["method"],
                sum(a["flips"]),
                sum(a["cis"]),
                sum(a["missing"]),
                sum(a["spurious"]),
                mean(a["clashes"]),
                f"{r['own']:.0f}",
                f"{min(a['backbone']):.4f}",
                f"{a['backbone'][int(np.argmin(r['kJ/mol']))]:.4f}",
                mean(a["backbone"], 4),
                mean(r["before"]["backbone"], 4),
                f"{min(a['heavy']):.3f}",
                mean(a["heavy"], 3),
                f"{r['round trip']:.0e}",
                f"{r['wall seconds']:.0f}",
            ]
        )
    return table(head, body)


if __name__ == "__main__":
    main()
