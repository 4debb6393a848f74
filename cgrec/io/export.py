"""Frames -> the files other programs read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import sync, write_whole_as
from ..frames import Frames
from ..remarks import remark
from ..units import force_factor, length_factor
from .names import KEYS
from .objects import to_ase
from .pdb import chain_ends, with_ends
from .psf import write_psf
from .topology import universe_of
from .whole import whole


def write(frames: Frames, path: str | Path, times: NDArray[np.floating] | None = None) -> Path:
    """Export frames as .xtc, .trr, .dcd, .h5md, .extxyz, .pdb, .gro, .psf or .npz, by the ending of
    `path`.

    TRR, H5MD, extended XYZ and npz carry forces; extended XYZ and npz energies too; npz everything.
    Molecules are made whole. The file is written under a temporary name, forced to the disk, then
    renamed. A remark says where statistical weights have no place.

    Args:
        frames: to write.
        path: of the new file.
        times: (n_frames,) ps, for XTC, TRR, H5MD and DCD, which keeps their first interval alone;
            by default 1 ps apart.

    Raises:
        FileExistsError: `path` exists; nothing is overwritten.
        ValueError: unknown ending.
    """
    path = Path(path)
    check_ending(path)
    frames = whole(frames)
    writer = _WRITERS[path.suffix.lower()]
    if path.suffix.lower() in _TIMED:
        writer = partial(writer, times=np.arange(len(frames)) if times is None else times)
    if path.exists():
        raise FileExistsError(f"{path} exists already: choose another name or remove it yourself")
    if frames.weights is not None and path.suffix.lower() not in _WEIGHTED:
        remark(
            f"{path.name} has no place for the weights of its {len(frames)} frames, which are not "
            "an unbiased sample: an .npz keeps them"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"partial-{path.name}")  # the ending says the format
    unfinished.unlink(missing_ok=True)
    write_whole_as(unfinished, lambda place: writer(frames, place))
    unfinished.rename(path)
    sync(path.parent)
    return path


def write_with_topology(
    frames: Frames,
    path: str | Path,
    interval: float = 1.0,
    topology: bool = True,
) -> list[Path]:
    """`write` with frames `interval` ps apart, and beside a trajectory that does not say what its
    sites are a .pdb of the same name with the first frame.

    Returns:
        The files that were written, `path` first.

    Raises:
        FileExistsError: one of them exists; then nothing is written.
        ValueError: unknown ending.
    """
    path = Path(path)
    check_ending(path)
    times = interval * np.arange(len(frames))
    if not topology or path.suffix.lower() not in _NAMELESS:
        return [write(frames, path, times)]
    beside = path.with_suffix(".pdb")
    if beside.exists():
        raise FileExistsError(
            f"{beside} exists already, and would say what the sites of {path.name} are: choose "
            "another name, remove it yourself, or write the trajectory alone (topology=False)"
        )
    written = write(frames, path, times)
    return [written, write(replace(frames[:1], weights=None), beside)]


def check_ending(path: str | Path) -> None:
    """ValueError where `write` knows no format by the ending of `path`; asked before long work."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        found = f"the ending {path.suffix}" if path.suffix else "no ending"
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'a name without ending'!r}: expected one of "
            f"{', '.join(_WRITERS)}, found "
            f"{found}; {path.with_suffix('.pdb').name} would be a PDB"
        )


def _write_npz(frames: Frames, path: Path) -> None:
    names = [n for n in KEYS if getattr(frames, n, None) is not None and n != "system"]
    arrays = {n: getattr(frames, n) for n in names}
    arrays |= {"length_unit": "nm", "energy_unit": "kJ/mol", "force_unit": "kJ/mol/nm"}
    np.savez(path, system=json.dumps(frames.system.to_dict()), **arrays)


def _write_extxyz(frames: Frames, path: Path) -> None:
    from ase.io import write as write_atoms

    write_atoms(path, to_ase(frames), format="extxyz")


