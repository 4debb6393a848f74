"""LAMMPS text dumps (docs.lammps.org/dump.html): columns by name, boundaries, units styles,
per-site columns.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..units import ENERGY, LENGTH
from .hdf5 import mixed_boundary
from .names import names_of
from .portions import Snapshot, changed_number, in_order
from .request import Opened, Request, SiteColumns, Stated

#: kJ/mol of one joule per particle (Avogadro's number of CODATA 2018).
_JOULE = 6.02214076e20
#: amu of one kg.
_KILOGRAM = 6.02214076e26

#: Style -> (length in nm, energy in kJ/mol, mass in amu) of its units (docs.lammps.org/units.html);
#: a force is an energy over a length in all of them.
_STYLES: dict[str, tuple[float, float, float]] = {
    "real": (LENGTH["angstrom"], ENERGY["kcal/mol"], 1.0),
    "metal": (LENGTH["angstrom"], ENERGY["eV"], 1.0),
    "electron": (LENGTH["bohr"], ENERGY["hartree"], 1.0),
    "si": (1e9, _JOULE, _KILOGRAM),
    "cgs": (1e7, 1e-7 * _JOULE, 1e-3 * _KILOGRAM),
    "micro": (1e3, 1e-15 * _JOULE, 1e-15 * _KILOGRAM),
    "nano": (1.0, 1e-21 * _JOULE, 1e-21 * _KILOGRAM),
}
_NAMED = {
    "real": ("angstrom", "kcal/mol"),
    "metal": ("angstrom", "eV"),
    "electron": ("bohr", "hartree"),
}
STYLES = (*_STYLES, "lj")
_POSITIONS = (("x", "y", "z"), ("xu", "yu", "zu"), ("xs", "ys", "zs"), ("xsu", "ysu", "zsu"))
_FORCES = ("fx", "fy", "fz")

#: Numbers, or words such as elements.
Column = NDArray[np.float64 | np.bytes_]
#: Words after BOX BOUNDS, and those of the three lines below.
Bounds = tuple[list[str], list[list[bytes]]]


@dataclass(frozen=True)
class _Header:
    """What stands before the lines of the atoms of one frame.

    `box` are rows (3, 3) or None for an open system, `origin` its corner; both in the dump's unit
    of length.
    """

    step: int
    n_sites: int
    columns: tuple[str, ...]
    periodic: tuple[bool, bool, bool]
    box: NDArray[np.float64]
    origin: NDArray[np.float64]
    units: str | None


@dataclass(frozen=True)
class _Frame:
    """One frame, ordered by id: its header and each column."""

    header: _Header
    table: dict[str, Column]


def open_lammps(request: Request) -> Opened:
    """A LAMMPS dump, ordered by id. `lammps_units` (or the units) says in which style the run was,
    where the dump does not.

    Raises:
        ValueError: no ids, no positions, no units, truncated, periodic along some directions only,
            or a column that must not change in time changes.
    """
    first = next(_frames(request), None)
    if first is None:
        raise ValueError(f"{request.path} holds zero frames: the file is empty")
    names = _columns(request, first)

    def snapshots() -> Iterator[Snapshot]:
        for k, frame in enumerate(_frames(request)):
            if frame.header.n_sites != first.header.n_sites:
                raise changed_number(request.path, k, frame.header.n_sites, first.header.n_sites)
            _check_columns(request.path, k, frame, first, names)
            _check_types(request.path, k, frame, first)
            yield _snapshot(request, frame, names)

    stated = _units(request, first.header.units)
    is_open = not any(first.header.periodic) or None
    columns = _site_columns(first, stated)
    portions = in_order(request.path, snapshots)
    return Opened(portions, frozenset(names), stated, columns=columns, open=is_open)


def _columns(request: Request, first: _Frame) -> dict[str, tuple[str, ...]]:
    """Thing -> its columns."""
    have = first.header.columns
    keys = {k: names_of(v) for k, v in (request.keys or {}).items() if k != "id"}
    unknown = sorted(set(keys) - {"positions", "forces"})
    if unknown:
        raise ValueError(
            f"{request.path}: keys: unknown {', '.join(unknown)}; expected positions, forces or id"
        )
    missing = sorted({c for names in keys.values() for c in names} - set(have))
    if missing:
        raise ValueError(
            f"{request.path} has no column {', '.join(missing)}; it has {' '.join(have)}"
        )
    positions = keys.get("positions") or next((c for c in _POSITIONS if set(c) <= set(have)), None)
    forces = keys.get("forces") or (_FORCES if set(_FORCES) <= set(have) else None)
    if positions is None and not request.as_forces:
        raise ValueError(
            f"{request.path}: no columns x y z (or xu yu zu, xs ys zs, xsu ysu zsu) for "
            "positions; it has "
            f"{' '.join(have)}"
        )
    for thing, found in (("positions", positions), ("forces", forces)):
        if found is not None and len(found) != 3:
            raise ValueError(
                f"{request.path}: keys[{thing!r}]: expected the names of three columns, found "
                f"{found}"
            )
    names = {"forces": forces} if request.as_forces else {"positions": positions, "forces": forces}
    return {k: v for k, v in names.items() if v is not None}


def _snapshot(request: Request, frame: _Frame, names: dict[str, tuple[str, ...]]) -> Snapshot:
    header, arrays = frame.header, {}
    for thing, columns in names.items():
        arrays[thing] = np.stack([_real(request.path, c, frame.table[c]) for c in columns], -1)
    if names.get("positions") in _POSITIONS[2:]:
        arrays["positions"] = header.origin + arrays["positions"] @ header.box
    box: NDArray[np.float64] | None = header.box if any(header.periodic) else None
    if not all(header.periodic) and box is not None:
        if request.box is None and not request.as_forces:
            raise mixed_boundary(request.path, header.periodic)
        box = None
    return Snapshot(arrays.get("positions"), arrays.get("forces"), box=box, steps=header.step)


def _units(request: Request, stated: str | None) -> Stated:
    """The units of the style given or stated.

    Raises:
        ValueError: nobody states it, both do and differ, or lj without its sigma, epsilon and mass.
    """
    style = request.lammps_units
    if style is not None and style not in STYLES:
        raise ValueError(
            f"{request.path}: expected lammps_units= one of {', '.join(STYLES)}, found {style!r}"
        )
    if style is not None and stated is not None and style != stated:
        raise ValueError(
            f"{request.path} states units {stated} and lammps_units={style!r} was given: leave "
            "it out"
        )
    style = style or stated
    if style == "lj":
        return _reduced(request)
    if request.lj is not None:
        raise ValueError(
            f"{request.path}: lj= belongs to lammps_units='lj', and the units are {style}"
        )
    if style is None:
        if request.length_unit and (request.energy_unit or request.force_unit):
            return Stated()
        raise ValueError(
            f"{request.path}: a LAMMPS dump does not state its units: expected lammps_units= "
            "one of "
            f"{', '.join(STYLES)} (the `units` line of the input), found None; or give "
            "length_unit= and "
            "force_unit="
        )
    if style not in _STYLES:
        raise ValueError(
            f"{request.path} states units {style!r}: expected one of {', '.join(STYLES)}"
        )
    length, energy, mass = _STYLES[style]
    # also where the caller says it: one of two is wrong
    fixed = frozenset({"length", "energy", "force"})
    if style in _NAMED:
        x, e = _NAMED[style]
        return Stated(x, e, f"{e}/{x}", fixed)
    return Stated(
        f"{style} length",
        f"{style} energy",
        f"{style} force",
        fixed,
        (length, energy, energy / length),
        mass,
    )


def _reduced(request: Request) -> Stated:
    """Units of a run in reduced units, from its sigma (nm), epsilon (kJ/mol) and mass (amu)."""
    lj = dict(request.lj or {})
    wanted = {"sigma", "epsilon", "mass"}
    if set(lj) != wanted or not all(float(v) > 0 for v in lj.values()):
        raise ValueError(
            f"{request.path} is in reduced units, lj: expected lj={{'sigma': nm, 'epsilon': "
            "kJ/mol, 'mass': "
            f"amu}}, the sizes of one of each, found {request.lj!r}"
        )
    sigma, epsilon, mass = (float(lj[k]) for k in ("sigma", "epsilon", "mass"))
    sizes, fixed = (sigma, epsilon, epsilon / sigma), frozenset({"length", "energy", "force"})
    return Stated("sigma", "epsilon", "epsilon/sigma", fixed, sizes, mass)


def _site_columns(first: _Frame, stated: Stated) -> SiteColumns:
    table = first.table
    masses = table["mass"].astype(float) * stated.mass if "mass" in table else None
    return SiteColumns(
        elements=tuple(_text(table["element"])) if "element" in table else None,
        masses=masses,
        charges=table["q"].astype(float) if "q" in table else None,
        types=tuple(_text(table["type"])) if "type" in table else None,
    )


def _real(path: Path, name: str, column: Column) -> NDArray[np.float64]:
    try:
        return column.astype(float)
    except ValueError as error:
        raise ValueError(f"{path}: column {name}: expected numbers ({error})") from error


def _text(column: Column) -> list[str]:
    if column.dtype.kind == "f":
        return [f"{v:g}" for v in column]
    return [v.decode() if isinstance(v, bytes) else str(v) for v in column]


def _check_columns(
    path: Path, k: int, frame: _Frame, first: _Frame, names: dict[str, tuple[str, ...]]
) -> None:
    """ValueError where a frame lacks columns of the first, or has forces that the first has not."""
    have = set(frame.header.columns)
    missing = [c for columns in names.values() for c in columns if c not in have]
    more = [] if "forces" in names or set(_FORCES) <= set(first.header.columns) else list(_FORCES)
    if not missing and not (more and set(more) <= have):
        return
    raise ValueError(
        f"{path}: frame {k} has the columns {' '.join(frame.header.columns)} and the first frame "
        f"{' '.join(first.header.columns)}: expected the same, "
        f"{'without ' + ' '.join(missing) + ' it is another dump' if missing else 'for not all frames have forces'}; "
        "keep "
        f"the frames of one kind with start= and stop= (stop={k}), or read the parts as two files"
    )


def _check_types(path: Path, k: int, frame: _Frame, first: _Frame) -> None:
    """ValueError where a site is of another type or element than in the first frame: the lines are
    in another order.
    """
    for name in ("type", "element"):
        if name not in first.table or name not in frame.table:
            continue
        changed = np.flatnonzero(frame.table[name] != first.table[name])
        if len(changed):
            i = int(changed[0])
            found, before = _text(frame.table[name])[i], _text(first.table[name])[i]
            raise ValueError(
                f"{path}: frame {k}: site {i} is of {name} {found}, and {before} in the first "
                "frame: "
                "expected the same sites in the same order in all frames"
            )


# --- text
# ---------------------------------------------------------------------------------------------------


def _frames(request: Request) -> Iterator[_Frame]:
    """Frames in order, each sorted by id."""
    path = request.path
    by_line = names_of((request.keys or {}).get("id", ())) == ("line",)
    with path.open("rb") as file:
        for k in itertools.count():
            header = _header(path, file, k)
            if header is None:
                return
            table = _table(path, file, header, k)
            if "id" not in table and not by_line:
                raise ValueError(
                    f"{path}: no column id among {' '.join(header.columns)}: LAMMPS writes "
                    "atoms in another "
                    "order in every frame, and only ids tell them apart. Write `dump ... "
                    "custom N file id "
                    "type x y z fx fy fz`; where the run had `dump_modify sort id`, say so with "
                    "keys={'id': 'line'}"
                )
            if "id" in table:
                order = np.argsort(table["id"], kind="stable")
                table = {name: column[order] for name, column in table.items()}
            yield _Frame(header, table)


def _header(path: Path, file: BinaryIO, k: int) -> _Header | None:
    """The lines from ITEM: TIMESTEP to ITEM: ATOMS; None at the end of the file."""
    found: dict[str, str] = {}
    bounds: Bounds | None = None
    units = None
    while True:
        line = file.readline()
        if not line:
            if found or bounds or units:
                raise _cut(path, k)
            return None
        if not line.endswith(b"\n"):
            raise _cut(path, k)
        text = line.decode(errors="replace").split()
        if not text:
            continue
        if text[0] != "ITEM:" or len(text) < 2:
            raise ValueError(
                f"{path} is no LAMMPS dump: expected a line 'ITEM: ...' in frame {k}, found "
                f"{line[:60]!r}"
            )
        if text[1] == "ATOMS":
            return _made(path, k, found, bounds, tuple(text[2:]), units)
        if text[1] == "BOX":
            bounds = (text[3:], [_line(path, file, k).split() for _ in range(3)])
        else:
            found[" ".join(text[1:])] = _line(path, file, k).decode(errors="replace").strip()
        units = found.get("UNITS", units)


def _line(path: Path, file: BinaryIO, k: int) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise _cut(path, k)
    return line


def _cut(path: Path, k: int) -> ValueError:
    return ValueError(
        f"{path} is truncated: it ends inside frame {k}; copy it again, or keep whole frames "
        f"with stop={k}"
    )


def _made(
    path: Path,
    k: int,
    found: Mapping[str, str],
    bounds: Bounds | None,
    columns: tuple[str, ...],
    units: str | None,
) -> _Header:
    missing = [n for n in ("TIMESTEP", "NUMBER OF ATOMS") if n not in found]
    missing += ["bounds"] if bounds is None else []
    if missing or bounds is None:
        raise ValueError(f"{path} is no LAMMPS dump: frame {k} has no {', '.join(missing)}")
    try:
        periodic, box, origin = _box(*bounds)
        step, n_sites = int(found["TIMESTEP"]), int(found["NUMBER OF ATOMS"])
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: the header of frame {k} is not understood ({error})") from error
    return _Header(step, n_sites, columns, periodic, box, origin, units)


def _box(
    words: Sequence[str], lines: Sequence[Sequence[bytes]]
) -> tuple[tuple[bool, bool, bool], NDArray[np.float64], NDArray[np.float64]]:
    """Which directions are periodic, rows (3, 3) and the corner, of a BOX BOUNDS line and the three
    below it.

    Flags are two letters a direction, one for each side: p periodic; f fixed, s shrink-wrapped, m
    shrink-wrapped with a minimum, all three walls or nothing (docs.lammps.org/boundary.html). Old
    dumps leave them out, and are periodic.
    """
    flags = [w.lower() for w in words if w and set(w.lower()) <= set("pfsm") and len(w) <= 2]
    kinds = {"xy", "xz", "yz", "abc", "origin"}
    strange = [w for w in words if w.lower() not in kinds and w.lower() not in flags]
    if strange or len(flags) not in (0, 3):
        raise ValueError(
            f"boundary {' '.join(words)!r}: expected three of p, f, s, m, e.g. 'pp pp pp'"
        )
    sides = [set(f) == {"p"} for f in flags] or [True] * 3
    if any("p" in f and set(f) != {"p"} for f in flags):
        raise ValueError(
            f"boundary {' '.join(words)!r}: one side of a direction is periodic and the other not"
        )
    numbers = np.array([[float(x) for x in line] for line in lines])
    if "abc" in words:  # general triclinic: rows are the vectors, the last column the corner
        return (sides[0], sides[1], sides[2]), numbers[:, :3], numbers[:, 3]
    low, high = numbers[:, 0].copy(), numbers[:, 1].copy()
    xy, xz, yz = numbers[:, 2] if numbers.shape[1] > 2 else (0.0, 0.0, 0.0)
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    rows = np.diag(high - low)
    rows[1, 0], rows[2, 0], rows[2, 1] = xy, xz, yz
    return (sides[0], sides[1], sides[2]), rows, low


def _table(path: Path, file: BinaryIO, header: _Header, k: int) -> dict[str, Column]:
    """Columns of the atoms of one frame: numbers as floats, elements as text."""
    lines = list(itertools.islice(file, header.n_sites))
    if len(lines) < header.n_sites or (lines and not lines[-1].endswith(b"\n")):
        raise _cut(path, k)
    n, text = len(header.columns), b"".join(lines)
    numbers = _all_numbers(text)
    if len(numbers) == n * header.n_sites:
        return dict(zip(header.columns, numbers.reshape(-1, n).T))
    words = text.split()
    if len(words) != n * header.n_sites:
        raise _odd_lines(path, k, header, lines)
    table = np.array(words).reshape(-1, n)
    return {c: _numbers(table[:, i]) for i, c in enumerate(header.columns)}


def _all_numbers(text: bytes) -> NDArray[np.float64]:
    """The numbers of a text that holds nothing else; none where there is a word among them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.fromstring(text, sep=" ")
        except ValueError:
            return np.zeros(0)


def _numbers(column: NDArray[np.bytes_]) -> Column:
    """A column as floats; as it is where it holds words (a type may have a name)."""
    try:
        return column.astype(float)
    except ValueError:
        return column


def _odd_lines(path: Path, k: int, header: _Header, lines: list[bytes]) -> ValueError:
    """The error of a frame whose lines are not all of its columns; one inside which another begins
    was cut.
    """
    if any(line.startswith(b"ITEM:") for line in lines):
        return ValueError(
            f"{path}: frame {k} says {header.n_sites} atoms and the next frame begins before "
            "them: it is "
            "truncated in the middle, or two runs were joined; take that frame out"
        )
    odd = next((i for i, line in enumerate(lines) if len(line.split()) != len(header.columns)), 0)
    return ValueError(
        f"{path}: frame {k}: expected the {len(header.columns)} columns "
        f"{' '.join(header.columns)} in each "
        f"line, found {lines[odd][:60]!r} in line {odd} of its atoms"
    )
