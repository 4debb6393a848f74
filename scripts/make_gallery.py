"""The gallery: what the shipped experiments come to, from real runs.

    cgrec climb experiment=helix && cgrec climb experiment=chignolin
    python scripts/make_gallery.py runs/helix runs/chignolin --to gallery

writes gallery/index.html beside the report of each run, a page that can be put on any web server, and
cgrec/docs/gallery.md with its pictures, which the documentation shows.
"""

from __future__ import annotations

import argparse
import shutil
from html import escape
from pathlib import Path

import yaml

from cgrec.report import figures, write_report
from cgrec.report.pieces import duration
from cgrec.report.read import RunFiles, read_run

DOCS = Path(__file__).parents[1] / "cgrec" / "docs"
#: Dots per inch of the pictures, some 50 kB each.
DPI = 80
HEAD = """# Gallery

What the shipped experiments come to: each was climbed by the command above its picture, and judged as every run is. A verdict that is not "trust"
is shown as it came; minutes are those of a machine that had other work. This page is made by `scripts/make_gallery.py` from the folders of the runs.
"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cgrec: gallery</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
img{{width:100%}} code{{background:#f2f4f6;padding:.1em .3em}}</style>
<h1>What the shipped experiments come to</h1>
{entries}
</html>
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished climbs")
    parser.add_argument("--to", type=Path, default=Path("gallery"), help="folder to be made")
    options = parser.parse_args()
    options.to.mkdir(exist_ok=True)
    told = [entry(read_run(folder), options.to) for folder in options.runs]
    (DOCS / "gallery.md").write_text(HEAD + "".join(as_markdown(*one) for one in told))
    page = PAGE.format(entries="\n".join(as_html(*one) for one in told))
    (options.to / "index.html").write_text(page)
    print(f"{options.to / 'index.html'}: {len(told)} runs")


def entry(run: RunFiles, to: Path) -> tuple[str, str, list[str]]:
    """Name of the experiment, how long it took and on what, a line for each level; its picture and
    its report are put into their folders.
    """
    name = str(yaml.safe_load(run.config)["name"])
    drawn = figures.structures(run.levels)
    if drawn is not None:
        picture = DOCS / f"gallery_{name}.png"
        drawn.savefig(picture, dpi=DPI)
        shutil.copy(picture, to / f"{name}.png")
    shutil.copy(write_report(run.folder), to / f"{name}.html")
    took = f"{duration(run.about.get('seconds'))} on {run.about.get('device')}"
    lines = [
        f"{level.name}, {level.n_sites} sites: {level.verdict.line()}"
        for level in run.levels
        if level.verdict is not None
    ]
    return name, took, lines


def as_markdown(name: str, took: str, lines: list[str]) -> str:
    """A section of the page in the documentation."""
    listed = "\n".join(f"* {line}" for line in lines)
    return (
        f"\n## {name}\n\n`cgrec climb experiment={name}`, {took}.\n\n"
        f"![levels of {name}](gallery_{name}.png)\n\n{listed}\n"
    )


def as_html(name: str, took: str, lines: list[str]) -> str:
    """A section of the page of its own, with its report."""
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<h2><a href="{name}.html">{name}</a></h2><p><code>cgrec climb experiment={name}</code>, '
        f'{escape(took)}</p><img src="{name}.png" alt="levels of {name}"><ul>{listed}</ul>'
    )


if __name__ == "__main__":
    main()
