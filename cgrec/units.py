"""The one internal unit system (nm, ps, amu, K, kJ/mol, e) and every factor from outside units.

In these units force = mass * acceleration holds without a factor: 1 kJ/mol/nm = 1 amu nm/ps^2.
"""

#: Boltzmann (molar gas) constant in kJ/mol/K (CODATA 2018, exact).
BOLTZMANN = 8.31446261815324e-3

#: Coulomb constant 1 / (4 pi epsilon_0) in kJ/mol nm e^-2 (CODATA 2018).
COULOMB = 138.935458

#: Length units in nm.
LENGTH = {"nm": 1.0, "angstrom": 0.1, "bohr": 0.0529177210903}
#: Energy units in kJ/mol.
ENERGY = {"kJ/mol": 1.0, "kcal/mol": 4.184, "eV": 96.48533212331002, "hartree": 2625.4996394798254}
#: 1 meV/A in kJ/mol/nm.
MEV_PER_ANGSTROM = 1e-3 * ENERGY["eV"] / LENGTH["angstrom"]
#: Time units in ps.
TIME = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
#: Pressure units in kJ/mol/nm^3.
PRESSURE = {"bar": 0.0602214076}
#: Viscosity units in amu/nm/ps.
VISCOSITY = {"mPa s": 602.214076}
#: Diffusion coefficient units in nm^2/ps.
DIFFUSION = {"1e-9 m^2/s": 1e-3}


def thermal_energy(temperature: float) -> float:
    """kT in kJ/mol at `temperature` in K."""
    return BOLTZMANN * temperature


def length_factor(unit: str) -> float:
    """Factor that turns a length in `unit` into nm."""
    return _look_up(LENGTH, unit, "length")


def energy_factor(unit: str) -> float:
    """Factor that turns an energy in `unit` into kJ/mol."""
    return _look_up(ENERGY, unit, "energy")


def force_factor(unit: str) -> float:
    """Factor that turns a force in `unit`, written 'energy/length' (e.g. 'kcal/mol/angstrom'), into
    kJ/mol/nm.
    """
    energy, _, length = unit.rpartition("/")
    return energy_factor(energy) / length_factor(length)


def shown(value: float, digits: int = 2) -> str:
    """A number as a sentence shows it: so many significant digits, no exponent between 1e-4 and
    1e6.
    """
    return f"{float(f'{value:.{digits}g}'):g}"


def _look_up(table: dict[str, float], unit: str, kind: str) -> float:
    if unit not in table:
        raise ValueError(f"unknown {kind} unit {unit!r}: expected one of {sorted(table)}")
    return table[unit]
