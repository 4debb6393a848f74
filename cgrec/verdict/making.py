"""Rules on how a level was made: the sample it comes from, the fit and the run."""

from __future__ import annotations

import numpy as np

from ..observables.renewal import Surroundings
from ..training import TrainingReport
from ..units import MEV_PER_ANGSTROM, shown
from .reasons import (
    DO_NOT_USE,
    LOOK,
    Reason,
    Report,
    and_more,
    entries,
    joined,
    mapping,
    number,
    word_in,
)

#: Independent samples of the parent, in its slowest variable. Below the first no sampling floor can
#: be relied on (measured, see `cgrec.statistics.divergence`); below the second a population of one
#: half is known to 0.09 at best.
N_EFF_LOOK, N_EFF_LEAST = 100.0, 30.0

#: How often molecules have to change their neighbours in a run of level 0, before it can tell whether its
#: beginning is forgotten: those that keep theirs come out at a half. Water of 300 K does so in 30 ps. How many
#: independent surroundings all of them must have had is as of samples.
RENEWED_LOOK = 2.0

#: Share of what the model explains that it loses on new frames, half of the gap between training
#: and validation (Akaike). A tenth is what `frames_needed` aims at; at a half the model knows its
#: training frames rather than the mean force.
LOST_LOOK, LOST_MOST = 0.1, 0.5

#: Share of the replicas lost. What is left is conditioned on survival, so any population may be
#: wrong by this share.
REPLICAS_LOOK, REPLICAS_MOST = 0.05, 0.25

#: Kinetic temperature, relative. Below the first it is the time step's own error; from the second
#: on (15 K of 300 K) the ensemble belongs to another state point.
HEAT_LOOK, HEAT_MOST = 0.002, 0.05

#: A run that begins in a minimum still takes up potential energy, and is too cold meanwhile; one whose
#: steps are too long for its steepest force gains energy.
TOO_COLD = (
    "equilibrate longer (dynamics.equilibration): the run still takes up potential energy, as after "
    "a minimisation, which the thermostat makes good within a few 1 / friction"
)
TOO_HOT = "shorten the time step; look for a prior or a wall that is too steep"

#: meV/A of a force component, of an all-atom network on fresh labels of its own run. Those that ship
#: have 16 to 20, one that was learned in minutes 22; one of a tenth of the labels, whose curves are
#: not to be relied on, 50.
NETWORK_LOOK = 40.0

#: Drift of a sample, from its first quarter to its last half, in standard deviations of the
#: variable. At one half a quarter that did not belong moves the mean of the whole by an eighth,
#: which is an error of 0.06 in a population of one half: what `shape.JS_LOOK` is.
DRIFT_LOOK, SIGMA_DRIFT = 0.25, 4.0

#: Standard errors that a temperature, known far better than needed, may be off; and those of any
#: other number.
SIGMA_HEAT, SIGMA = 5.0, 3.0


def forces_of(report: Report) -> Reason | None:
    """Whether the forces of a sample are those of its temperature."""
    check = mapping(report.get("temperature_of_forces"))
    given, estimate, error = (number(check.get(k)) for k in ("temperature", "estimate", "error"))
    if check.get("verdict") != "off" or given is None or estimate is None or error is None:
        return None
    return Reason(
        rule="forces",
        word=LOOK,
        found=f"forces along {check.get('pairs')} imply {estimate:.1f} +- {error:.2g} K, the "
        f"temperature given is {given:g} K",
        expected="the same within the error, or 2 %",
        do="correct the temperature, or find out which run the forces are of: a mean force is that "
        "of one temperature",
    )


def parent_samples(report: Report) -> Reason | None:
    """How many independent frames the level was made from."""
    least = least_samples(report)
    if least is None or least[1] >= N_EFF_LOOK:
        return None
    base = report.get("below") is None
    return Reason(
        rule="parent_samples",
        word=DO_NOT_USE if least[1] < N_EFF_LEAST and not base else LOOK,
        found=f"the {'sample' if base else 'parent'} is worth {least[1]:.0f} independent frames in "
        f"{least[0]}",
        expected=f"{N_EFF_LOOK:.0f} or more"
        + (f"; levels made from fewer than {N_EFF_LEAST:.0f} are not to be used" if base else "")
        + ("" if base else f", {N_EFF_LEAST:.0f} at least"),
        do="sample level 0 longer, from several starts, or with a bias along its slow dihedrals",
    )


def least_samples(report: Report) -> tuple[str, float] | None:
    """(variables, N_eff) of what the level was made from, where N_eff is smallest; None where
    nothing is known.
    """
    rows = [row for row in entries(report.get("ledger")) if row.get("against") == "parent"]
    known = [(joined(row.get("variables")), row.get("n_eff_reference")) for row in rows]
    known += list(mapping(report.get("n_eff")).items())
    found = [(name, n) for name, value in known if (n := number(value)) is not None]
    return min(found, key=lambda entry: entry[1], default=None)


