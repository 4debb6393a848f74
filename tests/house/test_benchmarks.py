"""The benchmarks start and count; what they measure is asserted nowhere. Peers and outside data are
never needed.
"""

import json
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "scripts" / "benchmarks"
COMMANDS = sorted(p.name for p in BENCHMARKS.glob("*.py") if "__main__" in p.read_text())


@pytest.fixture
def run(monkeypatch, capsys):
    """(name, arguments) -> what the script prints; in this process, as torch is imported already."""
    known = set(sys.modules)

    def started(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.syspath_prepend(BENCHMARKS)
        try:
            runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        except SystemExit as stop:
            assert not stop.code, f"{name}: {stop}"
        return capsys.readouterr().out

    yield started
    for name in set(sys.modules) - known:  # siblings that a script imports by bare names
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name, run):
    assert "usage" in run(name, "--help")


#: Those that run dynamics to have something to time.
LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("large_system.py", "scaling.py")]


@pytest.mark.parametrize("name", ["ceiling.py", "sizes.py", *LONG])
def test_quick_mode_writes_what_it_prints(name, tmp_path, run):
    printed = run(name, "--quick", "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["torch"] and len(printed.splitlines()) >= 4


def test_operations_are_extensive():
    """Eight boxes need eight times the work of one."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import ceiling
        import one_site_water as water
    finally:
        sys.path.remove(str(BENCHMARKS))
    frames = water.generated(1)
    potential = water.frozen(ceiling.DensityNetwork.for_frames(frames, cutoff=water.CUTOFF))
    one, eight = (potential.graph(water.replicated(frames, c)) for c in (1, 2))
    assert ceiling.pairs(potential, eight) == 8 * ceiling.pairs(potential, one)
    counts = [ceiling.operations(potential, g) for g in (one, eight)]
    assert all(counts[1][k] == 8 * counts[0][k] > 0 for k in counts[0])
