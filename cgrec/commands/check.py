"""look at an experiment before it is made: its settings, then its data; nothing is written"""

from __future__ import annotations

import sys

from ..configuration import build, checked
from ._words import read

_HELP = """cgrec check: everything that can be known before work is done, for the same words as cgrec climb

  cgrec check                            the default experiment
  cgrec check mine.yaml                  a file of your own
  cgrec check experiment=gaussian_chain levels.l1.dynamics.timestep=0.02
  cgrec check --config-dir DIR experiment=mine
  cgrec check mine.yaml --timing         minutes as well, by a few steps of each level, which takes a minute or two

First the settings, in a second or two: names, types, ranges and choices of every key, and the packages
that later steps need. Then what the data say: labels of sites, cutoffs against the box, time steps,
memory and disk. Nothing is written. cgrec climb looks at the same before it begins.
Exit status: 0 nothing was found, 1 something was refused, 2 wrong usage (words that no command has)."""


_TIMING = "--timing"


def check(arguments: list[str]) -> None:
    """Look at a configuration, then at its data, and print what was found."""
    words = read("cgrec check", [one for one in arguments if one != _TIMING])
    config = words.configuration()
    plain = checked(config, words.trust, words.given)
    levels = plain.get("levels") or {}
    _say("settings", f"{_count(plain)} keys, {len(levels)} levels above level 0")
    chain = build(config, words.trust, words.given)
    from ..chain.chain import check_folder  # they import torch
    from ..chain.forecast import forecast

    if chain.folder.exists():
        check_folder(chain)
        _say("folder", f"{chain.folder} is there, and the climb goes on in it")
    for what, found in forecast(chain):
        _say(what, found)
    if _TIMING in arguments:
        from ..setup.times import times_of

        times = times_of(chain, lambda name: sys.stderr.write(f"cgrec check: timing {name}\n"))
        _say("time", "level 0 is of a kind that is not timed" if times is None else times.said())


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP


def _say(what: str, found: str) -> None:
    print(f"{what:12}  {found}")
    sys.stdout.flush()


def _count(node: object) -> int:
    """Values of a configuration that are no tables."""
    if isinstance(node, dict):
        return sum(_count(value) for value in node.values())
    if isinstance(node, list):
        return sum(_count(value) for value in node)
    return 1
