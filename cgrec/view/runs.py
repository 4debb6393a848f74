"""The runs that the page may show: folders found here, never paths of a request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dynamics.guard import FeatureGuard
from ..files import Json
from ..frames import Frames
from ..level.folder import LevelFolder
from ..potential import Potential
from ..report.read import RunFiles, read_run
from ..run import layout
from ..run.status import RunStatus, status_of
from .ladder import ladder
from .landscapes import Landscape, landscapes_of
from .moments import Moments, moments_of

#: Runs that are kept open.
KEPT = 4
#: Where runs of experiments lie (conf/config.yaml).
HOME = "runs"


class Unknown(ValueError):
    """A name that the page has nothing of."""


class Watch(NamedTuple):
    """The guard of a level, and the potential whose graphs it looks at."""

    guard: FeatureGuard
    potential: Potential

    def of_sites(self, frames: Frames) -> NDArray[np.float32]:
        """(n_frames, n_sites) how far out each site is; above 1 it lies outside of what the network
        was trained on.
        """
        found = self.guard.of_sites(self.potential.graph(frames))
        return found.cpu().numpy().astype(np.float32)


@dataclass(frozen=True, eq=False)
class Opened:
    """A run that was read, and what is made of it when it is asked for."""

    run: RunFiles

    @cached_property
    def moments(self) -> dict[str, Moments]:
        """Ensembles by name."""
        return moments_of(self.run)

    @cached_property
    def landscapes(self) -> dict[str, Landscape]:
        """Free energies by name."""
        return landscapes_of(self.run)

    @cached_property
    def _guards(self) -> dict[int, Watch | None]:
        return {}

    def watch(self, number: int) -> Watch | None:
        """What tells how far out sites of a level are; None where nothing does."""
        if number not in self._guards:
            self._guards[number] = _watch(layout.level_folder(self.run.folder, number))
        return self._guards[number]

    @cached_property
    def ladder(self) -> Json:
        """What the page shows first."""
        return ladder(self.run, list(self.moments.values()), list(self.landscapes.values()))


class Runs:
    """The runs of a working folder, or one of them alone.

    Args:
        home: the folder that `runs` lies in.
        only: the folder of a run; None: all in `runs`.
    """

    def __init__(self, home: Path, only: Path | None = None) -> None:
        self.home = home
        self.only = only
        self.opened: OrderedDict[Path, tuple[object, Opened]] = OrderedDict()
        self.lock = threading.Lock()

    def folders(self) -> dict[str, Path]:
        """{name: folder}, the newest first."""
        own = {} if self.only is None else {self.only.resolve().name: self.only}
        runs = self.home / HOME
        found = [p for p in runs.iterdir() if _is_run(p)] if runs.is_dir() else []
        if self.only is not None:
            found = [p for p in found if (p.with_name(f"{p.name}.files")).is_dir()]
        found.sort(key=lambda path: -path.stat().st_mtime)
        return {**{path.name: path for path in found}, **own}

    def folder(self, name: str) -> Path:
        """Of a run.

        Raises:
            Unknown: there is no such run.
        """
        folders = self.folders()
        if name not in folders:
            raise Unknown(
                f"run: expected one of {', '.join(folders) or 'none yet'}, found {name!r}"
            )
        return folders[name]

    def status(self, name: str) -> RunStatus:
        """How far a run is."""
        return status_of(self.folder(name))

    def open(self, name: str) -> Opened:
        """A run, read again where its files have changed.

        Raises:
            Unknown: there is no such run. FileNotFoundError: nothing of it is made yet.
        """
        folder = self.folder(name)
        with self.lock:
            stamp = _stamp(folder)
            known = self.opened.get(folder)
            if known is None or known[0] != stamp:
                known = (stamp, Opened(read_run(folder)))
            self.opened[folder] = known
            self.opened.move_to_end(folder)
            while len(self.opened) > KEPT:
                self.opened.popitem(last=False)
            return known[1]


def _watch(folder: Path) -> Watch | None:
    """Takes seconds: the guard is fitted to the frames that the network was trained on."""
    level = LevelFolder(folder)
    try:
        guard = level.guard
        return None if guard is None else Watch(guard, level.potential)
    except FileNotFoundError:  # atoms of a file have no potential
        return None


def _is_run(path: Path) -> bool:
    return (path / layout.EVENTS).is_file() or layout.level_folder(path, 0).is_dir()


def _stamp(folder: Path) -> object:
    """Changes when a product of the run does."""
    potentials = (layout.POTENTIAL, layout.REFINED)
    names = ("*.json", "*.npz", "*.csv", "*/frames.json", *potentials)
    places = [folder, *folder.glob("level*"), *folder.glob("descent_*/level*")]
    files = sorted(p for place in places for name in names for p in place.glob(name))
    return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files]
