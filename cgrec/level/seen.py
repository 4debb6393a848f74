"""What is seen of a level and of a chain at a first look: one line, and a card for notebooks.

Nothing here raises: a level half made, or damaged, is shown as far as it can be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..cards import card, drawing
from ..files import Json, read_json
from ..frames import Frames
from ..run import layout
from ..system import System
from ..verdict import word_in
from .folder import LevelFolder

#: What reading a half-made or damaged folder may raise.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def report_of(level: LevelFolder) -> Json:
    """report.json as it lies there, or {}."""
    try:
        found: Json = read_json(level.folder / layout.REPORT)
    except _UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def word_of(level: LevelFolder) -> str:
    """The word of its verdict; empty before there is one."""
    return word_in(report_of(level))


def line(level: LevelFolder) -> str:
    """Level(beads: 5 sites, 2000 frames at 300 K, look; runs/x/level1)."""
    known = [*_size(level), *([word_of(level)] if word_of(level) else [])]
    name = level.name or level.folder.name
    return f"Level({name}: {', '.join(known) or 'not made yet'}; {level.folder})"


def _size(level: LevelFolder) -> list[str]:
    try:
        frames = Frames.load(level.folder / layout.FRAMES)
    except _UNREADABLE:
        return _mapped_size(level)
    return [f"{frames.n_sites} sites", f"{len(frames)} frames at {frames.temperature:g} K"]


def _mapped_size(level: LevelFolder) -> list[str]:
    """Of a level that was mapped and has not run."""
    try:
        system = System.load(level.folder / layout.TARGETS / "system.json")
    except _UNREADABLE:
        return []
    return [f"{system.n_sites} sites", "no frames of its own yet"]


def html(level: LevelFolder) -> str:
    """A card: sizes, state point, verdict with its gravest reason, accuracy, free energies, and the
    first frame.
    """
    report = report_of(level)
    reasons = (report.get("verdict") or {}).get("reasons") or [{}]
    picture = ""
    try:
        frames = Frames.load(level.folder / layout.FRAMES)
        system = frames.system
        picture = drawing(frames.positions[0], system.bonds, system.elements, system.types)
    except _UNREADABLE:
        pass
    explained = report.get("explained_fraction")
    rows = [
        ("size", ", ".join(_size(level))),
        ("explained fraction", f"{100 * explained:.4g} %" if isinstance(explained, float) else ""),
        ("to look at", str(reasons[0].get("found", ""))),
        ("do", str(reasons[0].get("do", ""))),
        ("folder", str(level.folder)),
    ]
    name = level.name or level.folder.name
    title = name.capitalize() if name.startswith("level") else f"Level {name}"
    return card(title, rows, word=word_of(level), table=_accuracy(report), picture=picture)


def _accuracy(report: Json) -> list[Sequence[str]]:
    """Distributions against the parent; without these, basins."""
    head = ("against", "distribution of", "nats above the floor")
    rows = [
        (
            str(row.get("against")),
            ", ".join(row.get("variables") or ["structure"]),
            f"{row['excess']:.3g} +- {row['error']:.2g}",
        )
        for row in report.get("ledger") or []
        if row.get("level") == report.get("name") and None not in (row["excess"], row["error"])
    ]
    states = (report.get("states") or {}).get("own") or {}
    basins = [
        ("basin", name, f"F = {one['free_energy']:.2f} +- {one['free_energy_error']:.2f} kT")
        for name, one in (states.get("basins") or {}).items()
        if None not in (one.get("free_energy"), one.get("free_energy_error"))
    ]
    return [head, *rows, *basins] if rows or basins else []
