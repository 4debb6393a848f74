"""Checkpoints: the state of a long step, one file that is whole or not there and that knows whether
it was changed; and the loop of pieces between which one can be left.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..files import write_whole
from ..stopping import deferred
from .digests import Changed

#: Seconds of wall time after which a long step leaves a checkpoint, however few of its own steps it
#: has made.
MOST_SECONDS = 300.0

_MARK = b"cgrec checkpoint, sha256 "
_HEAD = len(_MARK) + 64 + 1


def save_state(path: Path, state: Mapping[str, object]) -> None:
    """Write what torch can save, behind its own sha256."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    head = _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"
    write_whole(path, lambda partial: partial.write_bytes(head + content))


def load_state(path: Path, device: str | torch.device = "cpu") -> Any:
    """What `save_state` wrote.

    Raises:
        Changed: the file was cut, changed or damaged.
    """
    content = path.read_bytes()
    wanted = content[len(_MARK) : _HEAD - 1]
    if (
        content[: len(_MARK)] != _MARK
        or hashlib.sha256(content[_HEAD:]).hexdigest().encode() != wanted
    ):
        raise Changed(
            f"{path} is not the checkpoint that was written (a file of {len(content)} bytes "
            "whose sha256 does not match): it was "
            "cut, changed or damaged. Put the original back, or remove it and run the same "
            "command again: this step then begins anew"
        )
    return torch.load(io.BytesIO(content[_HEAD:]), map_location=device, weights_only=True)


def in_pieces(
    piece: Callable[[], None], done: Callable[[], bool], leave: Callable[[], str]
) -> None:
    """Do long work piece by piece, to its end or until a signal asks to stop, which waits for the
    piece it came in.

    Args:
        piece: does one.
        done: whether none is left to do.
        leave: called after the last one; leaves a checkpoint and says where.

    Raises:
        Stopped: a signal came.
    """
    with deferred() as request:
        while not done() and not request.due:
            piece()
        request.stop(leave())


class Clock:
    """Says when the wall time since the last checkpoint asks for another one."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() - self.last > MOST_SECONDS

    def reset(self) -> None:
        """A checkpoint was just written."""
        self.last = time.monotonic()
