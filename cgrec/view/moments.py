"""The same moment at every level: frames of one level, and what the mappings above make of them.

A moment is a frame of one ensemble. Levels above it show the same frame by their mappings, exactly.
Levels below it are shown where they were brought back: the frames of a descent are its lowest level's,
and mapped up they give back the beads that they came from (`cgrec descend`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bonds import connected_components
from ..files import Json
from ..frames import Frames
from ..mapping import Mapping
from ..report.figures import is_liquid, superpose
from ..report.read import LevelFiles, RunFiles
from ..run import layout

#: Bytes of one answer: frames beyond are asked for again.
MOST_BYTES = 2**23
#: Numbers of a cell, before the positions of each frame.
CELL = 9


@dataclass(frozen=True, eq=False)
class Moments:
    """An ensemble that can be looked at.

    Attributes:
        name: "level0" for the own frames of a level, "descent_2_0" for frames brought back.
        title, says: for the page: what these frames are, and what the other levels show of them.
        level: number of the lowest level shown.
        frames: of it.
        above: mappings to the levels above, from the lowest up.
    """

    name: str
    title: str
    says: str
    level: int
    frames: Frames
    above: tuple[Mapping, ...]

    @property
    def levels(self) -> list[int]:
        """Numbers of the levels that show these moments."""
        return list(range(self.level, self.level + len(self.above) + 1))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(n_frames,) frames as they are played: one replica after the other, each in time."""
        n = len(self.frames)
        replicas = self.frames.replicas
        return np.arange(n) if replicas is None else np.argsort(replicas, kind="stable")

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """(n_frames,) where in `order` each frame stands."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(place))
        return place

    @property
    def n_sites(self) -> list[int]:
        """Of each of `levels`."""
        return [self.frames.n_sites, *(mapping.coarse.n_sites for mapping in self.above)]

    @property
    def most(self) -> int:
        """Frames of one answer."""
        return max(1, MOST_BYTES // (4 * (CELL + 3 * sum(self.n_sites))))

    def weights(self) -> NDArray[np.float32]:
        """(n_frames,) weights with mean 1, as they are played."""
        return (len(self.frames) * self.frames.normalised_weights()[self.order]).astype(np.float32)

    def positions(self, places: Sequence[int]) -> NDArray[np.float32]:
        """(n, 9 + 3 n_sites of all levels) nm: the cell of each frame (rows; zero without one), then
        the sites of every level, from the lowest up.

        Frames of one molecule are laid on the first one, molecules of a liquid into the box.

        Args:
            places: of the frames, as they are played.

        Raises:
            ValueError: a place that is none.
        """
        asked = np.asarray(places, int)
        if asked.size and not (asked.min() >= 0 and asked.max() < len(self.frames)):
            raise ValueError(f"frames: expected 0 to {len(self.frames) - 1}, found {places}")
        picked = self.frames[self.order[asked[: self.most]]]
        fine, cells = self._laid(picked)
        rows = [cells.reshape(len(fine), CELL), fine.reshape(len(fine), -1)]
        for mapping in self.above:
            fine = np.stack([mapping.sparse_position_weights @ frame for frame in fine])
            rows.append(fine.reshape(len(fine), -1))
        return np.concatenate(rows, 1).astype(np.float32)

    def at_levels(self, places: Sequence[int]) -> Iterator[tuple[int, Frames]]:
        """(number of a level, its frames of these moments) from the lowest up, where they are in
        their box, without forces and energies.
        """
        picked = self.frames[self.order[np.asarray(places, int)]]
        frames = Frames(picked.system, picked.positions, picked.temperature, box=picked.box)
        yield self.level, frames
        for number, mapping in zip(self.levels[1:], self.above):
            frames = mapping(frames)
            yield number, frames

    def _laid(self, picked: Frames) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, n_sites, 3) nm of the lowest level, and (n, 3, 3) cells."""
        x = np.asarray(picked.positions, float)
        boxes = picked.boxes()
        if boxes is None or not is_liquid(self.frames):
            first = np.asarray(self.frames.positions[self.order[:1]], float)
            laid = superpose(np.concatenate([first, x]), self.frames.system.masses)[1:]
            return laid, np.zeros((len(x), 3, 3))
        cells = np.asarray(boxes, float)
        whole = [self._in_box(frame, cell) for frame, cell in zip(x, cells)]
        return np.stack(whole), cells

    def _in_box(self, x: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """One frame, with every group moved as a whole to where its middle is in the box around
        zero.
        """
        groups, size = self._groups
        middles = np.stack([np.bincount(groups, column) for column in x.T], 1) / size[:, None]
        return x - (np.floor(middles @ np.linalg.inv(cell)) @ cell)[groups] - cell.sum(0) / 2

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n_sites,) what has to move together, molecules and whatever lies in one site of a level
        above; and how many sites each has.
        """
        pairs = [self.frames.system.bonds]
        total: Mapping | None = None
        for mapping in self.above:
            total = mapping if total is None else mapping @ total
        if total is not None:
            rows = total.sparse_position_weights
            first = np.repeat(rows.indices[rows.indptr[:-1]], np.diff(rows.indptr))
            pairs.append(np.stack([first, rows.indices], 1))
        groups = connected_components(self.frames.n_sites, np.concatenate(pairs))
        return groups, np.bincount(groups)


def moments_of(run: RunFiles) -> dict[str, Moments]:
    """Every ensemble of a run that can be looked at, by its name."""
    return {found.name: found for found in (*_own(run), *_restored(run))}


def _own(run: RunFiles) -> Iterator[Moments]:
    for level in run.levels:
        frames, kind = level.frames, "its own simulation" if level.number else "the source"
        if frames is None:
            continue
        above = _above(run, level.number, frames)
        title = f"{level.name}: {kind}"
        yield Moments(
            f"level{level.number}", title, _says(run, level, above), level.number, frames, above
        )


def _says(run: RunFiles, level: LevelFiles, above: Sequence[Mapping]) -> str:
    """What the other levels show of frames of one level."""
    said = [f"Frames of {level.name}."]
    if above:
        names = ", ".join(one.name for one in run.levels[level.number + 1 :][: len(above)])
        said.append(f"{names}: the same frames, mapped up, which is exact.")
    if level.number:
        below = ", ".join(one.name for one in run.levels[: level.number])
        said.append(f"{below}: not shown, because these frames were never brought back to it.")
    return " ".join(said)


def _above(run: RunFiles, number: int, frames: Frames) -> tuple[Mapping, ...]:
    """Mappings of the levels above, as far as they follow from each other."""
    found: list[Mapping] = []
    system = frames.system
    for level in run.levels:
        if level.number <= number:
            continue
        if level.mapping is None or not level.mapping.fine.agrees_with(system):
            break
        found.append(level.mapping)
        system = level.mapping.coarse
    return tuple(found)


def _restored(run: RunFiles) -> Iterator[Moments]:
    """Frames of descents, at their lowest level."""
    names = {level.number: level.name for level in run.levels}
    for folder in sorted(run.folder.glob("descent_*_*")):
        begin, _, end = folder.name.removeprefix("descent_").partition("_")
        frames = _frames_in(layout.level_folder(folder, int(end))) if end.isdigit() else None
        if frames is None or not begin.isdigit():
            continue
        source, home = names.get(int(begin), f"level {begin}"), names.get(int(end), f"level {end}")
        says = (
            f"Frames of {home}, brought back from {source}'s own simulation by cgrec descend. Levels "
            f"above are these, mapped up, which is exact: at {source} they are the beads that the "
            "descent began with."
        )
        above = _above(run, int(end), frames)
        yield Moments(
            folder.name, f"{source}: brought back to {home}", says, int(end), frames, above
        )


def _frames_in(folder: Path) -> Frames | None:
    try:
        return Frames.load(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def as_json(moments: Moments) -> Json:
    """What the page knows of it before it asks for frames."""
    replicas = moments.frames.replicas
    counts = [len(moments.frames)] if replicas is None else np.bincount(replicas).tolist()
    return {
        "name": moments.name,
        "title": moments.title,
        "says": moments.says,
        "level": moments.level,
        "levels": moments.levels,
        "n_sites": moments.n_sites,
        "n_frames": len(moments.frames),
        "most": moments.most,
        "replicas": [n for n in counts if n],
        "weighted": moments.frames.weights is not None,
    }
