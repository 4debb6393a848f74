"""Time-lagged independent components: the slowest linear combinations of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import write_whole
from ..frames import Frames
from ..geometry import X
from ..roles import Differentiable, HasColumns, SaysWhatIsMissing, Variable
from ..system import System
from .base import FrameVariable
from .evaluate import like

Values = NDArray[np.float64]
#: Combinations of features that vary less than this share of the most variable one are noise.
_LEAST_VARIANCE = 1e-6
#: Names of the arrays in a file.
_ARRAYS = ("mean", "matrix", "timescales")


@dataclass(frozen=True, kw_only=True, eq=False)
class TICA(FrameVariable):
    """Time-lagged independent components of features: one column each, the slowest first, with mean
    zero and variance one in the frames they were found in.

    L. Molgedey, H. G. Schuster, Phys. Rev. Lett. 72, 3634 (1994); for molecules G. Perez-Hernandez,
    F. Paul, T. Giorgino, G. De Fabritiis, F. Noe, J. Chem. Phys. 139, 015102 (2013). `TICA.fit`
    finds them in frames that are there; a YAML takes what `save` wrote of them by `_target_:
    cgrec.variables.TICA.from_file`.

    Attributes:
        features: one variable, or several, whose numbers stand side by side; a dihedral stands as
            its cosine and sine.
        mean: (n_features,) of the features.
        matrix: (n_features, dim) that turns features less their mean into components.
        timescales: (dim,) in frames: -lag / ln(eigenvalue); nan where that is not positive.
        lag: frames between the two of a pair.
        name: what plots and tables call them, with a number.

    Raises:
        ValueError: arrays whose shapes do not fit together.
    """

    features: Variable | Sequence[Variable]
    mean: Values
    matrix: Values
    timescales: Values
    lag: int
    name: str = "TICA"

    def __post_init__(self) -> None:
        listed = (self.features,) if isinstance(self.features, Variable) else tuple(self.features)
        object.__setattr__(self, "features", listed)
        for key in _ARRAYS:
            object.__setattr__(self, key, np.asarray(getattr(self, key), float))
        n, dim = self.matrix.shape
        if self.mean.shape != (n,) or self.timescales.shape != (dim,):
            raise ValueError(
                f"{self.name}: expected mean ({n},) and timescales ({dim},) for a matrix "
                f"{self.matrix.shape}, found {self.mean.shape} and {self.timescales.shape}"
            )

    @classmethod
    def fit(
        cls,
        frames: Frames,
        features: Variable | Sequence[Variable],
        *,
        lag: int,
        dim: int = 2,
        name: str = "TICA",
    ) -> TICA:
        """The `dim` slowest components of `features` in `frames`.

        Each pair of frames `lag` apart in one replica counts forwards and backwards (the reversible
        estimator), so that eigenvalues are real and the mean is that of all pairs.

        Args:
            frames: of runs in time order, equally spaced, replicas apart.
            features: one variable, or several.
            lag: frames, at least one.
            dim: number of components.
            name: of the variable.

        Raises:
            ValueError: weighted frames, which are no dynamics; a lag that no replica is as long
                as; fewer independent features than `dim`.
        """
        if frames.weights is not None:
            raise ValueError(
                f"{name}: expected frames as they follow each other in time, found weights: give "
                "an unbiased run, or dataclasses.replace(frames, weights=None)"
            )
        listed = (features,) if isinstance(features, Variable) else tuple(features)
        x = _side_by_side([_columns(v.of(frames), v.periodic) for v in listed])
        first, second = _pairs(frames, lag, name)
        a, b = x[first], x[second]
        mean = (a.mean(0) + b.mean(0)) / 2
        a, b = a - mean, b - mean
        instant = (a.T @ a + b.T @ b) / (2 * len(a))
        lagged = (a.T @ b + b.T @ a) / (2 * len(a))
        eigenvalues, matrix = _slowest(instant, lagged, dim, name)
        with np.errstate(invalid="ignore", divide="ignore"):
            timescales = -lag / np.log(eigenvalues)
        timescales[~(eigenvalues > 0)] = np.nan
        return cls(
            features=listed, mean=mean, matrix=matrix, timescales=timescales, lag=lag, name=name
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites of all features."""
        return tuple(dict.fromkeys(site for v in self._listed for site in v.sites))

    @property
    def unit(self) -> str:
        """Standard deviations of the frames they were found in: 1."""
        return "1"

    @property
    def _listed(self) -> tuple[Variable, ...]:
        assert isinstance(self.features, tuple)  # __post_init__ has made it so
        return self.features

    def columns(self, system: System) -> tuple[str, ...]:
        """ "TICA 1", "TICA 2", ..., the slowest first."""
        return tuple(f"{self.name} {k + 1}" for k in range(self.matrix.shape[1]))

    def missing_on(self, system: System) -> str | None:
        """Why they cannot be computed there, in words; None where they can."""
        for variable in self._listed:
            if not variable.defined_on(system):
                why = None
                if isinstance(variable, SaysWhatIsMissing):
                    why = variable.missing_on(system)
                return f"{self.name}: its feature {variable.name}: {why or 'not defined there'}"
        wide = sum(_width(variable, system) for variable in self._listed)
        if wide == len(self.mean):
            return None
        return (
            f"{self.name} was found with {len(self.mean)} features, found {wide} there: its "
            "sites are others"
        )

    def values(self, positions: X, system: System) -> X:
        """(..., dim) for positions (..., n_sites, 3) nm, a numpy array or a torch tensor.

        Raises:
            TypeError: a feature that cannot be computed from positions alone.
        """
        parts = []
        for variable in self._listed:
            if not isinstance(variable, Differentiable):
                raise TypeError(f"{self.name}: its feature {variable.name} takes Frames only")
            value = variable.values(positions, system)
            whole = value if isinstance(variable, HasColumns) else value[..., None]
            parts.append(_columns(whole, variable.periodic))
        x = _side_by_side(parts)
        found: X = (x - like(x, self.mean)) @ like(x, self.matrix)
        return found

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, dim)."""
        x = _side_by_side([_columns(v.of(frames), v.periodic) for v in self._listed])
        found: NDArray[np.float64] = (x - self.mean) @ self.matrix
        return found

    def save(self, file: str | Path) -> Path:
        """Write its arrays as .npz; the features are not in it, `from_file` is given them."""
        arrays = {key: getattr(self, key) for key in _ARRAYS}
        write_whole(Path(file), lambda path: _save(path, arrays, self.lag))
        return Path(file)

    @classmethod
    def from_file(
        cls, file: str | Path, features: Variable | Sequence[Variable], name: str = "TICA"
    ) -> TICA:
        """What `save` wrote, of the same features.

        Args:
            file: that `save` wrote.
            features: as of the class.
            name: what plots and tables call it.

        Raises:
            FileNotFoundError: no such file. ValueError: a file of something else.
        """
        with np.load(file, allow_pickle=False) as found:
            missing = [key for key in (*_ARRAYS, "lag") if key not in found]
            if missing:
                raise ValueError(f"{file}: expected arrays of a TICA, found no {missing[0]}")
            arrays = {key: found[key] for key in _ARRAYS}
            return cls(features=features, **arrays, lag=int(found["lag"]), name=name)


def _save(path: Path, arrays: dict[str, Values], lag: int) -> None:
    with path.open("wb") as opened:  # by name numpy would add an ending
        np.savez(opened, allow_pickle=False, lag=np.array(lag), **arrays)


def _pairs(frames: Frames, lag: int, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames that a second one follows `lag` later in the same replica, and that second one."""
    if lag < 1:
        raise ValueError(f"{name}: lag: expected 1 frame or more, found {lag}")
    replicas = np.zeros(len(frames), int) if frames.replicas is None else frames.replicas
    order = np.argsort(replicas, kind="stable")
    same = replicas[order[:-lag]] == replicas[order[lag:]]
    if not same.any():
        longest = int(np.bincount(np.unique(replicas, return_inverse=True)[1]).max())
        raise ValueError(
            f"{name}: lag: expected fewer frames than the longest replica has, {longest}, found "
            f"{lag}"
        )
    return order[:-lag][same], order[lag:][same]


