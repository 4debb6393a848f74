"""Files of simulation programs through MDAnalysis: TRR, XTC, H5MD, Amber NetCDF, LAMMPS dump, PDB and GRO."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..units import force_factor, length_factor
from .periodic import box_rows, make_whole
from .request import Contents, Request, SystemMaker, given_box, no_frames
from .topology import select_sites

#: Frames held at once before sites are selected.
_CHUNK = 200
#: Length and force units of LAMMPS' `units` styles.
LAMMPS_UNITS = {"real": ("angstrom", "kcal/mol/angstrom"), "metal": ("angstrom", "eV/angstrom")}


class Snapshot(NamedTuple):
    """One frame as the file has it: positions and forces (n_sites, 3), box (3, 3) rows."""

    positions: NDArray[Any]
    forces: NDArray[Any] | None
    box: NDArray[Any] | None


def read_trr(request: Request) -> Contents:
    """GROMACS TRR: nm and kJ/mol/nm."""
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    return _read(request, _gromacs(request.path, TRRFile), "nm", "kJ/mol/nm")


def read_xtc(request: Request) -> Contents:
    """GROMACS XTC: nm, no forces."""
    from MDAnalysis.lib.formats.libmdaxdr import XTCFile

    return _read(request, _gromacs(request.path, XTCFile), "nm", "kJ/mol/nm")


def read_h5md(request: Request) -> Contents:
    """H5MD with its units stated; MDAnalysis turns them into angstrom and kJ/mol/angstrom."""
    import h5py

    _open_once(request.path, lambda: h5py.File(request.path, "r"))
    return _read(request, _mdanalysis(request.path, "H5MD"), "angstrom", "kJ/mol/angstrom")


def read_netcdf(request: Request) -> Contents:
    """Amber NetCDF; MDAnalysis turns it into angstrom and kJ/mol/angstrom."""
    from scipy.io import netcdf_file

    _open_once(request.path, lambda: netcdf_file(str(request.path), mmap=False))
    return _read(request, _mdanalysis(request.path, "NCDF"), "angstrom", "kJ/mol/angstrom")


def read_lammps(request: Request) -> Contents:
    """LAMMPS dump, ordered by id; `lammps_units` says in which units style the run was."""
    if request.lammps_units not in LAMMPS_UNITS:
        raise ValueError(
            f"{request.path}: a LAMMPS dump does not state its units: expected lammps_units= one of "
            f"{sorted(LAMMPS_UNITS)}, "
            f"found {request.lammps_units!r}"
        )
    _check_dump(request.path)
    return _read(request, _mdanalysis(request.path, "LAMMPSDUMP"), *LAMMPS_UNITS[request.lammps_units])


def read_structure(request: Request) -> Contents:
    """PDB or GRO, a topology in itself: positions only."""
    stated = request.topology is not None or request.species is not None
    own = request if stated else replace(request, topology=request.path)
    snapshots = _with_header_box(request.path, _mdanalysis(request.path, request.path.suffix[1:].upper()))
    return _read(own, snapshots, "angstrom", "kJ/mol/angstrom")


def _with_header_box(path: Path, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Frames with the CRYST1 box before the first MODEL of a PDB, which MDAnalysis gives to no model."""
    box = None
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("CRYST1"):
                numbers = [
                    float(line[a:b]) for a, b in ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
                ]
                box = (
                    box_rows(numbers) if numbers[:3] != [1.0, 1.0, 1.0] else None
                )  # 1 x 1 x 1 means none in a PDB
            if line.startswith(("CRYST1", "MODEL", "ATOM")):
                break
    for snapshot in snapshots:
        yield snapshot._replace(box=box) if snapshot.box is None else snapshot


def _gromacs(path: Path, opener: Any) -> Iterator[Snapshot]:
    """Frames of a TRR or XTC in order. Read without MDAnalysis' index, which passes over a last frame cut in
    half.
    """
    if path.stat().st_size == 0:
        return
    try:
        with opener(str(path)) as file:
            for frame in file:
                if not getattr(frame, "hasx", True):
                    raise ValueError(
                        f"{path}: a frame holds no positions; write positions and forces at the same steps"
                    )
                forces = np.array(frame.f) if getattr(frame, "hasf", False) else None
                yield Snapshot(np.array(frame.x), forces, np.array(frame.box) if np.any(frame.box) else None)
    except OSError as error:
        raise _broken(path, error) from error


def _mdanalysis(path: Path, form: str) -> Iterator[Snapshot]:
    """Frames of any other file, converted to MDAnalysis' units where the format has units."""
    from MDAnalysis.coordinates.core import reader
    from MDAnalysis.lib.mdamath import triclinic_vectors

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for frame in reader(str(path), format=form):
                forces = np.array(frame.forces) if frame.has_forces else None
                sized = frame.dimensions is not None and bool(np.all(frame.dimensions[:3] > 0))
                yield Snapshot(
                    np.array(frame.positions),
                    forces,
                    np.array(triclinic_vectors(frame.dimensions)) if sized else None,
                )
    except Exception as error:  # each reader fails in its own way on a broken file
        raise _broken(path, error) from error


