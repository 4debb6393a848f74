"""What each command does, and `main`, which finds and calls it."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import OmegaConf

from ..remarks import Remark
from .building import build
from .errors import folder_of, told
from .settings import (
    check_sweep,
    composed,
    configuration,
    given_keys,
    own_folder,
    readable,
    stays_inside,
)

if TYPE_CHECKING:
    from ..level import Level

USAGE = """cgrec: recursive coarse-graining

  cgrec climb                            alanine dipeptide, three levels above the atoms, in minutes
  cgrec climb experiment=NAME            another experiment: {experiments}
  cgrec climb levels.l1.dynamics.length=20 run=runs/other    change any value; the same command resumes
  cgrec climb --cfg job                  print the composed configuration
  cgrec climb --config-dir DIR           look for experiments of your own in DIR first
  cgrec climb --multirun seed=1,2 'run=runs/seed_${{seed}}' hydra/launcher=joblib
                                         a sweep; hydra/launcher=slurm sends it to a cluster
  cgrec map system=FILE n_sites=10,5,2   propose sites for it, say what each choice costs, draw them; also run=FOLDER level=0
  cgrec report run=FOLDER                write FOLDER/report.html anew
  cgrec distil run=FOLDER level=1        a fast potential of two- and three-body splines in place of that level's network
  cgrec friction run=FOLDER level=1 interval=PS    the friction with which that level diffuses as its parent, saved every PS, does
  cgrec descend run=FOLDER from=3 to=0   bring the atoms back from a level's own frames, as XTC and PDB, with weights
  cgrec analyse-backmapping run=FOLDER level=1    how good the atoms of that level's backmapper are, and an audit of its PMF
  cgrec export lammps run=FOLDER level=1 to=DIR    the distilled potential, ready for LAMMPS
"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `cgrec` and `python -m cgrec`. An error is one line on stderr; with --debug its traceback is before it."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    if not arguments or arguments[0] not in COMMANDS or {"-h", "--help"} & set(arguments):
        wrong = bool(arguments) and arguments[0] not in COMMANDS and not {"-h", "--help"} & set(arguments)
        _print_usage()
        sys.exit(f"cgrec: expected a command ({', '.join(COMMANDS)}), found {arguments[0]}" if wrong else 0)
    shown, warnings.formatwarning = warnings.formatwarning, _as_sentence(warnings.formatwarning)
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except BrokenPipeError:  # whoever read the output, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"\ncgrec: stopped; {_way_on(arguments[0])}\n")
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(f"cgrec: {told(error, folder_of(arguments))}")
    finally:
        warnings.formatwarning = shown


def _way_on(command: str) -> str:
    """What to do after a command was stopped."""
    if command in ("climb", "descend", "distil", "friction", "analyse-backmapping"):
        return "what was finished is kept, and the same command goes on from there"
    return "give the same command again"


