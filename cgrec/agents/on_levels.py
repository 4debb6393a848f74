"""Tools for finished levels: believe them, hand them on."""

from __future__ import annotations

from dataclasses import dataclass

from ..commands._calls import called
from ..export import exporter
from ..files import Json, with_nan
from ..handover import properties_of
from ..level import Level
from ..level.unfinished import way_to
from ..observables import LedgerRow, LiquidDifference
from ..remarks import remarks_in
from ..run import layout
from ..verdict import DO_NOT_USE
from .answers import Exported, Judged, Ledger, Properties, Verdict, quantity
from .judged import causes, judged, level_inside, of_report, row_of, row_of_liquid
from .place import Place


@dataclass(frozen=True)
class OnLevels:
    """Tools for finished levels.

    Attributes:
        place: what they may read and write.
    """

    place: Place

    def verdict(self, run: str, level: int) -> Verdict:
        """Whether to believe a level: trust, look or do not use, why, and what to do about it.

        Args:
            run: folder of a run, or a package (x.cgrec).
            level: its number; 0 is the sample that the run began with.
        """
        found = level_inside(self.place, "verdict", run, level)
        by = judged(found)
        return Verdict(
            level=found.name,
            verdict=by.word,
            reasons=causes(found.report.get("verdict")),
            numbers=of_report(found.report, by),
            notes=_yet(found) + remarks_in(found.folder / layout.REMARKS),
        )

    def ledger(self, run: str, level: int) -> Ledger:
        """How far a level is from its parent and from level 0: distributions, bonds, angles,
        dihedrals, free energies of basins, g(r), each with error and floor.

        Args:
            run: folder of a run, or a package.
            level: its number, 1 or above.
        """
        found = level_inside(self.place, "ledger", run, level)
        by, report = judged(found), with_nan(found.report)
        rows = [row_of(LedgerRow.from_json(row), by) for row in report.get("ledger") or []]
        for one in report.get("liquid") or []:
            names = {"level": one.pop("level"), "against": one.pop("against")}
            rows.append(row_of_liquid(**names, found=LiquidDifference(**one), judged=by))
        return Ledger(rows=rows, notes=_yet(found))

    def properties(self, run: str, level: int) -> Properties:
        """Numbers of a level that models of larger scales need, in SI units: diffusion coefficients,
        conductivity, transference numbers, thermodynamic factor, permittivity; and why others are not
        known. A coarse level moves too fast: without friction (tool friction) it has no diffusion.

        Args:
            run: folder of a run, or a package.
            level: its number.
        """
        found = level_inside(self.place, "properties", run, level)
        sheet, by = properties_of(found), judged(found)
        return Properties(
            numbers={
                f"{one.name} {one.of}".strip(): quantity(
                    one.value,
                    one.standard_error,
                    one.unit,
                    Judged(by.word, "; ".join([by.by, *filter(None, [one.method, one.remark])])),
                    one.method,
                )
                for one in sheet.found
            },
            unknown=sheet.unknown,
        )

    def export(
        self,
        run: str,
        level: int,
        program: str,
        to: str,
        options: Json | None = None,
        anyway: bool = False,
    ) -> Exported:
        """Write a level for another program. One whose verdict is "do not use" is refused.

        Args:
            run: folder of a run, or a package.
            level: its number.
            program: lammps, openmm, xtc, trr, dcd, h5md, pdb, gro, psf, extxyz, npz, or one that an
                installed package brings.
            to: new file or folder.
            options: of that exporter.
            anyway: write also what is not to be used.
        """
        found = level_inside(self.place, "export", run, level)
        exporter(program)
        self.place.check("options", options or {})
        path = self.place.path("to", to)
        by, reasons = judged(found), causes(found.report.get("verdict"))
        if by.word == DO_NOT_USE and not anyway:
            raise ValueError(
                f"export: expected a level to be used, found {found.name} with the verdict "
                f"{DO_NOT_USE!r}: {reasons[0].found}. {reasons[0].do}; or give anyway=true"
            )
        called("export")(program, run=run, level=level, to=str(path), **(options or {}))
        return Exported(made=to, verdict=by.word, reasons=reasons, notes=_yet(found))


def _yet(level: Level) -> list[str]:
    """A note that a level is not finished yet, how far its climb is, and what to do."""
    said = way_to(level.folder)
    return [said] if said else []
