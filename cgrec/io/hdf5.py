"""HDF5: H5MD (LAMMPS, HALMD, MDAnalysis), mdtraj's files, and any other file whose arrays are
named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..remarks import remark
from ..system import System
from .molecular_dynamics import stated_unit, unreadable
from .names import Chosen, one_column, potential_energies, without_index
from .periodic import box_rows
from .portions import Portions, sliced, with_box
from .request import Known, Opened, Request, SiteColumns, Stated
from .topology import build_system, guess_element
from .unit_names import energy_name, force_name, length_name

if TYPE_CHECKING:
    import h5py

_PARSERS: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "positions": ("length", length_name),
    "forces": ("force", force_name),
    "energies": ("energy", energy_name),
}


def open_hdf5(request: Request) -> Opened:
    """An HDF5 file: H5MD, mdtraj's, or any other by the names of its arrays.

    Raises:
        ValueError: it cannot be read, states no units, or nothing says which array is which.
    """
    import h5py

    try:
        file = h5py.File(request.path, "r")
    except OSError as error:
        raise unreadable(request.path, error) from error
    if "particles" in file and not (request.keys and "positions" in request.keys):
        return _open_h5md(request, file["particles"])
    if "coordinates" in file and "topology" in file:
        return _open_mdtraj(request, file)
    return _open_named(request, file)


# --- H5MD (nongnu.org/h5md/h5md.html)
# -----------------------------------------------------------------------


def _open_h5md(request: Request, particles: h5py.Group) -> Opened:
    groups = [name for name, group in particles.items() if "position" in group or "force" in group]
    if len(groups) != 1:
        raise ValueError(
            f"{request.path}: expected one group of particles, found "
            f"{', '.join(groups) or 'none'} in /particles; choose with "
            f"keys={'positions': 'particles/<group>/position/value', 'forces': ...}"
        )
    group = particles[groups[0]]
    names = {"positions": "position", "forces": "force"}
    if request.as_forces:
        names.pop("positions")
    values = {thing: _value(group[n]) for thing, n in names.items() if n in group}
    for thing, key in (request.keys or {}).items():
        values[thing] = _named(request.path, group.file, str(key))
    n_frames = _one_length(request.path, values)
    _check_steps(request.path, group, names)
    stated = _units(request, {t: _unit_text(group, names.get(t, ""), v) for t, v in values.items()})
    portions, is_open = sliced(values, n_frames), None
    if not request.as_forces:
        portions, is_open = _with_h5md_box(request, group, portions, n_frames)
    return Opened(portions, frozenset(values), stated, columns=_h5md_columns(group), open=is_open)


def _value(element: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    """The dataset of an H5MD element that changes in time, or does not."""
    return element["value"] if hasattr(element, "keys") else element


def _unit_text(group: Mapping[str, h5py.Dataset], name: str, value: h5py.Dataset) -> str:
    """The unit attribute, which H5MD puts at the values and some programs at their group."""
    places = [value, group[name]] if name in group else [value]
    found = next((p.attrs["unit"] for p in places if "unit" in p.attrs), "")
    found = found or next((p.attrs["units"] for p in places if "units" in p.attrs), "")
    return found.decode() if isinstance(found, bytes) else str(found)


def _units(request: Request, texts: dict[str, str]) -> Stated:
    """Units a file states in words; those it leaves out are asked for."""
    names: dict[str, str] = {}
    for thing, text in texts.items():
        if text and thing in _PARSERS:
            kind, parse = _PARSERS[thing]
            names[kind] = stated_unit(request, kind, text, parse)
    return Stated(names.get("length"), names.get("energy"), names.get("force"), frozenset(names))


def _one_length(path: Path, values: Mapping[str, Sized]) -> int:
    counts = {name: len(array) for name, array in values.items()}
    if len(set(counts.values())) > 1:
        found = " and ".join(f"{n} of {name}" for name, n in counts.items())
        raise ValueError(
            f"{path} holds {found}: expected the same number of frames; write positions and "
            "forces at the "
            "same steps"
        )
    return next(iter(counts.values()))


def _check_steps(path: Path, group: h5py.Group, names: dict[str, str]) -> None:
    """ValueError where positions and forces are of other steps."""
    steps = [
        group[n]["step"]
        for n in names.values()
        if n in group and "step" in getattr(group[n], "keys", list)()
    ]
    arrays = [np.asarray(s[:]) for s in steps if s.ndim == 1]
    if len(arrays) == 2 and not np.array_equal(arrays[0], arrays[1]):
        raise ValueError(
            f"{path}: positions and forces are of different steps: write both at the same steps"
        )


def _with_h5md_box(
    request: Request, group: h5py.Group, portions: Portions, n_frames: int
) -> tuple[Portions, bool | None]:
    """Portions with their box, and whether the file says that there is none.

    Raises:
        ValueError: periodic along some directions only.
    """
    box = group.get("box")
    if box is None:
        return portions, None
    texts = [
        t.decode() if isinstance(t, bytes) else str(t)
        for t in np.ravel(box.attrs.get("boundary", []))
    ]
    periodic = {t.lower() == "periodic" for t in texts}
    if len(periodic) == 2 and request.box is None:
        raise mixed_boundary(request.path, [t.lower() == "periodic" for t in texts])
    if periodic == {False} or "edges" not in box:
        return portions, True if periodic == {False} else None
    edges = np.asarray(_value(box["edges"])[...], float)
    changing = hasattr(box["edges"], "keys") and edges.ndim in (2, 3) and len(edges) == n_frames
    rows = np.stack([box_rows(e) for e in edges]) if changing else box_rows(edges)
    return with_box(portions, rows, n_frames), False


def mixed_boundary(path: Path, periodic: Sequence[bool]) -> ValueError:
    """The error of a box that is periodic along some directions only."""
    along = [axis for axis, is_periodic in zip("xyz", periodic) if is_periodic]
    across = [axis for axis, is_periodic in zip("xyz", periodic) if not is_periodic]
    return ValueError(
        f"{path}: periodic along {' and '.join(along)} and not along {' and '.join(across)}: "
        "expected all "
        "three directions periodic, or none. For a slab give box= with an edge along "
        f"{' and '.join(across)} "
        "so long that images never meet; for a molecule without walls that matter give box='open'"
    )


def _h5md_columns(group: h5py.Group) -> SiteColumns | None:
    """Elements, masses and charges the file gives its particles once for all frames."""
    there = {n: group[n] for n in ("mass", "charge", "species") if n in group}
    once = {n: d for n, d in there.items() if not hasattr(d, "keys") and d.ndim == 1}
    if not once:
        return None
    return SiteColumns(
        masses=np.asarray(once["mass"][:], float) if "mass" in once else None,
        charges=np.asarray(once["charge"][:], float) if "charge" in once else None,
        types=tuple(str(s) for s in once["species"][:]) if "species" in once else None,
    )


# --- mdtraj (mdtraj.org, HDF5 format 1.1)
# -------------------------------------------------------------------


def _open_mdtraj(request: Request, file: h5py.File) -> Opened:
    values: dict[str, h5py.Dataset] = {"positions": file["coordinates"]}
    for thing, key in (request.keys or {}).items():
        values[thing] = _named(request.path, file, str(key))
    if request.as_forces:
        values.pop("positions")
    n_frames = _one_length(request.path, values)
    texts = {t: _unit_text({}, "", v) for t, v in values.items()}
    portions = sliced(values, n_frames)
    if "cell_lengths" in file and "cell_angles" in file:
        cells = np.concatenate([file["cell_lengths"][:], file["cell_angles"][:]], -1)
        portions = with_box(portions, box_rows(cells), n_frames)
    system = None
    if request.topology is None and request.species is None:
        system = Known(_mdtraj_system(request, file), bonds_complete=False, named=True)
    return Opened(portions, frozenset(values), _units(request, texts), system)


def _mdtraj_system(request: Request, file: h5py.File) -> System:
    """System of the topology mdtraj keeps as json: chains of residues of atoms, and bonds."""
    text = file["topology"][()]
    text = text[0] if isinstance(text, np.ndarray) else text
    topology = json.loads(text)
    residues = [r for c in topology["chains"] for r in c["residues"]]
    atoms = [a for r in residues for a in r["atoms"]]
    order = np.argsort([a["index"] for a in atoms])
    owner = np.concatenate([np.full(len(r["atoms"]), k) for k, r in enumerate(residues)])
    names = [str(atoms[i]["name"]) for i in order]
    elements = [str(atoms[i].get("element") or "") for i in order]
    masses = None
    if request.masses is not None and not hasattr(request.masses, "items"):
        masses = np.asarray(request.masses, float)
    chains = [c for c in topology["chains"] for _ in c["residues"]]
    own = [residues[owner[i]] for i in order]
    guessed = [guess_element(n, residue=str(r["name"])) for n, r in zip(names, own)]
    system = build_system(
        names=names,
        elements=[e if e not in ("", "VS") else g for e, g in zip(elements, guessed)],
        masses=masses,
        charges=None,
        bonds=topology.get("bonds") or None,
        where=str(request.path),
    )
    numbered = all("resSeq" in r for r in own)
    return replace(
        system,
        residues=owner[order],
        residue_names=tuple(str(r["name"]) for r in own),
        residue_numbers=np.array([int(r["resSeq"]) for r in own]) if numbered else None,
        chain_ids=tuple(
            str(chains[owner[i]].get("chain_id") or r.get("segmentID") or "")
            for i, r in zip(order, own)
        ),
    )


# --- any other
# ----------------------------------------------------------------------------------------------


def _open_named(request: Request, file: h5py.File) -> Opened:
    """Arrays of frames chosen by name, e.g. mlcg's `<set>/<molecule>/cg_coords` and `cg_forces`."""
    shapes: dict[str, tuple[int, ...]] = {}
    file.visititems(
        lambda name, item: shapes.update({name: item.shape}) if hasattr(item, "shape") else None
    )
    things = ("positions", "forces", "energies", "box")
    chosen = Chosen(request.shown, shapes, request.keys, things)
    needed = "forces" if request.as_forces else "positions"
    chosen.need(needed)
    values: dict[str, h5py.Dataset] = {}
    for thing in things:
        if thing in chosen and not (request.as_forces and thing != "forces"):
            values[thing] = _named(request.path, file, chosen[thing][0])
    n_frames = len(values[needed])
    if "energies" in values:
        energies = one_column(chosen["energies"][0], values["energies"][:])
        values["energies"] = potential_energies(request.shown, energies, n_frames)
    box = values.pop("box", None)
    arrays = {k: v for k, v in values.items() if v is not None}
    portions = sliced(arrays, _one_length(request.path, arrays))
    if box is not None:
        portions = with_box(portions, box_rows(box[...]), n_frames)
    unused = [n for n in chosen.unused if len(shapes[n]) > 1]
    if unused:
        remark(f"{request.shown}: not used: {', '.join(unused)}")
    texts = {t: _unit_text({}, "", file[without_index(chosen[t][0])]) for t in arrays}
    return Opened(portions, frozenset(arrays), _units(request, texts))


def _named(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """The dataset called `key`."""
    name = without_index(key)
    if name not in file or hasattr(file[name], "keys"):
        raise ValueError(
            f"{path} has no dataset {name!r}; name it by its whole path, such as 'group/{name}'"
        )
    return file[name]
