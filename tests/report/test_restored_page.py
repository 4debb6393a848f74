"""What the report says of frames restored by backmapping, and of the audit of a PMF."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgrec.backmapping.judge import (
    BackmappingReport,
    Quantity,
    TermDivergence,
)
from cgrec.report import figures, write_report
from cgrec.report.read import LevelFiles


def restored(scale, **fields):
    terms = [
        TermDivergence("bond", "A:C-A:O", 2, 0.5 * scale, 0.1, 0.01),
        TermDivergence("bond", "A:C-A:N", 1, 0.2, 0.1, 0.01),
        TermDivergence("angle", "A:C-A:N-A:CA", 1, 0.05, 0.06, 0.02),
    ]
    return BackmappingReport(400, 300, 4, 64, tuple(terms), **fields)


def write_backmapping(level, reports):
    level.mkdir(parents=True)
    found = {name: report.to_json() for name, report in reports.items()}
    (level / "backmapping.json").write_text(json.dumps(found, allow_nan=False))


def test_restored_frames_have_their_table_and_their_plots(tmp_path):
    histogram = {"edges": [0.0, 1.0, 2.0], "model": [0.2, 0.8], "reference": [0.5, 0.5]}
    reports = {
        "flow, <mapped>": restored(
            1, clashes=Quantity(0.25, 0.05, 0.125, 0.01), energy_histogram=histogram
        ),
        "flow, own run": restored(2, chirality={"A:CA": Quantity(0.0, 0.0025)}),
    }
    write_backmapping(tmp_path / "level0", reports)
    text = write_report(tmp_path).read_text()
    assert "<h2>Restored frames</h2>" in text and "cannot be read" not in text
    assert (
        "<td>flow, &lt;mapped&gt;</td><td>0.4000 ± 0.0100</td>" in text
        and "<td>300 true frames</td>" in text
    )
    # clashes, and those of true frames
    assert "<td>0.25 ± 0.05</td>" in text and "<td>0.12</td>" in text
    assert "flow, &lt;mapped&gt;: 400 restored frames, 4 a coarse frame" in text
    assert "wrong hand at A:CA, fraction" in text
    # bonded terms, and energies of the one set that has them
    assert text.count("restored from level 0") == 2


def test_bars_are_the_divergence_above_its_floor_worst_first():
    figure = figures.restored_terms({"one": restored(1), "two": restored(2)})
    bonds, angles = figure.axes
    assert [label.get_text() for label in bonds.get_yticklabels()] == ["C-O", "C-N"]
    assert [bar.get_width() for bar in bonds.patches] == pytest.approx([0.4, 0.1, 0.9, 0.1])
    assert [bar.get_width() for bar in angles.patches] == pytest.approx([-0.01, -0.01])
    assert (
        figures.restored_terms({}) is None
        and figures.restored_energies({"one": restored(1)}) is None
    )


def test_a_damaged_report_of_restored_frames_is_named(tmp_path):
    write_backmapping(tmp_path / "level0", {"one": restored(1)})
    path = tmp_path / "level0" / "backmapping.json"
    path.write_text(path.read_text().replace("n_draws", "draws"))
    text = write_report(tmp_path).read_text()
    assert "cannot be read: level0/backmapping.json" in text and "Restored frames" not in text


def test_the_audit_of_a_pmf_has_its_numbers_and_its_plot(tmp_path):
    (tmp_path / "level1").mkdir()
    numbers = {
        "rms": [0.25, 0.05],
        "slope": [0.875, 0.03125],
        "entropy": [-12.5, 0.125],
        "ess": 0.375,
    }
    points = {"audited": [0.0, 1.0, -1.0], "learned": [0.5, 0.75, -1.25], "error": [0.1, 0.1, 0.2]}
    (tmp_path / "level1" / "audit.json").write_text(json.dumps({**numbers, **points}))
    text = write_report(tmp_path).read_text()
    assert "<h2>Audit of the PMF</h2>" in text
    assert "0.25 ± 0.05" in text and "0.875 ± 0.03" in text and "38 %" in text
    axes = figures.audit([LevelFiles(1, Path("level1"), audit={**numbers, **points})]).axes[0]
    x, y = axes.lines[1].get_data()
    assert list(x) == points["audited"] and list(y) == points["learned"]
