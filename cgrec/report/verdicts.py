"""The verdict on every level, at the top of the page, and the rules behind it, at its end."""

from __future__ import annotations

from typing import TypedDict

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
