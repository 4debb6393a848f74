"""C++ sources of the package, compiled on the spot for the machine at hand and kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import torch

FLAGS = [
    "-O3", "-march=native", "-ffast-math", "-fno-strict-aliasing", "-std=c++17", "-shared", "-fPIC", "-fopenmp", "-w",
]  # fmt: skip
if platform.machine() in ("x86_64", "AMD64"):
    # The approximate reciprocal of a square root is 14 times less exact than single precision.
    FLAGS.append("-mno-recip")


class NoKernel(RuntimeError):
    """Why there is no compiled code: no compiler, sizes it cannot have, another device."""


def native_library(source: Path, defines: tuple[str, ...] = (), header: str = "") -> ctypes.CDLL:
    """`source` compiled with `defines` and a GENERATED `header`: a few seconds, once for each of the three and machine.

    Raises:
        NoKernel: there is no compiler, or it failed.
    """
    compiler = compiler_name()
    what = [source.read_text(), header, *FLAGS, *defines, processor(compiler), torch.__version__]
    key = hashlib.sha256("\n".join(what).encode()).hexdigest()[:20]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cgrec"
    library = folder / f"{source.stem}_{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _build(compiler, source, defines, header, library)
    return ctypes.CDLL(str(library))


def _build(compiler: str, source: Path, defines: tuple[str, ...], header: str, library: Path) -> None:
    # Own names while it is made, renamed last: two processes may build it at once.
    mine, generated = (library.with_suffix(f".{os.getpid()}{end}") for end in ("", ".h"))
    generated.write_text(header)
    flags = [*FLAGS, *defines, f'-DGENERATED="{generated}"']
    try:
        done = subprocess.run(
            [compiler, *flags, str(source), "-o", str(mine), *_openmp()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoKernel(f"{compiler} failed: {done.stderr.strip()[:1500]}")
        mine.rename(library)
    finally:
        generated.unlink()


def _openmp() -> list[str]:
    """Link torch's own OpenMP library: a second one would bring a second pool of threads that fights the first."""
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
