"""What a level hands over: numbers known by theory, and files that the other programs run."""

import runpy
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import yaml
from exact_runs import D_ANION, D_CATION, EDGE, IONS, KELVIN, write_salt_run

import cgrec
from cgrec.commands.handover import Handover
from cgrec.handover import Sheet, at_constant_pressure, fit_pitzer, properties_of
from cgrec.handover.properties import _concentration
from cgrec.handover.writing import write_phreeqc

E, KB, NA, EPS0 = 1.602176634e-19, 1.380649e-23, 6.02214076e23, 8.8541878128e-12
VOLUME = (EDGE * 1e-9) ** 3
CONCENTRATION = IONS / (NA * VOLUME)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("salts")
    write_salt_run(folder / "salt")
    write_salt_run(folder / "still", friction=False)
    write_salt_run(folder / "bad", verdict="do not use")
    return folder


@pytest.fixture(scope="module")
def sheet(runs):
    return properties_of(cgrec.load(runs / "salt").levels[1])


def test_diffusion_and_concentration_are_those_of_the_run_in_si_units(sheet):
    for kind, d in (("Na", D_CATION), ("Cl", D_ANION)):
        assert np.isclose(sheet.get("diffusion coefficient", kind).value, d * 1e-6)
        assert np.isclose(sheet.get("concentration", kind).value, CONCENTRATION)
    assert sheet.get("permittivity").standard_error == 1.5


def test_concentrations_have_errors_where_the_box_changes(runs, tmp_path):
    """Of boxes that differ by themselves: those of independent volumes."""
    level = cgrec.load(runs / "salt").levels[1]
    fixed = Sheet()
    _concentration(level.frames, np.ones(level.frames.n_sites), fixed)
    assert {p.standard_error for p in fixed.found} == {0.0} and "exact" in fixed.found[0].method
    n = len(level.frames)
    edges = EDGE * (1 + np.random.default_rng(1).normal(scale=0.01, size=n))
    moving = replace(level.frames, box=edges[:, None, None] * np.eye(3))
    changing = Sheet()
    _concentration(moving, np.ones(level.frames.n_sites), changing)
    found = changing.found[0]
    assert found.standard_error / found.value == pytest.approx(0.03 / np.sqrt(n), rel=0.6)


def test_a_level_of_which_nothing_is_known_is_refused(tiny, tmp_path):
    for number in (0, 1):
        with pytest.raises(ValueError, match="ions in a box, found none of .*no charged sites"):
            Handover(run=str(tiny), level=number, to="yaml", file=f"{tmp_path}/x", anyway=True)()
    assert not (tmp_path / "x").exists()


def test_ions_that_know_nothing_of_each_other_conduct_as_nernst_and_einstein_say(sheet):
    theory = E**2 * IONS * (D_CATION + D_ANION) * 1e-6 / (VOLUME * KB * KELVIN)
    alone = sheet.get("conductivity", "Nernst-Einstein")
    assert np.isclose(alone.value, theory, rtol=1e-6) and "on their own" in alone.remark
    together = sheet.get("conductivity", "Einstein")
    assert abs(together.value - theory) < 4 * together.standard_error < 0.8 * theory


def test_the_transference_number_is_the_share_of_the_cation(sheet):
    cation = sheet.get("transference number", "Na")
    assert np.isclose(cation.value, D_CATION / (D_CATION + D_ANION))
    both = cation.value + sheet.get("transference number", "Cl").value
    assert np.isclose(both, 1) and 0 < cation.standard_error < 0.02


def test_an_ideal_solution_has_the_thermodynamic_factor_one(sheet):
    found = sheet.get("thermodynamic factor", "Na Cl")
    assert abs(found.value - 1) < 4 * found.standard_error < 0.5


def test_what_cannot_be_known_is_not_there(runs, sheet):
    assert {"viscosity", "osmotic coefficient", "activity coefficient"} <= set(sheet.unknown)
    still = properties_of(cgrec.load(runs / "still").levels[1])
    assert still.get("conductivity", "Nernst-Einstein") is None
    for name in ("diffusion coefficient", "conductivity", "transference number"):
        assert "cgrec friction" in still.unknown[name]


