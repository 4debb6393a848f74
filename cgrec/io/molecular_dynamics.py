"""Binary files of simulation programs: TRR, XTC, DCD, TNG, GSD, Amber NetCDF; and PDB and GRO."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .periodic import box_rows
from .portions import PerFrame, Snapshot, in_order, sliced, with_box
from .request import Known, Opened, Request, Stated
from .topology import read_topology
from .unit_names import force_name, known, length_name

if TYPE_CHECKING:
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile
    from netCDF4 import Variable

#: What MDAnalysis turns lengths and forces into.
_MDANALYSIS = Stated("angstrom", "kJ/mol", "kJ/mol/angstrom")
_GROMACS = Stated("nm", "kJ/mol", "kJ/mol/nm")


def open_trr(request: Request) -> Opened:
    """GROMACS TRR: nm and kJ/mol/nm."""
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    snapshots = partial(_gromacs, request.path, TRRFile)
    return Opened(in_order(request.path, snapshots), _held(snapshots), _GROMACS)


def open_xtc(request: Request) -> Opened:
    """GROMACS XTC: nm, no forces."""
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    portions = in_order(request.path, partial(_gromacs, request.path, XTCFile))
    return Opened(portions, frozenset({"positions"}), _GROMACS)


def open_dcd(request: Request) -> Opened:
    """CHARMM, NAMD or OpenMM DCD: angstrom unless said otherwise, no forces.

    NAMD writes forces as a DCD of their own (kcal/mol/angstrom), which `forces_path` takes.
    """
    _check_dcd(request.path)
    snapshots = partial(_mdanalysis, request.path, "DCD", convert_units=False)
    if not request.as_forces:
        return Opened(
            in_order(request.path, snapshots), frozenset({"positions"}), Stated("angstrom")
        )

    def forces() -> Iterator[Snapshot]:
        return (Snapshot(forces=s.positions) for s in snapshots())

    stated = Stated("angstrom", force="kcal/mol/angstrom")
    return Opened(in_order(request.path, forces), frozenset({"forces"}), stated)


def open_tng(request: Request) -> Opened:
    """GROMACS TNG, with forces where it has them."""
    need_package("pytng", request.path, "a TNG file")
    snapshots = partial(_mdanalysis, request.path, "TNG")
    return Opened(in_order(request.path, snapshots), _held(snapshots), _MDANALYSIS)


def open_gsd(request: Request) -> Opened:
    """HOOMD GSD: positions in the unit of length of its run, which it does not state."""
    need_package("gsd", request.path, "a GSD file")
    portions = in_order(request.path, partial(_mdanalysis, request.path, "GSD"))
    return Opened(portions, frozenset({"positions"}))


def open_structure(request: Request) -> Opened:
    """PDB or GRO, a topology in itself: positions only."""
    form = "GRO" if request.path.suffix.lower() == ".gro" else "PDB"
    snapshots = partial(_with_header_box, request.path, partial(_mdanalysis, request.path, form))
    stated = None
    if request.topology is None and request.species is None:
        found = read_topology(request.path, request.masses, request.elements)
        stated = Known(found.system, found.bonds_complete, named=True, sites=found)
    return Opened(in_order(request.path, snapshots), frozenset({"positions"}), _MDANALYSIS, stated)


def need_package(name: str, path: Path, what: str) -> None:
    """ValueError with the line that installs an optional package, where it is missing."""
    if find_spec(name) is None:
        raise ValueError(f"{path} is {what}, which needs the package {name}: pip install {name}")


def _held(snapshots: Callable[[], Iterator[Snapshot]]) -> frozenset[str]:
    """What frames have, from the first one."""
    first = next(snapshots(), Snapshot())
    return frozenset(n for n in ("positions", "forces") if getattr(first, n) is not None)


def _with_header_box(path: Path, snapshots: Callable[[], Iterator[Snapshot]]) -> Iterator[Snapshot]:
    """Frames with the CRYST1 box before the first MODEL of a PDB, which MDAnalysis gives to no
    model.
    """
    box = None
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("CRYST1"):
                box = _cryst1(line)
            if line.startswith(("CRYST1", "MODEL", "ATOM")):
                break
    for snapshot in snapshots():
        if snapshot.box is None:
            snapshot = Snapshot(snapshot.positions, snapshot.forces, box=box)
        yield snapshot


def _cryst1(line: str) -> NDArray[np.float64] | None:
    """Box (3, 3) of a CRYST1 line, angstrom; 1 x 1 x 1 means none in a PDB."""
    columns = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
    numbers = [float(line[a:b]) for a, b in columns]
    return box_rows(numbers) if numbers[:3] != [1.0, 1.0, 1.0] else None


def _gromacs(path: Path, opener: type[TRRFile] | type[XTCFile]) -> Iterator[Snapshot]:
    """Frames of a TRR or XTC in order. Read without MDAnalysis' index, which passes over a last
    frame cut in half.
    """
    if path.stat().st_size == 0:
        return
    try:
        with opener(str(path)) as file:
            for frame in file:
                positions = np.array(frame.x) if getattr(frame, "hasx", True) else None
                forces = np.array(frame.f) if getattr(frame, "hasf", False) else None
                box = np.array(frame.box) if np.any(frame.box) else None
                yield Snapshot(positions, forces, box=box)
    except OSError as error:
        raise unreadable(path, error) from error


def _mdanalysis(path: Path, form: str, **options: object) -> Iterator[Snapshot]:
    """Frames of any other file, converted to MDAnalysis' units where the format has units."""
    from MDAnalysis.coordinates.core import reader
    from MDAnalysis.lib.mdamath import triclinic_vectors

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame in reader(str(path), format=form, **options):
                forces = np.array(frame.forces) if frame.has_forces else None
                sized = frame.dimensions is not None and bool(np.all(frame.dimensions[:3] > 0))
                box = np.array(triclinic_vectors(frame.dimensions)) if sized else None
                yield Snapshot(np.array(frame.positions), forces, box=box)
    except Exception as error:  # each reader fails in its own way on a broken file
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ValueError:
    """The error of a file a library cannot read, with the library's reason first."""
    return ValueError(
        f"{path} cannot be read ({error}): it is probably truncated, or of another format than "
        "its ending "
        "says (file_format= names it)"
    )


