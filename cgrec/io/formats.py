"""Which reader a file goes to, and which arguments of `read` mean something to its format."""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import missing
from ..frames import Frames
from . import arrays, hdf5, lammps, molecular_dynamics
from .atoms import open_extxyz, open_traj
from .portions import Portion, Portions, sliced, with_box
from .request import Known, Opened, Request, Stated
from .xyz import open_n2p2

_UNITS = frozenset({"length_unit", "energy_unit", "force_unit"})
_LAMMPS = frozenset({"lammps_units", "lj"})
#: Arguments that not every format has a use for.
SPECIAL = _UNITS | _LAMMPS | {"keys"}


@dataclass(frozen=True)
class Format:
    """A file format: how to open it, its endings, the special arguments it uses, and why it uses no
    others.
    """

    open: Callable[[Request], Opened]
    endings: tuple[str, ...]
    uses: frozenset[str] = frozenset()
    fixed: str = ""


FORMATS: dict[str, Format] = {
    "trr": Format(
        molecular_dynamics.open_trr,
        (".trr",),
        fixed="a TRR file is in nm and kJ/mol/nm by definition",
    ),
    "xtc": Format(
        molecular_dynamics.open_xtc,
        (".xtc",),
        fixed="an XTC file is in nm by definition and has no forces",
    ),
    "tng": Format(molecular_dynamics.open_tng, (".tng",), fixed="a TNG file states its units"),
    "dcd": Format(
        molecular_dynamics.open_dcd,
        (".dcd",),
        frozenset({"length_unit"}),
        "a DCD file has no forces",
    ),
    "gsd": Format(
        molecular_dynamics.open_gsd,
        (".gsd",),
        frozenset({"length_unit"}),
        "a GSD file has no forces",
    ),
    "h5md": Format(hdf5.open_hdf5, (".h5md", ".h5", ".hdf5"), _UNITS | {"keys"}),
    "netcdf": Format(
        molecular_dynamics.open_netcdf, (".nc", ".ncdf", ".netcdf", ".mdfrc"), _UNITS | {"keys"}
    ),
    "lammps": Format(
        lammps.open_lammps, (".lammpstrj", ".lammpsdump", ".dump"), _UNITS | _LAMMPS | {"keys"}
    ),
    "structure": Format(
        molecular_dynamics.open_structure,
        (".pdb", ".gro", ".ent"),
        fixed="a PDB is in angstrom and a GRO in nm by definition, without forces",
    ),
    "extxyz": Format(open_extxyz, (".extxyz", ".xyz"), _UNITS | {"keys"}),
    "traj": Format(open_traj, (".traj",), _UNITS | {"keys"}),
    "n2p2": Format(open_n2p2, ("input.data",), _UNITS),
    "npz": Format(arrays.open_npz, (".npz",), _UNITS | {"keys"}),
    "npy": Format(arrays.open_npy, (".npy",), _UNITS | {"keys"}),
    "deepmd": Format(arrays.open_deepmd, (), _UNITS),
    "frames": Format(lambda request: _open_frames(request), ()),
}

