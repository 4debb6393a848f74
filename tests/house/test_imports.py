"""What a user imports first: README's example, and cgrec beside packages that change torch."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def example():
    """The Python block of README.md."""
    return re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]


def names(tree):
    """Dotted names in cgrec that the example uses, e.g. cgrec.mapping.HeavyAtoms."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if re.fullmatch(r"cgrec(\.\w+)+", text):
                yield text


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_names_of_the_readme_are_there_in_a_fresh_session():
    """After `import cgrec` alone, as its first line says."""
    wanted = sorted(set(names(ast.parse(example()))))
    assert {"cgrec.mapping.HeavyAtoms", "cgrec.load", "cgrec.read"} <= set(wanted)
    first = ["import cgrec", "cgrec.read; cgrec.load; cgrec.mapping.HeavyAtoms"]
    lines = [f"from {name.rpartition('.')[0]} import {name.rpartition('.')[2]}" for name in wanted]
    done = run("\n".join([*first, *lines]))
    assert done.returncode == 0, done.stderr


def test_rooms_and_version_are_attributes():
    done = run(
        "import cgrec; cgrec.statistics; assert 'mapping' in dir(cgrec); print(cgrec.__version__)"
    )
    assert done.returncode == 0 and done.stdout.count(".") == 2, done.stderr
    assert "no attribute 'nothing'" in run("import cgrec; cgrec.nothing").stderr


#: Packages under the name they are installed by, where that is another one.
INSTALLED_AS = {
    "hydra": "hydra-core",
    "lightning_fabric": "lightning-fabric",
    "mpl_toolkits": "matplotlib",
    "pytorch_optimizer": "pytorch-optimizer",
    "torch_geometric": "torch-geometric",
    "torchpme": "torch-pme",
    "yaml": "pyyaml",
    "markdown_it": "markdown-it-py",
}
#: Needed and never imported by a statement: the calculator that `Labeller` names by default, and
#: the programs that run what `cgrec handover` writes.
BY_NAME = {"tblite", "pybamm", "phreeqpython"}


def test_pyproject_declares_what_is_imported_and_nothing_else():
    """Extras for what only some users need."""
    about = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    names = lambda lines: {re.match(r"[\w-]+", line)[0] for line in lines}  # noqa: E731
    needed = names(about["dependencies"])
    extras = names(x for k, v in about["optional-dependencies"].items() if k != "test" for x in v)
    found = set()
    for path in (README.parent / "cgrec").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.partition(".")[0])
    outside = found - set(sys.stdlib_module_names) - {"cgrec"}
    wanted = {INSTALLED_AS.get(name, name) for name in outside}
    assert wanted - extras == needed - BY_NAME


def test_types_ship_with_the_package():
    assert (README.parent / "cgrec" / "py.typed").exists()


#: What metatensor.torch does when it is imported: it compiles a function that selects by index.
SCRIPT = """
import torch
def picked(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    return torch.index_select(x, 0, i)
"""


@pytest.mark.slow
def test_packages_that_compile_can_be_imported_after_torch_geometric(tmp_path):
    (tmp_path / "compiles.py").write_text(SCRIPT + "torch.jit.script(picked)\n")
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch_geometric; "
    inside = (
        "from cgrec.index_select import own_index_select\nwith own_index_select():\n    import "
        "compiles"
    )
    assert "compiles.py" in run(path + "import compiles").stderr, (
        "torch_geometric has mended it: the cure can go"
    )
    assert run(path + inside).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import torch_geometric; "])
def test_torchpme_is_imported_with_torchs_own_function(first):
    """Whatever was imported before; and torch_geometric's function is back afterwards."""
    code = (
        "import builtins, torch; own, real, seen = torch.index_select, builtins.__import__, []\n"
        "def spy(name, *rest, **more):\n"
        "    if name.startswith('torchpme'): seen.append(torch.index_select is own)\n"
        "    return real(name, *rest, **more)\n"
        f"builtins.__import__ = spy\n{first}import cgrec.training\n"
        "assert seen and all(seen) and torch.index_select is not own"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_old_names_of_modules_still_stand():
    """A program, a configuration and a file of before name modules that have moved."""
    code = """
import cgrec.trajectory_files.universe, cgrec.collective_variables
from cgrec.analysis import compare_backmapping, jensen_shannon, rdf
from cgrec.analysis.mapping_scores import hidden_fluctuation
from cgrec.refinement import PairRefinement
from cgrec.configuration.targets import is_ours
import cgrec.io.universe, cgrec.mapping.choose.scores, cgrec.variables
assert cgrec.trajectory_files.universe is cgrec.io.universe
assert cgrec.io.universe.__spec__.name == "cgrec.io.universe"
assert hidden_fluctuation is cgrec.mapping.choose.scores.hidden_fluctuation
assert cgrec.collective_variables.CollectiveVariable is cgrec.CollectiveVariable
assert is_ours("cgrec.refinement.PairRefinement")
assert is_ours("cgrec.trajectory_files.select_sites")
assert not is_ours("cgrec.refinement.Nobody")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_every_old_name_leads_to_a_module():
    from cgrec._moved import MOVED, PACKAGE

    for name in MOVED:
        import_module(f"{PACKAGE}.{name}")
