"""How much of the forces on ions a level explains on frames that its fit never saw.

    python scripts/benchmarks/explained.py ions_0000_3199.npz

The run is cut into five stretches of time; each is held out once, and `experiment=nacl` is fitted to the
others. Printed for each: the fraction that the fit reports (its own validation blocks, by which it also
chose its weights), the fraction of the stretch held out, and that of pair functions by linear least
squares on the same frames. Then the means, with the scatter over the stretches as their error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import one_site_water
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray

import cgrec
from cgrec import Frames
from cgrec.level import LevelRecipe
from cgrec.potential.priors import fitted

CONF = Path(__file__).resolve().parents[2] / "conf"
STRETCHES = 5
#: nm, of the pair functions: hats on a grid from the closest distance to the cutoff of the network.
CLOSEST, CUTOFF, SPACING = 0.22, 1.0, 0.03
#: Part of the mean square that is added to the diagonal, against hats that hardly any pair is in.
RIDGE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ions", type=Path)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = cgrec.read(options.ions, length_unit="nm", force_unit="kJ/mol/nm")
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", ["experiment=nacl", f"source.path={options.ions}"])
    recipe = instantiate(config.levels.l1, _convert_="all")
    rows = []
    for k, held in enumerate(np.array_split(np.arange(len(frames)), STRETCHES)):
        training = frames[np.setdiff1d(np.arange(len(frames)), held)]
        rows.append(row(training, frames[held], recipe, k))
        print({name: round(100 * value, 2) for name, value in rows[-1].items()}, flush=True)
    for name in rows[0]:
        values = 100 * np.array([found[name] for found in rows])
        print(f"{name}: {values.mean():.2f} +- {values.std(ddof=1) / len(values) ** 0.5:.2f} %")
    one_site_water.keep(options.json, {"rows": rows})


def row(training: Frames, held: Frames, recipe: LevelRecipe, seed: int) -> dict[str, float]:
    """Explained fractions of one stretch."""
    untrained = recipe.potential(training, seed)
    priors = fitted(recipe.listed_priors, training, untrained.types)
    potential, report = recipe.training(untrained, training, priors=priors, seed=seed)
    wanted = np.asarray(held.need_forces(), float)
    whole = potential.energy_and_forces(held)[1]
    charges = sum(prior.energy_and_forces(held)[1] for prior in priors)
    return {
        "reported": report.explained_fraction,
        "held out": explained(whole, wanted),
        "priors alone, held out": explained(charges, wanted),
        "pairs, linear, held out": explained(pair_forces(training, held), wanted),
    }


def explained(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """1 - sum of squared errors / sum of squares."""
    return float(1 - ((found - wanted) ** 2).sum() / (wanted**2).sum())


def pair_forces(training: Frames, held: Frames) -> NDArray[np.float64]:
    """(n_frames, n_sites, 3) of the best pair functions, of `held`."""
    normal: NDArray[np.float64] | float = 0.0
    right: NDArray[np.float64] | float = 0.0
    for k in range(len(training)):
        columns = pair_columns(training, k)
        normal = normal + columns @ columns.T
        right = right + columns @ np.asarray(training.need_forces()[k], float).ravel()
    ridge = RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    weights = np.linalg.solve(normal + ridge, right)
    return np.stack([(weights @ pair_columns(held, k)).reshape(-1, 3) for k in range(len(held))])


def pair_columns(frames: Frames, k: int) -> NDArray[np.float64]:
    """(n_functions, 3 n_sites) forces of every hat function of every pair of types, in frame k."""
    x, edge = np.asarray(frames.positions[k], float), np.diag(frames.boxes()[k])
    away = x[:, None] - x[None]
    away -= edge * np.round(away / edge)
    distance = np.linalg.norm(away, axis=-1) + 10 * np.eye(len(x))
    types = np.unique(frames.system.types, return_inverse=True)[1]
    kinds = types[:, None] + types[None]  # 0, 1, 2 of two types
    found = []
    for centre in np.arange(CLOSEST, CUTOFF, SPACING):
        hat = np.maximum(1 - abs(distance - centre) / SPACING, 0)
        pulls = (hat / distance)[..., None] * away
        found += [((kinds == kind)[..., None] * pulls).sum(1).ravel() for kind in range(3)]
    return np.array(found)


if __name__ == "__main__":
    main()
