"""What a mapping costs: noise of its forces, entropy it hides from the energy, slow motion it
loses.

Nothing here knows how sites are chosen: each score takes fine Frames and the coarse Frames a
mapping made of them. Sources. Mapping entropy: J. F. Rudzinski, W. G. Noid, J. Chem. Phys. 135,
214101 (2011); T. T. Foley, M. S. Shell, W. G. Noid, J. Chem. Phys. 143, 243104 (2015); M. Giulini,
R. Menichetti, M. S. Shell, R. Potestio, J. Chem. Theory Comput. 16, 6795 (2020). Kinetics: H. Wu,
F. Noé, J. Nonlinear Sci. 30, 23 (2020).
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import null_space, solve
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from ... import geometry
from ...frames import Frames
from ...statistics.errors import Estimate, block_labels, jackknife_error, jackknife_rows
from ...system import System
from ...units import thermal_energy

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Distances between all pairs of this many sites, evenly spread over the molecule, describe its
#: shape at large.
_ANCHORS = 20
#: Penalties of a regression, in the variance of a coordinate; what is left out says which is best.
_RIDGES = (1e-4, 1e-2, 1e-1, 1.0)
#: Principal coordinates of a kinetic model; what is left out says which number is best.
_RANKS = (5, 10, 20, 50, 100)


class ForceNoise(NamedTuple):
    """Mean square mapped force of two force maps of one choice of sites.

    Attributes:
        before, after: (n_sites,) <|B F|^2> in (kJ/mol/nm)^2 with either map.
        removed: (n_sites,) 1 - after / before.
        total: the same of the sum over sites.
    """

    before: Estimate[Array]
    after: Estimate[Array]
    removed: Estimate[float]
    total: Estimate[float]


def noise_removed(before: Frames, after: Frames) -> ForceNoise:
    """Share of the mapped force's variance that a better force map takes away.

    <|B F|^2> is |mean force|^2 plus noise, and the first is the same for every legal B, so all that
    is taken away is noise, and `removed` is at least that share of the variance. A map fitted to
    frames is scored on others.

    Args:
        before: coarse frames with the reference map, e.g. the basic one.
        after: the same fine frames mapped to the same sites with another force map.

    Raises:
        ValueError: no forces, other sites, or another number of frames.
    """
    one, two = (np.asarray(f.need_forces(), float) for f in (before, after))
    if one.shape != two.shape:
        raise ValueError(
            "noise_removed: expected the same frames and sites under both force maps, found "
            f"{one.shape[:2]} and "
            f"{two.shape[:2]} (frames, sites); map one set of frames twice"
        )
    n = before.n_sites
    rows = np.hstack([(one**2).sum(-1), (two**2).sum(-1)])
    both = jackknife_rows(before, rows)
    return ForceNoise(
        before=Estimate(both.value[:n], both.error[:n]),
        after=Estimate(both.value[n:], both.error[n:]),
        removed=jackknife_rows(before, rows, lambda m: 1 - m[n:] / m[:n]),
        total=jackknife_rows(before, rows, lambda m: 1 - m[n:].sum() / m[:n].sum()),
    )


class MappingEntropy(NamedTuple):
    """Mapping entropy of an exactly known system, in units of k_B.

    Attributes:
        exact: S_map, the Kullback-Leibler divergence of the fine distribution from the one that is
            uniform among all fine configurations of one coarse configuration.
        second_cumulant: the first term <Var(U / kT | R)> / 2 of its expansion.
    """

    exact: float
    second_cumulant: float


def gaussian_mapping_entropy(
    stiffness: ArrayLike, position_weights: ArrayLike, temperature: float, volume: float
) -> MappingEntropy:
    """Of the harmonic energy U = sum_xyz x^T K x / 2 under R = M x, in closed form.

    What the map removes is Gaussian for every R, with covariance kT (N^T K N)^-1 in an orthonormal
    basis N of the null space of M. With d = n_fine - n_sites dimensions along each axis, S_map = d
    ln V - 3/2 ln det(2 pi e kT (N^T K N)^-1): it needs a reference volume V, which cancels between
    maps of one d. The second cumulant is 3 d / 4 whatever the stiffness, as U / kT given R is half
    a chi-squared: it counts what is removed and cannot rank two maps of one harmonic system.

    Args:
        stiffness: K, (n_fine, n_fine), kJ/mol/nm^2, symmetric; may let the whole molecule float.
        position_weights: M, (n_sites, n_fine).
        temperature: K.
        volume: V, nm^3 that a removed particle could be in; large against its fluctuation.

    Raises:
        ValueError: some motion that the map removes has no restoring force.
    """
    basis = null_space(np.asarray(position_weights, float))
    inner = basis.T @ np.asarray(stiffness, float) @ basis
    values = np.linalg.eigvalsh(inner)
    if values.size and values.min() <= 1e-12 * np.abs(np.asarray(stiffness)).max():
        raise ValueError(
            f"gaussian_mapping_entropy: expected a restoring force along all {len(values)} "
            "motions the map removes, found "
            f"stiffness {values.min():.3g} kJ/mol/nm^2; keep a site in every part that moves freely"
        )
    log_det = np.log(2 * np.pi * np.e * thermal_energy(temperature) / values).sum()
    return MappingEntropy(float(len(values) * np.log(volume) - 1.5 * log_det), 0.75 * len(values))


def grid_mapping_entropy(
    energies: ArrayLike, kept: tuple[int, ...], temperature: float, volumes: ArrayLike = 1.0
) -> MappingEntropy:
    """Of energies on the points of a grid, where the map keeps some of its axes: exact sums.

    S_map = <ln (p(r) / [P(R) v(r) / Omega(R)])>, with Omega(R) the volume of all points of one R.

    Args:
        energies: (n_1, ..., n_k) kJ/mol; infinite where nothing can be.
        kept: axes of the grid that make up R.
        temperature: K.
        volumes: of the points, broadcast to the shape of `energies`: the weights of a quadrature,
            in any unit.

    Raises:
        ValueError: an axis the grid does not have.
    """
    u = np.asarray(energies, float) / thermal_energy(temperature)
    if not set(kept) <= set(range(u.ndim)):
        raise ValueError(
            f"grid_mapping_entropy: expected axes 0 to {u.ndim - 1} to keep, found {kept}"
        )
    log_volume = np.log(np.broadcast_to(np.asarray(volumes, float), u.shape))
    removed = tuple(k for k in range(u.ndim) if k not in kept)
    log_p = log_volume - u - logsumexp(log_volume - u)
    log_coarse = logsumexp(log_p, axis=removed, keepdims=True)
    log_flat = log_coarse + log_volume - logsumexp(log_volume, axis=removed, keepdims=True)
    p = np.exp(log_p)
    u, ratio = np.where(p > 0, u, 0), np.where(p > 0, log_p - log_flat, 0)
    coarse = np.exp(log_coarse)
    mean = (p * u).sum(axis=removed, keepdims=True) / np.where(coarse > 0, coarse, 1)
    return MappingEntropy(float((p * ratio).sum()), float((p * (u - mean) ** 2).sum() / 2))


class HiddenFluctuation(NamedTuple):
    """Second cumulant of the mapping entropy, in units of k_B.

    Attributes:
        value: <Var(U / kT | R)> / 2.
        unmapped: Var(U / kT) / 2, that of a map which keeps nothing.
    """

    value: Estimate[float]
    unmapped: Estimate[float]


def hidden_fluctuation(
    fine: Frames, coarse: Frames, *, n_folds: int = 5, neighbours: int = 0
) -> HiddenFluctuation:
    """<Var(U / kT | R)> / 2: the energy fluctuation that coarse coordinates R leave unexplained,
    from frames.

    This is the term of second order in the expansion S_map / k_B = <sum_n kappa_n(U / kT | R) / n!>
    (Giulini et al. 2020), not S_map itself: neither a bound of it nor near it unless U given R is
    nearly constant, and blind to how stiff a harmonic motion is (`gaussian_mapping_entropy`). Good
    for ranking maps of one system with as many sites.

    <U | R> is a ridge regression on distances, their squares and dihedrals between sites, plus a
    linear fit to what that leaves among the nearest neighbours in those coordinates where this
    helps (W. S. Cleveland, J. Am. Stat. Assoc. 74, 829 (1979)). Both are fitted without the block
    of time that they are judged on, so the value is an upper bound, which falls to the truth with
    the number of frames; its error does not hold the excess.

    Args:
        fine: frames with energies; weights are used.
        coarse: the same frames mapped.
        n_folds: blocks of time left out in turn.
        neighbours: in a local fit; default: four for each of its coordinates, fifty at least.

    Raises:
        ValueError: no energies, another number of frames, or several free molecules of sites in a
            box.
    """
    if fine.energies is None:
        raise ValueError(
            "hidden_fluctuation: expected frames with energies, found none; take them from the "
            "source that made the frames"
        )
    _need_same_frames("hidden_fluctuation", fine, coarse)
    weights = fine.normalised_weights()
    u = np.asarray(fine.energies, float) / thermal_energy(fine.temperature)
    u = u - weights @ u
    shape = _standardised(shape_features(coarse), weights)
    fold = block_labels(fine, n_folds)
    fits = _ridge_out_of_fold(np.hstack([shape, shape**2]), u, weights, fold)
    smooth = min((u - fit for fit in fits), key=lambda r: weights @ r**2)
    local = smooth - _local_out_of_fold(
        _principal(shape, weights), smooth, weights, fold, neighbours
    )
    left = min((u, smooth, local), key=lambda r: weights @ r**2)
    return HiddenFluctuation(
        *(jackknife_rows(fine, r[:, None] ** 2 / 2, lambda m: float(m[0])) for r in (left, u))
    )


class KineticShare(NamedTuple):
    """VAMP-2 scores, the constant process not counted.

    Attributes:
        fine: sum of squared singular values of the slowest processes seen by all features.
        coarse: by those that the coarse sites allow.
        share: coarse / fine.
    """

    fine: Estimate[float]
    coarse: Estimate[float]
    share: Estimate[float]


def kinetic_share(
    fine: Frames, coarse: Frames, lag: int, *, n_processes: int = 3, n_folds: int = 10
) -> KineticShare:
    """Share of the VAMP-2 score of the slowest processes that survives a map.

    VAMP-2 is ||C_00^-1/2 C_0t C_tt^-1/2||_F^2 of the features' covariances, here the sum over the
    `n_processes` leading singular functions. They are found without a block of time and scored on
    it by VAMP-E (Wu and Noé 2020), whose mean is at most the VAMP-2 of the true slow processes. By
    that variational principle the best of several models is kept: those of `shape_features` and of
    superposed positions, each in some numbers of principal components. A score is what this many
    frames can show, and may be low.

    Args:
        fine: unweighted frames, those of each replica in time order and evenly spaced.
        coarse: the same frames mapped.
        lag: frames between the two ends of a pair; choose it long against vibrations and short
            against the slow processes.
        n_processes: singular functions kept.
        n_folds: blocks of time.

    Raises:
        ValueError: weighted frames, which have no dynamics; another number of frames; no pair of
            frames `lag` apart in a block; nothing that varies.
    """
    _need_same_frames("kinetic_share", fine, coarse)
    if fine.weights is not None and np.ptp(fine.weights) > 0:
        raise ValueError(
            "kinetic_share: expected an unbiased sample, found weights (efficiency "
            f"{fine.weight_efficiency():.2f}); time in a "
            "biased run is not the time of the system. Use frames of dynamics without bias"
        )
    blocks = block_labels(fine, n_folds)
    of_level = [
        [
            _scores_by_block(x, fine.replicas, blocks, lag, n_processes)
            for x in _descriptions(frames)
        ]
        for frames in (fine, coarse)
    ]
    low = max(of_level[1], key=np.sum)
    # what the coarse sites show, the fine ones show as well
    high = max(*of_level[0], low, key=np.sum)
    scores = np.array([high, low])
    left_out = (scores.sum(axis=1, keepdims=True) - scores) / (n_folds - 1)
    value, error = scores.mean(axis=1), jackknife_error(left_out.T)
    return KineticShare(
        fine=Estimate(float(value[0]), float(error[0])),
        coarse=Estimate(float(value[1]), float(error[1])),
        share=Estimate(
            float(value[1] / value[0]), float(jackknife_error(left_out[1] / left_out[0]))
        ),
    )


def shape_features(frames: Frames) -> Array:
    """(n_frames, n_features) coordinates of one molecule's sites that no rotation or shift changes.

    Distances (nm) of heavy sites up to three bonds apart and between twenty sites spread over the
    molecule; cosine and sine of one dihedral about each bond.

    Raises:
        ValueError: several molecules in a box, which have no common shape.
    """
    system = frames.system
    n_molecules = len(np.unique(system.molecules))
    if frames.box is not None and n_molecules > 1:
        raise ValueError(
            f"shape_features: expected one molecule, found {n_molecules} in a box "
            f"({', '.join(system.labels[:4])}, ...); a "
            "liquid has no shape: score one of its molecules"
        )
    pairs, dihedrals = _heavy_terms(system)
    x = np.asarray(frames.positions, float)
    angles = geometry.dihedral(x, dihedrals)
    return np.hstack([geometry.distance(x, pairs), np.cos(angles), np.sin(angles)])


def _descriptions(frames: Frames) -> list[Array]:
    """Coordinates of a molecule's shape, each a (n_frames, n) basis for its slow processes."""
    heavy = _heavy(frames.system)
    x = np.asarray(frames.positions[:, heavy], float)
    x = geometry.superpose(x, frames.system.masses[heavy], frames.normalised_weights())
    return [shape_features(frames), x.reshape(len(x), -1)]


