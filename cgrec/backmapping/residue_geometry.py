"""The covalent geometry of a protein, put together from what its residues show one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..system import System
from .base import Model
from .reference import KINDS, ReferenceGeometry, Terms, measured

#: Mean, spread, lowest and highest deviation of a disulphide: nm, and degrees at its sulphur (Engh
#: and Huber, Acta Cryst. A47, 392 (1991)).
_DISULPHIDE = {"bond": (0.203, 0.003, -0.01, 0.01), "angle": (1.815, 0.05, -0.15, 0.15)}
#: The same of the sine of a peptide dihedral: MacArthur and Thornton, J. Mol. Biol. 264, 1180
#: (1996), find 6 degrees of spread.
_PEPTIDE = (0.0, 0.1, -0.3, 0.3)


def geometry_of(
    system: System,
    names: Sequence[dict[str, int]],
    kinds: Sequence[str],
    models: dict[str, Model],
) -> ReferenceGeometry:
    """Bonds, angles, stiff dihedrals and hands of a chain.

    Terms that no residue of that kind shows whole are left out. Peptide bonds are planes: the trace
    says which are cis.

    Args:
        system: of the chain.
        names: {name: atom} of all that each residue can refer to: its own atoms, "-C", "+N" and
            "+CA".
        kinds: name of each residue, as in `models`.
        models: {residue name: {"names", "points" (n, n_names, 3) nm}}.
    """
    owners: list[dict[int, str]] = [{atom: name for name, atom in known.items()} for known in names]
    wanted = {kind: ReferenceGeometry.sites_of(system, kind) for kind in KINDS}
    found: dict[str, list[tuple[list[int], Tensor]]] = {kind: [] for kind in KINDS}
    peptides = {frozenset((n["C"], n["+N"])) for n in names if "+N" in n}
    plane = torch.tensor(_PEPTIDE, dtype=torch.float64)
    for kind, sites in wanted.items():
        for term in (t for t in sites if kind != "branch" or not _ammonium(system, t)):
            # what was seen of these is mostly trans, and a sine does not tell cis from trans
            if kind == "dihedral" and frozenset(term[1:3]) in peptides:
                found["plane"].append((list(term), plane))
                continue
            row = _disulphide(system, kind, term)
            row = _seen(kind, term, owners, kinds, models) if row is None else row
            if row is not None:
                found[kind].append((list(term), row))
    terms = {}
    for kind, rows in found.items():
        if rows:
            values = torch.stack([row for _, row in rows], 1)
            terms[kind] = Terms(torch.tensor([term for term, _ in rows]), *values.unbind(0))
    return ReferenceGeometry(terms).stiff(system)


def _ammonium(system: System, branch: Sequence[int]) -> bool:
    """Whether it is the hand of NH3+ at the end of a chain, whose hydrogens are named by chance."""
    hydrogens = [k for k in branch[1:] if system.elements[k] == "H"]
    return system.names[branch[0]] == "N" and len(hydrogens) > 1


def _seen(
    kind: str,
    term: Sequence[int],
    owners: list[dict[int, str]],
    kinds: Sequence[str],
    models: dict[str, Model],
) -> Tensor | None:
    """(4,) mean, spread, low and high of one term in the residues of one kind; None where none has
    all its atoms.
    """
    for owner, residue in zip(owners, kinds):
        if not all(atom in owner for atom in term) or {"CA", "+CA"} <= {
            owner[atom] for atom in term
        }:
            continue
        model = models[residue]
        if not all(owner[atom] in model["names"] for atom in term):
            continue
        columns = [model["names"].index(owner[atom]) for atom in term]
        points = model["points"][:, columns]
        points = points[~points.isnan().flatten(1).any(1)]
        if len(points) >= 2:
            return torch.stack(
                [v[0] for v in measured(kind, points, torch.arange(len(term))[None])]
            )
    return None


def _disulphide(system: System, kind: str, term: Sequence[int]) -> Tensor | None:
    sulphurs = [k for k, atom in enumerate(term) if system.elements[atom] == "S"]
    bonded = len(sulphurs) == 2 and abs(sulphurs[0] - sulphurs[1]) == 1
    if not bonded or kind not in _DISULPHIDE:
        return None
    return torch.tensor(_DISULPHIDE[kind], dtype=torch.float64)


def bridges(system: System, names: Sequence[dict[str, int]]) -> list[tuple[int, int]]:
    """Pairs of residues whose sulphurs are bonded."""
    owner = {known["SG"]: k for k, known in enumerate(names) if "SG" in known}
    pairs = ((owner[i], owner[j]) for i, j in system.bonds.tolist() if i in owner and j in owner)
    return sorted((min(p), max(p)) for p in pairs)


def bridged(
    candidates: Sequence[tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]],
    sulphur: Sequence[int],
    generator: torch.Generator,
) -> list[Tensor]:
    """Side chains of two cysteines, (n, n_atoms, 3) nm each, chosen together so that their sulphurs
    can be bonded.

    Args:
        candidates: pieces, their weights and what puts them in place, of each.
        sulphur: place of SG in the piece of each.
        generator: of the choice.
    """
    # what mending takes out of a draw without straining the rest
    length, spread = _DISULPHIDE["bond"][0], 0.02
    places = [put(parts) for parts, _, put in candidates]
    a, b = (p[:, :, k] for p, k in zip(places, sulphur))
    off = (torch.cdist(a, b) - length) / spread
    log_weight = (
        candidates[0][1][:, :, None].log() + candidates[1][1][:, None, :].log() - 0.5 * off**2
    ).flatten(1)
    chosen = torch.multinomial(torch.softmax(log_weight, 1), 1, generator=generator)[:, 0]
    first, second = chosen // b.shape[1], chosen % b.shape[1]
    rows = torch.arange(len(chosen))
    return [places[0][rows, first], places[1][rows, second]]
