"""What was made stays as it was made: the sha256 of every product, kept beside it and compared when
it is read.

A folder of products holds digests.json, {file: sha256} in the order of their making, sealed by a
digest of its own. A product is written under a temporary name, its digest is kept, and then it is
renamed: whatever moment a process dies at, either the product is not known yet, or its temporary
file is whole and only the rename is left to do.

A folder of frames counts as one product, known by its header frames.json, which holds the digests
of its arrays. A record also names the folders inside its own that keep records, so that none of
these can vanish without a word.

Whoever makes products holds the lock of their folder and calls `check_all`, which mends what a
dying process left to do. Whoever only reads calls `verify` or lists `faults`, which change nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import json_text, read_json, sha256, sync, write_text, write_whole_as
from ..remarks import kept, remark
from . import layout
from .lock import busy

#: Of a folder of products.
RECORD = layout.RECORD
#: Of a folder of frames; it stands for the folder.
HEADER = "frames.json"

#: Of a folder: sentences said while its products were made.
REMARKS = layout.REMARKS

#: Products from which no other one is made: one that is gone is made anew, whatever came later.
LEAVES = frozenset(
    {
        layout.CONFIG,
        layout.RUN,
        REMARKS,
        layout.REPORT,
        layout.ABOUT_BACKMAPPER,
        layout.BACKMAPPER,
        layout.ABOUT_DISTILLED,
        layout.DISTILLED,
        layout.ABOUT_FRICTION,
        layout.BACKMAPPING,
        layout.AUDIT,
    }
)

#: What was asked for and what was said: not made from products, whatever the order.
_SAID = (REMARKS, layout.RECIPE)

_SEEN: dict[tuple[str, int, int, int], str] = {}


class Changed(ValueError):
    """A product is not what was made: changed, damaged or gone.

    Attributes:
        file: which, where it lies among products; None of others.
    """

    def __init__(self, words: str, file: Path | None = None) -> None:
        super().__init__(words)
        self.file = file


class Gone(Changed):
    """A product is gone, and with it all that was made from it: nothing is wrong, and the command
    that made it makes it anew.
    """


def open_record(folder: Path, listed: bool = True) -> None:
    """Let `folder` keep digests from now on.

    Args:
        folder: of products.
        listed: let the record of the folder around it, where there is one, know of it. False for a
            folder that is removed in the end, and for one that is made without the lock of the
            folder around it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECORD).exists():
        _write(folder, {})
    around = folder.absolute().parent
    if listed and (around / RECORD).exists() and folder.name not in inner(around):
        _write(around, recorded(around), [*inner(around), folder.name])


