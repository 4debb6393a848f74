# %% [markdown]
# # Salt water without the water
#
# Two molar NaCl in SPC/E water. The first level has the ions and a site for each water, the second keeps the ions
# alone. What the water does to them is in the mean force; what reaches far, the Coulomb forces screened by the water,
# is in a term of its own at both levels.

# %%
import sys

import make_data

import cgrec
from cgrec.cli import main

SMALL = "--small" in sys.argv
run, structure = make_data.salt(".", 60 if SMALL else 3000, edge=1.6 if SMALL else 2.5)

# %% [markdown]
# ## Find the ions
#
# `cgrec init` sees one solvent and ions in it, and drops the water at the second level. Charges are those of the elements, because a
# PDB has none.

# %%
said = cgrec.init(
    [run, structure], temperature=300, to="salt.yaml", timing=not SMALL, check_units=not SMALL
)
print(said)

# %% [markdown]
# ## The permittivity is that of the model
#
# Far apart two ions feel their charges and the water between them. SPC/E screens by 71, not by the 78.4 of real water,
# so the value is changed here. Real runs of salt need nanoseconds: forces of ions are a twentieth signal.

# %%
LEVELS = "l1", "l2"
QUICK = [
    "go_on=true",
    *(
        f"levels.{level}.{setting}"
        for level in LEVELS
        for setting in (
            "training.steps=60",
            "dynamics.n_replicas=2",
            "dynamics.length=0.4",
            "dynamics.equilibration=0.04",
            "dynamics.save_every=0.04",
            "refine_pairs=null",
        )
    ),
]
permittivity = [f"levels.{level}.priors.coulomb.permittivity=71" for level in LEVELS]
main(["climb", "salt.yaml", *permittivity, *(QUICK if SMALL else [])])

# %% [markdown]
# ## What the second level is
#
# Ions alone, with charges, at one concentration. Another concentration is another level.

# %%
level = cgrec.load("runs/salt").levels[2]
print(level.system.n_sites, "ions:", sorted(set(level.system.types)))