def _check_dcd(path: Path) -> None:
    """ValueError where a DCD ends inside a frame: MDAnalysis passes over a last one that is cut.

    A DCD is a chain of records, each between two copies of its length: three of a header, one more
    where atoms are fixed, then for each frame the cell (where word 11 of the header says so), x, y,
    z and (word 12) a fourth dimension.
    """
    with path.open("rb") as file:
        head = file.read(92)
        if len(head) < 92 or head[4:8] != b"CORD":
            return  # another flavour, or no DCD: MDAnalysis says so
        order = "<" if np.frombuffer(head[:4], "<i4")[0] == 84 else ">"
        words = np.frombuffer(head[8:88], f"{order}i4")
        start = _after_records(file, order, 0, 4 if words[8] > 0 else 3)
        per_frame = 3 + int(words[10] == 1) + int(words[11] == 1)
        second = _after_records(file, order, start, per_frame)
        third = _after_records(file, order, second, per_frame)
    size = path.stat().st_size
    left = (size - second) % (third - second) if third > second else size - second
    if left:
        raise ValueError(
            f"{path} is truncated: only {left} bytes of its last frame are there; copy it again"
        )


def _after_records(file: BinaryIO, order: str, start: int, count: int) -> int:
    """Position after `count` records from `start`; `start` where the file ends there."""
    end = start
    for _ in range(count):
        file.seek(end)
        length = file.read(4)
        if len(length) < 4:
            return start
        end += int(np.frombuffer(length, f"{order}i4")[0]) + 8
    return end


# --- Amber NetCDF
# -------------------------------------------------------------------------------------------


