"""The user's files, sorted by what they hold, and the frames in them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import Json
from ..frames import Frames
from ..io import check_force_units, files_of, named_as_forces, read
from ..io.amino_acids import check_complete
from ..needs import need
from ..system import System
from ..trace import is_alpha_carbon
from .molecules import CHEMISTS, COORDINATES, check_molecule, coordinates_of, learning

#: Endings of files that say what the sites are, and hold no run.
TOPOLOGIES = frozenset(
    [
        ".tpr",
        ".psf",
        ".prmtop",
        ".parm7",
        ".top",
        ".data",
        ".lmp",
        ".itp",
        ".pdb",
        ".ent",
        ".gro",
        ".crd",
        ".cif",
        ".pdbx",
        ".mol2",
    ]
)
#: Of these, files that are structures as well: alone, they are what a run can start from.
STRUCTURES = frozenset([".pdb", ".ent", ".gro", ".cif", ".pdbx", ".mol2"])
#: Error from which the temperature that forces imply is of no use, as a share of it: a potential of
#: mean force is off by as much.
SURE = 0.02
#: ps, of the run of all atoms of a structure.
RUN_OF_ATOMS = {"length": 250, "equilibration": 200}
#: The highest temperature of that run over its lowest, and the atoms that a ladder of four rungs
#: serves: 42 atoms trade 38 % of the attempts.
HIGHEST, SERVED = 1.6, 60
#: Molecules of a structure that are listed where there should be one.
_SHOWN = 3
#: K, to read a file whose temperature nobody knows yet.
ANY = 300.0


@dataclass
class Sample:
    """What there is to begin with.

    Attributes:
        frames: with forces; of a structure alone one frame without.
        group: of the source: "file" reads frames, "force_field" runs the structure, "quantum" learns
            its energy first.
        settings: keys of `source`.
        notes: what was found out about the files, in sentences.
    """

    frames: Frames
    group: str
    settings: Json
    notes: list[str] = field(default_factory=list)


def sample_of(
    files: Sequence[str | Path],
    topology: str | Path | None,
    temperature: float | None,
    more: Json,
    beside: Path = Path("mine.yaml"),
    charge: int | None = None,
) -> Sample:
    """Read the files.

    Args:
        files: trajectories, with the topology and a file of forces among them; or one structure.
        topology: as `cgrec.read` takes it, where no file of `files` is one.
        temperature: K; None: of the file, else what the forces imply.
        more: other keywords of `cgrec.read`.
        beside: the YAML, beside which coordinates of a SMILES are written.
        charge: e, of a molecule whose energy is to be learned; None: of the file, else 0.

    Raises:
        ValueError: no trajectory; no forces; no temperature. As `cgrec.read`.
        FileNotFoundError: no such file.
    """
    paths = [path for file in files for path in files_of(file)]
    if len(paths) == 1 and _suffix(paths[0]) in CHEMISTS:
        return _of_chemists(
            paths[0], beside.with_name(beside.stem + COORDINATES), temperature, charge
        )
    if not paths:
        raise ValueError("cgrec init: expected files, found none; give a trajectory, or a PDB")
    runs, shown, forces = by_content(paths)
    if forces:
        more = {**more, "forces_path": _one_or_all(forces)}
    if not runs:
        return _of_structure(shown, temperature, charge)
    if topology is None and shown:
        topology = shown[0]
    if len(shown) > 1:
        raise ValueError(
            f"cgrec init: expected one file that says what the sites are, found "
            f"{', '.join(map(str, shown))}; give one of them"
        )
    settings: Json = {"path": _one_or_all(runs)}
    if topology is not None:
        settings["topology"] = str(topology)
    settings |= more
    return _of_run(settings, temperature)


def by_content(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """(trajectories, files that say what the sites are, files of forces beside trajectories), by
    their names.
    """
    shown = [p for p in paths if _suffix(p) in TOPOLOGIES or p.name.startswith("data.")]
    runs = [p for p in paths if p not in shown]
    forces = [p for p in runs if named_as_forces(p)]
    if len(forces) == len(runs):
        return runs, shown, []
    return [p for p in runs if p not in forces], shown, forces


def _one_or_all(paths: Sequence[Path]) -> str | list[str]:
    return str(paths[0]) if len(paths) == 1 else [str(p) for p in paths]


def _of_structure(
    paths: Sequence[Path], temperature: float | None, charge: int | None, whole: bool = False
) -> Sample:
    """A structure to be run: a peptide in a force field, another molecule once its energy is learned.

    Args:
        paths: one structure.
        temperature: K; None: a usual one.
        charge: e, of a molecule that is no peptide; None: 0.
        whole: its hydrogens are known to be all there, were it none.
    """
    structures = [p for p in paths if _suffix(p) in STRUCTURES]
    if len(structures) != 1 or len(paths) != 1:
        raise ValueError(
            f"cgrec init: expected a trajectory with forces, or one structure to be run, found "
            f"{', '.join(map(str, paths))}; add the trajectory (TRR, H5MD, LAMMPS dump, NetCDF, "
            "extended XYZ, npz)"
        )
    (path,) = structures
    models = read(path, temperature=temperature or ANY)
    frames = models[:1]
    check_complete(frames.system, str(path))
    if "H" not in frames.system.elements and not whole:
        raise ValueError(
            f"{path}: expected a trajectory with forces, or one molecule with all its atoms, found no "
            "hydrogens; add them (OpenMM: Modeller.addHydrogens, or pdbfixer), or give an SDF or a "
            "SMILES"
        )
    if frames.system.molecules.max():
        raise ValueError(
            f"{path}: expected a trajectory with forces, or one molecule to be run in implicit "
            f"solvent, found {_fragments(frames.system)}; take out what is not the molecule, such as "
            "water and ions (selection in your viewer); where one molecule is in pieces, bonds in it "
            "are too long: mend the structure; or run all of it in OpenMM or GROMACS and give the "
            "trajectory with its forces"
        )
    notes = [] if temperature else [f"no temperature was given: {ANY:.0f} K"]
    settings: Json = {"structure": str(path), "temperature": temperature or ANY}
    exchange = _exchange(frames.n_sites)
    if any(is_alpha_carbon(frames.system, i) for i in range(frames.n_sites)):
        for package in ("openmm", "pymbar"):
            need("cgrec init of a structure", package, "openmm")
        settings["dynamics"] = {**RUN_OF_ATOMS, "exchange": exchange}
        begin, group = "the replicas of level 0 begin in all of them, evenly shared", "force_field"
    else:
        need("cgrec init of a structure", "pymbar", "temperatures")
        charge = charge or 0
        check_molecule(path, frames.system, charge)
        settings |= learning(frames, exchange, charge)
        begin, group = "the first is where learning begins", "quantum"
        notes.append(
            f"its energy is learned from GFN2-xTB in implicit water at charge {charge:+d} before it is "
            "run (source.labeller.arguments, to change that)"
        )
        notes.append("climbs of molecules of 15 and 20 atoms took 19 and 28 minutes of one core")
    if len(models) > 1:
        notes.append(
            f"{len(models)} models in {path}: {begin}; leave in the file those that are meant"
        )
    return Sample(frames, group, settings, notes)


def _of_chemists(path: Path, to: Path, temperature: float | None, charge: int | None) -> Sample:
    """Of a SMILES, SDF or MOL file, by coordinates in `to`; these stay only where they are of use."""
    new = not to.exists()
    its = coordinates_of(path, to)
    try:
        if charge is not None and charge != its:
            raise ValueError(
                f"charge: expected {its:+d}, as {path} says by its atoms, found {charge:+d}; leave it "
                "out, or give a file of the other charge"
            )
        return _of_structure([to], temperature, its, whole=True)
    except ValueError as error:
        if new:
            to.unlink()
        raise ValueError(str(error).replace(str(to), str(path))) from error


def _fragments(system: System) -> str:
    """2 molecules that no bond joins: one of 20 atoms (A:ACE1 to A:NME3), ..., the largest first."""
    found = sorted(system.molecule_sites(), key=len, reverse=True)
    labels = [label.rpartition(":")[0] for label in system.full_labels]
    said = []
    for sites in found[:_SHOWN]:
        first, last = labels[sites[0]], labels[sites[-1]]
        where = first if first == last else f"{first} to {last}"
        said.append(f"one of {len(sites)} atom{'s' if len(sites) > 1 else ''} ({where})")
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return f"{len(found)} that no bond joins: {', '.join([*said, *more])}"


def _exchange(n_atoms: int) -> Json:
    """Temperatures of level 0: all replicas begin in one structure, and at the lowest alone three
    alanines neither forget it nor turn a dihedral to the left in 250 ps. Energies spread with the
    root of the number of atoms, and the rungs close up as much (D. A. Kofke, J. Chem. Phys. 117, 6911
    (2002)); by powers of two, which divide the replicas.
    """
    rungs = 1 + 3 * math.sqrt(n_atoms / SERVED)
    return {
        "_target_": "cgrec.dynamics.Exchange",
        "highest": HIGHEST,
        "rungs": min(max(4, 2 ** math.ceil(math.log2(rungs))), 64),
        "every": 50,
        "keep": "all",
    }


def _of_run(settings: Json, temperature: float | None) -> Sample:
    """Frames with forces, and their temperature."""
    notes: list[str] = []
    try:
        frames = read_quietly(settings, temperature)
    except ValueError as error:
        if temperature is not None or "temperature" not in str(error):
            raise
        temperature, said = _temperature_of_forces(settings)
        notes.append(said)
        frames = read_quietly(settings, temperature)
    if frames.forces is None:
        raise ValueError(
            f"{settings['path']}: expected forces beside the positions, found none: a potential is "
            "fitted to forces. Write them (GROMACS: nstfout, LAMMPS: dump custom ... fx fy fz, "
            "OpenMM: getForces), give forces_path=FILE, or make them anew with a force field or a "
            "calculator (source=calculator)"
        )
    if temperature is not None:
        settings = {**settings, "temperature": temperature}
    if not notes and settings.get("check_units", True):
        found = check_force_units(frames)
        if found.verdict not in ("ok", "untested"):
            notes.append(found.message.rstrip("?."))
    return Sample(frames, "file", settings, notes)


def read_quietly(settings: Json, temperature: float | None) -> Frames:
    """`cgrec.read` by the keys of a source; remarks are raised again by the climb."""
    arguments = dict(settings)
    path = arguments.pop("path")
    arguments.setdefault("temperature", temperature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(path, arguments.pop("topology", None), **arguments)


def _temperature_of_forces(settings: Json) -> tuple[float, str]:
    """K that the forces imply, and a sentence.

    Raises:
        ValueError: they do not say.
    """
    frames = read_quietly({**settings, "check_units": False}, ANY)
    if frames.forces is None:
        return ANY, "nobody states a temperature"
    found = check_force_units(frames)
    if not found.estimate > 0 or not found.error < SURE * found.estimate:
        raise ValueError(
            f"temperature: expected that of the run of {settings['path']}, found none, and the "
            "forces do not say; give temperature=K"
        )
    kelvin = float(round(found.estimate))
    said = (
        f"temperature {kelvin:.0f} K by the forces ({found.estimate:.0f} +- {found.error:.0f}); "
        "correct it where you know better"
    )
    return kelvin, said


def _suffix(path: Path) -> str:
    packed = path.suffix in (".gz", ".bz2", ".xz")
    return (path.with_suffix("") if packed else path).suffix.lower()