def own_samples(report: Report) -> Reason | None:
    """How many independent frames the level hands on."""
    rows = [row for row in entries(report.get("ledger")) if row.get("level") == report.get("name")]
    known = [
        (n, joined(row.get("variables")))
        for row in rows
        if (n := number(row.get("n_eff_model"))) is not None
    ]
    if not known or min(known)[0] >= N_EFF_LEAST:
        return None
    return Reason(
        rule="own_samples",
        word=LOOK,
        found=f"its own run is worth {min(known)[0]:.0f} independent frames in {min(known)[1]}",
        expected=f"{N_EFF_LEAST:.0f} or more",
        do="run it longer or with more replicas; bias or refine it less hard",
    )


def parent_surroundings(report: Report) -> Reason | None:
    """How many independent surroundings the molecules in a box had, that the level was made from."""
    base = report.get("below") is None
    known = _surroundings(report, "own" if base else "parent")
    if not known:
        return None
    whose, more = ("sample", "") if base else ("parent", f", {N_EFF_LEAST:.0f} at least")
    n, name = min((one.independent, name) for name, one in known.items())
    if n < N_EFF_LOOK:
        return Reason(
            rule="parent_surroundings",
            word=DO_NOT_USE if n < N_EFF_LEAST and not base else LOOK,
            found=f"molecules of the {whose} had {n:.3g} independent surroundings in all ({name})",
            expected=f"{N_EFF_LOOK:.0f} or more{more}",
            do="run level 0 longer, from several starts, or with more molecules",
        )
    renewed, name = min((one.renewed, name) for name, one in known.items())
    if renewed >= RENEWED_LOOK or not base:
        return None
    return Reason(
        rule="parent_surroundings",
        word=LOOK,
        found=f"molecules of the sample changed their neighbours {renewed:.3g} times in a run ({name})",
        expected=f"{RENEWED_LOOK:.0f} or more (those that keep theirs: 0.5), or the run cannot tell whether "
        "it forgot its beginning",
        do="run level 0 longer, or from several starts that differ",
    )


def own_surroundings(report: Report) -> Reason | None:
    """How many independent surroundings of its molecules in a box the level hands on."""
    known = {} if report.get("below") is None else _surroundings(report, "own")
    n, name = min(((one.independent, name) for name, one in known.items()), default=(np.inf, ""))
    if n >= N_EFF_LEAST:
        return None
    return Reason(
        rule="own_surroundings",
        word=LOOK,
        found=f"molecules of its own run had {n:.3g} independent surroundings in all ({name})",
        expected=f"{N_EFF_LEAST:.0f} or more",
        do="run it longer or with more replicas",
    )


def _surroundings(report: Report, whose: str) -> dict[str, Surroundings]:
    """Of the run of a level or of its parent, those that are known."""
    found = {}
    for name, one in mapping(mapping(report.get("surroundings")).get(whose)).items():
        n, renewed = (number(mapping(one).get(key)) for key in Surroundings._fields)
        if n is not None and renewed is not None:
            found[name] = Surroundings(n, renewed)
    return found


def still_moves(report: Report) -> Reason | None:
    """Whether the level's own sample is still on its way from where it began."""
    found = []
    for name, entry in mapping(report.get("drift")).items():
        shift, error = (number(mapping(entry).get(k)) for k in ("shift", "error"))
        if shift is None or error is None or abs(shift) <= SIGMA_DRIFT * error:
            continue
        if abs(shift) > DRIFT_LOOK:
            found.append((abs(shift), name, shift, error))
    if not found:
        return None
    _, name, shift, error = max(found)
    return Reason(
        rule="still_moves",
        word=LOOK,
        found=f"the sample still moves: from its first quarter to its last half the mean of {name} "
        f"moves by {shown(shift)} +- {shown(error, 1)} of its standard deviation"
        f"{and_more(len(found), 'variable')}",
        expected=f"at most {DRIFT_LOOK:g}, or {SIGMA_DRIFT:g} standard errors",
        do="run it longer and leave out its beginning (dynamics.equilibration), or sample it with a "
        "bias or at several temperatures",
    )


def explained(report: Report) -> Reason | None:
    """Whether the model explains anything of forces it was not trained on."""
    fraction = number(report.get("explained_fraction"))
    if fraction is None or report.get("below") is None:
        return None
    error = number(mapping(report.get("training")).get("explained_fraction_error")) or 0.0
    if fraction > SIGMA * error:
        return None
    return Reason(
        rule="explained",
        word=DO_NOT_USE if fraction <= 0 else LOOK,
        found=f"the model explains {shown(100 * fraction)} +- {shown(100 * error, 1)} % of forces it "
        "was not trained on",
        expected=f"more than {SIGMA:.0f} standard errors above 0, which no force at all would reach",
        do="train longer, give more frames, or choose sites whose mean force is not lost in noise",
    )


