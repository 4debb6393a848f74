"""The name of every file and folder of a run, each in one place.

runs/mine/
    config.yaml           the composed configuration
    run.json              the command, versions, seconds
    events.jsonl, log.txt what happened and when, for programs and for reading
    report.html           the page to open
    level0/               from a source
        source.json       what is known of the source and its sample
        frames/           the ensemble, with simulation.json, bias.pt, walks.npy of the run it is from
        learning.json     level 0 by an NNP: how it was learned
        force_error.json  and how far it is from its labels on frames of its own run
    level1/, level2/ ...  each made from the one below
        mapping.npz       M and B
        targets/          the parent's frames mapped to this level
        mean_forces/      them with mean forces, where the recipe asks for these
        trials/           fits and trial runs with strays, until one is taken
        strays.json       how many replicas strayed in each trial run
        training.csv, training.json, training.pt     losses, what the fit came to, its checkpoint
        potential.pt      the PMF; refined.pt after corrections
        unrefined/        the run before the first correction
        frames/           the ensemble that is handed on; frames.blocks/ while jobs make parts of it
        correction.json   what a correction says, where the level was run again after it
        report.json       numbers, ledger and verdict
        direct/           the control: the same level made straight from level 0
        backmapper.pt, backmapper.json, backmapping.json, audit.json
        distilled.pt, distilled.json, friction/, friction.json
    in every folder: recipe.json, digests.json, remarks.json, .lock
"""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.yaml"
RUN = "run.json"
PAGE = "report.html"
EVENTS = "events.jsonl"
LOG = "log.txt"

FRAMES = "frames"
#: Pieces of level 0 while another engine makes it.
SAMPLING = "sampling"
TARGETS = "targets"
#: What a level was trained on instead, and where it is made.
MEAN_FORCES = "mean_forces"
LABELLING = "labelling"
#: Fits and trial runs before the last fit, until it is done.
TRIALS = "trials"
#: How many replicas strayed in each of these.
STRAYS = "strays.json"
#: The run of a level before the first correction.
FIRST = "unrefined"
#: The control of a level, a level of its own, by the same recipe.
DIRECT = "direct"
SIMULATION = "simulation.json"
BIAS = "bias.pt"
#: Ending of the folder of blocks of replicas, beside the frames that these are joined to.
BLOCKS = ".blocks"
#: Rungs of replicas in temperature exchange, over time.
WALKS = "walks.npy"

SOURCE = "source.json"
LEARNING = "learning.json"
FORCE_ERROR = "force_error.json"

MAPPING = "mapping.npz"
POTENTIAL = "potential.pt"
#: What a potential was trained on, as its guard knows it; in packages.
GUARD = "guard.npz"
#: The potential of a level after its corrections.
REFINED = "refined.pt"
LOSSES = "training.csv"
FIT = "training.json"
FIT_CHECKPOINT = "training.pt"
#: What a correction says of a run that it changed, where the run has its own simulation.json.
CORRECTION = "correction.json"
REPORT = "report.json"

BACKMAPPER = "backmapper.pt"
ABOUT_BACKMAPPER = "backmapper.json"
BACKMAPPING = "backmapping.json"
AUDIT = "audit.json"
DISTILLED = "distilled.pt"
ABOUT_DISTILLED = "distilled.json"
FRICTION = "friction"
ABOUT_FRICTION = "friction.json"

RECIPE = "recipe.json"
RECORD = "digests.json"
REMARKS = "remarks.json"


def level_folder(run: Path, number: int) -> Path:
    """Folder of a level of a run."""
    return run / f"level{number}"


def level_folders(run: Path) -> list[Path]:
    """level0, level1, ... of a run, in order; a copy such as level1.bak is none of them."""
    found = [p for p in run.glob("level*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted(found, key=level_number)


def level_number(folder: Path) -> int:
    """The number of a level by its folder."""
    return int(folder.name.removeprefix("level"))
