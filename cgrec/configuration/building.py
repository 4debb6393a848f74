"""Objects from a configuration, every fault of it told by its key."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ..devices import resolved
from ..files import Json
from .declared import NEEDED, Argument, ours
from .first_look import (
    SIGNS,
    check_arguments,
    check_value,
    keyed,
    look,
    look_at_numbers,
    look_for_files,
)
from .keys import SUBMIT
from .shapes import wrong_shape
from .targets import Allowed, NoSuchName, located

if TYPE_CHECKING:
    from ..chain.chain import Chain
    from ..cluster import Slurm

#: What the top of a configuration makes.
CHAIN = "cgrec.chain.chain.Chain"
#: Keys at the top that change nothing of what is made.
NO_RECIPE = ("run", "device", "threads", "go_on", "submit", "slurm")
#: Of jobs: what is about blocks of replicas, the engine that has them, and its settings that they
#: cannot have.
_OF_BLOCKS, _DIVIDED = ("replicas", "array_parallelism"), "cgrec.dynamics.Langevin"
_TOGETHER = ("bias", "exchange", "hooks")


def build(config: DictConfig, trust: bool = False, given: frozenset[str] = frozenset()) -> Chain:
    """The Chain a configuration describes. Nothing is called before all names are allowed and all
    values are there.

    Args:
        config: of `composed`.
        trust: call whatever the configuration names, not only what `targets` allows.
        given: keys that the user gave on the command line.

    Raises:
        ValueError: the key, what was expected of its value, and what was found.
    """
    plain = _looked_at(config, trust, given)
    from ..chain.chain import Chain  # it imports torch, which takes seconds

    made: dict[str, Any] = {key: _made(value, str(key)) for key, value in plain.items()}
    _check_roles(made)
    recipe = {k: v for k, v in plain.items() if k not in NO_RECIPE}
    known: dict[str, Any] = {
        k: made.get(k)
        for k in (
            "source",
            "levels",
            "variables",
            "seed",
            "control",
            "bins",
            "device",
            "threads",
            "basins",
            "go_on",
        )
    }
    return Chain(made["run"], recipe=recipe, **known)


def cluster_options(config: DictConfig) -> Slurm:
    """What jobs of a climb ask a cluster for."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    made: Any = _made(plain["slurm"], "slurm")
    return made


