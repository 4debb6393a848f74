"""What is known of a run before its work starts: the Systems of its levels, and what each can be
compared in.

Most rules choose sites from a System alone, so the Systems of all levels follow from that of level
0. A label that is wrong is then found before hours of sampling and training, not after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ..corrections.mean_force import holding
from ..level import LevelRecipe
from ..mapping import Mapping as LevelMapping
from ..potential import EnergyEntropy
from ..potential.energy_entropy import SEVERAL
from ..remarks import remark
from ..roles import HasColumns, MovesUp, SaysWhatIsMissing, Source, Variable
from ..site_labels import SiteError, not_found
from ..system import System
from ..variables import DEFAULT_NAMES, single_numbers


def check_indices(variables: Iterable[Variable]) -> None:
    """Refuse "#7" in a variable that several levels are compared in: it is another site at every
    level.

    Raises:
        ValueError: naming variable and label.
    """
    for variable in variables:
        numbered = [label for label in variable.sites if "#" in label]
        if numbered:
            raise ValueError(
                f"variables.{variable.name}: expected labels that mean the same at every "
                f"level, found {numbered[0]!r}, "
                'the index of a site; write a label such as "A:TYR2:CA", or give the variable '
                "to one level, as "
                f"levels.<name>.variables.{variable.name}"
            )


def foresee(
    first: System, recipes: Mapping[str, LevelRecipe], known: Sequence[System | None] = ()
) -> list[System | None]:
    """Systems of level 0 and of every level above it; None from the first rule on that needs frames
    to choose sites.

    Args:
        first: of level 0.
        recipes: of the levels, from fine to coarse.
        known: Systems of levels that were made already.

    Raises:
        SiteError, ValueError: what a rule raises, with the name of the level before it.
    """
    systems: list[System | None] = [first]
    for k, (name, recipe) in enumerate(recipes.items()):
        before = systems[-1]
        if k < len(known) and known[k] is not None:
            systems.append(known[k])
        elif before is None or getattr(recipe.mapping, "needs_frames", False):
            systems.append(None)
        else:
            systems.append(_coarse(name, recipe, before))
    return systems


def _coarse(name: str, recipe: LevelRecipe, system: System) -> System:
    try:
        mapping = recipe.mapping(system)
        if getattr(recipe, "mean_forces", None) is not None:
            holding(mapping)
        if mapping.coarse.n_sites < 2:
            raise ValueError(
                f"expected two sites or more, found one of the {system.n_sites} below: it has no "
                "shape; choose sites that stand for less, or leave this level out"
            )
        return mapping.coarse
    except SiteError as error:
        raise SiteError(f"levels.{name}.mapping: {error}", error.candidates) from error
    except ValueError as error:
        raise ValueError(f"levels.{name}.mapping: {error}") from error


def check_temperatures(source: Source | None, recipes: Mapping[str, LevelRecipe]) -> None:
    """Refuse a PMF of several temperatures where what it is fitted to is of one.

    Args:
        source: of level 0; files know their temperatures when they are read.
        recipes: of the levels, from fine to coarse.

    Raises:
        ValueError: naming the level, with the way to have several.
    """
    exchange = getattr(getattr(source, "dynamics", None), "exchange", None)
    one = hasattr(source, "dynamics") and getattr(exchange, "keep", None) != "all"
    for k, (name, recipe) in enumerate(recipes.items()):
        maker = getattr(recipe.potential, "func", recipe.potential)
        owner = getattr(maker, "__self__", None)
        if not (isinstance(owner, type) and issubclass(owner, EnergyEntropy)):
            continue
        found = "a source that keeps one alone" if one else ""
        if recipe.mean_forces is not None:
            found = "mean forces, which are made at one"
        if k > 0:
            found = f"the run of {list(recipes)[k - 1]}, which is at one"
        if found:
            raise ValueError(f"levels.{name}.potential: {SEVERAL.format(found=found)}")


def check_variables(
    variables: Iterable[Variable],
    recipes: Mapping[str, LevelRecipe],
    systems: Sequence[System | None],
) -> None:
    """Refuse variables that mean nothing: of the chain at no level, of one level not at that level.

    Where the sites of a level cannot be foreseen, a variable of the chain may still be one of it,
    and is not refused.

    Args:
        variables: of the chain.
        recipes: of the levels, from fine to coarse.
        systems: of level 0 and of the levels; None where unknown.

    Raises:
        SiteError: a label means no site anywhere (near misses are named), or several of one level
            (all are named).
    """
    for variable in variables:
        _check_chain_wide(variable, [s for s in systems if s is not None], None in systems)
    for (name, recipe), system in zip(recipes.items(), systems[1:]):
        if system is not None:
            check_held(f"levels.{name}.dynamics", recipe.dynamics, system)
        for where, check in (("variables", _check_compared), ("refine", check_variable)):
            for variable in getattr(recipe, where) or ():
                if system is not None:
                    check(f"levels.{name}.{where}.{variable.name}", variable, system)
        for k, correction in enumerate(getattr(recipe, "corrections", ())):
            for variable in getattr(correction, "variables", None) or ():
                if system is not None:
                    where = f"levels.{name}.corrections.{k}.variables"
                    check_variable(f"{where}.{variable.name}", variable, system)
            if system is not None and isinstance(correction, SaysWhatIsMissing):
                why = correction.missing_on(system)
                if why is not None:
                    raise ValueError(f"levels.{name}.corrections.{k}: {why}")


def check_held(where: str, engine: object, system: System) -> None:
    """Refuse labels of held sites that `system` does not have.

    Raises:
        SiteError: it begins with `where`, and names the label and near misses.
    """
    held = {"held": getattr(engine, "held", None) or ()}
    for k, group in enumerate(getattr(engine, "held_centres", None) or ()):
        held[f"held_centres.{k}"] = tuple(group)
    for name, labels in held.items():
        for label in labels:
            error = _error_of(label, system)
            if error is not None:
                raise SiteError(f"{where}.{name}: {error}", error.candidates) from error


def check_basins(
    basins: Mapping[str, Mapping[str, Sequence[float]]], variables: Iterable[Variable]
) -> None:
    """Refuse bounds between which nothing can lie.

    Args:
        basins: {name: {variable: (low, high)}}. Of a dihedral low may be above high: the arc through
            180 degrees.
        variables: those that are known. Another one may be a dihedral.

    Raises:
        ValueError: naming basin and variable.
    """
    on_a_line = {v.name for v in variables if not v.periodic}
    for name, box in basins.items():
        for variable, bounds in box.items():
            numbers = [isinstance(x, int | float) and not math.isnan(x) for x in bounds]
            if len(numbers) != 2 or not all(numbers):
                wrong = True
            elif variable in on_a_line:
                wrong = bounds[0] >= bounds[1]
            else:
                wrong = bounds[0] == bounds[1]
            if wrong:
                raise ValueError(
                    f"basins.{name}.{variable}: expected two bounds, the lower one first, such as "
                    f"[0, 0.2], in nm (degrees for angles and dihedrals), found {list(bounds)}"
                )


def remark_basins(
    basins: Mapping[str, Mapping[str, Sequence[float]]],
    variables: Iterable[Variable],
    recipes: Mapping[str, LevelRecipe],
) -> None:
    """A remark for each basin of a variable that no level is compared in."""
    own = [v for recipe in recipes.values() for v in recipe.variables]
    known = {v.name for v in (*variables, *own)} | DEFAULT_NAMES
    several = tuple(f"{v.name} " for v in (*variables, *own) if isinstance(v, HasColumns))
    for name, box in basins.items():
        missing = [v for v in box if v not in known and not v.startswith(several or ("\0",))]
        if missing:
            remark(
                f"basins.{name} is left out: no level is compared in {', '.join(missing)} "
                f"(known: {', '.join(sorted(known))}); give it under variables="
            )


def check_variable(where: str, variable: Variable, system: System) -> None:
    """Refuse a variable that `system` cannot express.

    Raises:
        SiteError: it begins with `where`, and names the label that means no site, or several.
        ValueError: of a variable that is not given by labels alone.
    """
    wrong = _wrong_labels(variable, system)
    if wrong:
        error = next(iter(wrong.values()))
        raise SiteError(f"{where}: {error}", error.candidates) from error
    why = _missing(variable, system)
    if why is not None:
        raise ValueError(f"{where}: {why}")


def _check_compared(where: str, variable: Variable, system: System) -> None:
    """As `check_variable`; and refuse one of so many numbers that levels cannot be compared in each.

    Raises:
        SiteError, ValueError: in words that begin with `where`.
    """
    check_variable(where, variable, system)
    if isinstance(variable, HasColumns) and not single_numbers(variable, system):
        raise ValueError(
            f"{where}: expected a variable of a few numbers, found {len(variable.columns(system))} "
            "columns. Distances of all pairs are compared in every ledger of a chain as they are; "
            "take cgrec.variables.RMSD or NativeContacts to compare them in one number, or "
            "TICA.from_file of components that TICA.fit found in a sample"
        )


def _check_chain_wide(variable: Variable, systems: list[System], more: bool) -> None:
    where = f"variables.{variable.name}"
    for label in variable.sites:
        errors = [_error_of(label, system) for system in systems]
        for level, error in enumerate(errors):
            if error is not None and error.candidates:
                raise SiteError(f"{where}, level {level}: {error}", error.candidates)
        if all(errors) and not more:
            every = [name for system in systems for name in system.unique_labels]
            raise SiteError(f"{where}, at every level: {not_found(label, every)}")
    able = [system for system in systems if variable.defined_on(system)]
    if not able and not more:
        wrong = _wrong_labels(variable, systems[0])
        if wrong:
            raise SiteError(
                f"{where}: no level has all of its sites; at level 0 {next(iter(wrong.values()))}"
            )
        raise ValueError(
            f"{where}: no level can express it; at level 0 {_missing(variable, systems[0])}"
        )
    for system in able[:1]:
        _check_compared(where, variable, system)


def _wrong_labels(variable: Variable, system: System) -> dict[str, SiteError]:
    """Its labels that do not mean one site of `system`, and why."""
    errors = {label: _error_of(label, system) for label in variable.sites}
    return {label: error for label, error in errors.items() if error is not None}


def _missing(variable: Variable, system: System) -> str | None:
    """Why `system` cannot express it, in words; None where it can."""
    if isinstance(variable, SaysWhatIsMissing):
        return variable.missing_on(system)
    return None if variable.defined_on(system) else "it is not defined there"


def _error_of(label: str, system: System) -> SiteError | None:
    try:
        system.site(label)
    except SiteError as error:
        return error
    return None


def expressible(
    variables: Iterable[Variable], system: System, path: LevelMapping | None = None
) -> tuple[tuple[Variable, ...], dict[str, str]]:
    """The variables that are functions of the sites of `system`, and {name of another: why it is
    not}.

    Args:
        variables: of the chain.
        system: of the level.
        path: from level 0 to the level. A variable that holds a structure is mapped by it, where
            the level has no sites of the structure's own.
    """
    own: list[Variable] = []
    why: dict[str, str] = {}
    for variable in variables:
        wrong = _wrong_labels(variable, system)
        several = [str(error) for error in wrong.values() if error.candidates]
        if wrong:
            why[variable.name] = several[0] if several else f"it has no site {' or '.join(wrong)}"
            continue
        found, reason = _on_level(variable, system, path)
        if found is None:
            why[variable.name] = reason
        else:
            own.append(found)
    return tuple(own), why


def _on_level(
    variable: Variable, system: System, path: LevelMapping | None
) -> tuple[Variable | None, str]:
    """The variable as it is, or mapped; else None and the reason."""
    why = _missing(variable, system)
    if why is None:
        return variable, ""
    if path is None or not isinstance(variable, MovesUp):
        return None, why
    try:
        return variable.through(path), ""
    except (KeyError, ValueError) as error:
        return None, str(error)
