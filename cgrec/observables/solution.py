"""Thermodynamics of solutions: Kirkwood-Buff integrals, the activity of a salt, pressure and
osmotic coefficient.

Public: `kirkwood_buff` -> `KirkwoodBuff`, `activity_derivative` -> `ActivityDerivative`, `pressure`
-> `Pressure`, `osmotic_coefficient`. Where the solvent has been taken out, these are the relations
of McMillan & Mayer (J. Chem. Phys. 13, 276 (1945)): the same as for a pure fluid, with the osmotic
pressure in place of the pressure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..statistics.errors import Estimate, jackknife_rows
from ..units import PRESSURE, thermal_energy
from .pair_counts import Ends, PairTable, half_width, pair_tables

if TYPE_CHECKING:
    from ..potential import Potential

Array = NDArray[np.float64]
#: Strain of the central difference: its square and rounding, 1e-16 / strain, are both far below any
#: sampling error.
_STRAIN = 1e-5


@dataclass(frozen=True)
class KirkwoodBuff:
    """Kirkwood-Buff integral of two types, extrapolated to infinite volume.

    Attributes:
        types: the two.
        value, error: nm^3; G at the largest `lengths`, or its mean over `plateau`.
        lengths: (bins,) nm, the L up to which g(r) is integrated.
        running, running_error: (bins,) nm^3, G(L).
        plateau: (low, high) nm of L averaged over, or None.
    """

    types: tuple[str, str]
    value: float
    error: float
    lengths: Array
    running: Array
    running_error: Array
    plateau: tuple[float, float] | None

    @property
    def length(self) -> float:
        """The largest L, nm: that of `value` without a plateau."""
        return float(self.lengths[-1])


def kirkwood_buff(
    frames: Frames,
    type_a: str,
    type_b: str,
    r_max: float | None = None,
    bins: int = 200,
    plateau: tuple[float, float] | None = None,
    tail_correction: bool = True,
    intermolecular: bool = False,
    n_blocks: int | None = None,
) -> KirkwoodBuff:
    """G_ab = 4 pi integral (g_ab - 1) r^2 dr of an infinite system, from a finite closed one.

    G(L) = integral_0^L (g - 1) 4 pi r^2 (1 - 23/8 x^3 + 3/4 x^4 + 9/8 x^5) dr, x = r / L: Krueger
    et al., J. Phys. Chem. Lett. 4, 235 (2013). In a closed box g does not tend to one, since what
    is near a site is missing elsewhere; Ganguly & van der Vegt, J. Chem. Theory Comput. 9, 1347
    (2013), put back the density there is outside r: g N_b (1 - v) / (N_b (1 - v) - excess(r) -
    n_own), v = 4/3 pi r^3 / V, excess(r) = rho_b integral_0^r (g - 1) 4 pi s^2 ds, and n_own the b
    sites that are left out of the count (the site itself where a = b). An ideal gas has G = 0 then.

    Args:
        frames: with a box; any weights.
        type_a, type_b: entries of `System.types`.
        r_max: nm, the largest L; default and limit: half the smallest width of the box.
        bins: shells of g(r).
        plateau: (low, high) nm; the value is the mean of G(L) over these L.
        tail_correction: that of Ganguly & van der Vegt.
        intermolecular: leave out pairs within one molecule.
        n_blocks: for the jackknife; default `statistics.default_blocks`.

    Raises:
        ValueError: no box, r_max too large, no pair of these types, or no L within `plateau`.
    """
    shells = _Shells(frames, r_max, bins)
    (pair,) = _pairs(frames, [((type_a,), (type_b,))], shells, intermolecular, tail_correction)
    lengths = shells.edges[1:]
    low, high = plateau or (lengths[-1], lengths[-1])
    chosen = (lengths >= low) & (lengths <= high)
    if not chosen.any():
        raise ValueError(
            f"kirkwood_buff: expected a plateau within 0..{lengths[-1]:.4f} nm, found {plateau}"
        )

    def integrals(g: Array) -> Array:
        running = pair.integrals(g)
        return np.append(running, running[chosen].mean())

    value, error = jackknife_rows(frames, pair.rows, integrals, n_blocks)
    return KirkwoodBuff(
        (type_a, type_b),
        float(value[-1]),
        float(error[-1]),
        lengths,
        value[:-1],
        error[:-1],
        plateau,
    )


@dataclass(frozen=True)
class ActivityDerivative:
    """How the activity of a 1:1 salt rises with its density.

    Attributes:
        value, error: d ln a / d ln rho = 1 + d ln gamma / d ln rho, 1 in an ideal solution.
        ions, ions_error: nm^3, Kirkwood-Buff integral G_cc of all ions, not told apart.
        density: 1/nm^3, of all ions: twice that of the salt.
        constant: what is held, besides temperature: "solvent chemical potential" or "pressure".
    """

    value: float
    error: float
    ions: float
    ions_error: float
    density: float
    constant: str


def activity_derivative(
    frames: Frames,
    cation: str,
    anion: str,
    solvent: str | None = None,
    r_max: float | None = None,
    bins: int = 200,
    n_blocks: int | None = None,
) -> ActivityDerivative:
    """d ln a / d ln rho = 1 / (1 + rho G_cc) of a 1:1 salt, rho being the density of all ions.

    Electroneutrality (G_++ + 1/rho_+ = G_+- = G_-- + 1/rho_-) forbids to treat the ions as two
    components: the matrix of Kirkwood-Buff theory is singular. As one component c of ions that are
    not told apart (Kusalik & Patey, J. Chem. Phys. 86, 5110 (1987)), G_cc = (G_++ + G_-- + 2 G_+-)
    / 4, where the charge oscillations cancel. From kT (d rho / d Pi) = 1 + rho G_cc and d Pi = rho
    kT d ln a (Gibbs-Duhem), at constant temperature and chemical potential of the solvent, that is
    the McMillan-Mayer derivative. It holds with and without the solvent in `frames`, so it is the
    one that compares a level with its parent. With `solvent` the derivative is at constant
    pressure, as measured on the bench: 1 / (1 + rho (G_cc - G_cw)).

    Args:
        frames: with a box; any weights.
        cation, anion: types of the ions, one site each.
        solvent: type of one site a solvent molecule, for constant pressure.
        r_max, bins, n_blocks: as for `kirkwood_buff`.

    Raises:
        ValueError: the two are not equally many, or as `kirkwood_buff`.
    """
    numbers = [frames.system.types.count(t) for t in (cation, anion)]
    if numbers[0] != numbers[1] or cation == anion:
        raise ValueError(
            f"activity_derivative: expected a 1:1 salt, found {numbers[0]} of {cation!r} and "
            f"{numbers[1]} of {anion!r}"
        )
    shells, both = _Shells(frames, r_max, bins), (cation, anion)
    ends: list[Ends] = [(both, both)] if solvent is None else [(both, both), (both, (solvent,))]
    pairs = _pairs(frames, ends, shells)
    density = sum(numbers) / shells.volume

    def derivative(g: Array) -> Array:
        found = [pair.integrals(part)[-1] for pair, part in zip(pairs, np.split(g, len(pairs)))]
        return np.array([1 / (1 + density * (found[0] - sum(found[1:]))), found[0]])

    value, error = jackknife_rows(frames, np.hstack([p.rows for p in pairs]), derivative, n_blocks)
    return ActivityDerivative(
        float(value[0]),
        float(error[0]),
        float(value[1]),
        float(error[1]),
        density,
        "solvent chemical potential" if solvent is None else "pressure",
    )


@dataclass(frozen=True)
class Pressure:
    """Pressure of a model at fixed volume, without the term -<dW/dV>.

    A potential of mean force W(R; V) belongs to one volume. How it changes with V at fixed R adds
    -<dW/dV|_R> to the pressure, and force matching at one volume cannot see that term. It is zero
    for an energy that does not depend on the state (atoms, or ions with the McMillan-Mayer
    potential at infinite dilution, whose pressure is the osmotic one); for any other coarse model
    the number is not a pressure and the model must not be run at constant pressure.

    Attributes:
        value, error: bar; N kT / V - <dW/d strain> / (3 V).
        ideal: bar, N kT / V.
        virial, virial_error: bar, the rest; its error is that of `value`.
    """

    value: float
    error: float
    ideal: float
    virial: float
    virial_error: float


def pressure(
    potential: Potential, frames: Frames, batch_size: int = 64, n_blocks: int | None = None
) -> Pressure:
    """P = N kT / V - <dU/dV> with everything scaled together, for any `Potential`; see `Pressure`
    for what it lacks.

    sum r.F of unwrapped positions is no virial in a periodic box, except for pair forces between
    images. Here sites, lattice shifts and box are scaled by 1 + s and 1 - s, in double precision,
    and dU/dV = dU/ds / (3 V).

    Args:
        potential: a `cgrec.potential.Potential`. Its energy must go to zero smoothly at the cutoff.
        frames: in one box; any weights.
        batch_size: frames at a time.
        n_blocks: for the error; default `statistics.default_blocks`.

    Raises:
        ValueError: no box, a box that changes, or constraints, whose forces have a virial of their
            own.
    """
    volume = _one_volume(frames)
    if len(frames.system.constraints):
        raise ValueError(
            f"pressure: the System has {len(frames.system.constraints)} constraints, whose "
            "forces are not in the potential; "
            "map the rigid molecules to single sites first"
        )
    exact = type(potential).from_state(potential.to_state()).double()
    plain = replace(frames, weights=None)  # a batch of frames without weight is no Frames
    batches = [plain[k : k + batch_size] for k in range(0, len(frames), batch_size)]
    slopes = np.concatenate([_strain_derivative(exact, batch) for batch in batches])
    bar = PRESSURE["bar"] * volume
    virial, error = jackknife_rows(frames, -slopes[:, None] / (3 * bar), n_blocks=n_blocks)
    ideal = frames.n_sites * thermal_energy(frames.temperature) / bar
    return Pressure(
        ideal + float(virial[0]), float(error[0]), ideal, float(virial[0]), float(error[0])
    )


def osmotic_coefficient(
    potential: Potential, frames: Frames, batch_size: int = 64, n_blocks: int | None = None
) -> Estimate[float]:
    """phi = Pi / (rho kT) of solutes without solvent, rho being the density of all sites; 1 in an
    ideal solution.

    The `pressure` of a McMillan-Mayer model is the osmotic pressure Pi. A potential that was
    matched at this density lacks -<dW/dV|_R>, and its phi is short of that term.

    Args:
        potential, frames, batch_size, n_blocks: as for `pressure`; every site an ion or another
            solute.

    Raises:
        ValueError: as `pressure`.
    """
    found = pressure(potential, frames, batch_size, n_blocks)
    return Estimate(found.value / found.ideal, found.error / found.ideal)


def finite_volume_weights(edges: Array) -> Array:
    """(bins, bins) nm^3: row L, column k is the integral over bin k of 4 pi r^2 w(r/L), L the upper
    edge of a bin.

    Its product with g - 1 is G(L), exact for a g that is constant in every bin.
    """
    length = edges[1:, None]
    x = np.minimum(edges / length, 1.0)
    primitive = x**3 / 3 - 23 / 48 * x**6 + 3 / 28 * x**7 + 9 / 64 * x**8
    return 4 * np.pi * length**3 * np.diff(primitive, axis=1)


class _Shells:
    """The bins of g(r), their volumes, and the box."""

    def __init__(self, frames: Frames, r_max: float | None, bins: int) -> None:
        half, boxes = half_width(frames)
        self.edges = np.linspace(0.0, half if r_max is None else r_max, bins + 1)
        self.volume = float(frames.normalised_weights() @ np.abs(np.linalg.det(boxes)))
        self.balls = 4 / 3 * np.pi * self.edges**3
        self.weights = finite_volume_weights(self.edges)


class _Pair:
    """g(r) of each frame for two sets of types, and how it is integrated."""

    def __init__(
        self, frames: Frames, ends: Ends, table: PairTable, shells: _Shells, tail_correction: bool
    ) -> None:
        self.shells = shells
        self.tail_correction = tail_correction
        self.rows = table.rows
        types = np.array(frames.system.types)
        n_a, self.n_b = (int(np.isin(types, some).sum()) for some in ends)
        self.left_out = self.n_b - table.n_pairs / n_a

    def integrals(self, g: Array) -> Array:
        """(bins,) G(L) in nm^3 from g of `rdf`, whose ideal gas is one in the closed box too."""
        bulk = g * (1 - self.left_out / self.n_b)  # relative to the mean density of all b sites
        if self.tail_correction:
            excess = np.append(0.0, np.cumsum((bulk - 1) * np.diff(self.shells.balls)))
            outside = self.n_b * (1 - self.shells.balls / self.shells.volume)
            missing = self.n_b / self.shells.volume * excess + self.left_out
            middle = lambda x: (x[1:] + x[:-1]) / 2  # noqa: E731
            bulk = bulk * middle(outside) / middle(outside - missing)
        return self.shells.weights @ (bulk - 1)


def _pairs(
    frames: Frames,
    ends: Sequence[Ends],
    shells: _Shells,
    intermolecular: bool = False,
    tail_correction: bool = True,
) -> list[_Pair]:
    tables = pair_tables(frames, ends, shells.edges, intermolecular)
    return [_Pair(frames, one, table, shells, tail_correction) for one, table in zip(ends, tables)]


def _one_volume(frames: Frames) -> float:
    _, boxes = half_width(frames)
    if np.ptp(boxes, axis=0).max() > 1e-9:
        raise ValueError(
            "pressure: the box changes from frame to frame. At constant pressure a coarse "
            "model needs the volume dependence "
            "of its potential, -<dW/dV>, which it does not have; give frames of one volume"
        )
    return float(abs(np.linalg.det(boxes[0])))


def _strain_derivative(potential: Potential, frames: Frames) -> Array:
    """(n_frames,) dU/ds of U with all lengths times 1 + s, kJ/mol, by central differences."""
    import torch  # its import takes seconds that the rest of the analysis does not need

    graph = potential.graph(frames, skin=2 * _STRAIN * potential.cutoff)
    energies = []
    with torch.no_grad():
        for factor in (1 + _STRAIN, 1 - _STRAIN):
            scaled = graph.clone()
            for name in ("positions", "neighbour_shift", "box"):
                if name in graph and graph[name] is not None:
                    scaled[name] = graph[name] * factor
            energies.append(potential.energy(scaled).double().cpu().numpy())
    return (energies[0] - energies[1]) / (2 * _STRAIN)
