"""A command: `cgrec count run=FOLDER`."""

from __future__ import annotations

import cgrec


def count(arguments: list[str]) -> None:
    """cgrec count run=FOLDER: how many sites each level of a run has."""
    given = dict(word.partition("=")[::2] for word in arguments)
    if set(given) != {"run"}:
        raise ValueError(
            f"cgrec count: expected run=FOLDER, found {' '.join(arguments) or 'nothing'}"
        )
    print(" ".join(str(level.system.n_sites) for level in cgrec.load(given["run"]).levels))
