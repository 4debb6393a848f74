"""Training: a potential is fitted to labelled frames. One trainer for every level.

trainer.py has the options, loop.py the loop, schedule.py the learning rate, learner.py the step of
the optimiser, data.py the frames, objectives/ what is minimised, history.py what validations came
to.
"""

from .data import LabelledGraphs, check_finite, split
from .evaluation import Evaluation
from .loop import CHECKPOINT, Fit, fingerprint
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
