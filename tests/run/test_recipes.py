"""Two recipes are the same where they mean the same."""

import pytest

from cgrec.run.recipes import differences


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("cgrec.collective_variables.CollectiveVariable", "cgrec.variables.x.CollectiveVariable"),
        ("cgrec.mapping.alpha_carbons", "cgrec.mapping.residues.alpha_carbons"),
        ("cgrec.ledger.Ledger._own.<locals>.<lambda>", "cgrec.a.b.Ledger._own.<locals>.<lambda>"),
    ],
)
def test_modules_of_ours_may_move(before, now):
    assert not differences({"mapping": {"class": before}}, {"mapping": {"class": now}})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("cgrec.mapping.Pick", "cgrec.mapping.Weighted"),
        ("toy.rules.Pick", "toy.sites.Pick"),
        ("cgrec.a.Ledger._own.<locals>.<lambda>", "cgrec.a.Ledger._other.<locals>.<lambda>"),
    ],
)
def test_other_names_are_another_recipe(before, now):
    assert differences({"mapping": before}, {"mapping": now}) == [("mapping", before, now)]


def test_an_option_that_a_class_of_a_list_has_got_since_changes_nothing():
    """Folders from before it stay those of their recipe, as long as it is not used."""
    before = {"corrections": [{"class": "a.B", "rounds": 2}]}
    now = {"corrections": [{"class": "a.B", "rounds": 2, "variables": None}]}
    assert not differences(before, now)
    used = {"corrections": [{"class": "a.B", "rounds": 2, "variables": ["Q"]}]}
    assert differences(before, used)
