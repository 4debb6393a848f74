"""The words of a verdict and the reasons behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

TRUST, LOOK, DO_NOT_USE = WORDS = ("trust", "look", "do not use")

#: What report.json holds of a level, and under "below" what it holds of the level it was made from.
Report = Mapping[str, object]


@dataclass(frozen=True)
class Reason:
    """Why a level is not simply to be trusted.

    Attributes:
        rule: its name in `RULES`.
        word: the verdict it leads to, "look" or "do not use".
        found, expected: in words with numbers.
        do: the next thing to do.
    """

    rule: str
    word: str
    found: str
    expected: str
    do: str

    def __str__(self) -> str:
        return f"{self.found}; expected: {self.expected}. {self.do[:1].upper()}{self.do[1:]}."


@dataclass(frozen=True)
class Verdict:
    """The word for a level and its reasons, the gravest first. No reason: trust."""

    reasons: tuple[Reason, ...] = ()

    @property
    def word(self) -> str:
        """The gravest word of the reasons."""
        return max((r.word for r in self.reasons), key=WORDS.index, default=TRUST)

    def line(self) -> str:
        """One line: the word and the gravest reason."""
        if not self.reasons:
            return f"{self.word}: no rule found anything against it"
        more = len(self.reasons) - 1
        others = f" ({more} more reason{'s' if more > 1 else ''}: see the report)" if more else ""
        return f"{self.word}: {self.reasons[0]}{others}"

    def to_json(self) -> dict[str, object]:
        """{"value": its word, "reasons": [{"rule", "word", "found", "expected", "do"}]}."""
        return {"value": self.word, "reasons": [asdict(reason) for reason in self.reasons]}

    @classmethod
    def from_json(cls, data: object) -> Verdict:
        """What `to_json` gave, also that of older versions, which wrote "word" for "value".

        Raises:
            ValueError: it is no such thing.
        """
        names = {f.name for f in fields(Reason)}
        reasons = data.get("reasons") if isinstance(data, Mapping) else None
        if not isinstance(reasons, list) or not all(
            isinstance(r, dict) and set(r) == names for r in reasons
        ):
            raise ValueError(
                f"verdict: expected reasons, each with {sorted(names)}, found {reasons!r}"
            )
        made = [Reason(**{name: str(value) for name, value in r.items()}) for r in reasons]
        if not {r.word for r in made} <= set(WORDS):
            raise ValueError(f"verdict: expected words of {WORDS}, found {[r.word for r in made]}")
        return cls(tuple(made))


def word_in(report: Report) -> str:
    """The word of the verdict that report.json holds, of this version or an older one; "" where
    there is none.
    """
    found = mapping(report.get("verdict"))
    return str(found.get("value", found.get("word", "")))


class NotToBeUsed(ValueError):
    """A climb that ended at a level whose verdict is "do not use"."""


def number(value: object) -> float | None:
    """`value` as a float; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if np.isfinite(value) else None


def mapping(value: object) -> Mapping[str, object]:
    """`value` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: object) -> list[Mapping[str, object]]:
    """The mappings in the list `value`; none where it is no list."""
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def joined(value: object, between: str = ", ") -> str:
    """The entries of the list `value` in one string; "" where it is no list."""
    return between.join(map(str, value)) if isinstance(value, list | tuple) else ""


def and_more(n: int, what: str) -> str:
    """ ", and 3 other peptide bonds" of n - 1 others."""
    return f", and {n - 1} other {what}{'s' if n > 2 else ''}" if n > 1 else ""
