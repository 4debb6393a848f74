"""Paths of the user's disk do not belong in a page that is handed on: of an absolute path the last
part is shown, and of a file of a level what stands below its run.
"""

from __future__ import annotations

import re

#: An absolute path of at least two parts, as text holds it: after a space, a quote, = or a bracket.
_PATH = re.compile(
    r"(?<![\w./<>~-])"
    r"(?:file://)?(?:~|[A-Za-z]:)?[/\\](?:(?!level\d)[^\s/\\'\"<>,:;=()\[\]{}]+[/\\])+"
    r"(?=[^\s/\\'\"<>,:;=()\[\]{}])"
)


def without_paths(text: str) -> str:
    """`text` with every absolute path shortened: "run=/home/me/runs/a" is "run=a",
    "/home/me/runs/a/level1/report.json" is "level1/report.json".
    """
    return _PATH.sub("", text)
