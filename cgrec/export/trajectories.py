"""The frames of a level as files that other programs read and draw: cgrec export xtc, pdb, extxyz ..."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..frames import Frames
from ..potential import Potential
from ..ranges import expect
from ..roles import Exporter
from ..statistics.resampling import resampled
from .marks import exports

#: {name, also the ending: how to look at the file, {0} its name without ending}.
LOOKED_AT = {
    "xtc": "vmd {0}.pdb {0}.xtc",
    "trr": "vmd {0}.pdb {0}.trr",
    "dcd": "vmd {0}.pdb {0}.dcd",
    "h5md": "MDAnalysis.Universe('{0}.pdb', '{0}.h5md')",
    "pdb": "vmd {0}.pdb",
    "gro": "vmd {0}.gro",
    "psf": "vmd {0}.psf and a trajectory",
    "extxyz": "ase gui {0}.extxyz",
    "npz": "cgrec.read('{0}.npz')",
}


def trajectory(ending: str) -> Exporter:
    """The exporter of frames to files of an ending of `LOOKED_AT`."""

    @exports(potential=False, ending=f".{ending}", then=LOOKED_AT[ending], timed=True)
    def write(
        potential: Potential | None,
        frames: Frames,
        path: str | Path,
        *,
        every: int = 1,
        weighted: bool = False,
        seed: int = 0,
        interval: float | None = None,
    ) -> Path:
        """Write the frames of a level, molecules whole, its replicas one after the other; beside a
        trajectory that does not say what its sites are a PDB of the same name, with the bonds that
        VMD draws.

        Args:
            every: take each so many-th frame.
            weighted: write the frames as they are, where they have weights. By default as many are
                drawn by their weights, so that the file is an unbiased sample.
            seed: of the draw.
            interval: ps between frames of the level, where the format keeps a time; by default that
                of its run, or 1. The times of the replicas run on.

        Raises:
            FileExistsError: a file of that name exists.
            ValueError: another ending.
        """
        path = _named(path, ending)
        if every < 1:
            raise ValueError(f"cgrec export {ending}: expected every= 1 or more, found {every}")
        if frames.weights is not None and not weighted:
            rng = np.random.default_rng(seed)
            drawn = resampled(frames, len(frames), rng)
            print(
                f"frames have weights: {len(drawn)} are drawn by them, {len(np.unique(drawn))} of them "
                "different, so some stand there several times; weighted=true writes each once"
            )
            frames = replace(frames[drawn], weights=None)
        step = 1.0 if interval is None else interval
        expect(f"cgrec export {ending}", above=0, interval=step)
        return frames[::every].write(path, interval=every * step)[0]

    return write


def _named(path: str | Path, ending: str) -> Path:
    """`path` with its ending; ValueError where it has another one that is known."""
    path = Path(path)
    if path.suffix.lower() == f".{ending}":
        return path
    if path.suffix.lower().removeprefix(".") in LOOKED_AT:
        raise ValueError(
            f"cgrec export {ending}: expected to= a file with the ending .{ending}, found {path}; "
            f"cgrec export {path.suffix.lower().removeprefix('.')} writes that"
        )
    return path.with_name(f"{path.name}.{ending}")


TRAJECTORIES = {name: trajectory(name) for name in LOOKED_AT}
