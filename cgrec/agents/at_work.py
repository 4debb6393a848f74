"""Tools that put finished levels to work, in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..commands._calls import as_words
from ..dynamics.langevin import Langevin, check_start
from ..files import Json
from ..level.at_work import start_of
from .answers import Quantity, Work
from .jobs import Jobs
from .judged import judged, level_inside, of_audit, of_descent, of_run
from .place import Place

#: Options of cgrec run that say nothing of temperature, density and place.
_MORE = ("timestep", "save_every", "equilibration", "friction", "pressure", "seed")


@dataclass(frozen=True)
class AtWork:
    """Tools that put finished levels to work.

    Attributes:
        place: what they may read and write.
        jobs: what works in the background.
    """

    place: Place
    jobs: Jobs

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
        more: Json | None = None,
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
            more: timestep, save_every and equilibration (ps), friction (1/ps), pressure (bar), seed.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = level_inside(self.place, "run", run, level)
        unknown = sorted(set(more or {}) - set(_MORE))
        if unknown:
            raise ValueError(
                f"run.more: expected {', '.join(_MORE)}, found {unknown[0]}; leave it out"
            )
        if start:
            self.place.path("start", start)
        # before the work: what physics forbids is no matter of a background job
        allowed = Langevin(other_temperature=other_temperature, other_density=other_density)
        potential = found.potential_at(temperature)
        frames = start_of(found, potential, start, temperature, box or ())
        check_start(allowed, potential, frames)
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
        found = level_inside(self.place, "friction", run, level, made=True)
        words = {
            "run": run,
            "level": level,
            "interval": interval,
            "length": length,
            "rounds": rounds,
        }
        way = f"properties(run={run!r}, level={level})"
        return self._begin("friction", words, found.folder, dict, way, wait)

    def descend(
        self,
        run: str,
        begin: int,
        to: int = 0,
        frames: int = 2000,
        method: str = "flow",
        wait: float = 20.0,
    ) -> Work:
        """Bring the atoms back from a level's own frames, in the background: atoms.pdb and
        atoms.xtc, and how much the weights are worth.

        Args:
            run: folder of a run.
            begin: level whose frames are brought down.
            to: level to arrive at.
            frames: of the level to start from.
            method: of a backmapper that has to be fitted first: flow, library or template.
            wait: s to wait for its end before this answers, 50 at most.
        """
        found = level_inside(self.place, "descend", run, begin, made=True)
        folder = found.folder.parent / f"descent_{begin}_{to}"
        words = {"run": run, "from": begin, "to": to, "frames": frames, "method": method}
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
        found = level_inside(self.place, "audit", run, level, made=True)
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
        given, folder = [command, *as_words((), words)], self.place.root / folder
        return self.jobs.begin(given, folder, wait, numbers, way).answer()
