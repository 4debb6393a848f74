"""The two matrices and the rules that choose sites, on systems with known answers."""

import copy
import json
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import ALANINE_BONDS, ALANINE_DIPEPTIDE, MASS, waters
from scipy.sparse import coo_array, csr_array, issparse

from cgrec import Frames, System
from cgrec.level import mapping_of
from cgrec.mapping import (
    CentresOfMass,
    Drop,
    HeavyAtoms,
    Mapping,
    MoleculeCentres,
    Pick,
    Weighted,
    basic_force_weights,
)


@pytest.fixture
def peptide() -> System:
    residues, names = zip(*(label.split(":") for label in ALANINE_DIPEPTIDE))
    elements = tuple(name[0] for name in names)
    return System(
        names=names,
        masses=[MASS[e] for e in elements],
        types=elements,
        elements=elements,
        charges=np.linspace(-0.5, 0.5, 22),
        bonds=ALANINE_BONDS,
        residues=[("ACE", "ALA", "NME").index(r) for r in residues],
        residue_names=residues,
    )


def chain(n: int) -> System:
    return System(
        names=tuple(f"B{k}" for k in range(n)),
        masses=np.ones(n),
        bonds=[(k, k + 1) for k in range(n - 1)],
    )


def random_frames(system: System, n_frames: int = 7, **more) -> Frames:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, n_frames, system.n_sites, 3))
    return Frames(system=system, positions=vectors[0], forces=vectors[1], temperature=300.0, **more)


def random_mapping(fine: System, n_sites: int, rng: np.random.Generator) -> Mapping:
    """Overlapping sites, and a force map that is neither basic nor local."""
    weights = rng.uniform(size=(n_sites, fine.n_sites))
    weights /= weights.sum(axis=1, keepdims=True)
    forces = basic_force_weights(weights)
    extra = rng.normal(size=weights.shape)
    return Mapping(fine, chain(n_sites), weights, forces + extra - extra @ weights.T @ forces)


