"""Tools for finished levels: believe, run, go down, hand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..commands._calls import as_words, called
from ..commands._runs import level_of
from ..dynamics.langevin import Langevin, check_state
from ..export import exporter
from ..files import with_nan
from ..handover import properties_of
from ..level import Level
from ..level.at_work import start_of
from ..observables import LedgerRow, LiquidDifference
from ..remarks import remarks_in
from ..run import layout
from ..verdict import DO_NOT_USE
from .answers import Exported, Judged, Ledger, Properties, Quantity, Verdict, Work, quantity
from .jobs import Jobs
from .judged import causes, judged, of_audit, of_descent, of_report, of_run, row_of, row_of_liquid
from .place import Place


@dataclass(frozen=True)
class OnLevels:
    """Tools for finished levels.

    Attributes:
        place: what they may read and write.
        jobs: what works in the background.
    """

    place: Place
    jobs: Jobs

    def verdict(self, run: str, level: int) -> Verdict:
        """Whether to believe a level: trust, look or do not use, why, and what to do about it.

        Args:
            run: folder of a run, or a package (x.cgrec).
            level: its number; 0 is the sample that the run began with.
        """
        found = self._level("verdict", run, level)
        by = judged(found)
        return Verdict(
            level=found.name,
            verdict=by.word,
            reasons=causes(found.report.get("verdict")),
            numbers=of_report(found.report, by),
            notes=remarks_in(found.folder / layout.REMARKS),
        )

    def ledger(self, run: str, level: int) -> Ledger:
        """How far a level is from its parent and from level 0: distributions, bonds, angles,
        dihedrals, free energies of basins, g(r), each with error and floor.

        Args:
            run: folder of a run, or a package.
            level: its number, 1 or above.
        """
        found = self._level("ledger", run, level)
        by, report = judged(found), with_nan(found.report)
        rows = [row_of(LedgerRow.from_json(row), by) for row in report.get("ledger") or []]
        for one in report.get("liquid") or []:
            names = {"level": one.pop("level"), "against": one.pop("against")}
            rows.append(row_of_liquid(**names, found=LiquidDifference(**one), judged=by))
        return Ledger(rows=rows)

    def run(
        self,
        run: str,
        level: int,
        to: str,
        length: float | None = None,
        n_replicas: int | None = None,
        box: list[float] | None = None,
        start: str = "",
        temperature: float | None = None,
        other_temperature: bool = False,
        other_density: bool = False,
        more: dict[str, Any] | None = None,
        wait: float = 20.0,
    ) -> Work:
        """Run the potential of a finished level again, in the background: longer, in a larger box,
        from other starts. A potential of mean force holds at one temperature and one density:
        others are refused.

        Args:
            run: folder of a run, or a package.
            level: its number.
            to: new folder for the frames; with the same call a stopped run goes on.
            length: ps a replica; by default as in the level's own run.
            n_replicas: run side by side.
            box: nm, one edge or three, at the same density.
            start: frames to start from, of this level or the one below.
            temperature: K.
            other_temperature: run at a temperature the level was not made at; free energies are
                then wrong.
            other_density: the same of a density.
            more: other options of cgrec run: timestep, save_every, equilibration, friction,
                pressure, seed.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = self._level("run", run, level)
        if start:
            self.place.path("start", start)
        # before the work: what physics forbids is no matter of a background job
        allowed = Langevin(other_temperature=other_temperature, other_density=other_density)
        potential = found.potential
        frames = start_of(found, potential, start, temperature, box or ())
        check_state(allowed, potential, frames)
        options = {
            "length": length,
            "n_replicas": n_replicas,
            "box": ",".join(map(str, box)) if box else None,
            "start": start or None,
            "temperature": temperature,
            "other_density": other_density or None,
            **(more or {}),
        }
        given = {key: value for key, value in options.items() if value is not None}
        folder = self.place.path("to", to)
        words = {"run": run, "level": level, "to": to, **given}
        by = judged(found)
        return self._begin(
            "run", words, folder, lambda: of_run(folder, by), f"measure(sample={to!r}, ...)", wait
        )

    def friction(
        self,
        run: str,
        level: int,
        interval: float,
        length: float = 100.0,
        rounds: int = 4,
        wait: float = 20.0,
    ) -> Work:
        """Fit the friction with which a level of a liquid diffuses as its parent does, in the
        background; diffusion is not known of a level before.

        Args:
            run: folder of a run.
            level: its number, 1 or above.
            interval: ps between the parent's frames, which are unwrapped and unbiased.
            length: ps, of each run.
            rounds: runs at most.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = self._level("friction", run, level)
        words = {
            "run": run,
            "level": level,
            "interval": interval,
            "length": length,
            "rounds": rounds,
        }
        way = f"diffusion(run={run!r}, level={level})"
        return self._begin("friction", words, found.folder, dict, way, wait)

    def diffusion(self, run: str, level: int) -> Properties:
        """Diffusion coefficients of a level, and why others are not known. A coarse level moves too
        fast: without friction (tool friction) it has none.

        Args:
            run: folder of a run, or a package.
            level: its number.
        """
        found = self._level("diffusion", run, level)
        known, unknown = properties_of(found)
        by = judged(found)
        return Properties(
            numbers={
                one.name: quantity(one.value, one.standard_error, one.unit, _graver(by, one.remark))
                for one in known
            },
            unknown=unknown,
        )

    def descend(
        self, run: str, begin: int, to: int = 0, frames: int = 2000, wait: float = 20.0
    ) -> Work:
        """Bring the atoms back from a level's own frames, in the background: atoms.pdb and
        atoms.xtc, and how much the weights are worth.

        Args:
            run: folder of a run.
            begin: level whose frames are brought down.
            to: level to arrive at.
            frames: of the level to start from.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = self._level("descend", run, begin)
        folder = found.folder.parent / f"descent_{begin}_{to}"
        words = {"run": run, "from": begin, "to": to, "frames": frames}
        by = judged(found)
        way = f"look at {run}/descent_{begin}_{to}/atoms.pdb and atoms.xtc"
        return self._begin("descend", words, folder, lambda: of_descent(folder, by), way, wait)

    def audit(
        self,
        run: str,
        level: int,
        frames: int = 500,
        draws: int = 10,
        steps: int = 50,
        wait: float = 20.0,
    ) -> Work:
        """Judge the atoms that a level's backmapper restores, and the level's potential by them, in
        the background.

        Args:
            run: folder of a run.
            level: its number, 1 or above.
            frames: coarse frames to restore from.
            draws: restored from each.
            steps: of a corrector; 0: none.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = self._level("audit", run, level)
        words = {"run": run, "level": level, "frames": frames, "draws": draws, "steps": steps}
        by = judged(found)
        way = f"read {run}/report.html"
        return self._begin(
            "analyse-backmapping",
            words,
            found.folder,
            lambda: of_audit(found.folder, by),
            way,
            wait,
        )

    def export(
        self,
        run: str,
        level: int,
        program: str,
        to: str,
        options: dict[str, Any] | None = None,
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
        found = self._level("export", run, level)
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
        return Exported(made=to, verdict=by.word, reasons=reasons)

    def _level(self, tool: str, run: str, level: int) -> Level:
        self.place.path("run", run)
        return level_of(tool, run, level, packed=True)

    def _begin(
        self,
        command: str,
        words: dict[str, object],
        folder: Path,
        numbers: Callable[[], dict[str, Quantity]],
        way: str,
        wait: float,
    ) -> Work:
        self.place.check(command, words)
        job = self.jobs.begin([command, *as_words((), words)], folder, numbers, way)
        self.jobs.wait(job, wait)
        return job.answer()


def _graver(by: Judged, remark: str) -> Judged:
    return by if not remark else Judged(by.word, f"{by.by}; {remark}")