def overfit(report: Report) -> Reason | None:
    """What of the explained forces is known by heart only."""
    training = {k: number(v) for k, v in mapping(report.get("training")).items()}
    needed = ("explained_fraction", "training_explained_fraction", "n_training")
    if report.get("below") is None or any(training.get(name) is None for name in needed):
        return None
    fit = TrainingReport(n_training=int(training["n_training"] or 0))
    for name in (*needed[:2], "explained_fraction_error", "training_explained_fraction_error"):
        value = training.get(name)
        setattr(fit, name, np.nan if value is None else value)
    if fit.explained_fraction <= 0 or fit.n_training <= 0:
        return None
    need = fit.frames_needed(LOST_LOOK)
    lost, error = LOST_LOOK * need.value / fit.n_training, LOST_LOOK * need.error / fit.n_training
    if lost <= LOST_LOOK or lost <= SIGMA * np.nan_to_num(error):
        return None
    both = 100 * fit.training_explained_fraction, 100 * fit.explained_fraction
    return Reason(
        rule="overfit",
        word=DO_NOT_USE if lost > LOST_MOST else LOOK,
        found=f"the model explains {both[0]:.3g} % of its training forces and {both[1]:.3g} % of "
        "others",
        expected=f"a loss of at most {100 * LOST_LOOK:.0f} % of what is explained, not {100 * lost:.0f} "
        "%",
        do=f"give about {need.value:,.0f} frames instead of {fit.n_training:,}, or a smaller "
        "network",
    )


def replicas(report: Report) -> Reason | None:
    """How many replicas were lost."""
    counts = mapping(report.get("replicas"))
    started, lost = number(counts.get("started")), number(counts.get("lost"))
    if not started or not lost or lost <= REPLICAS_LOOK * started:
        return None
    return Reason(
        rule="replicas",
        word=DO_NOT_USE if lost > REPLICAS_MOST * started else LOOK,
        found=f"{lost:.0f} of {started:.0f} replicas were lost, so the ensemble is conditioned on "
        "survival: "
        "what the others would have shown is missing",
        expected=f"at most {100 * REPLICAS_LOOK:.0f} % lost",
        do="see in the report where they were lost; give frames there, train longer or shorten "
        "the time step",
    )


def heat(report: Report) -> Reason | None:
    """Whether the run had the temperature it was asked for."""
    asked, kinetic = number(report.get("temperature")), report.get("kinetic_temperature")
    if asked is None or not isinstance(kinetic, list | tuple) or len(kinetic) != 2:
        return None
    found, error = number(kinetic[0]), number(kinetic[1]) or 0.0
    if found is None:
        return None
    healthy = healthy_error(report, asked)
    error = min(error, healthy) if error else healthy  # a single replica has no error of its own
    off = abs(found - asked)
    if off <= HEAT_LOOK * asked or off <= SIGMA_HEAT * error:
        return None
    return Reason(
        rule="heat",
        word=DO_NOT_USE if off > HEAT_MOST * asked else LOOK,
        found=f"the kinetic temperature is {found:.1f} +- {error:.1f} K",
        expected=f"{asked:.1f} K within {SIGMA_HEAT:.0f} standard errors",
        do=TOO_COLD if found < asked else TOO_HOT,
    )


def network(report: Report) -> Reason | None:
    """Whether an all-atom network has the forces of the quantum chemistry it was learned from."""
    found = mapping(report.get("force_error"))
    value, error = number(found.get("value")), number(found.get("error")) or 0.0
    if value is None:
        return None
    value, error = value / MEV_PER_ANGSTROM, error / MEV_PER_ANGSTROM
    if value - SIGMA * error <= NETWORK_LOOK:
        return None
    return Reason(
        rule="network",
        word=LOOK,
        found=f"its network is {value:.0f} +- {error:.1f} meV/A off the quantum chemistry on frames of "
        "its own run",
        expected=f"at most {NETWORK_LOOK:g} meV/A",
        do="learn it from more labels (source.rounds, source.labels), or longer "
        "(source.final_training.steps)",
    )


def healthy_error(report: Report, asked: float) -> float:
    """K: standard error of the mean kinetic temperature were there one independent frame of every
    replica.

    The error measured between replicas grows with what is wrong, and would excuse it; a healthy run
    has less than this.
    """
    sites = number(report.get("n_sites")) or 0.0
    started = number(mapping(report.get("replicas")).get("started")) or 0.0
    return asked * float(np.sqrt(2 / (3 * sites * started))) if sites * started else np.inf


def parent(report: Report) -> Reason | None:
    """Whether it was made from a level that is not to be used."""
    below = mapping(report.get("below"))
    if word_in(below) != DO_NOT_USE:
        return None
    return Reason(
        rule="parent",
        word=DO_NOT_USE,
        found=f"it was made from {below.get('name')}, whose verdict is {DO_NOT_USE!r}",
        expected="a parent that can be used",
        do=f"mend {below.get('name')} first",
    )


def no_row(report: Report) -> Reason | None:
    """Whether anything of it was compared with its parent."""
    compared = report.get("ledger") or report.get("liquid")
    if report.get("below") is None or "ledger" not in report or compared:
        return None
    return Reason(
        rule="no_row",
        word=LOOK,
        found="nothing of it could be compared with its parent",
        expected="a row in the error ledger",
        do="give it `variables` that its own sites define",
    )
