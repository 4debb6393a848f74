"""what a level knows for models of larger scales: PyBaMM, PHREEQC, an equation, YAML"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..files import missing
from ..handover import (
    WRITERS,
    Property,
    Sheet,
    at_constant_pressure,
    fit_pitzer,
    properties_of,
    provenance,
)
from ..handover.writing import activities, write_phreeqc
from ..level import Level
from ..options import Help, check_fields
from ..verdict import DO_NOT_USE, word_in
from ._runs import LevelNumber, RunOrPackage, level_of

#: What PHREEQC needs levels at several concentrations for.
PITZER = "phreeqc"
_TARGETS = (*WRITERS, PITZER)


@dataclass(frozen=True, kw_only=True)
class Handover:
    """Write the numbers of a level for a model of a larger scale, in SI units, with errors, methods,
    state point and provenance.

    yaml: all of them, and why others are not known. pybamm: an electrolyte. pde: a file that solves
    Poisson's and Nernst and Planck's equations. phreeqc: a PITZER block, from levels at two or more
    concentrations.

    Example:
        cgrec handover run=runs/nacl level=1 to=yaml
        cgrec handover run=runs/m1 level=1 to=phreeqc others=runs/m2,runs/m4 molality=1,2,4
    """

    run: RunOrPackage
    level: LevelNumber
    to: Annotated[str, Help(says="for what", choices=_TARGETS)]
    file: Annotated[str, Help(says="the new file; empty: RUN_levelN with an ending")] = ""
    others: Annotated[
        Sequence[str], Help(says="runs at other concentrations, with a level of the same number")
    ] = ()
    molality: Annotated[
        Sequence[float],
        Help(
            says="of run and of each of others, for phreeqc: a level does not know its solvent",
            unit="mol/kg",
        ),
    ] = ()
    anyway: Annotated[bool, Help(says="write also a level whose verdict is do not use")] = False

    def __post_init__(self) -> None:
        check_fields("cgrec handover", self)

    def __call__(self) -> str:
        """Write; returns what was written and what is not known.

        Raises:
            ValueError: a verdict "do not use"; a number that the file needs, or every number, is not
                known.
            FileExistsError: the file exists.
        """
        level = self._level(self.run)
        path = self._path()
        if self.to == PITZER:
            return self._write_pitzer(path)
        write, _ = WRITERS[self.to]
        sheet = properties_of(level)
        if not sheet.found:
            why = "; ".join(dict.fromkeys(sheet.unknown.values()))
            raise ValueError(
                f"cgrec handover: expected a level of which something is known, as one of ions in a "
                f"box, found none of {level.name}: {why}"
            )
        write(path, sheet, provenance(level))
        lines = [f"{path}:", *map(_line, sheet.found)]
        return "\n".join([*lines, *(f"  no {k}: {why}" for k, why in sheet.unknown.items())])

    def _level(self, run: str) -> Level:
        level = level_of("cgrec handover", run, self.level, packed=True)
        if word_in(level.report) == DO_NOT_USE and not self.anyway:
            raise ValueError(
                f"cgrec handover: expected a level to be used, found {level.name} of {run} with the "
                f"verdict {DO_NOT_USE!r}; see its report, or give anyway=true"
            )
        return level

    def _path(self) -> Path:
        """The new file; refused before the work where it is there."""
        ending = ".pqi" if self.to == PITZER else WRITERS[self.to][1]
        own = Path(self.run).expanduser().absolute()
        name = f"{own.name.removesuffix('.cgrec')}_level{self.level}{ending}".replace("-", "_")
        path = Path(self.file) if self.file else own.with_name(name)
        if path.exists():
            raise FileExistsError(
                f"{path} exists already: give another file=, or remove it yourself"
            )
        if not path.absolute().parent.is_dir():
            raise missing("file", path.parent)
        return path

    def _write_pitzer(self, path: Path) -> str:
        runs = [self.run, *self.others]
        if len(self.molality) != len(runs):
            raise ValueError(
                f"cgrec handover: expected molality= of {len(runs)} runs (mol per kg of solvent), found "
                f"{len(self.molality)}; a level without solvent does not know it"
            )
        levels = [self._level(run) for run in runs]
        sheets = [*map(properties_of, levels)]
        factors = [_factor(sheet, level) for sheet, level in zip(sheets, levels)]
        salts = {one.of for one in factors}
        if len(salts) != 1:
            raise ValueError(
                f"cgrec handover: expected levels of one salt, found {', '.join(sorted(salts))}; "
                "leave out the others"
            )
        cation, anion = salts.pop().split()
        turned = [
            at_constant_pressure(1.0, _litre(sheet, cation), m)
            for sheet, m in zip(sheets, self.molality)
        ]
        found = fit_pitzer(
            self.molality,
            [by * p.value for by, p in zip(turned, factors)],
            [by * (p.standard_error or 0.0) for by, p in zip(turned, factors)],
        )
        write_phreeqc(path, found, (f"{cation}+", f"{anion}-"), [*map(provenance, levels)])
        said = [f"{path}: read it after pitzer.dat", *activities(found)]
        return "\n  ".join(said)


def _factor(sheet: Sheet, level: Level) -> Property:
    for one in sheet.found:
        if one.name == "thermodynamic factor":
            return one
    raise ValueError(
        f"cgrec handover: expected a thermodynamic factor of {level.name}, found none: "
        f"{sheet.unknown['thermodynamic factor']}"
    )


def _litre(sheet: Sheet, kind: str) -> float:
    """mol/l of a type of ion."""
    found = sheet.get("concentration", kind)
    return found.value / 1000 if found is not None else 0.0


def _line(one: Property) -> str:
    error = "" if one.standard_error is None else f" +- {one.standard_error:.2g}"
    unit = "" if one.unit == "1" else f" {one.unit}"
    remark = f"; {one.remark}" if one.remark else ""
    name = f"{one.name} {one.of}".strip()
    return f"  {name}: {one.value:.5g}{error}{unit}, {one.method}{remark}"