def _slowest(instant: Values, lagged: Values, dim: int, name: str) -> tuple[Values, Values]:
    """(dim,) eigenvalues, the largest first, and the (n_features, dim) combinations that have them,
    of variance one; the largest weight of each is positive.
    """
    variances, axes = scipy.linalg.eigh(instant)
    kept = variances > _LEAST_VARIANCE * variances[-1]
    if kept.sum() < dim:
        raise ValueError(
            f"{name}: dim: expected at most the number of independent features, {kept.sum()}, "
            f"found {dim}"
        )
    whiten = axes[:, kept] / np.sqrt(variances[kept])
    eigenvalues, turns = scipy.linalg.eigh(whiten.T @ lagged @ whiten)
    matrix = (whiten @ turns)[:, ::-1][:, :dim]
    largest = np.abs(matrix).argmax(0)
    return eigenvalues[::-1][:dim], matrix * np.sign(matrix[largest, np.arange(dim)])


def _columns(x: X, periodic: bool) -> X:
    """(..., n) of one number or several; an angle as cosine and sine."""
    if isinstance(x, Tensor):
        return torch.cat([x.cos(), x.sin()], -1) if periodic else x
    x = x[:, None] if x.ndim == 1 else x
    return np.concatenate([np.cos(x), np.sin(x)], -1) if periodic else x


def _side_by_side(parts: Sequence[X]) -> X:
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts), -1)
    return np.concatenate(list(parts), -1)


def _width(variable: Variable, system: System) -> int:
    """Numbers that a feature is."""
    one = len(variable.columns(system)) if isinstance(variable, HasColumns) else 1
    return 2 * one if variable.periodic else one
