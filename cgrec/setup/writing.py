"""The experiment as a YAML that a person reads and changes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from .files import Sample
from .ladder import Rung

#: Columns of a comment.
WIDTH = 110
#: Keys of a level, in the order in which they are written.
ORDER = (
    "mapping",
    "force_map",
    "mean_forces",
    "priors",
    "potential",
    "training",
    "strays",
    "dynamics",
    "variables",
    "refine",
    "refine_pairs",
    "corrections",
)


def text_of(path: Path, sample: Sample, rungs: Sequence[Rung], comments: Sequence[str]) -> str:
    """The YAML.

    Args:
        path: where it will be.
        sample: what level 0 is made from.
        rungs: levels, with their settings.
        comments: sentences at the top.
    """
    lines = [f"# cgrec climb {path}", "#", *_comments(comments)]
    lines += ["defaults:", f"  - /source: {sample.group}"]
    lines += [f"  - /level@levels.{rung.name}: {rung.group}" for rung in rungs]
    lines += ["", f"name: {inline(path.stem)}"]
    lines += ["control: false   # true: fit every level straight to level 0, too, to compare"]
    lines += ["source:", *(f"  {key}: {inline(value)}" for key, value in sample.settings.items())]
    lines += ["levels:"]
    for rung in rungs:
        lines += [f"  {rung.name}:   # {rung.frames.n_sites} sites: {rung.why}{_forecast(rung)}"]
        table = {"mapping": rung.rule, **rung.settings}
        lines += [f"    {key}: {inline(table[key])}" for key in ORDER if key in table]
    return "\n".join(lines) + "\n"


def _forecast(rung: Rung) -> str:
    return "" if rung.minutes != rung.minutes else f"; about {max(rung.minutes, 0.1):.1f} min"


def _comments(sentences: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for sentence in sentences:
        lines += textwrap.wrap(sentence, WIDTH, initial_indent="# ", subsequent_indent="#   ")
    return lines


def inline(value: object) -> str:
    """In one line, as YAML."""
    said = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return said.strip().removesuffix("...").strip()
