"""Damage each product of a run, one at a time, and see whether it is noticed and named.

One flipped bit in the middle, the second half cut off, the file removed: in every file of a finished run and of one that was stopped in the
training and in the run of a level. Noticed is a refusal that names the file (or its folder) and a way out, by the same command or by
`cgrec.load`; or a remark that names it, after which all products are equal again. What is neither is shown and counted as missed.

    python scripts/benchmarks/corruption.py
    python scripts/benchmarks/corruption.py --every 5
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from crash_points import CHAIN, Campaign, child, different, names_a_way, products

import cgrec

#: Written anew by every command, read by none; or without a word that counts for a result.
NO_PRODUCTS = {"report.html", ".lock", "remarks.json", "said", "operations"}
HOW = ("flip", "cut", "remove")


def damage(path: Path, how: str) -> None:
    """One flipped bit, the second half cut off, or gone."""
    content = path.read_bytes()
    half = len(content) // 2
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
    """What reading a run says when it refuses; empty where it does not."""
    said = folder.with_name("loaded")
    pid = os.fork()
    if pid == 0:
        words = ""
        try:
            read_all(folder)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
        said.write_text(words)
        os._exit(0)
    os.waitpid(pid, 0)
    return said.read_text()


class Damaged:
    """A run that is damaged again and again.

    Args:
        campaign: the command, and the products of a run that was let alone.
        state: folder of the run as it is damaged.
        name: of the state.
    """

    def __init__(self, campaign: Campaign, state: Path, name: str) -> None:
        self.campaign, self.state, self.name = campaign, state, name
        self.files = [
            p.relative_to(state)
            for p in sorted(state.rglob("*"))
            if p.is_file() and p.name not in NO_PRODUCTS and p.stat().st_size > 0
        ]
        self.outcomes: Counter[str] = Counter()

    def one(self, file: Path, how: str) -> None:
        """Damage one file, read and go on; count what came of it."""
        folder = self.campaign.folder
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.state, folder)
        damage(folder / file, how)
        words = loaded(folder)
        code, said, _ = child(self.campaign.full(), folder)
        named = file.name in said or (how == "remove" and str(file.parent) in said)
        if code and named and names_a_way(said):
            outcome = "refused by name"
        elif code:
            outcome = "STUCK"
        elif different(products(folder), self.campaign.wanted):
            outcome = "MISSED"
        elif named or file.name in words:
            outcome = "named and made anew"
        else:
            outcome = "made anew without a word" if how == "remove" else "no harm without a word"
        self.outcomes[outcome] += 1
        if outcome in ("MISSED", "STUCK", "no harm without a word", "made anew without a word"):
            lines = [line for line in said.strip().splitlines() if line.strip()]
            last = lines[-1][-300:] if lines and code else ""
            print(f"  {self.name}: {how} {file}: {outcome} {last}", flush=True)


def main(arguments: list[str] | None = None) -> dict[str, Counter[str]]:
    """Damage a finished run and unfinished ones; print what was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take each n-th file")
    parser.add_argument("--states", nargs="+", default=["finished", "training", "run"])
    parser.add_argument("--how", nargs="+", default=list(HOW), choices=HOW)
    options = parser.parse_args(arguments)
    work, outcomes = Path(tempfile.mkdtemp(prefix="corruption_")), {}
    torch.set_num_threads(1)
    try:
        campaign = Campaign("climb", None, work, "kill")
        for name in options.states:
            state = work / name
            if name == "finished":
                shutil.copytree(campaign.reference, state)
            else:
                shutil.copytree(stopped(campaign, name), state)
            damaged = Damaged(campaign, state, name)
            for file in damaged.files[:: options.every]:
                for how in options.how:
                    damaged.one(file, how)
            outcomes[name] = damaged.outcomes
            said = ", ".join(f"{n} {what}" for what, n in damaged.outcomes.items())
            print(f"{name}: {len(damaged.files)} files: {said}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return outcomes


def stopped(campaign: Campaign, where: str) -> Path:
    """The folder of a run that was killed after the first checkpoint of level 2's training, or of its run."""
    file = {"training": "level2/training.pt", "run": "level2/frames.partial/checkpoint.pt"}[where]
    first = next(k for k, o in enumerate(campaign.operations) if o == f"os.rename {file}.partial")
    child(campaign.full(), campaign.fresh(), first + 2)
    return campaign.folder


__all__ = ["CHAIN", "main"]

if __name__ == "__main__":
    counted = main()
    sys.exit(any(o["MISSED"] or o["STUCK"] for o in counted.values()))
