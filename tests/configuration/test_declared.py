"""What is read from the source of a class is what Python finds when it imports it."""

import inspect
from importlib import import_module

import pytest

from cgrec.configuration.declared import NEEDED, Unread, declared
from cgrec.configuration.kinds import fits, in_words
from cgrec.configuration.rehearsal import Made, ranges_of, rehearse
from cgrec.configuration.targets import MAKERS, ROOMS, is_ours, located


def targets():
    """Every name that a YAML may call, once."""
    seen = set()
    for room in sorted(ROOMS):
        whole = import_module(f"cgrec.{room}")
        for name in dir(whole):
            target = f"cgrec.{room}.{name}"
            if name.startswith("_") or not is_ours(target):
                continue
            for one in (target, *(f"{target}.{maker}" for maker in sorted(MAKERS))):
                if declared(one) is not None and declared(one).name not in seen:
                    seen.add(declared(one).name)
                    yield one


TARGETS = list(targets())


def test_there_are_many():
    assert len(TARGETS) > 80


@pytest.mark.parametrize("target", TARGETS)
def test_arguments_are_those_of_the_signature(target):
    found = declared(target)
    real = inspect.signature(located(target)).parameters
    named = {
        name: p.default
        for name, p in real.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    assert list(found.arguments) == list(named)
    assert found.free == any(p.kind is p.VAR_KEYWORD for p in real.values())
    for name, default in named.items():
        read = found.arguments[name].default
        if isinstance(read, Unread):
            continue
        if default is inspect.Parameter.empty:
            assert read is NEEDED
        elif "factory" not in repr(default) and name != "rules":
            assert read == default, name


@pytest.mark.parametrize("name", ["Level", "Langevin", "ForceMatching", "NoSuchThing"])
def test_what_may_be_called_is_there(name):
    for room in sorted(ROOMS):
        there = hasattr(import_module(f"cgrec.{room}"), name)
        assert is_ours(f"cgrec.{room}.{name}") == there or name == "Level"


@pytest.mark.parametrize(
    ("value", "hint", "right"),
    [
        (1, float, True),
        (True, float, False),
        (1.5, int, False),
        ("a", str | None, True),
        (None, str | None, True),
        ("a", list[str], False),
        (["a"], list[str], True),
        ([1], list[str], False),
        ({"a": 1}, dict[str, float], True),
        ({"a": "b"}, dict[str, float], False),
    ],
)
def test_what_fits_a_hint(value, hint, right):
    assert fits(value, hint) == right
    assert in_words(hint)
    assert fits(Made(), hint)  # an object: looked at when it is made


def test_ranges_are_said_in_words():
    said = ranges_of(declared("cgrec.dynamics.Langevin"))
    assert said["timestep"] == "more than 0, less than 0.5"
    assert said["n_replicas"] == "1 or more"
    said = ranges_of(declared("cgrec.potential.UF3Potential"))
    assert said["three_cutoff"] == "0 or more and at most cutoff"


REFUSED = [
    ("cgrec.dynamics.Langevin", {"save_every": 3.0, "length": 2.0}),
    ("cgrec.training.ForceMatching", {"batch_size": 10, "processes": 3}),
    ("cgrec.corrections.ChainRefinement", {"reach": 0.4}),
    ("cgrec.dynamics.Exchange", {"factors": [1.0, 0.5]}),
    ("cgrec.variables.CollectiveVariable", {"name": "d", "sites": ["A", "A"]}),
    ("cgrec.sources.FileSource", {"path": "x", "energy_unit": "calorie"}),
    ("cgrec.mapping.Contracted", {"n_sites": 0}),
]


@pytest.mark.parametrize(("target", "values"), REFUSED)
def test_a_constructor_says_the_same_without_being_imported(target, values):
    with pytest.raises(ValueError) as real:
        located(target)(**values)
    with pytest.raises(ValueError) as read:
        rehearse(declared(target), values)
    assert str(read.value) == str(real.value)


def test_what_is_not_known_is_left_to_the_constructor():
    langevin = declared("cgrec.dynamics.Langevin")
    rehearse(langevin, {"exchange": Made(), "bias": Made(), "hooks": [Made()]})
    rehearse(declared("cgrec.level.LevelRecipe"), dict.fromkeys(("mapping", "potential"), Made()))
