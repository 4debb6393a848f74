"""What every command of cgrec obeys: typed options with meaning, help with an example, and words of
the command line that make the same object as Python does.
"""

import dataclasses
import inspect
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Annotated

import pytest

from cgrec import commands
from cgrec.cli import main
from cgrec.commands.descend import Descend
from cgrec.corrections.distillation import distil
from cgrec.options import Help, Keywords, described, options_of, read

CLASSES = [name for name in commands.own() if inspect.isclass(commands.find(name))]


def said_by(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_commands_are_the_files_of_the_folder():
    wanted = """climb analyse-backmapping backmap check completion descend distil docs export friction
    handover init keys map mcp package report run status view"""
    assert sorted(commands.own()) == sorted(wanted.split())
    assert commands.own()[0] == "climb"
    assert sorted({*commands.own()} - {*CLASSES}) == [
        "check",
        "climb",
        "completion",
        "export",
        "init",
        "keys",
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_options_are_a_frozen_dataclass_of_keywords_with_meaning(name):
    found = commands.find(name)
    assert found.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(found))
    for option in options_of(found):
        assert option.help.says, f"{name}: {option.word}= has no meaning"
        hint = option.hint
        assert hint in (str, int, float, bool, float | None, int | None) or hint in (
            Sequence[int],
            Sequence[float],
            Sequence[str],
        )


@pytest.mark.parametrize("name", commands.own())
def test_help_has_every_option_and_an_example(name, capsys):
    text = said_by([name, "--help"], capsys)
    assert re.search(rf"^ +cgrec {name} ", text, re.MULTILINE)
    if name in CLASSES:
        for option in options_of(commands.find(name)):
            assert re.search(rf"^  {option.word}= +\S", text, re.MULTILINE)
            if isinstance(option.default, int | float):
                assert f", {option.default} " in text
        keys = re.findall(rf"cgrec {name} (.*)", text.partition("Example:")[2])
        for example in keys:
            read(f"cgrec {name}", example.split(), options_of(commands.find(name)))


def test_usage_lists_all_commands_without_torch(capsys):
    text = said_by(["--help"], capsys)
    for name in commands.own():
        assert re.search(rf"^  cgrec {name} +[a-z]", text, re.MULTILINE), name


def test_version(capsys):
    main(["--version"])
    assert re.fullmatch(r"cgrec \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_exporters_show_their_own_options(capsys):
    assert "steps=" in said_by(["export", "lammps", "--help"], capsys)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy:
    """Do nothing."""

    begin: Annotated[int, Help(says="where", word="from", level=True)]
    sizes: Annotated[Sequence[int], Help(says="numbers")] = (1, 2)
    width: Annotated[float | None, Help(says="width", unit="nm")] = None
    deep: Annotated[bool, Help(says="whether")] = False
    more: Annotated[dict, Keywords(distil)] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize("level", ["2", "l2", "level2", "level 2"])
def test_words_make_what_python_makes(level):
    words = [f"from={level}", "sizes=3,4", "width=0.5", "deep=true", "cutoff=null", "torsions=2"]
    given = Toy(**read("cgrec toy", words, options_of(Toy)))
    more = {"cutoff": None, "torsions": 2}
    assert given == Toy(begin=2, sizes=[3, 4], width=0.5, deep=True, more=more)
    assert read("cgrec toy", ["from=1"], options_of(Toy)) == {"begin": 1}


@pytest.mark.parametrize(
    "words, message",
    [
        (["from=1", "widht=3"], "with keys from, sizes, .*unknown: widht=3; did you mean width="),
        (["from=1", "width"], "unknown: width; did you mean width="),
        (["sizes=3"], "missing: from="),
        (["from=1", "from=2"], "expected from= once, found it 2 times"),
        (["from=top"], "expected from= a whole number, found 'top'"),
        (["from=1", "sizes=1,x"], "expected sizes= a whole number, found 'x'"),
        (["from=1", "width=inf"], "expected width= a number, found 'inf'"),
        (["from=1", "deep=yes"], "expected deep= true or false, found 'yes'"),
    ],
)
def test_wrong_words_are_named(words, message):
    with pytest.raises(ValueError, match=f"^cgrec toy: .*{message}"):
        read("cgrec toy", words, options_of(Toy))


def test_the_table_shows_type_default_unit_and_meaning():
    table = described(options_of(Toy))
    assert re.search(r"from= +a level, needed +where", table)
    assert re.search(r"sizes= +whole numbers with commas, 1,2 +numbers", table)
    assert re.search(r"width= +a number, null +nm, width", table)
    assert re.search(r"spacing= +a number, 0.025 +nm, between its knots", table)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["descend", "from=1", "to=0", "draws=0"], "draws= 1 or more, found 0"),
        (["descend", "from=1", "to=0", "resample_below=7"], "resample_below= 0 to 1, found 7"),
        (["descend", "from=1", "to=0", "seed=-3"], "seed= 0 or more, found -3"),
        (["descend", "from=1", "to=0", "method=foo"], "method= one of flow, .*found foo"),
        (["analyse-backmapping", "level=1", "frames=-5"], "frames= 1 or more, found -5"),
    ],
)
def test_a_number_out_of_bounds_is_refused_before_the_run_is_looked_at(words, found, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "run=nowhere"])
    said = f"{stop.value} {capsys.readouterr()}"
    assert re.search(found, said), said


def test_python_is_refused_the_same():
    with pytest.raises(ValueError, match="draws= 1 or more, found 0"):
        Descend(run="nowhere", begin=1, to=0, draws=0)


def test_pages_of_a_climb_that_goes_on_are_a_minute_apart(monkeypatch):
    """The first level has one at once, and a level of seconds after it none."""
    from cgrec.commands import _climbing

    clock, pages = [0.0], []
    monkeypatch.setattr(_climbing.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_climbing, "_report_what_is_there", lambda folder: pages.append(clock[0]))
    finished = _climbing._PageNowAndThen()
    for clock[0] in (2.0, 59.0, 61.0, 100.0, 125.0, 130.0):
        finished(SimpleNamespace(folder="run"))
    assert pages == [2.0, 100.0]
