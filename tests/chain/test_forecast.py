"""What is said of a climb before its work."""

import pytest

from cgrec.chain.forecast import forecast
from cgrec.configuration import build, composed


def said(tmp_path, *words):
    chain = build(composed(["experiment=gaussian_chain", f"run={tmp_path}/run", *words]))
    return dict(forecast(chain))


def test_variables_of_the_chain_and_of_levels_are_counted(tmp_path):
    """Those of a level alone were said to be none."""
    ends = "levels.l1.variables={first: ['#0', '#1'], last: ['#6', '#7']}"
    none = said(tmp_path, "~variables")["labels"]
    assert none == "no variables are named: levels are compared in those that suit their sites"
    own = said(tmp_path, "~variables", ends)["labels"]
    assert own == "2 variables of l1: all labels mean sites"
    both = said(tmp_path, ends)["labels"]
    assert both.endswith("2 variables of l1: all labels mean sites") and "of the chain" in both


WATER = """\
CRYST1    9.300    9.300    9.300  90.00  90.00  90.00 P 1           1
ATOM      1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
ATOM      2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
ATOM      3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""


def test_cutoffs_are_compared_with_the_box_of_a_structure(tmp_path):
    """Also one that nobody stated: level 0 was made first, and then refused."""
    (tmp_path / "water.pdb").write_text(WATER)
    words = [
        "source=calculator",
        "source.calculator=ase.calculators.lj:LennardJones",
        f"source.structure={tmp_path}/water.pdb",
        "source.temperature=300",
        "source.n_frames=10",
        "~levels.l2",
        "~levels.l3",
        "~levels.l1.mapping",
        "+levels.l1.mapping={_target_: cgrec.mapping.Mapping.identity, _partial_: true}",
        "potential@levels.l1.potential=density",
        "~variables",
    ]
    with pytest.raises(ValueError, match=r"levels.l1.potential.cutoff: .*half the box, 0.465 nm"):
        said(tmp_path, *words)
    assert said(tmp_path, *words, "levels.l1.potential.cutoff=0.44")["box"].startswith("half of it")
