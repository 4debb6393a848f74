"""Training: a potential is fitted to labelled frames. One trainer for every level.

trainer.py says what can be asked for, loop.py is the loop, problem.py what is minimised over which
frames, objectives/ has the objectives, learner.py the step of the optimiser, schedule.py the
learning rate, data.py the frames as graphs, history.py what validations came to,
folder.py the files.
"""

from .data import LabelledGraphs, check_finite, split
from .evaluation import Evaluation
from .folder import CHECKPOINT, fingerprint
from .loop import Fit
from .objectives import MatchEnergies, MatchForces, MatchTorques, Torques
from .report import TrainingReport
from .trainer import ForceMatching

__all__ = [
    "CHECKPOINT",
    "Evaluation",
    "Fit",
    "ForceMatching",
    "LabelledGraphs",
    "MatchEnergies",
    "MatchForces",
    "MatchTorques",
    "Torques",
    "TrainingReport",
    "check_finite",
    "fingerprint",
    "split",
]
