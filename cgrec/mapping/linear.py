"""`Mapping`: the two matrices that turn fine Frames into coarse Frames.

Positions map with M, forces with B. The mapped force is an unbiased label of the mean force,
-dW/dR = E[B F | R], for every constant B with B M^T = I (Noid et al., J. Chem. Phys. 128, 244114 (2008);
Ciccotti, Lelièvre, Vanden-Eijnden, Commun. Pure Appl. Math. 61, 371 (2008)); atoms tied by a constraint must
enter B with equal weight.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..frames import Frames
from ..system import System

#: How closely rows of M must sum to one and B M^T must be the identity.
IDENTITY_TOLERANCE = 1e-8
#: How much the force weights of two atoms tied by a constraint may differ.
CONSTRAINT_TOLERANCE = 1e-6
#: Numbers converted to float64 at a time: memory-mapped trajectories never have to fit into memory.
_CHUNK_SIZE = 2**23


@dataclass(frozen=True, eq=False)
class Mapping:
    """A linear map from a fine System to a coarse one: R = M x and F = B f, always together.

    Attributes:
        fine: the System mapped from.
        coarse: the System mapped to.
        position_weights: M, (n_sites, n_fine), rows sum to one.
        force_weights: B, (n_sites, n_fine), with B M^T = I; default: `basic_force_weights(M)`.

    Raises:
        ValueError: a wrong shape, a weight not finite, a row of M that does not sum to one, B M^T not I.
    """

    fine: System
    coarse: System
    position_weights: NDArray[np.float64]
    force_weights: NDArray[np.float64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._put_matrix("position_weights", self.position_weights)
        self._check_row_sums()
        basic = self.force_weights is None
        self._put_matrix(
            "force_weights", basic_force_weights(self.position_weights) if basic else self.force_weights
        )
        self._check_identity()

    def _put_matrix(self, name: str, value: ArrayLike) -> None:
        matrix, shape = np.array(value, float), (self.coarse.n_sites, self.fine.n_sites)
        if matrix.shape != shape:
            raise ValueError(
                f"Mapping.{name}: expected shape (n_sites, n_fine) = {shape}, found {matrix.shape}; "
                "rows are sites of the coarse System, columns of the fine one"
            )
        if not np.isfinite(matrix).all():
            site, atom = np.argwhere(~np.isfinite(matrix))[0]
            raise ValueError(
                f"Mapping.{name}: expected finite weights, found {matrix[site, atom]} for "
                f"{self.fine.labels[atom]} in site {self.coarse.labels[site]}; correct that weight"
            )
        matrix.setflags(write=False)
        object.__setattr__(self, name, matrix)

    def _check_row_sums(self) -> None:
        sums = self.position_weights.sum(axis=1)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > IDENTITY_TOLERANCE:
            raise ValueError(
                f"Mapping.position_weights: expected rows that sum to one, found {sums[worst]:.10g} for site "
                f"{worst} ({self.coarse.labels[worst]}); divide its weights by their sum"
            )

    def _check_identity(self) -> None:
        product = self.force_weights @ self.position_weights.T
        error = np.abs(product - np.eye(len(product)))
        i, j = np.unravel_index(np.argmax(error), error.shape)
        if error[i, j] > IDENTITY_TOLERANCE:
            raise ValueError(
                f"Mapping.force_weights: expected B M^T = I, found {product[i, j]:.8g}, not {i == j:d}, "
                f"for sites {self.coarse.labels[i]} and {self.coarse.labels[j]}: mapped forces would be "
                "biased. Leave force_weights out for the basic map, or make the sites linearly independent"
            )

    def __call__(self, frames: Frames) -> Frames:
        """Positions (nm) and, where present, forces (kJ/mol/nm) of the coarse sites, in float64.

        Box, temperature, weights and replicas are kept; energies are not, because the energy of the fine
        particles is no label of the coarse free energy.

        Raises:
            ValueError: frames of another System, or with forces that this B may not map (constraints).
        """
        need_same_system(
            frames.system, self.fine, "cannot map these Frames: their System", "the Mapping's fine System"
        )
        if frames.forces is not None:
            self.check_constraints()
        return Frames(
            system=self.coarse,
            positions=_apply(self.position_weights, frames.positions),
            temperature=frames.temperature,
            forces=None if frames.forces is None else _apply(self.force_weights, frames.forces),
            box=frames.box,
            weights=frames.weights,
            replicas=frames.replicas,
        )

    def check_constraints(self) -> None:
        """Refuse a B that would let constraint forces into the labels.

        A distance constraint pulls its two atoms with opposite forces, which cancel only under equal weights.

        Raises:
            ValueError: two atoms of `fine` tied by a constraint enter some site with different force weights.
        """
        i, j = self.fine.constraints.T
        difference = np.abs(self.force_weights[:, i] - self.force_weights[:, j])
        if difference.size == 0 or difference.max() <= CONSTRAINT_TOLERANCE:
            return
        site, pair = np.unravel_index(np.argmax(difference), difference.shape)
        atoms = [int(i[pair]), int(j[pair])]
        names = " and ".join(f"{self.fine.labels[a]} (#{a})" for a in atoms)
        raise ValueError(
            f"forces of a constrained simulation: atoms {names} are held at a fixed distance, so they must "
            f"enter B with equal weight, found {self.force_weights[site, atoms[0]]:.6g} and "
            f"{self.force_weights[site, atoms[1]]:.6g} in site {self.coarse.labels[site]}; "
            "use the force map constraint_aware or least_noise instead of basic"
        )

    def __matmul__(self, first: Mapping) -> Mapping:
        """`second @ first`: the one Mapping that does `first`, then `second`.

        Raises:
            ValueError: `second` does not start from the System that `first` ends in.
        """
        need_same_system(
            first.coarse,
            self.fine,
            "cannot compose: the System the first Mapping ends in",
            "that the second starts from",
        )
        return Mapping(
            fine=first.fine,
            coarse=self.coarse,
            position_weights=self.position_weights @ first.position_weights,
            force_weights=self.force_weights @ first.force_weights,
        )

    @classmethod
    def identity(cls, system: System) -> Mapping:
        """Every site onto itself."""
        unit = np.eye(system.n_sites)
        return cls(fine=system, coarse=system, position_weights=unit, force_weights=unit)

    def save(self, path: str | Path) -> None:
        """Write one npz file (both matrices, both Systems as json) under a temporary name, then rename it."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                position_weights=self.position_weights,
                force_weights=self.force_weights,
                fine=np.array(json.dumps(self.fine.to_dict())),
                coarse=np.array(json.dumps(self.coarse.to_dict())),
            )
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | Path) -> Mapping:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is truncated or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                parts: dict[str, Any] = {name: file[name] for name in ("position_weights", "force_weights")}
                parts |= {name: System(**json.loads(str(file[name]))) for name in ("fine", "coarse")}
        except FileNotFoundError:
            raise
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path} is not a readable mapping, probably truncated ({error}); remove it and make it again"
            ) from error
        return cls(**parts)


