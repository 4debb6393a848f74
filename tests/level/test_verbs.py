"""What help() shows of the verbs of levels and chains, and of the backmappers' fits."""

import inspect

import pytest

from cgrec import Chain
from cgrec.backmapping import FlowBackmapper, LibraryBackmapper
from cgrec.backmapping.flow import FlowTraining
from cgrec.corrections.distillation import distil
from cgrec.level import Level
from cgrec.options import keywords_of


@pytest.mark.parametrize(
    "verb, source",
    [
        (Level.distil, distil),
        (Chain.descend, Chain.steps_down),
        (FlowBackmapper.fit, FlowTraining),
    ],
)
def test_a_verb_shows_the_options_it_passes_on(verb, source):
    shown = inspect.signature(verb).parameters
    for name, argument in inspect.signature(source).parameters.items():
        if argument.default is not argument.empty:
            assert shown[name].default == argument.default
    assert all(p.kind is not p.VAR_KEYWORD for p in shown.values())


def test_a_library_shows_how_many_to_draw_from():
    assert inspect.signature(LibraryBackmapper.fit).parameters["nearest"].default == 10


def test_friction_shows_its_options():
    shown = inspect.signature(Level.fit_friction).parameters
    assert shown["interval"].default is inspect.Parameter.empty
    assert shown["rounds"].default == 4


def test_own_arguments_stay_and_are_not_repeated():
    def made(n, size=1, colour="red"): ...

    @keywords_of(made)
    def verb(level, size=2, **options): ...

    assert str(inspect.signature(verb)) == "(level, size=2, *, colour='red')"
