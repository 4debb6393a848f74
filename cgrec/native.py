"""C++ sources of the package, compiled on the spot for the machine at hand and kept in the user's
cache folder.

What is loaded runs with the user's rights. So the folder is the user's own, closed to others, and a
library is loaded only if it is a file of the user whose content has the hash that was written when
it was compiled: one that was cut (whose pages would end the process), replaced or planted is
compiled anew.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch

from .files import sha256
from .remarks import remark

FLAGS = [
    "-O3",
    "-march=native",
    "-ffast-math",
    "-fno-strict-aliasing",
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-fopenmp",
    "-w",
]
if platform.machine() in ("x86_64", "AMD64"):
    # The approximate reciprocal of a square root is 14 times less exact than single precision.
    FLAGS.append("-mno-recip")


#: What to do about a cache folder that cannot be used.
_WAY = (
    "set XDG_CACHE_HOME to a folder of yours where programs may run, or compiled code is made anew "
    "in every run, if at all"
)


class NoKernel(RuntimeError):
    """Why there is no compiled code: no compiler, sizes it cannot have, another device."""


def native_library(source: Path, defines: tuple[str, ...] = (), header: str = "") -> ctypes.CDLL:
    """`source` compiled with `defines` and a GENERATED `header`: a few seconds, once for each of
    the three and machine. Files that it includes by a name in quotes count as part of it.

    Raises:
        NoKernel: there is no compiler, it failed, or nowhere is a place to load its library from.
    """
    compiler = compiler_name()
    what = [*_texts(source), header, *FLAGS, *defines, processor(compiler), torch.__version__]
    name = f"{source.stem}_{hashlib.sha256(chr(10).join(what).encode()).hexdigest()[:20]}.so"
    reasons = []
    for folder in _folders():
        try:
            if _is_whole(folder / name):
                return ctypes.CDLL(str(folder / name))
            return _built(compiler, source, defines, header, folder / name)
        except OSError as error:  # full, read-only, or mounted without leave to run programs
            reasons.append(f"{folder}: {error.strerror or error}")
            _say_once(f"{reasons[-1]}: compiled code cannot be used from there; {_WAY}")
    raise NoKernel(
        f"compiled code can be kept nowhere ({'; '.join(reasons) or 'no folder'}); {_WAY}"
    )


def _texts(source: Path) -> Iterator[str]:
    """The text of `source` and of what it includes, relative to itself."""
    text = source.read_text()
    yield text
    for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
        yield from _texts(source.parent / name)


def _folders() -> Iterator[Path]:
    """Where a library may lie: the user's cache, and where that cannot be used a folder for this
    process alone.
    """
    try:
        yield cache_folder()
    except OSError as error:
        _say_once(f"{error}; {_WAY}")
    try:
        yield temporary_folder()
    except OSError:  # no temporary folder either
        return


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME`/cgrec, else ~/.cache/cgrec, made and closed to others.

    Raises:
        OSError: it cannot be made, or is not the user's.
    """
    # empty or relative counts as not given, by the XDG rules
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    except RuntimeError as error:
        raise OSError(f"there is no home folder ({error})") from error
    folder = home / "cgrec"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            raise OSError(
                f"{folder}: expected a folder of yours, found one of user {about.st_uid}, or a link"
            )
        if stat.S_IMODE(about.st_mode) & 0o077:
            folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & getattr(
            os, "ST_RDONLY", 1
        ):
            raise OSError(f"{folder}: expected a folder that can be written to, found none")
    except OSError as error:
        raise OSError(
            str(error) if error.errno is None else f"{folder}: {error.strerror}"
        ) from error
    return folder


@lru_cache
def temporary_folder() -> Path:
    """A folder of this process alone, removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="cgrec_"))  # mode 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@lru_cache
def _say_once(sentence: str) -> None:
    remark(sentence)


def _is_whole(library: Path) -> bool:
    """Whether `library` is the user's own file, closed to others, with the content that was
    compiled.
    """
    beside = _hash_of(library)
    if not library.exists() or not beside.exists():
        return False
    for path in (library, beside):
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
            return False
    return beside.read_text().strip() == sha256(library)


def _hash_of(library: Path) -> Path:
    return library.with_name(f"{library.name}.sha256")


def _built(
    compiler: str, source: Path, defines: tuple[str, ...], header: str, library: Path
) -> ctypes.CDLL:
    """Compile, load and keep.

    Another process may do the same at the same time: each has a folder of its own and loads from
    there. Renamed last, the library first: a kill in between leaves one whose hash does not fit,
    which is compiled anew.

    Raises:
        NoKernel: the compiler failed. OSError: the library can be kept or loaded here no more.
    """
    own = Path(tempfile.mkdtemp(prefix="making_", dir=library.parent))
    try:
        generated, made = own / "generated.h", own / library.name
        generated.write_text(header)
        flags = [*FLAGS, *defines, f'-DGENERATED="{generated}"']
        done = subprocess.run(
            [compiler, *flags, str(source), "-o", str(made), *_openmp()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoKernel(f"{compiler} failed: {done.stderr.strip()[:1500]}")
        made.chmod(0o700)
        loaded = ctypes.CDLL(str(made))
        (own / "hash").write_text(sha256(made))
        made.rename(library)
        (own / "hash").rename(_hash_of(library))
        return loaded
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _openmp() -> list[str]:
    """Link torch's own OpenMP library: a second one would bring a second pool of threads that
    fights the first.
    """
    found = next(iter((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")), None)
    return [] if found is None else [str(found), f"-Wl,-rpath,{found.parent}"]


def compiler_name() -> str:
    """The C++ compiler to use. Raises NoKernel where there is none."""
    names = (os.environ.get("CXX"), "g++", "c++", "clang++")
    found = next((name for name in names if name and shutil.which(name)), None)
    if found is None:
        raise NoKernel("no C++ compiler found: install g++ or clang++, or set CXX")
    return found


@lru_cache
def processor(compiler: str) -> str:
    """What the compiler says of itself and of this processor, as predefined macros."""
    command = [compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
