"""A YAML file of the user's own, anywhere on the disk, as the experiment of a climb.

hydra finds experiments by their names in folders, and wants `# @package _global_` in their first
line. A copy with that line in a folder for the moment is such an experiment: `cgrec climb mine.yaml`
needs neither the line nor --config-dir.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

#: How files of configurations end.
SUFFIXES = (".yaml", ".yml")
_HEADER = "# @package _global_\n"


def split(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The YAML file that the words of a command name, and the other words.

    Raises:
        ValueError: two files; a file and experiment=; no such file.
    """
    files = [w for w in words if _is_file(w)]
    rest = [w for w in words if not _is_file(w)]
    if not files:
        _check_bare(rest)
        return None, rest
    if len(files) > 1:
        raise ValueError(f"expected one YAML file, found {' and '.join(files)}; give one of them")
    path = Path(files[0]).expanduser()
    if not path.is_file():
        raise ValueError(
            f"{path}: expected a file, found none; check the path, or make one of your own data "
            f"with cgrec init FILES to={path.name}"
        )
    chosen = [w for w in rest if w.startswith(("experiment=", "+experiment="))]
    if chosen:
        raise ValueError(
            f"experiment: expected either a file or experiment=, found {path} and {chosen[0]}; "
            "leave one out"
        )
    return path, rest


def _check_bare(words: Sequence[str]) -> None:
    """Refuse data of the user's own under the levels of the default experiment, which are those of
    alanine dipeptide.
    """
    sources = [w for w in words if w.startswith("source=")]
    experiments = [w for w in words if w.startswith(("experiment=", "+experiment="))]
    if sources and not experiments:
        raise ValueError(
            f"{sources[0]}: expected an experiment made for your system, found none, so that the "
            "levels of alanine dipeptide would be used; cgrec init FILES writes one, and cgrec "
            "climb mine.yaml runs it; for alanine dipeptide itself give "
            "experiment=alanine_dipeptide"
        )


def _is_file(word: str) -> bool:
    """Whether a word is the path of a YAML and no key=value; a path may hold = itself."""
    if word.startswith("-") or not word.endswith(SUFFIXES):
        return False
    return "=" not in word or Path(word).is_file()


@contextmanager
def as_experiment(path: Path | None) -> Iterator[tuple[list[Path], list[str]]]:
    """Folders to look in first, and overrides that choose the file; both empty without a file.

    Raises:
        ValueError: what was said of the copy, by the name of the user's file; it is no text or no
            table.
    """
    if path is None:
        yield [], []
        return
    text = _text(path)
    with tempfile.TemporaryDirectory(prefix="cgrec_") as name:
        folder = Path(name).resolve()
        copy = folder / "experiment" / "own.yaml"
        copy.parent.mkdir()
        copy.write_text(text, encoding="utf-8")
        try:
            yield [folder], ["experiment=own"]
        except ValueError as error:
            raise ValueError(_by_name(str(error), copy, path)) from error


def _by_name(said: str, copy: Path, path: Path) -> str:
    """What was said of the copy, of the file; the header is no line of it."""
    return said.replace(str(copy), str(path)).replace("'experiment/own'", f"'{path}'")


def _text(path: Path) -> str:
    """The file as an experiment: with its header, and with its name as name of the run."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: expected text in UTF-8, found another encoding; save the file "
            "as UTF-8"
        ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = str(path) if mark is None else f"{path}, line {mark.line + 1}"
        problem = str(getattr(error, "problem", error)).removeprefix("found ")
        way = "put spaces in place of tabs" if "'\\t'" in problem else "correct that line"
        raise ValueError(f"{where}: expected YAML, found {problem}; {way}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: expected a table (key: value), found {content!r}; write key: value on each "
            "line, or make one with cgrec init FILES"
        )
    header = "" if text.lstrip().startswith("# @package") else _HEADER
    named = "" if "name" in content else f"\nname: {json.dumps(path.stem)}\n"
    return header + text + named