def keep(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, keep its digest, rename it to `path`."""
    path = Path(path)
    partial = _partial(path)
    write_whole_as(partial, write)
    settle(partial, path)


def keep_json(path: str | Path, value: object) -> None:
    """`keep` `value` as json."""
    keep(path, lambda partial: partial.write_text(json_text(value)))


def keep_sealed(path: str | Path, value: dict[str, object]) -> None:
    """`keep` `value` as json with a digest of itself (see `read_sealed`)."""
    keep(path, lambda partial: partial.write_text(sealed(value)))


@contextmanager
def keep_remarks(folder: Path) -> Iterator[None]:
    """Keep every remark made inside the block in remarks.json of `folder`, a product like any
    other.

    Raises:
        Changed: what was kept there before was changed.
    """
    with kept(folder / REMARKS, keep_json):
        made(folder / REMARKS)
        yield


def settle(partial: Path, path: Path) -> None:
    """Rename a product that is whole, a file or a folder of frames; its digest is kept where the
    folder keeps them.
    """
    gone = _record(path, _digest(partial)) if (path.parent / RECORD).exists() else []
    partial.replace(path)
    sync(path.parent)
    _say_gone(gone)  # when the product is there: what is remarked is a product, too


def recorded(folder: Path) -> dict[str, str]:
    """{product: sha256} in the order of making; empty where the folder keeps none.

    Raises:
        Changed: digests.json was changed or damaged.
    """
    path = folder / RECORD
    return read_sealed(path)["files"] if path.exists() else {}


def kept_by_digest(path: Path) -> bool:
    """Whether a digest of `path` is kept; True also where its folder keeps none at all."""
    return not (path.parent / RECORD).exists() or path.name in recorded(path.parent)


def inner(folder: Path) -> list[str]:
    """Names of the folders inside `folder` that keep records of their own, as far as they were
    listed.

    Raises:
        Changed: digests.json was changed or damaged.
    """
    path = folder / RECORD
    return read_sealed(path).get("folders", []) if path.exists() else []


def made(path: str | Path) -> bool:
    """Whether a product is there, as it was made. One that is gone with all that was made after it
    is made anew.

    Raises:
        Changed: it was changed, or it is gone and what was made after it is still there.
    """
    path = Path(path)
    known = recorded(path.parent)
    if path.name not in known:
        return path.exists()
    fault = _fault(path, known)
    if fault is None:
        return True
    if not isinstance(fault, Gone):
        raise fault
    # What was made from it is gone, too: what is made anew comes after nothing that is not there.
    gone = [path.name, *(n for n in _after(path, known) if not (path.parent / n).exists())]
    _write(path.parent, {name: d for name, d in known.items() if name not in gone})
    for name in gone:
        lost = "what was remarked before is lost" if name == REMARKS else "it is made anew"
        remark(f"{path.parent / name} was made and is gone: {lost}")
    return False


def _record(path: Path, wanted: str) -> list[Path]:
    """Keep the digest of a product. A new one comes after nothing that is not there: a level that
    is refined from now on writes other files than before, and never asks for those that are gone.

    Returns:
        Products that are gone, of which no digest is kept any more.
    """
    folder, known = path.parent, recorded(path.parent)
    gone: list[str] = []
    if path.name not in known and path.name not in (*_SAID, *LEAVES):
        missing = [n for n in known if n not in LEAVES and not (folder / n).exists()]
        gone = [n for n in missing if isinstance(_fault(folder / n, known), Gone)]
    left = {name: digest for name, digest in known.items() if name not in gone}
    _write(folder, {**left, path.name: wanted})
    return [folder / name for name in gone]


def _say_gone(gone: Sequence[Path]) -> None:
    for path in gone:
        remark(f"{path} was made and is gone: what comes now is not made from it")


def note(path: Path) -> None:
    """Keep the digest of a file that was written piece by piece and is whole now."""
    _say_gone(_record(path, _digest(path)))


def check_all(folder: Path) -> None:
    """Compare every product of a folder, and of the folders inside it, with its digest. The caller
    holds the lock.

    One that is gone with all that came after it is left to `made`; of a leaf that other commands
    make (a backmapper) it is said that it is gone, once.

    Raises:
        Changed: one was changed, or it is gone and what was made after it is still there.
    """
    for place in _places(folder):
        known = recorded(place)
        gone = [fault for name in known if (fault := _fault(place / name, known)) is not None]
        for fault in gone:
            if not isinstance(fault, Gone):
                raise fault
        lost = [n for n in known if n in LEAVES and n != REMARKS and not (place / n).exists()]
        for name in lost:
            remark(
                f"{place / name} was made and is gone: put it back, or let the command that "
                "made it make it anew"
            )
        forget(place, lost)


def verify(folder: Path) -> None:
    """Compare every product of a folder, and of the folders inside it, with its digest, and change
    nothing.

    Raises:
        Changed: the first that is not as it was made; of what is only gone, to be made anew, there
            is a remark.
    """
    for fault in faults(folder):
        if not isinstance(fault, Gone):
            raise fault
        remark(str(fault))


def faults(folder: Path, deep: bool = True) -> Iterator[Changed]:
    """What is not as it was made in a folder and, if `deep`, in the folders inside it; nothing is
    changed.
    """
    try:
        places = _places(folder) if deep else [folder]
    except Changed as error:
        yield error
        return
    for place in places:
        try:
            names = recorded(place)
        except Changed as error:
            yield error
            continue
        for name in names:
            try:
                checked(place / name)
            except Changed as error:
                yield error


def lost_record(places: Sequence[Path]) -> Changed | None:
    """What there is to say where one of the folders of a run lost its record, and others have
    theirs.

    A run of an older version has none at all.
    """
    lacking = [p for p in places if _lacks_record(p)]
    return (
        _no_record(lacking[0]) if lacking and any((p / RECORD).exists() for p in places) else None
    )


def checked(path: str | Path) -> Path:
    """`path`, as it was made. A product of which no digest was kept is not compared.

    Raises:
        Changed: it was changed, or it is gone.
    """
    path = Path(path)
    known = recorded(path.parent)
    if path.name not in known:
        return path
    fault = _fault(path, known)
    if fault is None:
        return path
    if recorded(path.parent) != known:  # whoever makes it has just done so
        return checked(path)
    raise fault


def checked_json(path: str | Path) -> Any:
    """Content of a json product, as it was made; {} where it was not made."""
    path = checked(path)
    return read_json(path) if path.exists() else {}


def forget(folder: Path, names: Sequence[str]) -> None:
    """Keep no digest of these products any more: they are about to be removed."""
    known, folders = recorded(folder), inner(folder)
    if set(names) & {*known, *folders}:
        _write(
            folder,
            {n: d for n, d in known.items() if n not in names},
            [n for n in folders if n not in names],
        )


def digest(path: Path) -> str:
    """sha256 of a file, found once for as long as its size, time and place stay."""
    about = path.stat()
    key = (str(path.absolute()), about.st_size, about.st_mtime_ns, about.st_ino)
    if key not in _SEEN:
        _SEEN[key] = sha256(path)
    return _SEEN[key]


def read_sealed(path: Path) -> Any:
    """What `keep_sealed` wrote, without its seal.

    Raises:
        Changed: it was changed since.
    """
    try:
        value = read_json(path)
    except ValueError as error:
        raise Changed(f"{error}. {_way_of_record(path)}", path) from error
    seal = value.pop("seal", None) if isinstance(value, dict) else None
    if seal is None or seal != _seal(value):
        raise Changed(
            f"{path}: its content is not what was written (its own sha256 does not match): it "
            "was changed or damaged. "
            f"{_way_of_record(path)}",
            path,
        )
    return value


def first_changed(folder: Path, files: Mapping[str, str]) -> str | None:
    """The first of {file: sha256} that is gone from a folder or another one; None where all are as
    they were made.
    """
    return next(
        (n for n, d in files.items() if not (folder / n).exists() or digest(folder / n) != d), None
    )


def sealed(value: dict[str, object]) -> str:
    """`value` as json with a digest of itself."""
    return json.dumps({**value, "seal": _seal(value)}, indent=1)


def _way_of_record(path: Path) -> str:
    return (
        f"Put the original back, or remove the folder {path.parent} and run the same command again"
    )


def _seal(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, known: dict[str, str], folders: Sequence[str] | None = None) -> None:
    listed = list(inner(folder) if folders is None else folders)
    about: dict[str, object] = {"files": known, **({"folders": listed} if listed else {})}
    write_text(folder / RECORD, sealed(about))


def _digest(path: Path) -> str:
    if path.is_dir():
        return digest(path / HEADER) if (path / HEADER).exists() else "no frames.json"
    return digest(path)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _places(folder: Path) -> list[Path]:
    """`folder` and all folders inside it that keep records.

    Raises:
        Changed: a record is damaged or gone. A folder that is gone with its record is made anew by
            whoever made it.
    """
    found = [folder]
    for name in inner(folder):
        place = folder / name
        if _lacks_record(place):
            raise _no_record(place)
        found += _places(place) if place.is_dir() else []
    return found


def _lacks_record(place: Path) -> bool:
    """Whether products lie in a folder and no record of them."""
    return not (place / RECORD).exists() and any(place.glob("*.json"))


def _no_record(place: Path) -> Changed:
    return Changed(
        f"{place / RECORD} was made and is gone: put it back, or remove the folder {place} and "
        "run the same command again",
        place / RECORD,
    )


def _fault(path: Path, known: dict[str, str]) -> Changed | None:
    """What is wrong with a product of which a digest is kept."""
    wanted = known[path.name]
    if not path.exists():
        return None if _rolled_forward(path, wanted) else _gone(path, _later(path, known))
    found = _digest(path)
    if found != wanted and not _rolled_forward(path, wanted):
        return _changed(path, path if path.is_file() else path / HEADER, wanted, found, known)
    return _fault_inside(path, known) if path.is_dir() else None


def _fault_inside(folder: Path, known: dict[str, str]) -> Changed | None:
    """What is wrong with the arrays of a folder of frames whose header is as it was made."""
    files = read_json(folder / HEADER).get("files") or {}
    name = first_changed(folder, files)
    if name is None:
        return None
    found = digest(folder / name) if (folder / name).exists() else "none"
    return _changed(folder, folder / name, files[name], found, known)


def _changed(product: Path, file: Path, wanted: str, found: str, known: dict[str, str]) -> Changed:
    other = f"another ({found[:12]}...)" if file.exists() else "none"
    return Changed(
        f"{file}: expected the file that was made (sha256 {wanted[:12]}...), found {other}: it "
        "was changed or damaged. Put the "
        "original back, or remove "
        f"{_listed(product.parent, product.name, *_later(product, known))} and run the same "
        "command again",
        file,
    )


def _rolled_forward(path: Path, wanted: str) -> bool:
    """Do the rename that a dying process left to do; leave it to one that is alive."""
    partial = _partial(path)
    try:
        if path.is_dir() or not partial.exists() or _digest(partial) != wanted:
            return False
        if not busy(path.parent):
            partial.replace(path)
            sync(path.parent)
    except FileNotFoundError:  # its owner has just renamed it
        return True
    return True


def _later(path: Path, known: dict[str, str]) -> list[str]:
    """Products made after `path`, and perhaps from it, that are there."""
    return [name for name in _after(path, known) if (path.parent / name).exists()]


def _after(path: Path, known: dict[str, str]) -> list[str]:
    if path.name in LEAVES:
        return []
    names = list(known)
    return [name for name in names[names.index(path.name) + 1 :] if name not in _SAID]


def _gone(path: Path, later: list[str]) -> Changed:
    also = (
        f"remove what was made after it ({_listed(path.parent, *later)})" if later else "leave it"
    )
    kind = Changed if later else Gone
    return kind(
        f"{path} was made and is gone: put it back, or {also} and run the same command again, "
        "which makes it anew",
        path,
    )


def _listed(folder: Path, *names: str) -> str:
    return ", ".join(str(folder / name) for name in names)
