"""A package as a chain of levels: every file of it compared with its sha256."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ..backmapping import DescentStep
from ..backmapping.base import Options
from ..chain.chain import Chain
from ..files import missing, sha256
from ..frames import Frames
from ..level import Level
from ..native import cache_folder, temporary_folder
from ..run import layout
from ..verdict import word_in
from .manifest import CARD, ENDING, MANIFEST, Manifest, check_name


class Damaged(ValueError):
    """A package whose content is not what was packed."""


class Package(Chain):
    """The levels of a package, each as a run has them: `package.level(2).potential`, `.mapping`,
    `.guard`, `.frames`, `.calculator()`.

    It can be looked at, exported, run and gone down, and not be changed.

    Attributes:
        path: of the package.
        about: what it says of itself.
        card: the model card, Markdown.
    """

    def __init__(self, path: Path, folder: Path, about: Manifest) -> None:
        super().__init__(folder)
        self.path = path
        self.about = about
        self.card = (folder / CARD).read_text()

    def level(self, number: int) -> Level:
        """The level of this number.

        Raises:
            ValueError: it is not in the package.
        """
        for level in self.levels:
            if layout.level_number(level.folder) == number:
                return level
        known = ", ".join(str(entry["number"]) for entry in self.about.levels)
        raise ValueError(f"{self.path}: expected level {known}, found {number}")

    def steps_down(
        self,
        frames: Frames,
        to: int = 0,
        *,
        n_draws: int = 1,
        generator: torch.Generator | None = None,
        resample_below: float = 0.5,
        rounds: int = 5,
        fit: Options | None = None,
    ) -> Iterator[tuple[Frames, DescentStep]]:
        """As `Chain.steps_down`, with the backmappers that are in the package.

        Raises:
            ValueError: one that is needed is not in it; or as `Chain.steps_down`.
        """
        folders = {layout.level_number(level.folder): level.folder for level in self.levels}
        if min(folders) > 0:
            raise ValueError(
                f"{self.path} holds level {min(folders)} alone: expected the levels below it to go "
                "down to; pack the run again without alone=true"
            )
        for k in range(self.level_of(frames), to, -1):
            if not (folders[k] / layout.BACKMAPPER).exists():
                raise ValueError(
                    f"{self.path} holds no backmapper of level {k}: expected one to go down with; "
                    "cgrec descend in the run it was packed from makes it, then pack it again"
                )
        return super().steps_down(
            frames,
            to,
            n_draws=n_draws,
            generator=generator,
            resample_below=resample_below,
            rounds=rounds,
            fit=fit,
        )

    def __repr__(self) -> str:
        each = "; ".join(
            f"level {e['number']}: {e['n_sites']} sites, {word_in(e) or 'no verdict'}"
            for e in self.about.levels
        )
        return f"Package({self.path.name}: {each})"


def open_package(path: str | Path) -> Package:
    """The package in a file. It is unpacked once, into the user's cache.

    Raises:
        FileNotFoundError: no such file.
        Damaged: a file inside is not the one that was packed.
        ValueError: no package of cgrec.
    """
    path = Path(path)
    if not path.exists():
        raise missing("package", path)
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path}: expected a package of cgrec (x{ENDING}, made by cgrec package), found a file "
            f"of {path.stat().st_size} bytes that is none, or was cut"
        )
    try:
        return _opened(path)
    except zipfile.BadZipFile as error:
        raise Damaged(f"{path} is damaged ({error}): get it again") from error


def _opened(path: Path) -> Package:
    with zipfile.ZipFile(path) as archive:
        about = _manifest(path, archive)
        place = _places() / sha256(path)[:32]
        if not _is_whole(place, about):
            _unpack(path, archive, about, place)
    return Package(path, place, about)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """What it says of itself; refused where that is not what the archive holds."""
    names = archive.namelist()
    if MANIFEST not in names:
        raise ValueError(
            f"{path}: expected a package of cgrec, found an archive without {MANIFEST} "
            f"({', '.join(names[:3]) or 'empty'}, ...)"
        )
    try:
        data = json.loads(archive.read(MANIFEST))
    except ValueError as error:
        raise Damaged(f"{path}: {MANIFEST} in it is no json ({error}): get it again") from error
    about = Manifest.from_json(str(path), data)
    for name in names:
        check_name(str(path), name)
    wrong = sorted(set(names) ^ {*about.files, MANIFEST})
    if wrong or len(set(names)) != len(names):
        found = wrong[0] if wrong else "a name twice"
        raise Damaged(
            f"{path}: expected the files that {MANIFEST} lists, found a difference in {found}: it "
            "was changed; get it again"
        )
    return about


def _places() -> Path:
    """Where packages are unpacked to: the user's cache, else a folder of this process."""
    try:
        folder = cache_folder() / "packages"
        folder.mkdir(exist_ok=True)
    except OSError:
        return temporary_folder()
    return folder


def _is_whole(place: Path, about: Manifest) -> bool:
    """Whether every file was unpacked, and none was changed since."""
    return place.is_dir() and all(
        (place / name).is_file() and sha256(place / name) == entry["sha256"]
        for name, entry in about.files.items()
    )


def _unpack(path: Path, archive: zipfile.ZipFile, about: Manifest, place: Path) -> None:
    """Bring every file to `place`, all or none.

    Raises:
        Damaged: one is not what was packed; it is named.
    """
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=place.parent))
    try:
        for name, entry in about.files.items():
            if archive.getinfo(name).file_size != entry["bytes"]:  # before it fills the disk
                raise _other(path, name)
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as packed, (partial / name).open("wb") as file:
                shutil.copyfileobj(packed, file)
            if sha256(partial / name) != entry["sha256"]:
                raise _other(path, name)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    except OSError:
        if not _is_whole(place, about):  # else another process was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _other(path: Path, name: str) -> Damaged:
    return Damaged(
        f"{path}: {name} in it is not the file that was packed (its sha256 differs): the package "
        "was damaged or changed; get it again"
    )


def is_package(path: str | Path) -> bool:
    """Whether a path names a file, which only a package can be, and no folder of a run."""
    return Path(path).is_file() or (Path(path).suffix == ENDING and not Path(path).is_dir())
