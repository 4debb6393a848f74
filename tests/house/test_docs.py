"""The pages of cgrec/docs and README.md: every name and link is there, every example runs."""

import re
import sys
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import cgrec
from cgrec import commands
from cgrec.backmapping import FlowBackmapper
from cgrec.cli import main
from cgrec.io import write
from cgrec.options import options_of, read
from cgrec.roles import __doc__ as roles

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "cgrec" / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def exists(name):
    """Whether a dotted name of cgrec, or a path of the repository, is there."""
    if "/" in name or name.endswith(".py"):
        return (ROOT / name).exists()
    words = name.split(".")
    for n in range(len(words), 0, -1):
        try:
            found = import_module(".".join(words[:n]))
        except ModuleNotFoundError:
            continue
        for word in words[n:]:
            if not hasattr(found, word):
                return False
            found = getattr(found, word)
        return True
    return False


def spans(page):
    """`code` in the prose of a page."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))


def test_a_name_that_is_not_there_is_noticed():
    assert not exists("cgrec.mapping.forces.most_noise") and not exists("cgrec/nowhere.py")
    assert exists("cgrec.mapping.forces.least_noise") and exists("cgrec/roles.py")


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "changelog.md"], ids=lambda p: p.name
)
def test_every_name_of_a_page_is_there(page):
    named = [s for s in spans(page) if re.fullmatch(r"(cgrec|conf|tests|scripts)[./][\w./]+", s)]
    lost = [name for name in named if not exists(name.rstrip("/"))]
    assert not lost, f"{page.name} names what is not there: {', '.join(lost)}"


def test_the_tour_finds_what_a_newcomer_looks_for():
    text = (DOCS / "tour.md").read_text()
    for wanted in ("least-noise force map", "BAOAB step", "error floor", "file names of a run"):
        (row,) = [line for line in text.splitlines() if f"**the {wanted}**" in line]
        assert re.search(r"`cgrec[./]", row.split("|")[2]), wanted
    assert len(text.split()) < 1200, "two pages are some 1,200 words"


def test_concepts_name_all_roles_that_a_user_meets():
    text = (DOCS / "concepts.md").read_text()
    for role in (
        "Source",
        "Rule",
        "ForceMap",
        "Prior",
        "Engine",
        "Correction",
        "Exporter",
        "Command",
    ):
        assert f"    {role} " in roles and role in text


def anchors(page):
    """What `#...` may name in a page: its headings, as GitHub writes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def dead(page):
    """Links of a page to files or headings that are not there, or that the wheel does not have."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        place = page.parent / file if file else page
        outside = page.parent == DOCS and place.resolve().parent != DOCS
        if not place.is_file() or outside or (anchor and anchor not in anchors(place)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    assert not list(dead(page))


def test_a_dead_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n\n[a](page.md#one) [b](page.md#two) [c](none.md) [d](#one) `[e](x)`")
    assert list(dead(page)) == ["page.md#two", "none.md"]


def test_every_page_is_linked_from_home():
    text = (DOCS / "home.md").read_text()
    for page in DOCS.glob("*.md"):
        assert f"({page.name})" in text or page.name == "home.md", page.name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_pages_that_are_made_from_code_are_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    old = [
        p.name for p, text in import_module("make_pages").pages().items() if p.read_text() != text
    ]
    assert not old, f"run python scripts/make_pages.py: {', '.join(old)}"


def test_the_command_of_the_page_on_extending_works(monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), re.DOTALL)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(block, module.__dict__)
    given = read("cgrec count", ["run=x", "above=l1"], options_of(module.Count))
    assert module.Count(**given) == module.Count(run="x", above=1)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_a_page_exist(page):
    for name in re.findall(r"^cgrec ([a-z][\w-]*)", page.read_text(), re.MULTILINE):
        assert name in [*commands.own(), "count"], name


#: Alanine dipeptide in a minute: it is there, and not to be believed.
TINY = [
    "go_on=true",
    "control=false",
    "bins=8",
    "source.check_labels=0",
    *(
        f"source.dynamics.{option}"
        for option in ("n_replicas=32", "length=2", "equilibration=0.3", "bias.growth=0.5")
    ),
    *(
        f"levels.{level}.{option}"
        for level in ("l1", "l2", "l3")
        for option in (
            "training.steps=150",
            "training.validate_every=50",
            "training.batch_size=32",
            "dynamics.n_replicas=4",
            "dynamics.length=0.1",
            "dynamics.save_every=0.01",
            "dynamics.equilibration=0.01",
            "dynamics.timestep=0.0005",
        )
    ),
    *(f"levels.{level}.dynamics.bias.growth=0.02" for level in ("l1", "l2")),
    *(f"levels.{level}.dynamics.bias.height=0.05" for level in ("l1", "l2")),
]


@pytest.mark.slow
def test_the_page_on_python_runs(tmp_path, monkeypatch):
    """Line by line, on a run and a trajectory of the names that it gives."""
    pytest.importorskip("openmm")
    monkeypatch.chdir(tmp_path)
    main(["climb", *TINY])
    frames = replace(cgrec.load("runs/alanine_dipeptide").levels[0].frames, weights=None)
    write(frames, "run.trr")
    write(frames[:1], "system.pdb")
    monkeypatch.setattr(FlowBackmapper, "fit", partial(FlowBackmapper.fit, steps=5))
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    found: dict = {}
    exec(block, found)
    mapped = found["mapping"](found["fine"])
    assert np.allclose(mapped.positions, found["coarse"].positions, atol=1e-6)
    assert found["whole"].system.n_sites == frames.system.n_sites
