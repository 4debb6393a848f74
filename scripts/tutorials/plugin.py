# %% [markdown]
# # A rule of your own
#
# A rule says which sites the next level keeps. It is called with a `System` and gives a `Mapping`. This one keeps
# every third site of a chain, and both ends. A prior, a source or an exporter is written the same way: one file,
# and no file of cgrec names it.

# %%
import sys
from pathlib import Path

import cgrec
from cgrec.cli import main

SMALL = "--small" in sys.argv
RULE = '''
from dataclasses import dataclass

from cgrec import Mapping, System
from cgrec.mapping import Pick


@dataclass(frozen=True)
class EveryNth:
    """Every n-th site is kept, from the first, and the last."""

    n: int = 3

    def __call__(self, system: System) -> Mapping:
        if not 0 < self.n < system.n_sites:
            raise ValueError(
                f"EveryNth: expected n of 1 to {system.n_sites - 1}, found {self.n}; give another n"
            )
        kept = sorted({*range(0, system.n_sites, self.n), system.n_sites - 1})
        return Pick([f"#{k}" for k in kept])(system)
'''
Path("everynth.py").write_text(RULE)
sys.path.insert(0, ".")

# %% [markdown]
# ## Try it
#
# In Python first, on an ideal chain of 16 sites: the recursion is exact there, so every number can be checked.

# %%
from everynth import EveryNth  # noqa: E402

chain_of_16 = cgrec.System(
    names=tuple(f"B{k}" for k in range(16)),
    masses=[1.0] * 16,
    bonds=[(k, k + 1) for k in range(15)],
)
mapping = EveryNth(3)(chain_of_16)
print(mapping.coarse.n_sites, "sites:", *mapping.coarse.names)

# %% [markdown]
# ## Use it
#
# In a YAML a class is named by `_target_`. A YAML is a program, so what is neither cgrec's nor of an installed plugin needs
# `--trust`. On the command line the folder of the file must be known to Python: `PYTHONPATH=. cgrec climb ...`.

# %%
QUICK = [
    "source.n_frames=60",
    "levels.l1.training.steps=60",
    "levels.l1.dynamics.n_replicas=4",
    "levels.l1.dynamics.length=0.5",
    "levels.l1.dynamics.equilibration=0.05",
    "levels.l1.dynamics.save_every=0.05",
]
main(
    [
        "climb",
        "experiment=gaussian_chain",
        "~levels.l1.mapping",
        "+levels.l1.mapping={_target_: everynth.EveryNth, n: 3}",
        "~levels.l2",
        "~levels.l3",
        "run=runs/every_third",
        "go_on=true",
        "--trust",
        *(QUICK if SMALL else []),
    ]
)
print(cgrec.load("runs/every_third").levels[1].system.names)

# %% [markdown]
# ## Give it away
#
# A package that says in its `pyproject.toml` that it brings rules needs no `--trust`: whoever installs it has given his word.
# See the page on extending, and `tests/plugin` for a package with one of everything.
