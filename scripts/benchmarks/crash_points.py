"""Stop a whole small run before every one of its file operations, resume it by the same command,
compare every product.

A child process counts the file operations it makes below its run folder (opened for writing,
renamed, removed, forced to the disk, saved by torch, memory maps flushed) and ends before the k-th
as SIGKILL would, or is told there that the disk is full. A second child gives the same command.
What counts: every product equal to those of a run that was never stopped, or a refusal that names a
file and says what to do. A result that differs with exit code 0 is the fault this looks for.

    python scripts/benchmarks/crash_points.py                     every operation of a climb, a descent and a distillation
    python scripts/benchmarks/crash_points.py --every 7           each seventh
    python scripts/benchmarks/crash_points.py --random 1000       so many points drawn at random, with up to three kills each
    python scripts/benchmarks/crash_points.py --kind enospc       a full disk in place of a kill
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import cgrec.backmapping
import cgrec.report  # noqa: F401  whatever a child would import, the parent has: seconds for each of thousands of children
from cgrec.cli import main as cgrec
from cgrec.run.checkpoints import load_state

#: What tells time and not result; what belongs to one machine or one moment.
TIMES = {
    "seconds",
    "ns_per_day",
    "command",
    "commit",
    "versions",
    "device",
    "threads",
    "wall",
    "since",
    "train_seconds",
}
#: Books about files, whose digests contain times, and what happened when.
BOOKS = {"digests.json", "run.json", ".lock", "report.html", "events.jsonl", "log.txt"}
TURN = "{turn: [B0, B2, B4, B6]}"
RUN = (
    "n_replicas=4",
    "length=1",
    "save_every=0.1",
    "equilibration=0.2",
    "compile=false",
    "checkpoint_every=4",
)
FIT = ("steps=6", "validate_every=3", "batch_size=8", "compile=false")
#: A Gaussian chain 16 -> 8 -> 4: level 1 biased, refined and with a wall; level 2 plain, with its
#: control.
CHAIN = [
    "climb",
    "experiment=gaussian_chain",
    "++go_on=true",
    "threads=1",
    "bins=8",
    "source.n_frames=60",
    "~levels.l3",
    "++variables.turn=[B0, B4, B11, B15]",
    *(f"++levels.l{k}.dynamics.{option}" for k in (1, 2) for option in RUN),
    *(f"++levels.l{k}.training.{option}" for k in (1, 2) for option in FIT),
    "++levels.l1.priors={cutoff: 0.3, bonds: true, angles: false, branches: false, dihedrals: "
    "false, excluded_volume: true}",
    f"++levels.l1.dynamics.bias={{_target_: cgrec.dynamics.BiasPlan, variables: {TURN}, "
    f"growth: 0.2, height: 1.0, bias_factor: 4}}",
    f"++levels.l1.refine={TURN}",
]
#: Level 0 alone, by the NNP of alanine dipeptide that ships, biased.
NNP = [
    "climb",
    "++go_on=true",
    "threads=1",
    "bins=8",
    "~levels.l1",
    "~levels.l2",
    "~levels.l3",
    "++source.check_labels=0",
    *(
        f"++source.dynamics.{option}"
        for option in (
            "n_replicas=2",
            "length=0.02",
            "save_every=0.002",
            "equilibration=0.002",
            "compile=true",
            "checkpoint_every=3",
            "timestep=0.001",
            "bias.growth=0.004",
            "bias.every=2",
        )
    ),
]
#: {name: (command, the one whose folder it works in)}.
COMMANDS = {
    "climb": (CHAIN, None),
    "nnp": (NNP, None),
    "descend": (["descend", "from=2", "to=0", "method=library", "frames=8", "rounds=1"], "climb"),
    "flow": (["descend", "from=1", "to=0", "method=flow", "frames=4", "rounds=1"], "climb"),
    "distil": (["distil", "level=1", "n_frames=20", "n_held_out=5", "three_cutoff=0"], "climb"),
    "analyse": (
        [
            "analyse-backmapping",
            "level=2",
            "frames=8",
            "draws=2",
            "steps=2",
            "audited=4",
            "audit_draws=4",
            "worst=1",
        ],
        "climb",
    ),
}


class Injected:
    """Counts file operations below a folder, and does something before the k-th (from 0)."""

    def __init__(self, folder: Path, at: int, kind: str) -> None:
        self.folder = str(folder.resolve())
        self.at = at
        self.kind = kind
        self.count = 0
        self.log = list[str]()
        self.inside = False

    def install(self) -> None:
        """For the rest of this process."""
        sys.addaudithook(self.audit)
        for owner, name, place in (
            (torch, "save", 1),
            (os, "fsync", None),
            (os, "posix_fallocate", None),
            (np.memmap, "flush", 0),
            (os, "pwrite", None),
        ):
            self.wrap(owner, name, place)

    def wrap(self, owner: object, name: str, place: int | None) -> None:
        """Count the calls of a function no audit event tells of."""
        real = getattr(owner, name)

        def counted(*arguments: object, **options: object) -> object:
            target = arguments[place] if place is not None and len(arguments) > place else ""
            target = getattr(target, "filename", target)
            if name != "save" or isinstance(target, str | Path):
                self.operation(name, str(target))
            return real(*arguments, **options)

        setattr(owner, name, counted)

    def audit(self, event: str, arguments: tuple) -> None:
        """What Python itself tells of."""
        if self.inside or event not in (
            "open",
            "os.rename",
            "os.remove",
            "os.mkdir",
            "os.rmdir",
            "os.truncate",
        ):
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | Path):
            return
        text = os.fsdecode(path)
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR) or any(
                c in (mode or "") for c in "wax+"
            )
            if not writes:
                return
        if os.path.abspath(text).startswith(self.folder):
            self.operation(event, text)

    def operation(self, name: str, target: str) -> None:
        """One more operation."""
        self.log.append(
            f"{name} {os.path.relpath(target, self.folder) if target.startswith('/') else target}"
        )
        self.count += 1
        if self.count - 1 != self.at:
            return
        if self.kind == "kill":
            os._exit(9)
        if name == "save":
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        raise OSError(28, "No space left on device", target)


def child(
    command: list[str], folder: Path, at: int = -1, kind: str = "kill"
) -> tuple[int, str, list[str]]:
    """(exit code, last words, operations) of a command in a process of its own; stopped before
    operation `at`.
    """
    said, operations = folder.with_name("said"), folder.with_name("operations")
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            with said.open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                # whoever runs this may have put objects of his own there
                sys.stdout = sys.stderr = out
                torch.set_num_threads(1)
                warnings.showwarning = show_in_words  # and may have caught warnings, too
                # a page is written by one operation, whatever is drawn on it
                Figure.savefig = draw_nothing
                injected = Injected(folder, at, kind)
                injected.install()
                code = run(command)
                injected.inside = True
                operations.write_text("\n".join(injected.log))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    log = operations.read_text().splitlines() if at < 0 else []
    return os.waitstatus_to_exitcode(status), said.read_text(), log


def show_in_words(message: Warning | str, category: type[Warning], *place: object) -> None:
    """A warning as the command prints it."""
    print(f"{category.__name__}: {message}", flush=True)


def draw_nothing(figure: Figure, to: object, **options: object) -> None:
    """In the place of a second of drawing for each picture of each child."""


def run(command: list[str]) -> int:
    """The exit code of a command, as a shell sees it; 1 after an error nobody caught."""
    import traceback

    try:
        cgrec(command)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, flush=True)
        return 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def products(folder: Path) -> dict[str, object]:
    """{file: content without times} of a run."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in BOOKS:
            continue
        found[name] = content(path)
    return found


