"""What can be exchanged in cgrec: read this file first.

A level is made from the one below by four steps: map, fit, run, keep. Each step is done by an
object that can be another one. What such an object must offer is its role, written here as a
`typing.Protocol`: nothing has to be inherited, it is enough to have these methods.

    role                  takes -> gives                                    key in YAML
    Source                folder, seed -> Frames of level 0                 source
    Rule                  System or Frames -> Mapping                       levels.X.mapping
    ForceMap              Mapping, Frames -> Mapping with another B         levels.X.force_map
    Prior                 Frames, site types -> fitted Potentials           levels.X.priors
    MeasuresParent        Frames of the level below -> numbers              (a prior that has it measures there)
    NetworkMaker          Frames, seed -> untrained Potential               levels.X.potential, source.network
    Objective             LabelledFrames -> Loss                            levels.X.training.objectives
    LabelledFrames        (what an Objective may measure before the fit)
    Loss                  Batch -> what is minimised
    Batch                 (the potential at labelled frames)
    HasColumn             name of a column in training.csv                  (an objective that has it is reported)
    FitsEnergies          (a loss that has it sets the zero of energies)
    DescribesSites        graph of sites -> description of each site        (a network that has it is guarded)
    Engine                Potential, Frames -> Frames with forces           levels.X.dynamics
    Guard                 graph of sites -> score of each replica           (what an Engine is given to watch with)
    Hook                  Replicas of a run, at its moments                 levels.X.dynamics.hooks
    Correction            Potential, its run, targets -> both corrected     levels.X.corrections
    Variable              Frames -> a number of each frame                  variables, levels.X.variables
    HasColumns            its names                                         (a variable of several numbers has it)
    SaysWhatIsMissing     System -> why not                                 (a variable that has it is explained)
    Differentiable        positions -> values                               (a variable that has it can be biased)
    MovesUp               Mapped -> Variable                                (a variable with a structure has it)
    Mapped                (what a Variable uses of a Mapping)
    Exporter              Potential, Frames, folder -> files                cgrec export NAME
    Command               words of the command line -> nothing              cgrec NAME

An implementation is one file. In YAML `_target_` names it: a class of cgrec, or of an installed
package that says in its pyproject.toml what it brings (see `cgrec.plugins`). `tests/plugin` is such
a package, `tests/contracts` is what every implementation must obey.

Energies are a class, `cgrec.Potential`, and no role: every network, prior and bias inherits its
forces, its sums and its files. Units are nm, ps, K, kJ/mol and amu everywhere. What is refused is
refused by ValueError, in words: what was expected, what was found, and a way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .frames import Frames
    from .geometry import X
    from .mapping import Mapping
    from .potential import Potential
    from .potential.graph import SiteGraph
    from .system import System


@runtime_checkable
class Source(Protocol):
    """Makes the Frames of level 0: from files, from a simulation, from quantum chemistry.

    `cgrec.sources.Source` has all of it but two methods, `sample` and `recipe`. Its final classes
    are FileSource, OpenMMSource, CalculatorSource, QuantumSource, NetworkSource and
    GaussianChainSource.
    """

    def make(self, folder: Path, seed: int) -> Frames:
        """Frames in `folder`/frames, with forces: loaded where they exist, else sampled. A killed
        call goes on when repeated.

        Raises:
            ValueError: `folder` was begun with another recipe or seed, or the sample cannot be
                made.
        """
        ...

    def claim(self, folder: Path, seed: int, above: Sequence[Path] = (), dry: bool = False) -> None:
        """Refuse a folder that was made with another recipe; `above` are folders made from it,
        `dry` changes nothing.

        Raises:
            OtherRecipe: the key that differs, and both values.
        """
        ...

    def system(self) -> System | None:
        """Who the sites will be, where that is known before any work, so that wrong labels are
        found early.
        """
        ...


class Rule(Protocol):
    """Chooses the sites of the next level.

    Rules are the classes of `cgrec.mapping` (HeavyAtoms, Pick, Weighted, CentresOfMass, ...) and
    the function alpha_carbons. One with an attribute `needs_frames = True` is given the Frames of
    the level below and not its System.
    """

    def __call__(self, fine: Any, /) -> Mapping:
        """The Mapping from `fine` (a System; or Frames, with `needs_frames`): every row of its
        weights sums to one.

        Raises:
            KeyError: a label that no site has. ValueError: sites that cannot be made from this
                System.
        """
        ...


class ForceMap(Protocol):
    """Chooses how the forces of atoms make the force of a site: B among the many with B M^T = I.

    In YAML a name: basic, constraint_aware or least_noise (`cgrec.mapping.forces`); or a table with
    `_target_`.
    """

    def __call__(self, mapping: Mapping, frames: Frames, /) -> Mapping:
        """The same position weights M (n_sites, n_atoms) with other force weights B (n_sites,
        n_atoms).

        Raises:
            ValueError: constraints that allow no B, or frames that do not determine it.
        """
        ...


class Prior(Protocol):
    """Fits itself to frames: a simple energy that is right where there are no data.

    In YAML an entry of levels.X.priors: of a list, or of its table under a name of its own. Priors
    are Bonds, Angles, Branches, Dihedrals, Repulsion and Coulomb of `cgrec.potential`. What it
    gives is subtracted from the forces that a network learns, and added back in every run.
    """

    def __call__(
        self, frames: Frames, types: Sequence[str], /
    ) -> Potential | Sequence[Potential] | None:
        """The energy fitted to `frames`, with their weights; None, or nothing in a list, where this
        System has no terms of its kind.

        Args:
            frames: of the level, with forces; what is fitted is valid at their temperature
                (`Potential.made_at`).
            types: the table of site types of the network it will be added to.

        Raises:
            ValueError: a System that it cannot be fitted to.
        """
        ...


@runtime_checkable
class MeasuresParent(Protocol):
    """What a Prior may offer beside: it measures something in the level below, whose frames have
    sites that the level itself has no more.

    The level keeps what was measured, and hands it to the level above. Coulomb has it, for the
    permittivity of a solvent.

    Attributes:
        record: name of the json file in the folder of the level, prior_*.json.
    """

    record: str

    def measure(
        self, parent: Frames, below: Table[str, object] | None, name: str
    ) -> dict[str, object]:
        """What the file is to hold.

        Args:
            parent: frames of the level below, not mapped.
            below: what a prior with the same record measured for the level below; None where none
                did.
            name: of the level, for what is said.
        """
        ...

    def given(self, record: Table[str, object], /) -> Prior:
        """The prior with what the file holds."""
        ...


class NetworkMaker(Protocol):
    """Makes an untrained network: a Potential with parameters that can be trained.

    In YAML a table with `_target_` and `_partial_: true`. Makers are DensityNetwork.for_frames and
    PairStiffness.for_frames.
    """

    def __call__(self, frames: Frames, seed: int = 0, /) -> Potential:
        """The network for the site types of `frames`, whose forces tell its scale; `seed` is of the
        first weights.

        Raises:
            ValueError: no forces.
        """
        ...


class LabelledFrames(Protocol):
    """The frames a potential is trained on, and what it has to learn of them.

    Attributes:
        potential: that is trained, without priors.
        frames: with their full labels.
        forces: (n_frames, n_sites, 3) kJ/mol/nm that the priors leave.
        energies: (n_frames,) kJ/mol that the priors leave; without energy labels, minus theirs.
        weights: (n_frames,) of the frames, their mean is one.
    """

    potential: Potential
    frames: Frames
    forces: Tensor
    energies: Tensor
    weights: Tensor

    @property
    def scale(self) -> float:
        """kJ/mol/nm, root mean square of `forces`."""
        ...

    def batches(self, size: int) -> Iterator[SiteGraph]:
        """All frames in order, at most `size` at a time, as graphs with their labels."""
        ...


class Batch(Protocol):
    """The potential at some labelled frames: what a Loss is given. What is asked twice is computed
    once.
    """

    @property
    def graph(self) -> SiteGraph:
        """The frames, with labels (n_frames * n_sites, 3) kJ/mol/nm, frame_energies (n_frames,)
        kJ/mol and frame_weights (n_frames,).
        """
        ...

    @property
    def positions(self) -> Tensor:
        """(n_frames, n_sites, 3) nm."""
        ...

    @property
    def energies(self) -> Tensor:
        """(n_frames,) kJ/mol, without priors."""
        ...

    @property
    def forces(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm, without priors."""
        ...

    @property
    def force_errors(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm, forces less their labels."""
        ...

    @property
    def force_losses(self) -> Tensor:
        """(n_frames,) mean squared force error per component in units of scale^2."""
        ...

    @property
    def scale(self) -> float:
        """kJ/mol/nm, root mean square of the training labels: losses are in units of it."""
        ...

    @property
    def random(self) -> np.random.Generator:
        """Random numbers that follow from seed and step; in validation the same each time."""
        ...

    def at(self, positions: Tensor, /) -> Batch:
        """The same frames with their sites at other `positions` (n_frames, n_sites, 3) nm."""
        ...

    def prior_forces(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm of the priors at these positions."""
        ...

    def mean(self, value: Tensor, /) -> Tensor:
        """Of a number over all processes, each of which has a share of the batch."""
        ...


class Loss(Protocol):
    """What is to become small."""

    def __call__(self, batch: Batch, /) -> Tensor:
        """(n_frames,) one number for each frame, of order one where nothing is learned yet: frames
        are weighted, and potentials are compared by them in validation. Or () one number for the
        batch as a whole, which is minimised in training and not looked at in validation.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """What a training minimises: the sum of them, each times its weight.

    In YAML an entry of the list levels.X.training.objectives. Objectives are MatchForces,
    MatchTorques and MatchEnergies of `cgrec.training`.

    Attributes:
        weight: in the sum.
    """

    @property
    def weight(self) -> float:
        """In the sum of objectives."""
        ...

    def loss_of(self, data: LabelledFrames, /) -> Loss | None:
        """The loss of batches of `data`, with whatever has to be known of all frames before; None
        where the objective does not apply to these frames.

        Raises:
            ValueError: labels that are missing, or a potential that cannot learn them.
        """
        ...


@runtime_checkable
class HasColumn(Protocol):
    """What an Objective may offer beside: its loss on the validation frames is reported.

    Attributes:
        column: heading in training.csv, and key in training.json.
    """

    column: str


@runtime_checkable
class FitsEnergies(Protocol):
    """What a Loss may offer beside: its labels are energies, so that what is fitted is an energy,
    valid at any temperature, and no PMF.
    """

    def set_zero(
        self, potential: Potential, evaluate: nn.Module, data: LabelledFrames, batch_size: int
    ) -> None:
        """Set the zero of the trained energy, once, when the fit is done.

        Args:
            potential: with its final weights.
            evaluate: the same, perhaps faster.
            data: the training frames.
            batch_size: frames to evaluate at a time.
        """
        ...


@runtime_checkable
class DescribesSites(Protocol):
    """What a network may offer beside its energy: where each site is, seen by the network.

    The guard of a run compares this with what was seen in training, and stops a replica that leaves
    it. A network without it runs without that guard, and a remark says so. DensityNetwork has it,
    as a plain network and as a compiled one.
    """

    def descriptors(self, graph: SiteGraph) -> Tensor:
        """(n_frames * n_sites, n_features): the same for turned, moved and renumbered surroundings."""
        ...


@runtime_checkable
class Guard(Protocol):
    """Watches a run: CommitteeGuard and FeatureGuard of `cgrec.dynamics`."""

    def score(self, graph: SiteGraph) -> Tensor:
        """(n_frames,) how far out each replica is; one above 1 is stopped."""
        ...

    def about(self) -> dict[str, object]:
        """What a report should know of it, as json."""
        ...


class Replicas(Protocol):
    """What a Hook sees of a run of Langevin, and may change.

    Attributes:
        system: of each replica.
        temperature: K of the run.
        timestep: ps.
        box: (n_replicas, 3, 3) nm, or None.
        positions, velocities: (n_replicas, n_sites, 3) nm and nm/ps.
        energy: (n_replicas,) kJ/mol of the potential.
        force: (n_replicas, n_sites, 3) kJ/mol/nm of the potential: the labels of frames.
        total_force: with what hooks push.
        pushed: (n_replicas,) kJ/mol, energy of what hooks push; None where none does.
        kT: (n_replicas, 1, 1) kJ/mol of the thermostat of each replica.
        alive: (n_replicas,) bool, not stopped.
        kept: (n_replicas,) bool, whose frames are kept while they live.
        aside: (n_replicas,) bool, whose next frame is left out; made anew in `at_frame`.
        numbers: (n_replicas,) what frames of each are numbered with.
        step: steps made so far.
    """

    system: System
    temperature: float
    timestep: float
    box: Tensor | None
    positions: Tensor
    velocities: Tensor
    energy: Tensor
    force: Tensor
    total_force: Tensor
    pushed: Tensor | None
    kT: Tensor
    alive: Tensor
    kept: Tensor
    aside: Tensor
    numbers: Tensor
    step: int

    @property
    def common(self) -> torch.Generator:
        """Random numbers for what is drawn of all replicas together."""
        ...

    def graph(self, positions: Tensor | None = None) -> SiteGraph:
        """The graph a potential takes, at these or at its own positions; valid until the next."""
        ...

    def move_to(self, positions: Tensor, box: Tensor) -> None:
        """Put sites and boxes, (n_replicas, 3, 3) nm, elsewhere, and find energies and forces there."""
        ...

    def heat(self, factors: Tensor) -> None:
        """Set the thermostat of each replica to the temperature of the run times (n_replicas,)
        `factors`.
        """
        ...

    def lose(self, which: Tensor, why: str, **numbers: Tensor) -> None:
        """Stop replicas where (n_replicas,) bool `which` is set; the report says why, and its
        number of each of `numbers`, (n_replicas,).
        """
        ...


@runtime_checkable
class Hook(Protocol):
    """Does something beside the steps of a run. Hooks are BiasPlan, Exchange and Watch of
    `cgrec.dynamics.hooks`; inherit `cgrec.dynamics.Hook`, which does nothing at each moment, and
    write those you need.

    A hook holds settings, and one object serves many runs: each run takes a copy, to which `begin`
    gives all that changes.
    """

    @property
    def warm_up(self) -> float:
        """ps that it needs before the equilibration."""
        ...

    @property
    def pushes(self) -> bool:
        """Whether `push` is called at each step; frames then have weights."""
        ...

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        """Before the first step, and before `restore`."""
        ...

    def push(self, replicas: Replicas) -> tuple[Tensor, Tensor]:
        """(n_replicas,) energies in kJ/mol and (n_replicas * n_sites, 3) forces in kJ/mol/nm that
        move the sites and stay out of the labels of frames.
        """
        ...

    def after_step(self, replicas: Replicas) -> None:
        """After every step."""
        ...

    def at_frame(self, replicas: Replicas) -> None:
        """After every stretch, before frames are kept: the moment to `lose` replicas."""
        ...

    def about_lost(self, replicas: Replicas, replica: int) -> Table[str, float]:
        """What the report should say of where a replica was lost."""
        ...

    def state(self) -> object:
        """What `restore` needs, of plain values and tensors: it is in every checkpoint."""
        ...

    def restore(self, state: object, replicas: Replicas) -> None:
        """Go on from a `state`."""
        ...

    def about(self) -> Table[str, object]:
        """What simulation.json should say, as json."""
        ...

    def finish(self, folder: Path) -> None:
        """At the end: leave in `folder` what belongs beside the frames."""
        ...


#: A replica that was stopped: {"replica": its number, "time": ps, "why": in words}, and numbers that
#: say more.
Lost = dict[str, float | str]


class RunReport(Protocol):
    """What an Engine says of its run: at least this.

    Attributes:
        replicas: that were started.
        lost: [{"replica", "time" (ps), "why"}] of those that were stopped before the end.
    """

    replicas: int
    lost: list[Lost]


@runtime_checkable
class Engine(Protocol):
    """Runs a Potential at the temperature of its start. Langevin of `cgrec.dynamics` is one.

    Attributes:
        save_every: ps between saved frames, at which the guard looks.
        use_lost: let the frames of a run that lost all its replicas stand for the ensemble all the
            same.
    """

    save_every: float
    use_lost: bool

    def __call__(
        self,
        potential: Potential,
        start: Frames,
        folder: Path,
        *,
        seed: int = 0,
        guard: Guard | None = None,
        name: str = "simulation",
    ) -> tuple[Frames, RunReport]:
        """Run and leave Frames with forces in `folder`, and beside them simulation.json; a killed
        call goes on when repeated.

        Args:
            potential: what is run. A PMF is valid at the temperature it was made at, and at no
                other.
            start: structures to start from, drawn by their weights.
            folder: becomes a Frames folder.
            seed: of all that is drawn.
            guard: watches at saved frames, or None.
            name: what a progress bar shows.

        Raises:
            ValueError: a site type, box, temperature or density the potential was not made for;
                every replica was lost.
        """
        ...

    def long_enough(self, folder: Path) -> bool:
        """Whether the run in `folder` needs not to be made longer."""
        ...

    def judged(self, folder: Path) -> tuple[Frames, RunReport]:
        """Frames and report of a finished run.

        Raises:
            ValueError: every replica was lost, and `use_lost` is not set.
        """
        ...


class Reruns(Protocol):
    """What a Correction may use of its level: a place for what it makes on the way, and runs."""

    @property
    def folder(self) -> Path:
        """Where its products go, so that a killed climb need not make them again: correction_*.pt,
        written by `cgrec.run.digests.keep`. Names of the level's own files are taken.
        """
        ...

    @property
    def device(self) -> torch.device:
        """Of the level's potential."""
        ...

    def __call__(self, potential: Potential, name: str) -> Frames:
        """Frames of a run of `potential` by the level's own engine, in `folder`/`name`
        (round_1, round_2, ...); those that are there, where there are.

        Raises:
            AllLost (of cgrec.dynamics): no replica lived to its first frame. A correction that does
                not catch it is left out, and the level stays as it was before.
        """
        ...


@dataclass(frozen=True)
class Corrected:
    """What a Correction comes to.

    Attributes:
        potential: the PMF of the level from now on.
        frames: of this potential, with its forces, such as the frames of the run before with other
            weights. None: the level is to be run again with this potential.
        about: {name: what simulation.json should say of it}, as json. `refined_along`, {variable:
            site labels}, says what weights are a function of.
    """

    potential: Potential
    frames: Frames | None = None
    about: Table[str, object] = field(default_factory=dict)


@runtime_checkable
class Correction(Protocol):
    """Changes the PMF of a level after its run by what the parent's frames say, and the ensemble
    with it. Corrections are Populations and PairRefinement of `cgrec.corrections`.

    One that has an attribute `variables` has their site labels checked before the climb begins; one
    that is a `SaysWhatIsMissing` is asked for the System of its level.
    """

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns, /
    ) -> Corrected:
        """The corrected potential, and its frames where it has them.

        Args:
            potential: the PMF of the level.
            run: frames of it: its ensemble.
            targets: frames of the parent, mapped to the sites of the level.
            again: makes further runs.

        Raises:
            ValueError: a system that it cannot correct.
        """
        ...


