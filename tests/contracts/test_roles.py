"""What cgrec.roles says an implementation must offer, its own implementations do: names, arguments,
and their order.
"""

import inspect

import pytest

from cgrec import roles
from cgrec.commands import find
from cgrec.commands import own as commands
from cgrec.corrections import PairRefinement, Populations
from cgrec.dynamics import BiasPlan, CommitteeGuard, Exchange, FeatureGuard, Langevin
from cgrec.dynamics.hooks import Watch
from cgrec.export import EXPORTERS
from cgrec.mapping import FORCE_MAPS
from cgrec.potential import (
    Angles,
    Bonds,
    Branches,
    Coulomb,
    DensityNetwork,
    Dihedrals,
    PairStiffness,
    Repulsion,
    UF3Potential,
)
from cgrec.potential.kernel import CompiledDensityNetwork
from cgrec.sources import (
    CalculatorSource,
    FileSource,
    ForceFieldSource,
    GaussianChainSource,
    NetworkSource,
    OpenMMSource,
    QuantumSource,
)
from cgrec.training import LabelledGraphs, MatchEnergies, MatchForces, MatchTorques
from cgrec.training.objectives.energies import EnergyLoss
from cgrec.variables import (
    RMSD,
    TICA,
    CollectiveVariable,
    Column,
    ContactMap,
    Helix,
    NativeContacts,
    PairDistances,
    RadiusOfGyration,
)

CLASSES = [
    *(
        (roles.Source, c)
        for c in (
            CalculatorSource,
            FileSource,
            ForceFieldSource,
            GaussianChainSource,
            NetworkSource,
            OpenMMSource,
            QuantumSource,
        )
    ),
    *((roles.DescribesSites, c) for c in (DensityNetwork, CompiledDensityNetwork)),
    *((roles.Guard, c) for c in (CommitteeGuard, FeatureGuard)),
    *((roles.Hook, c) for c in (BiasPlan, Exchange, Watch)),
    *((roles.Prior, c) for c in (Angles, Bonds, Branches, Coulomb, Dihedrals, Repulsion)),
    (roles.MeasuresParent, Coulomb),
    *((roles.Objective, c) for c in (MatchEnergies, MatchForces, MatchTorques)),
    (roles.LabelledFrames, LabelledGraphs),
    (roles.FitsEnergies, EnergyLoss),
    (roles.Engine, Langevin),
    *((roles.Correction, c) for c in (Populations, PairRefinement)),
    *(
        (roles.Variable, c)
        for c in (CollectiveVariable, Column, Helix, NativeContacts, RMSD, RadiusOfGyration)
    ),
    *((roles.HasColumns, c) for c in (ContactMap, PairDistances, TICA)),
    *(
        (roles.SaysWhatIsMissing, c)
        for c in (ContactMap, Helix, NativeContacts, PairDistances, RMSD, RadiusOfGyration, TICA)
    ),
    *(
        (roles.Differentiable, c)
        for c in (CollectiveVariable, NativeContacts, PairDistances, RMSD, RadiusOfGyration, TICA)
    ),
    *((roles.MovesUp, c) for c in (NativeContacts, RMSD)),
]
FUNCTIONS = [
    *((roles.ForceMap, f) for f in FORCE_MAPS.values()),
    *((roles.Exporter, f) for f in EXPORTERS.values()),
    *((roles.Command, f) for f in [find(name) for name in commands()] if inspect.isfunction(f)),
]


def own(role):
    """{method: function} that a role asks for."""
    return {
        n: f
        for n, f in vars(role).items()
        if inspect.isfunction(f) and (n == "__call__" or n[0] != "_")
    }


def accepts(found, wanted):
    """Whether what may be given to `wanted` may be given to `found`: arguments by place, then those
    by name.
    """
    found, wanted = (list(inspect.signature(f).parameters.values()) for f in (found, wanted))
    named = {p.name: p for p in found}
    positional = [p for p in wanted if p.kind is not p.KEYWORD_ONLY]
    places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(places) >= len(positional), (
        f"takes {len(places)} arguments by place, expected {len(positional)}"
    )
    for here, there in zip(places, positional):
        assert there.kind is there.POSITIONAL_ONLY or here.name == there.name, (
            f"{here.name} is not {there.name}"
        )
        assert there.default is there.empty or here.default is not here.empty, (
            f"{here.name} has no default"
        )
    more = [p for p in places[len(positional) :] if p.default is p.empty]
    assert not more, f"{more[0].name} must be given too"
    for there in wanted:
        assert there.kind is not there.KEYWORD_ONLY or there.name in named, (
            f"takes no {there.name}="
        )


@pytest.mark.parametrize("role, found", CLASSES, ids=lambda x: x.__name__)
def test_a_class_has_the_methods_of_its_role(role, found):
    for name, wanted in own(role).items():
        assert hasattr(found, name), f"{found.__name__} has no {name}"
        accepts(getattr(found, name), wanted)
    for name in [n for n, p in vars(role).items() if isinstance(p, property)]:
        assert hasattr(found, name) or name in getattr(found, "__dataclass_fields__", {})


@pytest.mark.parametrize("role, found", FUNCTIONS, ids=lambda x: x.__name__)
def test_a_function_takes_what_its_role_gives(role, found):
    given = [name for name in inspect.signature(own(role)["__call__"]).parameters if name != "self"]
    inspect.signature(found).bind(*given)  # TypeError where it cannot be called so


@pytest.mark.parametrize(
    "make",
    [
        DensityNetwork.for_frames,
        DensityNetwork.for_labels,
        PairStiffness.for_frames,
        UF3Potential.for_frames,
    ],
)
def test_a_maker_takes_frames_and_seed(make):
    inspect.signature(make).bind(
        "frames", 1, **({} if make == PairStiffness.for_frames else {"cutoff": 0.5})
    )


def test_the_attributes_of_an_engine():
    assert isinstance(Langevin(n_replicas=2, length=1), roles.Engine)


def test_every_role_is_in_the_table_of_the_file():
    defined = {
        n for n, c in vars(roles).items() if inspect.isclass(c) and c.__module__ == roles.__name__
    }
    listed = {line.split()[0] for line in roles.__doc__.splitlines() if line.startswith("    ")}
    # parts of an Engine, of a Hook and of a Correction
    assert defined - listed == {"RunReport", "Replicas", "Reruns", "Corrected"}
