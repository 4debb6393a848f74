"""Pages of the documentation as HTML: Markdown rendered by markdown-it, links between them kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ..files import write_text

#: Markdown pages and their pictures, in a checkout and in the wheel.
PAGES = Path(__file__).parents[1] / "docs"
_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - cgrec</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 sans-serif; color: #222; margin: 0 auto; max-width: 72rem; padding: 1rem;
  display: flex; flex-wrap: wrap; gap: 2rem }}
@media (max-width: 44rem) {{ nav {{ order: 2 }} }}
nav {{ flex: 0 0 11rem }} nav a {{ display: block }} main {{ flex: 1 1 30rem; min-width: 0 }}
a {{ color: #235a97 }} img {{ max-width: 100% }}
pre {{ background: #f4f4f1; padding: .7rem; overflow-x: auto }} code {{ font-size: .9em }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top }}
</style></head><body><nav>{links}</nav><main>{body}</main></body></html>
"""


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub writes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def titles() -> dict[str, str]:
    """{name of a page: its first heading}, home first, then those it links, in its order."""
    linked = re.findall(r"\]\((\w+)\.md\)", (PAGES / "home.md").read_text(encoding="utf-8"))
    names = dict.fromkeys(["home", *linked])
    return {name: _title(name) for name in names}


def rendered(folder: Path) -> None:
    """Write every page as HTML into `folder`, with the pictures beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = titles()
    for picture in (*PAGES.glob("*.svg"), *PAGES.glob("*.png")):
        shutil.copyfile(picture, folder / picture.name)
    links = "".join(f'<a href="{name}.html">{escape(said)}</a>' for name, said in shown.items())
    for name, title in shown.items():
        body = html((PAGES / f"{name}.md").read_text(encoding="utf-8"))
        text = _HTML.format(title=escape(title), links=links, body=body)
        write_text(folder / f"{name}.html", text.encode("ascii", "xmlcharrefreplace").decode())


def html(markdown: str) -> str:
    """A page without what is around it; headings have anchors, links to pages end in html."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for heading, inline in zip(tokens, tokens[1:]):
        if heading.type == "heading_open":
            heading.attrSet("id", slug(inline.content))
    _follow(tokens)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _follow(tokens: Sequence[Token]) -> None:
    for token in tokens:
        target = str(token.attrGet("href") or "")
        if target and "://" not in target:
            token.attrSet("href", re.sub(r"\.md(?=#|$)", ".html", target))
        _follow(token.children or ())


def _title(name: str) -> str:
    first = (PAGES / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ")
