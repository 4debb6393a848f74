"""A `FeatureGuard` as a file, so that it goes where its potential goes."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..files import WAY_BACK, open_npz, write_whole
from ..potential import Potential
from .guard import FeatureGuard, find_network
from .tails import Tail

#: Arrays of tensors.
_TENSORS = ("mean", "whiten", "bonds", "lengths", "spread")
#: Plain numbers.
_NUMBERS = ("n_sites", "looks", "false_alarms")


def save_guard(guard: FeatureGuard, path: str | Path) -> None:
    """Write an .npz of all that `guard` knows of its training set; its network is that of the
    potential it watches, and is not in it.
    """
    stretch = [] if guard.stretch is None else [astuple(guard.stretch)]
    arrays: dict[str, NDArray[np.generic]] = {
        **{name: getattr(guard, name).cpu().numpy() for name in _TENSORS},
        **{name: np.asarray(getattr(guard, name)) for name in _NUMBERS},
        "tails": np.array([astuple(tail) for tail in guard.tails]),
        "stretch": np.array(stretch).reshape(-1, len(Tail.__dataclass_fields__)),
    }

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub has allow_pickle too

    write_whole(path, write)


def load_guard(path: str | Path, potential: Potential) -> FeatureGuard:
    """The guard in a file, of the network in `potential`.

    Raises:
        ValueError: the file is damaged or holds something else, or is the guard of another network.
    """
    network = find_network(potential)
    if network is None:
        raise ValueError(
            f"{path}: expected a potential with a network that describes its sites, found "
            f"{type(potential).__name__}"
        )
    try:
        with open_npz(path) as file:
            held = {name: np.asarray(file[name]) for name in file.files}
        tensors = {name: torch.from_numpy(held[name]).to(network.device) for name in _TENSORS}
        n_sites, looks, rate = (held[name].item() for name in _NUMBERS)
        tails = [Tail(*row) for row in held["tails"].tolist()]
        stretch = next((Tail(*row) for row in held["stretch"].tolist()), None)
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable guard ({error}); {WAY_BACK}") from error
    if len(tails) != len(network.types) or len(tensors["mean"]) != len(network.types):
        raise ValueError(
            f"{path}: expected the guard of a network of the types {', '.join(network.types)}, "
            f"found one of {len(tails)} types"
        )
    return FeatureGuard(
        network,
        tails=tails,
        stretch=stretch,
        n_sites=int(n_sites),
        looks=float(looks),
        false_alarms=float(rate),
        **tensors,
    )
