"""Everything that can be refused in a configuration from its words alone, in less than a second.

Nothing of cgrec above this room is imported: neither torch nor a reader of files. What is refused here
would be refused by `build`, or later, as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from ..devices import check_device
from ..options import Keywords
from ..plugins import trusted_modules
from ..run import layout
from .declared import Argument, Declared, declared, names_in, ours
from .kinds import choices, fits, in_words
from .rehearsal import Made, rehearse
from .targets import MAKERS

#: Keys of a table that say how its target is called, not with what.
SIGNS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


#: Arguments that name files which must be there.
FILES = ("path", "forces_path", "topology", "structure", "file")


def look(config: Mapping[str, object]) -> None:
    """Refuse wrong names, types, choices and numbers of every table that names a class of cgrec.

    Args:
        config: resolved, of plain values.

    Raises:
        ValueError: the key, what was expected, what was found, and a way out.
    """
    for key, value in config.items():
        _look(value, str(key))
    _look_at_variables(config, "")
    levels = config.get("levels")
    for name, level in levels.items() if isinstance(levels, dict) else ():
        if isinstance(level, dict):
            _look_at_variables(level, f"levels.{name}.")
    basins = ours("cgrec.chain.foresight.check_basins")
    rehearse(basins, {"basins": config.get("basins") or {}, "variables": ()})


def look_for_files(config: Mapping[str, object]) -> None:
    """Refuse paths at which there is nothing, unless what they are for was made already.

    Raises:
        ValueError: the key and the path, with names near it.
    """
    level0 = layout.level_folder(Path(str(config.get("run"))), 0)
    if not (level0 / layout.FRAMES).exists():
        _look_for_files(config, "")


def _look_for_files(node: object, key: str) -> None:
    """Refuse a path at which there is nothing, in every table that names a class of cgrec."""
    if isinstance(node, dict):
        named = str(node.get("_target_", "")).startswith("cgrec.") or key.endswith(".labels")
        for name, value in node.items():
            if named and name in FILES:
                for one in value if isinstance(value, list) else [value]:
                    _check_path(one, f"{key}.{name}")
            _look_for_files(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for k, value in enumerate(node):
            _look_for_files(value, f"{key}.{k}")


def _check_path(path: object, key: str) -> None:
    if not isinstance(path, str) or path.startswith("package:") or path == "":
        return
    place = Path(path).expanduser()
    if any(sign in path for sign in "*?["):
        if Path(path).exists() or glob(str(place)):
            return
        raise ValueError(f"{key}: expected files, found none that {path} fits; check the path")
    if not place.exists():
        there = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        near = get_close_matches(place.name, there, 2)
        way = f"did you mean {' or '.join(near)}?" if near else "check the path"
        raise ValueError(f"{key}: expected a file or folder, found none at {path}; {way}")


def _look_at_variables(table: Mapping[str, object], key: str) -> None:
    """Refuse variables by labels that are no distance, angle or dihedral."""
    one = ours("cgrec.variables.CollectiveVariable")
    for where in ("variables", "refine"):
        named = table.get(where)
        for name, sites in named.items() if isinstance(named, dict) else ():
            if isinstance(sites, list):
                try:
                    rehearse(one, {"name": name, "sites": sites})
                except ValueError as error:
                    said = str(error).removeprefix(f"variables.{name}")
                    raise ValueError(f"{key}{where}.{name}{said}") from error


def _look(node: object, key: str) -> object:
    """What stands for `node` in the table that holds it: `Made` for what a table makes."""
    if isinstance(node, list):
        return [_look(value, f"{key}.{k}") for k, value in enumerate(node)]
    if not isinstance(node, dict):
        if node == "???":
            raise ValueError(f"{key}: expected a value, found none; give {key}=...")
        return node
    later = bool(node.get("_partial_", False))
    inside = {
        str(name): _look(value, f"{key}.{name}")
        for name, value in node.items()
        if name not in SIGNS and not (later and value == "???")
    }
    if "_target_" not in node:
        return inside
    target = node["_target_"]
    found = declared(target) if isinstance(target, str) else None
    if found is None:
        _check_name(key, target)
        return Made()
    rule = isinstance(found.node, ast.ClassDef) and str(target).rpartition(".")[2] not in MAKERS
    partly = (later and not (rule and key.endswith(".mapping"))) or bool(node.get("_args_"))
    check_arguments(found.arguments, found.free, inside, key, partly, str(target))
    _check_tables(found, node, inside, key)
    _rehearse(found, inside, key, str(target))
    return Made()


def _check_name(key: str, target: object) -> None:
    """Refuse a class that cgrec does not hold; one of somebody else is looked at when it is made."""
    if not isinstance(target, str) or not target.startswith("cgrec."):
        top = target.partition(".")[0] if isinstance(target, str) else ""
        if top and top.isidentifier() and not _importable(top):
            raise ImportError(f"{key}._target_: {target}: there is no package {top}", name=top)
        return
    words = target.split(".")
    room = ".".join(words[: 3 if words[-1] in MAKERS else 2])
    near = get_close_matches(words[-1], names_in(".".join(words[:-1])) or names_in(room), 3)
    way = f"did you mean {' or '.join(near)}?" if near else f"cgrec keys {key} shows what there is"
    raise ValueError(f"{key}._target_: expected a class of cgrec, found {target}; {way}")


def check_arguments(
    known: Mapping[str, Argument],
    free: bool,
    given: Mapping[str, object],
    key: str,
    later: bool,
    target: str,
) -> None:
    """Compare arguments with those a class takes: names, types, and those that must be given.

    Args:
        known: of the class.
        free: whether it takes other names.
        given: with `Made`, or objects, for what tables make.
        key: of the table.
        later: some are given when it is called.
        target: what is called.

    Raises:
        ValueError: the key of the argument, with near misses.
    """
    for name, value in given.items():
        if name not in known:
            if not free:
                raise ValueError(_unknown(name, list(known), key))
            continue
        check_value(known[name], value, f"{key}.{name}")
    for argument in () if later else known.values():
        if argument.needed and argument.name not in given:
            raise ValueError(
                f"{key}.{argument.name}: expected a value, found none; give "
                f"{key}.{argument.name}=...{_from_file(target)}"
            )


def _unknown(name: str, names: list[str], key: str) -> str:
    near = get_close_matches(name, names, 1)
    way = f"did you mean {near[0]}?" if near else f"cgrec keys {key} says what each means"
    return f"{key}.{name}: expected one of {', '.join(names)}, found {name}; {way}"


def _from_file(target: str) -> str:
    """The other way to make what a table names: from what it saved."""
    saved = f"{target}.from_file"
    if not target.startswith("cgrec.") or declared(saved) is None:
        return ""
    return f", or read a saved one by _target_: {saved}"


def check_value(argument: Argument, value: object, key: str) -> None:
    """Refuse a value of another type than the argument's, and a device that cannot be here.

    Raises:
        ValueError: the key, what was expected, what was found.
    """
    if not fits(value, argument.hint):
        words = choices(argument.hint)
        near = get_close_matches(str(value), words, 1)
        if words:
            way = f"did you mean {near[0]}?" if near else f"give {key}={words[0]}"
        else:
            way = _way(argument, key)
        raise ValueError(f"{key}: expected {in_words(argument.hint)}, found {value!r}; {way}")
    if argument.name == "device" and isinstance(value, str):
        check_device(value, key)


def _way(argument: Argument, key: str) -> str:
    if key.endswith(".mapping"):
        return f"to take a rule of conf/mapping by its name give +mapping@{key}=NAME"
    default = argument.default
    if isinstance(default, bool | int | float | str) and default != "":
        said = str(default).lower() if isinstance(default, bool) else default
        return f"the default is {key}={said}"
    return f"cgrec keys {key} says what it means"


def _check_tables(
    found: Declared, node: Mapping[str, object], inside: Mapping[str, object], key: str
) -> None:
    """A table of keyword arguments is looked at as those of what it is for (`Keywords`)."""
    for name, function in tables_of(found):
        value = node.get(name)
        if isinstance(value, dict) and "_target_" not in value:
            given = inside[name]
            assert isinstance(given, dict)
            own = f"{key}.{name}"
            check_arguments(function.arguments, function.free, given, own, True, function.name)
            _check_tables(function, value, given, own)
            if function.free:
                _check_free(function, given, own)
            else:
                _rehearse(function, given, own, function.name)


def _check_free(function: Declared, given: Mapping[str, object], key: str) -> None:
    """Where a table takes names of its own, a plain word under one is a misspelt switch."""
    for name, value in given.items():
        if name not in function.arguments and not isinstance(value, Made | None):
            raise ValueError(_unknown(name, list(function.arguments), key))


def tables_of(found: Declared) -> Iterator[tuple[str, Declared]]:
    """(argument that is a table of keyword arguments, what they are for)."""
    for name, argument in found.arguments.items():
        for note in getattr(argument.hint, "__metadata__", ()):
            if isinstance(note, Keywords):
                of = note.function
                function = declared(f"{of.__module__}.{of.__name__}")
                if function is not None:
                    yield name, function


def _rehearse(found: Declared, given: Mapping[str, object], key: str, target: str) -> None:
    whole = target.rpartition(".")[0] if target.rpartition(".")[2] in MAKERS else target
    made = declared(whole)
    if made is not None:
        look_at_numbers(made, given, key)


def look_at_numbers(found: Declared, given: Mapping[str, object], key: str) -> None:
    """Refuse what the constructor of a class refuses of plain values.

    Args:
        found: the class.
        given: its arguments, `Made` for what tables make.
        key: of its table; empty at the top.

    Raises:
        ValueError, ImportError: as the constructor would, by the key of the argument.
    """
    try:
        rehearse(found, given)
    except ImportError as error:
        raise ImportError(keyed(found.arguments, key, str(error)), name=error.name) from error
    except ValueError as error:
        raise ValueError(_with_way(found, keyed(found.arguments, key, str(error)))) from error


def _with_way(found: Declared, said: str) -> str:
    """What a class says, with the default as a way out where it names none."""
    key = said.partition(": ")[0]
    argument = found.arguments.get(key.rpartition(".")[2])
    if argument is None or ";" in said or "," in said.partition(", found")[2]:
        return said
    return f"{said}; {_way(argument, key)}"


def keyed(known: Collection[str], key: str, said: str) -> str:
    """What a class says of one of its arguments, by the key of that argument: "Langevin.timestep: "
    becomes "levels.l1.dynamics.timestep: ".

    Args:
        known: arguments of the class.
        key: of its table.
        said: by it.
    """
    owner = re.match(r"(\w+)\.(\w+)\W", said)
    short = said if owner is None or owner[2] not in known else said[owner.end(1) + 1 :]
    first = re.match(r"(\w+)[\w.\[\]]*: ", short)
    if first is None or first[1] not in known:
        return f"{key}: {said}" if key else said
    return f"{key}.{short}" if key else short


def _importable(package: str) -> bool:
    if any(module.partition(".")[0] == package for module in trusted_modules()):
        return True
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
