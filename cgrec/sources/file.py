"""Level 0 from trajectory files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import package_path
from ..frames import Frames
from ..io import LammpsUnits, files_of, read
from ..io.unit_names import energy_name, force_name, length_name
from ..ranges import expect
from ..remarks import Remark
from ..system import System
from .base import Source, expect_kelvin

#: Frames that are looked at before all are read.
FIRST = 20
#: Arguments that runs begun with an older version do not know; not used, they are no part of the
#: recipe.
_NEWER = ("lj", "elements", "drop_bad_frames")


class FileSource(Source):
    """Frames of one trajectory file, or of several (a list, or a pattern such as 'run*.trr') that
    are independent runs of one system. Arguments as in `cgrec.io.read`; "package:name" is a trajectory
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
        if temperature is not None:
            expect_kelvin("FileSource", temperature)
        if step is not None:
            expect("FileSource", at_least=1, step=step)
        _check_unit("length_unit", length_unit, length_name, "nm, angstrom or bohr")
        _check_unit("energy_unit", energy_unit, energy_name, "kJ/mol, kcal/mol, eV or hartree")
        _check_unit("force_unit", force_unit, force_name, "kJ/mol/nm, eV/angstrom, ...")
        if isinstance(box, str) and box != "open":
            raise ValueError(
                f"FileSource.box: expected an edge, edges, rows or open, found {box!r}; give open "
                "for a system without box"
            )
        self.paths = [package_path(p) for p in _listed(path)]
        self.topology = topology
        self.forces_paths = None if forces_path is None else _listed(forces_path)
        others = ("self", "path", "topology", "forces_path")
        self._arguments = {k: v for k, v in given.items() if k not in others}
        if not self.paths:
            raise ValueError("FileSource.path: expected at least one file, found none")

    @cached_property
    def beginning(self) -> Frames:
        """A few, read as all will be but for the checks that need many; what is doubtful about them
        is said when all are read.
        """
        step = self._arguments["step"] or 1
        start = self._arguments["start"] or 0
        few = {"start": start, "stop": start + FIRST * step, "check_units": False}
        if start < 0 or step < 0:  # counted from the end: all of them, then
            few = {"check_units": False}
        forces = None if self.forces_paths is None else self.forces_paths[:1]
        if self._arguments["stop"] is not None:
            few["stop"] = min(few.get("stop", self._arguments["stop"]), self._arguments["stop"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Remark)
            return read(
                files_of(self.paths[0])[:1],
                self.topology,
                forces_path=forces,
                **{**self._arguments, **few},
            )

    def system(self) -> System | None:
        """Of the first frames; a bond or a constraint that they show may be none of all."""
        return self.beginning.system

    def boxes(self) -> NDArray[np.floating] | None:
        """Of the first frames."""
        return self.beginning.boxes()

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


def _check_unit(
    name: str, unit: str | None, known: Callable[[str], str | None], wanted: str
) -> None:
    """ValueError where a unit is none that is known."""
    if unit is not None and known(unit) is None:
        raise ValueError(f"FileSource.{name}: expected {wanted}, found {unit!r}")


def _listed(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)


def _plain(value: object) -> object:
    """`value` as json knows it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