def _heavy(system: System) -> list[int]:
    """Sites that are not hydrogen; all where there is nothing else."""
    return [i for i, element in enumerate(system.elements) if element != "H"] or list(
        range(system.n_sites)
    )


def _heavy_terms(system: System) -> tuple[Indices, Indices]:
    """(n, 2) pairs and (m, 4) dihedrals, one about each bond."""
    heavy = _heavy(system)
    skeleton = system.select(heavy)
    spread = np.unique(np.linspace(0, len(heavy) - 1, _ANCHORS).round().astype(int)).tolist()
    pairs = set(combinations(spread, 2))
    paths = {n: skeleton.bonded_paths(n) for n in (2, 3, 4)}
    pairs |= {(path[0], path[-1]) for n in paths for path in paths[n]}
    about = {tuple(sorted(path[1:3])): path for path in reversed(paths[4])}
    index = np.array(heavy)
    return (
        index[np.array(sorted(pairs), np.int64).reshape(-1, 2)],
        index[np.array([about[bond] for bond in sorted(about)], np.int64).reshape(-1, 4)],
    )


def _need_same_frames(owner: str, fine: Frames, coarse: Frames) -> None:
    if len(fine) != len(coarse):
        raise ValueError(
            f"{owner}: expected the coarse frames that a mapping makes of the fine ones, found "
            f"{len(coarse)} of {len(fine)}"
        )