def open_netcdf(request: Request) -> Opened:
    """Amber NetCDF (coordinates, or the forces of an mdfrc file): units as its variables state
    them.
    """
    variables = _variables(request.path)
    names = {k: str(v) for k, v in (request.keys or {}).items()}
    wanted = {
        "positions": names.get("positions", "coordinates"),
        "forces": names.get("forces", "forces"),
        "energies": names.get("energies", ""),
    }
    _check_names(request, variables, names)
    if request.as_forces:
        wanted.pop("positions")
    held = {k: variables[n] for k, n in wanted.items() if n in variables}
    if not set(held) & {"positions", "forces"} or (
        "positions" not in held and not request.as_forces
    ):
        thing = "forces" if request.as_forces else "positions"
        raise ValueError(
            f"{request.path}: no variable {wanted[thing]!r} for {thing}; it holds "
            f"{', '.join(variables)}; "
            f"name yours with keys={{{thing!r}: ...}}"
            + ("" if thing == "forces" else ", or give an mdfrc file as forces_path=")
        )
    n_frames = len(next(iter(held.values())))
    arrays = {k: _with_frames(v) for k, v in held.items()}
    portions = sliced(arrays, n_frames)
    box = None
    if not request.as_forces:
        box = _cells(variables.get("cell_lengths"), variables.get("cell_angles"), n_frames)
    if box is not None:
        portions = with_box(portions, box, n_frames)
    return Opened(portions, frozenset(held), _netcdf_units(request, held))


def _variables(path: Path) -> dict[str, Variable[np.generic]]:
    """Variables of a NetCDF file by name, read from disk as they are cut.

    Raises:
        ValueError: it is no NetCDF file, or shorter than its header says.
    """
    from netCDF4 import Dataset

    try:
        _check_classic(path)
        data = Dataset(str(path))
        data.set_auto_mask(False)
        variables = dict(data.variables)
        for variable in variables.values():
            if variable.ndim > 1 and len(variable):
                variable[len(variable) - 1]
    except Exception as error:
        raise unreadable(path, error) from error
    return variables


def _check_classic(path: Path) -> None:
    """ValueError where a classic NetCDF is shorter than its header says: netCDF4 fills what is
    missing with zeros.
    """
    from scipy.io import netcdf_file

    with path.open("rb") as file:
        if file.read(3) != b"CDF":
            return  # the HDF5 of newer files has checks of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        netcdf_file(str(path), mmap=True).close()


def _check_names(
    request: Request, variables: Mapping[str, Variable[np.generic]], names: Mapping[str, str]
) -> None:
    missing = sorted(set(names.values()) - set(variables))
    if missing:
        raise ValueError(
            f"{request.path} has no variable {', '.join(missing)}; it holds {', '.join(variables)}"
        )


def _with_frames(variable: Variable[np.generic]) -> PerFrame:
    """A variable with frames along its first axis: a restart file has one frame and no axis for it."""
    return (
        variable
        if variable.dimensions[0] == "frame" or variable.ndim != 2
        else np.asarray(variable[:])[None]
    )


def _cells(
    lengths: Variable[np.generic] | None, angles: Variable[np.generic] | None, n_frames: int
) -> NDArray[np.float64] | None:
    """Box rows of the cell variables; None where there are none, or they are zero, which means no
    box.
    """
    if lengths is None or angles is None:
        return None
    edges = np.concatenate([np.atleast_2d(lengths[:]), np.atleast_2d(angles[:])], -1).astype(float)
    return box_rows(edges) if len(edges) == n_frames and np.all(edges[:, :3] > 0) else None


def _netcdf_units(request: Request, held: Mapping[str, object]) -> Stated:
    """Units the variables state; Amber's convention where they say nothing.

    Raises:
        ValueError: the text of a unit is not known, and no argument says what it means.
    """
    convention = {"length": "angstrom", "force": "kcal/mol/angstrom"}
    found: dict[str, str] = {}
    fixed = set()
    for kind, thing, parse in (
        ("length", "positions", length_name),
        ("force", "forces", force_name),
    ):
        text = str(getattr(held.get(thing), "units", "") or "")
        if text and thing in held:
            found[kind] = stated_unit(request, kind, text, parse)
            fixed.add(kind)
        else:
            found[kind] = convention[kind]
    return Stated(found["length"], "kcal/mol", found["force"], frozenset(fixed))


def stated_unit(request: Request, kind: str, text: str, parse: Callable[[str], str | None]) -> str:
    """Our name of a unit a file states; where its text is not known, the one given as an argument.

    Raises:
        ValueError: neither.
    """
    name = parse(text) or getattr(request, f"{kind}_unit")
    if name is None:
        raise ValueError(
            f"{request.path} states its {kind} unit as {text!r}, which is not known: expected "
            f"{known(kind)}; "
            f"give {kind}_unit= to say what it means"
        )
    return str(name)
