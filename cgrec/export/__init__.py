"""Levels -> what other programs run and draw.

An exporter is a function as `cgrec.roles.Exporter` says. EXPORTERS holds those of cgrec by the name
that `cgrec export` knows them by; installed packages bring others by the entry-point group
`cgrec.exporters`.
"""

from collections.abc import Callable
from pathlib import Path

from ..plugins import EXPORTERS as GROUP
from ..plugins import loaded, offered
from .ipi_folder import write_ipi
from .lammps import lammps_command, write_lammps
from .marks import exports
from .openmm_folder import write_openmm
from .torch_sim_folder import write_torch_sim
from .trajectories import TRAJECTORIES

EXPORTERS: dict[str, Callable[..., Path]] = {
    "lammps": write_lammps,
    "openmm": write_openmm,
    "ipi": write_ipi,
    "torch_sim": write_torch_sim,
    **TRAJECTORIES,
}


def exporter(name: str) -> Callable[..., object]:
    """The exporter of this name: cgrec's own first, else an installed package's.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]
    known = offered(GROUP)
    if name not in known:
        raise ValueError(
            "cgrec export: expected the program to export to, "
            f"{', '.join([*EXPORTERS, *known])}, found "
            f"{name or 'nothing'}"
        )
    return loaded(GROUP, name)


__all__ = [
    "EXPORTERS",
    "exporter",
    "exports",
    "lammps_command",
    "write_ipi",
    "write_lammps",
    "write_openmm",
    "write_torch_sim",
]
