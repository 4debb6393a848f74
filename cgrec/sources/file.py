"""Level 0 from trajectory files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from ..files import package_path
from ..frames import Frames
from ..io import LammpsUnits, files_of, read
from ..system import System
from .base import Source

#: Arguments that runs begun with an older version do not know; not used, they are no part of the
#: recipe.
_NEWER = ("lj", "elements", "drop_bad_frames")


class FileSource(Source):
    """Frames of one trajectory file, or of several (a list, or a pattern such as 'run*.trr') that
    are independent runs of one system. Arguments as in `cgrec.read`; "package:name" is a trajectory
    that ships with cgrec.
    """

    def __init__(
        self,
        *,
        path: str | Path | Sequence[str | Path],
        topology: str | Path | System | None = None,
        temperature: float | None = None,
        file_format: str | None = None,
        selection: str | None = None,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        need_forces: bool = True,
        check_units: bool = True,
        drop_bad_frames: bool = False,
        find_constraints: bool = True,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        force_unit: str | None = None,
        lammps_units: LammpsUnits | None = None,
        lj: Mapping[str, float] | None = None,
        forces_path: str | Path | Sequence[str | Path] | None = None,
        box: ArrayLike | str | None = None,
        species: Sequence[object] | str | None = None,
        masses: Mapping[str, float] | Sequence[float] | None = None,
        elements: Mapping[str, str] | None = None,
        keys: Mapping[str, str | Sequence[str]] | None = None,
    ):
        given = dict(locals())
        self.paths = [package_path(p) for p in _listed(path)]
        self.topology = topology
        self.forces_paths = None if forces_path is None else _listed(forces_path)
        others = ("self", "path", "topology", "forces_path")
        self._arguments = {k: v for k, v in given.items() if k not in others}
        if not self.paths:
            raise ValueError("FileSource.path: expected at least one file, found none")

    def sample(self, folder: Path, seed: int) -> Frames:
        """Read the files; nothing is random and nothing needs resuming. Frames too many for the
        memory are in `folder` until they are saved.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return read(
            self.paths,
            self.topology,
            forces_path=self.forces_paths,
            scratch=folder,
            **self._arguments,
        )

    def recipe(self) -> dict[str, object]:
        """The arguments but for paths, whose content counts and not their names."""
        # an argument newer than a run that goes on, and not used, is no part of its recipe
        plain = {
            k: _plain(v)
            for k, v in self._arguments.items()
            if k not in _NEWER or v not in (None, False)
        }
        return {
            **plain,
            "topology": self.topology.fingerprint() if isinstance(self.topology, System) else None,
        }

    def files(self) -> list[Path]:
        """Trajectories, topology and forces; of a folder of frames the arrays in it."""
        named = [*self.paths, *(self.forces_paths or [])]
        named += [self.topology] if isinstance(self.topology, str | Path) else []
        paths = files_of(named)
        return [
            f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()
        ]

    def packages(self) -> Sequence[str]:
        """Readers."""
        return ("cgrec", "numpy", "MDAnalysis", "ase")


def _listed(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)


def _plain(value: object) -> object:
    """`value` as json knows it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