def test_yaml_holds_the_numbers_of_the_level_with_errors_and_provenance(runs, sheet, tmp_path):
    said = Handover(run=str(runs / "salt"), level=1, to="yaml", file=str(tmp_path / "x.yaml"))()
    found = yaml.safe_load((tmp_path / "x.yaml").read_text())
    assert found["provenance"]["temperature"] == {"value": KELVIN, "unit": "K"}
    assert found["provenance"]["verdict"] == "trust" and found["provenance"]["potential"]
    assert len(found["properties"]) == len(sheet.found) and "no viscosity" in said
    for one, own in zip(found["properties"], sheet.found):
        assert (one["name"], one["value"]) == (own.name, own.value)
        assert one["unit"] and one["method"] and one["verdict"] == "trust"
    with pytest.raises(FileExistsError):
        Handover(run=str(runs / "salt"), level=1, to="yaml", file=str(tmp_path / "x.yaml"))()


def write(runs, tmp_path, **given):
    path = tmp_path / f"{given['to']}.py"
    Handover(run=str(runs / "salt"), level=1, file=str(path), **given)()
    return path


def test_a_level_that_is_not_to_be_used_is_refused(runs, tmp_path):
    asked = {"run": str(runs / "bad"), "level": 1, "to": "yaml", "file": str(tmp_path / "y.yaml")}
    with pytest.raises(ValueError, match="'do not use'; see its report, or give anyway=true"):
        Handover(**asked)()
    Handover(**asked, anyway=True)()
    assert (
        yaml.safe_load((tmp_path / "y.yaml").read_text())["properties"][0]["verdict"]
        == "do not use"
    )


def test_the_electrolyte_for_pybamm_has_the_numbers_of_the_level(runs, sheet, tmp_path):
    found = runpy.run_path(str(write(runs, tmp_path, to="pybamm")))
    values = found["VALUES"]
    assert np.isclose(values["Initial concentration in electrolyte [mol.m-3]"], CONCENTRATION)
    assert values["Electrolyte conductivity [S.m-1]"] == (
        sheet.get("conductivity", "Nernst-Einstein").value
    )
    d = 2e-6 * D_CATION * D_ANION / (D_CATION + D_ANION)
    factor = sheet.get("thermodynamic factor", "Na Cl").value
    assert np.isclose(values["Electrolyte diffusivity [m2.s-1]"], d * factor)
    assert set(found["ERRORS"]) == set(values) and min(found["ERRORS"].values()) >= 0
    with pytest.raises(ValueError, match="expected the .* of this level, found none: .*friction"):
        Handover(run=str(runs / "still"), level=1, to="pybamm", file=str(tmp_path / "z.py"))()


@pytest.mark.slow
def test_pybamm_runs_with_the_electrolyte(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("PYBAMM_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pybamm = pytest.importorskip("pybamm")
        found = runpy.run_path(str(write(runs, tmp_path, to="pybamm")))
        values = found["parameter_values"]()
        cell = pybamm.Simulation(pybamm.lithium_ion.SPMe(), parameter_values=values)
        solution = cell.solve([0, 60])
    concentration = solution["Electrolyte concentration [mol.m-3]"].entries
    assert np.isclose(concentration.mean(), CONCENTRATION, rtol=0.02)
    assert values["Cation transference number"] == found["VALUES"]["Cation transference number"]


def test_the_equation_finds_the_debye_length_of_theory(runs, tmp_path):
    path = write(runs, tmp_path, to="pde")
    said = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    theory = np.sqrt(71 * EPS0 * KB * KELVIN / (2 * NA * CONCENTRATION * E**2))
    words = said.stdout.split()
    assert np.isclose(float(words[3]), theory, rtol=1e-5)
    assert np.isclose(float(words[6]), theory, rtol=5e-3)
    assert "the layer forms in" in said.stdout


#: Of NaCl at 25 C (Pitzer and Mayorga, J. Phys. Chem. 77, 2300 (1973)).
NACL = {"beta0": 0.0765, "beta1": 0.2664, "C_phi": 0.00127}
M = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0])


def slopes(ln_gamma, m):
    """d ln a / d ln m by central differences."""
    step = 1e-3
    return 1 + (ln_gamma(m * np.exp(step)) - ln_gamma(m * np.exp(-step))) / (2 * step)


def phreeqc(block=""):
    """{molality: mean activity coefficient} of a salt by PHREEQC, pitzer.dat and a block after it."""
    program = pytest.importorskip("phreeqpython").PhreeqPython(database="pitzer.dat")
    if block:
        program.ip.run_string(block)

    def ln_gamma(molalities):
        found = []
        for m in np.atleast_1d(molalities):
            made = program.add_solution({"units": "mol/kgw", "temp": 25, "Na": m, "Cl": m})
            both = [program.ip.get_activity(made.number, ion) for ion in ("Na+", "Cl-")]
            found.append(0.5 * np.log(np.prod(both)) - np.log(m))
        return np.array(found)

    return ln_gamma


