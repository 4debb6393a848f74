"""The ledger of levels: its rows survive, and what cannot be is found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from contracts import random_frames
from samples import PHI, PSI, backbone_frames

from cgrec.frames import Frames
from cgrec.observables import (
    BASINS_ALANINE,
    LedgerRow,
    check_triangle,
    ledger_row,
    structure,
    table,
)
from cgrec.observables.ledger import basin_differences
from cgrec.remarks import Remark
from cgrec.system import System
from cgrec.variables import CollectiveVariable


def chain_of_ensembles():
    rng = np.random.default_rng(17)
    return [
        backbone_frames(-1.3 + s + 0.4 * rng.normal(size=3000), 2.0 + 0.5 * rng.normal(size=3000))
        for s in (0.0, 0.1, 0.25)
    ]


def test_ledger_rows_survive_json_and_print():
    level0, level1, level2 = chain_of_ensembles()
    rows = [
        ledger_row("l1", "parent", level1, level0, (PHI, PSI), bins=32, definitions=BASINS_ALANINE),
        ledger_row("l1", "level 0", level1, level0, (PHI, PSI), bins=32),
        ledger_row("l2", "parent", level2, level1, (PHI, PSI), bins=32),
        ledger_row("l2", "level 0", level2, level0, (PHI, PSI), bins=32),
    ]
    back = [
        LedgerRow.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False))) for row in rows
    ]
    assert back[1:] == rows[1:]
    assert back[0].worst.keys() == {"bond", "angle", "dihedral"}
    assert back[0].basins["beta/PII"][0] == 0.0
    lines = table(rows).splitlines()
    assert len(lines) == 6 and lines[2].startswith("l1")
    triangles = check_triangle(rows, ["l1", "l2"])
    assert [t.level for t in triangles] == ["l1", "l2"]
    assert all(t.holds for t in triangles + check_triangle(rows, ["l1", "l2"], excess=True))


def test_triangle_of_a_ledger_that_cannot_be_is_found():
    row = LedgerRow("l1", "parent", ("phi",), (8,), *[0.1] * 4, 0.1, 0.1, 0.0, 1.0, 1.0, 8)
    total = replace(row, against="level 0", sqrt_js=0.3)
    assert not check_triangle([row, total], ["l1"])[0].holds
    with pytest.raises(ValueError, match="against"):
        replace(row, against="nobody")
    with pytest.raises(ValueError, match="missing"):
        LedgerRow.from_json({"level": "l1"})


def test_bonded_values_come_in_portions_of_sites(monkeypatch):
    frames, sites = random_frames(7), np.array([[0, 1], [1, 2]])
    whole = structure.bonded_values(frames, "bond", sites)
    seen = []
    distance = structure.KINDS["bond"][1]
    monkeypatch.setitem(
        structure.KINDS, "bond", (2, lambda x, s: seen.append(len(x)) or distance(x, s), "nm")
    )
    monkeypatch.setattr(structure, "_MOST_SITES", 3 * frames.n_sites)
    np.testing.assert_array_equal(structure.bonded_values(frames, "bond", sites), whole)
    assert seen == [3, 3, 1] and whole.shape == (7, 2)


def test_basins_that_the_reference_never_visited_are_remarked_not_an_error():
    """A climb ended in an error, after its work, where the parent was in none of the basins."""
    rng = np.random.default_rng(3)
    system = System(names=("A", "B"), masses=np.ones(2), bonds=np.array([[0, 1]]))
    frames = Frames(system, rng.normal(size=(60, 2, 3)), 300.0)
    ends = (CollectiveVariable("ends", ("A", "B")),)
    far = {"far": {"ends": (90.0, 91.0)}}
    with pytest.warns(Remark, match="in any of the basins far"):
        found = basin_differences(frames, frames, ends, far)
    assert np.isnan(found["far"]).all()
