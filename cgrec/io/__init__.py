"""Outside files <-> `Frames`: the only door for foreign formats and units."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..files import missing
from ..frames import Frames, pieces, release
from ..remarks import remark
from ..statistics.sampling import check_sample
from ..system import System
from .assemble import assemble
from .atoms import atoms_to_frames, system_from_atoms, system_to_atoms
from .elements import WATER_RESIDUES
from .export import check_ending, write, write_with_topology
from .findings import record, recorded
from .force_units import UnitCheck, check_force_units, check_length_unit
from .foreign_boxes import foreign_boxes
from .formats import Opener, check_arguments, format_of
from .given_names import check_beads_apart
from .objects import to_ase, to_mdanalysis, to_mdtraj
from .plausibility import (
    bad_frames,
    check_bonds,
    check_box,
    check_hydrogens,
    check_kinds_of_bonds,
    sentence,
)
from .request import Contents, Request
from .secondary import secondary_structure
from .times import times_of
from .topology import add_rigid_pairs, load_topology, select_sites
from .whole import whole

__all__ = [
    "WATER_RESIDUES",
    "UnitCheck",
    "atoms_to_frames",
    "check_ending",
    "check_force_units",
    "files_of",
    "load_topology",
    "named_as_forces",
    "read",
    "record",
    "recorded",
    "secondary_structure",
    "select_sites",
    "system_from_atoms",
    "system_to_atoms",
    "times_of",
    "to_ase",
    "to_mdanalysis",
    "to_mdtraj",
    "whole",
    "write",
    "write_with_topology",
]

#: Numbers of positions a check of the units looks at: enough for its error, small against the
#: memory.
_CHECKED = 6_000_000

#: Names of files that hold forces, such as CP2K's x-frc-1.xyz.
_FORCES_NAME = re.compile(r"(^|[-_.])(frc|forces?|mdfrc)([-_.]|$)", re.I)

LammpsUnits = Literal["real", "metal", "electron", "si", "cgs", "micro", "nano", "lj"]


def read(
    path: str | Path | Sequence[str | Path],
    topology: str | Path | System | None = None,
    *,
    temperature: float | None = None,
    file_format: str | None = None,
    selection: str | None = None,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    need_forces: bool = False,
    check_units: bool = True,
    drop_bad_frames: bool = False,
    find_constraints: bool = True,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    force_unit: str | None = None,
    lammps_units: LammpsUnits | None = None,
    lj: Mapping[str, float] | None = None,
    forces_path: str | Path | Sequence[str | Path] | None = None,
    box: ArrayLike | str | None = None,
    species: Sequence[object] | str | None = None,
    masses: Mapping[str, float] | Sequence[float] | None = None,
    elements: Mapping[str, str] | None = None,
    keys: Mapping[str, str | Sequence[str]] | None = None,
    scratch: str | Path | None = None,
) -> Frames:
    """Frames of a trajectory, in nm, kJ/mol and kJ/mol/nm, molecules whole.

    | file | units | says what its sites are | |---|---|---| | TRR, TNG (needs pytng); XTC (no
    forces) | its own | no: `topology` or `species` | | DCD (no forces; a NAMD force DCD as
    `forces_path`) | angstrom, or as given | no | | GSD (no forces; needs gsd) | given | no | |
    H5MD, mdtraj HDF5 (no forces), other HDF5 by `keys` | stated in it, or given | mdtraj's does | |
    Amber NetCDF, mdfrc as `forces_path` | its own | no | | LAMMPS dump (id; x y z or a kin; fx fy
    fz) | `lammps_units`, or given | element, or type and mass | | PDB, GRO (no forces) | its own |
    yes | | extended XYZ (.xyz, .extxyz), ASE .traj | angstrom, eV, or as given | elements | | plain
    XYZ; CP2K's -pos- with its -frc- as `forces_path` | angstrom; hartree, hartree/bohr | elements |
    | n2p2 input.data | given | elements | | .npz | stated in it or given | species, or `topology`
    or `species` | | .npy, with forces in `forces_path` | given | no | | DeePMD folder (type.raw,
    set.000) | angstrom, eV, or as given | type_map.raw | | folder of cgrec frames | ours | yes |

    Each may be packed as .gz, .bz2 or .xz. Several files, a list or a pattern such as 'run*.trr',
    are independent runs of one System. What does not fit into memory is kept in a temporary file
    and read from there when used.

    An .npz holds positions | pos | coords | coordinates | R (n_frames, n_sites, 3) and may hold
    forces | Fs | F, energies | energy | E, box | cell (an edge, 3 edges, 3 x 3 rows, or 3 edges or
    3 x 3 rows per frame), temperature, species | site_names | names | atomic_numbers | numbers | z,
    masses (amu), charges (e), bonds (n, 2), weights, replicas, and its units as length_unit,
    energy_unit, force_unit; other names are mapped by `keys`. One other array that is plainly one
    of these (`REF_forces`, `L`) is taken, and a remark says so; arrays not used are named.

    Args:
        path: trajectory file, folder of frames, or several: a list, or a pattern with * or ?.
        topology: file MDAnalysis reads (PDB, GRO, PSF, prmtop, TPR, LAMMPS data, ...), folder of
            frames, or System. Bonds a PDB or GRO leaves out, and those of atoms without a topology,
            are found from distances.
        temperature: K; required where the file has none, refused where it contradicts the file.
        file_format: one of trr, xtc, tng, dcd, gsd, h5md, netcdf, lammps, structure, extxyz, traj,
            n2p2, npz, npy, deepmd, for an unusual file ending.
        selection: sites to keep, in MDAnalysis' language; resid is the residue's number in the
            topology file (residues are counted from 1 where nobody states one), chainID or segid
            its chain.
        start, stop, step: frames to keep, as in a slice.
        need_forces: refuse a file without forces.
        check_units: test the unit of the forces by the temperature they imply
            (`check_force_units`), and lengths of atoms. Also whether bonds and frames can be at all
            (`bad_frames`), and whether the box is that of the frames.
        drop_bad_frames: leave out frames that no molecule can be in, or whose forces are absurd,
            instead of refusing the file.
        find_constraints: mark bonds and 1-3 distances that never change as constraints.
        length_unit, energy_unit, force_unit: e.g. 'angstrom', 'eV', 'kcal/mol/angstrom'; without
            `force_unit` forces are in energy_unit/length_unit. Refused where the file states
            another.
        lammps_units: units style of the LAMMPS run; needed where the dump does not state it.
        lj: sizes of the reduced units of lammps_units='lj': {"sigma": nm, "epsilon": kJ/mol,
            "mass": amu}.
        forces_path: a second file with the forces of the same frames, of any format, or one for
            each of several files. Units given are those of its forces, too.
        box: edge, edges or 3 x 3 rows in the file's length unit, where the file has none or a wrong
            one; 'open' for a system without box.
        species: one name a site, or one name for all, instead of a topology or, beside one, in
            place of its names.
        masses: amu one a site, or by site name, type or element, in place of those of the topology:
            {"H": 3.024}, {"W": 72}.
        elements: symbols by site name or "residue name:site name", in place of guesses: {"CO":
            "Co"}; "X" is a bead.
        keys: {"forces": "my_name"} names an array, dataset, entry or (three names) columns; of an
            .npz a list of names is summed, and 'energies[0]' is one column.
        scratch: folder for temporary files of trajectories larger than the memory; default: the
            system's (TMPDIR).

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format, truncated file, zero frames, NaN, topology of another size, no
            temperature, unknown units, or forces whose size only a wrong unit explains; always with
            the file's name.
    """
    given = dict(locals())
    requests = _requests(given)
    first, scratch = requests[0], None if scratch is None else Path(scratch)
    if len(requests) == 1 and _is_whole_folder(first):
        frames, contents = _read_folder(first, temperature), None
    else:
        with Opener(file_format, scratch) as opener:
            contents = assemble(requests, opener, scratch)
        frames = _frames(first.path, contents, temperature, find_constraints)
    if check_units:
        if lj is None:  # sizes of beads in reduced units are the caller's
            check_beads_apart(frames, str(first.path))
        frames = _plausible(frames, first.path, drop_bad_frames, whole=selection is None)
        _check(frames, first.path, contents, whole=selection is None)
        _check_sample(frames, first.path)
    if contents is not None and contents.question:
        remark(contents.question)
    if need_forces and frames.forces is None:
        raise ValueError(
            f"{first.path}: {_reason(frames)}; forces_path= reads them from a second file"
        )
    return frames


def named_as_forces(path: Path) -> bool:
    """Whether a file holds forces by its name, such as CP2K's x-frc-1.xyz and Amber's mdfrc.nc."""
    return _FORCES_NAME.search(path.name) is not None


def files_of(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files meant by a path, a pattern with * ? [ ], or a list of these; files of a pattern in
    the order of names.

    Raises:
        FileNotFoundError: one does not exist, or a pattern fits none.
        ValueError: no file, or something else than paths.
    """
    listed = (
        [path] if isinstance(path, str | Path) or not isinstance(path, Iterable) else list(path)
    )
    for name in listed:
        if not isinstance(name, str | Path):
            raise ValueError(
                "path: expected a file, a pattern such as 'run*.npz', or a list of these, "
                f"found {name!r}"
            )
    found: list[Path] = []
    for name in listed:
        matching = (
            [Path(name)] if Path(name).exists() else [Path(p) for p in sorted(glob.glob(str(name)))]
        )
        if not matching:
            if any(c in str(name) for c in "*?["):
                raise FileNotFoundError(f"path: expected files, found none that {name} fits")
            raise missing("path", name)
        found += matching
    if not found:
        raise ValueError("path: expected at least one file, found none")
    return found