def _as_sentence(usual: Callable[..., str]) -> Callable[..., str]:
    """Remarks are for users: a sentence without file and line. Other warnings as usual."""

    def shown(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
        if issubclass(category, Remark):
            return f"cgrec: note: {message}\n"
        return usual(message, category, *place, **more)

    return shown


def _print_usage() -> None:
    names = sorted(p.stem for p in (configuration() / "experiment").glob("*.yaml"))
    print(USAGE.format(experiments=", ".join(names)))


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    arguments, trust = [a for a in arguments if a != "--trust"], "--trust" in arguments
    if {"-m", "--multirun"} & set(arguments):
        sweep(arguments, trust)
        return
    show, own = _take_pair(arguments, "--cfg"), _take_pair(arguments, "--config-dir")
    _check_options(arguments)
    config = composed(arguments, own)
    if show:
        print(OmegaConf.to_yaml(config))
        return
    if not trust:
        stays_inside(config, arguments)
    climb_one(config, trust, frozenset(given_keys(arguments)))


def climb_one(config: Any, trust: bool = False, given: frozenset[str] = frozenset()) -> None:
    """Climb one composed configuration and write its report."""
    from ..report import write_report
    from ..verdict import NotToBeUsed

    chain = build(config, trust, given)
    try:
        chain.climb()
    except NotToBeUsed:  # the report says why
        print(f"report: {write_report(chain.folder)}")
        raise
    print(f"report: {write_report(chain.folder)}")


def sweep(arguments: list[str], trust: bool = False) -> None:
    """Many climbs by hydra's own sweepers and launchers, which read the command line themselves."""
    own = _take_pair(arguments, "--config-dir")
    overrides = [a for a in arguments if a not in ("-m", "--multirun")]
    _check_options(overrides)
    check_sweep(overrides, own, trust)
    folder, more = configuration(), []
    if own is not None:
        folder, more = own_folder(own), [f'hydra.searchpath=["file://{configuration()}"]']
    given = frozenset(given_keys(overrides))

    def job(config: Any) -> None:
        climb_one(config, trust, given)

    before, sys.argv = sys.argv, ["cgrec climb", "--multirun", *(readable(o, True) for o in overrides), *more]
    full, os.environ["HYDRA_FULL_ERROR"] = (
        os.environ.get("HYDRA_FULL_ERROR"),
        "1",
    )  # raise, rather than print and exit
    try:
        hydra.main(config_path=str(folder), config_name="config", version_base="1.3")(job)()
    finally:
        sys.argv = before
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full


def _check_options(arguments: list[str]) -> None:
    """Refuse what is no key=value."""
    for argument in arguments:
        if argument.startswith("-"):
            raise ValueError(
                f"cgrec climb: expected key=value, --cfg job, --config-dir DIR, --multirun, --trust or --debug, found {argument}"
            )
        if "=" not in argument and not argument.startswith("~"):
            raise ValueError(f"cgrec climb: expected key=value, found {argument}; e.g. experiment={argument}")


def report(arguments: list[str]) -> None:
    """Write the report of a run again."""
    from ..report import write_report

    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    if set(given) != {"run"}:
        raise ValueError(f"cgrec report: expected run=FOLDER, found {' '.join(arguments) or 'nothing'}")
    print(f"report: {write_report(Path(given['run']))}")


def distil(arguments: list[str]) -> None:
    """Distil the potential of a level; say what was lost."""
    from ..distillation import distil as fit

    level, options = _level("cgrec distil", arguments, fit)
    report = level.distil(**options)
    triples = (
        f"to {report.three_cutoff} nm, knots {report.three_spacing} nm apart"
        if report.three_cutoff
        else "none"
    )
    print(
        f"{level.folder / 'distilled.pt'}: {', '.join(report.replaced)} -> UF3Potential (three-body term: {triples}) and "
        f"{report.n_torsion_terms} torsion terms; kept: {', '.join(report.kept) or 'nothing'}\n"
        f"on {report.n_held_out} held-out frames: force error {report.force_rmse:.3g} kJ/mol/nm, {100 * report.explained_fraction:.2f}% of what was "
        f"replaced and {100 * report.explained_fraction_of_all:.2f}% of all explained; energy error {report.energy_error:.3g} of "
        f"{report.energy_spread:.3g} kJ/mol"
    )


def friction(arguments: list[str]) -> None:
    """Fit the friction of a level's site types to the parent's diffusion."""
    from ..level import Level

    level, options = _level("cgrec friction", arguments, Level.fit_friction)
    wanted, rounds = level.fit_friction(**options)
    for kind, d in wanted.items():
        value, error = rounds[-1].diffusion[kind]
        print(
            f"{kind}: parent D = {1e3 * d.value:.3f} +- {1e3 * d.error:.3f}, level {1e3 * value:.3f} +- {1e3 * error:.3f} 1e-9 m^2/s "
            f"at friction {rounds[-1].friction[kind]:.3g}/ps"
        )


def export(arguments: list[str]) -> None:
    """Write the distilled potential of a level for another program."""
    from ..export import write_lammps

    if not arguments or arguments[0] != "lammps":
        raise ValueError(
            f"cgrec export: expected the program to export to, lammps, found {arguments[0] if arguments else 'nothing'}"
        )
    level, options = _level("cgrec export lammps", arguments[1:], write_lammps, "to")
    folder = write_lammps(level.distilled, level.frames, options.pop("to"), **options)
    print(f"{folder}: run it there with lmp -in run.in")


def descend(arguments: list[str]) -> None:
    """Go down from a level's own frames; leave every level on the way, its weights, and files to look at."""
    from ..chain import Chain
    from ..descent import Descent

    given = _given("cgrec descend", arguments, Descent, "run", "from", "to")
    level = int(_number("cgrec descend", "from", given.pop("from")))
    chain, to = Chain(given.pop("run")), int(_number("cgrec descend", "to", given.pop("to")))
    options: dict[str, Any] = {
        k: v if k == "method" else _number("cgrec descend", k, v) for k, v in given.items()
    }
    descent = Descent(**options)
    print(f"{descent(chain, level, to)}: look at it with vmd atoms.pdb atoms.xtc")


def analyse_backmapping(arguments: list[str]) -> None:
    """Judge a level's backmapper; print its tables, keep them with the level, and write the report anew."""
    from ..chain import Chain
    from ..report import write_report
    from ..restored import BackmappingAnalysis

    level, options = _level("cgrec analyse-backmapping", arguments, BackmappingAnalysis)
    number = int(level.folder.name[5:])
    if number == 0:
        raise ValueError(
            "cgrec analyse-backmapping: expected level= 1 or above, found 0, below which nothing lies"
        )
    chain = Chain(level.folder.parent)
    for name, found in BackmappingAnalysis(**options)(level, chain.levels[number - 1]).items():
        print(f"{name}: {found.table()}\n")
    print(f"report: {write_report(chain.folder)}")


def propose(arguments: list[str]) -> None:
    """Propose mappings; leave table.txt, pareto.png, beads.png and one YAML a proposal, the best as chosen.yaml."""
    from ..maps import MapRequest

    command = "cgrec map"
    options: dict[str, Any] = {}
    for key, text in _given(command, arguments, MapRequest).items():
        if key in ("n_sites", "protected"):
            options[key] = [int(_number(command, key, v)) if key == "n_sites" else v for v in text.split(",")]
        else:
            options[key] = (
                _number(command, key, text) if key in ("lag", "level", "most", "temperature") else text
            )
    print(MapRequest(**options)())


def _level(
    command: str, arguments: list[str], function: Callable[..., Any], *needed: str
) -> tuple[Level, dict[str, Any]]:
    """The level that run= and level= name, and the other arguments: `needed`, and keywords of `function`."""
    from ..chain import Chain

    given = _given(command, arguments, function, "run", "level", *needed)
    found = {level.folder.name[5:]: level for level in Chain(given["run"]).levels}
    if given["level"] not in found:
        raise ValueError(
            f"{command}: expected level= one of {', '.join(found) or 'those of a run'} in {given['run']}, found {given['level']}"
        )
    options = {
        k: v if k in needed else _number(command, k, v) for k, v in given.items() if k not in ("run", "level")
    }
    return found[given["level"]], options


def _given(command: str, arguments: list[str], function: Callable[..., Any], *needed: str) -> dict[str, str]:
    """The arguments key=value; ValueError where one is neither `needed` nor a keyword of `function`, or a needed one is missing."""
    keywords = [k for k, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    known = [*needed, *keywords]
    given = {k: v for k, equals, v in (a.partition("=") for a in arguments) if equals}
    wrong = [a for a in arguments if a.partition("=")[0] not in known or "=" not in a]
    missing = [f"{k}=" for k in needed if k not in given]
    if wrong or missing:
        raise ValueError(
            f"{command}: expected key=value with keys {', '.join(known)}; "
            + f"{'unknown: ' + ' '.join(wrong) if wrong else 'missing: ' + ' '.join(missing)}"
        )
    return given


def _number(command: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{command}: expected {key}= a number, found {text!r}") from None
    return int(value) if value.is_integer() else value


def _take_pair(arguments: list[str], flag: str) -> str | None:
    if flag not in arguments:
        return None
    place = arguments.index(flag)
    if place + 1 >= len(arguments):
        raise ValueError(f"{flag} needs a value")
    value = arguments[place + 1]
    del arguments[place : place + 2]
    return value


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "climb": climb,
    "report": report,
    "distil": distil,
    "friction": friction,
    "export": export,
    "descend": descend,
    "analyse-backmapping": analyse_backmapping,
    "map": propose,
}
