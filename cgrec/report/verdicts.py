"""The verdict on every level, at the top of the page, and the rules behind it, at its end."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from markupsafe import Markup

from ..verdict import DO_NOT_USE, LOOK, RULES, TRUST, Reason
from .pieces import render
from .read import LevelFiles, RunFiles

_CLASSES = {TRUST: "good", LOOK: "warn", DO_NOT_USE: "bad"}
#: What a check of level 0 found right is folded away; these are not.
_FINE = "ok"


class Box(TypedDict):
    """What templates/header.html shows of a level: its word, the reasons for it, and what was
    remarked while it was made. `css` is the class of the word.
    """

    name: str
    word: str
    css: str
    judged: bool
    reasons: list[dict[str, str]]
    said: list[str]


class NextStep(NamedTuple):
    """Something to do: of which level, what, and the command where one does it."""

    level: str
    do: str
    command: str


def verdicts(run: RunFiles) -> list[Box]:
    """One box for every level."""
    return [_level(level) for level in run.levels]


def _level(level: LevelFiles) -> Box:
    verdict = level.verdict
    word = verdict.word if verdict is not None else "no verdict yet"
    return Box(
        name=level.name,
        word=word,
        css=_CLASSES.get(word, "missing"),
        judged=verdict is not None,
        reasons=[_reason(r) for r in verdict.reasons] if verdict is not None else [],
        said=_said(level),
    )


def _reason(reason: Reason) -> dict[str, str]:
    def sentence(text: str) -> str:
        return (text[:1].upper() + text[1:]).replace("+-", "±")

    return {
        "css": _CLASSES[reason.word],
        "found": sentence(reason.found),
        "expected": reason.expected.replace("+-", "±"),
        "do": sentence(reason.do),
    }


def next_steps(run: RunFiles) -> list[NextStep]:
    """What the reasons of the verdicts ask for, the finest level first, for those above are made
    from it; and what a level that can be used is good for.
    """
    asked: dict[str, list[str]] = {}
    for level in run.levels:
        for reason in level.verdict.reasons if level.verdict is not None else ():
            names = asked.setdefault(_reason(reason)["do"] + ".", [])
            names += [] if level.name in names else [level.name]
    steps = [NextStep(", ".join(names), do, "") for do, names in asked.items()]
    if not run.complete:
        return steps
    usable = [
        level
        for level in run.levels[1:]
        if level.verdict is not None and level.verdict.word != DO_NOT_USE
    ]
    if usable:
        steps += _uses(run, usable[-1])
    return steps


def _uses(run: RunFiles, level: LevelFiles) -> list[NextStep]:
    """What a level that can be used is good for."""
    at = f"run={run.folder} level={level.number}"
    files = f"cgrec export xtc {at} to={level.name}.xtc"
    found = [NextStep("", f"Frames of {level.name} for VMD and other programs:", files)]
    if not level.periodic:
        down = f"cgrec descend run={run.folder} from={level.number} to=0"
        judge = f"cgrec analyse-backmapping {at}"
        found.append(NextStep("", f"Atoms from the beads of {level.name}:", down))
        found.append(NextStep("", "How good those are, and an audit of its PMF:", judge))
    return found


def _said(level: LevelFiles) -> list[str]:
    """Checks of the sample that did not find it right, what could not be expressed, and remarks;
    each once.
    """
    lines = [
        f"{c.get('verdict')}: {c.get('message')}" for c in level.checks if c.get("verdict") != _FINE
    ]
    remarks = [
        line
        for line in level.remarks
        if not any(str(c.get("message")) in line for c in level.checks)
    ]
    return list(dict.fromkeys([*lines, *remarks]))


def verdict_rules(run: RunFiles) -> Markup:
    """The rules with their bounds."""
    rows = [(rule.of, rule.look, rule.do_not_use) for rule in RULES.values()]
    return render("rules.html", rows=rows, head=("what is looked at", LOOK, DO_NOT_USE))
