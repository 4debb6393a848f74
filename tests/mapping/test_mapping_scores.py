"""Scores of a mapping, against Gaussian, gridded and Markovian systems whose answers are known."""

import numpy as np
import pytest
from scipy.integrate import dblquad, quad, tplquad

from cgrec import Frames, System
from cgrec.mapping import Pick, Weighted, basic, least_noise
from cgrec.mapping.choose.scores import (
    _vamp_e,
    gaussian_mapping_entropy,
    grid_mapping_entropy,
    hidden_fluctuation,
    kinetic_share,
    noise_removed,
    shape_features,
)
from cgrec.units import thermal_energy

KT = thermal_energy(300.0)


def chain(n: int, **fields) -> System:
    return System(
        names=tuple(f"B{k}" for k in range(n)),
        masses=np.ones(n),
        bonds=[(k, k + 1) for k in range(n - 1)],
        **fields,
    )


def stiffness_matrix(n: int, anchor: float = 0.0) -> np.ndarray:
    links = np.diff(np.eye(n), axis=0)
    return links.T @ ((200.0 * (1 + np.arange(n - 1) % 3))[:, None] * links) + anchor * np.eye(n)


# --- mapping entropy ------------------------------------------------------------------------------


def test_gaussian_pair_to_one_site_agrees_with_quadrature():
    """Two sites and a spring to R = 0.3 x0 + 0.7 x1: <ln p / p_flat> along the one direction that
    is lost, by quad.
    """
    k, volume, weights = 500.0, 0.4, np.array([0.3, 0.7])
    direction = np.array([0.7, -0.3]) / np.hypot(0.7, 0.3)  # R stays
    energy = lambda s: 0.5 * k * (s * (direction[0] - direction[1])) ** 2 / KT  # noqa: E731
    z = quad(lambda s: np.exp(-energy(s)), -1, 1, points=[0], epsabs=1e-14)[0]
    p = lambda s: np.exp(-energy(s)) / z  # noqa: E731
    per_axis = quad(lambda s: p(s) * np.log(p(s)), -0.6, 0.6, points=[0], epsabs=1e-13)[0]
    second = quad(lambda s: p(s) * energy(s) ** 2, -1, 1, points=[0])[0]
    first = quad(lambda s: p(s) * energy(s), -1, 1, points=[0])[0]
    found = gaussian_mapping_entropy(k * np.array([[1, -1], [-1, 1]]), [weights], 300.0, volume)
    assert found.exact == pytest.approx(3 * per_axis + np.log(volume), abs=1e-8)
    assert found.second_cumulant == pytest.approx(3 * (second - first**2) / 2, abs=1e-8)


def test_gaussian_chain_is_the_difference_of_entropies():
    """S_map = h(R) - h(r) + ln Omega of the two multivariate normals, with the Jacobian of M
    between their measures.
    """
    k = stiffness_matrix(6, anchor=30.0)
    m = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.2, 0.5, 0.3, 0], [0, 0, 0, 0, 0, 1.0]])
    fine = KT * np.linalg.inv(k)
    h = lambda c: 0.5 * np.linalg.slogdet(2 * np.pi * np.e * c)[1]  # noqa: E731
    expected = 3 * (
        h(m @ fine @ m.T) - 0.5 * np.linalg.slogdet(m @ m.T)[1] - h(fine) + 3 * np.log(0.2)
    )
    found = gaussian_mapping_entropy(k, m, 300.0, volume=0.2**3)
    assert found.exact == pytest.approx(expected, rel=1e-10)
    assert found.second_cumulant == 2.25


def test_motion_without_restoring_force_is_refused():
    floating = np.kron(np.eye(2), stiffness_matrix(3))
    with pytest.raises(ValueError, match="restoring force along all 5 motions"):
        gaussian_mapping_entropy(floating, np.eye(6)[:1], 300.0, 1.0)


