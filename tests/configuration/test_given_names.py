"""Names that a configuration gives to the sites of a file that is not the one it was written for."""

import numpy as np
import pytest

import cgrec
from cgrec.configuration.building import build
from cgrec.configuration.settings import composed
from cgrec.level import mapping_of
from cgrec.remarks import Remark

BOX = 1.5


def _liquid(sites, n_frames=30, side=4):
    """Molecules of rigid shape `sites` (n, 3) nm, turned at random on a lattice; forces of 300 K on
    their centres.
    """
    rng = np.random.default_rng(2)
    places = np.stack(np.meshgrid(*3 * [np.arange(side) * BOX / side], indexing="ij"), -1).reshape(
        -1, 3
    )
    x = np.empty((n_frames, len(places), len(sites), 3))
    for frame in x:
        for k, place in enumerate(places):
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            frame[k] = place + sites @ turn.T + rng.normal(scale=0.01, size=3)
    forces = rng.normal(scale=300.0, size=x.shape)
    return x.reshape(n_frames, -1, 3), forces.reshape(n_frames, -1, 3)


WATER = np.array([[0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])
CO2 = np.array([[0, 0, 0], [0.116, 0, 0], [-0.116, 0, 0]])
METHANOL = np.array(
    [
        [0, 0, 0],
        [0.143, 0, 0],
        [0.17, 0.09, 0],
        [-0.05, 0.1, 0],
        [-0.05, -0.05, 0.09],
        [-0.05, -0.05, -0.09],
    ]
)


def save(path, shape, **more):
    x, f = _liquid(shape)
    np.savez(
        path,
        positions=x,
        forces=f,
        box=np.eye(3) * BOX,
        temperature=300.0,
        length_unit="nm",
        force_unit="kJ/mol/nm",
        **more,
    )
    return path


@pytest.mark.parametrize("shape", [WATER, CO2, METHANOL], ids=["water", "CO2", "methanol"])
def test_atoms_are_no_molecules_whatever_they_are_called(tmp_path, shape):
    path = save(tmp_path / "a.npz", shape)
    with pytest.raises(
        ValueError,
        match=r"called HOH with 18\.0\d amu each, found them 0\.\d+ nm .* g/cm3: these are atoms",
    ):
        build(composed(["experiment=water_spce", f"source.path={path}"])).source.sample(
            tmp_path / "s", 0
        )
    with pytest.raises(ValueError, match=r"called LIQ .*these are atoms of molecules"):
        cgrec.read(path, species="LIQ", masses={"LIQ": 72.0})
    assert cgrec.read(
        path, species="LIQ", masses={"LIQ": 72.0}, check_units=False
    ).n_sites == 64 * len(shape)


def test_the_way_out_of_the_refusal_works(tmp_path):
    """Names given, and one site a molecule by the mapping that the message names."""
    path = save(tmp_path / "a.npz", WATER)
    names = "source.species=[" + ",".join(["O", "H", "H"] * 64) + "]"
    chain = build(
        composed(
            [
                "experiment=water_spce",
                f"source.path={path}",
                names,
                "source.masses=null",
                "source.check_units=false",
            ]
            + ["+mapping@levels.l1.mapping=molecule_centres"]
        )
    )
    frames = chain.source.sample(tmp_path / "s", 0)
    (recipe,) = chain.recipes.values()
    assert mapping_of(recipe.mapping, frames).coarse.names == ("HOH",) * 64


def test_molecules_and_beads_are_read_as_before(tmp_path):
    for k, shape in enumerate(
        (WATER[:1], np.array([[0, 0, 0], [0.19, 0, 0]]))
    ):  # a bead at an ion's distance
        frames = cgrec.read(
            save(tmp_path / f"{k}.npz", shape),
            species="HOH",
            masses={"HOH": 18.015},
            check_units=True,
        )
        assert frames.n_sites == 64 * len(shape)


def test_a_name_for_different_elements_is_refused_and_another_name_said(tmp_path):
    atoms = save(tmp_path / "a.npz", WATER, species=np.array(["O", "H", "H"] * 64))
    with pytest.raises(
        ValueError,
        match=r"sites of one kind for the name 'HOH' of species=, found H, O: leave species=",
    ):
        cgrec.read(atoms, species="HOH", masses={"HOH": 18.015})
    argon = save(tmp_path / "b.npz", WATER[:1], species=np.array(["Ar"] * 64))
    with pytest.warns(Remark, match=r"the file calls its sites Ar, and they are taken as HOH"):
        cgrec.read(argon, species="HOH", masses={"HOH": 18.015})


def test_bonds_of_a_file_stay_under_other_names(tmp_path):
    bonds = [(2 * k, 2 * k + 1) for k in range(64)]
    path = save(
        tmp_path / "a.npz",
        np.array([[0, 0, 0], [0.3, 0, 0]]),
        species=np.array(["P", "Q"] * 64),
        bonds=bonds,
    )
    frames = cgrec.read(path, species=["A", "B"] * 64, masses={"A": 50.0, "B": 40.0})
    assert frames.system.bonds.tolist() == [list(b) for b in bonds]
    assert set(frames.system.names) == {"A", "B"}