class Exporter(Protocol):
    """Writes a level for another program. write_lammps of `cgrec.export` is one.

    Keywords after `folder` are what `cgrec export NAME key=value` takes, by the types of their
    hints. It may be marked with `cgrec.export.exports`: that it wants the distilled potential, or
    none; that it makes a file, with which ending; what to do with what it made.
    """

    def __call__(self, potential: Potential, frames: Frames, folder: Path, /) -> Path:
        """Write `folder`, or a file, from the level's potential and frames; gives its path.

        Raises:
            FileExistsError: `folder` exists. ValueError: a part of the potential that the program
                does not know.
        """
        ...


class Command(Protocol):
    """What `cgrec NAME` does. Those of cgrec are the files of `cgrec.commands`.

    `cgrec NAME --help` shows its docstring. A dataclass of options is a command as well: see
    `cgrec.commands` and `cgrec.options`.
    """

    def __call__(self, arguments: list[str], /) -> None:
        """Do it. `arguments` are the words after NAME, key=value by custom.

        Raises:
            ValueError: told in one line, without a traceback.
        """
        ...


@runtime_checkable
class Variable(Protocol):
    """A number that every frame has: what levels are compared in. Variables are the classes of
    `cgrec.variables`: CollectiveVariable, RMSD, NativeContacts, RadiusOfGyration, Helix, and those
    of several numbers, PairDistances, ContactMap and TICA.
    """

    @property
    def name(self) -> str:
        """What plots and tables call it."""
        ...

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of the sites it is a function of; none where it finds them itself."""
        ...

    @property
    def periodic(self) -> bool:
        """Whether -pi and pi are the same value."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the value: nm, rad or 1."""
        ...

    def defined_on(self, system: System) -> bool:
        """Whether it can be computed from the sites of `system`."""
        ...

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) value in every frame; (n_frames, n_columns) of one with `columns`."""
        ...

    def __call__(self, frames: Frames, /) -> NDArray[np.float64]:
        """The same as `of`."""
        ...


@runtime_checkable
class HasColumns(Variable, Protocol):
    """A Variable of several numbers of each frame."""

    def columns(self, system: System) -> tuple[str, ...]:
        """Names of the numbers, as many as `of` gives for frames of `system`."""
        ...


@runtime_checkable
class SaysWhatIsMissing(Protocol):
    """What a Variable may offer beside: why it cannot be computed."""

    def missing_on(self, system: System) -> str | None:
        """Why not from the sites of `system`, in words; None where it can."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """What a Variable may offer beside: it takes positions, and tensors of them, so that it can be
    biased.
    """

    def values(self, positions: X, system: System) -> X:
        """(...,) value, or (..., n_columns), for positions (..., n_sites, 3) nm."""
        ...


class Mapped(Protocol):
    """A Mapping, as far as a Variable uses it: from Frames of `fine` to those of a level."""

    @property
    def fine(self) -> System:
        """Of the frames it takes."""
        ...

    def __call__(self, frames: Frames, /) -> Frames:
        """The frames of the level."""
        ...


@runtime_checkable
class MovesUp(Protocol):
    """What a Variable may offer beside: it holds a structure, which can be mapped as frames are, so
    that levels without its sites can express it.
    """

    def through(self, mapping: Mapped) -> Variable:
        """The variable of the level above `mapping`.

        Raises:
            ValueError: it means nothing there, in words.
        """
        ...
