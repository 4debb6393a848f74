"""Every exporter: a whole folder or none, another one never written over, keywords by which `cgrec
export` can call it.
"""

import inspect
import typing

import pytest
from plugin.toy.exporter import write_table

from cgrec.export import EXPORTERS
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


def test_it_leaves_a_folder_and_says_which(write, potential, frames, tmp_path):
    folder = write(potential, frames, tmp_path / "new")
    assert folder == tmp_path / "new" and any(file.stat().st_size for file in folder.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_the_same_again_gives_the_same_bytes(write, potential, frames, tmp_path):
    one, two = (write(potential, frames, tmp_path / name) for name in ("a", "b"))
    files = sorted(p.name for p in one.iterdir())
    assert files == sorted(p.name for p in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)


def test_a_folder_that_exists_is_left_alone(write, potential, frames, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError, match="choose another folder"):
        write(potential, frames, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_options_are_keywords_with_a_type_and_a_default(write):
    hints = typing.get_type_hints(write)
    options = [p for p in inspect.signature(write).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert all(p.name in hints and p.default is not p.empty for p in options)
