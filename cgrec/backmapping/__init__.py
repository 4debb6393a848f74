"""Backmapping: atoms brought back from coarse sites, so that the way up gives the sites again
whatever the way down did.
"""

from ..mapping import alpha_carbons
from .base import Backmapper
from .correct import MetropolisReport, metropolis, null_space_langevin, redraw
from .descent import Audit, DescentStep, audit, energies_in_kT, step_down
from .flow import FlowBackmapper
from .force_field import OpenMMForceField
from .library import LibraryBackmapper
from .minimise import minimise
from .residues import ResidueLibrary, ResidueTemplate
from .resolvate import Resolvation
from .restored import Restored
from .restoring import backmap
from .solvent_engines import OpenMMEngine, PotentialEngine
from .split import Split
from .template import TemplateBackmapper

#: By the names a configuration calls them.
BACKMAPPERS: dict[str, type[Backmapper]] = {
    "flow": FlowBackmapper,
    "library": LibraryBackmapper,
    "template": TemplateBackmapper,
    "residues": ResidueLibrary,
}

__all__ = [
    "BACKMAPPERS",
    "Audit",
    "Backmapper",
    "DescentStep",
    "FlowBackmapper",
    "LibraryBackmapper",
    "MetropolisReport",
    "OpenMMEngine",
    "OpenMMForceField",
    "PotentialEngine",
    "ResidueLibrary",
    "ResidueTemplate",
    "Resolvation",
    "Restored",
    "Split",
    "TemplateBackmapper",
    "alpha_carbons",
    "audit",
    "backmap",
    "energies_in_kT",
    "metropolis",
    "minimise",
    "null_space_langevin",
    "redraw",
    "step_down",
]
