"""Imports point one way, files and classes are short, and tests lie in the room they test."""

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[2] / "cgrec"
RANKS = [
    {
        "_moved",
        "bonds",
        "cards",
        "devices",
        "units",
        "geometry",
        "files",
        "index_select",
        "needs",
        "options",
        "ranges",
        "site_labels",
        "stopping",
        "plugins",
        "threads",
    },
    {"cell", "outward", "remarks"},
    {"native", "run"},
    {"system", "progress"},
    {"cluster"},
    {"frames", "trace"},
    {"roles", "statistics"},
    {"io"},
    {"variables"},
    {"observables"},
    {"mapping", "potential"},
    {"training", "dynamics"},
    {"corrections", "export"},
    {"sources", "verdict"},
    {"backmapping"},
    {"level"},
    {"chain", "handover"},
    {"package"},
    {"report"},
    {"configuration"},
    {"setup"},
    {"view"},
    {"commands"},
    {"cli"},
    {"agents"},
    {"__main__"},
]
RANK = {room: k for k, rooms in enumerate(RANKS) for room in rooms}
OWNERS = {
    "MDAnalysis": {"io"},
    "mdtraj": {"io"},
    "torch_geometric": {"potential", "training", "mapping"},
    "e3nn": {"potential"},
    "torchpme": {"potential"},
    "hydra": {"configuration"},
    "omegaconf": {"configuration"},
    "matplotlib": {"report"},
    "markdown_it": {"commands"},
    "starlette": {"view"},
    "uvicorn": {"view"},
    "tqdm": {"progress"},
    "submitit": {"cluster"},
}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def imports(path):
    """Every import of a file but those that only a type checker sees."""
    tree = ast.parse(path.read_text())
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return [node for node in found if id(node) not in unseen]


def imported(path):
    """(room inside cgrec or None, outside package or None) of every import in the file."""
    depth = len(path.relative_to(ROOT).parts)
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from (
                [(node.module.split(".")[0], None)]
                if node.module
                else [(a.name, None) for a in node.names]
            )
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from ((None, a.name.split(".")[0]) for a in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = room(path)
    assert own in RANK, f"{own} has no rank: give it one here and in the design"
    for inside, outside in imported(path):
        if inside is not None and inside != own:
            assert RANK[inside] < RANK[own], (
                f"{path.name} imports {inside}, which does not lie below {own}"
            )
        if outside in OWNERS:
            assert own in OWNERS[outside], (
                f"{path.name} imports {outside}, which belongs to {OWNERS[outside]}"
            )


def module_of(path):
    """("cgrec", "room", "file") of a file; a room's own name for its __init__."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(p): p for p in ROOT.rglob("*.py")}


def modules_imported(path):
    """The files of cgrec a file imports, anywhere in it; not those for type checkers alone."""
    package = path.relative_to(ROOT.parent).parts[:-1]
    for node in imports(path):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        base += tuple(node.module.split(".")) if node.module else ()
        for alias in node.names:
            found = (*base, alias.name)
            yield found if found in MODULES else base


def test_no_circle_between_files():
    """Whoever reads a file can read what it stands on first; imports inside functions count."""
    graph = nx.DiGraph()
    for module, path in MODULES.items():
        graph.add_edges_from((module, found) for found in modules_imported(path) if found != module)
    circles = [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert not circles, f"files import each other in circles: {circles}"


#: Lines of a class, its docstring too: past it, a class does something besides its name.
LONGEST_CLASS = 180
#: Share of lines above 100 columns: docstrings of one line, addresses, commands in comments.
LONG_LINES = 0.005


def test_no_class_is_long():
    long = [
        f"{path.relative_to(ROOT)}: {node.name}, {node.end_lineno - node.lineno + 1} lines"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.end_lineno - node.lineno >= LONGEST_CLASS
    ]
    assert not long, long


def test_lines_are_short_and_formatted():
    sources = [
        p for name in ("cgrec", "tests", "scripts") for p in (ROOT.parent / name).rglob("*.py")
    ]
    lines = [line for path in sources for line in path.read_text().splitlines()]
    assert sum(len(line) > 100 for line in lines) <= LONG_LINES * len(lines)
    assert not [line for line in lines if line.rstrip().endswith("fmt: " + "skip")]


#: Folders of tests that are no room: of files beside the rooms, of the whole, of every role, of
#: everything on a GPU, of a package of somebody else, of data.
OTHER_FOLDERS = {"ground", "house", "contracts", "devices", "plugin", "data"}


def test_tests_lie_in_the_room_they_test():
    tests = ROOT.parent / "tests"
    folders = {p.name for p in tests.iterdir() if any(p.glob("test_*.py"))}
    rooms = {p.name for p in ROOT.iterdir() if any(p.glob("*.py"))}
    assert folders - OTHER_FOLDERS <= rooms
    assert not list(tests.glob("test_*.py")), "a test belongs into the folder of a room"
    names = [
        p.name for room in sorted(folders - {"contracts"}) for p in tests.glob(f"{room}/test_*.py")
    ]
    assert len(names) == len(set(names)), "pytest asks for one name per file of tests"


#: Words `Any` and comments `type: ignore` in a thousand lines. An `Any` stands where a file is
#: read, and where a class is called by what a table says; nowhere else it is needed.
MOST_ANY, MOST_IGNORED = 2.0, 1.0


@pytest.mark.parametrize(
    "word, most", [(r"\bAny\b", MOST_ANY), (r"type: ignore", MOST_IGNORED)], ids=["Any", "ignore"]
)
def test_types_say_something(word, most):
    texts = [path.read_text() for path in ROOT.rglob("*.py")]
    found = sum(len(re.findall(word, text)) for text in texts)
    assert found <= most * sum(text.count("\n") for text in texts) / 1000
