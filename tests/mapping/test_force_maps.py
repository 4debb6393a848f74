"""Force maps against mean forces and least-noise weights known exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.mapping import (
    FORCE_MAPS,
    Drop,
    HeavyAtoms,
    Mapping,
    MoleculeCentres,
    Pick,
    Weighted,
    basic,
    constraint_aware,
    force_noise,
    least_noise,
)
from cgrec.units import thermal_energy

KT = thermal_energy(300.0)
WATER_DIMER = Path(__file__).parents[3] / "shared" / "data" / "water_dimer" / "waterdimer.npz"


def chain(n: int) -> System:
    return System(
        names=tuple(f"B{k}" for k in range(n)),
        masses=np.ones(n),
        bonds=[(k, k + 1) for k in range(n - 1)],
    )


def stiffness_matrix(n: int, anchor: float) -> np.ndarray:
    """Springs of unequal strength between neighbours, and `anchor` to the origin, kJ/mol/nm^2."""
    springs = 200.0 * (1 + np.arange(n - 1) % 3)
    links = np.diff(np.eye(n), axis=0)
    return links.T @ (springs[:, None] * links) + anchor * np.eye(n)


def harmonic_frames(stiffness: np.ndarray, n_frames: int, exact: bool = True) -> Frames:
    """Gaussian frames of covariance kT K^-1, forces -K x; `exact`: without sampling error in the
    moments.
    """
    n = len(stiffness)
    noise = np.random.default_rng(3).normal(size=(3 * n_frames, n))
    if exact:
        noise = noise @ np.linalg.inv(np.linalg.cholesky(noise.T @ noise / len(noise))).T
    flat = noise @ np.linalg.cholesky(KT * np.linalg.inv(stiffness)).T
    positions = flat.reshape(n_frames, 3, n).transpose(0, 2, 1)
    return Frames(
        chain(n), positions, 300.0, forces=-np.einsum("ij,fjk->fik", stiffness, positions)
    )


def three_beads() -> Mapping:
    """A pick, a pair and an overlapping triple of an 8-site chain."""
    beads = {
        "a": {"#0": 1.0},
        "b": {"#2": 0.3, "#3": 0.7},
        "c": {"#3": 0.25, "#5": 0.5, "#6": 0.25},
    }
    return Weighted(beads)(chain(8))


def flat(vectors: np.ndarray) -> np.ndarray:
    """(n_sites, n_frames * 3)."""
    return np.asarray(vectors).transpose(1, 0, 2).reshape(vectors.shape[1], -1)


def residual(mapping: Mapping, frames: Frames, stiffness: np.ndarray) -> float:
    """Mean square of B F - (-dW/dR) over that of the mean force itself."""
    covariance = mapping.position_weights @ np.linalg.inv(stiffness) @ mapping.position_weights.T
    mapped = mapping(frames)
    mean_force = -np.linalg.solve(covariance, flat(mapped.positions))
    return float(np.mean((flat(mapped.forces) - mean_force) ** 2) / np.mean(mean_force**2))


def water(constrained: bool, n: int = 2) -> System:
    bonds = [(3 * k, 3 * k + h) for k in range(n) for h in (1, 2)]
    rigid = bonds + [(3 * k + 1, 3 * k + 2) for k in range(n)]
    return System(
        names=("O", "H1", "H2") * n,
        masses=[15.999, 1.008, 1.008] * n,
        elements=("O", "H", "H") * n,
        bonds=bonds,
        constraints=rigid if constrained else None,
        residue_names=("SOL",) * (3 * n),
    )


def frames_of(system: System, n_frames: int = 60, seed: int = 0) -> Frames:
    vectors = np.random.default_rng(seed).normal(size=(2, n_frames, system.n_sites, 3))
    return Frames(system, vectors[0], 300.0, forces=vectors[1])


SUM_OVER_MOLECULES = np.kron(np.eye(2), np.ones(3))

# --- the mean force -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORCE_MAPS)
def test_every_force_map_gives_the_mean_force(name):
    """<B F R^T> = -kT I for any B with B M^T = I, so regressing mapped forces on R gives -kT <R
    R^T>^-1.
    """
    frames = harmonic_frames(stiffness_matrix(8, 50.0), 400)
    mapped = FORCE_MAPS[name](three_beads(), frames)(frames)
    moment = flat(mapped.forces) @ flat(mapped.positions).T / (3 * len(frames))
    np.testing.assert_allclose(moment, -KT * np.eye(3), atol=1e-10)


def test_rigid_pair_in_a_field_gives_the_gradient_of_its_pmf():
    """Rigid pair in a quartic field: its summed force is -dW/dR by quadrature, that of one atom is
    not.
    """
    system = System(names=("A", "B"), masses=[1.0, 1.0], bonds=[(0, 1)], constraints=[(0, 1)])
    length, strength = 0.4, 30.0
    cosines, quadrature = np.polynomial.legendre.leggauss(80)
    energy = lambda x: strength * (x**4 + 0.3 * x)  # noqa: E731  (a field along z, on each atom)
    force = lambda x: -strength * (4 * x**3 + 0.3)  # noqa: E731
    boltzmann = lambda r: quadrature * np.exp(-(energy(r) + energy(r + length * cosines)) / KT)  # noqa: E731
    here, step = 0.35, 1e-4
    expected = (
        KT
        * (np.log(boltzmann(here + step).sum()) - np.log(boltzmann(here - step).sum()))
        / (2 * step)
    )

    positions = np.zeros((80, 2, 3))
    positions[:, 0, 2], positions[:, 1, 2] = here, here + length * cosines
    positions[:, 1, 0] = length * np.sqrt(1 - cosines**2)
    forces = np.zeros_like(positions)
    forces[..., 2] = force(positions[..., 2])
    frames = Frames(system, positions, 300.0, forces=forces, weights=boltzmann(here))
    mapping = constraint_aware(Pick(["A"])(system), frames)
    np.testing.assert_array_equal(mapping.force_weights, [[1.0, 1.0]])
    mapped = mapping(frames)
    assert mapped.normalised_weights() @ mapped.forces[:, 0, 2] == pytest.approx(expected, rel=1e-6)
    assert abs(frames.normalised_weights() @ forces[:, 0, 2] / expected - 1) > 0.2


# --- least noise ----------------------------------------------------------------------------------


def test_harmonic_forces_map_without_noise():
    """B = (M Sigma M^T)^-1 M Sigma is legal and turns -K x into the mean force exactly; it is
    found.
    """
    stiffness = stiffness_matrix(8, 50.0)
    mapping, frames = three_beads(), harmonic_frames(stiffness, 200)
    weights, covariance = mapping.position_weights, np.linalg.inv(stiffness)
    exact = np.linalg.solve(weights @ covariance @ weights.T, weights @ covariance)
    np.testing.assert_allclose(exact @ weights.T, np.eye(3), atol=1e-12)
    found = least_noise(mapping, frames)
    np.testing.assert_allclose(found.force_weights, exact, atol=1e-6)
    assert residual(found, frames, stiffness) < 1e-10
    assert residual(basic(mapping), frames, stiffness) > 0.1


def test_sampling_error_of_the_least_noise_map_is_as_stated():
    """From plain samples the excess noise is n_free / (3 n_frames) of the signal, within a factor
    of 3.
    """
    stiffness = stiffness_matrix(8, 50.0)
    fresh = harmonic_frames(stiffness, 500)
    for n_frames in (300, 3000):
        found = least_noise(three_beads(), harmonic_frames(stiffness, n_frames, exact=False))
        assert residual(found, fresh, stiffness) < 3 * (8 - 3) / (3 * n_frames)


def test_free_chain_whose_total_force_vanishes():
    """S is singular along the translation; picks still get the Schur complement's force, noiseless."""
    n, kept, gone = 9, np.array([0, 3, 4, 8]), np.array([1, 2, 5, 6, 7])
    stiffness = stiffness_matrix(n, 0.0)
    positions = np.random.default_rng(5).normal(scale=0.05, size=(2000, n, 3))
    frames = Frames(
        chain(n), positions, 300.0, forces=-np.einsum("ij,fjk->fik", stiffness, positions)
    )
    frames_gibbs = harmonic_frames(stiffness_matrix(n, 1e-6), 400)
    mapping = least_noise(Pick([f"#{k}" for k in kept])(chain(n)), frames_gibbs)
    coupling = stiffness[np.ix_(kept, gone)]
    schur = stiffness[np.ix_(kept, kept)] - coupling @ np.linalg.solve(
        stiffness[np.ix_(gone, gone)], coupling.T
    )
    mapped = mapping(frames)
    mean_force = -schur @ flat(mapped.positions)
    assert np.mean((flat(mapped.forces) - mean_force) ** 2) < 1e-10 * np.mean(mean_force**2)


