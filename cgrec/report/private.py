"""Paths of the user's disk do not belong in a page that is handed on: of an absolute path the last
part is shown.
"""

from __future__ import annotations

import re

#: An absolute path of at least two parts, as text holds it: after a space, a quote, = or a bracket.
_PATH = re.compile(
    r"(?<![\w./<>~-])"
    r"(?:file://)?(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>,:;=()\[\]{}]+[/\\])+"
    r"(?=[^\s/\\'\"<>,:;=()\[\]{}])"
)


def without_paths(text: str) -> str:
    """`text` with every absolute path shortened to its last part: "run=/home/me/runs/a" is "run=a"."""
    return _PATH.sub("", text)
