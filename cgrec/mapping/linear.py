"""`Mapping`: the two matrices that turn fine Frames into coarse Frames.

Positions map with M, forces with B. The mapped force is an unbiased label of the mean force, -dW/dR
= E[B F | R], for every constant B with B M^T = I (Noid et al., J. Chem. Phys. 128, 244114 (2008);
Ciccotti, Lelièvre, Vanden-Eijnden, Commun. Pure Appl. Math. 61, 371 (2008)); atoms tied by a
constraint must enter B with equal weight.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, diags_array, eye_array, issparse
from scipy.sparse.csgraph import connected_components as label_components

from ..bonds import connected_components, members_of
from ..cards import card, some
from ..files import WAY_BACK, open_npz, write_whole
from ..frames import Frames, release, room
from ..system import System

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

#: How closely rows of M must sum to one and B M^T must be the identity.
IDENTITY_TOLERANCE = 1e-8
#: How much the force weights of two atoms tied by a constraint may differ.
CONSTRAINT_TOLERANCE = 1e-6
#: Numbers converted to float64 at a time: memory-mapped trajectories never have to fit into memory.
_CHUNK_SIZE = 2**21
#: Entries of a matrix up to which it is read as an array: 128 MiB.
_DENSE_SIZE = 2**24
#: What a csr_array consists of, each an array in the file.
_SPARSE_PARTS = ("data", "indices", "indptr")


class _Weights:
    """A matrix of a Mapping: whatever is given is kept sparse, and is read as `Mapping` says."""

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, mapping: Mapping | None, owner: type) -> NDArray[np.float64] | csr_array:
        if mapping is None:  # the dataclass asks for a default
            if self.optional:
                return None
            raise AttributeError(self.name)
        matrix = mapping.__dict__[f"sparse_{self.name}"]
        if matrix is None or matrix.shape[0] * matrix.shape[1] > _DENSE_SIZE:
            return matrix
        dense = matrix.toarray()
        dense.setflags(write=False)
        return dense

    def __set__(self, mapping: Mapping, value: NDArray[np.float64] | csr_array) -> None:
        mapping.__dict__[f"sparse_{self.name}"] = value


@dataclass(frozen=True, eq=False)
class Mapping:
    """A linear map from a fine System to a coarse one: R = M x and F = B f, always together.

    M and B may be given dense or sparse. They are kept sparse, so that memory and time grow with
    the weights that are not zero, and are read as numpy arrays as long as these are small.

    Attributes:
        fine: the System mapped from.
        coarse: the System mapped to.
        position_weights: M, (n_sites, n_fine), rows sum to one. Read: an array, or from 2^24
            entries on the scipy.sparse.csr_array, which has the same `@`, `.T`, `.shape` and
            `.sum`, and `.toarray()`.
        force_weights: B, (n_sites, n_fine), with B M^T = I; default: `basic_force_weights(M)`. Read
            as M is.
        sparse_position_weights, sparse_force_weights: the same at any size, csr_array of sorted
            indices.

    Raises:
        ValueError: a wrong shape, a weight not finite, a row of M that does not sum to one, B M^T
            not I.
    """

    fine: System
    coarse: System
    position_weights: _Weights = _Weights()
    force_weights: _Weights = _Weights(optional=True)

    def __post_init__(self) -> None:
        _put_matrix(self, "position_weights")
        _check_row_sums(self)
        if self.sparse_force_weights is None:
            self.__dict__["sparse_force_weights"] = basic_force_weights(
                self.sparse_position_weights
            )
        _put_matrix(self, "force_weights")
        _check_identity(self)

    @property
    def sparse_position_weights(self) -> csr_array:
        """M, (n_sites, n_fine)."""
        return self.__dict__["sparse_position_weights"]

    @property
    def sparse_force_weights(self) -> csr_array:
        """B, (n_sites, n_fine)."""
        return self.__dict__["sparse_force_weights"]

    def __call__(self, frames: Frames) -> Frames:
        """Positions (nm) and, where present, forces (kJ/mol/nm) of the coarse sites, in float64.

        Box, temperature, weights and replicas are kept; energies are not, because the energy of the
        fine particles is no label of the coarse free energy.

        Raises:
            ValueError: frames of another System, or with forces that this B may not map
                (constraints).
        """
        need_same_system(
            frames.system,
            self.fine,
            "cannot map these Frames: their System",
            "the Mapping's fine System",
        )
        if frames.forces is not None:
            self.check_constraints()
        return Frames(
            system=self.coarse,
            positions=_apply(self.sparse_position_weights, frames.positions),
            temperature=frames.temperature,
            forces=None
            if frames.forces is None
            else _apply(self.sparse_force_weights, frames.forces),
            box=frames.box,
            weights=frames.weights,
            replicas=frames.replicas,
            temperatures=frames.temperatures,
        )

    def check_constraints(self) -> None:
        """Refuse a B that would let constraint forces into the labels.

        A distance constraint pulls its two atoms with opposite forces, which cancel only under
        equal weights.

        Raises:
            ValueError: two atoms of `fine` tied by a constraint enter some site with different
                force weights.
        """
        i, j = self.fine.constraints.T
        columns = self.sparse_force_weights.tocsc()
        site, pair, largest = _largest(columns[:, i] - columns[:, j])
        if largest <= CONSTRAINT_TOLERANCE:
            return
        atoms = [int(i[pair]), int(j[pair])]
        names = " and ".join(f"{self.fine.labels[a]} (#{a})" for a in atoms)
        found = columns[[site], :][:, atoms].toarray()[0]
        raise ValueError(
            f"forces of a constrained simulation: atoms {names} are held at a fixed distance, "
            "so they must "
            f"enter B with equal weight, found {found[0]:.6g} and {found[1]:.6g} in site "
            f"{self.coarse.labels[site]}; " + _way_for_constraints(self)
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
            position_weights=self.sparse_position_weights @ first.sparse_position_weights,
            force_weights=self.sparse_force_weights @ first.sparse_force_weights,
        )

    def kept_sites(self) -> dict[int, int]:
        """{site of `fine`: the site of `coarse` that lies on it}, for those kept as they are and
        not averaged.
        """
        support = csr_array(self.sparse_position_weights != 0)
        alone = np.flatnonzero(np.diff(support.indptr) == 1)
        return {int(support.indices[support.indptr[k]]): int(k) for k in alone}

    @classmethod
    def identity(cls, system: System) -> Mapping:
        """Every site onto itself."""
        unit = eye_array(system.n_sites, format="csr")
        return cls(fine=system, coarse=system, position_weights=unit, force_weights=unit)

    def with_force_weights(self, force_weights: ArrayLike | csr_array) -> Mapping:
        """The same M with another B, (n_sites, n_fine) dense or sparse.

        Raises:
            ValueError: as `Mapping`.
        """
        return replace(
            self, position_weights=self.sparse_position_weights, force_weights=force_weights
        )

    def __repr__(self) -> str:
        fine, coarse = self.fine.n_sites, self.coarse.n_sites
        return f"Mapping({fine} -> {coarse} sites: {some(self.coarse.labels)})"

    def _repr_html_(self) -> str:
        rows = [
            ("from", f"{self.fine.n_sites} sites: {some(self.fine.labels)}"),
            ("to", f"{self.coarse.n_sites} sites: {some(self.coarse.labels)}"),
        ]
        return card("Mapping", rows)

    def save(self, path: str | Path) -> None:
        """Write one npz file (the weights that are not zero, both Systems as json): whole, or not
        at all.
        """
        _write(self, path)

    def _matrices(self) -> dict[str, csr_array]:
        return {
            "position_weights": self.sparse_position_weights,
            "force_weights": self.sparse_force_weights,
        }

    @classmethod
    def load(cls, path: str | Path) -> Mapping:
        """Read what `save` wrote, also as it did before matrices were sparse.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is truncated or holds something else.
        """
        return _read(path)


def _read(path: str | Path) -> Mapping:
    try:
        with open_npz(path) as file:
            fine, coarse = (System(**json.loads(str(file[name]))) for name in ("fine", "coarse"))
            position_weights, force_weights = (
                _matrix_in(file, name, (coarse.n_sites, fine.n_sites))
                for name in ("position_weights", "force_weights")
            )
    except FileNotFoundError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is not a readable mapping ({error}); {WAY_BACK}") from error
    return Mapping(fine, coarse, position_weights, force_weights)


def _write(mapping: Mapping, path: str | Path) -> None:
    parts = {
        f"{name}_{part}": getattr(matrix, part)
        for name, matrix in mapping._matrices().items()
        for part in _SPARSE_PARTS
    }
    for name, system in (("fine", mapping.fine), ("coarse", mapping.coarse)):
        parts[name] = np.array(json.dumps(system.to_dict()))

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, **parts)

    write_whole(path, write)


def _put_matrix(mapping: Mapping, name: str) -> None:
    """Keep what was given for M or B as a sparse matrix; ValueError: a wrong shape, or a weight not finite."""
    given, shape = (
        mapping.__dict__[f"sparse_{name}"],
        (mapping.coarse.n_sites, mapping.fine.n_sites),
    )
    given = given if issparse(given) else np.asarray(given, float)
    if given.shape != shape:
        raise ValueError(
            f"Mapping.{name}: expected shape (n_sites, n_fine) = {shape}, found {given.shape}; "
            "rows are sites of the coarse System, columns of the fine one"
        )
    matrix = csr_array(given, dtype=float, copy=True)
    matrix.sum_duplicates()  # which sorts the indices too
    matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        bad = int(np.flatnonzero(~np.isfinite(matrix.data))[0])
        site = int(np.searchsorted(matrix.indptr, bad, side="right")) - 1
        raise ValueError(
            f"Mapping.{name}: expected finite weights, found {matrix.data[bad]} for "
            f"{mapping.fine.labels[matrix.indices[bad]]} in site {mapping.coarse.labels[site]}; "
            "correct that weight"
        )
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.setflags(write=False)
    mapping.__dict__[f"sparse_{name}"] = matrix


def _way_for_constraints(mapping: Mapping) -> str:
    """What to do about a B that constraints forbid: another B, where there is one, else other sites."""
    group = connected_components(mapping.fine.n_sites, mapping.fine.constraints)
    inside: dict[int, list[int]] = {}
    rows = mapping.sparse_position_weights
    for site, (first, last) in enumerate(pairwise(rows.indptr)):
        groups = set(group[rows.indices[first:last]].tolist())
        if len(groups) == 1:
            inside.setdefault(groups.pop(), []).append(site)
    crowded = next((sites for sites in inside.values() if len(sites) > 1), None)
    if crowded is None:
        return "use the force map constraint_aware or least_noise instead of basic"
    atom = int(rows.indices[rows.indptr[crowded[0]]])
    labels = " and ".join(mapping.coarse.labels[site] for site in crowded[:3])
    return (
        f"no force map can do that here, for sites {labels} lie in one rigid group: "
        + way_for_rigid(mapping.fine, atom)
    )


def _check_identity(mapping: Mapping) -> None:
    """ValueError: B M^T is not I."""
    product = mapping.sparse_force_weights @ mapping.sparse_position_weights.T
    i, j, error = _largest(product - eye_array(mapping.coarse.n_sites))
    if error > IDENTITY_TOLERANCE:
        raise ValueError(
            f"Mapping.force_weights: expected B M^T = I, found {product[i, j]:.8g}, not "
            f"{i == j:d}, "
            f"for sites {mapping.coarse.labels[i]} and {mapping.coarse.labels[j]}: mapped forces "
            "would be "
            "biased. Leave force_weights out for the basic map, or make the sites linearly "
            "independent"
        )


def _check_row_sums(mapping: Mapping) -> None:
    """ValueError: a row of M that does not sum to one."""
    sums = mapping.sparse_position_weights.sum(axis=1)
    worst = int(np.argmax(np.abs(sums - 1)))
    if abs(sums[worst] - 1) > IDENTITY_TOLERANCE:
        raise ValueError(
            "Mapping.position_weights: expected rows that sum to one, found "
            f"{sums[worst]:.10g} for site "
            f"{worst} ({mapping.coarse.labels[worst]}); divide its weights by their sum"
        )


def _matrix_in(file: NpzFile, name: str, shape: tuple[int, int]) -> NDArray[np.float64] | csr_array:
    """Matrix `name` of an open npz file of `Mapping.save`."""
    if name in file:
        return file[name]
    matrix = csr_array(tuple(file[f"{name}_{part}"] for part in _SPARSE_PARTS), shape=shape)
    # an index out of range would be read as memory of something else
    matrix.check_format(full_check=True)
    return matrix


def _largest(matrix: csr_array) -> tuple[int, int, float]:
    """Row, column and absolute value of the entry furthest from zero, the first of several; value 0
    where all are zero.
    """
    rows = csr_array(matrix)
    rows.sort_indices()
    if rows.nnz == 0:
        return 0, 0, 0.0
    k = int(np.argmax(np.abs(rows.data)))
    row = int(np.searchsorted(rows.indptr, k, side="right")) - 1
    return row, int(rows.indices[k]), float(abs(rows.data[k]))


def basic_force_weights(position_weights: ArrayLike | csr_array) -> NDArray[np.float64] | csr_array:
    """(n_sites, n_fine) plain B of M: sum over a site's atoms, or the pseudo-inverse where sites
    share atoms.

    The pseudo-inverse is taken of each set of sites that share atoms with each other, for such sets
    do not mix in B M^T.

    Args:
        position_weights: M, (n_sites, n_fine), dense or sparse; B is given back alike.
    """
    if not issparse(position_weights):
        sparse = basic_force_weights(csr_array(np.asarray(position_weights, float)))
        return csr_array(sparse).toarray()
    weights = csr_array(position_weights, dtype=float)
    support = csr_array(
        (np.ones(weights.nnz), weights.indices, weights.indptr), shape=weights.shape
    )
    common = support @ support.T
    shared = np.asarray(common.sum(axis=1)) > np.asarray(support.sum(axis=1))
    if not shared.any():
        return support
    owner = label_components(common, directed=False)[1].astype(np.int64)
    rows, columns, values = [], [], []
    for sites in members_of(owner)[0].values():
        if not shared[sites].any():
            continue
        block = weights[sites]
        atoms = np.unique(block.indices)
        rows.append(np.repeat(sites, len(atoms)))
        columns.append(np.tile(atoms, len(sites)))
        values.append(np.linalg.pinv(block[:, atoms].toarray()).T.ravel())
    alone = diags_array((~shared).astype(float)) @ support
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    basic = csr_array(alone + csr_array(entries, shape=weights.shape))
    basic.eliminate_zeros()
    return basic


def frame_chunks(vectors: NDArray[np.floating]) -> Iterator[slice]:
    """Slices over the frames of (n_frames, n_sites, 3) `vectors` that bound what is in memory at a
    time.
    """
    step = max(1, _CHUNK_SIZE // (vectors.shape[1] * 3))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


def _apply(sparse: csr_array, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n_frames, n_out, 3) = matrix (n_out, n_in) times each frame of (n_frames, n_in, 3)."""
    n_out, n_in = sparse.shape
    mapped = room((len(vectors), n_out, 3))
    for chunk in frame_chunks(vectors):
        columns = np.asarray(vectors[chunk], float).transpose(1, 0, 2).reshape(n_in, -1)
        mapped[chunk] = (sparse @ columns).reshape(n_out, -1, 3).transpose(1, 0, 2)
        release(vectors)
        release(mapped)
    return mapped


