"""a level for another program: cgrec export xtc, pdb, extxyz, lammps, ..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from ..dynamics.guard_file import save_guard
from ..export import EXPORTERS, exporter
from ..export.marks import Wishes, wishes_of
from ..files import write_text
from ..level import Level
from ..options import Help, Option, described, options_of, read
from ..potential import Potential
from ..remarks import remark
from ..verdict import DO_NOT_USE, Verdict
from . import call, help_of
from ._runs import LevelNumber, RunOrPackage, level_of

#: cgrec package under another name.
PACKAGE = "package"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What every exporter is told.

    Attributes:
        run, level: what is written.
        to: where.
    """

    run: RunOrPackage
    level: LevelNumber
    to: Annotated[str, Help(says="file or folder to be made")]


@dataclass(frozen=True, kw_only=True)
class Either:
    """What an exporter is told that writes either potential of a level.

    Attributes:
        distilled: the splines of cgrec distil instead of the level's own potential.
    """

    distilled: Annotated[bool, Help(says="the splines of cgrec distil instead of the network")] = (
        False
    )


def export(arguments: list[str]) -> None:
    """Write a level for another program.

    The first word names the program; what else can be given depends on it:
    `cgrec export lammps --help`.
    """
    name = arguments[0] if arguments else ""
    if name == PACKAGE:
        call("package", arguments[1:])
        return
    write = exporter(name)
    wishes = wishes_of(write)
    given = read(f"cgrec export {name}", arguments[1:], _options(write))
    level = level_of(f"cgrec export {name}", given.pop("run"), given.pop("level"), packed=True)
    if wishes.timed:
        given.setdefault("interval", level.interval)
    distilled = bool(given.pop("distilled", wishes.distilled))
    found = level.report.get("verdict")
    # the guard watches the level's own potential
    extra = (None if distilled else _keep_guard(level),) if wishes.guard else ()
    made = write(
        _potential(level, wishes, distilled), level.frames, Path(given.pop("to")), *extra, **given
    )
    if found:
        _say_verdict(Verdict.from_json(found), level.name, Path(str(made)))
    then = wishes.then.format(Path(str(made)).with_suffix("")) if wishes.then else ""
    print(f"{made}: {then}" if then else made)


def _potential(level: Level, wishes: Wishes, distilled: bool) -> Potential | None:
    """What the exporter is given of the level."""
    if not wishes.potential:
        return None
    return level.distilled if distilled else level.potential


def _say_verdict(verdict: Verdict, name: str, made: Path) -> None:
    """The verdict goes with the level: into the README of a folder; "do not use" is remarked, too."""
    readme = made / "README.md"
    if readme.is_file():
        text = readme.read_text().rstrip()
        write_text(readme, f"{text}\n\nVerdict of cgrec: {verdict.line()}\n")
    if verdict.word == DO_NOT_USE:
        remark(f"{made}: {name} is written, and its verdict is {verdict.line()}")


def _keep_guard(level: Level) -> Callable[[Path], None] | None:
    """What writes the guard of the level to a path; None where it has none."""
    guard = level.guard
    return None if guard is None else partial(save_guard, guard)


def explain(arguments: list[str]) -> str:
    """Help on all exporters, or on the one that the words name."""
    names = [word for word in arguments if not word.startswith("-")]
    if names[:1] == [PACKAGE]:
        return help_of(PACKAGE, [])
    name = names[0] if names else next(iter(EXPORTERS))
    options = described(_options(exporter(name)))
    known = ", ".join([*EXPORTERS, PACKAGE])
    return (
        f"cgrec export NAME: write a level for another program, {known}, or one "
        "that an\ninstalled package brings (cgrec --help).\n\n"
        f"Options of cgrec export {name}, as key=value:\n{options}\n\nExample:\n"
        f"    cgrec export {name} run=runs/water level=1 to=water_{name}"
    )


def _options(write: Callable[..., object]) -> list[Option]:
    either = options_of(Either) if wishes_of(write).distilled is None else []
    return [*options_of(Destination), *either, *options_of(write)]
