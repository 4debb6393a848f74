"""What levels are compared in, biased along and plotted against: one file a variable.

Each is a `cgrec.roles.Variable`: `variable(frames)` is its value in every frame. Those that compare
with a structure find its sites at a level by the names of residues and atoms.
"""

from ..trace import longest_chain
from .collective import CollectiveVariable
from .columns import Column, compared_together, single_numbers
from .config import named_variables, variables_from_config
from .contact_map import ContactMap
from .defaults import DEFAULT_NAMES, default_variables
from .gyration import RadiusOfGyration
from .helix import Helix, helical_turns
from .native_contacts import NativeContacts
from .pair_distances import PairDistances
from .plain import from_plain, to_plain
from .rmsd import RMSD
from .tica import TICA

#: The names of `cgrec.io.variables`, where these two stood.
Deviation = RMSD
HelixContent = Helix

__all__ = [
    "DEFAULT_NAMES",
    "RMSD",
    "TICA",
    "CollectiveVariable",
    "Column",
    "ContactMap",
    "Deviation",
    "Helix",
    "HelixContent",
    "NativeContacts",
    "PairDistances",
    "RadiusOfGyration",
    "compared_together",
    "default_variables",
    "from_plain",
    "helical_turns",
    "longest_chain",
    "named_variables",
    "single_numbers",
    "to_plain",
    "variables_from_config",
]
