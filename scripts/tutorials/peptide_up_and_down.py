# %% [markdown]
# # A peptide up and down
#
# Ten alanines under a force field (OpenMM's ff14SB in implicit water): all atoms run, become alpha carbons and
# then beads of two residues; at the end the atoms come back from the alpha carbons alone.

# %%
import shutil
import sys
from pathlib import Path

import cgrec
from cgrec.cli import main

SMALL = "--small" in sys.argv
shutil.copy(Path(cgrec.__file__).parent / "data" / "peptides" / "ala10_helix.pdb", "ala10.pdb")

# %% [markdown]
# ## Up
#
# A structure with hydrogens is enough: the run of all atoms is the first step of the climb. A helix of ten alanines
# melts and forms again in a few hundred picoseconds at 400 K.

# %%
print(cgrec.init("ala10.pdb", temperature=400, to="ala10.yaml"))
QUICK = [
    "go_on=true",
    "levels.l1.mean_forces=null",
    "source.dynamics.n_replicas=16",
    "source.dynamics.length=4",
    "source.dynamics.equilibration=0.4",
    "source.dynamics.save_every=0.2",
    *(
        f"levels.{level}.{option}"
        for level in ("l1", "l2")
        for option in (
            "training.steps=60",
            "dynamics.n_replicas=4",
            "dynamics.length=0.8",
            "dynamics.equilibration=0.08",
            "dynamics.save_every=0.08",
        )
    ),
    "levels.l2.corrections=[]",
]
main(["climb", "ala10.yaml", *(QUICK if SMALL else [])])

# %% [markdown]
# ## Down
#
# The alpha carbons of level 1 get their atoms from a library of residues that ships. No training is needed, and the
# alpha carbons stay where they are. `cgrec descend` is the other way down: a backmapper that is fitted to this run, with weights.

# %%
level = cgrec.load("runs/ala10").levels[1]
atoms = cgrec.backmap(level.frames[: 2 if SMALL else 100])
print(atoms)
