"""What a level is compared with: the rows of the error ledger, the control, the verdict."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from ..files import Json, read_json, with_nan
from ..frames import Frames, identity
from ..level import Level, LevelRecipe, potential_of, seed_of
from ..mapping import Mapping
from ..observables import (
    LedgerRow,
    Liquid,
    basin_definitions,
    compare_conformations,
    compare_liquids,
    effective_sample_size,
    flips_by_centre,
    ledger_row,
    own_conformation,
    surroundings,
)
from ..remarks import remark
from ..roles import Variable
from ..run import layout
from ..run.digests import keep_json, keep_remarks, made
from ..run.events import at_level, step
from ..run.recipes import described, differences
from ..statistics import drift
from ..variables import (
    CollectiveVariable,
    compared_together,
    default_variables,
    single_numbers,
)
from ..verdict import TRUST, Verdict, judge
from .foresight import expressible
from .states import compare_pairs, of_chain, states_of


@dataclass(frozen=True)
class LevelLedger:
    """Compares the levels of a chain, and keeps what it finds in their report.json.

    Attributes:
        variables: every level that has the sites is compared in these.
        bins: per variable.
        control: train a direct model for every level above the first, straight from level 0.
        basins: {name: {variable: (low, high)}}, as of `Chain`.
        seed: of the run.
    """

    variables: tuple[Variable, ...]
    bins: int
    control: bool
    basins: MappingType[str, MappingType[str, Sequence[float]]]
    seed: int

    def keep_level0(self, base: Level, frames: Frames) -> None:
        """report.json of level 0."""
        with keep_remarks(base.folder):
            variables = self._own(frames, None, base)
        about = {
            **about_sample(frames, variables),
            **of_chain(frames),
            **states_of(frames, variables, self.basins),
            **self._not_expressible(frames, None),
            **_temperature_of_forces(base.folder),
        }
        report = {**base.summary(variables, []), **about}
        keep_json(base.folder / layout.REPORT, {**report, "verdict": judge(report).to_json()})

    def _own(
        self, frames: Frames, recipe: LevelRecipe | None, level: Level, path: Mapping | None = None
    ) -> tuple[Variable, ...]:
        """The variables `level` is compared in; a remark names those of the chain that it cannot
        express.
        """
        if recipe is not None and recipe.variables:
            return recipe.variables
        own, missing = expressible(self.variables, frames.system, path)
        for name, why in missing.items():
            remark(f"{level.name} is not compared in the variable {name}: {why}")
        return own or usual_variables(frames)

    def _not_expressible(
        self, frames: Frames, recipe: LevelRecipe | None, path: Mapping | None = None
    ) -> dict[str, dict[str, str]]:
        """{"not_expressible": {variable: why}} for report.json; empty for a level with variables of
        its own.
        """
        own = recipe is not None and bool(recipe.variables)
        missing = expressible(self.variables, frames.system, path)[1]
        return {"not_expressible": {} if own else missing}

    def rows_of(
        self, level: Level, below: Level, base: Level, path: Mapping, recipe: LevelRecipe, k: int
    ) -> list[LedgerRow]:
        """Rows of one level: against its parent, against level 0, and the direct model as control.

        Args:
            level, below, base: the level, the one it was made from, and level 0.
            path: from level 0 to it.
            recipe, k: of it, and its number.
        """
        if self._unchanged(level, self._compared_by(recipe), k):
            return [LedgerRow.from_json(with_nan(row)) for row in level.report["ledger"]]
        with step("ledger"):
            return self._compared(level, below, base, path, recipe, k)

    def _compared(
        self, level: Level, below: Level, base: Level, path: Mapping, recipe: LevelRecipe, k: int
    ) -> list[LedgerRow]:
        """Find the rows of `rows_of`, and keep them with the verdict."""
        compared = self._compared_by(recipe)
        own = level.frames
        with keep_remarks(level.folder):
            variables = self._own(own, recipe, level, path)
        found = _Rows(variables, self.bins, self.basins)
        targets = level.targets
        found.compare(level.name, "parent", own, targets)
        if (level.folder / layout.FIRST).exists():
            first = Frames.load(level.folder / layout.FIRST)
            found.compare(f"{level.name} (forces alone)", "parent", first, targets)
        control: Verdict | None = None
        if k == 1:
            found.repeat(level.name, "level 0")
        else:
            atoms = path(base.frames)
            found.compare(level.name, "level 0", own, atoms)
            if self.control:
                direct = self._direct(level, base, path, recipe, k)
                control = self.judge_direct(level)
                found.compare(f"{level.name} (direct)", "level 0", direct, atoms)
                found.compare(level.name, "direct model", own, direct)
        report = {
            **level.summary(variables, [row.to_json() for row in found.rows]),
            "liquid": found.liquid,
            "pair_distances": found.pairs,
            **of_chain(own, targets),
            **states_of(own, variables, self.basins, targets),
            **_moves(own, variables),
            **_surroundings(own, targets),
            "chirality_flips": flips_by_centre(own, base.frames[:1], path.kept_sites()),
            "conformation": compare_conformations(own, targets),
            "compared_by": compared,
            **({"control": control.to_json()} if control else {}),
            **self._not_expressible(own, recipe, path),
        }
        verdict = judge(report, below.report)
        keep_json(level.folder / layout.REPORT, {**report, "verdict": verdict.to_json()})
        return found.rows

    def _unchanged(self, level: Level, compared: dict[str, object], k: int) -> bool:
        """Whether the ledger is there already, with its control, and what it follows from is the
        same.
        """
        report = level.report if made(level.folder / layout.REPORT) else {}
        if "ledger" not in report or differences(report.get("compared_by", compared), compared):
            return False
        return k == 1 or not self.control or made(level.folder / layout.DIRECT / layout.FRAMES)

    def _compared_by(self, recipe: LevelRecipe) -> Json:
        """What a ledger follows from besides the frames; where it changes, the ledger is made anew."""
        variables = {v.name: _described(v) for v in recipe.variables or self.variables}
        return {
            "variables": variables,
            "bins": self.bins,
            "control": self.control,
            "basins": self.basins,
        }

    def _direct(
        self, level: Level, base: Level, path: Mapping, recipe: LevelRecipe, k: int
    ) -> Frames:
        """The control: the same recipe, trained straight from level 0 through the composed mapping."""
        straight = replace(recipe, mapping=lambda system: path)
        if recipe.mean_forces and potential_of(base) is None:
            straight = replace(straight, mean_forces=None)
            remark(
                f"{level.name} (direct), the control, is trained on the forces of level 0's frames: "
                f"mean forces, which {level.name} is trained on, need a level 0 that can be run"
            )
        direct = Level(level.folder / layout.DIRECT, f"{level.name} (direct)")
        with at_level(k, direct.name):
            return direct.make(
                base.frames,
                straight,
                seed_of(self.seed, k, 1),
                base.bias_variables(),
                level.measured,
                identity=identity(base.folder / layout.FRAMES),
                model=partial(potential_of, base),
            )

    def judge_direct(self, level: Level) -> Verdict:
        """The verdict on the control, by how it was made; a remark of the level unless it is trust."""
        direct = Level(level.folder / layout.DIRECT, f"{level.name} (direct)")
        about = direct.summary((), [])
        del about["ledger"]  # the level's own: rows of the control say how far apart the two are
        verdict = judge(about, {})
        if verdict.word != TRUST:
            found = "; ".join(reason.found for reason in verdict.reasons)
            with keep_remarks(level.folder):
                remark(
                    f"{direct.name}, the control, is not to be relied on ({verdict.word}): {found}. "
                    "A row of the ledger that compares with it says little; "
                    f"{level.name} itself was not made from it"
                )
        return verdict


@dataclass
class _Rows:
    """Rows of one level as they are found; what is counted of a liquid is counted once."""

    variables: tuple[Variable, ...]
    bins: int
    basins: MappingType[str, MappingType[str, Sequence[float]]]
    rows: list[LedgerRow] = field(default_factory=list)
    liquid: list[Json] = field(default_factory=list)
    pairs: list[Json] = field(default_factory=list)
    counted: list[tuple[Frames, Liquid]] = field(default_factory=list)

    def compare(self, name: str, against: str, model: Frames, reference: Frames) -> None:
        """Add what is found between `model`, called `name`, and `reference`, called `against`."""
        basins = basin_definitions(self.basins, singles(self.variables, model))
        for group in compared_together(self.variables, model.system):
            names = {v.name for v in group}
            known = {n: box for n, box in basins.items() if set(box) <= names}
            self.rows.append(
                ledger_row(name, against, model, reference, group, self.bins, definitions=known)
            )
        row, pairs = compare_pairs(name, against, model, reference)
        self.rows += row
        self.pairs += pairs
        if model.box is not None:
            both = self._count(model), self._count(reference)
            self.liquid += [
                {"level": name, "against": against, **asdict(d)} for d in compare_liquids(*both)
            ]

    def repeat(self, name: str, against: str) -> None:
        """The rows of `name` once more, against what its reference is called, too."""
        same = [row.to_json() for row in self.rows if row.level == name]
        self.rows += [LedgerRow.from_json({**row, "against": against}) for row in same]

    def _count(self, frames: Frames) -> Liquid:
        for known, liquid in self.counted:
            if known is frames:
                return liquid
        self.counted.append((frames, Liquid(frames)))
        return self.counted[-1][1]


def singles(variables: tuple[Variable, ...], frames: Frames) -> list[Variable]:
    """The numbers that the levels are compared in, one variable each."""
    return [one for v in variables for one in single_numbers(v, frames.system)]


def usual_variables(frames: Frames) -> tuple[CollectiveVariable, ...]:
    """Where nobody names any: those of a molecule; a liquid is looked at by its g(r)."""
    liquid = frames.box is not None and bool(frames.system.molecules.any())
    return () if liquid else default_variables(frames.system)


def about_sample(frames: Frames, variables: tuple[Variable, ...]) -> Json:
    """{"n_eff", "drift", "surroundings", "chirality_flips", "conformation"} of a sample alone, as
    `judge` reads them.
    """
    return {
        "n_eff": {
            v.name: effective_sample_size(frames, v.of(frames), v.periodic)
            for v in singles(variables, frames)
        },
        **_moves(frames, variables),
        **_surroundings(frames),
        "chirality_flips": flips_by_centre(frames, frames[:1]),
        "conformation": own_conformation(frames),
    }


def _moves(frames: Frames, variables: tuple[Variable, ...]) -> Json:
    """{"drift": {variable: {"shift", "error"}}} for report.json."""
    found = {v.name: drift(frames, v.of(frames), v.periodic) for v in singles(variables, frames)}
    return {"drift": {name: asdict(one) for name, one in found.items() if one is not None}}


def _surroundings(own: Frames, parent: Frames | None = None) -> Json:
    """{"surroundings": {"own" or "parent": {kinds of molecules: numbers}}} for report.json; empty but
    for a liquid.
    """
    both = {"own": own} if parent is None else {"own": own, "parent": parent}
    found = {whose: surroundings(frames) for whose, frames in both.items()}
    kept = {whose: {k: n._asdict() for k, n in known.items()} for whose, known in found.items()}
    return {"surroundings": kept} if any(kept.values()) else {}


def _described(variable: Variable) -> object:
    """As a recipe on disk names it: a distance, an angle or a dihedral by its sites."""
    if isinstance(variable, CollectiveVariable):
        return list(variable.sites)
    return described(variable)


def _temperature_of_forces(folder: Path) -> dict[str, object]:
    """What source.json says of it, of the file whose forces are furthest off where there are several;
    empty where it says nothing.
    """
    path = folder / layout.SOURCE
    checks = read_json(path).get("checks", {}).get("temperature", []) if path.exists() else []
    off = [check for check in checks if check.get("sigmas") is not None]
    worst = max(off, key=lambda check: abs(check["sigmas"]), default=None)
    return {} if worst is None else {"temperature_of_forces": worst}
