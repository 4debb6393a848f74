"""Long work in pieces, between which it can be left."""

import os
import signal

import pytest

from cgrec.run.checkpoints import in_pieces
from cgrec.stopping import Stopped


def test_a_signal_waits_for_the_piece_it_came_in_and_for_what_is_left():
    done, left = [], []

    def piece():
        done.append(len(done))
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append("after the signal")

    with pytest.raises(Stopped, match="three pieces are kept"):
        in_pieces(piece, lambda: False, lambda: left.append(1) or "three pieces are kept")
    assert done == [0, 1, 2, "after the signal"] and left == [1]
    count = []
    in_pieces(lambda: count.append(1), lambda: len(count) == 4, lambda: left.append(1) or "")
    assert len(count) == 4 and len(left) == 2
