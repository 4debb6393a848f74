"""Temperature exchange: ladders, walks, frames of several temperatures."""

import sys

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.dynamics import BiasPlan, Exchange, Langevin
from cgrec.dynamics.report import SimulationReport, say_exchange
from cgrec.dynamics.walks import round_trips
from cgrec.files import write_json
from cgrec.potential import Potential
from cgrec.remarks import Remark
from cgrec.run.recipes import described, differences
from cgrec.statistics.temperatures import weights_at
from cgrec.units import BOLTZMANN

T = 300.0
STIFFNESS = 100.0  # kJ/mol/nm^2


class Trap(Potential):
    """A harmonic trap at the origin: an energy, which holds at any temperature."""

    def energy(self, graph):
        return graph.per_frame(0.5 * STIFFNESS * graph.positions.square().sum(-1)).sum(-1)


def trap():
    system = System(names=("A",), types=("A",), elements=("X",), masses=np.array([20.0]))
    return Trap(types=["A"], cutoff=0.0), Frames(system, np.zeros((1, 1, 3)), T)


def test_a_ladder_rises_by_the_same_factor():
    ladder = Exchange(highest=2.0, rungs=4).factors
    np.testing.assert_allclose(np.diff(np.log(ladder)), np.log(2) / 3)
    assert ladder[0] == 1 and ladder[-1] == pytest.approx(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factors": [1.0, 1.2], "rungs": 3}, "both"),
        ({"highest": 1.5}, "rungs=None"),
        ({"highest": 0.9, "rungs": 3}, "highest above 1"),
        ({"factors": [1.0, 1.3], "keep": "hot"}, "lowest or all"),
        ({"factors": [1.0, 1.3], "every": 0}, "every"),
        ({"factors": [1.2, 1.3]}, "rising from 1"),
        ({"highest": 450, "rungs": 4}, r"450, as if in kelvin; .*300 K is highest=1\.5$"),
        ({"factors": [300, 350, 450]}, r"if these are kelvin, give \[1, 1\.167, 1\.5\]"),
        ({"factors": [1, 350]}, r"if these are kelvin, give \[1, 1\.167\]"),
        ({"factors": [1, float("nan")]}, "rising from 1"),
    ],
)
def test_wrong_ladders_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Exchange(**options)


def test_without_pymbar_frames_of_all_rungs_are_refused_before_the_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(ImportError, match=r"Exchange.keep=all: .*cgrec\[temperatures\]"):
        Exchange(factors=[1.0, 1.3], keep="all")
    Exchange(factors=[1.0, 1.3])


def test_a_recipe_of_before_is_still_the_same():
    """Runs were begun with factors and every alone."""
    before = {"class": "cgrec.dynamics.hooks.exchange.Exchange", "factors": [1, 1.3], "every": 100}
    assert not differences(before, described(Exchange(factors=[1, 1.3])))
    assert not differences(before, described(Exchange(highest=1.3, rungs=2)))
    found = differences(before, described(Exchange(factors=[1, 1.3], keep="all")))
    assert found == [("keep", None, "all")]


def test_round_trips_are_counted_from_the_bottom():
    up_and_down = [0, 1, 2, 1, 0, 1, 0, 2, 0]
    from_the_top = [2, 1, 0, 1, 1, 2, 1, 1, 1]
    assert round_trips(np.array([up_and_down, from_the_top]).T, 2).tolist() == [2, 0]


def test_mbar_of_oscillators_gives_the_energy_at_the_target():
    """<E> of three classical harmonic degrees of freedom is 3/2 kT at any temperature."""
    rng = np.random.default_rng(0)
    temperatures = np.repeat([300.0, 360.0, 430.0], 4000)
    energies = rng.gamma(1.5, BOLTZMANN * temperatures)
    for target in (300.0, 330.0):
        weights = weights_at(target, energies, temperatures)
        assert weights.mean() == pytest.approx(1)
        assert np.average(energies, weights=weights) == pytest.approx(
            1.5 * BOLTZMANN * target, rel=0.03
        )


def test_all_rungs_are_kept_with_weights_of_the_lowest(tmp_path, capsys):
    potential, start = trap()
    engine = Langevin(
        n_replicas=32,
        length=60.0,
        save_every=0.3,
        equilibration=5.0,
        timestep=0.01,
        friction=5.0,
        exchange=Exchange(factors=[1.0, 1.5, 2.2, 3.2], every=20, keep="all"),
    )
    frames, report = engine(potential, start, tmp_path / "f", seed=3)
    assert len(frames) == 32 * 200 and frames.temperature == T
    square = (frames.positions.astype(float) ** 2).sum((1, 2))
    expected = 3 * BOLTZMANN * T / STIFFNESS
    assert np.average(square, weights=frames.weights) == pytest.approx(expected, rel=0.05)
    assert square.mean() > 1.5 * expected, "most frames are hot"
    sampled = np.load(tmp_path / "f" / "temperatures.npy")
    np.testing.assert_allclose(np.unique(sampled.round(6)), [300, 450, 660, 960])
    for factor in (1.0, 3.2):
        hot = np.isclose(sampled, factor * T)
        assert square[hot].mean() == pytest.approx(factor * expected, rel=0.08)
    walks = np.load(tmp_path / "f" / "walks.npy")
    assert walks.shape[1] == 32 and report.exchange["round_trips"] == round_trips(walks, 3).sum()
    assert report.exchange["round_trips"] > 32
    assert len(report.exchange["acceptance"]) == 3
    assert len(np.unique(frames.replicas)) == 32
    said = capsys.readouterr().out
    first = f"{100 * report.exchange['acceptance'][0]:.0f} %"
    assert f"neighbouring rungs accept {first}" in said
    assert f"{report.exchange['round_trips']} round trips" in said


def test_rungs_that_hardly_exchange_are_remarked():
    cut = SimulationReport(exchange={"acceptance": [0.4, 0.001], "round_trips": 0})
    with pytest.warns(Remark, match="neighbouring rungs accept 0.1 % .*more rungs, or a lower"):
        say_exchange(cut)


def test_a_report_read_again_has_nan_where_nothing_was_counted(tmp_path):
    write_json(tmp_path / "simulation.json", SimulationReport(replicas=3).plain())
    found = SimulationReport.read(tmp_path)
    assert np.isnan(found.exchange_acceptance) and np.isnan(found.kinetic_temperature).all()


def test_hot_frames_of_a_pmf_are_refused(tmp_path):
    potential, start = trap()
    engine = Langevin(n_replicas=4, length=1.0, exchange=Exchange(factors=[1.0, 1.5], keep="all"))
    with pytest.raises(ValueError, match="a PMF holds at 300 K alone"):
        engine(potential.made_at(T), start, tmp_path / "f")
    with pytest.raises(ValueError, match="beside a bias"):
        Langevin(
            bias=BiasPlan(variables={"phi": ["#0", "#1", "#2", "#3"]}, growth=1),
            exchange=Exchange(factors=[1.0, 1.5], keep="all"),
        )
