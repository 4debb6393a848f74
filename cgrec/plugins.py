"""What installed packages of other people add to cgrec: classes, commands, exporters. Entry points
are the only door.

A package says in its pyproject.toml what it brings:

    [project.entry-points."cgrec.plugins"]
    toy = "toy"                      # a module: its public names are targets, classes of a .pt
    [project.entry-points."cgrec.commands"]
    greet = "toy.commands:greet"     # cgrec greet
    [project.entry-points."cgrec.exporters"]
    xyz = "toy.export:write_xyz"     # cgrec export xyz

To install a package is the user's word that its code may run. A file in the folder of a run is no
such word: a name in it is looked up among classes of cgrec, of installed plugins and of what the
running program has imported itself, and nothing else is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

PLUGINS, COMMANDS, EXPORTERS = "cgrec.plugins", "cgrec.commands", "cgrec.exporters"
T = TypeVar("T")


def trusted_modules() -> tuple[str, ...]:
    """Modules that installed plugins bring; what lies below them is theirs too."""
    return tuple(dict.fromkeys(_module(point) for point in entry_points(group=PLUGINS)))


def offered(group: str) -> dict[str, list[EntryPoint]]:
    """{name: its entry points} of a group: more than one where two packages offer the same name."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, {}).setdefault(
            package_of(point), point
        )  # a folder may be on the path twice
    return {name: list(points.values()) for name, points in sorted(found.items())}


def package_of(point: EntryPoint) -> str:
    """The package that an entry point came with."""
    return point.dist.name if point.dist is not None else _module(point).partition(".")[0]


def _module(point: EntryPoint) -> str:
    """The module an entry point names; `EntryPoint.module` fails where the value is malformed."""
    return point.value.partition(":")[0].strip()


def summary_of(point: EntryPoint) -> str:
    """What the package says of itself in one line; empty where it says nothing."""
    about = None if point.dist is None else point.dist.metadata
    return str(about["Summary"]) if about is not None and "Summary" in about else ""


def loaded(group: str, name: str) -> Callable[..., object]:
    """What the entry point `name` of a group names.

    Raises:
        ValueError: two packages offer it; or its package is broken: the message says which.
    """
    points = offered(group)[name]
    if len(points) > 1:
        packages = " and ".join(package_of(p) for p in points)
        raise ValueError(
            f"{name}: expected one package that offers it, found {packages}; uninstall one of them"
        )
    try:
        found = points[0].load()
    except Exception as error:  # anything can happen in a module of somebody else
        raise ValueError(
            f"{name}: the package {package_of(points[0])}, which offers it, cannot be imported "
            f"({type(error).__name__}: {error}); mend or uninstall it"
        ) from error
    if not callable(found):
        raise ValueError(
            f"{name}: expected a function at {points[0].value} of the package "
            f"{package_of(points[0])}, found "
            f"{type(found).__name__}; mend or uninstall it"
        )
    return found


class NoPlugin(ValueError):
    """A file names a class of somebody else's package that may not, or cannot, be imported."""


class Registry(Generic[T]):
    """Classes by the name that a file stores, `module:Class`, so that two packages may have a class
    of one name.

    Classes of cgrec are found by the last word alone: a module that moves inside cgrec changes
    nothing for files that are there, and files of earlier versions name no module.

    Args:
        kind: what they are, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._known: dict[str, type[T]] = {}

    def add(self, cls: type[T]) -> None:
        """Know a class from now on, by the name of `name`."""
        self._known[self.name(cls)] = cls

    @staticmethod
    def name(cls: type) -> str:
        """`module:Class`, what a file stores. A script has one name in the processes that it starts
        as well.
        """
        module = "__main__" if cls.__module__ == "__mp_main__" else cls.__module__
        return f"{module}:{cls.__qualname__}"

    def own(self) -> dict[str, type[T]]:
        """{bare name: class} of cgrec's own."""
        return {c.__name__: c for c in self._known.values() if _is_ours(c.__module__)}

    def find(self, name: object) -> type[T]:
        """The class that a file names.

        Raises:
            ValueError: it is none of cgrec's.
            NoPlugin: it is none of an installed plugin's either, nor of those imported so far.
        """
        word = name if isinstance(name, str) else ""
        module, _, bare = word.rpartition(":")
        if not module or _is_ours(module):
            own = self.own()
            if bare not in own:
                raise ValueError(
                    f"unknown {self.kind} class {name!r}: expected one of "
                    f"{', '.join(sorted(own))}, or module:Class of an "
                    "installed plugin"
                )
            return own[bare]
        if word not in self._known:
            self._import(word, module)
        return self._known[word]

    def _import(self, name: str, module: str) -> None:
        """Import the plugin that a class is of: the modules its package names first, then the one
        below them.
        """
        package = module.partition(".")[0]
        trusted = [m for m in trusted_modules() if m.partition(".")[0] == package]
        if not trusted:
            raise NoPlugin(
                f"{name} is a {self.kind} class of the package {package}, which is no plugin "
                f"of cgrec here: install {package} "
                f"if it has an entry point in the group {PLUGINS}, or, if you know who wrote "
                f"it, import {module} before"
            )
        below = [module] if any(f"{module}.".startswith(f"{m}.") for m in trusted) else []
        for one in [*trusted, *below]:
            try:
                import_module(one)
            except Exception as error:  # anything can happen in a module of somebody else
                raise NoPlugin(
                    f"{name}: the plugin {one} cannot be imported ({type(error).__name__}: "
                    f"{error}); mend or update the "
                    f"package {package}"
                ) from error
            if name in self._known:
                return
        raise NoPlugin(
            f"unknown {self.kind} class {name!r}: expected one that the plugin "
            f"{', '.join(trusted)} brings; install the version of "
            f"{package} that the file was made with"
        )


def _is_ours(module: str) -> bool:
    return module == "cgrec" or module.startswith("cgrec.")
