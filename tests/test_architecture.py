"""Imports point one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "cgrec"
RANKS = [
    {
        "bonds",
        "units",
        "geometry",
        "files",
        "index_select",
        "options",
        "ranges",
        "site_labels",
        "stopping",
        "lock",
        "plugins",
        "threads",
    },
    {"cell", "remarks"},
    {"digests", "native"},
    {"checkpoints", "recipes"},
    {"stages"},
    {"system"},
    {"frames"},
    {"collective_variables", "sampling"},
    {"statistics"},
    {"observables"},
    {"trajectory_files", "mapping", "potential"},
    {"roles"},
    {"analysis"},
    {"training", "dynamics", "distillation", "export", "proposals"},
    {"corrections"},
    {"refinement"},
    {"sources", "verdict"},
    {"backmapping"},
    {"level_recipe"},
    {"level_run"},
    {"level"},
    {"foresight"},
    {"chain"},
    {"report"},
    {"configuration"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
RANK = {room: k for k, rooms in enumerate(RANKS) for room in rooms}
OWNERS = {
    "MDAnalysis": {"trajectory_files"},
    "mdtraj": {"trajectory_files"},
    "torch_geometric": {"potential", "training", "mapping"},
    "e3nn": {"potential"},
    "torchpme": {"potential"},
    "hydra": {"configuration"},
    "omegaconf": {"configuration"},
    "matplotlib": {"report"},
}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """(room inside cgrec or None, outside package or None) of every import in the file."""
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(path.read_text())):
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
