"""A round of a correction that loses all its replicas: a worse round, and no end of the climb."""

from __future__ import annotations

from ..dynamics.report import AllLost
from ..frames import Frames
from ..potential import Potential
from ..remarks import remark
from ..roles import Reruns


def run_or_nothing(again: Reruns, potential: Potential, name: str) -> Frames | None:
    """The frames of a run of `potential`, or None, with a remark, where all its replicas were lost
    before a frame could be kept.
    """
    try:
        return again(potential, name)
    except AllLost as error:
        remark(f"{again.folder.name}: nothing is taken of {name} of the correction: {error}")
        return None