def checked(
    config: DictConfig, trust: bool = False, given: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A configuration as plain values, all that its words alone tell found right: names, types,
    ranges, choices, packages, and whether its files are there. Nothing is made, and torch is not
    imported.

    Args:
        config: of `composed`.
        trust, given: as of `build`.

    Raises:
        ValueError: the key, what was expected of its value, what was found, and a way out.
        ImportError: a package that a later step needs is not installed.
    """
    plain = _looked_at(config, trust, given)
    look_for_files(plain)
    return plain


def _looked_at(config: DictConfig, trust: bool, given: frozenset[str]) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(config, resolve=True)
    Allowed(trust, given).check(plain)
    _check_top(plain)
    _check_finite(plain, "")
    look(plain)
    return dict(plain)


def _check_top(plain: Json) -> None:
    for key in ("name", "run"):
        if key in plain and plain[key] != "???":
            check_value(Argument(key, str, NEEDED, ""), plain[key], key)
    check_value(SUBMIT, plain.get("submit"), "submit")
    chain = ours(CHAIN)
    given = {key: plain[key] for key in ("seed", "control", "bins", "device", "threads", "go_on")}
    for key, value in given.items():
        check_value(chain.arguments[key], value, key)
    look_at_numbers(chain, given, "")
    misshapen = wrong_shape(plain)
    if misshapen is not None:
        raise ValueError(misshapen)
    _check_jobs(plain)


def _check_jobs(plain: Json) -> None:
    """ValueError where jobs of a level that is not there ask for something, or jobs of a level for
    blocks of replicas that its run is never divided into.
    """
    levels = ["level0", *(plain.get("levels") or {})]
    asked = (plain.get("slurm") or {}).get("levels") or {}
    unknown = [level for level in asked if level not in levels]
    if unknown:
        raise ValueError(
            f"slurm.levels: expected levels of this climb ({', '.join(levels)}), found "
            f"{', '.join(unknown)}"
        )
    for level, own in asked.items():
        one_job = _one_job(plain, level)
        for key in (name for name in _OF_BLOCKS if own.get(name) and one_job):
            raise ValueError(
                f"slurm.levels.{level}.{key}: expected a run that is divided into blocks of replicas, "
                f"found one that is always one job, since {one_job}; leave it out, and give that job more "
                "cores (cpus_per_task) or a GPU"
            )


def _one_job(plain: Json, level: str) -> str:
    """Why the run of a level is never divided into blocks of replicas; "" where it can be."""
    if level == "level0":
        return "sources make level 0 whole"
    run = plain["levels"][level].get("dynamics") or {}
    engine = str(run.get("_target_", _DIVIDED))
    if engine != _DIVIDED:
        return f"its engine is {engine}, not {_DIVIDED}"
    together = next((key for key in _TOGETHER if run.get(key)), None)
    return f"its {together} moves all replicas together" if together else ""


def _check_finite(node: object, key: str) -> None:
    """ValueError at the first number that is none, or infinite: a class that does not look would find
    out when the work is done. Only a basin may have an open end.
    """
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            _check_finite(value, f"{key}.{name}" if key else str(name))
    if not isinstance(node, float) or math.isfinite(node):
        return
    if math.isnan(node) or not key.startswith("basins."):
        raise ValueError(f"{key}: expected a finite number, found {node}")


def _check_roles(made: Json) -> None:
    """Refuse a configuration without a source, and levels that no recipe was put under."""
    from ..level import LevelRecipe

    if not hasattr(made.get("source"), "make"):
        raise ValueError(
            f"source: expected a source, found {made.get('source')!r}; put '- /source: file' "
            "into the defaults of the "
            "experiment, or give source=file"
        )
    for name, recipe in (made.get("levels") or {}).items():
        if not isinstance(recipe, LevelRecipe):
            raise ValueError(
                f"levels.{name}: expected the recipe of a level, found "
                f"{sorted(recipe) if isinstance(recipe, dict) else recipe}; "
                f"put '- /level@levels.{name}: network' into the defaults of the experiment"
            )


def _made(node: object, key: str) -> object:
    """`node` with every table that has a `_target_` replaced by what that makes of the rest of the
    table.
    """
    if isinstance(node, list):
        return [_made(value, f"{key}.{k}") for k, value in enumerate(node)]
    if not isinstance(node, dict):
        if node == "???":
            raise ValueError(f"{key}: expected a value, found none; give {key}=...")
        return node
    if "_target_" not in node:
        return {name: _made(value, f"{key}.{name}") for name, value in node.items()}
    later = bool(node.get("_partial_", False))
    arguments = {
        name: _made(value, f"{key}.{name}")
        for name, value in node.items()
        if name not in SIGNS and not (later and value == "???")
    }
    return _called(node["_target_"], arguments, key, later, node.get("_args_", ()))


def _called(
    target: str, arguments: dict[str, object], key: str, later: bool, positional: Sequence[object]
) -> object:
    """The target's answer, or the target with its arguments for a later call.

    Raises:
        ValueError, ImportError: as the target did, with the key in front.
    """
    try:
        function = located(target)
    except NoSuchName as error:
        raise ValueError(f"{key}._target_: {error}") from error
    except ImportError as error:
        raise ImportError(f"{key}._target_: {error}", name=error.name) from error
    # a class is a rule to be made; an experiment's Mapping.identity, which it takes the place of,
    # left a _partial_
    rule = inspect.isclass(function) and key.rpartition(".")[2] == "mapping"
    later = later and not rule
    _check_arguments(function, arguments, key, later or bool(positional), target)
    if later:
        return partial(function, *positional, **arguments)
    try:
        return function(*positional, **arguments)
    except ImportError as error:
        raise ImportError(f"{key}: {error}", name=error.name) from error
    except (ValueError, TypeError, KeyError, OSError) as error:
        what = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(_keyed(function, key, str(what))) from error


def _keyed(function: Callable[..., object], key: str, said: str) -> str:
    known: list[str] = []
    with suppress(TypeError, ValueError):  # written in C
        known = list(inspect.signature(function).parameters)
    return keyed(known, key, said)


def _check_arguments(
    function: Callable[..., object],
    arguments: dict[str, object],
    key: str,
    later: bool,
    target: str,
) -> None:
    """Compare arguments with the signature: names, those that must be given, and types.

    Raises:
        ValueError: the key of the argument, with near misses.
    """
    try:
        known = inspect.signature(function).parameters
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (TypeError, ValueError, NameError):  # written in C, or hints for type checkers alone
        return
    plain = {
        p.name: Argument(
            p.name, hints.get(p.name, object), NEEDED if p.default is p.empty else p.default, ""
        )
        for p in known.values()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }
    free = any(p.kind is p.VAR_KEYWORD for p in known.values())
    check_arguments(plain, free, arguments, key, later, target)
    for name, value in arguments.items():
        if name == "device" and isinstance(value, str):
            resolved(value, f"{key}.{name}")
