"""numpy files: .npz archives and pairs of .npy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system import System
from .periodic import box_rows
from .request import Contents, Request, SystemMaker, finish
from .topology import system_from_species

#: Names under which archives hold each thing, in order of preference.
KEYS: dict[str, tuple[str, ...]] = {
    "positions": ("positions", "pos", "coords", "coordinates", "R"),
    "forces": ("forces", "Fs", "F"),
    "energies": ("energies", "energy", "E"),
    "box": ("box", "cell"),
    "temperature": ("temperature",),
    "species": ("species", "site_names", "names", "atomic_numbers", "numbers", "z"),
    "masses": ("masses",),
    "charges": ("charges",),
    "bonds": ("bonds",),
    "weights": ("weights",),
    "replicas": ("replicas",),
    "system": ("system",),
    "length_unit": ("length_unit",),
    "energy_unit": ("energy_unit",),
    "force_unit": ("force_unit",),
}


def read_npz(request: Request) -> Contents:
    """An .npz archive; see `read` for the names and units."""
    return _contents(request, _archive(request))


def read_npy(request: Request) -> Contents:
    """A .npy file of positions, with `forces_path` the one of forces."""
    found = {"positions": _load(request.path)}
    if request.forces_path is not None:
        found["forces"] = _load(Path(request.forces_path))
    return _contents(request, found)


def _archive(request: Request) -> dict[str, NDArray[Any]]:
    """Everything in the archive that has a known or given name."""
    wanted = {**KEYS, **{k: _as_tuple(v) for k, v in (request.keys or {}).items()}}
    unknown = sorted(set(wanted) - set(KEYS))
    if unknown:
        raise ValueError(f"keys: unknown {', '.join(unknown)}; expected some of {', '.join(KEYS)}")
    found = {}
    with _load(request.path) as archive:
        for name, names in wanted.items():
            given = name in (request.keys or {})
            present = [k for k in names if k in archive.files]
            if given and len(present) < len(names):
                missing = sorted(set(names) - set(present))
                raise ValueError(
                    f"{request.path} has no array {', '.join(missing)}; it holds {', '.join(archive.files)}"
                )
            if present:
                found[name] = (
                    sum(_member(request.path, archive, k) for k in present)
                    if given
                    else _member(request.path, archive, present[0])
                )
        if "positions" not in found:
            raise ValueError(
                f"{request.path}: no positions under any of {', '.join(KEYS['positions'])}; it holds "
                f"{', '.join(archive.files)}; "
                "name yours with keys={'positions': ...}"
            )
    return found


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy has no one class for a broken file
        raise _broken(path, error) from error


def _member(path: Path, archive: Mapping[str, Any], key: str) -> Any:
    try:
        return archive[key]
    except Exception as error:  # zlib.error, BadZipFile, ValueError
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be read, it is probably truncated or no numpy file ({error}); copy or make it again"
    )


def _contents(request: Request, found: dict[str, Any]) -> Contents:
    positions = found["positions"]
    if positions.ndim != 3 or positions.shape[-1] != 3:
        raise ValueError(
            f"{request.path}: expected positions (n_frames, n_sites, 3), found shape {positions.shape}"
        )
    stated = {
        k: str(found[f"{k}_unit"]) if f"{k}_unit" in found else None for k in ("length", "energy", "force")
    }
    if "forces" not in found and "energies" not in found:  # then only the length matters
        stated["energy"] = stated["energy"] or "kJ/mol"
    units = request.units(**stated)
    length, energy, force = units.factors()
    box = request.box if request.box is not None else found.get("box")
    scaled: Any = lambda name, factor: None if name not in found else found[name] * _like(factor, found[name])  # noqa: E731
    energies = scaled("energies", energy)
    maker = SystemMaker(request, positions.shape[1], _system(request, found))
    contents = Contents(
        system=maker.system, positions=scaled("positions", length), forces=scaled("forces", force),
        energies=None if energies is None else energies.reshape(len(positions)),
        box=None if box is None else box_rows(box) * length,
        temperature=_one_number(found.get("temperature")),
        weights=found.get("weights"), replicas=found.get("replicas"), force_unit=units.force,
    )  # fmt: skip
    _check_lengths(request.path, contents)
    return finish(request, maker, contents)


def _one_number(array: NDArray[Any] | None) -> float | None:
    """The number in `array`; None for the temperature of each frame, which is no property of the ensemble."""
    return float(array.item()) if array is not None and array.size == 1 else None


def _like(factor: float, array: NDArray[Any]) -> Any:
    """`factor` in the precision of `array`, so that float32 stays float32."""
    return np.asarray(factor, array.dtype if array.dtype.kind == "f" else float)


def _system(request: Request, found: dict[str, Any]) -> tuple[System, bool] | None:
    """What the archive says of its sites and whether that has the bonds; None where it does not, or the
    caller says it.
    """
    if request.topology is not None or request.species is not None:
        return None
    if "system" in found:
        import json

        return System(**json.loads(str(found["system"]))), True
    if "species" not in found:
        return None
    species = found["species"].tolist()
    masses = request.masses if request.masses is not None else found.get("masses")
    system = system_from_species(
        species,
        len(species),
        masses=masses,
        bonds=found.get("bonds"),
        charges=found.get("charges"),
        where=str(request.path),
    )
    return system, "bonds" in found


def _check_lengths(path: Path, contents: Contents) -> None:
    """ValueError where arrays disagree, before picking frames would hide it."""
    n = len(contents.positions)
    for name in ("forces", "energies", "weights", "replicas"):
        array = getattr(contents, name)
        if array is not None and len(array) != n:
            raise ValueError(
                f"{path}: {n} frames of positions and {len(array)} of {name}: expected the same number"
            )
    if contents.forces is not None and contents.forces.shape != contents.positions.shape:
        raise ValueError(
            f"{path}: expected forces of shape {contents.positions.shape}, found {contents.forces.shape}"
        )
    if contents.box is not None and contents.box.ndim == 3 and len(contents.box) != n:
        raise ValueError(
            f"{path}: {n} frames of positions and {len(contents.box)} of box: expected one box, or one a "
            "frame"
        )
