"""What `cgrec NAME` does: one file of this folder for a command, found by listing the folder.

The file of `cgrec some-name` is some_name.py. The first line of its docstring is what
`cgrec --help` says of it. It holds either a dataclass of options, SomeName, whose call does the work
and gives what is printed (see `cgrec.options`), or a function of the words, some_name. Files that
begin with an underscore are no commands. What --help says is the docstring of the class, with its
options, or of the function; a file with a function `explain` of the words says more. Installed packages bring others by the entry-point group
`cgrec.commands`: a dataclass or a function as well.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..options import described, options_of, read
from ..plugins import COMMANDS as GROUP
from ..plugins import EXPORTERS, loaded, offered, package_of, summary_of

#: Exporters that are cgrec's own, without importing them.
_OWN_EXPORTERS = (
    "lammps",
    "openmm",
    "ipi",
    "torch_sim",
    "xtc",
    "trr",
    "dcd",
    "h5md",
    "pdb",
    "gro",
    "psf",
    "extxyz",
    "npz",
)


def own() -> list[str]:
    """Names of cgrec's own commands, first the one that all others need a run of."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    names = [name.replace("_", "-") for name in found if not name.startswith("_")]
    return sorted(names, key=lambda name: name != "climb")


def brought() -> list[str]:
    """Names of those that installed packages bring; a name of cgrec's own stays cgrec's."""
    return [name for name in offered(GROUP) if name not in own()]


def find(name: str) -> Callable[..., object]:
    """The dataclass or function of a command.

    Raises:
        KeyError: there is none. ValueError: its package cannot be imported, or two offer it.
    """
    if name not in own():
        return loaded(GROUP, name)
    module = vars(_module(name))
    plain = name.replace("-", "_")
    found: Callable[..., object] = module.get(plain.title().replace("_", "")) or module[plain]
    return found


def _module(name: str) -> ModuleType:
    return import_module(f".{name.replace('-', '_')}", __name__)


def call(name: str, words: list[str]) -> None:
    """Do what `cgrec NAME words` asks for; the answer of a dataclass is printed.

    Raises:
        ValueError: of the words, and of the command.
    """
    target = find(name)
    if not is_dataclass(target):
        target(words)
        return
    request = target(**read(f"cgrec {name}", words, options_of(target)))
    said = request()  # type: ignore[operator]  # options of a command are callable
    if said:
        print(said)


def help_of(name: str, words: list[str]) -> str:
    """What `cgrec NAME words --help` prints."""
    if name in own() and hasattr(_module(name), "explain"):
        return str(_module(name).explain(words))
    target = find(name)
    said = inspect.getdoc(target) or f"{name}: no help"
    if not is_dataclass(target):
        return said
    text, _, example = said.partition("\nExample:\n")
    table = described(options_of(target))
    parts = [f"cgrec {name}: {text.strip()}", f"Options, as key=value:\n{table}"]
    return "\n\n".join([*parts, f"Example:\n{example}"] if example else parts)


def usage() -> str:
    """A line for each command and exporter, without importing any."""
    lines = [f"  cgrec {name:20} {_summary(name)}\n" for name in own()]
    foreign = _of_packages()
    return "".join(lines) + (f"\nOf installed packages:\n\n{foreign}" if foreign else "")


def _summary(name: str) -> str:
    """The first line of the file's docstring: the file is read and not imported, because most
    commands import torch, which takes seconds.
    """
    source = Path(__file__).with_name(f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _of_packages() -> str:
    lines = []
    for group, before, taken in (
        (GROUP, "cgrec", own()),
        (EXPORTERS, "cgrec export", _OWN_EXPORTERS),
    ):
        for name, points in offered(group).items():
            packages = " and ".join(package_of(point) for point in points)
            said = f"{summary_of(points[0])} (package {packages})".strip()
            note = "; not in use: cgrec has one of this name" if name in taken else ""
            lines.append(f"  {before + ' ' + name:26} {said}{note}\n")
    return "".join(lines)
