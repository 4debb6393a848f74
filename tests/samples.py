"""Systems, frames and potentials that tests of several rooms look at, and a climb of seconds."""

import json

import numpy as np
import torch

from cgrec import Frames, System
from cgrec.potential import PairStiffness, UF3Potential
from cgrec.variables import CollectiveVariable

ATOM_LABELS = """
ACE:HH31 ACE:CH3 ACE:HH32 ACE:HH33 ACE:C ACE:O ALA:N ALA:H ALA:CA ALA:HA ALA:CB
ALA:HB1 ALA:HB2 ALA:HB3 ALA:C ALA:O NME:N NME:H NME:CH3 NME:HH31 NME:HH32 NME:HH33"""


ALANINE_DIPEPTIDE = ATOM_LABELS.split()


ALANINE_BONDS = [
    (0, 1),
    (1, 2),
    (1, 3),
    (1, 4),
    (4, 5),
    (4, 6),
    (6, 7),
    (6, 8),
    (8, 9),
    (8, 10),
    (10, 11),
    (10, 12),
    (10, 13),
    (8, 14),
    (14, 15),
    (14, 16),
    (16, 17),
    (16, 18),
    (18, 19),
    (18, 20),
    (18, 21),
]


MASS = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999}


def waters(n: int = 2) -> System:
    bonds = [(3 * k, 3 * k + h) for k in range(n) for h in (1, 2)]
    return System(
        names=("O", "H1", "H2") * n,
        masses=[15.999, 1.008, 1.008] * n,
        elements=("O", "H", "H") * n,
        bonds=bonds,
        residue_names=("SOL",) * (3 * n),
    )


WATER = np.array([[0.0, 0.0, 0.0], [0.0957, 0.0, 0.0], [-0.024, 0.0927, 0.0]])


def water_box(n_frames: int = 40, side: int = 3, seed: int = 0, wrapped: bool = False) -> Frames:
    """Molecules on a lattice of 0.31 nm that jiggle and turn, in their box; `wrapped` shifts them
    by chance and puts the oxygens back into the box, so that atoms of a molecule lie on both sides.
    """
    rng = np.random.default_rng(seed)
    n, edge = side**3, 0.31 * side
    grid = 0.31 * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    turn = np.linalg.qr(rng.normal(size=(n_frames, n, 3, 3)))[0]
    x = grid + np.einsum("fnij,aj->fnai", turn, WATER) + 0.02 * rng.normal(size=(n_frames, n, 1, 3))
    if wrapped:
        x = x + edge * rng.random((n_frames, 1, 1, 3))
        x = x - edge * np.floor(x / edge)
    system = System(
        names=("O", "H", "H") * n,
        masses=[15.999, 1.008, 1.008] * n,
        elements=("O", "H", "H") * n,
        bonds=[(3 * m, 3 * m + k) for m in range(n) for k in (1, 2)],
    )
    return Frames(system, x.reshape(n_frames, -1, 3), 300.0, box=edge * np.eye(3))


def dimer(stiffness=2000.0):
    """Two sites on a spring of no rest length: <r^2> = 3 kT / k, whatever the masses."""
    system = System(names=("A", "B"), masses=[12.0, 16.0], bonds=[(0, 1)])
    potential = PairStiffness(types=["A", "B"], n_sites=2).double()
    potential.stiffness.data[:] = stiffness
    return potential, Frames(system, np.array([[[0, 0, 0], [0.05, 0, 0]]]), 300.0)


def splines(seed=0, **options):
    """Random coefficients."""
    made = UF3Potential(
        types=["A", "B", "C"],
        **{
            "cutoff": 0.5,
            "three_cutoff": 0.35,
            "three_spacing": 0.07,
            "energy_scale": 10.0,
            **options,
        },
    )
    made.coefficients.data = torch.randn(
        len(made.coefficients), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return made


def periodic_frames(n_frames=2, triclinic=True):
    rng = np.random.default_rng(0)
    box = np.diag([1.2, 1.3, 1.4]) + (
        np.array([[0, 0, 0], [0.2, 0, 0], [0.1, -0.2, 0]]) if triclinic else 0
    )
    system = System(names=tuple("ABC" * 12), masses=np.ones(36))
    grid = np.stack(np.meshgrid(*[(np.arange(k) + 0.5) / k for k in (3, 3, 4)], indexing="ij"), -1)
    positions = grid.reshape(-1, 3) @ box + rng.normal(scale=0.02, size=(n_frames, 36, 3))
    return Frames(system, positions, 300.0, box=box)


PAIR = System(names=("A", "B"), masses=[1.0, 1.0], bonds=[(0, 1)])
DISTANCE = CollectiveVariable("r", ("A", "B"))
PHI = CollectiveVariable("phi", ("C1", "N1", "CA", "C2"))
PSI = CollectiveVariable("psi", ("N1", "CA", "C2", "N2"))
BACKBONE = System(
    names=("C1", "N1", "CA", "C2", "N2"),
    masses=[12, 14, 12, 12, 14],
    bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
)


def pair_frames(distances, **fields):
    """Frames of two sites at these distances along x, nm."""
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return Frames(PAIR, positions, 300.0, **fields)


def backbone_frames(phi, psi, bond=0.15, **fields):
    """Frames of a five-site chain with these two dihedrals, rad, and right angles."""
    zero = np.zeros_like(phi)
    n1, ca = np.stack([zero, zero, zero], 1), np.stack([zero, zero, zero + bond], 1)
    c1 = n1 + bond * np.stack([zero + 1, zero, zero], 1)
    c2 = ca + bond * np.stack([np.cos(phi), np.sin(phi), zero], 1)
    # psi about the axis CA-C2, perpendicular to z: started from the direction of N1 seen from CA
    axis, down = c2 - ca, np.stack([zero, zero, zero - 1], 1)
    side = np.cross(axis / bond, down)
    n2 = c2 + bond * (np.cos(psi)[:, None] * down + np.sin(psi)[:, None] * side)
    return Frames(BACKBONE, np.stack([c1, n1, ca, c2, n2], 1), 300.0, **fields)


def ar1(rng, n_replicas, n, decay):
    """(n_replicas, n) unit normal AR(1) series, rho(t) = decay^t."""
    x = np.empty((n, n_replicas))
    x[0] = rng.normal(size=n_replicas)
    for t in range(1, n):
        x[t] = decay * x[t - 1] + np.sqrt(1 - decay**2) * rng.normal(size=n_replicas)
    return x.T


TINY = [
    "experiment=gaussian_chain",
    "source.n_frames=400",
    "bins=16",
    "threads=1",
    "go_on=true",
    *(f"levels.l{k}.training.steps=100" for k in (1, 2, 3)),
    *(f"levels.l{k}.dynamics.n_replicas=16" for k in (1, 2, 3)),
    *(f"levels.l{k}.dynamics.length=40" for k in (1, 2, 3)),
]


def change(path, **values):
    """Give some keys of a json other values."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