def test_weights_of_the_frames_count():
    """Frames given twice, or once with twice the weight, are the same sample."""
    system = chain(5)
    mapping, frames = Pick(["#1", "#3"])(system), frames_of(system, 40)
    doubled = frames[np.r_[0:40, 0:10]]
    weighted = Frames(
        system,
        frames.positions,
        300.0,
        forces=frames.forces,
        weights=np.r_[np.full(10, 1.6), np.full(30, 0.8)],
    )
    a, b = least_noise(mapping, doubled), least_noise(mapping, weighted)
    np.testing.assert_allclose(a.force_weights, b.force_weights, atol=1e-10)
    np.testing.assert_allclose(force_noise(a, doubled), force_noise(b, weighted), rtol=1e-10)


@pytest.mark.parametrize("within_molecule", [True, False])
@pytest.mark.parametrize("rule", [Pick(["#0", "#3"]), MoleculeCentres()])
def test_water_dimer_least_noise_is_the_sum_over_each_molecule(rule, within_molecule):
    """Flexible waters, 500 frames: intramolecular forces dwarf the rest, and only the plain sum
    cancels them.

    Weights within 0.01 of 0 and 1: what 500 frames determine. Noise as of the sum, a hundredth of O
    alone.
    """
    if not WATER_DIMER.exists():
        pytest.skip(f"reference data {WATER_DIMER.name} are not on this machine")
    data = np.load(WATER_DIMER)
    frames = Frames(water(False), data["coords"], 300.0, forces=data["Fs"])
    found = least_noise(rule(frames.system), frames, within_molecule=within_molecule)
    np.testing.assert_allclose(found.force_weights, SUM_OVER_MOLECULES, atol=0.01)
    plain = Mapping(found.fine, found.coarse, found.position_weights, SUM_OVER_MOLECULES)
    ratio = force_noise(found, frames) / force_noise(plain, frames)
    assert np.all((ratio <= 1) & (ratio > 0.99))
    oxygen = force_noise(Pick(["#0", "#3"])(frames.system), frames)
    assert np.all(oxygen > 90 * force_noise(found, frames))


