"""Makes tests/data/foreign: one exact sample of carbon monoxide as other programs write it.

Every writer here is its own, with the numbers of each format's manual, and shares nothing with the
readers. Run it from the repository: python tests/data/make_foreign.py
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "foreign"
GAS, T, BOX = 8.31446261815324e-3, 300.0, 2.0  # kJ/mol/K, K, nm
BOHR, HARTREE, KCAL, EV = 0.0529177210903, 2625.4996394798254, 4.184, 96.48533212331002
N, MOLECULES = 24, 3


def sample(k=1e5, r0=0.12):
    """Bond lengths of U = k/2 (r - r0)^2 drawn exactly at 300 K: positions nm, forces kJ/mol/nm,
    energies kJ/mol.
    """
    rng = np.random.default_rng(11)
    grid = r0 * np.linspace(0.5, 1.5, 20001)
    weight = grid**2 * np.exp(-k * (grid - r0) ** 2 / (2 * GAS * T))
    r = np.interp(rng.random((N, MOLECULES)), np.cumsum(weight) / weight.sum(), grid)
    e = rng.normal(size=(N, MOLECULES, 3))
    e /= np.linalg.norm(e, axis=-1, keepdims=True)
    first = np.linspace(0.3, 1.7, MOLECULES)[:, None] * np.ones(3) + 0.02 * rng.normal(size=e.shape)
    pull = (k * (r - r0))[..., None] * e
    positions = np.stack([first, first + r[..., None] * e], 2).reshape(N, -1, 3)
    return positions, np.stack([pull, -pull], 2).reshape(N, -1, 3), 0.5 * k * ((r - r0) ** 2).sum(1)


X, F, E = sample()
NAMES = ["C", "O"] * MOLECULES


def dump(name, columns, *, boundary="pp pp pp", head=(), frames=range(N), order=None, lose_in=None):
    """A LAMMPS dump in units real (angstrom, kcal/mol/angstrom)."""
    lines, rng = [], np.random.default_rng(5)
    for t in frames:
        sites = list(range(2 * MOLECULES))
        if order == "random":
            rng.shuffle(sites)
        if t == lose_in:
            sites = sites[:-2]
        lines += [*head, "ITEM: TIMESTEP", f"{100 * t}", "ITEM: NUMBER OF ATOMS", f"{len(sites)}"]
        lines += [
            f"ITEM: BOX BOUNDS {boundary}",
            *[f"0.0 {10 * BOX}"] * 3,
            f"ITEM: ATOMS {columns}",
        ]
        for i in sites:
            x, f = X[t, i] * 10, F[t, i] / KCAL / 10
            word = {
                "id": i + 1,
                "type": 1 + i % 2,
                "element": NAMES[i],
                "mass": (12.011, 15.999)[i % 2],
                "q": (0.1, -0.1)[i % 2],
                **{a: f"{v:.6f}" for a, v in zip(["x", "y", "z"], x)},
                **{a: f"{v:.6f}" for a, v in zip(["fx", "fy", "fz"], f)},
            }
            lines.append(" ".join(str(word[c]) for c in columns.split()))
    (FOLDER / name).write_text("\n".join(lines) + "\n")


def netcdf(name, variable, values, unit):
    """Amber's NetCDF 3 convention, version 1.0."""
    from netCDF4 import Dataset

    with Dataset(FOLDER / name, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.Conventions, file.ConventionVersion = "AMBER", "1.0"
        for dimension, size in (("frame", None), ("spatial", 3), ("atom", 2 * MOLECULES)):
            file.createDimension(dimension, size)
        data = file.createVariable(variable, "f4", ("frame", "atom", "spatial"))
        data.units = unit
        data[:] = values


def cp2k(name, values):
    """CP2K's XYZ: the energy in hartree in the comment."""
    lines = []
    for t in range(N):
        lines += [
            f"{2 * MOLECULES:8d}",
            f" i = {t:8d}, time = {t / 2:12.3f}, E = {E[t] / HARTREE:20.10f}",
        ]
        lines += [
            f"{s:>3s} " + " ".join(f"{v:18.10f}" for v in row) for s, row in zip(NAMES, values[t])
        ]
    (FOLDER / name).write_text("\n".join(lines) + "\n")


def extxyz(name, columns):
    """Extended XYZ in angstrom and eV; `columns` of forces by name."""
    properties = "species:S:1:pos:R:3" + "".join(f":{c}:R:3" for c in columns)
    lines, edge = [], f"{10 * BOX}"
    for t in range(N):
        lattice = f'Lattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" pbc="T T T"'
        lines += [
            f"{2 * MOLECULES}",
            f"{lattice} Properties={properties} REF_energy={E[t] / EV:.8f}",
        ]
        for i, s in enumerate(NAMES):
            numbers = [
                *X[t, i] * 10,
                *np.concatenate([F[t, i] / EV / 10 * scale for scale in columns.values()]),
            ]
            lines.append(s + " " + " ".join(f"{v:.8f}" for v in numbers))
    (FOLDER / name).write_text("\n".join(lines) + "\n")


def h5md(name):
    """H5MD as LAMMPS writes it by default: no units."""
    import h5py

    with h5py.File(FOLDER / name, "w") as file:
        group = file.create_group("particles/all")
        box = group.create_group("box")
        box.attrs["dimension"], box.attrs["boundary"] = 3, ["periodic"] * 3
        for place, values in (
            ("position", X * 10),
            ("force", F / KCAL / 10),
            ("box/edges", np.full((N, 3), 10 * BOX)),
        ):
            element = group.create_group(place)
            element["value"], element["step"] = values.astype("f4"), np.arange(N)
            element["time"] = np.arange(N) * 0.1


def main():
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "reference.npz", positions=X, forces=F, energies=E)
    both = "x y z fx fy fz"
    dump("no_id.lammpstrj", f"type {both}", order="random", frames=range(4))
    dump(
        "units_time.lammpstrj", f"id type {both}", head=("ITEM: UNITS", "real", "ITEM: TIME", "0.0")
    )
    dump("vacuum_fff.lammpstrj", f"id type {both}", boundary="ff ff ff")
    dump("changing_number.lammpstrj", f"id type {both}", frames=range(5), lose_in=3)
    dump("columns.lammpstrj", f"id type element mass q {both}", order="random")
    netcdf("mdcrd.nc", "coordinates", X * 10, "angstrom")
    netcdf("mdfrc.nc", "forces", F / KCAL / 10, "kilocalorie/mole/angstrom")
    cp2k("x-pos-1.xyz", X * 10)
    cp2k("x-frc-1.xyz", F / HARTREE * BOHR)
    extxyz("REF_forces.xyz", {"REF_forces": 1.0})
    extxyz("two_forces.xyz", {"REF_forces": 1.0, "MACE_forces": 1.05})
    h5md("no_units.h5md")


if __name__ == "__main__":
    main()
