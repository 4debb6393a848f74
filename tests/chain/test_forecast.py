"""What is said of a climb before its work."""

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
