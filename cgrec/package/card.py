"""The model card: what a model is for, whether to believe it, how to use it. As Markdown and as a
page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import escape

from ..files import Json
from ..run import layout
from ..verdict import word_in
from .manifest import LevelEntry, Manifest

#: Rows of the ledger on a card: what a level is off from its parent, and from level 0.
_SHOWN = ("parent", "level 0")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; border-bottom: 1px solid #d5dce3; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #e4e9ee; }
pre { background: #f3f5f7; padding: .8rem; overflow-x: auto; } li { margin: .3rem 0; }
"""


@dataclass(frozen=True)
class Section:
    """One part of a card: sentences, a list, a table (its first row is the head), code."""

    title: str
    sentences: Sequence[str] = ()
    points: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    code: str = ""


@dataclass(frozen=True)
class Card:
    """What is said of a package.

    Attributes:
        about: its manifest.
        reports: {level: report.json, with "remarks"}.
    """

    about: Manifest
    reports: Mapping[int, Json] = field(default_factory=dict)

    def sections(self) -> list[Section]:
        """The verdict first."""
        top = self.about.levels[-1]
        return [
            Section("Verdict", points=list(_verdicts(self.about.levels))),
            Section("What it is", [_purpose(self.about)], table=_levels(self.about.levels)),
            Section("State point", [_state(top)]),
            Section("Accuracy", [_explained(self.reports)], table=_ledger(self.reports)),
            Section("Limits", points=list(_limits(self.about, self.reports))),
            *_uses(self.about, top),
            Section("Where it comes from", points=list(_provenance(self.about))),
        ]

    def markdown(self) -> str:
        """card.md."""
        parts = [f"# {self.about.name}"]
        for one in self.sections():
            parts += [f"## {one.title}", *one.sentences]
            if one.points:
                parts.append("\n".join(f"* {point}" for point in one.points))
            if one.table:
                rows = [f"| {' | '.join(row)} |" for row in one.table]
                parts.append("\n".join([rows[0], "|---" * len(one.table[0]) + "|", *rows[1:]]))
            if one.code:
                parts.append(f"```python\n{one.code}\n```")
        return "\n\n".join(part for part in parts if part) + "\n"

    def html(self) -> str:
        """card.html: one page, without scripts."""
        name = escape(self.about.name)
        body = "\n".join(_html(one) for one in self.sections())
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{_STYLE}</style></head>\n<body><h1>{name}</h1>\n{body}\n</body></html>\n"
        )


def _html(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences if sentence]
    if section.points:
        points = "".join(f"<li>{escape(point)}</li>" for point in section.points)
        parts.append(f"<ul>{points}</ul>")
    for k, row in enumerate(section.table):
        cell = "td" if k else "th"
        cells = "".join(f"<{cell}>{escape(text)}</{cell}>" for text in row)
        begin, end = "" if k else "<table>", "</table>" if k == len(section.table) - 1 else ""
        parts.append(f"{begin}<tr>{cells}</tr>{end}")
    if section.code:
        parts.append(f"<pre>{escape(section.code)}</pre>")
    return "\n".join(parts)


def _verdicts(levels: Sequence[LevelEntry]) -> Iterator[str]:
    """The word for each level, then its reasons, the gravest first."""
    for entry in levels:
        verdict, where = entry["verdict"], f"level {entry['number']}"
        reasons = verdict.get("reasons", [])
        word = (word_in(entry) or "no verdict was given").upper()
        yield f"{where} ({entry['name']}): {word}" + ("" if reasons or not verdict else _NOTHING)
        for r in reasons:
            yield f"{where}: {r['found']}; expected: {r['expected']}. To do: {r['do']}"


_NOTHING = ": no rule found anything against it"


def _purpose(about: Manifest) -> str:
    top = about.levels[-1]
    made = (
        "it was learned from forces of the level below, mapped to its sites: its energy is a "
        "potential of mean force, for equilibrium structure and free energies of these sites"
        if top["number"]
        else "its energy is that of the atoms"
    )
    return f"A model of {top['n_sites']} sites ({', '.join(top['types'])}); {made}."


def _levels(levels: Sequence[LevelEntry]) -> list[list[str]]:
    head = ["level", "name", "sites", "potential", "mapping from", "also inside"]
    also = {
        layout.GUARD: "guard",
        layout.BACKMAPPER: "backmapper",
        layout.DISTILLED: "distilled potential",
    }
    return [
        head,
        *(
            [
                str(e["number"]),
                e["name"],
                str(e["n_sites"]),
                " + ".join(e["potential"]) or "none",
                "-" if e["mapping_from"] is None else f"level {e['mapping_from']}",
                ", ".join(word for file, word in also.items() if file in e["holds"]) or "-",
            ]
            for e in levels
        ),
    ]


