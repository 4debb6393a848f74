"""Level 0 from trajectory files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from ..frames import Frames
from ..system import System
from ..trajectory_files import read
from .base import Source, package_path


class FileSource(Source):
    """Frames of one trajectory file, or of several that are independent runs of one system. Arguments as in
    `cgrec.read`; "package:name" is a trajectory that ships with cgrec.
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
        find_constraints: bool = True,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        force_unit: str | None = None,
        lammps_units: Literal["real", "metal"] | None = None,
        forces_path: str | Path | None = None,
        box: ArrayLike | None = None,
        species: Sequence[Any] | str | None = None,
        masses: Mapping[str, float] | Sequence[float] | None = None,
        keys: Mapping[str, str | Sequence[str]] | None = None,
    ):
        given = dict(locals())
        self.paths = [package_path(p) for p in ([path] if isinstance(path, str | Path) else path)]
        self.topology = topology
        self.forces_path = forces_path
        self._arguments = {k: v for k, v in given.items() if k not in ("self", "path", "topology")}
        if not self.paths:
            raise ValueError("FileSource.path: expected at least one file, found none")
        if forces_path is not None and len(self.paths) > 1:
            raise ValueError(
                "FileSource.forces_path belongs to one file of positions: make one source of each pair"
            )

    def sample(self, folder: Path, seed: int) -> Frames:
        """Read the files; nothing is random and nothing needs resuming."""
        first = read(self.paths[0], self.topology, **self._arguments)
        # bonds found from distances must not differ between runs of one system: the first file decides
        others = {**self._arguments, "species": None, "masses": None}
        rest = [read(p, self._shared(p, first), **others) for p in self.paths[1:]]
        return Frames.concatenate([first, *rest]) if rest else first

    def _shared(self, path: Path, first: Frames) -> str | Path | System | None:
        if path.is_dir():
            return None
        return first.system if self._arguments["selection"] is None else self.topology

    def recipe(self) -> dict[str, Any]:
        """The arguments but for paths, whose content counts and not their names."""
        plain = {k: _plain(v) for k, v in self._arguments.items() if k != "forces_path"}
        return {
            **plain,
            "topology": self.topology.fingerprint() if isinstance(self.topology, System) else None,
        }

    def files(self) -> list[Path]:
        """Trajectories, topology and forces; of a folder of frames the arrays in it."""
        named = [*self.paths, self.topology, self.forces_path]
        paths = [Path(p) for p in named if isinstance(p, str | Path)]
        missing = [p for p in paths if not p.exists()]
        if missing:
            raise FileNotFoundError(f"{missing[0]} does not exist")
        return [f for p in paths for f in (sorted(p.iterdir()) if p.is_dir() else [p])]

    def packages(self) -> Sequence[str]:
        """Readers."""
        return ("cgrec", "numpy", "MDAnalysis", "ase")


def _plain(value: Any) -> Any:
    """`value` as json knows it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
