"""`MapRequest`: what `cgrec map` does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .files import read_json, write_json, write_text, write_whole
from .frames import Frames
from .proposals import METHODS, Proposal, propose_mappings, ranked, table
from .report.maps import beads, pareto

#: What the proposals of a folder were made from and how; a request that differs would overwrite
#: them.
RECORD = "request.json"


class MapRequest:
    """Proposals for a system, by all methods and for several numbers of sites, kept in a folder of
    their own.

    Args:
        system: a structure or trajectory file, or a folder of Frames.
        topology: file with names and bonds, where the trajectory has none.
        temperature: K, where the file does not say.
        run, level: instead, a level of a run.
        n_sites: numbers of sites to propose.
        method: one of `METHODS`, or "all".
        place: where in its bead a site lies: "centre", "atom" or "both".
        protected: labels of sites that stay sites of their own.
        lag: frames, of the kinetic score.
        most: frames to look at.
        to: folder for what is found: a new one, or that of the same frames and options.
        choose: method whose mapping (onto the first number of sites) becomes chosen.yaml; by
            default that of the best.
    """

    def __init__(
        self,
        *,
        system: str = "",
        topology: str = "",
        temperature: float = 0.0,
        run: str = "",
        level: int = 0,
        n_sites: Sequence[int] = (5,),
        method: str = "all",
        place: str = "both",
        protected: Sequence[str] = (),
        lag: int = 10,
        most: int = 4000,
        to: str = "maps",
        choose: str = "",
    ) -> None:
        if bool(system) == bool(run):
            raise ValueError(
                "cgrec map: expected either system=FILE or run=FOLDER, "
                + ("found both" if run else "found neither")
            )
        self.system = system
        self.topology = topology
        self.temperature = temperature
        self.run = run
        self.level = level
        self.n_sites = list(n_sites)
        self.method = method
        self.protected = list(protected)
        self.lag = lag
        self.most = most
        self.to = Path(to)
        self.choose = choose
        self.place = place

    def frames(self) -> Frames:
        """Those to look at, evenly spaced; unweighted stretches keep their order."""
        found = self._read()
        return found[:: max(1, -(-len(found) // self.most))]

    def _read(self) -> Frames:
        if self.run:
            from .chain import Chain

            levels = Chain(self.run).levels
            if not 0 <= self.level < len(levels):
                raise ValueError(
                    f"cgrec map: expected level= one of 0 to {len(levels) - 1} of {self.run}, "
                    f"found {self.level}"
                )
            return levels[self.level].frames
        if (Path(self.system) / "frames.json").exists():
            return Frames.load(self.system)
        from .trajectory_files import read

        files = [self.system, *([self.topology] if self.topology else [])]
        return read(*files, temperature=self.temperature or 300.0)

    def __call__(self) -> str:
        """Propose; returns the table, and where the pictures and the rules are.

        Raises:
            ValueError: the folder holds proposals for something else; or as `propose_mappings`.
        """
        frames = self.frames()
        request = self._request(frames)
        self._check_folder(request)
        several = len(frames) >= 50
        proposals: list[Proposal] = []
        refused = []
        for n in self.n_sites:
            for method in METHODS if self.method == "all" else [self.method]:
                try:
                    proposals += propose_mappings(
                        frames.system,
                        frames if several else None,
                        method,
                        n,
                        protected=self.protected,
                        place=self.place,
                        lag=self.lag,
                    )
                except ValueError as reason:
                    if self.method != "all":
                        raise
                    refused.append(f"{method}, {n} sites: {reason}")
        if not proposals:
            raise ValueError("cgrec map: no method has a proposal:\n" + "\n".join(refused))
        by_size = {n: ranked([p for p in proposals if p.coarse.n_sites == n]) for n in self.n_sites}
        proposals = [p for some in by_size.values() for p in some]
        self._keep(proposals, frames.positions[0], request)
        notes = [f"left out: {reason}" for reason in refused]
        return "\n".join(
            [
                table(proposals),
                *notes,
                f"{self.to}: pictures, mapping/*.yaml; take one with cgrec climb --config-dir "
                f"{self.to} +mapping@levels.l1.mapping=chosen",
            ]
        )

    def _request(self, frames: Frames) -> dict[str, Any]:
        """What proposals follow from. `choose` only takes another of them."""
        return {
            "system": frames.system.fingerprint(),
            "frames": _digest(frames),
            "n_sites": self.n_sites,
            "method": self.method,
            "place": self.place,
            "protected": self.protected,
            "lag": self.lag,
        }

    def _check_folder(self, request: dict[str, Any]) -> None:
        """Refuse a folder that holds proposals for another request: they would be overwritten."""
        path = self.to / RECORD
        if not path.exists():
            there = [
                self.to / name for name in ("mapping", "table.txt") if (self.to / name).exists()
            ]
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
                f"those of another {key}"
                if key in ("system", "frames")
                else f"{key}={before.get(key)}"
            )
        raise ValueError(
            "cgrec map: expected to= a new folder, or one with proposals for the same frames "
            "by the same options, found "
            f"{found} in {self.to}, which would be overwritten; give another to=FOLDER"
        )

    def _keep(
        self, proposals: Sequence[Proposal], positions: np.ndarray, request: dict[str, Any]
    ) -> None:
        first = [
            p
            for p in proposals
            if p.coarse.n_sites == self.n_sites[0] and self.choose in ("", p.method)
        ]
        if not first:
            raise ValueError(
                f"cgrec map: expected choose= a method with a proposal for {self.n_sites[0]} "
                f"sites, found {self.choose!r}"
            )
        rules = self.to / "mapping"
        rules.mkdir(parents=True, exist_ok=True)
        write_json(self.to / RECORD, request)
        write_text(self.to / "table.txt", table(proposals) + "\n")
        for k, proposal in enumerate(proposals):
            name = f"{proposal.method}_{proposal.coarse.n_sites}_{proposal.place}_{k}.yaml"
            proposal.save_rule(rules / name)
        first[0].save_rule(rules / "chosen.yaml")
        drawing = pareto(proposals)
        if drawing is not None:
            _draw(drawing, self.to / "pareto.png")
        _draw(beads(proposals[:16], positions), self.to / "beads.png")


def _digest(frames: Frames) -> str:
    """12 hex digits for all that scores look at."""
    found = hashlib.sha256()
    for array in (frames.positions, frames.forces, frames.energies, frames.box, frames.weights):
        found.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return found.hexdigest()[:12]


def _draw(figure: Any, path: Path) -> None:
    write_whole(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