def _state(top: LevelEntry) -> str:
    density = top.get("density")
    at = f"{top['temperature']:g} K"
    if density:
        low, high = density
        shown = f"{low:.5g}" if high < 1.001 * low else f"{low:.5g} to {high:.5g}"
        at += f", {shown} sites per nm^3"
    place = "periodic" if density else "no box"
    return (
        f"{at}, {place}. A potential of mean force belongs to its state point: another temperature "
        "or density, or other molecules, want a model of their own."
    )


def _explained(reports: Mapping[int, Json]) -> str:
    said = []
    for number, report in reports.items():
        found = report.get("explained_fraction")
        error = (report.get("training") or {}).get("explained_fraction_error")
        if isinstance(found, float):
            bar = f" +- {100 * error:.2g}" if isinstance(error, float) else ""
            said.append(f"{100 * found:.4g}{bar} % at level {number}")
    if not said:
        return ""
    return f"Explained fraction of the mean forces, on frames held out: {', '.join(said)}."


def _ledger(reports: Mapping[int, Json]) -> list[list[str]]:
    """Rows of the ledger, in nats above the floor that sampling alone gives."""
    rows = [
        [
            str(row["level"]),
            str(row["against"]),
            ", ".join(row["variables"]) or "structure",
            f"{row['excess']:.3g} +- {row['error']:.2g}",
            f"{row['floor']:.2g}",
        ]
        for report in reports.values()
        for row in report.get("ledger") or []
        if row["against"] in _SHOWN and row.get("excess") is not None
    ]
    head = ["level", "against", "distribution of", "divergence above its floor (nats)", "floor"]
    return [head, *rows] if rows else []


def _limits(about: Manifest, reports: Mapping[int, Json]) -> Iterator[str]:
    for entry in about.levels:
        number = entry["number"]
        if entry["potential"]:
            yield (
                f"level {number}: a guard goes with it and says when a configuration lies outside "
                "of what it was trained on (level.guard; results['extrapolation'] in ASE)"
                if layout.GUARD in entry["holds"]
                else f"level {number}: nothing inside says whether a configuration lies outside of "
                "what it was trained on: its potential does not describe its sites, or the frames "
                "it was trained on were not there"
            )
    yield "time runs faster than in the level below: rates and diffusion are not those of atoms"
    for number, report in reports.items():
        yield from (f"level {number}: {sentence}" for sentence in report.get("remarks", []))


def _uses(about: Manifest, top: LevelEntry) -> list[Section]:
    file, number = f"{about.name}.cgrec", top["number"]
    python = [
        "import cgrec",
        f'package = cgrec.load("{file}")',
        f"level = package.level({number})",
        "energies, forces = level.potential.energy_and_forces(level.frames)   # kJ/mol, kJ/mol/nm",
    ]
    if top["mapping_from"] is not None:
        python.append(
            f"beads = level.mapping(frames)   # of level {top['mapping_from']}, a cgrec.Frames"
        )
    if layout.BACKMAPPER in top["holds"] and len(about.levels) > 1:
        python.append(f"finer = package.descend(level.frames, to={number - 1})")
    ase = [
        "from cgrec.export.ase import atoms_of",
        "atoms = atoms_of(level.frames)",
        "atoms.calc = level.calculator()   # eV, eV/angstrom",
    ]
    openmm = [
        "from cgrec.export.openmm import openmm_system",
        "system = openmm_system(",
        "    level.potential, level.system, level.frames.box, guard=level.guard",
        ")",
    ]
    lammps = f"cgrec export lammps run={file} level={number} to=lammps"
    distilled = layout.DISTILLED in top["holds"]
    way = f"{lammps}, then there: lmp -in run.in" if distilled else _UNDISTILLED.format(number)
    return [
        Section("In Python", code="\n".join(python)),
        Section("In ASE", code="\n".join(ase)),
        Section("In OpenMM (8.4 or later)", code="\n".join(openmm)),
        Section("In LAMMPS", [way]),
        Section("A longer run", [f"cgrec run run={file} level={number} length=100 to=longer"]),
    ]


_UNDISTILLED = (
    "LAMMPS runs the distilled potential, and there is none inside: in the run this was packed "
    "from, cgrec distil level={}, then pack it again."
)


def _provenance(about: Manifest) -> Iterator[str]:
    known = about.provenance
    versions = known.get("versions") or {}
    yield f"licence: {about.license}"
    yield f"packed by cgrec {known.get('packed_by')}; units: {about.units}"
    if versions:
        yield "made with " + ", ".join(f"{name} {number}" for name, number in versions.items())
    if "seed" in known:
        yield f"commit {known.get('commit', 'unknown')}, seed {known['seed']}"
    yield f"recipe: {layout.CONFIG} inside; package.json has the sha256 of every file"
