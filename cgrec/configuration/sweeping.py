"""Many climbs by hydra's own sweepers and launchers, which read the command line themselves."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from ..run import layout
from .own_yaml import as_experiment, split
from .settings import (
    choices_only,
    composed,
    configuration,
    given_keys,
    in_folders,
    inside,
    own_folder,
    readable,
    stays_inside,
)
from .unlisted import with_plus


def sweep(
    overrides: list[str],
    own: Sequence[str],
    trust: bool,
    climb: Callable[[DictConfig], None],
) -> None:
    """Call `climb` with the configuration of every job.

    Args:
        overrides: key=value, commas between values of a sweep; one may be the path of a YAML.
        own: folders of --config-dir.
        trust: as of `_check_sweep`.
        climb: what each job does.

    Raises:
        ValueError: as `_check_sweep`, before the first job.
    """
    file, rest = split(overrides)
    with as_experiment(file) as (first, chosen):
        _sweep([*chosen, *rest], [*map(str, first), *own], trust, climb)


def _sweep(
    overrides: list[str], own: Sequence[str], trust: bool, climb: Callable[[DictConfig], None]
) -> None:
    """`sweep` of words without a file."""
    _check_sweep(overrides, own, trust)
    folders = [*map(own_folder, own), configuration()]
    search = ", ".join(f'"file://{folder}"' for folder in folders)
    given = _accepted([readable(o, True) for o in overrides], own)
    words = [*given, f"hydra.searchpath=[{search}]"]
    command = ["cgrec climb", "--multirun", *words]
    with _as_hydra_wants_it(command), tempfile.TemporaryDirectory() as alone:
        # hydra looks in the folder of config.yaml first, whatever the search path: that folder
        # holds nothing else, so that experiments of the user come before shipped ones of the same
        # name.
        shutil.copy(configuration() / layout.CONFIG, alone)
        hydra.main(config_path=alone, config_name="config", version_base="1.3")(climb)()


@contextmanager
def _as_hydra_wants_it(words: list[str]) -> Iterator[None]:
    """`words` as the command line, and errors raised where hydra would print and exit."""
    before = sys.argv
    full = os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = words
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = before
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full


def _accepted(overrides: Sequence[str], own: Sequence[str]) -> list[str]:
    """`overrides` of a sweep as hydra itself takes them, with a plus before keys that no YAML lists."""
    with in_folders([*map(own_folder, own), configuration()]):
        first = [_choices(o)[0] for o in overrides]
        return with_plus(overrides, choices_only(first))


def _check_sweep(overrides: list[str], own: Sequence[str], trust: bool) -> None:
    """Compose every choice of a sweep once, before hydra does, and look at what hydra itself would
    call.

    Args:
        overrides: key=value, commas between values of a sweep.
        own: folders of --config-dir.
        trust: leave out the looking.

    Raises:
        ValueError: as `composed`; or a launcher, sweeper, callback or logger that is none of
            hydra's.
    """
    overrides = [readable(o, sweep=True) for o in overrides]
    choices = [_choices(o) for o in overrides]
    first = [options[0] for options in choices]
    rows = [
        first,
        *([*first[:k], o, *first[k + 1 :]] for k, more in enumerate(choices) for o in more[1:]),
    ]
    for row in rows:
        stays: list[str] = row
        config = composed(stays, own, hydra_too=True)
        if not trust:
            _check_hydra(OmegaConf.to_container(config.hydra, resolve=False))
            if "hydra.sweep.dir" not in given_keys(stays) and not inside(
                str(config.hydra.sweep.dir)
            ):
                raise ValueError(
                    f"hydra.sweep.dir: expected a folder inside {Path.cwd()}, found "
                    f"{config.hydra.sweep.dir!r} in a YAML; give "
                    "it on the command line to have it there"
                )
            stays_inside(config, stays)


def _choices(override: str) -> list[str]:
    """The single overrides of one that sweeps."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return [override]
    key = override.partition("=")[0]
    return [f"{key}={value}" for value in parsed.sweep_string_iterator()]


def _check_hydra(node: object, key: str = "hydra") -> None:
    """Refuse what hydra and the logging module would import: targets, logging classes and factories
    that are not their own.
    """
    for name, value in (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    ):
        path = f"{key}.{name}"
        called = name in ("_target_", "class", "()") and not str(value).startswith(
            ("hydra_plugins.", "hydra._internal.core_plugins.", "logging.", "colorlog.")
        )
        if called or (
            isinstance(value, str)
            and value.startswith(("ext://", "cfg://"))
            and "ext://sys.std" not in value
        ):
            raise ValueError(
                f"{path}: expected one of hydra's own classes, found {value!r}; give --trust "
                "if you know who wrote it and what "
                "it does"
            )
        _check_hydra(value, path)