def basic_force_weights(position_weights: ArrayLike) -> NDArray[np.float64]:
    """(n_sites, n_fine) plain B of M: sum over a site's atoms, or the pseudo-inverse where sites share atoms.

    Args:
        position_weights: M, (n_sites, n_fine).
    """
    weights = np.asarray(position_weights, float)
    support = csr_array(weights != 0).astype(float)
    shared = np.asarray((support @ support.T).sum(axis=1)) > np.asarray(support.sum(axis=1))
    basic = (weights != 0).astype(float)
    if shared.any():  # rows without shared atoms are orthogonal to these: the two kinds do not mix in B M^T
        basic[shared] = np.linalg.pinv(weights[shared]).T
    return basic


def frame_chunks(vectors: NDArray[Any]) -> Iterator[slice]:
    """Slices over the frames of (n_frames, n_sites, 3) `vectors` that bound what is in memory at a time."""
    step = max(1, _CHUNK_SIZE // (vectors.shape[1] * 3))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


def _apply(matrix: NDArray[np.float64], vectors: NDArray[Any]) -> NDArray[np.float64]:
    """(n_frames, n_out, 3) = matrix (n_out, n_in) times each frame of (n_frames, n_in, 3)."""
    sparse, (n_out, n_in) = csr_array(matrix), matrix.shape
    mapped = np.empty((len(vectors), n_out, 3))
    for chunk in frame_chunks(vectors):
        columns = np.asarray(vectors[chunk], float).transpose(1, 0, 2).reshape(n_in, -1)
        mapped[chunk] = (sparse @ columns).reshape(n_out, -1, 3).transpose(1, 0, 2)
    return mapped


def need_same_system(found: System, expected: System, this: str, that: str) -> None:
    """ValueError naming both Systems and what differs, where they do; `this`, `that`: how to call them."""
    if found is expected or found.fingerprint() == expected.fingerprint():
        return
    a, b = found.to_dict(), expected.to_dict()
    differing = ", ".join(name for name in {**a, **b} if a.get(name) != b.get(name))
    raise ValueError(
        f"{this} is {_describe(found)}, expected {that}, {_describe(expected)}; they differ in {differing}. "
        "Make a mapping from the very System it is applied to"
    )


def _describe(system: System) -> str:
    more = ", ..." if system.n_sites > 4 else ""
    return (
        f"{system.n_sites} sites ({', '.join(system.labels[:4])}{more}; fingerprint {system.fingerprint()})"
    )