def test_within_molecule_keeps_other_molecules_out():
    system = water(False)
    mapping, frames = MoleculeCentres()(system), frames_of(system)
    inside = least_noise(mapping, frames).force_weights
    anywhere = least_noise(mapping, frames, within_molecule=False)
    assert np.all(inside[SUM_OVER_MOLECULES == 0] == 0)
    assert np.all(anywhere.force_weights[SUM_OVER_MOLECULES == 0] != 0)
    assert np.all(
        force_noise(anywhere, frames) <= force_noise(least_noise(mapping, frames), frames)
    )


# --- constraints ----------------------------------------------------------------------------------


def test_naive_map_of_rigid_water_is_refused_with_forces_only():
    system = water(True)
    naive, frames = Pick(["#0", "#3"])(system), frames_of(system)
    with pytest.raises(
        ValueError,
        match=r"constrained.*SOL:O \(#0\) and SOL:H1 \(#1\).*1 and 0 in.*constraint_aware",
    ):
        naive(frames)
    with pytest.raises(ValueError, match="constrained"):
        naive.check_constraints()
    naive(Frames(system, frames.positions, 300.0))


def test_constraint_aware_and_least_noise_sum_over_rigid_water():
    system = water(True)
    naive, frames = Pick(["#0", "#3"])(system), frames_of(system)
    for force_map in (constraint_aware, least_noise):
        legal = force_map(naive, frames)
        np.testing.assert_allclose(legal.force_weights, SUM_OVER_MOLECULES, atol=1e-12)
        np.testing.assert_allclose(
            legal(frames).forces[:, 1], frames.forces[:, 3:].sum(axis=1), atol=1e-12
        )


