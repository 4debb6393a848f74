"""Tools that look at files before a climb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from ..chain.level_ledger import about_sample, usual_variables
from ..commands.map import Map
from ..files import Json
from ..frames import Frames
from ..io import check_force_units, read
from ..roles import Variable
from ..setup import init as init_from_files
from ..setup.files import by_content
from ..variables import named_variables
from ..verdict import judge
from .answers import (
    EXACT,
    NOT_JUDGED,
    STATED,
    Experiment,
    Inspection,
    Judged,
    Proposals,
    Proposed,
    Quantity,
    Word,
    quantity,
)
from .judged import (
    ESTIMATED,
    causes,
    renewed,
)
from .place import Place

#: Labels that are listed.
_MOST = 40
#: Why a score is not judged.
_RANKS = Judged(NOT_JUDGED, "scores rank proposals, they accept none")


@dataclass(frozen=True)
class OnFiles:
    """Tools that look at files.

    Attributes:
        place: what they may read and write.
    """

    place: Place

    def inspect(
        self,
        files: list[str],
        temperature: float | None = None,
        variables: dict[str, list[str]] | None = None,
        reading: Json | None = None,
    ) -> Inspection:
        """Read trajectory files as a climb would, and say whether they can be what they are said to
        be: units, temperature, bonds, box, and how many independent frames there are.

        A wrong unit, a broken topology or impossible frames are refused, with the cause.

        Args:
            files: trajectories of one system, and the file that says what its sites are.
            temperature: K, of the run; where no file states it.
            variables: {name: labels of 2 to 4 sites}, a distance, an angle or a dihedral each, in
                which independent frames are counted; by default those of the backbone.
            reading: other keywords of cgrec.read: topology, selection, length_unit, force_unit,
                forces_path, box, species, masses, drop_bad_frames ...
        """
        frames = self._read(files, temperature, reading)
        chosen: tuple[Variable, ...] = named_variables(variables) or usual_variables(frames)
        report: Json = about_sample(frames, chosen)
        check = None if frames.forces is None else check_force_units(frames)
        if check is not None:
            report["temperature_of_forces"] = check.to_dict()
        found = judge(report)
        judged = Judged(cast(Word, found.word), "the rules of verdicts, as for level 0")
        implied = (check.estimate, check.error) if check else (None, None)
        system = frames.system
        return Inspection(
            n_frames=len(frames),
            n_sites=frames.n_sites,
            n_molecules=len(system.molecule_sites()),
            sites=list(system.labels[:_MOST]),
            holds=[n for n in ("forces", "energies", "weights") if getattr(frames, n) is not None],
            temperature=quantity(frames.temperature, None, "K", STATED, EXACT),
            temperature_of_forces=quantity(
                implied[0], implied[1], "K", judged, "" if check else "no forces"
            ),
            forces=f"{check.verdict}: {check.message}" if check else "there are none",
            box=_edges(frames),
            independent_frames={
                name: quantity(n, None, "frames", judged, ESTIMATED)
                for name, n in report["n_eff"].items()
            }
            | renewed(report, judged),
            verdict=judged.word,
            reasons=causes(found.to_json()),
        )

    def _read(self, files: list[str], temperature: float | None, reading: Json | None) -> Frames:
        given = dict(reading or {})
        self.place.check("reading", given)
        runs, shown, forces = by_content([self.place.path("files", file) for file in files])
        if forces:
            given.setdefault("forces_path", forces)
        if runs and shown:
            given.setdefault("topology", shown[0])
        topology = given.pop("topology", None)
        return read(runs or shown, topology, temperature=temperature, **given)

    def propose_map(
        self,
        n_sites: list[int],
        system: str = "",
        topology: str = "",
        temperature: float = 300.0,
        run: str = "",
        level: int = 0,
        method: str = "all",
        place: str = "both",
        protected: list[str] | None = None,
        to: str = "maps",
    ) -> Proposals:
        """Propose which sites to keep, and what each choice costs.

        Args:
            n_sites: numbers of sites to propose.
            system: a structure or a trajectory; or give run.
            topology: file with names and bonds, where the trajectory has none.
            temperature: K, where the file does not say it.
            run: folder of a run, in place of system.
            level: of the run.
            method: essential_dynamics, local_variation, normalised_cut, learned or all.
            place: where in its bead a site lies: centre, atom or both.
            protected: sites that stay sites of their own.
            to: new folder for the proposals, as YAML, and their pictures.
        """
        for name, given in (("system", system), ("topology", topology), ("run", run)):
            if given:
                self.place.path(name, given)
        asked = Map(
            system=system,
            topology=topology,
            temperature=temperature,
            run=run,
            level=level,
            n_sites=n_sites,
            method=method,
            place=place,
            protected=protected or (),
            to=str(self.place.path("to", to)),
        )
        found, refused = asked.make()
        return Proposals(
            proposals=[
                Proposed(
                    method=p.method,
                    place=p.place,
                    n_sites=p.coarse.n_sites,
                    beads=[[p.fine.labels[i] for i in atoms] for atoms in p.beads],
                    scores={
                        name: quantity(score.value, score.error, _UNITS[name], _RANKS)
                        for name, score in p.scores.items()
                    },
                )
                for p in found
            ],
            left_out=refused,
            chosen=f"{to}/mapping/chosen.yaml",
        )

    def init(
        self,
        files: list[str],
        temperature: float | None = None,
        goal: str = "quick",
        to: str = "mine.yaml",
        timing: bool = True,
        charge: int | None = None,
        reading: Json | None = None,
    ) -> Experiment:
        """Look at files and write an experiment for them, with the reason for every choice. Nothing
        is overwritten.

        Args:
            files: a trajectory with forces and the file that says what its sites are; or a
                structure of a peptide with hydrogens; or another molecule as PDB, SDF, or a file
                .smi with its SMILES, whose energy is learned from quantum chemistry.
            temperature: K; by default that of the file, else what the forces imply.
            goal: quick (minutes) or good (an hour or two).
            to: the new YAML.
            timing: time a few steps of each level, and fit the sizes to the goal.
            charge: e, of a molecule whose energy is learned; by default that of the file, else 0.
            reading: other keywords of cgrec.read.
        """
        given = dict(reading or {})
        self.place.check("reading", given)
        paths = [self.place.path("files", file) for file in files]
        path = self.place.path("to", to)
        said = init_from_files(
            paths,
            temperature=temperature,
            goal=goal,
            to=path,
            timing=timing,
            charge=charge,
            **given,
        )
        return Experiment(experiment=to, found=said.splitlines(), text=path.read_text())


#: Of the scores of proposals.
_UNITS = {"inner": "nm", "noise": "kJ/mol/nm", "hidden": "k_B", "kinetics": "1"}


def _edges(frames: Frames) -> list[Quantity]:
    """nm, mean edges of the box."""
    boxes = frames.boxes()
    if boxes is None:
        return []
    edges = np.linalg.norm(np.asarray(boxes, float), axis=-1)
    errors = edges.std(0) / np.sqrt(len(edges))
    return [quantity(float(m), float(e), "nm", STATED) for m, e in zip(edges.mean(0), errors)]
