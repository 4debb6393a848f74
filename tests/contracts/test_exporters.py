"""Every exporter: a whole folder or file or none, another one never written over, keywords by which
`cgrec export` can call it.
"""

import inspect
import typing

import pytest
from plugin.toy.exporter import write_table

from cgrec.export import EXPORTERS
from cgrec.export.marks import wishes_of
from cgrec.potential import UF3Potential, fit_priors
from contracts import random_frames


@pytest.fixture(params=[*EXPORTERS, "of a plugin"])
def write(request):
    return write_table if request.param == "of a plugin" else EXPORTERS[request.param]


@pytest.fixture(scope="module")
def frames():
    return random_frames(20)


@pytest.fixture(scope="module")
def potential(frames):
    """What every exporter must know: splines and bonded priors."""
    types = sorted(set(frames.system.types))
    splines = UF3Potential(types=types, cutoff=0.5, spacing=0.1)
    return sum(fit_priors(frames, types=types, cutoff=0.5, excluded_volume=False), splines)


def place(write, folder, name="new"):
    """Where this exporter is told to write: a folder, or a file with its ending."""
    return folder / f"{name}{wishes_of(write).ending}"


def content(made):
    """{file: bytes} of what an exporter made."""
    if not made.is_dir():
        return {made.suffix: made.read_bytes()}
    files = (path for path in sorted(made.rglob("*")) if path.is_file())
    return {str(path.relative_to(made)): path.read_bytes() for path in files}


def test_it_leaves_what_it_says(write, potential, frames, tmp_path):
    made = write(potential, frames, place(write, tmp_path))
    assert made == place(write, tmp_path) and any(content(made).values())
    assert {p.stem for p in tmp_path.iterdir()} == {"new"}  # a PDB may lie beside a trajectory


def test_the_same_again_gives_the_same_bytes(write, potential, frames, tmp_path):
    one, two = (write(potential, frames, place(write, tmp_path, name)) for name in ("a", "b"))
    if one.suffix != ".dcd":  # MDAnalysis writes the time of day into its title
        assert content(one) == content(two)


def test_what_exists_is_left_alone(write, potential, frames, tmp_path):
    there = place(write, tmp_path)
    there.touch() if there.suffix else there.mkdir()
    with pytest.raises(FileExistsError, match="choose another"):
        write(potential, frames, there)
    assert list(tmp_path.iterdir()) == [there]
    assert not (there.stat().st_size if there.suffix else list(there.iterdir()))


def test_one_that_needs_no_potential_does_without(write, frames, tmp_path):
    if not wishes_of(write).potential:
        assert write(None, frames, place(write, tmp_path)).exists()


def test_options_are_keywords_with_a_type_and_a_default(write):
    hints = typing.get_type_hints(write)
    options = [p for p in inspect.signature(write).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert all(p.name in hints and p.default is not p.empty for p in options)