def _standardised(x: Array, weights: Array) -> Array:
    """Columns of mean 0 and variance 1; those that do not vary are left out."""
    x = x - weights @ x
    spread = np.sqrt(weights @ x**2)
    return x[:, spread > 1e-9] / spread[spread > 1e-9]


def _principal(x: Array, weights: Array, most: int = 30) -> Array:
    """Leading principal components of unit variance."""
    values, modes = np.linalg.eigh((x * weights[:, None]).T @ x)
    kept = np.flatnonzero(values > 1e-6 * values.max(initial=0))[::-1][:most]
    return x @ modes[:, kept] / np.sqrt(values[kept])


def _ridge_out_of_fold(x: Array, y: Array, weights: Array, fold: Indices) -> Array:
    """(n_ridges, n) of each frame, ridge regressions of y on standardised x fitted to the other
    folds.
    """
    x = np.hstack([np.ones((len(x), 1)), x])
    folds = [fold == k for k in range(fold.max() + 1)]
    grams = [(x[f] * weights[f, None]).T @ np.column_stack([x[f], y[f]]) for f in folds]
    total, fitted = np.sum(grams, axis=0), np.empty((len(_RIDGES), len(y)))
    for inside, gram in zip(folds, grams):
        moments, targets = np.split(total - gram, [-1], axis=1)
        penalty = np.diag(np.append(1e-12, np.full(len(moments) - 1, moments[0, 0])))
        for row, ridge in zip(fitted, _RIDGES):
            row[inside] = x[inside] @ solve(
                moments + ridge * penalty, targets[:, 0], assume_a="pos"
            )
    return fitted