def _requests(given: dict[str, Any]) -> list[Request]:
    """One request a file, with its partner of forces."""
    paths = files_of(given["path"])
    kelvin = given["temperature"]
    if kelvin is not None and (np.ndim(kelvin) != 0 or np.asarray(kelvin).dtype.kind not in "iuf"):
        raise ValueError(
            f"{paths[0]}: temperature={kelvin!r}: expected a number in K, such as 300.0"
        )
    for name in ("start", "stop", "step"):
        value = given[name]
        whole = value is None or (
            isinstance(value, int | np.integer) and not isinstance(value, bool)
        )
        if not whole or (name == "step" and value == 0):
            wanted = "a whole number" if name != "step" else "a whole number other than 0"
            raise ValueError(f"{paths[0]}: {name}={value!r}: expected {wanted}")
    forces = [None] * len(paths) if given["forces_path"] is None else files_of(given["forces_path"])
    if len(forces) != len(paths):
        raise ValueError(
            f"{len(paths)} files of positions and {len(forces)} in forces_path: expected one "
            "for each"
        )
    own = {f.name for f in fields(Request)} - {"path", "forces_path", "as_forces", "packed"}
    common = {name: given[name] for name in own}
    requests = [Request(path=p, forces_path=f, **common) for p, f in zip(paths, forces)]
    if len(requests) == 1:
        return requests
    # a folder of frames among several files says itself what the others are told
    bare = partial(
        replace,
        topology=None,
        species=None,
        masses=None,
        elements=None,
        box=None,
        length_unit=None,
        energy_unit=None,
        force_unit=None,
    )
    return [bare(r) if (r.path / "frames.json").exists() else r for r in requests]


