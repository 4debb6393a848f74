"""Outside files <-> `Frames`: the only door for foreign formats and units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from ..frames import Frames
from ..remarks import remark
from ..system import System
from . import arrays, molecular_dynamics
from .atoms import atoms_to_frames, read_extxyz, system_from_atoms, system_to_atoms
from .export import write
from .force_units import UnitCheck, check_force_units, check_length_unit
from .request import Contents, Request
from .topology import add_rigid_pairs, load_topology, select_sites

__all__ = [
    "UnitCheck", "atoms_to_frames", "check_force_units", "load_topology", "read", "select_sites",
    "system_from_atoms", "system_to_atoms", "write",
]  # fmt: skip

_UNITS = {"length_unit", "energy_unit", "force_unit"}
#: Format -> its reader, its file endings, and the arguments of `read` that mean something to it and not to
#: all.
_FORMATS: dict[str, tuple[Callable[[Request], Contents], tuple[str, ...], set[str]]] = {
    "trr": (molecular_dynamics.read_trr, (".trr",), set()),
    "xtc": (molecular_dynamics.read_xtc, (".xtc",), set()),
    "h5md": (molecular_dynamics.read_h5md, (".h5md", ".h5"), set()),
    "lammps": (molecular_dynamics.read_lammps, (".lammpstrj", ".lammpsdump", ".dump"), {"lammps_units"}),
    "netcdf": (molecular_dynamics.read_netcdf, (".nc", ".ncdf"), set()),
    "structure": (molecular_dynamics.read_structure, (".pdb", ".gro"), set()),
    "extxyz": (read_extxyz, (".extxyz", ".xyz"), _UNITS),
    "npz": (arrays.read_npz, (".npz",), _UNITS | {"keys"}),
    "npy": (arrays.read_npy, (".npy",), _UNITS | {"forces_path"}),
}
_SPECIAL = set().union(*(f[2] for f in _FORMATS.values()))


def read(
    path: str | Path,
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
    find_constraints: bool = True,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    force_unit: str | None = None,
    lammps_units: Literal["real", "metal"] | None = None,
    forces_path: str | Path | None = None,
    box: ArrayLike | None = None,
    species: Sequence[Any] | str | None = None,
    masses: Mapping[str, float] | Sequence[float] | None = None,
    keys: Mapping[str, str | Sequence[str]] | None = None,
) -> Frames:
    """Frames of a trajectory file, in nm, kJ/mol and kJ/mol/nm, molecules whole.

    | file | units | says what its sites are |
    |---|---|---|
    | TRR, XTC (no forces) | its own | no: `topology` or `species` |
    | H5MD, Amber NetCDF | its own | no |
    | LAMMPS dump (x y z or a kin, fx fy fz) | `lammps_units` | no |
    | PDB, GRO (no forces) | its own | yes |
    | extended XYZ (.xyz, .extxyz) | angstrom, eV, or as given | elements |
    | .npz | stated in it or given | species, or `topology` or `species` |
    | .npy, with forces in `forces_path` | given | no |
    | folder of cgrec frames | ours | yes |

    An .npz holds positions | pos | coords | coordinates | R (n_frames, n_sites, 3) and may hold forces | Fs |
    F, energies | energy | E, box | cell (an edge, 3 edges, 3 x 3 rows, or 3 edges or 3 x 3 rows per frame),
    temperature, species | site_names | names | atomic_numbers | numbers | z, masses (amu), charges (e), bonds
    (n, 2), weights, replicas, and its units as length_unit, energy_unit, force_unit; other names are mapped
    by `keys`.

    Args:
        path: trajectory file, or folder of frames.
        topology: file MDAnalysis reads (PDB, GRO, PSF, prmtop, TPR, LAMMPS data, ...), folder of frames, or
            System. Bonds a PDB or GRO leaves out, and those of atoms without a topology, are found from
            distances.
        temperature: K; required where the file has none, refused where it contradicts the file.
        file_format: one of trr, xtc, h5md, lammps, netcdf, structure, extxyz, npz, npy, for an unusual file
            ending.
        selection: sites to keep, in MDAnalysis' language; resid is the residue's number in the topology file
            (residues are counted from 1 where nobody states one), chainID or segid its chain.
        start, stop, step: frames to keep, as in a slice.
        need_forces: refuse a file without forces.
        check_units: test the unit of the forces by the temperature they imply (`check_force_units`), and
            lengths of atoms.
        find_constraints: mark bonds and 1-3 distances that never change as constraints.
        length_unit, energy_unit, force_unit: e.g. 'angstrom', 'eV', 'kcal/mol/angstrom'; without `force_unit`
            forces are in energy_unit/length_unit.
        lammps_units: units style of the LAMMPS run.
        forces_path: .npy of forces belonging to a .npy of positions.
        box: edge, edges or 3 x 3 rows in the file's length unit, where the file has none or a wrong one.
        species: one name a site, or one name for all, instead of a topology.
        masses: amu by name or one a site, for `species` that are no elements.
        keys: {"forces": "my_name"} names arrays of an .npz; a list of names is summed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format, truncated file, zero frames, NaN, topology of another size, no
            temperature, unknown units, or forces whose size only a wrong unit explains; always with the
            file's name.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    given = dict(locals())
    request = Request(**{f.name: given[f.name] for f in fields(Request)})
    if path.is_dir():
        frames = _read_folder(request, temperature)
    else:
        contents = _reader(request, file_format)(request)
        frames = _frames(path, contents, temperature, find_constraints)
        if check_units:
            _check(frames, path, contents.force_unit, whole=selection is None)
    if need_forces and frames.forces is None:
        raise ValueError(f"{path}: {_reason(frames)}")
    return frames


