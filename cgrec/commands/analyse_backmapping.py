"""how good the atoms of a level's backmapper are, and an audit of its PMF"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray

from ..backmapping import (
    BACKMAPPERS,
    Backmapper,
    audit,
    energies_in_kT,
    metropolis,
    null_space_langevin,
)
from ..backmapping.judge import (
    BackmappingReport,
    compare_backmapping,
    worst_frames,
)
from ..chain.chain import Chain
from ..frames import Frames
from ..io import write
from ..level import Level, backmapping_frames, potential_of, seed_of
from ..options import Help, check_fields
from ..potential import Potential
from ..progress import Progress
from ..report import write_report
from ..run import layout
from ..run.digests import keep, keep_json, open_record
from ..run.lock import only_here
from ..statistics.resampling import resampled
from ._runs import LevelNumber, RunFolder, level_of


@dataclass(frozen=True, kw_only=True)
class AnalyseBackmapping:
    """Judge the atoms that a level's backmapper restores, and audit the level's PMF.

    Every metric of `compare_backmapping` for the level's backmapper and those without training,
    twice: from sites of true frames that no backmapper has seen, where the answer is known, and
    from the level's own simulation, whose sites are not quite those of any atoms. The report of the
    run is written anew.

    Example:
        cgrec analyse-backmapping run=runs/alanine_dipeptide level=1
    """

    run: RunFolder
    level: LevelNumber
    frames: Annotated[int, Help(says="coarse frames to restore from, of each kind", at_least=1)] = (
        500
    )
    draws: Annotated[int, Help(says="restored from each of them", at_least=1)] = 10
    steps: Annotated[
        int,
        Help(
            says="steps of a corrector: Metropolis moves where the density is known, else of null-space "
            "Langevin dynamics; 0: none",
            at_least=0,
        ),
    ] = 50
    audited: Annotated[int, Help(says="frames for the audit of the PMF", at_least=1)] = 200
    audit_draws: Annotated[int, Help(says="restored from each of those", at_least=1)] = 100
    worst: Annotated[int, Help(says="frames of each set to write out as PDB", at_least=0)] = 3
    seed: Annotated[int, Help(says="of all draws", at_least=0)] = 0

    def __post_init__(self) -> None:
        check_fields("cgrec analyse-backmapping", self)

    def __call__(self) -> str:
        """The tables, and where the report is."""
        level = level_of("cgrec analyse-backmapping", self.run, self.level)
        if self.level == 0:
            raise ValueError(
                "cgrec analyse-backmapping: expected level= 1 or above, found 0, below which "
                "nothing lies"
            )
        chain = Chain(level.folder.parent)
        found = self.reports(level, chain.levels[self.level - 1])
        tables = [f"{name}: {report.table()}\n" for name, report in found.items()]
        return "\n".join([*tables, f"report: {write_report(chain.folder)}"])

    def reports(self, level: Level, below: Level) -> dict[str, BackmappingReport]:
        """Fit what is missing, compare, and leave backmapping.json, audit.json and
        backmapping/*.pdb in the level's folder.

        Args:
            level: whose sites are restored.
            below: the level they are restored to.

        Raises:
            Busy: another process works in the level's folder.
        """
        with only_here(level.folder):
            return self._analyse(level, below)

    def _analyse(self, level: Level, below: Level) -> dict[str, BackmappingReport]:
        potentials = potential_of(below), potential_of(level)
        training, held = backmapping_frames(level, below)
        if not (level.folder / layout.BACKMAPPER).exists():
            level.fit_backmapper(below)
        true, own = self._sample(held, self.frames), self._sample(level.frames, self.frames)
        origins = {"mapped true frames": (level.mapping(true), true), "own simulation": (own, None)}
        truth = _Truth(self._sample(held, 10 * self.frames), potentials[0])
        found: dict[str, BackmappingReport] = {}
        methods = list(_methods(level, training))
        with Progress("analyse backmapping", len(methods), "method") as bar:
            for name, backmapper in methods:
                for origin, (coarse, paired) in origins.items():
                    for what, model, log_weights in self._restored(backmapper, coarse, *potentials):
                        key = f"{what.format(name)}, {origin}"
                        drawn = _Drawn(backmapper, coarse, model, self.draws, log_weights)
                        found[key] = truth.compare(drawn, paired)
                        _keep_worst(level.folder / "backmapping", key, model, self.worst)
                        bar.word(key)
                bar.advance()
        reports = {name: report.to_json() for name, report in found.items()}
        keep_json(level.folder / layout.BACKMAPPING, reports)
        self._audit(level, *potentials, own)
        return found

    def _sample(self, frames: Frames, n: int) -> Frames:
        """An unweighted sample of `frames`, in their order."""
        some = frames[resampled(frames, min(n, len(frames)), np.random.default_rng(self.seed))]
        return replace(some, weights=None, energies=None, forces=None)

    def _restored(
        self,
        backmapper: Backmapper,
        coarse: Frames,
        potential: Potential | None,
        coarse_potential: Potential | None,
    ) -> Iterator[tuple[str, Frames, NDArray[np.float64] | None]]:
        """(name, frames, log weights) of draws as they are, and corrected."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, 1))
        model, density = backmapper.draw(coarse, self.draws, generator)
        if density is None or potential is None:
            yield "{}", model, None
        else:
            known = (
                0.0
                if coarse_potential is None
                else np.repeat(energies_in_kT(coarse_potential, coarse), self.draws)
            )
            yield "{}", model, known - energies_in_kT(potential, model) - density
        if not self.steps or potential is None:
            return
        if density is not None:
            corrected, _ = metropolis(
                coarse[np.repeat(np.arange(len(coarse)), self.draws)],
                backmapper,
                potential,
                rounds=self.steps,
                generator=generator,
                start=model,
            )
        else:
            corrected = null_space_langevin(
                model,
                backmapper.mapping,
                potential,
                steps=self.steps,
                friction=50.0,
                generator=generator,
            )
        yield "{} corrected", corrected, None

    def _audit(
        self,
        level: Level,
        potential: Potential | None,
        coarse_potential: Potential | None,
        own: Frames,
    ) -> None:
        if potential is None or coarse_potential is None or not level.backmapper.has_density:
            return
        some = own[np.linspace(0, len(own) - 1, min(self.audited, len(own))).astype(int)]
        generator = torch.Generator().manual_seed(seed_of(self.seed, 2))
        found = audit(
            some,
            level.backmapper,
            potential,
            coarse_potential,
            n_draws=self.audit_draws,
            generator=generator,
        )
        keep_json(level.folder / layout.AUDIT, found.to_json())


@dataclass(frozen=True)
class _Drawn:
    """`draws` restored frames of each coarse one, with log weights where the density is known."""

    backmapper: Backmapper
    coarse: Frames
    model: Frames
    draws: int
    log_weights: NDArray[np.float64] | None


@dataclass(frozen=True)
class _Truth:
    """True frames of the level below, and its potential where it has one."""

    frames: Frames
    potential: Potential | None

    @cached_property
    def energies(self) -> NDArray[np.float64] | None:
        """(n_frames,) kT."""
        return None if self.potential is None else energies_in_kT(self.potential, self.frames)

    def compare(self, drawn: _Drawn, paired: Frames | None) -> BackmappingReport:
        """Restored frames beside these; `paired` are those that the coarse frames were made of."""
        mapping, model = drawn.backmapper.mapping, drawn.model
        weights = mapping.sparse_position_weights
        fixed = np.isin(np.arange(mapping.fine.n_sites), weights.indices[weights.data == 1])
        sites = np.repeat(drawn.coarse.positions, drawn.draws, 0)
        energies = self.energies
        return compare_backmapping(
            replace(model, weights=None),
            self.frames,
            n_draws=drawn.draws,
            paired=paired,
            coarse=(mapping(model).positions, sites) if drawn.coarse.box is None else None,
            energies=None
            if energies is None or self.potential is None
            else (energies_in_kT(self.potential, model), energies),
            log_weights=drawn.log_weights,
            restored=np.flatnonzero(~fixed).tolist(),
        )


def _methods(level: Level, fine: Frames) -> Iterator[tuple[str, Backmapper]]:
    """The level's own, and those without training, fitted to all but what is held out."""
    own = level.backmapper
    yield next(name for name, kind in BACKMAPPERS.items() if type(own) is kind), own
    for name in ("library", "template"):
        if type(own) is not BACKMAPPERS[name]:
            yield name, BACKMAPPERS[name].fit(fine, level.mapping)


def _keep_worst(folder: Path, name: str, model: Frames, most: int) -> None:
    """PDB files of the frames to look at, each with its reason in the index."""
    chosen = worst_frames(model, most)
    place = folder / name.replace(", ", "_").replace(" ", "_")
    open_record(folder)
    open_record(place)
    for k, frame in enumerate(chosen):
        partial = place / f"partial_worst{k}.pdb"  # the ending says the format
        partial.unlink(missing_ok=True)
        write(model[frame.index], partial)
        keep(place / f"worst{k}.pdb", partial.replace)
    keep_json(
        place / "reasons.json",
        {f"worst{k}.pdb": frame.reason for k, frame in enumerate(chosen)},
    )
