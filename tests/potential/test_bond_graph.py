"""A potential of numbered sites serves the System it was fitted to, or copies of it, and no other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from counted import calls

from cgrec import Frames, Potential, System
from cgrec.potential import (
    BondGraph,
    Committee,
    DihedralPrior,
    HarmonicPrior,
    PairStiffness,
    fit_priors,
)

TYPES = ["N", "C", "O"]
DATA = Path(__file__).parents[2] / "cgrec" / "data"


def chain(n, types=None, bonds=None):
    return System(
        names=tuple(f"S{k}" for k in range(n)),
        types=tuple(types or "C" * n),
        masses=np.full(n, 12.0),
        bonds=[(k, k + 1) for k in range(n - 1)] if bonds is None else bonds,
    )


def sample(system, n_frames=40, seed=0):
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n_frames, system.n_sites, 3))
    walk = np.cumsum(0.38 * steps / np.linalg.norm(steps, axis=-1, keepdims=True), axis=1)
    return Frames(system, walk, 300.0)


def priors(system):
    made = fit_priors(sample(system), types=TYPES, cutoff=1.0, dihedrals=True)
    return [*made, sum(made[1:], made[0]), Committee([made[0], made[0]])]


@pytest.mark.parametrize("kind", range(6))
def test_a_chain_of_ten_is_not_two_chains_of_five(kind):
    potential = priors(chain(5))[kind]
    potential.energy_and_forces(sample(chain(5)))
    two = chain(10, bonds=[(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8), (8, 9)])
    potential.energy_and_forces(sample(two))
    with pytest.raises(
        ValueError, match=r"sites 4 and 5 \(MOL:S4, MOL:S5\) of two of them are bonded"
    ):
        potential.energy_and_forces(sample(chain(10)))
    with pytest.raises(ValueError, match="sites 4 and 5"):
        potential.energy_and_forces(sample(chain(15)))
    with pytest.raises(ValueError, match="a System of 5 sites, these frames have 7"):
        potential.energy_and_forces(sample(chain(7)))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (chain(5, "OCCCN"), "expected type 'N' at site 0, found 'O'"),
        (chain(5, "NCCOC"), "expected type 'C' at site 3, found 'O'"),
        (
            chain(5, "NCCCO", [(0, 1), (1, 2), (2, 4), (3, 4)]),
            r"expected a bond between sites 2 and 3 \(MOL:S2, MOL:S3\), found none",
        ),
        (
            chain(5, "NCCCO", [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]),
            "expected no bond between sites 0 and 4",
        ),
        (chain(10, "NCCCOOCCCN", [(k, k + 1) for k in range(9) if k != 4]), "at site 5, found 'O'"),
    ],
)
def test_another_order_or_another_bond_is_named(other, message):
    for potential in priors(chain(5, "NCCCO")):
        with pytest.raises(ValueError, match=message):
            potential.energy_and_forces(sample(other))


def test_the_graph_is_kept_on_disk_and_compiled(tmp_path):
    potential = priors(chain(5))[5]
    potential.save(tmp_path / "p.pt")
    for made in (Potential.load(tmp_path / "p.pt"), potential.compiled()):
        with pytest.raises(ValueError, match="sites 4 and 5"):
            made.energy_and_forces(sample(chain(10)))


def test_a_file_of_an_earlier_version_is_judged_by_its_terms(tmp_path):
    """No graph in it: its bonds must be there, and copies must not be bonded."""
    for potential in priors(chain(5))[:4]:
        state = potential.to_state()
        state["config"].pop("bond_graph")
        state.pop("density")
        torch.save(state, tmp_path / "old.pt")
        old = Potential.load(tmp_path / "old.pt")
        np.testing.assert_array_equal(
            old.energy_and_forces(sample(chain(5)))[0],
            potential.energy_and_forces(sample(chain(5)))[0],
        )
        with pytest.raises(ValueError, match="sites 4 and 5"):
            old.energy_and_forces(sample(chain(10)))
        if not hasattr(old, "diameters"):
            with pytest.raises(ValueError, match="a bond between sites 1 and 2"):
                old.energy_and_forces(sample(chain(5, bonds=[(0, 1), (0, 2), (2, 3), (3, 4)])))


def test_frames_that_state_no_bonds_pass_by_their_types_with_a_remark():
    potential = priors(chain(5, "NCCCO"))[0]
    with pytest.warns(UserWarning, match="these frames state none"):
        potential.energy_and_forces(sample(chain(5, "NCCCO", [])))
    with pytest.raises(ValueError, match="expected type"):
        potential.energy_and_forces(sample(chain(5, "OCCCN", [])))
    with pytest.raises(ValueError, match="a bond between sites 0 and 1"):
        potential.energy_and_forces(sample(chain(10, "NCCCO" * 2, [])))


def test_a_pair_stiffness_serves_its_own_number_of_sites():
    potential = PairStiffness(types=["C"], n_sites=4)
    with pytest.raises(ValueError, match="4 sites, this one has 8"):
        potential.energy_and_forces(sample(chain(8)))


@pytest.mark.parametrize(
    ("potential", "system"),
    [
        ("alanine_dipeptide_nnp/potential.pt", "alanine_dipeptide_nnp/starts"),
        ("water_nnp/committee.pt", "water_nnp/trajectory"),
    ],
)
def test_what_ships_knows_its_graph(potential, system):
    made, frames = Potential.load(DATA / potential), Frames.load(DATA / system)[:1]
    assert np.isfinite(made.energy_and_forces(frames)[1]).all()
    order = np.roll(np.arange(frames.n_sites), 1)
    turned = Frames(
        frames.system.select(order.tolist()),
        frames.positions[:, order],
        frames.temperature,
        box=frames.box,
    )
    with pytest.raises(ValueError, match="fitted to another"):
        made.energy_and_forces(turned)


def test_equal_graphs_have_equal_fingerprints():
    assert BondGraph.of(chain(5)).fingerprint == BondGraph.of(chain(5)).fingerprint
    others = [chain(6), chain(5, "NCCCC"), chain(5, bonds=[(0, 1)])]
    assert len({BondGraph.of(s).fingerprint for s in (chain(5), *others)}) == 4


def test_ase_atoms_in_another_order_are_refused():
    from cgrec.export.ase import PotentialCalculator, atoms_of

    system = System(
        names=("N", "C", "O"),
        elements=("N", "C", "O"),
        masses=[14.007, 12.011, 15.999],
        bonds=[(0, 1), (1, 2)],
    )
    beads = System(names=("a", "b", "c"), masses=[20.0, 30.0, 50.0], bonds=[(0, 1), (1, 2)])
    for one, message in (
        (system, "atom 0: expected N"),
        (beads, "atom 0: expected a mass of 20 amu"),
    ):
        frames = sample(one)
        potential = HarmonicPrior.fit(frames, sorted(set(one.types)), 2)
        atoms = atoms_of(frames)
        atoms.calc = PotentialCalculator(potential, one)
        atoms.get_forces()
        turned = atoms[::-1]
        turned.calc = atoms.calc
        with pytest.raises(ValueError, match=message):
            turned.get_forces()


def test_ten_thousand_copies_are_compared_by_few_calls():
    n = 10_000
    system = chain(
        3 * n, bonds=[(3 * k + a, 3 * k + b) for k in range(n) for a, b in ((0, 1), (1, 2))]
    )
    graph = BondGraph.of(chain(3))
    _, count = calls(lambda: graph.check(system, "it"))
    assert count < 30 * n


def test_dihedral_prior_made_by_hand_needs_no_graph():
    prior = DihedralPrior(
        types=["C"], n_sites=5, sites=[[0, 1, 2, 3]], cosine=[[1.0]], sine=[[0.0]]
    )
    assert np.isfinite(prior.energy_and_forces(sample(chain(5)))[1]).all()
