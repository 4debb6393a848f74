"""From opened files to `Contents`: units, the second file of forces, replicas, the System, whole
molecules, selection.

All formats go through here, a bounded number of frames at a time, so that an argument means the
same for each and a trajectory may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..frames import pieces, release, taken
from ..system import System
from .making import SystemMaker, check_open
from .periodic import box_rows, check_rows, make_whole
from .portions import Collected, Portion, Rows, changed_number, partly
from .request import Contents, Opened, Request, Units, units_of
from .topology import add_rigid_pairs, select_sites

#: Frames over the whole trajectory from which bonds are judged.
_SAMPLE = 50

_TAKEN = ("positions", "forces", "energies", "box", "weights")


def assemble(
    requests: Sequence[Request], opener: Callable[[Request], Opened], scratch: Path | None = None
) -> Contents:
    """The frames of one file, or of several that are independent runs of one System.

    Args:
        requests: one a file.
        opener: opens a request by the reader of its format.
        scratch: folder for frames that are too many for the memory; None is the system's.

    Raises:
        ValueError: as `read`.
    """
    collected, temperatures, whole = Collected(scratch), set(), True
    maker: SystemMaker | None = None
    for request in requests:
        opened = opener(_of_positions(request))
        forces = _opened_forces(request, opened, opener)
        units = units_of(request, opened)
        before = collected.count("positions")
        for portion in _portions(request, opened, forces, units):
            n_sites = portion.positions.shape[1]  # type: ignore[union-attr]
            if maker is None:
                maker, first = SystemMaker(request, opened, n_sites), opened
            elif n_sites != maker.n_file:
                raise changed_number(request.path, before, n_sites, maker.n_file)
            if collected.count("positions") == before > 0:
                maker.compare(request, opened)
            _collect(request, collected, maker.cut(portion))
        if collected.count("positions") == before or maker is None:
            raise no_frames(request)
        whole &= opened.whole
        if opened.temperature is not None:
            temperatures.add(opened.temperature)
        _count_replica(collected, before, len(requests) > 1)
        of_forces = units if forces is None else units_of(_for_forces(request), forces)
        force_unit = of_forces.force if of_forces.sizes is None else "kJ/mol/nm"  # a name of ours
    if len(temperatures) > 1:
        found = ", ".join(f"{t:g}" for t in sorted(temperatures))
        raise ValueError(
            f"{requests[0].path} and {len(requests) - 1} more: temperatures of {found} K: "
            "expected one"
        )
    assert maker is not None
    temperature = next(iter(temperatures), None)
    first = replace(first, temperature=temperature, whole=whole)
    return _finished(requests[0], maker, first, collected.arrays(), force_unit, scratch)


def _opened_forces(
    request: Request, opened: Opened, opener: Callable[[Request], Opened]
) -> Opened | None:
    """The second file, of forces.

    Raises:
        ValueError: the first holds forces itself.
    """
    if request.forces_path is None:
        return None
    if "forces" in opened.holds:
        raise ValueError(
            f"{request.path} holds forces itself, so forces_path= means nothing for it: leave "
            "it out, or "
            "choose the positions alone"
        )
    found = opener(_for_forces(request))
    if "forces" not in found.holds:
        raise ValueError(
            f"{request.forces_path} holds no forces: expected forces of the frames of "
            f"{request.path}"
        )
    return found


def _of_positions(request: Request) -> Request:
    """The request of the first file: where a second one holds the forces, their name belongs to
    that.
    """
    if request.forces_path is None or not request.keys:
        return request
    return replace(request, keys={k: v for k, v in request.keys.items() if k != "forces"} or None)


def _for_forces(request: Request) -> Request:
    """The request of the second file: the same frames of it, and nothing said of its sites."""
    assert request.forces_path is not None
    keys = {k: v for k, v in (request.keys or {}).items() if k == "forces"} or None
    length = None if request.energy_unit is None else request.length_unit
    return replace(
        request,
        path=request.forces_path,
        forces_path=None,
        topology=None,
        species=None,
        masses=None,
        elements=None,
        box=None,
        keys=keys,
        length_unit=length,
        as_forces=True,
    )


def _portions(
    request: Request, opened: Opened, forces: Opened | None, units: Units
) -> Iterator[Portion]:
    """Frames asked for, in nm and kJ/mol, with the forces of the second file."""
    length, energy, force = units.factors()
    pick = request.frames
    if forces is None:
        for portion in opened.portions(pick):
            yield _scaled(request, portion, length, energy, force)
        return
    force = units_of(_for_forces(request), forces).factors()[2]
    second = _Reader(forces.portions(pick))
    done = 0
    for portion in opened.portions(pick):
        partner = second.take(len(portion))
        _check_partner(request, portion, partner, done)
        scaled = _scaled(request, replace(portion, forces=None), length, energy, 1.0)
        yield replace(scaled, forces=_times(partner.forces, force))
        done += len(portion)
    if len(second.take(1)):
        raise ValueError(
            f"{request.path} holds {done} frames and {request.forces_path} more: expected the "
            "same number; "
            "write both at the same steps"
        )


class _Reader:
    """Takes frames from an iterator of portions in any number."""

    def __init__(self, portions: Iterator[Portion]):
        self._portions = portions
        self._left = Portion()

    def take(self, n: int) -> Portion:
        """The next n frames, fewer where the file ends."""
        parts = []
        while n:
            if not len(self._left):
                self._left = next(self._portions, Portion())
            if not len(self._left):
                break
            parts.append(self._left.cut(0, n))
            self._left = self._left.cut(n, len(self._left))
            n -= len(parts[-1])
        if len(parts) < 2:
            return parts[0] if parts else Portion()
        return Portion(
            **{k: np.concatenate([getattr(p, k) for p in parts]) for k in parts[0].present()}
        )


def _check_partner(request: Request, portion: Portion, partner: Portion, done: int) -> None:
    """ValueError where the second file is not of the frames of the first."""
    here, there = request.path, request.forces_path
    if len(partner) < len(portion):
        raise ValueError(
            f"{here} holds at least {done + len(portion)} frames and {there} "
            f"{done + len(partner)}: expected "
            "the same number; write both at the same steps"
        )
    vectors = partner.forces
    assert portion.positions is not None and vectors is not None
    if vectors.shape != portion.positions.shape:
        raise ValueError(
            f"{here} holds {portion.positions.shape[1]} sites and {there} {vectors.shape[1]}: "
            "expected the "
            "same number"
        )
    if np.array_equal(vectors, portion.positions):
        raise ValueError(
            f"{there} holds the positions of {here} once more: expected the forces of its frames"
        )
    if (
        portion.steps is not None
        and partner.steps is not None
        and np.any(portion.steps != partner.steps)
    ):
        k = int(np.flatnonzero(portion.steps != partner.steps)[0])
        raise ValueError(
            f"{here} and {there}: frame {done + k} is step {portion.steps[k]:g} of the one and "
            f"{partner.steps[k]:g} of the other: expected the same steps; pick frames that "
            "have both"
        )


def _scaled(
    request: Request, portion: Portion, length: float, energy: float, force: float
) -> Portion:
    if portion.positions is None:
        raise ValueError(
            f"{request.path}: a frame holds no positions; write positions and forces at the "
            "same steps, or "
            "pick frames that have both with start= and step="
        )
    fixed = request.given_box(length)
    box = fixed if fixed is not None else _times(portion.box, length)
    if isinstance(request.box, str):  # "open"
        box = None
    if box is not None:
        check_rows(np.asarray(box, float), str(request.path))
    return replace(
        portion,
        positions=_times(portion.positions, length),
        forces=_times(portion.forces, force),
        energies=_times(portion.energies, energy),
        box=box,
    )


def _times(array: NDArray[np.floating] | None, factor: float) -> NDArray[np.floating] | None:
    """`array` times `factor` in its own precision, so that float32 stays float32."""
    if array is None:
        return None
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = np.asarray(array, float)
    return array * array.dtype.type(factor)


def _collect(request: Request, collected: Collected, portion: Portion) -> None:
    """Add a portion; a box that is one for all frames is repeated for each.

    Raises:
        ValueError: it has not what those before it had.
    """
    n, done = len(portion.positions), collected.count("positions")  # type: ignore[arg-type]
    arrays = {k: v for k, v in portion.present().items() if k in _TAKEN}
    if "box" in arrays:
        arrays["box"] = np.broadcast_to(arrays["box"], (n, 3, 3))
    differing = {k for k in _TAKEN if done and (k in arrays) != (collected.count(k) > 0)}
    if differing:
        name = min(differing)
        raise partly(request.path, name, done if name not in arrays else 0)
    for name, array in arrays.items():
        collected.append(name, array)
    own = np.zeros(n, np.int64) if portion.replicas is None else portion.replicas
    collected.append("replicas_of_file", own)


def _count_replica(collected: Collected, before: int, several: bool) -> None:
    """Note which frames came from one file."""
    collected.append(
        "file", np.full(collected.count("positions") - before, before if several else 0, np.int64)
    )


def _replicas(arrays: dict[str, Rows]) -> NDArray[np.int64] | None:
    """(n_frames,) replicas that stay apart between files; None for one run in one file."""
    pairs = np.stack([arrays.pop("file"), np.asarray(arrays.pop("replicas_of_file"), np.int64)], -1)
    if len(np.unique(pairs[:, 0])) == 1:
        own = pairs[:, 1]
        return own if own.any() else None
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _finished(
    request: Request,
    maker: SystemMaker,
    opened: Opened,
    arrays: dict[str, Rows],
    force_unit: str,
    scratch: Path | None,
) -> Contents:
    """Bonds completed from a sample of all frames, molecules made whole in place, sites selected."""
    box = None if "box" not in arrays else _one_box(arrays["box"])
    positions = arrays["positions"]
    chosen = np.unique(np.linspace(0, len(positions) - 1, _SAMPLE).astype(int))
    system = maker.complete(
        taken(positions, chosen), box[chosen] if box is not None and box.ndim == 3 else box
    )
    question = check_open(request, system, box, opened)
    if not opened.whole:
        _make_whole(positions, system, box)
    arrays["replicas"] = _replicas(arrays)  # type: ignore[assignment]
    if request.selection is not None:
        sites = select_sites(system, request.selection)
        if "forces" in arrays:
            _check_constraints(request, add_rigid_pairs(system, positions[chosen]), sites)
        system = system.select(sites)
        for name in ("positions", "forces"):
            if name in arrays:
                arrays[name] = _selected(arrays[name], sites, scratch)
    fields = {n: arrays.get(n) for n in ("positions", "forces", "energies", "weights", "replicas")}
    return Contents(
        system,
        box=box,
        temperature=opened.temperature,
        force_unit=force_unit,
        question=question,
        **fields,  # type: ignore[arg-type]
    )


def _check_constraints(request: Request, system: System, sites: list[int]) -> None:
    """ValueError where the selection parts sites that a constraint holds together.

    The force on one end lacks what the constraint does, so that its mean is no mean force (16 to 25
    kT/nm off for bonds to hydrogen); only forces summed over whole constrained groups are right
    (Ciccotti, Kapral and Vanden-Eijnden, ChemPhysChem 6, 1809 (2005)).
    """
    chosen = np.zeros(system.n_sites, bool)
    chosen[sites] = True
    ends = chosen[system.constraints]
    cut = np.flatnonzero(ends[:, 0] != ends[:, 1])
    if not len(cut):
        return
    i, j = system.constraints[cut[0]].tolist()
    raise ValueError(
        f"{request.path}: selection={request.selection!r} parts {len(cut)} constraints, such as "
        f"{system.labels[i]} (site {i}) - {system.labels[j]} (site {j}), and forces on one end "
        "of a "
        "constraint are biased: expected whole constrained groups; select them whole and "
        "choose sites by a "
        "mapping (its force map knows constraints), or read a trajectory without forces"
    )


def _one_box(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3) where the box never changes, else (n, 3, 3)."""
    return box_rows(boxes)


def _make_whole(
    positions: NDArray[np.floating], system: System, box: NDArray[np.floating] | None
) -> None:
    if box is None or not len(system.bonds):
        return
    for piece in pieces(positions):
        positions[piece] = make_whole(
            positions[piece], system, box[piece] if box.ndim == 3 else box
        )
        release(positions)


def _selected(
    array: NDArray[np.floating], sites: list[int], scratch: Path | None
) -> NDArray[np.floating]:
    """The chosen sites of an array that may be on disk."""
    collected = Collected(scratch)
    for piece in pieces(array):
        collected.append("chosen", array[piece][:, sites])
        release(array)
    return collected.arrays()["chosen"]


def no_frames(request: Request) -> ValueError:
    """The error of a file, or a choice of start, stop and step, without frames."""
    if request.frames == slice(None):
        return ValueError(
            f"{request.path} holds zero frames: expected at least one; was it cut off or "
            "written without "
            "output?"
        )
    chosen = f"start={request.start}, stop={request.stop}, step={request.step}"
    return ValueError(f"{request.path}: {chosen} leaves zero frames: choose another range")
