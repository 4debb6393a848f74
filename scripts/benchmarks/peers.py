"""Measure cgrec against NequIP and MACE in one run: python scripts/benchmarks/peers.py --data
WATER.npz

The data are one-site water: npz with positions (n_frames, n_sites, 3) nm, forces kJ/mol/nm, box nm,
temperature K. The peers are installed once, each in a virtual environment of its own (CPU builds; a
few minutes), and kept. All three get the same frames, the same cutoff (0.6 nm) and one thread; each
lives in its own process and they are asked in turn, so that whatever else the machine does hits all
alike. Costs are compared as theirs over ours (above one, ours needs less; speeds the other way
round), explained fractions as theirs minus ours.

call       energy and forces of one frame and of its 2x2x2 replica; neighbour lists are made before, for all
training   one optimiser step on forces; frames per second. Ours includes making neighbour lists, theirs are ready
memory     peak of a force call at the 4x4x4 replica beyond what the process held before
accuracy   explained force fraction of the last 15 % of the frames after the same CPU time of training; compiling
           does not count. Each library first tries three batch sizes or learning rates for a fifth
           of the time, judged on the last 15 % of the training frames
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from one_site_water import keep, table

PACKAGES = {"nequip": "nequip", "mace": "mace-torch"}
TORCH = "torch==2.13.0"  # a small CPU build, as in the README
HERE = Path(__file__).resolve().parent

#: (library, variant) of the force calls; the first is what the others are compared with.
CALLS = [("cgrec", "compiled"), ("cgrec", "eager")] + [
    (p, v) for p in PACKAGES for v in ("compiled", "eager")
]
#: (library, variant, frames a batch). NequIP compiles training for two frames and more.
TRAININGS = [
    ("cgrec", "trainer", 1),
    ("cgrec", "trainer", 4),
    ("nequip", "eager", 1),
    ("nequip", "compiled", 4),
    ("mace", "eager", 1),
    ("mace", "compiled", 1),
]
MEMORIES = [("cgrec", "compiled"), ("cgrec", "eager"), ("nequip", "compiled"), ("nequip", "eager")]
#: What each library is fitted with: three choices each, of which the best on the last of its
#: training frames is taken.
FITS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "cgrec": ("trainer", [{"batch": b} for b in (1, 2, 4)]),
    "nequip": ("compiled", [{"batch": 2, "learning_rate": r} for r in (0.005, 0.01, 0.02)]),
    "mace": ("compiled", [{"batch": 1, "learning_rate": r} for r in (0.005, 0.01, 0.02)]),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="npz of one-site water")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path.home() / ".cache" / "cgrec" / "peers",
        help="where the peers live",
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="training time of each fit")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each library")
    parser.add_argument("--what", default="call,training,memory,accuracy")
    arguments = parser.parse_args()
    arguments.environments = arguments.environments.expanduser().resolve()
    for name in PACKAGES:
        install(name, arguments.environments)
    measure = {"call": calls, "training": trainings, "memory": memories, "accuracy": accuracies}
    versions = {name: version(name, arguments.environments) for name in PACKAGES}
    print(
        ", ".join(f"{PACKAGES[name]} {v}" for name, v in versions.items())
        + f", {arguments.threads} thread(s)"
    )
    rows: list[Row] = []
    for what in arguments.what.split(","):
        rows += measure[what](arguments)
        found = {
            "threads": arguments.threads,
            "peers": versions,
            "rows": [vars(row) for row in rows],
        }
        keep(arguments.json, found)
    print(table(Row.HEAD, [row.cells() for row in rows]))


def install(name: str, environments: Path) -> None:
    """A virtual environment with the peer in it, unless it is there."""
    folder = environments / name
    if (folder / "installed").exists():
        return
    print(f"installing {PACKAGES[name]} in {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    # torch alone first: a range would pull a GPU build.
    subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, TORCH, PACKAGES[name]], check=True)
    (folder / "installed").touch()


def version(name: str, environments: Path) -> str:
    """Of the installed peer."""
    ask = f"from importlib.metadata import version; print(version({PACKAGES[name]!r}))"
    command = [environments / name / "bin" / "python", "-c", ask]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Process:
    """A worker: `ask` sends a job and waits for its answer."""

    def __init__(self, library: str, arguments: argparse.Namespace) -> None:
        home = arguments.environments / library
        python = sys.executable if library == "cgrec" else home / "bin" / "python"
        home.mkdir(parents=True, exist_ok=True)
        threads = str(arguments.threads)
        self.log = open(home / "worker.log", "a")  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                python,
                HERE / "peer_worker.py",
                library,
                "--data",
                arguments.data.resolve(),
                "--folder",
                home,
                "--threads",
                threads,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )

    def ask(self, **job: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"the worker died, see {self.log.name}"}

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


class Crew:
    """One worker per library, started when first asked."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.workers = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def ask(self, library: str, **job: Any) -> dict[str, Any]:
        if library not in self.workers:
            self.workers[library] = Process(library, self.arguments)
        return self.workers[library].ask(**job)


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: the measurement.
        who: library, variant.
        unit: of the values.
        values: of all rounds.
        better: "less" or "more".
        reference: the values of ours they are compared with, of the same rounds.
        error: why there are no values.
    """

    HEAD = (
        "measurement",
        "model",
        "unit",
        "median",
        "best",
        "against ours, medians",
        "best",
        "rounds",
    )

    what: str
    who: str
    unit: str
    better: str = "less"
    values: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    error: str = ""

    def add(self, answer: dict[str, Any], key: str, convert: Any) -> None:
        if key in answer:
            self.values.append(convert(answer[key]))
        else:
            self.error = answer["error"]

    def cells(self) -> list[Any]:
        if not self.values:
            return [self.what, self.who, self.unit, f"failed: {self.error}", "", "", "", 0]
        best = min if self.better == "less" else max
        summaries = [statistics.median, best]
        shown = [f(self.values) for f in summaries]
        pairs = [(f(self.values), f(self.reference)) for f in summaries if self.reference]
        if not pairs:
            compared = ["", ""]
        elif self.unit == "%":
            compared = [f"{a - b:+.2f} points" for a, b in pairs]
        else:
            compared = [f"{a / b if self.better == 'less' else b / a:.3g}" for a, b in pairs]
        return [self.what, self.who, self.unit, *shown, *compared, len(self.values)]


def calls(arguments: argparse.Namespace) -> list[Row]:
    """Force calls of the box and of eight boxes."""
    rows = {
        (c, *who): Row(f"force call, {c}x{c}x{c}", " ".join(who), "ms")
        for c in (1, 2)
        for who in CALLS
    }
    with Crew(arguments) as crew:
        for _ in rounds(arguments, "call"):
            for (copies, library, variant), row in rows.items():
                row.add(
                    crew.ask(library, job="call", variant=variant, copies=copies),
                    "seconds",
                    lambda s: 1e3 * s,
                )
    for (copies, *_), row in rows.items():
        row.reference = rows[copies, *CALLS[0]].values
    return list(rows.values())


def trainings(arguments: argparse.Namespace) -> list[Row]:
    """Frames per second of training, against our fastest."""
    rows = {
        key: Row("training", f"{key[0]} {key[1]}, {key[2]} a batch", "frames/s", better="more")
        for key in TRAININGS
    }
    with Crew(arguments) as crew:
        for _ in rounds(arguments, "training"):
            for (library, variant, batch), row in rows.items():
                answer = crew.ask(
                    library, job="training", variant=variant, batch=batch, steps=max(2, 8 // batch)
                )
                row.add(answer, "seconds", lambda s, batch=batch: batch / s)
    ours = [row.values for key, row in rows.items() if key[0] == "cgrec"]
    for row in rows.values():
        row.reference = max(ours, key=statistics.median)
    return list(rows.values())


def memories(arguments: argparse.Namespace, copies: int = 4) -> list[Row]:
    """Memory of a force call, each measured in a fresh process."""
    rows = {
        who: Row(f"memory of a call, {copies}x{copies}x{copies}", " ".join(who), "MiB")
        for who in MEMORIES
    }
    with Crew(arguments) as crew:  # so that what can be compiled ahead of time has been
        crew.ask("nequip", job="call", variant="compiled", copies=1)
    for _ in rounds(arguments, "memory", most=2):
        for (library, variant), row in rows.items():
            with Crew(arguments) as crew:
                row.add(
                    crew.ask(library, job="memory", variant=variant, copies=copies), "MiB", float
                )
    for row in rows.values():
        row.reference = rows[MEMORIES[0]].values
    return list(rows.values())


def accuracies(arguments: argparse.Namespace) -> list[Row]:
    """Explained fraction after equal time; the libraries take turns, seed by seed."""
    what = f"explained after {arguments.minutes:g} min"
    chosen = {library: chosen_options(library, arguments) for library in FITS}
    rows = {
        library: Row(what, f"{library} {FITS[library][0]} {options}", "%", better="more")
        for library, options in chosen.items()
    }
    for seed in range(1, arguments.seeds + 1):
        for library, row in rows.items():
            answer = fit(library, chosen[library], arguments, minutes=arguments.minutes, seed=seed)
            row.add(answer, "explained", lambda e: 100 * e)
    for row in rows.values():
        row.reference = rows["cgrec"].values
    return list(rows.values())


def chosen_options(library: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The best of the library's choices, by short fits judged on the last of the training frames."""
    choices = FITS[library][1]
    minutes = arguments.minutes / 5
    answers = [fit(library, c, arguments, minutes=minutes, seed=0, inner=True) for c in choices]
    return choices[max(range(len(choices)), key=lambda k: answers[k].get("explained", -1.0))]


def fit(
    library: str, options: dict[str, Any], arguments: argparse.Namespace, **more: Any
) -> dict[str, Any]:
    """The answer of a fresh process."""
    with Crew(arguments) as crew:
        answer = crew.ask(library, job="accuracy", variant=FITS[library][0], **options, **more)
    print(f"{library} {options} {more}: {answer}", file=sys.stderr)
    return answer


def rounds(arguments: argparse.Namespace, what: str, most: int | None = None) -> Any:
    """Round numbers, told on stderr."""
    for k in range(min(arguments.repeats, most or arguments.repeats)):
        print(f"{what}: round {k + 1}", file=sys.stderr)
        yield k


if __name__ == "__main__":
    main()
