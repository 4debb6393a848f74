"""propose sites for a system, say what each choice costs, draw them"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from ..files import read_json, write_json, write_text
from ..frames import Frames
from ..io import read
from ..mapping.choose.proposals import METHODS, Proposal, propose_mappings, ranked, table
from ..options import Help, check_fields
from ..report.maps import beads, pareto, save
from ._runs import level_of

#: What the proposals of a folder were made from and how; a request that differs would overwrite
#: them.
RECORD = "request.json"
#: Frames from which scores are taken; of fewer, only the first is looked at.
FEWEST = 50


@dataclass(frozen=True, kw_only=True)
class Map:
    """Propose sites for a system, say what each choice costs, draw them.

    By all methods and for several numbers of sites. What is found is kept in a folder of its own:
    table.txt, pareto.png, beads.png, and one YAML for each proposal, the best as chosen.yaml.

    Example:
        cgrec map system=protein.pdb n_sites=10,5,2
        cgrec map run=runs/alanine_dipeptide level=0 n_sites=5
        cgrec climb --config-dir maps +mapping@levels.l1.mapping=chosen run=runs/mine
    """

    system: Annotated[
        str, Help(says="a structure or trajectory file, or a folder of Frames; or give run=")
    ] = ""
    topology: Annotated[
        str, Help(says="file with names and bonds, where the trajectory has none")
    ] = ""
    temperature: Annotated[float, Help(says="where the file does not say it", unit="K")] = 300.0
    run: Annotated[str, Help(says="folder of a run, in place of system=")] = ""
    level: Annotated[
        int, Help(says="level of the run: 1, l1 and level1 are the same", level=True)
    ] = 0
    n_sites: Annotated[Sequence[int], Help(says="numbers of sites to propose")] = (5,)
    method: Annotated[str, Help(says=f"{', '.join(METHODS)} or all", choices=(*METHODS, "all"))] = (
        "all"
    )
    place: Annotated[
        str,
        Help(
            says="where in its bead a site lies: centre (of mass), atom or both",
            choices=("centre", "atom", "both"),
        ),
    ] = "both"
    protected: Annotated[
        Sequence[str], Help(says="names of sites that stay sites of their own")
    ] = ()
    lag: Annotated[int, Help(says="of the kinetic score", unit="frames")] = 10
    most: Annotated[int, Help(says="frames to look at")] = 4000
    to: Annotated[
        str, Help(says="folder for what is found: a new one, or that of the same request")
    ] = "maps"
    choose: Annotated[
        str, Help(says="method whose mapping becomes chosen.yaml; by default that of the best")
    ] = ""

    def __post_init__(self) -> None:
        check_fields("cgrec map", self)
        if bool(self.system) == bool(self.run):
            raise ValueError(
                "cgrec map: expected either system=FILE or run=FOLDER, "
                + ("found both" if self.run else "found neither")
            )

    def frames(self) -> Frames:
        """Those to look at, evenly spaced; unweighted stretches keep their order."""
        found = self._read()
        return found[:: max(1, -(-len(found) // self.most))]

    def _read(self) -> Frames:
        if self.run:
            return level_of("cgrec map", self.run, self.level).frames
        if (Path(self.system) / "frames.json").exists():
            return Frames.load(self.system)
        files = [self.system, *([self.topology] if self.topology else [])]
        return read(*files, temperature=self.temperature or 300.0)

    def __call__(self) -> str:
        """Propose; returns the table, and where the pictures and the rules are.

        Raises:
            ValueError: as `make`.
        """
        proposals, refused = self.make()
        way = f"cgrec climb --config-dir {self.to} +mapping@levels.l1.mapping=chosen"
        notes = [f"left out: {reason}" for reason in refused]
        last = f"{self.to}: pictures, mapping/*.yaml; take one with {way}"
        return "\n".join([table(proposals), *notes, last])

    def make(self) -> tuple[list[Proposal], list[str]]:
        """Proposals, best first for each number of sites, and why methods have none; all is kept
        in the folder.

        Raises:
            ValueError: the folder holds proposals for something else; or as `propose_mappings`.
        """
        frames = self.frames()
        request = self._request(frames)
        folder = Path(self.to)
        _check_folder(folder, request)
        proposals, refused = self._proposals(frames)
        if not proposals:
            raise ValueError(f"cgrec map: no method has a proposal: {'; '.join(refused)}")
        chosen = self._chosen(proposals)
        _keep(folder, proposals, chosen, request)
        pictures = {
            "pareto": pareto(proposals),
            "beads": beads(proposals[:16], frames.positions[0]),
        }
        for name, picture in pictures.items():
            if picture is not None:
                save(picture, folder / f"{name}.png")
        return proposals, refused

    def _proposals(self, frames: Frames) -> tuple[list[Proposal], list[str]]:
        """Proposals, best first for each number of sites, and why methods have none."""
        found: list[Proposal] = []
        refused = []
        for n in self.n_sites:
            for method in METHODS if self.method == "all" else [self.method]:
                try:
                    found += propose_mappings(
                        frames.system,
                        frames if len(frames) >= FEWEST else None,
                        method,
                        n,
                        protected=list(self.protected),
                        place=self.place,
                        lag=self.lag,
                    )
                except ValueError as reason:
                    if self.method != "all":
                        raise
                    refused.append(f"{method}, {n} sites: {reason}")
        by_size = [ranked([p for p in found if p.coarse.n_sites == n]) for n in self.n_sites]
        return [p for some in by_size for p in some], refused

    def _request(self, frames: Frames) -> dict[str, object]:
        """What proposals follow from. `choose` only takes another of them."""
        return {
            "system": frames.system.fingerprint(),
            "frames": _digest(frames),
            "n_sites": list(self.n_sites),
            "method": self.method,
            "place": self.place,
            "protected": list(self.protected),
            "lag": self.lag,
        }

    def _chosen(self, proposals: Sequence[Proposal]) -> Proposal:
        n = self.n_sites[0]
        for proposal in proposals:
            if proposal.coarse.n_sites == n and self.choose in ("", proposal.method):
                return proposal
        raise ValueError(
            f"cgrec map: expected choose= a method with a proposal for {n} sites, found "
            f"{self.choose!r}"
        )


def _check_folder(folder: Path, request: dict[str, object]) -> None:
    """Refuse a folder that holds proposals for another request: they would be overwritten."""
    path = folder / RECORD
    if not path.exists():
        there = [folder / name for name in ("mapping", "table.txt") if (folder / name).exists()]
        if not there:
            return
        found = f"{there[0]}, of which nobody knows what it is of"
    else:
        before = read_json(path)
        differing = [key for key in request if before.get(key) != request[key]]
        if not differing:
            return
        key = differing[0]
        found = (
            f"those of another {key}" if key in ("system", "frames") else f"{key}={before.get(key)}"
        )
    raise ValueError(
        "cgrec map: expected to= a new folder, or one with proposals for the same frames "
        "by the same options, found "
        f"{found} in {folder}, which would be overwritten; give another to=FOLDER"
    )


def _keep(
    folder: Path, proposals: Sequence[Proposal], chosen: Proposal, request: dict[str, object]
) -> None:
    rules = folder / "mapping"
    rules.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, request)
    write_text(folder / "table.txt", table(proposals) + "\n")
    for k, proposal in enumerate(proposals):
        name = f"{proposal.method}_{proposal.coarse.n_sites}_{proposal.place}_{k}.yaml"
        proposal.save_rule(rules / name)
    chosen.save_rule(rules / "chosen.yaml")


def _digest(frames: Frames) -> str:
    """12 hex digits for all that scores look at."""
    found = hashlib.sha256()
    for array in (frames.positions, frames.forces, frames.energies, frames.box, frames.weights):
        found.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return found.hexdigest()[:12]
