"""all atoms from a C-alpha trace: cgrec backmap ca.pdb"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np

from ..backmapping import Restored, backmap
from ..files import write_json
from ..frames import Frames
from ..io import check_ending, read, times_of, write
from ..io.pdb import ENDINGS, parts_by_ter
from ..options import Help, Keywords, check_fields
from ..remarks import kept, remarks_in
from ..units import LENGTH

#: Endings of files that say themselves which atoms they hold.
_WHOLE = (".pdb", ".gro", ".extxyz", ".npz")
#: Endings of files that are in angstrom by definition or by habit; others are in nm.
_ANGSTROM = (".pdb", ".ent", ".xyz", ".extxyz", ".dcd", ".nc", ".ncdf", ".traj")


@dataclass(frozen=True, kw_only=True)
class Backmap:
    """Bring all atoms back from the C-alpha atoms of proteins, with the residue library that ships.

    No run and no training is needed. The C-alpha atoms stay where they are; peptide groups and side
    chains come from residues seen in simulations, and are turned until they do not overlap. What is
    wrong with the result is printed, and kept beside it as json.

    Example:
        cgrec backmap ca.pdb
        cgrec backmap ca.pdb force_field=amber14-all.xml,implicit/gbn2.xml
        cgrec backmap ca.xtc topology=ca.pdb to=atoms.pdb copies=5
    """

    file: Annotated[
        str,
        Help(
            says="what cgrec.read takes, or a folder of Frames, with a C-alpha atom a residue; the "
            "key may be left out",
            bare=True,
        ),
    ]
    topology: Annotated[
        str, Help(says="file with the names of the residues, where FILE has none")
    ] = ""
    to: Annotated[
        str,
        Help(
            says="new file, its format by its ending; a trajectory gets a PDB of its first frame "
            "beside it. By default FILE with _atoms.pdb at its end"
        ),
    ] = ""
    selection: Annotated[
        str, Help(says="sites of FILE to restore from, in MDAnalysis' language: name CA")
    ] = ""
    temperature: Annotated[
        float, Help(says="where FILE does not say it; only spreads depend on it", unit="K")
    ] = 300.0
    length_unit: Annotated[
        str,
        Help(
            says="of the numbers in FILE, where it is not that of its format (PDB, XYZ, DCD: "
            "angstrom; GRO, XTC, TRR: nm)",
            choices=("", *LENGTH),
        ),
    ] = ""
    options: Annotated[Mapping[str, Any], Keywords(backmap)] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields("cgrec backmap", self)

    def __call__(self) -> str:
        """Restore; returns what was made and how good it is.

        Raises:
            FileExistsError: a file of that name is there.
            ValueError: as `cgrec.read` and `cgrec.backmap`.
        """
        to = self._free()
        with TemporaryDirectory() as scratch, ExitStack() as stack:
            remarks = Path(scratch) / "remarks.json"
            stack.enter_context(kept(remarks))
            frames = self._frames()
            restored = backmap(frames, **{"ends": self._ends(frames), **self.options})
            said = remarks_in(remarks)
        times = None if Path(self.file).is_dir() else times_of(self.file)
        if times is not None:
            times = times[restored.source]
        write(restored.frames, to, times)
        if to != self._structure(to):
            write(restored.frames[:1], self._structure(to))
        kept_times = None if times is None else times.tolist()
        about = {"from": self.file, **restored.to_json(), "times": kept_times, "remarks": said}
        write_json(to.with_suffix(".json"), about)
        return _summary(restored, to)

    def _frames(self) -> Frames:
        stored = (Path(self.file) / "frames.json").exists()
        if stored and not self.selection:
            return Frames.load(self.file)
        frames = read(
            self.file,
            self.topology or None,
            temperature=None if stored else self.temperature,
            selection=self.selection or None,
            box=None,
            # alone C-alpha atoms look like atoms of a wrong unit; their own distances are checked
            check_units=False,
        )
        if not self.length_unit:
            return frames
        own = "angstrom" if Path(self.file).suffix.lower() in _ANGSTROM else "nm"
        factor = LENGTH[self.length_unit] / LENGTH[own]
        box = None if frames.box is None else factor * frames.box
        return replace(frames, positions=factor * np.asarray(frames.positions, float), box=box)

    def _ends(self, frames: Frames) -> list[str]:
        """Sites after which the PDB that names the residues has a TER."""
        path = Path(self.topology or self.file)
        if path.suffix.lower() not in ENDINGS:
            return []
        parts = parts_by_ter(path)
        numbers, codes = frames.system.residue_numbers, frames.system.insertion_codes
        passed, at = [], 0
        for k in range(frames.n_sites):
            number = "" if numbers is None else str(numbers[k]) + (codes[k] if codes else "")
            at = next((n for n in range(at, len(parts)) if parts[n][0] == number), -1) + 1
            if not at:  # numbers that are written otherwise, as above 9999
                return []
            passed.append(parts[at - 1][1])
        return [f"#{k}" for k in range(len(passed) - 1) if passed[k] != passed[k + 1]]

    def _free(self) -> Path:
        """Where to write; refused before the work where a file is there, or of no known ending."""
        own = Path(self.file)
        to = Path(self.to) if self.to else own.with_name(f"{own.stem}_atoms.pdb")
        try:
            check_ending(to)
        except ValueError as error:
            raise ValueError(f"cgrec backmap: to={error}") from error
        for path in (to, self._structure(to), to.with_suffix(".json")):
            if path.exists():
                raise FileExistsError(
                    f"cgrec backmap: expected to= a new file, found {path}: give another name, or "
                    "remove it"
                )
        return to

    @staticmethod
    def _structure(to: Path) -> Path:
        """The file that says which atoms there are."""
        return to if to.suffix.lower() in _WHOLE else to.with_suffix(".pdb")


def _summary(restored: Restored, to: Path) -> str:
    frames = restored.frames
    residues = restored.to_json()["residues"]
    lines = [
        f"{to}: {len(frames)} frames of {frames.n_sites} atoms in {residues} residues",
        restored.sound.sentence(),
    ]
    if restored.before is not None:
        lines.append(f"before the force field: {restored.before.sentence()}")
    return "\n".join(lines)