def _local_out_of_fold(x: Array, y: Array, weights: Array, fold: Indices, neighbours: int) -> Array:
    """(n,) at each frame, a linear fit to its nearest frames of the other folds."""
    fitted, n = np.zeros(len(y)), neighbours or max(50, 4 * (x.shape[1] + 1))
    for k in range(fold.max() + 1):
        inside, others = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        if x.shape[1] == 0 or n >= len(others):
            continue
        near = others[cKDTree(x[others]).query(x[inside], n)[1]]
        for batch in np.array_split(np.arange(len(inside)), 1 + len(inside) // 200):
            w = weights[near[batch]]
            w = w / w.sum(axis=1, keepdims=True)
            arms = x[near[batch]] - x[inside[batch], None]
            mean, level = (w[:, None] @ arms)[:, 0], (w * y[near[batch]]).sum(axis=1)
            arms = arms - mean[:, None]
            scaled = (arms * w[..., None]).transpose(0, 2, 1)
            moments, targets = scaled @ arms, scaled @ y[near[batch]][..., None]
            size = np.trace(moments, axis1=1, axis2=2)[:, None, None] / len(arms[0, 0])
            slope = np.linalg.solve(moments + 1e-3 * size * np.eye(len(arms[0, 0])), targets)[
                ..., 0
            ]
            fitted[inside[batch]] = level - (slope * mean).sum(axis=1)
    return fitted


def _scores_by_block(
    features: Array, replicas: Indices | None, blocks: Indices, lag: int, n_processes: int
) -> Array:
    """(n_folds,) score of each block with the singular functions of the others, in as many
    coordinates as are best.
    """
    start, end = _lagged(blocks, replicas, lag)
    uniform = np.full(len(features), 1 / len(features))
    x = _principal(features - features.mean(axis=0), uniform, max(_RANKS))
    if x.shape[1] == 0:
        raise ValueError(
            "kinetic_share: expected coordinates that vary, found none; these sites hide all motion"
        )
    inside = [blocks[start] == k for k in range(blocks.max() + 1)]
    ends = [(x[start[i]], x[end[i]]) for i in inside]
    counts = np.array([len(a) for a, _ in ends])
    sums = np.array([[a.T @ a, a.T @ b, b.T @ b] for a, b in ends])
    whole, scores = sums.sum(axis=0), []
    for rank in sorted({min(rank, x.shape[1]) for rank in _RANKS}):
        part = np.s_[:, :rank, :rank]
        score = [
            _vamp_e(
                (whole - own)[part] / (counts.sum() - n),
                own[part] / n,
                whole[part] / counts.sum(),
                n_processes,
            )
            for own, n in zip(sums, counts)
        ]
        scores.append(np.array(score) * counts / counts.mean())
    return max(scores, key=np.sum)


def _lagged(blocks: Indices, replicas: Indices | None, lag: int) -> tuple[Indices, Indices]:
    """Indices of the frames at both ends of each pair `lag` apart in one replica and one block."""
    replica = np.zeros(len(blocks), int) if replicas is None else np.asarray(replicas)
    order = np.argsort(replica, kind="stable")
    start, end = order[:-lag], order[lag:]
    paired = (replica[start] == replica[end]) & (blocks[start] == blocks[end])
    empty = set(np.unique(blocks)) - set(np.unique(blocks[start[paired]]))
    if lag < 1 or empty:
        raise ValueError(
            f"kinetic_share: expected pairs of frames lag = {lag} apart in each of "
            f"{blocks.max() + 1} blocks, found none in "
            f"{len(empty)}; shorten the lag, or ask for fewer folds"
        )
    return start[paired], end[paired]


def _vamp_e(train: Array, test: Array, whole: Array, n_processes: int) -> float:
    """tr(2 S U^T C_0t V - S U^T C_00 U S V^T C_tt V) of `train`'s functions U, V and values S with
    `test` moments.

    Moments are (00, 0t, tt). Of the two covariances multiplied, one is that of the whole sample and
    the other that of the test block, in turn: linear in the block's moments, so that a short block
    is as unbiased as a long one.
    """
    left, right = _inverse_root(train[0]), _inverse_root(train[2])
    u, s, vt = np.linalg.svd(left.T @ train[1] @ right)
    s, u, v = s[:n_processes], left @ u[:, :n_processes], right @ vt[:n_processes].T
    reached = 2 * (s * np.einsum("ik,ij,jk->k", u, test[1], v)).sum()
    spread = [(u.T @ a[0] @ u, v.T @ b[2] @ v) for a, b in ((test, whole), (whole, test))]
    return float(reached - sum(np.trace(s[:, None] * a * s @ b) for a, b in spread) / 2)


def _inverse_root(moment: Array) -> Array:
    """(n, rank) W with W^T moment W = I, without directions of no fluctuation."""
    values, modes = np.linalg.eigh(moment)
    kept = values > 1e-10 * values.max()
    return modes[:, kept] / np.sqrt(values[kept])
