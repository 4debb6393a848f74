"""What was made stays as it was made: the sha256 of every product, kept beside it and compared when it is read.

A folder of products holds digests.json, {file: sha256} in the order of their making, sealed by a digest of its own. A
product is written under a temporary name, its digest is kept, and then it is renamed: whatever moment a process dies
at, either the product is not known yet, or its temporary file is whole and only the rename is left to do.

A folder of frames counts as one product, known by its header frames.json, which holds the digests of its arrays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .files import read_json, sha256, sync, write_json, write_whole_as
from .remarks import remark

#: Of a folder of products.
RECORD = "digests.json"
#: Of a folder of frames; it stands for the folder.
HEADER = "frames.json"

#: Products from which no other one is made: one that is gone is made anew, whatever came later.
LEAVES = frozenset(
    {"config.yaml", "run.json", "report.json", "backmapper.json", "backmapper.pt", "distilled.json", "distilled.pt", "friction.json", "backmapping.json", "audit.json"}
)

_SEEN: dict[tuple[str, int, int, int], str] = {}


class Changed(ValueError):
    """A product is not what was made: changed, damaged or gone."""


def open_record(folder: Path) -> None:
    """Let `folder` keep digests from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECORD).exists():
        write_sealed(folder / RECORD, {"files": {}})


def keep(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file, keep its digest, rename it to `path`."""
    path = Path(path)
    partial = _partial(path)
    write_whole_as(partial, write)
    settle(partial, path)


def keep_json(path: str | Path, value: Any) -> None:
    """`keep` `value` as json."""
    keep(path, lambda partial: partial.write_text(json.dumps(value, indent=1)))


def settle(partial: Path, path: Path) -> None:
    """Rename a product that is whole, a file or a folder of frames; its digest is kept where the folder keeps them."""
    if (path.parent / RECORD).exists():
        known = recorded(path.parent)
        known[path.name] = _digest(partial)
        _write(path.parent, known)
    partial.replace(path)
    sync(path.parent)


def recorded(folder: Path) -> dict[str, str]:
    """{product: sha256} in the order of making; empty where the folder keeps none.

    Raises:
        Changed: digests.json was changed or damaged.
    """
    path = folder / RECORD
    return read_sealed(path)["files"] if path.exists() else {}


def made(path: str | Path) -> bool:
    """Whether a product is there, as it was made. One that is gone with all that was made after it is made anew.

    Raises:
        Changed: it was changed, or it is gone and what was made after it is still there.
    """
    path = Path(path)
    known = recorded(path.parent)
    if path.name not in known:
        return path.exists()
    if not path.exists() and not _rolled_forward(path, known[path.name]):
        later = _later(path, known)
        if later:
            raise _gone(path, later)
        remark(f"{path} was made and is gone: it is made anew")
        del known[path.name]
        _write(path.parent, known)
        return False
    checked(path)
    return True


def note(path: Path) -> None:
    """Keep the digest of a file that was written piece by piece and is whole now."""
    known = recorded(path.parent)
    _write(path.parent, {**known, path.name: _digest(path)})


def check_all(folder: Path) -> None:
    """Compare every product of a folder with its digest. One that is gone with all that came after it is left to `made`.

    Raises:
        Changed: one was changed, or it is gone and what was made after it is still there.
    """
    known = recorded(folder)
    for name, wanted in known.items():
        path = folder / name
        if path.exists() or _rolled_forward(path, wanted):
            checked(path)
        elif _later(path, known):
            raise _gone(path, _later(path, known))


def checked(path: str | Path) -> Path:
    """`path`, as it was made. A product of which no digest was kept is not compared.

    Raises:
        Changed: it was changed, or it is gone.
    """
    path = Path(path)
    known = recorded(path.parent)
    if path.name not in known:
        return path
    if not path.exists() and not _rolled_forward(path, known[path.name]):
        raise _gone(path, _later(path, known))
    found = _digest(path)
    if found != known[path.name] and not _rolled_forward(path, known[path.name]):
        raise Changed(
            f"{path}: expected the file that was made (sha256 {known[path.name][:12]}...), found another "
            f"({found[:12]}...): it was changed or damaged. Put the original back, or remove "
            f"{_listed(path.name, *_later(path, known))} and run the same command again"
        )
    return path


def checked_json(path: str | Path) -> Any:
    """Content of a json product, as it was made; {} where it was not made."""
    path = checked(path)
    return read_json(path) if path.exists() else {}


def forget(folder: Path, names: Sequence[str]) -> None:
    """Keep no digest of these products any more: they are about to be removed."""
    known = recorded(folder)
    if set(names) & set(known):
        _write(folder, {name: d for name, d in known.items() if name not in names})


def digest(path: Path) -> str:
    """sha256 of a file, found once for as long as its size, time and place stay."""
    about = path.stat()
    key = (str(path.absolute()), about.st_size, about.st_mtime_ns, about.st_ino)
    if key not in _SEEN:
        _SEEN[key] = sha256(path)
    return _SEEN[key]


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as json with a digest of itself."""
    write_json(path, {**value, "seal": _seal(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote, without its seal.

    Raises:
        Changed: it was changed since. ValueError: it is no json.
    """
    value = read_json(path)
    seal = value.pop("seal", None) if isinstance(value, dict) else None
    if seal is None or seal != _seal(value):
        raise Changed(
            f"{path}: its content is not what was written (its own sha256 does not match): it was changed or damaged. Put "
            f"the original back, or remove the folder {path.parent} and run the same command again"
        )
    return value


def _seal(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, known: dict[str, str]) -> None:
    write_sealed(folder / RECORD, {"files": known})


def _digest(path: Path) -> str:
    if path.is_dir():
        return digest(path / HEADER) if (path / HEADER).exists() else "no frames.json"
    return digest(path)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _rolled_forward(path: Path, wanted: str) -> bool:
    """Do the rename that a dying process left to do."""
    partial = _partial(path)
    if path.is_dir() or not partial.exists() or _digest(partial) != wanted:
        return False
    partial.replace(path)
    sync(path.parent)
    return True


def _later(path: Path, known: dict[str, str]) -> list[str]:
    """Products made after `path` that are there."""
    names = list(known)
    if path.name in LEAVES:
        return []
    return [n for n in names[names.index(path.name) + 1 :] if (path.parent / n).exists()]


def _gone(path: Path, later: list[str]) -> Changed:
    also = f"remove what was made after it ({_listed(*later)})" if later else "leave it"
    return Changed(
        f"{path} was made and is gone: put it back, or {also} and run the same command again, which makes it anew"
    )


def _listed(*names: str) -> str:
    return ", ".join(names)
