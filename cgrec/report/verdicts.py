"""The verdict on every level, at the top of the page, and the rules behind it, at its end."""

from __future__ import annotations

from html import escape

from ..verdict import DO_NOT_USE, LOOK, RULES, TRUST, Verdict
from .pieces import section, table
from .read import LevelFiles, RunFiles

_CLASSES = {TRUST: "good", LOOK: "warn", DO_NOT_USE: "bad"}
#: What a check of level 0 found right is folded away; these are not.
_FINE = "ok"


def verdicts(run: RunFiles) -> str:
    """One box for every level: its word, the reasons, and what was remarked while it was made."""
    return "".join(_level(level) for level in run.levels)


def _level(level: LevelFiles) -> str:
    verdict = level.verdict
    word = verdict.word if verdict is not None else "no verdict yet"
    css = _CLASSES.get(word, "missing")
    head = f'<b>{escape(level.name)}</b> <span class="word {css}">{escape(word)}</span>'
    lines = [f"<li>{line}</li>" for line in _reasons(verdict)] if verdict is not None else []
    lines += [f'<li class="note">{escape(line)}</li>' for line in _said(level)]
    below = f"<ul>{''.join(lines)}</ul>" if lines else " no rule found anything against it"
    return f'<div class="verdict {css}">{head}{below if verdict is not None or lines else ""}</div>'


def _reasons(verdict: Verdict) -> list[str]:
    return [
        f'<span class="{_CLASSES[r.word]}">{escape(r.found[:1].upper() + r.found[1:])}.</span> '
        f"Expected: {escape(r.expected)}. <b>{escape(r.do[:1].upper() + r.do[1:])}.</b>".replace(
            "+-", "&plusmn;"
        )
        for r in verdict.reasons
    ]


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


def verdict_rules(run: RunFiles) -> str:
    """The rules with their bounds."""
    rows = [
        [escape(cell) for cell in (rule.of, rule.look, rule.do_not_use)] for rule in RULES.values()
    ]
    body = table(("what is looked at", LOOK, DO_NOT_USE), rows, "left")
    folded = f"<details><summary>all rules and their bounds</summary>{body}</details>"
    note = (
        "A level is to be trusted where no rule finds anything. The gravest word counts. JS is "
        "the Jensen-Shannon "
        "divergence in nats above its sampling floor; a climb ends at a level that is not to "
        "be used, unless go_on=true."
    )
    return section("How the verdicts are found", folded, note)