def test_three_dimensional_grid_agrees_with_quadrature():
    """A coupled anharmonic energy in a box, R = x, against adaptive quadrature of the definition."""
    energy = lambda x, y, z: KT * (x**4 - x**2 + (y - x) ** 2 + 0.5 * z**2 * (1 + y**2) + np.sin(z))  # noqa: E731
    nodes, weights = np.polynomial.legendre.leggauss(24)
    x, y, z = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    volumes = weights[:, None, None] * weights[:, None] * weights
    found = grid_mapping_entropy(energy(x, y, z), (0,), 300.0, volumes)

    boltzmann = lambda x, y, z: np.exp(-energy(x, y, z) / KT)  # noqa: E731
    tight = {"epsabs": 1e-8, "epsrel": 1e-8}
    partition = tplquad(lambda z, y, x: boltzmann(x, y, z), -1, 1, -1, 1, -1, 1, **tight)[0]
    mean_u = tplquad(
        lambda z, y, x: boltzmann(x, y, z) * energy(x, y, z), -1, 1, -1, 1, -1, 1, **tight
    )[0]

    def slices(x):
        return [
            dblquad(
                lambda z, y, k=k: boltzmann(x, y, z) * (energy(x, y, z) / KT) ** k,
                -1,
                1,
                -1,
                1,
                **tight,
            )[0]
            for k in range(3)
        ]

    outer, outer_weights = np.polynomial.legendre.leggauss(16)
    zero, one, two = np.array([slices(x) for x in outer]).T
    entropy = -mean_u / partition / KT - outer_weights @ (zero * np.log(zero / 4)) / partition
    assert found.exact == pytest.approx(entropy, rel=1e-6)
    assert found.second_cumulant == pytest.approx(
        outer_weights @ (two - one**2 / zero) / partition / 2, rel=1e-6
    )


def test_grid_limits():
    """Nothing removed costs nothing; a flat energy has no cumulant; a forbidden half costs ln 2 and
    no cumulant.
    """
    energy = np.random.default_rng(0).normal(size=(5, 4, 3))
    assert grid_mapping_entropy(energy, (0, 1, 2), 300.0) == pytest.approx((0, 0), abs=1e-14)
    halved = np.where(np.arange(4) < 2, 0.0, np.inf) * np.ones((5, 4))
    assert grid_mapping_entropy(halved, (0,), 300.0) == pytest.approx((np.log(2), 0), abs=1e-12)
    with pytest.raises(ValueError, match="axes 0 to 2"):
        grid_mapping_entropy(energy, (3,), 300.0)


# --- the same from frames -------------------------------------------------------------------------


