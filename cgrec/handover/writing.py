"""Properties of a level as files that other programs read: YAML, PyBaMM, PHREEQC, a boundary value
problem.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml

from ..files import Json, write_text
from ..frames import identity
from ..level import Level
from ..run import layout
from ..run.digests import recorded
from ..verdict import word_in
from .pitzer import Pitzer
from .properties import Property, Sheet, as_json

#: Keys of PyBaMM's ParameterValues and the properties that they are.
PYBAMM = {
    "Initial concentration in electrolyte [mol.m-3]": "concentration",
    "Electrolyte conductivity [S.m-1]": "conductivity",
    "Cation transference number": "transference number",
    "Electrolyte diffusivity [m2.s-1]": "salt diffusivity",
    "Thermodynamic factor": "thermodynamic factor",
}
#: What PHREEQC calls C_phi and the others.
_PHREEQC = {"beta0": "-B0", "beta1": "-B1", "C_phi": "-C0"}


def provenance(level: Level) -> Json:
    """Run, level, state point, verdict, digests of the potential and of the frames, version."""
    digests = recorded(level.folder)
    frames = level.frames
    return {
        "program": f"cgrec {version('cgrec')}",
        "run": level.folder.parent.name,
        "level": layout.level_number(level.folder),
        "name": level.name,
        "verdict": word_in(level.report) or "none",
        "temperature": {"value": float(frames.temperature), "unit": "K"},
        "frames": identity(level.folder / layout.FRAMES),
        "potential": digests.get(layout.REFINED) or digests.get(layout.POTENTIAL),
    }


def write_yaml(path: Path, sheet: Sheet, about: Json) -> Path:
    """Every number, and why the others are not known."""
    word = str(about["verdict"])
    text = {
        "provenance": about,
        "properties": [as_json(one, word) for one in sheet.found],
        "unknown": sheet.unknown,
    }
    write_text(path, yaml.safe_dump(text, sort_keys=False, width=100))
    return path


def write_pybamm(path: Path, sheet: Sheet, about: Json) -> Path:
    """A Python file with `parameter_values(base)`: an electrolyte for PyBaMM.

    Raises:
        ValueError: a number that PyBaMM needs is not known of the level.
    """
    values = electrolyte(sheet)
    errors = {key: one.standard_error for key, one in values.items()}
    methods = {
        key: f"{one.method}; {one.remark}" if one.remark else one.method
        for key, one in values.items()
    }
    numbers = {key: one.value for key, one in values.items()}
    tables: dict[str, Mapping[str, object]] = {
        "VALUES": numbers,
        "ERRORS": errors,
        "METHODS": methods,
        "PROVENANCE": about,
    }
    written = "\n".join(f"{name} = {_python(table)}" for name, table in tables.items())
    write_text(path, _MODULE.format(name=about["name"], tables=written))
    return path


def electrolyte(sheet: Sheet) -> dict[str, Property]:
    """{key of PyBaMM: number}.

    Raises:
        ValueError: one is not known; it says why.
    """
    known = {"salt diffusivity": _salt_diffusivity(sheet)}
    for name in PYBAMM.values():
        known.setdefault(name, next((p for p in sheet.found if p.name == name), None))
    for name, one in known.items():
        if one is None:
            need = "diffusion coefficient" if name == "salt diffusivity" else name
            why = sheet.unknown.get(need) or sheet.unknown.get("thermodynamic factor", "not known")
            raise ValueError(f"pybamm: expected the {name} of this level, found none: {why}")
    return {key: one for key, name in PYBAMM.items() if (one := known[name]) is not None}


def _salt_diffusivity(sheet: Sheet) -> Property | None:
    """2 D+ D- / (D+ + D-) times the thermodynamic factor (J. Newman, Electrochemical Systems)."""
    ions = [p for p in sheet.found if p.name == "diffusion coefficient"]
    factor = next((p for p in sheet.found if p.name == "thermodynamic factor"), None)
    if len(ions) != 2 or factor is None:
        return None
    (a, da), (b, db) = ((p.value, p.standard_error or 0.0) for p in ions)
    value = 2 * a * b / (a + b) * factor.value
    shares = (
        da * b / (a * (a + b)),
        db * a / (b * (a + b)),
        (factor.standard_error or 0.0) / factor.value,
    )
    return Property(
        name="salt diffusivity",
        value=value,
        standard_error=abs(value) * sum(x * x for x in shares) ** 0.5,
        unit="m^2/s",
        method="2 D+ D- / (D+ + D-) times the thermodynamic factor",
        remark="ions taken to move on their own",
    )


def write_phreeqc(
    path: Path, found: Pitzer, ions: tuple[str, str], about: Sequence[Mapping[str, object]]
) -> Path:
    """A PITZER block, to be read after pitzer.dat.

    Args:
        path: of the file.
        found: parameters.
        ions: cation and anion, as PHREEQC names them: Na+, Cl-.
        about: provenance of every level they come from.
    """
    low, high = found.molalities
    lines = [
        f"# {ions[0]} {ions[1]}: Pitzer parameters by cgrec {version('cgrec')}, for 25 C",
        f"# from d ln a / d ln rho of levels at {low:g} to {high:g} mol/kg; beyond, nothing is known",
        "# assumed: the Debye-Hueckel limit of water, Pitzer's form between the concentrations, and",
        "# partial molar volumes that do not change with concentration",
        f"# root mean square of deviations over errors: {found.chi:.2f}",
        *(f"# {line}" for line in activities(found)),
        *(f"# level: {json.dumps(one)}" for one in about),
        "PITZER",
    ]
    for name, keyword in _PHREEQC.items():
        # one that was not fitted is none: that of the database would add to the others
        error = f"+- {found.errors[name]:.2g}" if name in found.values else "not fitted"
        value = found.values.get(name, 0.0)
        lines += [keyword, f"    {ions[0]}  {ions[1]}  {value:.8g}   # {error}"]
    write_text(path, "\n".join([*lines, "END", ""]))
    return path


def activities(found: Pitzer) -> list[str]:
    """Mean activity coefficients at the ends of what was fitted, with their errors."""
    ends = np.array(found.molalities)
    gamma = np.exp(found.ln_gamma(ends))
    error = gamma * found.ln_gamma_error(ends)
    return [f"gamma at {m:g} mol/kg: {g:.3f} +- {e:.3f}" for m, g, e in zip(ends, gamma, error)]


def write_pde(path: Path, sheet: Sheet, about: Json) -> Path:
    """A Python file that solves Poisson's and Nernst and Planck's equations at a blocking wall, by
    scipy alone, and prints the Debye length beside that of theory.

    Raises:
        ValueError: no concentration or no permittivity.
    """
    ions = [p for p in sheet.found if p.name == "concentration"]
    permittivity = sheet.get("permittivity")
    if len(ions) != 2 or permittivity is None:
        why = sheet.unknown.get("permittivity") or sheet.unknown.get("concentration", "other ions")
        raise ValueError(f"pde: expected two ions and a permittivity, found none: {why}")
    moving = [sheet.get("diffusion coefficient", p.of) for p in ions]
    numbers = {
        "temperature": about["temperature"]["value"],
        "permittivity": permittivity.value,
        "concentration": ions[0].value,
        "diffusivity": [None if p is None else p.value for p in moving],
    }
    tables = {"PARAMETERS": numbers, "PROVENANCE": about}
    written = "\n".join(f"{name} = {_python(table)}" for name, table in tables.items())
    write_text(path, _EQUATION.format(name=about["name"], tables=written))
    return path


#: Those that need one level and no more: {name: (writer, ending)}.
WRITERS: dict[str, tuple[Callable[[Path, Sheet, Json], Path], str]] = {
    "yaml": (write_yaml, ".yaml"),
    "pybamm": (write_pybamm, "_pybamm.py"),
    "pde": (write_pde, "_pnp.py"),
}


def _python(table: Mapping[str, object]) -> str:
    """A table as Python reads it, an entry a line."""
    rows = [f"    {key!r}: {value!r}," for key, value in table.items()]
    return "\n".join(["{", *rows, "}"])


_MODULE = '''"""The electrolyte of {name} for PyBaMM, written by cgrec handover.

    from this_file import parameter_values
    pybamm.Simulation(pybamm.lithium_ion.SPMe(), parameter_values=parameter_values())

