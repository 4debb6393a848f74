"""Compiled code is loaded from where only the user can have put it; wherever that cannot be, the
slow path goes on.
"""

import ctypes
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from cgrec import native
from cgrec.native import NoKernel, compiler_name, native_library
from cgrec.remarks import Remark

try:
    compiler_name()
except NoKernel as reason:
    pytest.skip(str(reason), allow_module_level=True)

CODE = 'extern "C" int answer() { return ANSWER; }\n'


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "answer.cpp"
    path.write_text(CODE)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Own cache, own temporary folder, and nothing said before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for once in (native.temporary_folder, native._say_once):
        once.cache_clear()
    yield tmp_path / "cache" / "cgrec"
    for once in (native.temporary_folder, native._say_once):
        once.cache_clear()


def answer(source, value=42):
    return native_library(source, (f"-DANSWER={value}",)).answer()


def kept(cache):
    (library,) = cache.glob("*.so")
    return library


def in_a_child(source):
    """Start a process that loads the library; 42 is its exit code where all is well, and a signal
    ends only that process.
    """
    child = os.fork()
    if child == 0:
        try:
            os._exit(answer(source))
        finally:
            os._exit(1)
    return child


def compiled_again(source, cache):
    """Whether the library is another file after a call in a new process, which must answer right
    and not die.
    """
    before = kept(cache).lstat().st_ino
    _, status = os.waitpid(in_a_child(source), 0)
    assert os.waitstatus_to_exitcode(status) == 42
    return kept(cache).lstat().st_ino != before


def test_kept_for_the_user_alone(source, cache):
    assert answer(source) == 42
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert sorted(p.name.partition(".")[2] for p in cache.iterdir()) == ["so", "so.sha256"]
    assert not compiled_again(source, cache)


def test_an_open_folder_of_the_user_is_closed(source, cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert answer(source) == 42 and stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda library: library.write_bytes(b""),
        lambda library: library.write_bytes(library.read_bytes()[:5000]),
        lambda library: library.write_bytes(b"no library"),
        lambda library: library.with_name(library.name + ".sha256").unlink(),
        lambda library: library.with_name(library.name + ".sha256").write_text("0" * 64),
        lambda library: library.chmod(0o777),
    ],
    ids=["empty", "cut", "junk", "no hash", "other hash", "open to others"],
)
def test_a_library_that_is_not_as_compiled_is_made_anew(damage, source, cache):
    """A cut one would end the process by SIGBUS."""
    answer(source)
    fresh = kept(cache).read_bytes()
    # this process has the first one open
    os.replace(shutil.copy(kept(cache), cache / "copy"), kept(cache))
    damage(kept(cache))
    assert compiled_again(source, cache)
    assert len(kept(cache).read_bytes()) == len(fresh)


def test_a_planted_library_is_not_run(source, cache, tmp_path):
    """One of the right name from somebody else: as a file, and as a link with its right hash beside
    it.
    """
    answer(source)
    evil = tmp_path / "evil.cpp"
    evil.write_text(
        '#include <fstream>\nstatic int x = (std::ofstream("'
        + str(tmp_path / "OWNED")
        + '"), 1);\n'
        + CODE
    )
    mine = kept(cache)
    planted = tmp_path / "planted.so"
    subprocess.run(
        [compiler_name(), "-shared", "-fPIC", "-DANSWER=13", str(evil), "-o", str(planted)],
        check=True,
    )
    mine.unlink()
    shutil.copy(planted, mine)
    assert compiled_again(source, cache)
    mine.unlink()
    mine.symlink_to(planted)
    mine.with_name(mine.name + ".sha256").write_text(native.sha256(planted))
    assert compiled_again(source, cache) and not mine.is_symlink()
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.parametrize("given", ["", "relative", "./cgrec"])
def test_never_in_the_working_folder(given, source, cache, tmp_path, monkeypatch):
    """XDG: a value that is no absolute path counts as none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    answer(source)
    assert kept(tmp_path / "home" / ".cache" / "cgrec").exists()
    assert not (tmp_path / "cgrec").exists() and not (tmp_path / "relative").exists()


def test_somebody_elses_folder_is_not_used(source, cache, monkeypatch, tmp_path):
    cache.mkdir(parents=True)
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    with pytest.warns(Remark, match=r"cache/cgrec: expected a folder of yours.*XDG_CACHE_HOME"):
        assert answer(source) == 42
    assert not list(cache.iterdir())


def test_a_cache_that_is_a_file_or_unmakeable(source, cache, monkeypatch):
    cache.parent.mkdir()
    cache.write_text("a file")
    with pytest.warns(Remark, match="cache/cgrec.*XDG_CACHE_HOME"):
        assert answer(source) == 42
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nope")
    native._say_once.cache_clear()
    with pytest.warns(Remark, match="/proc/nope/cgrec"):
        assert answer(source, 43) == 43


def test_a_place_that_runs_no_programs(source, cache, monkeypatch):
    """Mounted noexec: loading fails, and goes on from the temporary folder."""
    real = ctypes.CDLL

    def load(path):
        if str(path).startswith(str(cache)):
            raise OSError(f"{path}: failed to map segment from shared object")
        return real(path)

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.warns(Remark, match="failed to map"):
        assert answer(source) == 42


def test_nowhere_is_the_slow_path_not_a_crash(source, cache, monkeypatch):
    def load(path):
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.warns(Remark), pytest.raises(NoKernel, match="kept nowhere.*XDG_CACHE_HOME"):
        answer(source)


def test_several_processes_at_once(source, cache):
    children = [in_a_child(source) for _ in range(3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [42] * 3
    assert answer(source) == 42 and not compiled_again(source, cache)
    assert not [p for p in cache.iterdir() if p.name.startswith("making_")]


def test_every_native_user_goes_through_it():
    """No other file loads compiled code."""
    package = Path(native.__file__).parent
    users = [
        p.name
        for p in package.rglob("*.py")
        if "CDLL(" in p.read_text() or "load_library(" in p.read_text()
    ]
    assert users == ["native.py"]
