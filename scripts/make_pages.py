"""Pages of cgrec/docs that are made from code: the public names, and the tutorials.

    python scripts/make_pages.py

writes cgrec/docs/api.md and cgrec/docs/tutorial_*.md. A test says when they are out of date.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import cgrec

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "cgrec" / "docs"
TUTORIALS = ROOT / "scripts" / "tutorials"


def first_sentence(thing: object) -> str:
    """Of a docstring, in one line that a table can hold."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    line = " ".join(paragraph.split()).replace("|", "\\|")
    return re.split(r"(?<=\w{3}\.) (?=[A-Z])", line)[0]


def says_something(thing: object) -> bool:
    """Numbers, tables and aliases of types have the docstring of their class, which says nothing."""
    return inspect.isclass(thing) or inspect.isroutine(thing)


def names() -> str:
    """The page of public names."""
    parts = [
        "# Names",
        "Every public class and function, by room, with the first sentence of its docstring. `help(NAME)` says the "
        "rest: shapes, units, what is raised. This page is made by `scripts/make_pages.py`.",
    ]
    top = [(name, getattr(cgrec, name)) for name in cgrec.__all__]
    parts.append("## cgrec\n\n" + table(top))
    for room in cgrec._rooms():
        module = import_module(f"cgrec.{room}")
        public = getattr(module, "__all__", None)
        if public and room not in ("cli", "commands"):
            found = [(name, getattr(module, name)) for name in public]
            said = first_sentence(module)
            parts.append(f"## cgrec.{room}\n\n{said[:1].upper()}{said[1:]}\n\n{table(found)}")
    return "\n\n".join(parts) + "\n"


def table(found: list[tuple[str, object]]) -> str:
    rows = [
        f"| `{name}` | {first_sentence(thing)} |"
        for name, thing in sorted(found, key=lambda pair: pair[0].lower())
        if says_something(thing)
    ]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def tutorial(path: Path) -> str:
    """A percent script as Markdown: text of `# %% [markdown]` cells, code of the others."""
    parts = []
    for cell in re.split(r"(?m)^# %%", path.read_text())[1:]:
        kind, _, body = cell.partition("\n")
        body = body.strip("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"(?m)^# ?", "", body))
        elif body:
            parts.append(f"```python\n{body}\n```")
    where = path.relative_to(ROOT).as_posix()
    parts.append(f"This page is made from `{where}`: run that file, `--small` for a first look.")
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """{path of a page: its text}."""
    made = {DOCS / "api.md": names()}
    for path in sorted(TUTORIALS.glob("*.py")):
        if "# %% [markdown]" in path.read_text():
            made[DOCS / f"tutorial_{path.stem}.md"] = tutorial(path)
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
