"""Frames of CLN025 for the tests of variables: its structure, shaken, pulled apart, mapped."""

from pathlib import Path

import numpy as np

from cgrec import Frames
from cgrec.io import read

PDB = Path(__file__).parent / "data" / "peptides" / "cln025.pdb"


def native() -> Frames:
    """The structure, 166 atoms."""
    return read(PDB, temperature=300.0, check_units=False)


def shaken(n: int = 20, width: float = 0.03, seed: int = 0, replicas: int | None = None) -> Frames:
    """`n` frames of it, each atom moved by chance, each frame turned and moved as a whole."""
    first = native()
    rng = np.random.default_rng(seed)
    turns = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    x = first.positions + width * rng.normal(size=(n, first.n_sites, 3))
    x = x @ turns + rng.normal(size=(n, 1, 3))
    labels = None if replicas is None else np.arange(n) * replicas // n
    return Frames(first.system, x, 300.0, replicas=labels)


def pulled_apart() -> Frames:
    """Every residue moved along x, 0.38 nm from one to the next: a chain that touches nothing."""
    first = native()
    residues = np.unique(first.system.residues, return_inverse=True)[1]
    x = np.array(first.positions, float)
    for residue in range(residues.max() + 1):
        own = residues == residue
        x[:, own] += [0.38 * residue, 0.0, 0.0] - x[:, own].mean(1, keepdims=True)
    return Frames(first.system, x, 300.0)
