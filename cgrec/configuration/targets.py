"""Which names a configuration may call. A YAML is a program: `_target_` and `calculator` name what
is called with what.

Without `--trust` those names are cgrec's own roles, what installed plugins bring (entry-point group
`cgrec.plugins`) and the ASE calculators listed here, none of which runs a command of the
configuration's choice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from .._moved import moved
from ..plugins import trusted_modules
from .declared import declared, is_error, names_in

#: Rooms whose public classes are roles: sources, rules, potentials, training, dynamics,
#: corrections, variables, recipes; and what jobs ask a cluster for.
ROOMS = frozenset(
    {
        "sources",
        "mapping",
        "potential",
        "training",
        "dynamics",
        "corrections",
        "backmapping",
        "level",
        "variables",
        "cluster",
    }
)
#: Class methods that make an object from a configuration, beside the class itself.
MAKERS = frozenset({"for_frames", "for_labels", "from_file", "identity"})
#: Functions that are rules.
RULES = frozenset({"cgrec.mapping.alpha_carbons", "cgrec.io.select_sites"})
#: ASE calculators that compute in the process itself. Those of ase that start a program (Vasp,
#: CP2K, ...) take its command line as an argument and are not among them.
CALCULATORS = frozenset(
    [
        "aimnet.calculators",
        "ase.calculators.acn",
        "ase.calculators.eam",
        "ase.calculators.emt",
        "ase.calculators.harmonic",
        "ase.calculators.lj",
        "ase.calculators.morse",
        "ase.calculators.tip3p",
        "ase.calculators.tip4p",
        "chgnet.model",
        "chgnet.model.dynamics",
        "deepmd.calculator",
        "dftd3.ase",
        "dftd4.ase",
        "fairchem.core",
        "mace.calculators",
        "matgl.ext.ase",
        "mattersim.forcefield",
        "metatomic.torch.ase_calculator",
        "metatomic_ase",
        "nequip.ase",
        "nequip.integrations.ase",
        "orb_models.forcefield.calculator",
        "orb_models.forcefield.inference.calculator",
        "sevenn.calculator",
        "sevenn.sevennet_calculator",
        "tblite.ase",
        "torchani",
        "upet.calculator",
        "xtb.ase.calculator",
    ]
)
#: Keys that change how hydra calls, or what a reader executes.
_REFUSED = {
    "_args_": "arguments by their names",
    "_recursive_": "no such key",
    "_convert_": "no such key",
    "allow_pickle": "no such key: arrays of objects run code when they are read",
    "weights_only": "no such key: a file of more than weights runs code when it is read",
}
_WAY = "give --trust if you know who wrote it and what it does"


class Allowed:
    """What one configuration may call.

    Args:
        trust: everything.
        given: keys the user gave on the command line: a program or a model file named there is the
            user's own word.
    """

    def __init__(self, trust: bool = False, given: frozenset[str] = frozenset()) -> None:
        self.trust = trust
        self.given = given
        self.plugins = trusted_modules()

    def check(self, config: Mapping[str, object]) -> None:
        """Refuse a configuration that names something else, before anything is called or imported.

        Raises:
            ValueError: the key, and what it names.
        """
        for key, value in [] if self.trust else list(_walk(config)):
            name = key.rpartition(".")[2]
            if name == "_target_":
                self._check_target(key, value)
            elif name in _REFUSED:
                raise ValueError(f"{key}: expected {_REFUSED[name]}, found {value!r}; {_WAY}")
            elif name == "calculator" and isinstance(value, str):
                self._check_calculator(key, value)
            elif name == "python" and value and key not in self.given:
                raise ValueError(
                    f"{key}: expected the interpreter on the command line, found {value!r} in "
                    "a YAML, which would start "
                    f"it; give {key}={value} yourself, or --trust"
                )
        for key, value in [] if self.trust else list(_walk(config)):
            if _is_argument_of_calculator(key) and key not in self.given and _is_code(value):
                raise ValueError(
                    f"{key}: expected numbers, words and the names of published models, found "
                    f"{value!r}; a model file can "
                    f"hold code: give {key}={value} yourself, or --trust"
                )

    def _check_target(self, key: str, target: object) -> None:
        if not isinstance(target, str) or not _is_dotted(target):
            raise ValueError(
                f"{key}: expected the dotted name of a class, found {target!r}; {_WAY}"
            )
        if not (is_ours(target) or any(target.startswith(f"{module}.") for module in self.plugins)):
            _check_name(key, target)
            raise ValueError(
                f"{key}: expected a class of cgrec's rooms {', '.join(sorted(ROOMS))} or of an "
                "installed plugin, found "
                f"{target!r}; {_WAY}"
            )

    def _check_calculator(self, key: str, calculator: str) -> None:
        module, _, name = calculator.partition(":")
        known = module in CALCULATORS or any(f"{module}.".startswith(f"{p}.") for p in self.plugins)
        if not known or not name.isidentifier():
            raise ValueError(
                f"{key}: expected 'module:callable' with a module that is known, found "
                f"{calculator!r}; {_WAY}. Known are {', '.join(sorted(CALCULATORS))}"
            )


def located(target: str) -> Callable[..., object]:
    """The object of a dotted name.

    Raises:
        ImportError: its package is not there.
        NoSuchName: it is there, and holds no such name.
    """
    words = target.split(".")
    for n in range(len(words), 0, -1):
        name = ".".join(words[:n])
        try:
            found: Any = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it needs is not
            continue
        for attribute in words[n:]:
            if not hasattr(found, attribute):
                raise NoSuchName(target, attribute, found)
            found = getattr(found, attribute)
        return found
    raise ImportError(f"{target}: there is no package {words[0]}", name=words[0])


class NoSuchName(ImportError):
    """A module is there, and holds no such name: nothing has to be installed.

    Attributes:
        near: names that it holds and that resemble the one.
    """

    def __init__(self, target: str, name: str, room: object) -> None:
        public = [word for word in dir(room) if not word.startswith("_")]
        self.near = get_close_matches(name, public, 3)
        where = getattr(room, "__name__", repr(room))
        super().__init__(
            f"{target}: expected a name in {where}, found none; "
            + (
                f"did you mean {' or '.join(self.near)}?"
                if self.near
                else "correct it, or update its package"
            )
        )


def _check_name(key: str, target: str) -> None:
    """Refuse a name that resembles one of our rooms, which does not hold it.

    Raises:
        ValueError: the key, what is near.
    """
    words = target.split(".")
    if words[0] != "cgrec" or len(words) < 3 or words[1] not in ROOMS:
        return
    room = ".".join(words[:2])
    near = get_close_matches(words[2], names_in(room), 3)
    if declared(".".join(words[:3])) is None and near:
        raise ValueError(
            f"{key}: {target}: expected a name in {room}, found none; "
            f"did you mean {' or '.join(near)}?"
        )


def is_ours(target: str) -> bool:
    """Whether it is a class of cgrec that a configuration may call."""
    if not target.startswith("cgrec."):
        return False
    now = moved(target) or target
    return now in RULES or _is_role(now)


def _is_role(target: str) -> bool:
    """Whether it is a public class of one of our rooms, or one of the class methods that make an
    object.
    """
    words = target.split(".")
    if words[1] not in ROOMS or any(word.startswith("_") for word in words):
        return False
    found = declared(".".join(words[:-1]) if words[-1] in MAKERS else target)
    if found is None or not isinstance(found.node, ast.ClassDef):
        return False
    if found.name != f"{found.module.name}.{found.node.name}":
        return False  # another of its methods
    return found.module.name.split(".")[1] in ROOMS and not is_error(found)


def _is_dotted(target: str) -> bool:
    return "." in target and all(word.isidentifier() for word in target.split("."))


def _is_argument_of_calculator(key: str) -> bool:
    return re.search(r"\.(calculator_)?arguments\.", key) is not None


def _is_code(value: object) -> bool:
    """Whether it names a file that is here, or one to be fetched from somewhere."""
    return isinstance(value, str) and ("/" in value or "\\" in value or _exists(value))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # longer than a name can be, or with a null character in it
        return False


def _walk(node: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of all tables and lists, the tables themselves too."""
    pairs = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for name, value in pairs:
        key = f"{prefix}.{name}" if prefix else str(name)
        yield key, value
        yield from _walk(value, key)