def test_constraint_forces_leave_no_trace():
    """Adding arbitrary forces along the constraints changes no mapped force."""
    system, frames = water(True), frames_of(water(True))
    pulls = np.zeros_like(frames.positions)
    for strength, (i, j) in enumerate(system.constraints, start=1):
        along = strength * (frames.positions[:, j] - frames.positions[:, i])
        pulls[:, i] += along
        pulls[:, j] -= along
    pulled = Frames(system, frames.positions, 300.0, forces=frames.forces + pulls)
    mapping = least_noise(MoleculeCentres()(system), frames, within_molecule=False)
    np.testing.assert_allclose(mapping(pulled).forces, mapping(frames).forces, atol=1e-12)


def test_constrained_hydrogens_join_their_heavy_atom():
    """C-H and N-H constraints: each heavy atom's force becomes the sum over itself and its
    hydrogens.
    """
    system = System(
        names=("C", "H1", "H2", "N", "H", "O"),
        masses=[12, 1, 1, 14, 1, 16],
        elements=tuple("CHHNHO"),
        bonds=[(0, 1), (0, 2), (0, 3), (3, 4), (0, 5)],
        constraints=[(0, 1), (2, 0), (4, 3)],
    )
    legal = constraint_aware(HeavyAtoms()(system))
    expected = [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]
    np.testing.assert_allclose(legal.force_weights, expected, atol=1e-12)
    looser = least_noise(HeavyAtoms()(system), frames_of(system))
    looser.check_constraints()
    np.testing.assert_allclose(
        looser.force_weights @ looser.position_weights.T, np.eye(3), atol=1e-12
    )


def test_constraint_aware_leaves_a_legal_basic_map_alone():
    mapping = MoleculeCentres()(water(True, 5))
    np.testing.assert_allclose(
        constraint_aware(mapping).force_weights, mapping.force_weights, atol=1e-12
    )
    free = three_beads()
    np.testing.assert_allclose(constraint_aware(free).force_weights, free.force_weights, atol=1e-12)


@pytest.mark.parametrize("force_map", [constraint_aware, least_noise])
def test_two_sites_in_one_rigid_group_are_refused(force_map):
    system = water(True)
    mapping = Pick(["#0", "#1", "#3"])(system)
    with pytest.raises(
        ValueError, match=r"SOL:O made of SOL:O \(#0\); SOL:H1 made of SOL:H1 \(#1\); keep one"
    ):
        force_map(mapping, frames_of(system))


def test_composing_keeps_constraint_forces_out():
    """Levels above 0 have no constraints of their own, and inherit legality from the first map."""
    system = water(True, 4)
    first = constraint_aware(Pick(["#0", "#3", "#6", "#9"])(system))
    second = Weighted({"a": {"#0": 0.5, "#1": 0.5}, "b": {"#2": 0.5, "#3": 0.5}})(first.coarse)
    (second @ first).check_constraints()
    assert len(first.coarse.constraints) == 0


# --- what bad input gets --------------------------------------------------------------------------


def test_missing_forces_other_systems_and_too_few_frames():
    system = chain(12)
    mapping, frames = Pick(["#0", "#6"])(system), frames_of(system)
    silent = Frames(system, frames.positions, 300.0)
    for refused in (least_noise, force_noise):
        with pytest.raises(ValueError, match="carry no forces"):
            refused(mapping, silent)
        with pytest.raises(ValueError, match="differ in names"):
            refused(mapping, frames_of(chain(13)))
    with pytest.raises(
        ValueError, match="3 frames give 9 force components per atom, expected at least 10"
    ):
        least_noise(mapping, frames[:3])


def test_forces_that_are_all_zero_still_give_a_legal_map():
    system = chain(5)
    frames = Frames(system, np.zeros((9, 5, 3)), 300.0, forces=np.zeros((9, 5, 3)))
    mapping = Pick(["#1", "#3"])(system)
    np.testing.assert_allclose(
        least_noise(mapping, frames).force_weights, mapping.force_weights, atol=1e-12
    )


