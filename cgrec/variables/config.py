"""Variables as a configuration writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace

from ..roles import Variable
from .collective import CollectiveVariable


def variables_from_config(
    config: Mapping[str, Sequence[str]] | None,
) -> tuple[CollectiveVariable, ...]:
    """{name: [site labels]} as written in YAML -> distances, angles and dihedrals."""
    return tuple(CollectiveVariable(name, tuple(sites)) for name, sites in (config or {}).items())


def named_variables(
    config: Mapping[str, Sequence[str] | Variable] | None,
) -> tuple[Variable, ...]:
    """{name: [site labels], or a variable} -> variables, each called by its key.

    Raises:
        ValueError: an entry is neither, or a variable that cannot take the name.
    """
    return tuple(_named(name, given) for name, given in (config or {}).items())


def _named(name: str, given: Sequence[str] | Variable) -> Variable:
    if isinstance(given, list | tuple):
        return CollectiveVariable(name, tuple(given))
    if not isinstance(given, Variable):
        raise ValueError(
            f"variables.{name}: expected labels of two to four sites, such as [A, B], or a table "
            f"that says what it is (_target_: cgrec.variables.RMSD), found {given!r}"
        )
    if given.name == name:
        return given
    if is_dataclass(given) and "name" in given.__dataclass_fields__:
        return replace(given, name=name)
    raise ValueError(
        f"variables.{name}: expected a variable that can be called so, found one with the fixed "
        f"name {given.name!r}; write it as variables.{given.name}"
    )