SI units; numbers are those of one concentration and one temperature, and held constant.
"""

{tables}


def parameter_values(base="Marquis2019"):
    """PyBaMM's ParameterValues of a cell, with this electrolyte and its temperature."""
    import pybamm

    values = pybamm.ParameterValues(base)
    values.update(VALUES)
    kelvin = PROVENANCE["temperature"]["value"]
    values.update({{"Initial temperature [K]": kelvin, "Ambient temperature [K]": kelvin}})
    return values
'''

_EQUATION = '''"""Poisson's and Nernst and Planck's equations with the numbers of {name}, by cgrec handover.

    python THIS_FILE        # needs numpy and scipy

Two monovalent ions before a blocking wall at a small potential. No ion flows, so each density follows
the potential: c' = -z c phi', phi in kT/e; Poisson: phi'' = (c- - c+) / (2 c0 lambda^2). Far away the
potential falls as exp(-x / lambda), lambda the Debye length. Diffusivities set how fast the layer
forms, lambda^2 / D, and not what it is.
"""

import numpy as np
from scipy.integrate import solve_bvp

{tables}

E, KB, NA, EPS0 = 1.602176634e-19, 1.380649e-23, 6.02214076e23, 8.8541878128e-12


def debye_length():
    """m, by theory."""
    p = PARAMETERS
    screening = 2 * NA * p["concentration"] * E**2
    return float((p["permittivity"] * EPS0 * KB * p["temperature"] / screening) ** 0.5)


def solve(wall=0.2, reach=12.0):
    """(x in Debye lengths, phi in kT/e, c+ and c- over c0) before a wall at a potential in kT/e."""

    def equations(x, y):
        phi, slope, plus, minus = y
        return np.stack([slope, (minus - plus) / 2, -plus * slope, minus * slope])

    def ends(left, right):
        return np.array([left[0] - wall, right[0], right[2] - 1, right[3] - 1])

    x = np.linspace(0, reach, 200)
    phi = wall * np.exp(-x)
    guess = np.stack([phi, -phi, np.exp(-phi), np.exp(phi)])
    found = solve_bvp(equations, ends, x, guess, tol=1e-8, max_nodes=20000)
    if not found.success:
        raise RuntimeError(found.message)
    return found.x, found.y[0], found.y[2], found.y[3]


def measured_length():
    """m, from the fall of the potential between one and four Debye lengths."""
    x, phi, _, _ = solve()
    some = (x > 1) & (x < 4)
    return float(-1 / np.polyfit(x[some], np.log(phi[some]), 1)[0]) * debye_length()


if __name__ == "__main__":
    print(f"Debye length: theory {{debye_length():.6e}} m, solved {{measured_length():.6e}} m")
    for d in PARAMETERS["diffusivity"]:
        if d:
            print(f"the layer forms in {{debye_length() ** 2 / d:.3e}} s at D = {{d:.3e}} m^2/s")
'''
