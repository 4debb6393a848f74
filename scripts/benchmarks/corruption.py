"""Damage each product of a run, one at a time, and see whether it is noticed and named.

One flipped bit in the middle, the second half cut off, the file removed: in every file of a
finished run and of one that was stopped in the training and in the run of a level. Three readers
meet the damage: the same command, `cgrec.load`, and, of a finished run, `cgrec report`.

Noticed by the command is a refusal that names the file (or its folder) and a way out, which is then
followed: the files it names are removed, the command is given again, and every product must be
equal to the undamaged one. Or a remark that names the file, after which all products are equal at
once. Remarks that are lost cannot be made again: there the new remarks.json must say so. What is
none of this is shown and counted as missed. `cgrec.load` and `cgrec report` notice when they refuse
or say the file by name; what they do not is shown and counted.

report.html is no product: it is drawn anew at the end of every climb and by `cgrec report`, so that
damage to it is healed by either. .lock is that of a process that was killed. What lies in the
arrays of frames.partial behind the last checkpoint was not written yet: damage there is
overwritten. So arrays of a run that was stopped are damaged where it has written.

    python scripts/benchmarks/corruption.py
    python scripts/benchmarks/corruption.py --every 5
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import torch
from crash_points import CHAIN, Campaign, child, different, names_a_way, products

import cgrec

#: Written anew by every command, read by none.
NO_PRODUCTS = {"report.html", ".lock", "events.jsonl", "log.txt"}
HOW = ("flip", "cut", "remove")
#: Outcomes that are good.
GOOD = {
    "refused by name, and the way out works",
    "named and made anew",
    "named, and the loss is remarked",
}


def damage(path: Path, how: str) -> None:
    """One flipped bit, the second half cut off, or gone."""
    content = path.read_bytes()
    unfinished = path.parent.name.endswith(".partial") and path.suffix == ".npy"
    half = len(content) // (8 if unfinished else 2)
    if how == "remove":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:half])
    else:
        path.write_bytes(content[:half] + bytes([content[half] ^ 4]) + content[half + 1 :])


def read_all(folder: Path) -> None:
    """Everything `cgrec.load` gives of a run."""
    for level in cgrec.load(folder).levels:
        for name in ("report", "simulation", "frames", "targets", "mapping", "potential"):
            try:
                getattr(level, name)
            except FileNotFoundError:
                if not (level.folder / "digests.json").exists():
                    raise


def loaded(folder: Path) -> str:
    """What reading a run says: its remarks, and its refusal."""
    said = folder.with_name("loaded")
    pid = os.fork()
    if pid == 0:
        words = ""
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            try:
                read_all(folder)
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
        said.write_text("\n".join([*(str(r.message) for r in remarks), words]))
        os._exit(0)
    os.waitpid(pid, 0)
    return said.read_text()


def to_remove(said: str) -> list[Path]:
    """The files and folders a refusal names to be removed."""
    way = re.search(
        r"(/[^ ]*?)(?::? ).*remove (?:what was made after it \(|the folder )?([^()]+?)\)? and run "
        r"the same command",
        said,
    )
    if way is None:
        return []
    return [Path(way[1] if name == "it" else name) for name in way[2].split(", ")]


class Damaged:
    """A run that is damaged again and again.

    Args:
        campaign: the command, and the products of a run that was let alone.
        state: folder of the run as it is damaged.
        name: of the state.
    """

    def __init__(self, campaign: Campaign, state: Path, name: str) -> None:
        self.campaign = campaign
        self.state = state
        self.name = name
        self.files = [
            p.relative_to(state)
            for p in sorted(state.rglob("*"))
            if p.is_file() and p.name not in NO_PRODUCTS and p.stat().st_size > 0
        ]
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def one(self, file: Path, how: str) -> None:
        """Damage one file, read, report and go on; count what came of it."""
        folder = self.campaign.folder
        self._damaged(file, how)
        words = loaded(folder)
        self._count("load", file, how, "named" if self._names(words, file, how) else "not named")
        if self.name == "finished":
            _, words, _ = child(["report", f"run={folder}"], folder)
            self._count(
                "report", file, how, "named" if self._names(words, file, how) else "not named"
            )
        self._damaged(file, how)
        code, said, _ = child(self.campaign.full(), folder)
        self._count("climb", file, how, self._outcome(file, how, code, said), said if code else "")

    def _damaged(self, file: Path, how: str) -> None:
        shutil.rmtree(self.campaign.folder, ignore_errors=True)
        shutil.copytree(self.state, self.campaign.folder)
        damage(self.campaign.folder / file, how)

    def _names(self, said: str, file: Path, how: str) -> bool:
        return str(file) in said or (
            how == "remove" and f"{self.campaign.folder / file.parent} " in said
        )

    def _outcome(self, file: Path, how: str, code: int, said: str) -> str:
        """What came of the same command after the damage."""
        folder, named = self.campaign.folder, self._names(said, file, how)
        if code and not (named and names_a_way(said)):
            return "STUCK"
        if code:
            return self._followed(said)
        found = different(products(folder), self.campaign.wanted)
        if (
            found == [str(file)]
            and file.name == "remarks.json"
            and named
            and str(file) in (folder / file).read_text()
        ):
            return "named, and the loss is remarked"
        if found:
            return "MISSED"
        return "named and made anew" if named else "no harm without a word"

    def _followed(self, said: str) -> str:
        """Remove what the refusal says, as often as it refuses, and give the command again."""
        for _ in range(4):
            for path in to_remove(said):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            code, said, _ = child(self.campaign.full(), self.campaign.folder)
            if not code:
                break
        else:
            return "THE WAY OUT LEADS NOWHERE"
        found = different(products(self.campaign.folder), self.campaign.wanted)
        lost = [name for name in found if not name.endswith("remarks.json")]
        return (
            f"THE WAY OUT LEADS ELSEWHERE: {', '.join(lost[:3])}"
            if lost
            else "refused by name, and the way out works"
        )

    def _count(self, reader: str, file: Path, how: str, outcome: str, said: str = "") -> None:
        self.outcomes[reader, outcome] += 1
        if outcome not in (*GOOD, "named"):
            lines = [line for line in said.strip().splitlines() if line.strip()]
            print(
                f"  {self.name}, {reader}: {how} {file}: {outcome} "
                f"{lines[-1][-400:] if lines else ''}",
                flush=True,
            )


def main(arguments: list[str] | None = None) -> dict[str, Counter[tuple[str, str]]]:
    """Damage a finished run and unfinished ones; print what was noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="take each n-th file")
    parser.add_argument("--only", default="", help="files whose path has this in it")
    parser.add_argument("--states", nargs="+", default=["finished", "training", "run"])
    parser.add_argument("--how", nargs="+", default=list(HOW), choices=HOW)
    options = parser.parse_args(arguments)
    work, outcomes = Path(tempfile.mkdtemp(prefix="corruption_")), {}
    torch.set_num_threads(1)
    try:
        campaign = Campaign("climb", None, work, "kill")
        for name in options.states:
            state = work / f"state_{name}"
            if name == "finished":
                shutil.copytree(campaign.reference, state)
            else:
                shutil.copytree(stopped(campaign, name), state)
            damaged = Damaged(campaign, state, name)
            for file in [f for f in damaged.files if options.only in str(f)][:: options.every]:
                for how in options.how:
                    damaged.one(file, how)
            outcomes[name] = damaged.outcomes
            print(f"{name}: {len(damaged.files)} files", flush=True)
            for (reader, what), n in sorted(damaged.outcomes.items()):
                print(f"    {reader}: {n} {what}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return outcomes


def stopped(campaign: Campaign, where: str) -> Path:
    """The folder of a run that was killed after the first checkpoint of level 2's training, or of
    its run.
    """
    file = {"training": "level2/training.pt", "run": "level2/frames.partial/checkpoint.pt"}[where]
    first = next(k for k, o in enumerate(campaign.operations) if o == f"os.rename {file}.partial")
    child(campaign.full(), campaign.fresh(), first + 2)
    return campaign.folder


__all__ = ["CHAIN", "main"]

if __name__ == "__main__":
    counted = main()
    sys.exit(
        any(outcome not in (*GOOD, "named") for state in counted.values() for _, outcome in state)
    )
