"""What the json files of a run may hold: a value of another type is left out and named, so that the
page survives it.

A specification is "number" (None stands for one that is not finite), "text", "any", a list of one
specification for every entry, or a dict: of keys, or of "*" for every other key. Of a tuple of them
it is the one of the value's own type.
"""

from __future__ import annotations

from typing import TypeAlias

from ..files import Json

#: A specification.
Spec: TypeAlias = "str | list[Spec] | dict[str, Spec] | tuple[Spec, ...]"
Table = dict[str, Spec]
NUMBER, TEXT, ANY = "number", "text", "any"

ROW: Table = {
    "level": TEXT,
    "against": TEXT,
    "variables": [TEXT],
    "bins": [NUMBER],
    "worst": {"*": {"term": TEXT, "unit": TEXT, "*": NUMBER}},
    "basins": {"*": [NUMBER]},
    "floors": {"*": NUMBER},
    "*": NUMBER,
}
LIQUID: Table = {"level": TEXT, "against": TEXT, "what": TEXT, "types": [TEXT], "*": NUMBER}
REASON: Table = {"rule": TEXT, "word": TEXT, "found": TEXT, "expected": TEXT, "do": TEXT}
LOST: Table = {"replica": NUMBER, "time": NUMBER, "why": TEXT, "*": ANY}
REPORT: Table = {
    "name": TEXT,
    "device": TEXT,
    "seconds": {"*": NUMBER},
    "replicas": {"where": [LOST], "*": NUMBER},
    "kinetic_temperature": [NUMBER],
    "training": {"stopped_early": ANY, "device": TEXT, "objectives": {"*": NUMBER}, "*": NUMBER},
    "variables": {"*": ([TEXT], {"class": TEXT, "*": ANY})},
    "pair_distances": [{"level": TEXT, "against": TEXT, "*": ANY}],
    "hand": {"*": {"right": [NUMBER], "left": [NUMBER], "*": ANY}},
    "states": {"*": {"relative_to": TEXT, "basins": {"*": {"*": NUMBER}}, "*": ANY}},
    "ledger": [ROW],
    "liquid": [LIQUID],
    "chirality_flips": {"*": NUMBER},
    "not_expressible": {"*": TEXT},
    "conformation": {"*": [{"*": ANY}]},
    "verdict": {"value": TEXT, "word": TEXT, "reasons": [REASON]},
    "control": {"value": TEXT, "word": TEXT, "reasons": [REASON]},
    "n_eff": {"*": NUMBER},
    "surroundings": {"*": {"*": {"*": NUMBER}}},
    "drift": {"*": {"*": NUMBER}},
    "force_error": {"*": NUMBER},
    "exchange": {"factors": [NUMBER], "acceptance": [NUMBER], "round_trips": NUMBER},
    "correction": {
        "held_out_divergence": [NUMBER],
        "round": NUMBER,
        "floor": NUMBER,
        "left_out": TEXT,
        "pressure": {"*": (NUMBER, [NUMBER])},
    },
    **{
        key: NUMBER
        for key in (
            "n_sites",
            "n_frames",
            "temperature",
            "ns_per_day",
            "simulated_ns",
            "explained_fraction",
        )
    },
    "weight_efficiency": NUMBER,
    "*": ANY,
}
RUN: Table = {
    "command": TEXT,
    "commit": TEXT,
    "device": TEXT,
    "seed": NUMBER,
    "threads": NUMBER,
    "seconds": NUMBER,
    "versions": {"*": TEXT},
    "*": ANY,
}
SOURCE: Table = {"checks": {"*": [{"message": TEXT, "verdict": TEXT, "*": ANY}]}, "*": ANY}
AUDIT: Table = {
    "ess": NUMBER,
    **{key: [NUMBER] for key in ("rms", "slope", "entropy", "audited", "learned", "error")},
    "*": ANY,
}
#: Entries of a list that mean nothing in part: they are left out whole.
_WHOLE = (ROW, LIQUID, REASON)
_MISSING = object()


def fitting(value: object, spec: Table, where: str, problems: list[str]) -> Json | None:
    """`value` without what does not fit, each of which is named in `problems`; None where nothing
    is left.
    """
    found = _fitting(value, spec, where, problems)
    return found if isinstance(found, dict) else None


def _fitting(value: object, spec: Spec, where: str, problems: list[str]) -> object:
    if spec == ANY:
        return value
    if isinstance(spec, tuple):
        own = next((one for one in spec if isinstance(value, type(one))), spec[0])
        return _fitting(value, own, where, problems)
    if isinstance(spec, str):
        if value is None or (_is_number(value) if spec == NUMBER else isinstance(value, str)):
            return value
        return _misfit(value, "a number" if spec == NUMBER else "text", where, problems)
    if value is None:
        return _MISSING
    if isinstance(spec, list):
        if not isinstance(value, list):
            return _misfit(value, "a list", where, problems)
        entries = [_fitting(v, spec[0], f"{where}.{k}", problems) for k, v in enumerate(value)]
        if spec[0] == TEXT and not all(isinstance(entry, str) for entry in entries):
            return _MISSING  # the sites of a variable: without one of them it is another one
        return [entry for entry in entries if entry is not _MISSING]
    if not isinstance(value, dict):
        return _misfit(value, "a table", where, problems)
    before = len(problems)
    kept = {}
    for key, entry in value.items():
        made = _fitting(entry, spec.get(key, spec.get("*", ANY)), f"{where}.{key}", problems)
        if made is not _MISSING:
            kept[key] = made
    damaged = any(spec is whole for whole in _WHOLE) and len(problems) > before
    return _MISSING if damaged else kept


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _misfit(value: object, expected: str, where: str, problems: list[str]) -> object:
    problems.append(f"{where}: expected {expected}, found {str(value)[:60]!r}")
    return _MISSING
