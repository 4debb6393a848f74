# %% [markdown]
# # A liquid mixture
#
# Hexane and butane, united atoms, one to one. Level 1 has two or three carbons in a bead, level 2 one site for each molecule.

# %%
import sys

import make_data
import numpy as np

import cgrec
from cgrec.cli import main

SMALL = "--small" in sys.argv
run, structure = make_data.alkanes(
    ".", (6, 4), 100 if SMALL else 2000, side=3 if SMALL else 5, name="mixture", temperature=300.0
)

# %% [markdown]
# ## Two commands
#
# On the command line these are `cgrec init mixture.trr mixture.pdb temperature=300 to=mixture.yaml` and
# `cgrec climb mixture.yaml`.

# %%
said = cgrec.init(
    [run, structure], temperature=300, to="mixture.yaml", timing=not SMALL, check_units=not SMALL
)
print(said)
QUICK = [
    "go_on=true",
    *(
        f"levels.{level}.{option}"
        for level in ("l1", "l2")
        for option in (
            "training.steps=60",
            "dynamics.n_replicas=2",
            "dynamics.length=0.4",
            "dynamics.equilibration=0.04",
            "dynamics.save_every=0.04",
            "refine_pairs=null",
        )
    ),
]
main(["climb", "mixture.yaml", *(QUICK if SMALL else [])])

# %% [markdown]
# ## Two kinds of sites
#
# The sites of the last level keep the names of their molecules apart, so hexane and butane have potentials of
# their own. The nearest neighbours of a site, in the parent and in the level's own run:

# %%
chain = cgrec.load("runs/mixture")
parent, level = chain.levels[1], chain.levels[2]
print("types:", sorted(set(level.system.types)))


def nearest(frames: cgrec.Frames) -> float:
    """nm, the mean distance of a site to its nearest neighbour in the box."""
    x, edges = np.asarray(frames.positions), np.diag(np.asarray(frames.boxes())[0])
    apart = x[:, :, None] - x[:, None]
    apart -= edges * np.round(apart / edges)
    distances = np.linalg.norm(apart, axis=-1)
    distances[:, *np.diag_indices(frames.n_sites)] = np.inf
    return float(distances.min(-1).mean())


print(
    f"parent {nearest(level.mapping(parent.frames)):.3f} nm, level {nearest(level.frames):.3f} nm"
)
