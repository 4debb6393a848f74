"""Many climbs by hydra's own sweepers and launchers, which read the command line themselves."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import hydra
from omegaconf import DictConfig

from .settings import accepted, check_sweep, configuration, own_folder, readable


def sweep(
    overrides: list[str],
    own: Sequence[str],
    trust: bool,
    climb: Callable[[DictConfig], None],
) -> None:
    """Call `climb` with the configuration of every job.

    Args:
        overrides: key=value, commas between values of a sweep.
        own: folders of --config-dir.
        trust: as of `check_sweep`.
        climb: what each job does.

    Raises:
        ValueError: as `check_sweep`, before the first job.
    """
    check_sweep(overrides, own, trust)
    folders = [*map(own_folder, own), configuration()]
    search = ", ".join(f'"file://{folder}"' for folder in folders)
    given = accepted([readable(o, True) for o in overrides], own)
    words = [*given, f"hydra.searchpath=[{search}]"]
    command = ["cgrec climb", "--multirun", *words]
    with _as_hydra_wants_it(command), tempfile.TemporaryDirectory() as alone:
        # hydra looks in the folder of config.yaml first, whatever the search path: that folder
        # holds nothing else, so that experiments of the user come before shipped ones of the same
        # name.
        shutil.copy(configuration() / "config.yaml", alone)
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
