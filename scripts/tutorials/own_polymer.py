# %% [markdown]
# # A polymer of your own
#
# A melt of united-atom chains becomes beads of four, then beads of eight. Two files are all there is to begin
# with: a trajectory with forces, and a PDB that says what its sites are and which are bonded. Here a short
# simulation makes them; put your own names in their place.

# %%
import sys
from pathlib import Path

import make_data

import cgrec
from cgrec.cli import main

SMALL = "--small" in sys.argv
run, structure = make_data.alkanes(
    ".", (12,), 100 if SMALL else 2000, side=3 if SMALL else 5, name="melt"
)

# %% [markdown]
# ## Look at the files
#
# `cgrec init` reads them, says what it takes the system for, and writes `polymer.yaml` with a comment for every
# choice. Read what it prints, above all the lines that begin with "Better data".

# %%
said = cgrec.init(
    [run, structure], temperature=350, to="polymer.yaml", timing=not SMALL, check_units=not SMALL
)
print(said)

# %% [markdown]
# Twelve carbons of a chain became three beads, and then two: each level is a file of a few lines that a person
# can change. The pair potentials are corrected until g(r) is that of the parent (`refine_pairs`).

# %%
print(Path("polymer.yaml").read_text())

# %% [markdown]
# ## Climb
#
# The command line is `cgrec climb polymer.yaml`. It takes minutes; the same command again goes on where it was.
# Any value can be changed behind it. What stands here for a first look makes the runs so short that nothing
# they give is to be believed.

# %%
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
main(["climb", "polymer.yaml", *(QUICK if SMALL else [])])

# %% [markdown]
# ## What came out
#
# First the verdict of each level, then its beads as files for VMD: `vmd beads.pdb beads.xtc`. The report has the rest.

# %%
chain = cgrec.load("runs/polymer")
for level in chain.levels[1:]:
    print(level.system.n_sites, "sites,", len(level.frames), "frames")
main(["export", "xtc", "run=runs/polymer", "level=1", "to=beads.xtc"])
