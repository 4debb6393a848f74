"""Variables as plain values, for json: what a report needs to compute them again.

Only classes of this room are made again, and nothing that is read is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from ..files import Json
from ..frames import Frames
from ..roles import Variable
from ..system import System
from .collective import CollectiveVariable
from .contact_map import ContactMap
from .gyration import RadiusOfGyration
from .helix import Helix
from .native_contacts import NativeContacts
from .pair_distances import PairDistances
from .rmsd import RMSD
from .structure import structure_of
from .tica import TICA

_CLASSES = {
    c.__name__: c
    for c in (
        CollectiveVariable,
        ContactMap,
        Helix,
        NativeContacts,
        PairDistances,
        RadiusOfGyration,
        RMSD,
        TICA,
    )
}


def to_plain(variable: Variable) -> Json | list[str]:
    """A list of site labels of a distance, angle or dihedral; {"class", its arguments} of another
    one. Of somebody else's class only its name is kept.
    """
    if isinstance(variable, CollectiveVariable):
        return list(variable.sites)
    kind = type(variable)
    if _CLASSES.get(kind.__name__) is not kind:
        return {"class": f"{kind.__module__}.{kind.__qualname__}"}
    given = {f.name: getattr(variable, f.name) for f in fields(kind) if f.init}
    if "structure" in given:
        given["structure"] = structure_of(given["structure"], variable.name)
    return {"class": kind.__name__, **{key: _plain(value) for key, value in given.items()}}


def from_plain(name: str, data: object) -> Variable | None:
    """The variable that `to_plain` described; None for a class that is none of this room.

    Raises:
        ValueError: a description that does not fit the class.
    """
    if isinstance(data, list):
        return CollectiveVariable(name, tuple(data))
    if not isinstance(data, Mapping) or data.get("class") not in _CLASSES:
        return None
    given = {key: _made(value) for key, value in data.items() if key != "class"}
    try:
        made: Variable = _CLASSES[str(data["class"])](**{**given, "name": name})  # type: ignore[arg-type]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{name}: {error}") from error
    return made


def _plain(value: object) -> object:
    if isinstance(value, Frames):
        positions = np.asarray(value.positions[0], float)
        return {"system": value.system.to_dict(), "positions": positions.tolist()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Variable):
        return {"variable": value.name, "is": to_plain(value)}
    return value


def _made(value: object) -> object:
    if isinstance(value, list):
        return [_made(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "variable" in value:
        return from_plain(str(value["variable"]), value.get("is"))
    if "system" in value:
        return Frames(System(**value["system"]), np.array([value["positions"]]), 300.0)
    raise ValueError(f"expected a structure or a variable, found {sorted(value)}")