_COMPRESSED: dict[str, type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
#: Formats people bring that hold no frames cgrec can use, and what to do.
_OTHERS = {
    ".mdcrd": "ASCII mdcrd has no forces and ambiguous boxes: convert it with cpptraj to NetCDF (.nc)",
    ".crd": "ASCII coordinates: convert them with cpptraj to NetCDF (.nc)",
    ".coor": "a NAMD restart: give the DCD of the run",
    ".pkl": "a pickle runs code when it is read and is refused: write .npz",
    ".pickle": "a pickle runs code when it is read and is refused: write .npz",
    ".pt": "a torch file may run code when it is read and is refused: write .npz",
    ".db": "an ASE database: write it with `ase convert in.db out.extxyz`",
    ".edr": "GROMACS energies: the trajectory is the .trr",
    ".tpr": "GROMACS' run input is a topology: the trajectory is the .trr",
    ".lmdb": "an LMDB of a machine-learning package: write .extxyz or .npz with that package",
    ".smi": "a molecule without coordinates, which `cgrec init` takes alone",
    ".sdf": "a structure without forces, which `cgrec init` takes alone",
    ".mol": "a structure without forces, which `cgrec init` takes alone",
    ".vasp": "write extended XYZ with `ase convert`",
    ".outcar": "write extended XYZ with `ase convert`",
}


def format_of(path: Path, file_format: str | None = None) -> str:
    """Name of the format of a file, by its ending, or what it is as a folder.

    Raises:
        ValueError: no format of cgrec.
    """
    if file_format is not None:
        if file_format not in FORMATS:
            near = difflib.get_close_matches(file_format, FORMATS)
            raise ValueError(
                f"{path}: unknown format {file_format!r}; expected one of {_listed()}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        return file_format
    if path.is_dir():
        if (path / "frames.json").exists():
            return "frames"
        if arrays.is_deepmd(path):
            return "deepmd"
        raise ValueError(
            f"{path} is a folder without frames: expected frames.json (frames of cgrec), or "
            "type.raw and "
            "set.000 (DeePMD)"
        )
    name, ending = path.name.lower(), path.suffix.lower()
    found = next((k for k, f in FORMATS.items() if name in f.endings or ending in f.endings), None)
    if found is None:
        hint = _OTHERS.get(ending, "")
        raise ValueError(
            f"{path}: unknown format {ending!r}{': ' + hint if hint else ''}; expected one of "
            f"{_listed()}; "
            "or give file_format="
        )
    return found


def _listed() -> str:
    return ", ".join(f"{k} ({' '.join(f.endings) or 'a folder'})" for k, f in FORMATS.items())


def check_arguments(request: Request, name: str) -> None:
    """Every special argument means something to the format of the file, or to that of its forces.

    Raises:
        ValueError: one does not; it says why.
    """
    used = FORMATS[name].uses
    if request.forces_path is not None:
        second = FORMATS[format_of(_inner(request.forces_path))].uses
        used = used | second | (_UNITS if second & _UNITS else frozenset())
    wrong = sorted(k for k in SPECIAL - used if getattr(request, k) is not None)
    if not wrong:
        return
    reasons = {
        **dict.fromkeys(_LAMMPS, "it is no LAMMPS dump"),
        "keys": "its arrays have no names to choose from",
        **dict.fromkeys(_UNITS, FORMATS[name].fixed),
    }
    why = "; ".join(dict.fromkeys(reasons[k] for k in wrong))
    way = "leave it out"
    if "lj" in wrong and not FORMATS[name].fixed:
        way += (
            "; arrays in reduced units are multiplied before: positions and box by sigma in "
            "nm, forces by epsilon/sigma, "
            "then length_unit='nm', force_unit='kJ/mol/nm'"
        )
    raise ValueError(f"{request.path}: {', '.join(wrong)} means nothing for {name}: {why}; {way}")


class Opener:
    """Opens requests by the format of their file; compressed ones through a temporary copy.

    Args:
        file_format: format of the first file, None for the one its ending says.
        scratch: folder for temporary copies.
    """

    def __init__(self, file_format: str | None = None, scratch: Path | None = None):
        self._format = file_format
        self._scratch = scratch
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def __call__(self, request: Request) -> Opened:
        """The opened file.

        Raises:
            FileNotFoundError, ValueError: as `read`.
        """
        if not request.path.exists():
            raise missing("path", request.path)
        inner = _inner(request.path)
        name = format_of(inner, None if request.as_forces else self._format)
        if not request.as_forces:
            check_arguments(request, name)
        if inner == request.path:
            return FORMATS[name].open(request)
        plain = self._decompressed(request.path, inner.name)
        try:
            opened = FORMATS[name].open(replace(request, path=plain, packed=request.path))
        except ValueError as error:
            raise ValueError(str(error).replace(str(plain), str(request.path))) from error
        return replace(opened, portions=_renamed(opened.portions, plain, request.path))

    def _decompressed(self, path: Path, name: str) -> Path:
        """The content of a compressed file under its own name in a temporary folder."""
        folder = tempfile.TemporaryDirectory(prefix="cgrec-", dir=self._scratch)
        self._folders.append(folder)
        plain = Path(folder.name) / name
        try:
            with _COMPRESSED[path.suffix.lower()](path, "rb") as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file, 2**22)
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise ValueError(
                f"{path} cannot be unpacked ({error}): it is truncated or no {path.suffix} "
                "file; copy it "
                "again"
            ) from error
        return plain

    def __enter__(self) -> Opener:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove temporary copies."""
        for folder in self._folders:
            folder.cleanup()


def _inner(path: Path) -> Path:
    """The path without the ending of a compression."""
    return (
        path.with_suffix("") if path.suffix.lower() in _COMPRESSED and not path.is_dir() else path
    )


def _renamed(portions: Portions, plain: Path, path: Path) -> Portions:
    """Portions whose errors name the compressed file and not its temporary copy."""

    def named(pick: slice) -> Iterator[Portion]:
        try:
            yield from portions(pick)
        except ValueError as error:
            raise ValueError(str(error).replace(str(plain), str(path))) from error

    return named


def _open_frames(request: Request) -> Opened:
    """A folder of cgrec frames, which states everything about itself.

    Raises:
        ValueError: an argument that the folder states.
    """
    stated = ("topology", "box", "species", "masses", "elements", *sorted(_UNITS))
    wrong = [k for k in stated if getattr(request, k) is not None]
    if wrong and not request.as_forces:
        raise ValueError(
            f"{request.path} is a folder of frames, which states its own {', '.join(wrong)}; "
            "leave it out"
        )
    frames = Frames.load(request.path)
    things = (
        ("forces",)
        if request.as_forces
        else ("positions", "forces", "energies", "weights", "replicas")
    )
    held = {n: getattr(frames, n) for n in things if getattr(frames, n) is not None}
    portions = sliced(held, len(frames))
    if frames.box is not None and not request.as_forces:
        portions = with_box(portions, frames.box, len(frames))
    return Opened(
        portions,
        frozenset(held),
        Stated("nm", "kJ/mol", "kJ/mol/nm"),
        Known(frames.system, True, True),
        temperature=frames.temperature,
        open=frames.box is None,
        whole=True,
    )
