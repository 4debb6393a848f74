"""The words of a command that takes a configuration: a YAML, key=value, and a few flags."""

from __future__ import annotations

from dataclasses import dataclass

from ..configuration import SUFFIXES, Composed, composed, given_keys, stays_inside
from ..options import WrongUsage


@dataclass(frozen=True)
class Words:
    """What the command line says of a configuration.

    Attributes:
        overrides: the path of a YAML and key=value, in their order.
        folders: of --config-dir.
        trust: --trust was given.
        show: --cfg job was given.
    """

    overrides: list[str]
    folders: list[str]
    trust: bool
    show: bool

    @property
    def given(self) -> frozenset[str]:
        """Keys that have their value from the command line."""
        return frozenset(given_keys(self.overrides))

    def configuration(self) -> Composed:
        """The configuration that they mean.

        Raises:
            ValueError: a word that cannot be read, an unknown key, a run folder that a YAML puts
                outside the working folder.
        """
        config = composed(self.overrides, self.folders)
        if not self.trust:
            stays_inside(config, self.overrides)
        return config


def read(command: str, arguments: list[str]) -> Words:
    """The words of `command`, such as "cgrec climb".

    Raises:
        WrongUsage: a flag that it does not have, or a word that is no key=value.
    """
    rest = [a for a in arguments if a != "--trust"]
    show = _take_pair(rest, "--cfg") is not None
    folders = _take_folders(rest)
    _check(command, rest)
    return Words(rest, folders, "--trust" in arguments, show)


def _check(command: str, words: list[str]) -> None:
    """Refuse what is no key=value."""
    for word in words:
        if word.startswith("-"):
            raise WrongUsage(
                f"{command}: expected key=value, --cfg job, --config-dir DIR, --multirun, "
                f"--trust or --debug, found {word}"
            )
        if not word.startswith("~") and word.find("=") < 1 and not word.endswith(SUFFIXES):
            raise WrongUsage(
                f"{command}: expected key=value or the path of a YAML, found {word!r}; e.g. "
                f"experiment=gaussian_chain, or {command} mine.yaml"
            )


def _take_pair(arguments: list[str], flag: str) -> str | None:
    if flag not in arguments:
        return None
    example = "--cfg job" if flag == "--cfg" else f"{flag} FOLDER"
    place = arguments.index(flag)
    if place + 1 >= len(arguments):
        raise ValueError(f"{flag}: expected a value after it, found none; e.g. {example}")
    value = arguments[place + 1]
    if flag == "--cfg" and value != "job":
        raise ValueError(f"--cfg: expected job, found {value}; e.g. {example}")
    del arguments[place : place + 2]
    return value


def _take_folders(arguments: list[str]) -> list[str]:
    """All of --config-dir, in their order, also as --config-dir=DIR; they are taken out of
    `arguments`.
    """
    flag = "--config-dir"
    folders: list[str] = []
    for place, argument in reversed(list(enumerate(arguments))):
        if argument.startswith(f"{flag}="):
            arguments[place : place + 1] = [flag, argument.partition("=")[2]]
    while (folder := _take_pair(arguments, flag)) is not None:
        folders.append(folder)
    return folders