def harmonic_frames(n: int, n_frames: int, seed: int = 0, **fields) -> Frames:
    """A chain of springs with rest lengths zero on a stiff body, so that R explains its part of the
    energy.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.normal(0.3, 0.02, size=(n_frames, n - 1))
    x = np.zeros((n_frames, n, 3))
    x[:, 1:, 0] = np.cumsum(lengths, axis=1)
    x[..., 1] += 0.05 * (np.arange(n) % 2)
    energy = 0.5 * KT * ((lengths - 0.3) ** 2).sum(1) / 0.02**2
    return Frames(chain(n), x, 300.0, energies=energy, **fields)


@pytest.mark.parametrize("weighted", [False, True])
def test_estimate_is_that_of_the_gaussian_springs_removed(weighted):
    """Picked sites 0, 1, 2, 4 of a chain of springs: two springs are seen one by one, of two only
    the sum, one is gone.
    """
    frames = harmonic_frames(6, 6000)
    expected = 0.25 * 2
    if weighted:  # drawn from springs twice as soft and weighted back
        soft = harmonic_frames(6, 20000, seed=3)
        centred = (np.diff(soft.positions[..., 0]) - 0.3) * np.sqrt(2)
        x = soft.positions.copy()
        x[:, 1:, 0] = np.cumsum(0.3 + centred, axis=1)
        energy = 0.5 * KT * (centred**2).sum(1) / 0.02**2
        frames = Frames(soft.system, x, 300.0, energies=energy, weights=np.exp(-0.5 * energy / KT))
    coarse = Pick(["B0", "B1", "B2", "B4"])(frames.system)(frames)
    found = hidden_fluctuation(frames, coarse)
    assert found.value.value == pytest.approx(expected, abs=4 * found.value.error)
    assert found.unmapped.value == pytest.approx(0.25 * 5, abs=4 * found.unmapped.error)
    assert found.value.error < 0.04


def test_local_fit_finds_what_no_polynomial_does():
    """An energy that oscillates with the one distance kept, plus independent noise: only neighbours
    explain it.
    """
    rng = np.random.default_rng(2)
    x = np.zeros((8000, 3, 3))
    x[:, 1, 0] = 0.3 + 0.1 * rng.random(8000)
    x[:, 2, 0] = 1 + 0.1 * rng.random(8000)
    energy = KT * (2 * np.sin(300 * x[:, 1, 0]) + rng.normal(scale=0.5, size=8000))
    frames = Frames(chain(3), x, 300.0, energies=energy)
    found = hidden_fluctuation(frames, Pick(["B0", "B1"])(frames.system)(frames)).value
    assert found.value == pytest.approx(0.125, abs=max(4 * found.error, 0.006))


def test_nothing_known_leaves_the_whole_fluctuation():
    frames = harmonic_frames(5, 2000)
    found = hidden_fluctuation(frames, Pick(["B2"])(frames.system)(frames))
    assert found.value.value == pytest.approx(found.unmapped.value)
    assert found.unmapped.value == pytest.approx(0.5 * np.var(frames.energies / KT), rel=1e-10)


# --- force noise ----------------------------------------------------------------------------------


def test_noise_removed_from_a_gaussian_chain():
    """Sample moments are exact, so <|B F|^2> is 3 kT tr(B K B^T) and both maps are known from K
    alone.
    """
    k = stiffness_matrix(8, anchor=50.0)
    noise = np.random.default_rng(3).normal(size=(3 * 900, 8))
    noise = noise @ np.linalg.inv(np.linalg.cholesky(noise.T @ noise / len(noise))).T
    x = (noise @ np.linalg.cholesky(KT * np.linalg.inv(k)).T).reshape(900, 3, 8).transpose(0, 2, 1)
    frames = Frames(chain(8), x, 300.0, forces=-np.einsum("ij,fjk->fik", k, x))
    mapping = Weighted({"a": {"#0": 0.5, "#1": 0.5}, "b": {"#4": 0.3, "#5": 0.7}})(frames.system)
    found = noise_removed(basic(mapping)(frames), least_noise(mapping, frames)(frames))
    m, b = mapping.position_weights, basic(mapping).force_weights
    plain = 3 * KT * np.diag(b @ k @ b.T)
    least = (
        3 * KT * np.diag(np.linalg.inv(m @ np.linalg.inv(k) @ m.T))
    )  # the mean force alone: no noise is left
    np.testing.assert_allclose(found.before.value, plain, rtol=1e-8)
    np.testing.assert_allclose(found.after.value, least, rtol=1e-6)
    np.testing.assert_allclose(found.removed.value, 1 - least / plain, rtol=1e-6)
    assert found.total.value == pytest.approx(1 - least.sum() / plain.sum(), rel=1e-6)
    assert (found.removed.error > 0).all()


def test_maps_of_other_sites_are_refused():
    frames = Frames(chain(3), np.zeros((4, 3, 3)), 300.0, forces=np.ones((4, 3, 3)))
    with pytest.raises(ValueError, match="same frames and sites"):
        noise_removed(frames, frames[:2])


# --- kinetics -------------------------------------------------------------------------------------


def relaxing(rates, n_frames=20000, seed=0) -> np.ndarray:
    """(n_frames, n) independent Ornstein-Uhlenbeck processes of unit variance, correlation
    exp(-rate) a frame.
    """
    rng, keep = np.random.default_rng(seed), np.exp(-np.asarray(rates))
    x = np.empty((n_frames, len(keep)))
    x[0] = rng.normal(size=len(keep))
    kicks = rng.normal(size=x.shape) * np.sqrt(1 - keep**2)
    for t in range(1, n_frames):
        x[t] = keep * x[t - 1] + kicks[t]
    return x


def sliding_beads(modes: np.ndarray, mixing: np.ndarray, **fields) -> Frames:
    """Beads on a line whose distances are `mixing` times the modes: distances are linear in what
    relaxes.
    """
    lengths = 0.5 + 0.03 * modes @ mixing.T
    x = np.zeros((len(modes), lengths.shape[1] + 1, 3))
    x[:, 1:, 0] = np.cumsum(lengths, axis=1)
    return Frames(chain(x.shape[1]), x, 300.0, **fields)


def test_share_is_that_of_the_processes_kept():
    """Distances that relax one by one with exp(-rate): VAMP-2 is the sum of their squares, the map
    keeps some of them.
    """
    rates, lag = np.array([0.02, 0.05, 0.2]), 5
    frames = sliding_beads(relaxing(rates), np.eye(3))
    scores = np.exp(-2 * lag * rates)
    for sites, kept in (
        (["B1", "B2", "B3"], [1, 2]),
        (["B0", "B1", "B2"], [0, 1]),
        (["B2", "B3"], [2]),
    ):
        found = kinetic_share(frames, Pick(sites)(frames.system)(frames), lag)
        assert found.fine.value == pytest.approx(scores.sum(), abs=4 * found.fine.error)
        assert found.share.value == pytest.approx(
            scores[kept].sum() / scores.sum(), abs=4 * found.share.error
        )
        assert found.share.error < 0.05


def test_a_sum_of_two_modes_keeps_what_projection_theory_says():
    """One distance that is x1 + x2: its only singular value is its autocorrelation, (l1 + l2) / 2."""
    rates, lag = np.array([0.02, 0.3]), 4
    frames = sliding_beads(relaxing(rates, seed=1), np.eye(2))
    found = kinetic_share(frames, Pick(["B0", "B2"])(frames.system)(frames), lag)
    values = np.exp(-lag * rates)
    assert found.coarse.value == pytest.approx(values.mean() ** 2, abs=4 * found.coarse.error)
    assert found.share.value == pytest.approx(
        values.mean() ** 2 / (values**2).sum(), abs=4 * found.share.error
    )


def deeptime_model(moments):
    """VAMP of deeptime from moments (00, 0t, tt) of features without their mean."""
    deeptime = pytest.importorskip("deeptime", reason="deeptime, of the extra 'test', is absent")
    covariances = deeptime.covariance.CovarianceModel(
        *moments, *np.zeros((2, len(moments[0]))), data_mean_removed=True
    )
    return (
        deeptime.decomposition.VAMP(epsilon=1e-12).fit_from_covariances(covariances).fetch_model()
    )


def lagged_moments(x, lag):
    start, end = x[:-lag], x[lag:]
    return [a.T @ b / len(start) for a, b in ((start, start), (start, end), (end, end))]


@pytest.mark.parametrize("n_processes", [1, 3])
def test_scores_of_moments_are_those_of_deeptime(n_processes):
    """VAMP-2 of a sample on itself, and VAMP-E of functions found on its first half."""
    rng = np.random.default_rng(3)
    x = relaxing([0.02, 0.05, 0.2, 0.7], 4000, seed=3) @ rng.normal(size=(4, 4))
    x -= x.mean(axis=0)
    whole, half = lagged_moments(x, 5), lagged_moments(x[:2000], 5)
    theirs, of_half = deeptime_model(whole), deeptime_model(half)
    # deeptime counts the constant process, whose share is 1
    assert _vamp_e(whole, whole, whole, n_processes) == pytest.approx(
        theirs.score(2, dim=n_processes) - 1, rel=1e-8
    )
    assert _vamp_e(half, whole, whole, n_processes) == pytest.approx(
        of_half.score("E", test_model=theirs, dim=n_processes) - 1, rel=1e-8
    )


def test_the_share_is_that_which_deeptime_finds():
    """Of distances that relax in a mixture, with and without one bead in the middle."""
    modes = relaxing([0.02, 0.06, 0.3], 20000, seed=4)
    frames = sliding_beads(modes, np.array([[1, 0.4, 0], [0.3, 1, 0.5], [0, 0.6, 1]]))
    coarse = Pick(["B0", "B1", "B3"])(frames.system)(frames)
    found = kinetic_share(frames, coarse, 5)
    for score, seen in ((found.fine, frames), (found.coarse, coarse)):
        distances = np.diff(np.asarray(seen.positions)[:, :, 0], axis=1)
        model = deeptime_model(lagged_moments(distances - distances.mean(axis=0), 5))
        assert score.value == pytest.approx(model.score(2) - 1, abs=3 * score.error)
        assert score.error < 0.1 * score.value


def rigid_modes(rest: np.ndarray) -> np.ndarray:
    """(3 n, 6) orthonormal shifts and rotations of sites at `rest`."""
    turns = [np.cross(axis, rest - rest.mean(0)).ravel() for axis in np.eye(3)]
    shifts = [np.tile(axis, len(rest)) for axis in np.eye(3)]
    return np.linalg.svd(np.array([*shifts, *turns]).T, full_matrices=False)[0]


def test_share_in_an_elastic_network_is_that_of_linear_theory():
    """Small vibrations in space, relaxing mode by mode: covariances, and so VAMP-2, of any sites
    are known matrices.
    """
    rng = np.random.default_rng(5)
    rest = np.cumsum(rng.normal(scale=0.3, size=(9, 3)), axis=0)
    rigid = rigid_modes(rest)
    basis = np.linalg.svd(np.eye(27) - rigid @ rigid.T)[0][:, :21]
    modes = basis @ np.linalg.qr(rng.normal(size=(21, 21)))[0]
    rates, width, lag = np.geomspace(0.02, 3, 21), 0.004 * np.geomspace(1, 0.3, 21), 4
    x = rest + (relaxing(rates, 15000, seed=2) * width @ modes.T).reshape(-1, 9, 3)
    frames = Frames(chain(9), x, 300.0)
    sites = [0, 3, 4, 7]
    found = kinetic_share(frames, Pick([f"B{k}" for k in sites])(frames.system)(frames), lag)

    picked = modes.reshape(9, 3, 21)[sites].reshape(12, 21)
    own = rigid_modes(rest[sites])  # superposed by themselves, the sites lose their common motion
    picked = picked - own @ (own.T @ picked)
    now = picked * width**2 @ picked.T
    later = picked * width**2 * np.exp(-lag * rates) @ picked.T
    values = np.sort(np.linalg.eigvals(np.linalg.pinv(now, rcond=1e-10) @ later).real)[::-1][:3]
    coarse, fine = (values**2).sum(), np.exp(-2 * lag * rates[:3]).sum()
    assert found.fine.value == pytest.approx(fine, abs=4 * found.fine.error)
    assert found.coarse.value == pytest.approx(coarse, abs=4 * found.coarse.error)
    assert found.share.value == pytest.approx(coarse / fine, abs=4 * found.share.error)
    assert found.share.error < 0.05 < 1 - coarse / fine


def test_the_identity_keeps_everything_and_replicas_stay_apart():
    modes = relaxing([0.03, 0.1], 4000)
    frames = sliding_beads(modes, np.array([[1, 0.5], [0.2, 1]]), replicas=np.arange(4000) % 4)
    kept = kinetic_share(frames, frames, 2)
    assert kept.share.value == pytest.approx(1, abs=1e-6)
    one_by_one = frames[np.argsort(frames.replicas, kind="stable")]
    assert kinetic_share(one_by_one, one_by_one, 2).fine.value == pytest.approx(
        kept.fine.value, rel=1e-8
    )
    assert kept.fine.value == pytest.approx(
        np.exp(-16 * 0.03) + np.exp(-16 * 0.1), abs=4 * kept.fine.error
    )


def test_no_dynamics_from_weighted_frames_or_too_long_a_lag():
    frames = sliding_beads(relaxing([0.1, 0.2], 100), np.eye(2))
    weighted = Frames(frames.system, frames.positions, 300.0, weights=np.linspace(0.5, 1.5, 100))
    with pytest.raises(ValueError, match="biased run"):
        kinetic_share(weighted, weighted, 1)
    with pytest.raises(ValueError, match="shorten the lag"):
        kinetic_share(frames, frames, 10)


def test_shape_features_do_not_turn_and_leave_hydrogens_out():
    system = chain(6, elements=("C", "C", "C", "C", "H", "C"))
    x = np.random.default_rng(0).normal(size=(3, 6, 3))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    found = shape_features(Frames(system, x, 300.0))
    np.testing.assert_allclose(
        shape_features(Frames(system, x @ turn.T + 3.0, 300.0)), found, atol=1e-12
    )
    assert found.shape == (
        3,
        10 + 2,
    )  # five heavy atoms: all their distances; one dihedral of the four in a row
    mirrored = shape_features(Frames(system, x * [1, 1, -1], 300.0))
    np.testing.assert_allclose(mirrored[:, -1], -found[:, -1])


def test_a_liquid_has_no_shape():
    liquid = System(names=("W",) * 3, masses=np.ones(3))
    with pytest.raises(ValueError, match="liquid"):
        shape_features(Frames(liquid, np.zeros((2, 3, 3)), 300.0, box=np.eye(3)))