def test_parameters_come_back_from_the_slopes_of_phreeqc(tmp_path):
    """PHREEQC's own activities of NaCl, their slopes, a fit, a block, and PHREEQC again."""
    own = phreeqc()
    assert np.allclose(np.exp(own([1.0, 4.0])), [0.657, 0.783], atol=0.002)
    found = fit_pitzer(M, slopes(own, M), np.full(len(M), 0.01))
    assert np.allclose(found.ln_gamma(M), own(M), atol=0.003)
    for name, value in NACL.items():
        assert abs(found.values[name] - value) < max(0.01, found.errors[name])
    draws = np.random.default_rng(0).multivariate_normal(
        [*found.values.values()], found.covariance, 4000
    )
    spread = [replace(found, values=dict(zip(found.values, one))).ln_gamma(2.0) for one in draws]
    assert np.std(spread) == pytest.approx(float(found.ln_gamma_error(2.0)), rel=0.1)
    path = write_phreeqc(tmp_path / "nacl.pqi", found, ("Na+", "Cl-"), [{"run": "x"}])
    again = phreeqc(path.read_text())
    assert np.allclose(again(M), found.ln_gamma(M), atol=0.003)
    other = fit_pitzer(M, slopes(own, M) + 0.3 * M, np.full(len(M), 0.01))
    path = write_phreeqc(tmp_path / "other.pqi", other, ("Na+", "Cl-"), [])
    assert np.allclose(phreeqc(path.read_text())([1.0]), other.ln_gamma([1.0]), atol=0.003)
    assert other.ln_gamma([4.0])[0] > own([4.0])[0] + 1


def test_two_concentrations_say_in_phreeqc_what_they_say(tmp_path):
    """Its own C_phi of NaCl was added to parameters that were fitted without one."""
    own = phreeqc()
    found = fit_pitzer([2.0, 4.0], slopes(own, np.array([2.0, 4.0])), [0.01, 0.01])
    path = write_phreeqc(tmp_path / "nacl.pqi", found, ("Na+", "Cl-"), [{"run": "x"}])
    again = phreeqc(path.read_text())
    assert np.allclose(again([2.0, 4.0]), found.ln_gamma([2.0, 4.0]), atol=0.003)


def test_slopes_at_constant_potential_of_the_water_become_those_at_constant_pressure():
    """Both of NaCl by PHREEQC: its volume gives c, Gibbs and Duhem the osmotic pressure."""
    program = pytest.importorskip("phreeqpython").PhreeqPython(database="pitzer.dat")

    def concentration(m):
        return m / program.add_solution({"units": "mol/kgw", "temp": 25, "Na": m, "Cl": m}).volume

    ln_gamma, step, water = phreeqc(), 1e-2, 18.0153 / 18.069  # kg/l, molar mass over molar volume
    for m in (0.5, 1.0, 2.0, 4.0, 4.5):
        high, low = (float(ln_gamma(m * x)[0]) for x in (np.exp(step), np.exp(-step)))
        at_pressure = 1 + (high - low) / (2 * step)
        by_c = np.log(concentration(m * np.exp(step)) / concentration(m * np.exp(-step))) / (
            2 * step
        )
        at_potential = at_pressure / by_c * m * water / concentration(m)
        turned = at_constant_pressure(at_potential, concentration(m), m)
        assert np.isclose(turned, at_pressure, rtol=0.012), m


def test_one_concentration_gives_no_activity(runs, tmp_path):
    with pytest.raises(ValueError, match="concentrations or more, found 1: one gives the slope"):
        Handover(
            run=str(runs / "salt"), level=1, to="phreeqc", molality=[1.0], file=str(tmp_path / "a")
        )()
    with pytest.raises(ValueError, match="expected molality= of 1 runs"):
        Handover(run=str(runs / "salt"), level=1, to="phreeqc", file=str(tmp_path / "a"))()


def test_levels_at_several_concentrations_become_a_block(runs, tmp_path):
    """Of an ideal solution the factor is one: the parameters undo what Debye and Hueckel take."""
    path = tmp_path / "ideal.pqi"
    Handover(
        run=str(runs / "salt"),
        level=1,
        to="phreeqc",
        others=[str(runs / "still")],
        molality=[1.0, 2.0],
        file=str(path),
    )()
    text = path.read_text()
    assert "Na+  Cl-" in text and text.index("PITZER") < text.index("-B0") < text.index("-B1")
    assert '"temperature": {"value": 300.0, "unit": "K"}' in text