def test_molecules_of_several_kinds_in_any_order_are_fitted_each_by_itself():
    """Chains of three and of four sites, some with a constraint, their atoms mixed up: B is that of
    each alone.
    """
    rng = np.random.default_rng(8)
    sizes, tied = [3, 4, 3, 3, 4], [False, True, True, False, False]
    place = rng.permutation(sum(sizes))
    members = np.split(place, np.cumsum(sizes)[:-1])
    system = System(
        names=tuple(f"B{k}" for k in range(len(place))),
        masses=rng.uniform(1, 9, len(place)),
        bonds=[pair for atoms in members for pair in zip(atoms[:-1], atoms[1:])],
        constraints=[atoms[:2] for atoms, t in zip(members, tied) if t],
    )
    forces = rng.normal(size=(60, len(place), 3)) * rng.uniform(0.2, 3, len(place))[:, None]
    frames = Frames(system, rng.normal(size=forces.shape), 300.0, forces=forces)
    mapping = MoleculeCentres()(
        replace(system, residue_names=tuple(f"M{k}" for k in _owners(members)))
    )
    frames = replace(frames, system=mapping.fine)
    found = least_noise(mapping, frames)
    nearest = constraint_aware(mapping)
    for atoms in members:
        atoms = np.sort(atoms)
        alone = MoleculeCentres()(mapping.fine.select(atoms))
        own = Frames(alone.fine, frames.positions[:, atoms], 300.0, forces=forces[:, atoms])
        site = int(np.flatnonzero(mapping.position_weights[:, atoms[0]])[0])
        np.testing.assert_allclose(
            found.force_weights[site, atoms], least_noise(alone, own).force_weights[0], atol=1e-12
        )
        np.testing.assert_allclose(
            nearest.force_weights[site, atoms], constraint_aware(alone).force_weights[0], atol=1e-12
        )
    assert found.sparse_force_weights.nnz <= len(place)


def _owners(members: list[np.ndarray]) -> np.ndarray:
    owner = np.empty(sum(map(len, members)), int)
    for k, atoms in enumerate(members):
        owner[atoms] = k
    return owner


def test_too_few_frames_are_refused_before_any_work():
    """One piece of 30,000 atoms: a matrix of their forces would be 7 GB."""
    system = System(
        names=("A",) * 30000,
        masses=np.ones(30000),
        bonds=[(2 * k, 2 * k + 1) for k in range(15000)],
    )
    mapping = Pick([f"#{k}" for k in range(0, 30000, 2)])(system)
    frames = Frames(system, np.zeros((2, 30000, 3)), 300.0, forces=np.ones((2, 30000, 3)))
    assert least_noise(mapping, frames).sparse_force_weights.nnz > 0
    with pytest.raises(
        ValueError, match="at least 15000 to determine B; .*keep within_molecule=True"
    ):
        least_noise(mapping, frames, within_molecule=False)


@pytest.mark.parametrize("force_map", ["basic", "least_noise", "constraint_aware"])
def test_sites_of_one_rigid_group_are_told_at_once_what_works(force_map):
    """Rigid water beside ions: no force map helps, and no message says that one does; dropping the
    water does.
    """
    n = 4
    system = System(
        names=("O", "H1", "H2") * n + ("Na", "Cl"),
        masses=[16.0, 1.0, 1.0] * n + [23.0, 35.0],
        elements=("O", "H", "H") * n + ("Na", "Cl"),
        residue_names=("HOH",) * 3 * n + ("NA", "CL"),
        residues=[*np.repeat(np.arange(n), 3), n, n + 1],
        bonds=[(3 * k, 3 * k + h) for k in range(n) for h in (1, 2)],
        constraints=[(3 * k + a, 3 * k + b) for k in range(n) for a, b in ((0, 1), (0, 2), (1, 2))],
    )
    rng = np.random.default_rng(0)
    frames = Frames(
        system, rng.normal(size=(50, 14, 3)), 300.0, forces=rng.normal(size=(50, 14, 3))
    )
    with pytest.raises(ValueError, match=r"one rigid group.*Drop\(residues=\[HOH\]\)") as refused:
        FORCE_MAPS[force_map](Mapping.identity(system), frames)(frames)
    assert "use the force map" not in str(refused.value)
    dropped = FORCE_MAPS[force_map](Drop(["HOH"])(system), frames)(frames)
    assert dropped.system.names == ("Na", "Cl")
    with pytest.raises(ValueError, match=r"use the force map constraint_aware"):
        FORCE_MAPS["basic"](HeavyAtoms()(system), frames)(frames)
