"""`Chain`: the ordered Levels. Climbs, resumes, keeps the error ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingType
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from ..backmapping import DescentStep, step_down
from ..backmapping.base import Options
from ..devices import resolved, use_device
from ..files import Json, with_nan
from ..frames import Frames, identity
from ..level import Level, LevelRecipe, potential_of, seed_of
from ..observables import LedgerRow, liquid_table, table
from ..options import keywords_of
from ..ranges import expect
from ..roles import Source
from ..run import layout
from ..run.digests import (
    RECORD,
    check_all,
    keep,
    keep_json,
    keep_remarks,
    lost_record,
    made,
    open_record,
    verify,
)
from ..run.events import at_level, emit, kept_events, note, step, waiting
from ..run.lock import only_here
from ..run.recipes import OtherRecipe
from ..run.stages import claim
from ..system import System
from ..threads import use_threads
from ..variables import named_variables
from ..verdict import DO_NOT_USE, NotToBeUsed, Verdict, judge
from .about import earlier_seconds, write_run
from .foresight import (
    check_basins,
    check_indices,
    check_temperatures,
    check_variables,
    foresee,
    remark_basins,
)
from .level_ledger import LevelLedger
from .seen import Seen

#: What says that level 0 was begun.
OF_ATOMS = ("level0/frames", "level0/learning", "level0/sampling")


class Chain(Seen):
    """A run: level 0 from a source, and the levels above it.

    Args:
        folder: of the run.
        source: makes level 0; None to look at a finished run.
        levels: {name: recipe} from fine to coarse.
        variables: {name: site labels, or a variable} every level that can express it is compared
            in.
        seed: of everything.
        control: train a direct model for every level above the first, straight from level 0.
        bins: per variable in the ledger.
        device: cpu, cuda or cuda:N, of every step that has none of its own; auto: a GPU where torch
            sees one.
        threads: of a CPU; 0: every training and every run measures how many its kernels gain by
            (`cgrec.threads`), and takes them.
        basins: {name: {variable: (low, high)}} of the ledger, degrees for angles and dihedrals, nm
            for distances.
        go_on: climb on from a level whose verdict is "do not use".
        recipe: the plain configuration the chain was made from; kept with the run, and another one
            is refused.
    """

    def __init__(
        self,
        folder: str | Path,
        source: Source | None = None,
        levels: MappingType[str, LevelRecipe] | None = None,
        *,
        variables: MappingType[str, Sequence[str]] | None = None,
        seed: int = 0,
        control: bool = True,
        bins: int = 64,
        device: str = "auto",
        threads: int = 0,
        basins: MappingType[str, MappingType[str, Sequence[float]]] | None = None,
        go_on: bool = False,
        recipe: Json | None = None,
    ) -> None:
        expect("Chain", at_least=0, seed=seed, threads=threads)
        expect("Chain", at_least=2, bins=bins)
        self.folder = Path(folder)
        self.source = source
        self.recipes = dict(levels or {})
        self.variables = named_variables(variables)
        self.seed = seed
        resolved(device)  # refuses one that is not there
        self.device = device
        self.threads = threads
        self.recipe = recipe
        self.basins = dict(basins or {})
        own = [v for recipe in self.recipes.values() for v in recipe.variables or ()]
        check_basins(self.basins, (*self.variables, *own))
        self.go_on = go_on
        self.ledger = LevelLedger(self.variables, bins, control, self.basins, seed)
        self.chosen_threads: Json = {}
        self.begin = 0.0

    @property
    def levels(self) -> list[Level]:
        """Levels on disk, level 0 first, every product of them compared with its digest.

        Raises:
            Changed: a product was changed or damaged, or is gone and others were made from it.
        """
        _check_records(self)
        verify(self.folder)
        return [
            Level(p, Level(p).report.get("name", p.name)) for p in layout.level_folders(self.folder)
        ]

    def climb(
        self, finished: Callable[[Chain], None] | None = None, up_to: int | None = None
    ) -> Chain:
        """Make every level that is not there yet, the ledger, and the run's summary.

        Args:
            finished: called with the chain whenever a level was made and another one follows, as
                to write the report of what is there.

        Raises:
            OtherRecipe: the folder was made with another recipe; it names the key and both values.
            Changed: a product was changed, damaged or removed; it names the file and the way out.
            Busy: another process works in the folder.
        """
        if self.source is None:
            raise ValueError(
                f"{self.folder}: a chain that was loaded can be looked at, not climbed; run "
                "the command of its run.json again"
            )
        with waiting(self.folder):
            if self.recipes:
                check_indices(self.variables)
            foreseen(self)
            whole = up_to is None or up_to >= len(self.recipes)
            with only_here(self.folder), kept_events(self.folder, list(self.recipes), whole):
                _check_records(self)
                _check_recipe(self)
                with use_device(self.device), use_threads(self.threads) as self.chosen_threads:
                    self._climb(self.source, finished, up_to)
        return self

    def _climb(
        self, source: Source, finished: Callable[[Chain], None] | None, up_to: int | None
    ) -> None:
        self.begin = time.time() - earlier_seconds(self.folder)
        self._write_run()
        base = Level(layout.level_folder(self.folder, 0), "level 0")
        rows: list[LedgerRow] = []
        new = not _is_made(base)
        with at_level(0, base.name):
            stop = _make_level0(self, base, source)
        parent, path = base, None
        for k, (name, recipe) in enumerate(list(self.recipes.items())[:up_to], 1):
            if stop:
                break
            if new and finished is not None:
                finished(self)
            level = Level(layout.level_folder(self.folder, k), name)
            new = not _is_made(level)
            with at_level(k, name):
                _make(self, level, parent, recipe, k)
                path = level.mapping if path is None else level.mapping @ path
                with only_here(level.folder):
                    rows += self.ledger.rows_of(level, parent, base, path, recipe, k)
                stop = _verdict(self, level, parent)
            parent = level
            self._write_run()
        self._write_run()
        _print_tables(self, rows)
        if stop:
            raise NotToBeUsed(stop)

    def _write_run(self) -> None:
        write_run(self.folder, time.time() - self.begin, self.seed, self.chosen_threads)

    def _above(self, k: int) -> list[Path]:
        """Folders of the levels above level `k`."""
        return [p for p in layout.level_folders(self.folder) if layout.level_number(p) > k]

    def level_of(self, frames: Frames) -> int:
        """Number of the level whose sites `frames` have; ValueError where there is none."""
        return _level_of(self, frames)

    def steps_down(
        self,
        frames: Frames,
        to: int = 0,
        *,
        n_draws: int = 1,
        generator: torch.Generator | None = None,
        resample_below: float = 0.5,
        rounds: int = 5,
        fit: Options | None = None,
    ) -> Iterator[tuple[Frames, DescentStep]]:
        """Go down level by level; what a level lacks of a backmapper is fitted first and kept
        there.

        Args:
            frames: of exp(-beta W) of one of the levels, weights honoured.
            to: number of the level to reach.
            n_draws, generator, resample_below, rounds: of `cgrec.backmapping.step_down`; draws are
                made at the first step only.
            fit: method and options of `Level.fit_backmapper`.

        Yields:
            Frames of each level on the way, and what the step came to.

        Raises:
            ValueError: frames of no level, or of one that does not lie above `to`.
        """
        return _steps_down(self, frames, to, n_draws, generator, resample_below, rounds, fit)

    @keywords_of(steps_down)
    def descend(self, frames: Frames, to: int = 0, **options: Any) -> Frames:
        """Frames of level `to` from those of a coarser one, weighted where both levels' energies
        are known. Options of `steps_down`.
        """
        return list(self.steps_down(frames, to, **options))[-1][0]


def _is_made(level: Level) -> bool:
    return (level.folder / layout.REPORT).exists()


def _check_records(chain: Chain) -> None:
    """Changed where a record of digests was removed: nothing below it could be compared."""
    lost = lost_record([chain.folder, *layout.level_folders(chain.folder)])
    if lost is not None:
        raise lost


def foreseen(chain: Chain) -> list[System | None] | None:
    """Systems of level 0 and of the levels, as far as they are known before any work; None where
    that of level 0 is not.

    Raises:
        SiteError, ValueError: of every wrong label in them.
    """
    before = None if chain.source is None else chain.source.system()
    return None if before is None else _foresee(chain, before)


def _foresee(chain: Chain, first: System) -> list[System | None]:
    """Make the Systems of all levels that can be known from that of level 0, and find every wrong
    label in them.
    """
    made = [
        layout.level_folder(chain.folder, k) / layout.TARGETS / "system.json"
        for k in range(1, len(chain.recipes) + 1)
    ]
    known = [System.load(path) if path.exists() else None for path in made]
    systems = foresee(first, chain.recipes, known)
    check_temperatures(chain.source, chain.recipes)
    check_variables(chain.variables, chain.recipes, systems)
    return systems


def _verdict(chain: Chain, level: Level, below: Level | None) -> str:
    """Say the verdict on a level; the sentence that ends the climb, or "" where it goes on."""
    report = level.report
    if "verdict" not in report:  # made by a version that gave none
        found = judge(report, None if below is None else below.report)
        report = {**report, "verdict": found.to_json()}
        keep_json(level.folder / layout.REPORT, report)
    verdict = Verdict.from_json(report["verdict"])
    print(f"{level.name}: {verdict.line()}", flush=True)
    emit("verdict", value=verdict.word, text=verdict.line())
    note(f"{level.name}: {verdict.line()}")
    if verdict.word != DO_NOT_USE or chain.go_on:
        return ""
    return (
        f"{level.folder}: the verdict on {level.name} is {DO_NOT_USE!r}: {verdict.reasons[0]} "
        "All that was made is kept, and so is this verdict; go_on=true climbs on all the same"
    )


def _make_level0(chain: Chain, base: Level, source: Source) -> str:
    """Level 0 from its source; the sentence of its verdict that ends the climb, or ""."""
    with keep_remarks(base.folder):
        with step("source") if not made(base.folder / layout.FRAMES) else nullcontext():
            frames = source.make(base.folder, seed_of(chain.seed, 0))
        remark_basins(chain.basins, chain.variables, chain.recipes)
    _foresee(chain, frames.system)
    with step("ledger"):
        chain.ledger.keep_level0(base, frames)
    return _verdict(chain, base, None)


def _make(chain: Chain, level: Level, parent: Level, recipe: LevelRecipe, k: int) -> None:
    """Level `k` from the one below it."""
    level.folder.mkdir(parents=True, exist_ok=True)
    with keep_remarks(level.folder):
        level.make(
            parent.frames,
            recipe,
            seed_of(chain.seed, k),
            parent.bias_variables(),
            parent.measured,
            identity=identity(parent.folder / layout.FRAMES),
            above=chain._above(k),
            model=partial(potential_of, parent),
        )


def _print_tables(chain: Chain, rows: Sequence[LedgerRow]) -> None:
    """The error ledger, and what is counted of liquids."""
    tables = [table(rows)] if rows else []
    liquid = [row for level in chain.levels for row in level.report.get("liquid") or []]
    if liquid:
        tables.append(liquid_table(with_nan(liquid)))
    for found in tables:
        print(found)
        note(found)


def _level_of(chain: Chain, frames: Frames) -> int:
    levels = chain.levels
    for k, level in enumerate(levels):
        if level.system.agrees_with(frames.system):
            return k
    raise ValueError(
        f"{chain.folder}: expected frames of one of its levels, with "
        f"{[level.system.n_sites for level in levels]} sites, found "
        f"{frames.n_sites} sites ({', '.join(frames.system.labels[:4])}, ...)"
    )


def _steps_down(
    chain: Chain,
    frames: Frames,
    to: int,
    n_draws: int,
    generator: torch.Generator | None,
    resample_below: float,
    rounds: int,
    fit: Options | None,
) -> Iterator[tuple[Frames, DescentStep]]:
    levels, generator = chain.levels, generator or torch.Generator().manual_seed(chain.seed)
    begin = chain.level_of(frames)
    if not 0 <= to < begin:
        raise ValueError(f"descend: expected a level below {begin} to go to, found {to}")
    for k in range(begin, to, -1):
        coarse, fine = levels[k], levels[k - 1]
        with use_device(chain.device):
            if not (coarse.folder / layout.BACKMAPPER).exists():
                coarse.fit_backmapper(fine, **(fit or {}))
            frames, step = step_down(
                frames,
                coarse.backmapper,
                potential_of(fine),
                potential_of(coarse),
                name=fine.name,
                n_draws=n_draws if k == begin else 1,
                generator=generator,
                resample_below=resample_below,
                rounds=rounds,
            )
        yield frames, step


def _check_recipe(chain: Chain) -> None:
    """Refuse what differs from what is there, at every level and before any work; then keep the
    configuration.
    """
    _refuse_older(chain.folder)
    open_record(chain.folder)
    check_all(chain.folder)
    check_folder(chain)
    claim(chain.folder, {"run": {"seed": chain.seed}}, {"run": OF_ATOMS})
    if chain.recipe is not None:
        text = yaml.safe_dump(chain.recipe, sort_keys=False)
        path = chain.folder / layout.CONFIG
        if not made(path) or path.read_text() != text:
            keep(path, lambda partial: partial.write_text(text))


def check_folder(chain: Chain) -> None:
    """Compare the folder of a run with the recipe of its climb, and change nothing.

    Raises:
        OtherRecipe: what is there was made with another recipe, or by an older version.
    """
    _refuse_older(chain.folder)
    level0 = layout.level_folder(chain.folder, 0)
    claim(chain.folder, {"run": {"seed": chain.seed}}, {"run": OF_ATOMS}, dry=True)
    below = (
        identity(level0 / layout.FRAMES)
        if (level0 / layout.FRAMES / "frames.json").exists()
        else None
    )
    chain.source.claim(level0, seed_of(chain.seed, 0), chain._above(0), dry=True)  # type: ignore[union-attr]
    for k, (name, recipe) in enumerate(chain.recipes.items(), 1):
        level = Level(layout.level_folder(chain.folder, k), name)
        level.claim(recipe, seed_of(chain.seed, k), below, chain._above(k), dry=True)
        frames = level.folder / layout.FRAMES
        below = identity(frames) if (frames / "frames.json").exists() else None
    extra = chain._above(len(chain.recipes))
    if extra:
        raise OtherRecipe(
            f"{chain.folder} has {', '.join(p.name for p in extra)} and this command makes "
            f"{len(chain.recipes)} levels above the atoms: give "
            "another run=<folder>, the command that made it, or remove "
            f"{', '.join(map(str, extra))}"
        )


def _refuse_older(folder: Path) -> None:
    """OtherRecipe of a run by a version that kept no digests."""
    frames = layout.level_folder(folder, 0) / layout.FRAMES
    if frames.exists() and not (folder / RECORD).exists():
        raise OtherRecipe(
            f"{folder} was made by an older version of cgrec, which kept no digests: "
            "it can be looked at, not climbed; give another run=<folder>"
        )


def load(folder: str | Path) -> Chain | Level:
    """A finished run or one of its levels. Every product is compared with the digest of it before
    it is handed on.

    Raises:
        FileNotFoundError: neither.
        Changed: a product was changed, damaged or removed; it names the file and the way out.
    """
    folder = Path(folder)
    if layout.level_folder(folder, 0).exists():
        return Chain(folder)
    if (folder / layout.FRAMES).exists() or (folder / layout.TARGETS).exists():
        verify(folder)
        return Level(folder, folder.name)
    raise FileNotFoundError(
        f"{folder} is neither a run (no level0 in it) nor a level (no frames in it)"
    )
