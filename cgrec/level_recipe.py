"""`LevelRecipe`: how a level is made from the one below."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any

from .collective_variables import variables_from_config
from .mapping import FORCE_MAPS
from .recipes import described
from .refinement import PairRefinement
from .roles import Engine, ForceMap, NetworkMaker, Rule
from .training import ForceMatching


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
        priors: which priors to fit, keyword arguments of `fit_priors` other than types.
        variables: {name: site labels} this level is compared in; empty: the chain's variables.
        refine: {name: site labels} of one or two dihedrals along which the run is brought to the
            parent's averages (see `cgrec.refinement`); empty: not at all.
        refine_pairs: how its pair potentials are brought to the parent's radial distributions;
            None: not at all.

    Raises:
        ValueError: a keyword of a partial potential is unknown.
    """

    mapping: Rule
    potential: NetworkMaker
    training: ForceMatching
    dynamics: Engine
    force_map: str | ForceMap = "least_noise"
    priors: dict[str, Any] | None = None
    variables: Any = ()
    refine: Any = ()
    refine_pairs: PairRefinement | None = None

    def __post_init__(self) -> None:
        for name in ("variables", "refine"):
            if isinstance(getattr(self, name), dict):
                object.__setattr__(self, name, variables_from_config(getattr(self, name)))
        if not callable(self.force_map) and self.force_map not in FORCE_MAPS:
            raise ValueError(
                f"force_map: expected one of {', '.join(FORCE_MAPS)}, found {self.force_map!r}"
            )
        if isinstance(self.potential, partial):
            check_partial(self.potential)

    @property
    def weigh_forces(self) -> ForceMap:
        """The force map that the recipe names or holds."""
        return FORCE_MAPS[self.force_map] if isinstance(self.force_map, str) else self.force_map

    def stages(self, seed: int, parent: str | None = None) -> dict[str, Any]:
        """{stage: what defines its result} (see `cgrec.stages`); `parent` is the identity of the
        frames below.
        """
        own: Any = {name: described(getattr(self, name)) for name in self.__dataclass_fields__}
        return {
            "map": {"parent": parent, "mapping": own["mapping"], "force_map": own["force_map"]},
            "fit": {"seed": seed, **{n: own[n] for n in ("potential", "priors", "training")}},
            "run": {"seed": seed, **{n: own[n] for n in ("dynamics", "refine", "refine_pairs")}},
        }


def check_partial(function: partial[Any]) -> None:
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