def _write_mdanalysis(
    frames: Frames, path: Path, times: NDArray[np.floating] | None = None, **options: object
) -> None:
    """Through MDAnalysis, in its units (angstrom, kJ/mol/angstrom)."""
    import MDAnalysis

    universe, boxes = universe_of(frames.system), frames.boxes()
    angstrom = length_factor("angstrom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MDAnalysis.Writer(
            str(path), n_atoms=frames.n_sites, multiframe=len(frames) > 1, **options
        ) as writer:
            for t in range(len(frames)):
                universe.dimensions = None if boxes is None else _dimensions(boxes[t] / angstrom)
                universe.atoms.positions = frames.positions[t] / angstrom
                if frames.forces is not None:
                    universe.atoms.forces = frames.forces[t] / force_factor("kJ/mol/angstrom")
                universe.trajectory.ts.has_forces = frames.forces is not None
                universe.trajectory.ts.data["step"] = t
                universe.trajectory.ts.time = 0.0 if times is None else float(times[t])
                writer.write(universe.atoms)


def _write_dcd(frames: Frames, path: Path, times: NDArray[np.floating] | None = None) -> None:
    """With one interval for all frames: DCD keeps no times."""
    interval = 1.0 if times is None or len(times) < 2 else float(times[1] - times[0])
    _write_mdanalysis(frames, path, dt=interval)


def _write_pdb(frames: Frames, path: Path) -> None:
    """With a TER where a chain ends, and a box only where there is one."""
    raw = path.with_name(f"raw-{path.name}")
    try:
        _write_mdanalysis(frames, raw)
        with raw.open() as given, path.open("w") as kept:
            ends = chain_ends(frames.system)
            kept.writelines(with_ends(given, ends, frames.n_sites, frames.box is not None))
    finally:
        raw.unlink(missing_ok=True)


def _write_gro(frames: Frames, path: Path) -> None:
    """One frame after the other, as GROMACS reads them: MDAnalysis writes single ones."""
    raw = path.with_name(f"raw-{path.name}")
    try:
        with path.open("w") as kept:
            for t in range(len(frames)):
                _write_mdanalysis(frames[t : t + 1], raw)
                kept.write(raw.read_text())
    finally:
        raw.unlink(missing_ok=True)


def _dimensions(box: NDArray[np.floating]) -> NDArray[np.float32]:
    """(3, 3) rows -> edges and angles (6,); these files know no other orientation than a along x, b
    in the xy plane.

    Raises:
        ValueError: the box stands otherwise.
    """
    from MDAnalysis.lib.mdamath import triclinic_box

    if not np.allclose(np.triu(box, 1), 0, atol=1e-4 * np.abs(box).max()):
        raise ValueError(
            "this format wants the first box vector along x and the second in the xy plane: "
            "write extxyz or "
            "npz instead"
        )
    return np.asarray(triclinic_box(*box), np.float32)


def _write_h5md(frames: Frames, path: Path, times: NDArray[np.floating] | None = None) -> None:
    units = {"lengthunit": "nm", "forceunit": "kJ/(mol*nm)", "timeunit": "ps"}
    _write_mdanalysis(
        frames,
        path,
        times,
        positions=True,
        velocities=False,
        forces=frames.forces is not None,
        **units,
    )


#: Endings of formats that do not say what their sites are.
_NAMELESS = (".xtc", ".trr", ".dcd", ".h5md")
#: Endings of formats that hold the weights of frames, or no frames at all.
_WEIGHTED = (".npz", ".psf")
#: Endings of formats that keep a time with each frame.
_TIMED = (".xtc", ".trr", ".dcd", ".h5md")
_WRITERS: dict[str, Callable[..., None]] = {
    ".xtc": _write_mdanalysis,
    ".trr": _write_mdanalysis,
    ".dcd": _write_dcd,
    ".h5md": _write_h5md,
    ".pdb": _write_pdb,
    ".gro": _write_gro,
    ".psf": write_psf,
    ".extxyz": _write_extxyz,
    ".npz": _write_npz,
}
