"""`Source`: where the frames of level 0 come from. `make` is shared; a source says how to sample."""

from __future__ import annotations

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..files import open_npz, sha256
from ..frames import Frames
from ..io import check_force_units, record, recorded
from ..progress import Progress
from ..ranges import expect
from ..remarks import remark
from ..run import layout
from ..run.digests import check_all, keep, keep_json, made, open_record
from ..run.events import note
from ..run.lock import only_here
from ..run.recipes import described
from ..run.stages import claim, noted
from ..statistics.sampling import check_sample
from ..system import System

#: {stage: what defines its result}.
Stages = dict[str, dict[str, object]]

#: Pieces of an equilibration, and steps of one at least: each begins with a force call of its own.
EQUILIBRATION, FEWEST = 20, 50
_CHUNK_ARRAYS = ("positions", "forces", "energies", "box")


class SamplingStopped(RuntimeError):
    """A run ended before its time; the message says why, what is kept and how to go on."""


class Source(ABC):
    """Makes the Frames of a level that has no parent. A final class gives `sample` and `recipe`."""

    #: {stage: patterns of what it leaves in the folder of level 0}, in the order of making (see
    #: `cgrec.run.stages`).
    products: Mapping[str, Sequence[str]] = {"sample": (layout.SAMPLING, layout.FRAMES)}

    #: Whether its frames are drawn one by one, so that those that follow each other are no more
    #: alike than any two.
    independent: ClassVar[bool] = False

    @abstractmethod
    def sample(self, folder: Path, seed: int) -> Frames:
        """The frames; whatever is needed to resume is kept in `folder`, which `make` removes once
        the frames are saved. A source may leave `folder`/../frames itself.
        """

    @abstractmethod
    def recipe(self) -> dict[str, object]:
        """What the frames follow from, as json: the arguments, without defaults left out."""

    def files(self) -> list[Path]:
        """Files the frames are made from."""
        return []

    def system(self) -> System | None:
        """Who the sites will be, where that is known before any work, so that wrong labels are
        found; else None.

        Masses and charges need not be those of the frames.
        """
        return None

    def boxes(self) -> NDArray[np.floating] | None:
        """(n, 3, 3) nm, lattice vectors in rows, of the frames it begins with, where they are known
        before any work; else None.
        """
        return None

    def packages(self) -> Sequence[str]:
        """Packages whose version matters."""
        return ("cgrec", "numpy")

    def stages(self, seed: int) -> Stages:
        """{stage: what defines its result}, one of each of `products`."""
        digests = [sha256(path) for path in self.files()]
        return {
            "sample": {
                "source": type(self).__name__,
                "seed": seed,
                **described(self.recipe()),
                "files": digests,
            }
        }

    def claim(self, folder: Path, seed: int, above: Sequence[Path] = (), dry: bool = False) -> None:
        """Refuse another recipe than the one what is in `folder` was made with (see
        `cgrec.run.stages.claim`).

        Raises:
            OtherRecipe: naming the key and both values.
        """
        claim(
            Path(folder), self.stages(seed), self.products, prefix="source.", above=above, dry=dry
        )

    def make(self, folder: Path, seed: int) -> Frames:
        """Frames in `folder`/frames: loaded where they exist, else sampled and saved with
        `folder`/source.json.

        Resuming is calling it again. source.json states class, recipe, seed, versions, units and
        counts, sha256 of files, and under `checks` what was found out about the sample.

        Raises:
            OtherRecipe: `folder` was begun with another recipe or seed.
            Changed: something in it was changed, damaged or removed.
            Busy: another process works in it.
            SamplingStopped: the run could not be finished.
        """
        folder = Path(folder)
        with only_here(folder):
            open_record(folder)
            check_all(folder)
            self.claim(folder, seed)
            with noted(folder):
                self._make(folder, seed)
        return Frames.load(folder / layout.FRAMES)

    def _make(self, folder: Path, seed: int) -> None:
        frames = self.finished(folder)
        if frames is None or not made(folder / layout.SOURCE):
            with recorded() as checks:
                frames = self.sample(folder / layout.SAMPLING, seed) if frames is None else frames
                if frames.forces is not None and "temperature" not in checks:
                    _check_temperature(frames)
            sample, sentence = check_sample(frames)
            if sample and not self.independent and "sample" not in checks:
                checks["sample"] = [sample]
                remark(f"level 0: {sentence}")
            _say(checks)
            about = {**self._description(seed), **_counts(frames), "checks": checks}
            keep_json(folder / layout.SOURCE, about)
        if not made(folder / layout.FRAMES):
            frames.save(folder / layout.FRAMES)
        shutil.rmtree(folder / layout.SAMPLING, ignore_errors=True)

    def finished(self, folder: Path) -> Frames | None:
        """The frames of `folder` where nothing is left to do."""
        return Frames.load(folder / layout.FRAMES) if made(folder / layout.FRAMES) else None

    def _description(self, seed: int) -> dict[str, object]:
        files = [
            {"path": str(p), "sha256": sha256(p), "bytes": p.stat().st_size} for p in self.files()
        ]
        return {
            "source": type(self).__name__,
            "recipe": self.recipe(),
            "seed": seed,
            "files": files,
            "versions": {p: _version(p) for p in self.packages()},
            "units": "nm, ps, K, kJ/mol, kJ/mol/nm",
        }