def content(path: Path) -> object:
    """What a file says, in a form that can be compared."""
    if path.suffix == ".json":
        about = json.loads(path.read_text())
        return (
            [about["frames"], about["temperature"]]
            if path.name == "frames.json"
            else timeless(about)
        )
    if path.name == "checkpoint.pt":
        return timeless(load_state(path))
    if path.suffix == ".pt":
        return timeless(torch.load(path, weights_only=True))
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {k: archive[k].tobytes() for k in archive.files}
    if path.suffix == ".csv":
        # the last column is seconds
        return [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    return path.read_bytes()


def timeless(value: object) -> object:
    """Without what tells time; tensors as bytes."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES and k != "seal"}
    if isinstance(value, list | tuple):
        return [timeless(v) for v in value]
    return value.cpu().numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)


def different(found: dict[str, object], wanted: dict[str, object]) -> list[str]:
    """Files that differ, are missing, or are there without need."""
    return sorted(
        k for k in {*found, *wanted} if k not in found or k not in wanted or found[k] != wanted[k]
    )


def names_a_way(said: str) -> bool:
    """Whether a refusal says what to do, in one line and not by a traceback."""
    return "Traceback" not in said and any(
        word in said
        for word in (
            "remove",
            "put the original back",
            "bring it back",
            "make room",
            "give another",
        )
    )


class Campaign:
    """One command stopped again and again.

    Args:
        name: of the command.
        before: folder it starts from; None: nothing.
        work: where to do it.
        kind: "kill" or "enospc".
    """

    def __init__(self, name: str, before: Path | None, work: Path, kind: str) -> None:
        self.command = COMMANDS[name][0]
        self.before = before
        self.work = work
        self.kind = kind
        self.name = name
        code, said, self.operations = child(self.full(), self.fresh())
        if code:
            raise SystemExit(f"{name}: the run that is not stopped fails:\n{said[-3000:]}")
        self.reference = work / f"whole_{name}"
        shutil.rmtree(self.reference, ignore_errors=True)
        shutil.copytree(self.folder, self.reference)
        self.wanted = products(self.reference)
        self.outcomes: Counter[str] = Counter()

    @property
    def folder(self) -> Path:
        """Where every run is made: paths are part of some products."""
        return self.work / "run"

    def full(self) -> list[str]:
        """The command with its folder."""
        return [*self.command, f"run={self.folder}"]

    def fresh(self) -> Path:
        """The folder as it is before the command."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, self.folder, symlinks=True)
        return self.folder

    def point(self, *places: int) -> str:
        """Stop before each of the operations in turn, then resume to the end; what came of it."""
        self.fresh()
        for place in places:
            code, said, _ = child(self.full(), self.folder, place, self.kind)
            if self.kind == "enospc" and code == 0:
                break  # the operation was one that could fail without harm
            if self.kind == "enospc" and "Traceback" in said:
                return self.note("no words", places, said)
        code, said, _ = child(self.full(), self.folder)
        if code:
            return self.note("refused" if names_a_way(said) else "stuck", places, said)
        found = different(products(self.folder), self.wanted)
        return self.note("WRONG" if found else "equal", places, ", ".join(found[:6]))

    def note(self, outcome: str, places: tuple[int, ...], why: str) -> str:
        """Count and show."""
        self.outcomes[outcome] += 1
        if outcome != "equal":
            where = "; ".join(
                f"{p}: {self.operations[p]}" for p in places if p < len(self.operations)
            )
            lines = [line for line in why.strip().splitlines() if line.strip()]
            print(
                f"  {self.name} {outcome} at {where}\n    {' | '.join(lines[-2:])[-600:]}",
                flush=True,
            )
        return outcome


def main(arguments: list[str] | None = None) -> dict[str, Counter[str]]:
    """Run the campaigns that are asked for and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=["kill", "enospc"], default="kill")
    parser.add_argument("--every", type=int, default=1, help="take each n-th operation")
    parser.add_argument("--first", type=int, default=0, help="operation to begin with")
    parser.add_argument(
        "--random", type=int, default=0, help="so many random points in place of all"
    )
    parser.add_argument(
        "--commands",
        nargs="+",
        default=["climb", "nnp", "descend", "distil"],
        choices=list(COMMANDS),
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    work = Path(tempfile.mkdtemp(prefix="crash_"))
    rng, outcomes = random.Random(options.seed), {}
    try:
        made: dict[str, Path] = {}
        bases = [COMMANDS[name][1] for name in options.commands]
        for name in dict.fromkeys([*filter(None, bases), *options.commands]):
            base = COMMANDS[name][1]
            campaign = Campaign(name, None if base is None else made[base], work, options.kind)
            made[name] = campaign.reference
            if name not in options.commands:
                continue
            total, begin = len(campaign.operations), time.time()
            points = [(k,) for k in range(options.first, total, options.every)]
            if options.random:
                points = [
                    tuple(rng.randrange(total) for _ in range(rng.randint(1, 3)))
                    for _ in range(options.random)
                ]
            for point in points:
                campaign.point(*point)
            outcomes[name] = campaign.outcomes
            said = ", ".join(f"{n} {what}" for what, n in campaign.outcomes.items())
            print(
                f"{name}: {total} operations, {len(points)} stopped ({options.kind}): {said}; "
                f"{time.time() - begin:.0f} s",
                flush=True,
            )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return outcomes


if __name__ == "__main__":
    counted = main()
    sys.exit(any(o["WRONG"] or o["stuck"] or o["no words"] for o in counted.values()))