def _is_whole_folder(request: Request) -> bool:
    """Whether the frames of a folder can be taken as they are, without reading them."""
    is_folder = (request.path / "frames.json").exists()
    return is_folder and request.selection is None and request.forces_path is None


def _read_folder(request: Request, temperature: float | None) -> Frames:
    check_arguments(request, format_of(request.path))
    Opener()(request)  # refuses arguments that the folder states itself
    frames = Frames.load(request.path)
    _temperature(request.path, frames.temperature, temperature)
    return frames if request.frames == slice(None) else frames[request.frames]


def _reason(frames: Frames) -> str:
    try:
        frames.need_forces()
    except ValueError as error:
        return str(error)
    return ""


def _frames(
    path: Path, contents: Contents, temperature: float | None, find_constraints: bool
) -> Frames:
    values = {
        f.name: getattr(contents, f.name)
        for f in fields(Contents)
        if f.name not in ("force_unit", "temperature", "question")
    }
    kelvin = _temperature(path, contents.temperature, temperature)
    try:
        frames = Frames(**values, temperature=kelvin)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if find_constraints:
        system = add_rigid_pairs(frames.system, _sampled(frames).positions)
        object.__setattr__(frames, "system", system)
    return frames


def _sampled(frames: Frames) -> Frames:
    """Evenly spaced frames, few enough to be held in memory; all of them where they are few."""
    n = len(frames) * frames.n_sites * 3
    if n <= _CHECKED:
        return frames
    return frames[
        np.unique(np.linspace(0, len(frames) - 1, max(len(frames) * _CHECKED // n, 20)).astype(int))
    ]


def _temperature(path: Path, stated: float | None, given: float | None) -> float:
    if stated is None and given is None:
        raise ValueError(
            f"{path} does not state its temperature: give temperature= in K, the one the "
            "simulation was run "
            "at"
        )
    if stated is not None and given is not None and abs(stated - given) > 1e-3 * abs(stated):
        raise ValueError(
            f"{path} states {stated:g} K and temperature={given:g} was given: expected the "
            "same; leave one "
            "out"
        )
    # a float32 in a file keeps 298.15 only to 1e-5: the argument is the better of two that agree
    return float(given if given is not None else stated)  # type: ignore[arg-type]


def _plausible(frames: Frames, path: Path, drop: bool, *, whole: bool) -> Frames:
    """The frames, without those that cannot be where that was asked for.

    Raises:
        ValueError: the bonds cannot be, or frames that cannot be are not to be dropped or are most
            of all.
    """
    lonely = ""
    if whole:  # a selection may leave hydrogens without the atoms they are bonded to
        try:
            check_length_unit(frames, str(path))
        except ValueError as error:
            if not named_as_forces(path):
                raise
            raise ValueError(
                f"{error}. By its name {path.name} holds forces: then give the file of the "
                "positions as path "
                "and this one as forces_path="
            ) from error
        lonely = check_hydrogens(frames.system, str(path))
    check_box(frames, str(path))
    check_bonds(frames, str(path))
    check_kinds_of_bonds(frames, str(path))
    if lonely:
        remark(lonely)
    of_box, bad = foreign_boxes(frames), bad_frames(frames)
    if of_box:
        record("box", {"file": path.name, "finding": of_box})
        remark(f"{path}: {of_box}")
    if bad:
        said = f"{path}: {sentence(bad, len(frames))}" + (f"; {of_box}" if of_box else "")
        if 2 * len(bad) > len(frames):
            raise ValueError(
                f"{said}: look at the topology, the order of its atoms, the box that makes cut "
                "molecules "
                "whole, and the units; check_units=False reads the file as it is"
            )
        if not drop:
            raise ValueError(
                f"{said}: drop_bad_frames=True leaves them out, check_units=False reads them "
                "as they are"
            )
        remark(f"{said}: left out")
        numbers = [b.number for b in bad]
        record(
            "dropped", {"file": path.name, "frames": numbers, "reasons": [b.reason for b in bad]}
        )
        frames = frames[np.setdiff1d(np.arange(len(frames)), numbers)]
    return frames


def _check(frames: Frames, path: Path, contents: Contents | None, *, whole: bool) -> None:
    """Raise where a wrong unit or another frame explains the forces or distances; remark where they
    are off and nothing explains it, and where they cannot be tested.
    """
    if frames.forces is None:
        return
    if not any(frames.forces[piece].any() for piece in pieces(frames.forces)):
        raise ValueError(
            f"{path}: all forces are zero: expected the forces of the simulation; name another "
            "array with "
            "keys={'forces': ...}, or pass check_units=False if nothing acts on the sites"
        )
    force_unit = "kJ/mol/nm" if contents is None else contents.force_unit
    # their distances have told the unit of length
    atoms = sum(e != "X" for e in frames.system.elements) > 1
    unknown = None if contents is None or (whole and atoms) else force_unit.rpartition("/")[2]
    check = check_force_units(frames, force_unit, unknown)
    record("temperature", {"file": path.name, **check.to_dict()})
    release(frames.positions)
    release(frames.forces)
    if check.verdict in ("wrong unit", "wrong frame"):
        raise ValueError(
            f"{path}: {check.message}; correct that, or pass check_units=False if this is meant"
        )
    if check.verdict != "ok":
        remark(f"{path}: {check.message}")


def _check_sample(frames: Frames, path: Path) -> None:
    """Record and remark frames that are there twice, and an order of time that was lost."""
    found, said = check_sample(frames)
    if found:
        record("sample", {"file": path.name, **found})
        remark(f"{path}: {said}")
