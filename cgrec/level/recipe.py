"""`LevelRecipe`: how a level is made from the one below."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from typing import Annotated, Any

from ..corrections import MeanForces, PairRefinement, Populations
from ..corrections.populations import ORDER
from ..mapping import FORCE_MAPS
from ..options import Keywords
from ..potential.priors import priors_by_name
from ..ranges import expect, expect_reach
from ..roles import Correction, Engine, ForceMap, MeasuresParent, NetworkMaker, Prior, Rule
from ..run.recipes import described
from ..run.stages import MEASURED
from ..training import ForceMatching
from ..variables import named_variables, variables_from_config
from .strays import Strays


@dataclass(frozen=True)
class LevelRecipe:
    """How a level is made from the one below.

    Attributes:
        mapping: rule that picks the sites, System -> Mapping; or, where it `needs_frames`, the
            parent's Frames -> Mapping.
        potential: (targets, seed) -> untrained Potential.
        training: the fit.
        dynamics: the run.
        force_map: "basic", "constraint_aware" or "least_noise", or one of somebody else.
        priors: which priors to fit: a list of them, or a table, the arguments of
            `cgrec.potential.priors.priors_by_name`; None: none.
        variables: {name: site labels, or a variable} this level is compared in; empty: the chain's
            variables.
        corrections: what follows the run, in this order (see `cgrec.corrections`).
        mean_forces: labels of less noise, where the level below can be run and no two sites of this
            level share one of its sites; None: the forces of its frames.
        strays: fit again with frames of a trial run that the parent knows nothing of; None: one fit.
        refine: {name: site labels}, short for a first correction `Populations`.
        refine_pairs: short for a correction before those of the list.

    Raises:
        ValueError: a keyword of a partial potential is unknown; priors that are none, or that keep
            what they measured in one file; `refine` names no dihedrals.
    """

    mapping: Rule
    potential: NetworkMaker
    training: ForceMatching
    dynamics: Engine
    force_map: str | ForceMap = "least_noise"
    priors: Annotated[Mapping[str, Any] | Sequence[Prior] | None, Keywords(priors_by_name)] = None
    variables: Any = ()
    mean_forces: MeanForces | None = None
    refine: Any = ()
    refine_pairs: PairRefinement | None = None
    corrections: Sequence[Correction] = ()
    strays: Strays | None = None

    def __post_init__(self) -> None:
        for name, make in (("variables", named_variables), ("refine", variables_from_config)):
            if isinstance(getattr(self, name), dict):
                object.__setattr__(self, name, make(getattr(self, name)))
        if not callable(self.force_map) and self.force_map not in FORCE_MAPS:
            raise ValueError(
                f"force_map: expected one of {', '.join(FORCE_MAPS)}, found {self.force_map!r}"
            )
        if isinstance(self.potential, partial):
            check_partial(self.potential)
            check_numbers(self.potential.keywords)
        check_rungs(self.dynamics)
        check_energies(self.training)
        if self.strays is not None:
            self.strays.check(self.dynamics)
        check_kind("mapping", [self.mapping], 1, "a rule (System or Frames -> Mapping)")
        check_kind("priors", self.listed_priors, 2, "priors (frames, types -> Potential)")
        what = "corrections (potential, run, targets, again -> Corrected)"
        check_kind("corrections", self.all_corrections, 4, what)
        check_priors(self.listed_priors)

    @property
    def all_corrections(self) -> tuple[Correction, ...]:
        """What follows the run, in this order."""
        first = [Populations(self.refine)] if self.refine else []
        pairs = [self.refine_pairs] if self.refine_pairs else []
        return (*first, *pairs, *(self.corrections or ()))

    @property
    def listed_priors(self) -> list[Prior]:
        """The priors that the recipe names or holds, in the order in which they are summed."""
        if isinstance(self.priors, Mapping):
            return list(priors_by_name(**self.priors))
        if not isinstance(self.priors, Sequence | None) or isinstance(self.priors, str):
            raise ValueError(
                f"priors: expected a list of priors or a table of them, found {self.priors!r}"
            )
        return list(self.priors or ())

    @property
    def weigh_forces(self) -> ForceMap:
        """The force map that the recipe names or holds."""
        return FORCE_MAPS[self.force_map] if isinstance(self.force_map, str) else self.force_map

    def stages(self, seed: int, parent: str | None = None) -> dict[str, object]:
        """{stage: what defines its result} (see `cgrec.run.stages`); `parent` is the identity of the
        frames below.
        """
        own = {name: described(getattr(self, name)) for name in self.__dataclass_fields__}
        # a recipe on disk from before there were these has no such keys
        later = {n: own[n] for n in ("mean_forces", "strays") if own[n] is not None}
        fit = {"seed": seed, **{n: own[n] for n in ("potential", "priors", "training")}, **later}
        return {
            "map": {"parent": parent, "mapping": own["mapping"], "force_map": own["force_map"]},
            "fit": fit,
            "run": {"seed": seed, "dynamics": own["dynamics"], **self._corrections_described()},
        }

    def _corrections_described(self) -> dict[str, object]:
        """Corrections as a recipe on disk names them: populations and pairs, where they come first,
        by the keys of the time before there was a list, so that a folder knows them either way.
        """
        rest = list(self.all_corrections)
        along: object = []
        pairs: object = None
        first = rest[0] if rest else None
        if isinstance(first, Populations) and first.order == ORDER:
            along = described(first.variables)
            rest = rest[1:]
        if rest and isinstance(rest[0], PairRefinement):
            pairs = described(rest[0])
            rest = rest[1:]
        more = {"corrections": described(rest)} if rest else {}
        return {"refine": along, "refine_pairs": pairs, **more}


def check_kind(key: str, given: Sequence[object], n: int, what: str) -> None:
    """Refuse what cannot be called with `n` arguments, before any work.

    Raises:
        ValueError: naming the key, what was expected and what stands there.
    """
    for one in given:
        try:
            inspect.signature(one).bind(*range(n))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            named = callable(one) or hasattr(one, "__dict__")
            found = type(one).__name__ if named else repr(one)
            raise ValueError(
                f"{key}: expected {what}, each a table that says what it is (_target_: ...), "
                f"found {found}"
            ) from None


def check_partial(function: partial[object]) -> None:
    """ValueError where a keyword given so far is none of the function's: hydra does not look before
    the call.
    """
    known = inspect.signature(function.func).parameters
    unknown = sorted(set(function.keywords) - set(known))
    if unknown:
        raise ValueError(
            f"{function.func.__qualname__} has no argument {unknown}: expected some of "
            f"{sorted(known)}"
        )


def check_numbers(keywords: Mapping[str, object]) -> None:
    """ValueError where a number of a potential that is made later cannot be one: it would be found
    when the fit is over.
    """
    cutoff = keywords.get("cutoff")
    if isinstance(cutoff, int | float):
        expect_reach("potential", cutoff=cutoff)
    for name in ("channels", "n_radial", "n_layers", "width"):
        value = keywords.get(name)
        if isinstance(value, int | float):
            expect("potential", at_least=1, **{name: value})


def check_rungs(engine: Engine) -> None:
    """ValueError where an engine keeps the frames of hot rungs: the energy of a level is a PMF, which
    holds at one temperature.
    """
    if getattr(getattr(engine, "exchange", None), "keep", None) == "all":
        raise ValueError(
            "dynamics.exchange.keep: expected lowest at a level above the atoms, found all: a PMF "
            "holds at one temperature, so its hot frames belong to no ensemble; give keep: lowest"
        )


def check_energies(training: ForceMatching) -> None:
    """ValueError where a fit wants energies: `Mapping` hands on none, for the energy of the fine
    sites is no label of a PMF.
    """
    weight = getattr(training, "energy_weight", 0.0)
    if weight > 0:
        raise ValueError(
            "training.energy_weight: expected 0 at a level above the atoms, found "
            f"{weight:g}: a PMF has no energy labels, the energy of the level below is none; leave "
            "it out, forces alone fix a PMF"
        )


def check_priors(priors: Sequence[Prior]) -> None:
    """ValueError where two would keep what they measured in one file, or
    in one that no level looks after.
    """
    records = [prior.record for prior in priors if isinstance(prior, MeasuresParent)]
    for record in records:
        if records.count(record) > 1:
            raise ValueError(
                f"priors: expected one prior that keeps what it measured in {record}, found "
                f"{records.count(record)}: leave out all but one"
            )
        if not any(fnmatch(record, pattern) for pattern in MEASURED):
            raise ValueError(
                f"priors: expected a record called {' or '.join(MEASURED)}, found {record!r}"
            )