def halving(system: System) -> Mapping:
    """Pairs of neighbours in a chain to their midpoint."""
    pairs = {f"B{k}": {f"#{2 * k}": 0.5, f"#{2 * k + 1}": 0.5} for k in range(system.n_sites // 2)}
    return Weighted(pairs)(system)


def labelled_bonds(system: System) -> set[frozenset[str]]:
    return {frozenset((system.labels[i], system.labels[j])) for i, j in system.bonds.tolist()}


# --- the two matrices -----------------------------------------------------------------------------


def test_composition_keeps_the_identity_and_equals_applying_in_turn():
    rng = np.random.default_rng(0)
    first = random_mapping(chain(40), 17, rng)
    second = random_mapping(first.coarse, 9, rng)
    third = random_mapping(second.coarse, 4, rng)
    direct = third @ second @ first
    assert np.abs(direct.force_weights @ direct.position_weights.T - np.eye(4)).max() < 1e-12
    frames = random_frames(first.fine)
    in_turn, at_once = third(second(first(frames))), direct(frames)
    np.testing.assert_allclose(in_turn.positions, at_once.positions, atol=1e-12)
    np.testing.assert_allclose(in_turn.forces, at_once.forces, atol=1e-11)


def test_semigroup_of_the_harmonic_chain():
    """The PMF of the PMF is the PMF: covariances of 64 -> 32 -> 16 -> 8 sites in steps and at once."""
    stiffness = 500.0 * (2 * np.eye(64) - np.eye(64, k=1) - np.eye(64, k=-1))
    covariance = np.linalg.inv(stiffness)
    direct, stepwise = Mapping.identity(chain(64)), covariance
    for _ in range(3):
        step = halving(direct.coarse)
        direct = step @ direct
        stepwise = step.position_weights @ stepwise @ step.position_weights.T
        at_once = direct.position_weights @ covariance @ direct.position_weights.T
        assert np.abs(stepwise - at_once).max() < 1e-12 * np.abs(at_once).max()
    assert len(at_once) == 8
    assert direct.coarse.bonds.tolist() == [[k, k + 1] for k in range(7)]


def test_dropping_every_second_site_is_the_schur_complement():
    """An independent route to the same PMF: integrating dropped sites out of K one set after the
    other.
    """
    n = 16
    stiffness = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    drop = Pick([f"#{k}" for k in range(0, n, 2)])(chain(n))
    kept, gone = np.arange(0, n, 2), np.arange(1, n, 2)
    coupling = stiffness[np.ix_(kept, gone)]
    schur = stiffness[np.ix_(kept, kept)] - coupling @ np.linalg.solve(
        stiffness[np.ix_(gone, gone)], coupling.T
    )
    mapped = drop.position_weights @ np.linalg.inv(stiffness) @ drop.position_weights.T
    np.testing.assert_allclose(np.linalg.inv(mapped), schur, atol=1e-12)


def test_uniform_translation_and_total_force_are_kept():
    mapping = MoleculeCentres()(waters())
    frames = random_frames(mapping.fine)
    shifted = Frames(mapping.fine, frames.positions + [1.0, 2.0, 3.0], 300.0)
    np.testing.assert_allclose(
        mapping(shifted).positions, mapping(frames).positions + [1.0, 2.0, 3.0]
    )
    np.testing.assert_allclose(
        mapping(frames).forces.sum(axis=1), frames.forces.sum(axis=1), atol=1e-12
    )


def test_what_frames_keep():
    system = waters()
    given = {
        "weights": np.linspace(0.5, 1.5, 7),
        "replicas": np.arange(7) // 3,
        "box": 3.0 * np.eye(3),
    }
    mapped = MoleculeCentres()(system)(random_frames(system, energies=np.arange(7.0), **given))
    assert mapped.temperature == 300.0
    assert mapped.energies is None
    for name, value in given.items():
        np.testing.assert_array_equal(getattr(mapped, name), value)
    without = Frames(system, np.zeros((2, 6, 3)), 300.0)
    assert MoleculeCentres()(system)(without).forces is None


def test_identity_changes_nothing_and_is_neutral(peptide):
    same, heavy, frames = Mapping.identity(peptide), HeavyAtoms()(peptide), random_frames(peptide)
    np.testing.assert_array_equal(same(frames).positions, frames.positions)
    np.testing.assert_array_equal(same(frames).forces, frames.forces)
    np.testing.assert_array_equal((heavy @ same).position_weights, heavy.position_weights)


def test_memory_mapped_float32_frames_map_in_double_and_in_pieces(tmp_path, monkeypatch):
    system = waters()
    frames = random_frames(system, 50)
    small = Frames(system, frames.positions.astype("f4"), 300.0, forces=frames.forces.astype("f4"))
    loaded = Frames.load(small.save(tmp_path / "frames"))
    monkeypatch.setattr("cgrec.mapping.linear._CHUNK_SIZE", 7 * 6 * 3)
    mapping = MoleculeCentres()(system)
    mapped = mapping(loaded)
    expected = np.einsum("sa,fak->fsk", mapping.position_weights, small.positions.astype(float))
    assert mapped.positions.dtype == float
    np.testing.assert_allclose(mapped.positions, expected, atol=1e-14)
    np.testing.assert_allclose(
        mapped.forces[:, 0], small.forces.astype(float)[:, :3].sum(axis=1), atol=1e-14
    )


def test_basic_force_weights_sum_where_disjoint_and_invert_where_shared():
    weights = np.array([[0.9, 0.1, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0], [0, 0, 0, 0.25, 0.5, 0.25]])
    basic = basic_force_weights(weights)
    np.testing.assert_array_equal(basic[0], [1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(basic @ weights.T, np.eye(3), atol=1e-14)
    shared = weights[1:]
    np.testing.assert_allclose(basic[1:], np.linalg.inv(shared @ shared.T) @ shared, atol=1e-14)


def test_save_and_load(tmp_path, peptide):
    mapping = HeavyAtoms()(peptide)
    mapping.save(tmp_path / "mapping.npz")
    again = Mapping.load(tmp_path / "mapping.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["mapping.npz"]
    np.testing.assert_array_equal(again.force_weights, mapping.force_weights)
    assert again.coarse.fingerprint() == mapping.coarse.fingerprint()
    again(random_frames(peptide))


# --- matrices that are mostly zeros ---------------------------------------------------------------


def test_matrices_are_kept_sparse_and_read_as_arrays_while_they_are_small(monkeypatch):
    dense = random_mapping(chain(12), 5, np.random.default_rng(3))
    sparse = Mapping(
        dense.fine, dense.coarse, csr_array(dense.position_weights), csr_array(dense.force_weights)
    )
    for name in ("position_weights", "force_weights"):
        found = getattr(sparse, name)
        assert isinstance(found, np.ndarray) and not found.flags.writeable
        np.testing.assert_array_equal(found, getattr(dense, name))
        assert issparse(getattr(sparse, f"sparse_{name}"))
    assert isinstance(basic_force_weights(dense.position_weights), np.ndarray)
    assert issparse(basic_force_weights(dense.sparse_position_weights))
    monkeypatch.setattr("cgrec.mapping.linear._DENSE_SIZE", 12 * 5 - 1)
    assert issparse(sparse.position_weights) and sparse.position_weights.shape == (5, 12)
    again = replace(sparse, force_weights=None)
    assert (
        np.abs((again.force_weights @ again.position_weights.T).toarray() - np.eye(5)).max() < 1e-12
    )


def test_entries_given_twice_add_up_and_zeros_are_dropped():
    weights = coo_array(([0.25, 0.25, 0.5, 0.0], ([0, 0, 0, 0], [0, 0, 1, 2])), shape=(1, 3))
    mapping = Mapping(chain(3), chain(1), weights)
    np.testing.assert_array_equal(mapping.position_weights, [[0.5, 0.5, 0]])
    np.testing.assert_array_equal(mapping.force_weights, [[1, 1, 0]])
    assert mapping.sparse_position_weights.nnz == 2
    with pytest.raises(ValueError, match="finite weights, found nan for MOL:B2 in site MOL:B1"):
        Mapping(chain(3), chain(2), csr_array([[1.0, 0, 0], [0, 0, np.nan]]))
    with pytest.raises(ValueError, match=r"expected shape .* \(1, 3\), found \(3, 1\)"):
        Mapping(chain(3), chain(1), csr_array([[1.0], [0], [0]]))


def test_pseudo_inverses_of_sets_of_sites_are_that_of_all():
    """Three sets of sites that share atoms, their rows in any order, and two sites alone."""
    rng = np.random.default_rng(5)
    weights = np.zeros((9, 20))
    blocks = [((0, 4), (0, 3, 9)), ((2, 7, 8), (1, 2, 12, 13, 19)), ((5, 1), (4, 5, 6))]
    for sites, atoms in blocks:
        weights[np.ix_(sites, atoms)] = rng.uniform(0.1, 1, (len(sites), len(atoms)))
    weights[3, [7, 8]] = weights[6, [10, 11, 14]] = 0.5
    shared = [0, 1, 2, 4, 5, 7, 8]
    expected = (weights != 0).astype(float)
    expected[shared] = np.linalg.pinv(weights[shared]).T
    np.testing.assert_allclose(basic_force_weights(weights), expected, atol=1e-13)
    np.testing.assert_array_equal(basic_force_weights(weights)[[3, 6]], weights[[3, 6]] != 0)


def test_time_and_memory_of_a_large_box_grow_with_its_weights(tmp_path):
    """4,000 molecules: one matrix of 4,000 x 12,000 numbers would be 384 MB."""
    system = waters(4000)
    tracemalloc.start()
    mapping = MoleculeCentres()(system)
    mapping.save(tmp_path / "mapping.npz")
    again = Mapping.load(tmp_path / "mapping.npz") @ Mapping.identity(system)
    mapped = again(random_frames(system, 2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    assert mapped.positions.shape == (2, 4000, 3)
    assert again.sparse_force_weights.nnz == 12000


def test_files_of_full_matrices_still_load(tmp_path):
    mapping = random_mapping(chain(8), 3, np.random.default_rng(4))
    texts = {
        name: np.array(json.dumps(getattr(mapping, name).to_dict())) for name in ("fine", "coarse")
    }
    matrices = {name: getattr(mapping, name) for name in ("position_weights", "force_weights")}
    np.savez_compressed(tmp_path / "old.npz", **matrices, **texts)
    again = Mapping.load(tmp_path / "old.npz")
    np.testing.assert_array_equal(again.position_weights, mapping.position_weights)
    np.testing.assert_array_equal(again.force_weights, mapping.force_weights)


@pytest.mark.parametrize("part, value", [("indices", 99), ("indices", -1), ("indptr", 7)])
def test_a_file_whose_indices_point_nowhere_is_refused(tmp_path, part, value):
    MoleculeCentres()(waters(2)).save(tmp_path / "mapping.npz")
    with np.load(tmp_path / "mapping.npz") as file:
        arrays = dict(file)
    arrays[f"force_weights_{part}"][-1] = value
    np.savez_compressed(tmp_path / "mapping.npz", **arrays)
    with pytest.raises(ValueError, match=r"mapping\.npz is not a readable mapping"):
        Mapping.load(tmp_path / "mapping.npz")


def test_copies_and_pickles_are_the_same_mapping():
    mapping = MoleculeCentres()(waters(2))
    for again in (copy.deepcopy(mapping), pickle.loads(pickle.dumps(mapping)), replace(mapping)):
        np.testing.assert_array_equal(again.force_weights, mapping.force_weights)
        again(random_frames(mapping.fine))


@pytest.mark.parametrize("kept", [0, 30, 0.5, 0.98])
def test_truncated_file(tmp_path, peptide, kept):
    path = tmp_path / "mapping.npz"
    HeavyAtoms()(peptide).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(ValueError, match="truncated"):
        Mapping.load(path)
    with pytest.raises(FileNotFoundError):
        Mapping.load(tmp_path / "nothing.npz")


# --- what bad input gets --------------------------------------------------------------------------


def test_weights_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match=r"sum to one, found 0\.9 .*\(MOL:B1\)"):
        Mapping(chain(3), chain(2), [[1, 0, 0], [0, 0.5, 0.4]])
    with pytest.raises(ValueError, match="sum to one, found 1.2"):
        Weighted({"a": {"B0": 0.7, "B1": 0.5}})(chain(3))


def test_force_weights_that_would_bias():
    with pytest.raises(ValueError, match=r"B M\^T = I, found 0\.5"):
        Mapping(chain(2), chain(1), [[0.5, 0.5]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="linearly independent"):
        Mapping(chain(2), chain(2), [[0.5, 0.5], [0.5, 0.5]])


def test_wrong_shapes_and_nan():
    with pytest.raises(ValueError, match=r"expected shape .* \(1, 3\), found \(3, 1\)"):
        Mapping(chain(3), chain(1), [[1], [0], [0]])
    with pytest.raises(
        ValueError, match="force_weights: expected finite weights, found nan for MOL:B1"
    ):
        Mapping(chain(2), chain(1), [[1.0, 0.0]], [[1.0, np.nan]])


def test_frames_of_another_system_and_maps_that_do_not_meet():
    mapping = MoleculeCentres()(waters(2))
    with pytest.raises(ValueError, match=r"9 sites \(SOL:O.*6 sites \(SOL:O.*differ in names"):
        mapping(random_frames(waters(3)))
    with pytest.raises(ValueError, match="cannot compose"):
        halving(chain(8)) @ halving(chain(32))


# --- the rules ------------------------------------------------------------------------------------


def test_heavy_atoms_of_alanine_dipeptide(peptide):
    coarse = HeavyAtoms()(peptide).coarse
    assert coarse.labels == tuple(x for x in ALANINE_DIPEPTIDE if x.split(":")[1][0] != "H")
    expected = {
        frozenset((ALANINE_DIPEPTIDE[i], ALANINE_DIPEPTIDE[j]))
        for i, j in ALANINE_BONDS
        if "H" not in (peptide.elements[i], peptide.elements[j])
    }
    assert labelled_bonds(coarse) == expected
    assert len(coarse.bonds) == 9
    assert coarse.masses.sum() == pytest.approx(peptide.masses.sum())
    assert coarse.charges.sum() == pytest.approx(peptide.charges.sum())
    assert coarse.masses[coarse.site("ALA:CB")] == pytest.approx(MASS["C"] + 3 * MASS["H"])
    assert coarse.elements == tuple("CCONCCCONC")
    assert coarse.types == coarse.labels
    assert coarse.residues.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert len(coarse.constraints) == 0


def test_five_bead_backbone_is_a_linear_chain(peptide):
    sites = ["ACE:C", "ALA:N", "ALA:CA", "ALA:C", "NME:N"]
    mapping = Pick(sites)(peptide)
    assert mapping.coarse.bonds.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert mapping.coarse.labels == tuple(sites)
    assert mapping.coarse.masses[2] == pytest.approx(MASS["C"] + MASS["H"])
    # The same beads again from the heavy atoms: the composed map is the direct one.
    heavy = HeavyAtoms()(peptide)
    again = Pick(sites)(heavy.coarse) @ heavy
    np.testing.assert_array_equal(again.position_weights, mapping.position_weights)
    assert again.coarse.bonds.tolist() == mapping.coarse.bonds.tolist()


def test_picks_are_bonded_through_what_is_dropped(peptide):
    assert Pick(["ACE:CH3", "ALA:CA", "NME:CH3"])(peptide).coarse.bonds.tolist() == [[0, 1], [1, 2]]
    # A dropped branching atom joins all that hang on it.
    assert Pick(["ALA:N", "ALA:CB", "ALA:C"])(peptide).coarse.bonds.tolist() == [
        [0, 1],
        [0, 2],
        [1, 2],
    ]


def test_side_chains_without_their_backbone_are_bonded_to_the_next_only():
    """Backbone of 5 three-site residues, a side chain on each middle site; only the side chains are
    kept.
    """
    bonds = [(k, k + 1) for k in range(14)] + [(3 * k + 1, 15 + k) for k in range(5)]
    system = System(names=tuple(f"A{k}" for k in range(20)), masses=np.ones(20), bonds=bonds)
    coarse = Pick([f"#{15 + k}" for k in range(5)])(system).coarse
    assert coarse.bonds.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]


def test_centres_of_mass(peptide):
    beads = {
        "acetyl": ["ACE:CH3", "ACE:C", "ACE:O"],
        "alanine": ["ALA:CA", "ALA:CB"],
        "amide": ["NME:N", "NME:CH3"],
    }
    mapping = CentresOfMass(beads)(peptide)
    coarse, frames = mapping.coarse, random_frames(peptide)
    assert coarse.names == tuple(beads)
    assert coarse.types == ("ACE:acetyl", "ALA:alanine", "NME:amide")
    assert coarse.elements == ("X",) * 3
    assert coarse.masses[0] == pytest.approx(2 * MASS["C"] + MASS["O"])
    assert coarse.bonds.tolist() == [[0, 1], [1, 2]]
    expected = np.average(frames.positions[:, [16, 18]], axis=1, weights=[MASS["N"], MASS["C"]])
    np.testing.assert_allclose(mapping(frames).positions[:, 2], expected)
    np.testing.assert_allclose(mapping(frames).forces[:, 2], frames.forces[:, [16, 18]].sum(axis=1))


def test_beads_that_share_atoms_share_their_mass():
    coarse = Weighted({"a": {"#0": 0.5, "#1": 0.5}, "b": {"#1": 0.5, "#2": 0.5}})(chain(3)).coarse
    assert coarse.masses.tolist() == [1.5, 1.5]
    assert coarse.bonds.tolist() == [[0, 1]]


def test_molecule_centres(peptide):
    coarse = MoleculeCentres()(waters(3)).coarse
    assert coarse.types == coarse.names == ("SOL",) * 3
    np.testing.assert_allclose(coarse.masses, 15.999 + 2 * 1.008)
    assert len(coarse.bonds) == 0
    assert MoleculeCentres()(peptide).coarse.types == ("ACE-ALA-NME",)
    mixture = System(names=("O", "H", "H", "Na"), masses=[16, 1, 1, 23], bonds=[(0, 1), (0, 2)])
    with pytest.raises(
        ValueError, match="one kind of molecule called 'MOL', found one of H H O and one of Na"
    ):
        MoleculeCentres()(mixture)


def test_bad_rules(peptide):
    with pytest.raises(KeyError, match="'ALA:XX'.*ALA:CA"):
        Pick(["ALA:CA", "ALA:XX"])(peptide)
    with pytest.raises(ValueError, match="every site once, found ALA:CA"):
        Pick(["ALA:CA", "#8"])(peptide)
    with pytest.raises(ValueError, match="write .ALA:CA."):
        Pick("ALA:CA")(peptide)
    with pytest.raises(ValueError, match="bead 'b'.*found none"):
        CentresOfMass({"a": ["ALA:CA"], "b": []})(peptide)
    with pytest.raises(ValueError, match="expected 1 to 22 beads for 22 sites, found 0"):
        Pick([])(peptide)
    with pytest.raises(ValueError, match="expected 1 to 2 beads for 2 sites, found 3"):
        Weighted({k: {"#0": 0.1 * i, "#1": 1 - 0.1 * i} for i, k in enumerate("abc", 1)})(chain(2))
    with pytest.raises(ValueError, match="chemical element at every site.*Pick"):
        HeavyAtoms()(chain(4))


@pytest.mark.parametrize(
    "name",
    [
        "heavy_atoms",
        "molecule_centres",
        "pick",
        "centres_of_mass",
        "weighted",
        "identity",
        "alpha_carbons",
        "alpha_beta_carbons",
        "backbone",
        "residue_centres",
        "backbone_and_side_chain",
        "residue_table",
        "heavy_atom_groups",
        "selection",
        "contracted",
        "protected",
        "parts",
        "learned",
        "essential_dynamics",
    ],
)
def test_configs_make_mappings(peptide, name):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    choices = {
        "pick": {"sites": ["ALA:CA", "#0"]},
        "centres_of_mass": {"beads": {"a": ["ALA:CA", "ALA:CB"]}},
        "weighted": {"beads": {"a": {"ALA:CA": 0.5, "ALA:CB": 0.5}}},
        "residue_table": {
            "beads": {
                "ACE": {},
                "ALA": {"BB": ["N", "CA", "C", "O", "OXT"], "SC": ["CB"]},
                "NME": {"B": ["N", "CH3"]},
            }
        },
        "heavy_atom_groups": {"size": 4},
        "selection": {"sites": {"selection": "name CA CB or element N"}},
        "contracted": {"n_sites": 5},
        "essential_dynamics": {"n_sites": 5},
        "parts": {"beads": [["#0", "#1"], ["ALA:CA", "ALA:CB"]]},
        "protected": {"rule": {"_target_": "cgrec.mapping.ResidueCentres"}, "sites": ["ALA:CB"]},
    }
    folder = Path(__file__).parents[2] / "conf" / "mapping"
    config = OmegaConf.merge(OmegaConf.load(folder / f"{name}.yaml"), choices.get(name, {}))
    rule = instantiate(config, _convert_="all")
    x = np.random.default_rng(0).normal(size=(20, peptide.n_sites, 3))
    assert isinstance(mapping_of(rule, Frames(peptide, x, 300.0)), Mapping)


def test_every_config_is_tested():
    marks = test_configs_make_mappings.pytestmark[0].args[1]
    folder = Path(__file__).parents[2] / "conf" / "mapping"
    assert sorted(path.stem for path in folder.glob("*.yaml")) == sorted(marks)


def test_drop_keeps_the_rest_and_its_forces():
    system = System(
        names=("NA", "O", "H1", "H2", "CL"),
        types=("Na", "O", "H", "H", "Cl"),
        masses=np.array([23.0, 16, 1, 1, 35]),
        charges=np.array([1, -0.8, 0.4, 0.4, -1]),
        bonds=[(1, 2), (1, 3)],
        residue_names=("NA", "HOH", "HOH", "HOH", "CL"),
    )
    mapping = Drop(["HOH"])(system)
    assert mapping.coarse.types == ("Na", "Cl") and mapping.coarse.charges.tolist() == [1, -1]
    rng = np.random.default_rng(0)
    frames = Frames(system, rng.normal(size=(2, 5, 3)), 300.0, forces=rng.normal(size=(2, 5, 3)))
    np.testing.assert_array_equal(mapping(frames).forces, frames.forces[:, [0, 4]])


@pytest.mark.parametrize(
    "residues, what", [(["SOL"], "SOL"), (["NA", "HOH", "CL"], "something left"), ("HOH", "list")]
)
def test_drop_refuses(residues, what):
    system = System(names=("NA", "O", "CL"), masses=np.ones(3), residue_names=("NA", "HOH", "CL"))
    with pytest.raises(ValueError, match=what):
        Drop(residues)(system)