def _open_once(path: Path, opener: Callable[[], Any]) -> None:
    """ValueError on a broken file, before MDAnalysis, whose readers leave a complaint behind when they fail
    half-way.
    """
    try:
        opener().close()
    except Exception as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be read, it is probably truncated or of another format ({error}); copy or make it "
        "again"
    )


def _read(request: Request, snapshots: Iterator[Snapshot], length_unit: str, force_unit: str) -> Contents:
    """Chosen frames as arrays: read in chunks, made whole, sites selected, then joined."""
    length, force = length_factor(length_unit), force_factor(force_unit)
    picked = _picked(request, snapshots)
    first = next(picked, None)
    if first is None:
        raise no_frames(request)
    maker = SystemMaker(request, len(first.positions))
    fixed = given_box(request, length)
    system = maker.complete(
        first.positions * length, fixed if fixed is not None else _times(first.box, length)
    )
    sites = slice(None) if request.selection is None else select_sites(system, request.selection)
    parts = []
    for chunk in _chunks(first, picked):
        positions, forces, box = _stacked(request.path, chunk, system.n_sites)
        box = fixed if fixed is not None else _times(box, length)
        whole = make_whole(positions * np.float32(length), system, box)
        parts.append((whole[:, sites], None if forces is None else forces[:, sites] * np.float32(force), box))
    chosen = system if request.selection is None else system.select(sites)  # type: ignore[arg-type]
    all_positions, all_forces, all_boxes = _joined(request.path, parts)
    return Contents(
        system=chosen, positions=all_positions, forces=all_forces, box=all_boxes, force_unit=force_unit
    )


def _picked(request: Request, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    pick = request.frames
    if any(v is not None and v < 0 for v in (pick.start, pick.stop, pick.step)):
        raise ValueError(
            f"{request.path}: start, stop and step must not be negative for files read in order, found {pick}"
        )
    return islice(snapshots, pick.start, pick.stop, pick.step)


def _chunks(first: Snapshot, rest: Iterator[Snapshot]) -> Iterator[list[Snapshot]]:
    chunk = [first, *islice(rest, _CHUNK - 1)]
    while chunk:
        yield chunk
        chunk = list(islice(rest, _CHUNK))


def _stacked(
    path: Path, chunk: list[Snapshot], n_sites: int
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
    """Arrays (n, n_sites, 3), forces likewise or None, boxes (n, 3, 3) or None.

    Raises:
        ValueError: only some frames have forces or a box, or the number of sites changes.
    """
    changed = [s for s in chunk if len(s.positions) != n_sites]
    if changed:
        raise ValueError(
            f"{path}: a frame holds {len(changed[0].positions)} sites and the first {n_sites}: Frames are of "
            "one System"
        )
    for name in ("forces", "box"):
        have = [getattr(s, name) is not None for s in chunk]
        if any(have) and not all(have):
            raise ValueError(
                f"{path}: some frames have {name} and some have not; pick those that have with start= and "
                "step="
            )
    forces = None if chunk[0].forces is None else np.stack([s.forces for s in chunk])  # type: ignore[misc]
    box = None if chunk[0].box is None else np.stack([s.box for s in chunk])  # type: ignore[misc]
    return np.stack([s.positions for s in chunk]), forces, box


def _joined(path: Path, parts: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """Positions, forces and box of all chunks; one (3, 3) box where it never changes."""
    if len({p[1] is None for p in parts}) > 1:
        raise ValueError(
            f"{path}: some frames have forces and some have not; pick those that have with start= and step="
        )
    positions = np.concatenate([p[0] for p in parts])
    forces = None if parts[0][1] is None else np.concatenate([p[1] for p in parts])
    box = parts[0][2]
    if box is not None and box.ndim == 3:
        box = box_rows(np.concatenate([p[2] for p in parts]))
    return positions, forces, box


def _times(box: NDArray[Any] | None, factor: float) -> NDArray[Any] | None:
    return None if box is None else np.asarray(box, float) * factor


def _check_dump(path: Path) -> None:
    """ValueError where a dump is no whole number of frames: MDAnalysis passes over a last one that is cut."""
    lines, end = 0, b"\n"
    with path.open("rb") as file:
        head = [file.readline() for _ in range(4)]
        file.seek(0)
        for lines, line in enumerate(file, 1):  # noqa: B007
            end = line[-1:]
    if lines == 0:
        raise ValueError(f"{path} holds zero frames: the file is empty")
    if not head[3].strip().isdigit():
        raise ValueError(
            f"{path} is no LAMMPS dump: expected the number of atoms in line 4, found {head[3]!r}"
        )
    per_frame = int(head[3]) + 9
    if lines % per_frame or end != b"\n":
        raise ValueError(
            f"{path} is truncated: expected a multiple of {per_frame} whole lines, found {lines}; copy or "
            "make it again"
        )
