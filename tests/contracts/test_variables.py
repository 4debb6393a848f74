"""What every variable must obey: `cgrec.roles.Variable`."""

import numpy as np
import pytest
from variables_of_cln025 import PDB, native, shaken

from cgrec import CollectiveVariable, roles
from cgrec.mapping import alpha_carbons
from cgrec.run.recipes import described, differences
from cgrec.system import System
from cgrec.variables import (
    RMSD,
    TICA,
    ContactMap,
    Helix,
    NativeContacts,
    PairDistances,
    RadiusOfGyration,
    from_plain,
    to_plain,
)

ENDS = CollectiveVariable("ends", ("TYR1:CA", "TYR10:CA"))


def traces():
    frames = shaken(40, 0.08, replicas=4)
    return alpha_carbons(frames.system)(frames)


VARIABLES = {
    "distance": ENDS,
    "rmsd": RMSD(structure=PDB),
    "q": NativeContacts(structure=PDB),
    "rg": RadiusOfGyration(),
    "helix": Helix(),
    "distances": PairDistances(),
    "contacts": ContactMap(),
    "tica": TICA.fit(traces(), (PairDistances(), ENDS), lag=1),
}


@pytest.fixture(params=list(VARIABLES))
def variable(request):
    return VARIABLES[request.param]


def test_it_has_a_value_in_every_frame(variable):
    frames = traces()
    assert isinstance(variable, roles.Variable) and variable.defined_on(frames.system)
    values = variable(frames)
    assert np.array_equal(values, variable.of(frames)) and np.isfinite(values).all()
    if isinstance(variable, roles.HasColumns):
        assert values.shape == (40, len(variable.columns(frames.system)))
    else:
        assert values.shape == (40,)
    assert np.allclose(variable(frames[7:9]), values[7:9])
    assert variable.name and variable.unit in ("nm", "rad", "1")


def test_turning_and_moving_a_frame_changes_nothing(variable):
    frames = traces()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    moved = type(frames)(frames.system, frames.positions @ turn + [1.0, 2.0, 3.0], 300.0)
    assert np.allclose(variable(moved), variable(frames), atol=1e-6)


def test_it_says_where_it_cannot_be_computed(variable):
    alone = System(names=("W",), masses=[18.0])
    if variable is VARIABLES["rg"]:
        return  # of one site it is zero
    assert not variable.defined_on(alone)
    if isinstance(variable, roles.SaysWhatIsMissing):
        assert variable.missing_on(alone) and variable.missing_on(traces().system) is None


def test_plain_values_make_it_again_and_recipes_know_it(variable):
    frames = traces()
    again = from_plain(variable.name, to_plain(variable))
    assert type(again) is type(variable) and np.array_equal(again(frames), variable(frames))
    assert differences(described(variable), described(variable)) == []
    other = RMSD(structure=native(), sites=("TYR1:CA", "TYR2:CA", "GLY7:CA"))
    assert differences(described(variable), described(other))


def test_somebody_elses_class_is_not_made_from_what_is_read():
    class Theirs(RadiusOfGyration):
        pass

    plain = to_plain(Theirs())
    assert set(plain) == {"class"} and from_plain("x", plain) is None
    with pytest.raises(ValueError, match="x: "):
        from_plain("x", {"class": "RadiusOfGyration", "sights": []})