def way_for_rigid(system: System, atom: int) -> str:
    """What to do about several sites in the rigid group of `atom`: no B exists for them."""
    residue = system.residue_names[atom]
    others = set(system.residue_names) != {residue}
    drop = (
        f"; or where {residue} is a solvent to be left out, take the mapping "
        f"cgrec.mapping.Drop(residues=[{residue}]), in an experiment "
        f"levels.l1.mapping._target_=cgrec.mapping.Drop +levels.l1.mapping.residues=[{residue}]"
    )
    return (
        "keep one site per rigid group, e.g. with the mapping HeavyAtoms or MoleculeCentres, "
        "or make frames without "
        "constraints" + (drop if others else "")
    )


def need_same_system(found: System, expected: System, this: str, that: str) -> None:
    """ValueError naming both Systems and what differs, where they do; `this`, `that`: how to call
    them.
    """
    if found.agrees_with(expected):
        return
    a, b = found.to_dict(), expected.to_dict()
    differing = ", ".join(name for name in a if name in b and a[name] != b[name])
    raise ValueError(
        f"{this} is {_describe(found)}, expected {that}, {_describe(expected)}; they differ in "
        f"{differing}. "
        "Make a mapping from the very System it is applied to"
    )


def _describe(system: System) -> str:
    more = ", ..." if system.n_sites > 4 else ""
    return (
        f"{system.n_sites} sites ({', '.join(system.labels[:4])}{more}; fingerprint "
        f"{system.fingerprint()})"
    )