def _reason(frames: Frames) -> str:
    try:
        frames.need_forces()
    except ValueError as error:
        return str(error)
    return ""


def _reader(request: Request, file_format: str | None) -> Callable[[Request], Contents]:
    """Reader of the format, after checking that every special argument means something to it."""
    ending = request.path.suffix.lower()
    name = file_format or next((k for k, (_, endings, _) in _FORMATS.items() if ending in endings), None)
    if name not in _FORMATS:
        known = ", ".join(f"{k} ({' '.join(endings)})" for k, (_, endings, _) in _FORMATS.items())
        raise ValueError(
            f"{request.path}: unknown format {file_format or ending!r}; expected one of {known}; or give "
            "file_format="
        )
    reader, _, special = _FORMATS[name]
    wrong = sorted(k for k in _SPECIAL - special if getattr(request, k) is not None)
    if wrong:
        raise ValueError(
            f"{request.path}: {', '.join(wrong)} means nothing for {name}, which states its own; leave it out"
        )
    return reader


def _frames(path: Path, contents: Contents, temperature: float | None, find_constraints: bool) -> Frames:
    values = {
        f.name: getattr(contents, f.name)
        for f in fields(Contents)
        if f.name not in ("force_unit", "temperature")
    }
    kelvin = _temperature(path, contents.temperature, temperature)
    try:
        frames = Frames(**values, temperature=kelvin)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not find_constraints:
        return frames
    return replace(frames, system=add_rigid_pairs(frames.system, frames.positions))


def _temperature(path: Path, stated: float | None, given: float | None) -> float:
    if stated is None and given is None:
        raise ValueError(
            f"{path} does not state its temperature: give temperature= in K, the one the simulation was run "
            "at"
        )
    if stated is not None and given is not None and abs(stated - given) > 1e-3 * abs(stated):
        raise ValueError(
            f"{path} states {stated:g} K and temperature={given:g} was given: expected the same; leave one "
            "out"
        )
    # a float32 in a file keeps 298.15 only to 1e-5: the argument is the better of two that agree
    return float(given if given is not None else stated)  # type: ignore[arg-type]


def _read_folder(request: Request, temperature: float | None) -> Frames:
    frames = Frames.load(request.path)
    ignored = {"path", "selection", "start", "stop", "step"}
    wrong = sorted(
        f.name for f in fields(Request) if f.name not in ignored and getattr(request, f.name) is not None
    )
    if wrong:
        raise ValueError(
            f"{request.path} is a folder of frames, which states its own {', '.join(wrong)}; leave it out"
        )
    _temperature(request.path, frames.temperature, temperature)
    if request.frames != slice(None):
        frames = frames[request.frames]
    if request.selection is None:
        return frames
    sites = select_sites(frames.system, request.selection)
    forces = None if frames.forces is None else frames.forces[:, sites]
    return replace(
        frames, system=frames.system.select(sites), positions=frames.positions[:, sites], forces=forces
    )


def _check(frames: Frames, path: Path, force_unit: str, *, whole: bool) -> None:
    """Raise where a wrong unit explains the forces or distances, warn where the forces are off and nothing
    explains it.
    """
    if whole:  # a selection may leave hydrogens without the atoms they are bonded to
        check_length_unit(frames, str(path))
    if frames.forces is None:
        return
    check = check_force_units(frames, force_unit)
    if check.verdict == "wrong unit":
        raise ValueError(
            f"{path}: {check.message}; correct the unit, or pass check_units=False if this is meant"
        )
    if check.verdict == "off":
        remark(f"{path}: {check.message}")