def _check_temperature(frames: Frames) -> None:
    """Record the temperature the forces imply, with a remark where it is not the one of the sample."""
    check = check_force_units(frames)
    record("temperature", check.to_dict())
    if check.verdict != "ok":
        remark(f"level 0: {check.message}")


def _say(checks: Mapping[str, Sequence[object]]) -> None:
    """Print what was checked and found right; what was not is a remark already."""
    for found in checks.get("temperature", []):
        if isinstance(found, dict) and found["verdict"] == "ok":
            print(f"level 0: {found['message']}", file=sys.stderr)
            note(f"level 0: {found['message']}")


#: K: only liquids of the lightest atoms are so cold, and all usual temperatures in Celsius are less.
COLDEST = 50.0
#: K of 0 degrees Celsius.
CELSIUS = 273.15


def expect_kelvin(where: str, temperature: float) -> None:
    """Refuse what is no temperature, and remark on one that looks like degrees Celsius.

    Args:
        where: class, for the message.
        temperature: K.

    Raises:
        ValueError: it is not positive.
    """
    expect(where, above=0, temperature=temperature)
    if temperature < COLDEST:
        remark(
            f"{where}.temperature: {temperature:g} K was given; if these are degrees Celsius, "
            f"give {temperature + CELSIUS:g}"
        )


class Chunks:
    """Pieces of a run in `folder`, each one file with its frames and the state of the run after the
    last of them.

    A piece is renamed into place when whole, so a run that is killed at any moment goes on from the
    last piece.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        open_record(self.folder, listed=False)  # it is removed when the run is whole
        check_all(self.folder)
        self.paths = sorted(self.folder.glob("chunk_*.npz"))
        self.n_frames = sum(_load_chunk(p)["n_frames"].item() for p in self.paths)

    def append(self, frames: Mapping[str, Sequence[object]], state: Mapping[str, object]) -> None:
        """Write one piece: `frames` holds lists of positions, forces, energies and maybe box;
        `state` arrays or strings.
        """
        arrays = {k: np.array(v) for k, v in frames.items() if len(v)}
        path = self.folder / f"chunk_{len(self.paths):06d}.npz"
        n = len(frames["positions"])
        states = {f"state_{k}": np.asarray(v) for k, v in state.items()}

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                np.savez(file, n_frames=n, **arrays, **states)  # type: ignore[arg-type]

        keep(path, write)
        self.paths.append(path)
        self.n_frames += n

    def state(self) -> dict[str, NDArray[np.generic]] | None:
        """State after the last piece; None before the first."""
        if not self.paths:
            return None
        return {
            k.removeprefix("state_"): v
            for k, v in _load_chunk(self.paths[-1]).items()
            if k.startswith("state_")
        }

    def equilibrate(
        self,
        name: str,
        steps: int,
        advance: Callable[[int, Progress], None],
        state: Callable[[], Mapping[str, object]],
    ) -> None:
        """Steps before the first frame, those that are still to make: shown as they go, and kept
        after each twentieth of them, of `FEWEST` at least.

        Args:
            name: of the engine.
            steps: of all of them.
            advance: makes so many steps, and advances the bar by them.
            state: of the run, as in `append`.
        """
        kept = self.state()
        # frames have no such number: they come after it
        done = 0 if kept is None else int(kept.get("equilibrated", np.int64(steps)))
        if kept is not None and done >= steps:
            return
        with Progress(f"{name}, equilibration", steps, done=done) as bar:
            for n in list(chunk_sizes(done, steps, max(FEWEST, steps // EQUILIBRATION))) or [0]:
                advance(n, bar)
                done += n
                self.append({"positions": []}, {**state(), "equilibrated": done})

    def frames(self, system: System, temperature: float) -> Frames:
        """All pieces as Frames; a box that never changes is kept once."""
        pieces = [c for c in map(_load_chunk, self.paths) if c["n_frames"].item() > 0]
        arrays = {
            n: np.concatenate([c[n] for c in pieces]) for n in _CHUNK_ARRAYS if n in pieces[0]
        }
        box = arrays.get("box")
        if box is not None and (box == box[0]).all():
            arrays["box"] = box[0]
        return Frames(system=system, temperature=temperature, **arrays)


def chunk_sizes(done: int, total: int, size: int) -> Iterator[int]:
    """Sizes of the pieces still to make. They end at multiples of `size`, wherever the run stopped.

    Raises:
        ValueError: more than `total` are made already.
    """
    if done > total:
        raise ValueError(
            f"source.n_frames: expected {done} at least, which are made already, found {total}; "
            f"with {done} the run ends at once"
        )
    while done < total:
        end = min((done // size + 1) * size, total)
        yield end - done
        done = end


def _counts(frames: Frames) -> dict[str, object]:
    return {
        "n_frames": len(frames),
        "n_sites": frames.n_sites,
        "temperature": frames.temperature,
        "system": frames.system.fingerprint(),
        "has": [n for n in _CHUNK_ARRAYS if getattr(frames, n) is not None],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _load_chunk(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with open_npz(path) as archive:
            return {k: archive[k] for k in archive.files}
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read ({error}): remove it and all later pieces, and run the "
            "same command again"
        ) from error
