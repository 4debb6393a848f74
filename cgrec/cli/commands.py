"""What each command does, and `main`, which finds and calls it."""

from __future__ import annotations

import inspect
import math
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import hydra
from omegaconf import OmegaConf

from ..remarks import Remark
from ..stopping import Stopped, interruptible
from . import foreign
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
  cgrec climb --config-dir DIR           look for experiments and mappings of your own in DIR first; may stand several times
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
    """Entry point of `cgrec` and `python -m cgrec`. An error is one line; with --debug its
    traceback is before it.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    shown, warnings.formatwarning = warnings.formatwarning, _as_sentence(warnings.formatwarning)
    try:
        with interruptible():
            _command(arguments)(arguments[1:])
    except BrokenPipeError:  # whoever read the output, e.g. head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python flushes it when it ends)
        sys.exit(141)
    except Stopped as stop:
        sys.stderr.write(f"\ncgrec: {stop}\n")
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"\ncgrec: stopped; {_way_on(arguments)}\n")
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(f"cgrec: {told(error, folder_of(arguments))}")
    finally:
        warnings.formatwarning = shown


def _command(arguments: list[str]) -> Callable[[list[str]], None]:
    """What the first argument names; help where it, or nothing, asks for it.

    Raises:
        ValueError: no such command.
    """
    asks = bool({"-h", "--help"} & set(arguments))
    if not arguments or (asks and not foreign.has(arguments[0], COMMANDS)):
        return _print_usage
    if foreign.has(arguments[0], COMMANDS):
        return foreign.command(arguments[0], asks)
    if arguments[0] not in COMMANDS:
        known = [*COMMANDS, *foreign.names(COMMANDS)]
        near = get_close_matches(arguments[0], known, 1)
        raise ValueError(
            f"expected a command, one of {', '.join(known)}, found {arguments[0]}; "
            + (f"did you mean {near[0]}?" if near else "cgrec --help shows what each does")
        )
    return COMMANDS[arguments[0]]


def _way_on(arguments: list[str]) -> str:
    """What to do after a command was stopped."""
    if arguments[:1] and arguments[0] in (
        "climb",
        "descend",
        "distil",
        "friction",
        "analyse-backmapping",
    ):
        return "what was finished is kept, and the same command goes on from there"
    return "give the same command again"


def _as_sentence(usual: Callable[..., str]) -> Callable[..., str]:
    """Remarks are for users: a sentence without file and line. Other warnings as usual."""

    def shown(message: Any, category: type[Warning], *place: Any, **more: Any) -> str:
        if issubclass(category, Remark):
            return f"cgrec: note: {message}\n"
        return usual(message, category, *place, **more)

    return shown


def _print_usage(arguments: list[str]) -> None:
    names = sorted(p.stem for p in (configuration() / "experiment").glob("*.yaml"))
    print(USAGE.format(experiments=", ".join(names)) + foreign.usage(COMMANDS))
    sys.exit(0)


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    arguments, trust = [a for a in arguments if a != "--trust"], "--trust" in arguments
    if {"-m", "--multirun"} & set(arguments):
        sweep(arguments, trust)
        return
    show, own = _take_pair(arguments, "--cfg"), _take_folders(arguments)
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
    own = _take_folders(arguments)
    overrides = [a for a in arguments if a not in ("-m", "--multirun")]
    _check_options(overrides)
    check_sweep(overrides, own, trust)
    given = frozenset(given_keys(overrides))

    def job(config: Any) -> None:
        climb_one(config, trust, given)

    folders = [*map(own_folder, own), configuration()]
    search = ", ".join(f'"file://{folder}"' for folder in folders)
    words = [*(readable(o, True) for o in overrides), f"hydra.searchpath=[{search}]"]
    before, sys.argv = sys.argv, ["cgrec climb", "--multirun", *words]
    full, os.environ["HYDRA_FULL_ERROR"] = (
        os.environ.get("HYDRA_FULL_ERROR"),
        "1",
    )  # raise, rather than print and exit
    try:
        # hydra looks in the folder of config.yaml first, whatever the search path: that folder
        # holds nothing else, so that experiments of the user come before shipped ones of the same
        # name.
        with tempfile.TemporaryDirectory() as alone:
            shutil.copy(configuration() / "config.yaml", alone)
            hydra.main(config_path=alone, config_name="config", version_base="1.3")(job)()
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
                "cgrec climb: expected key=value, --cfg job, --config-dir DIR, --multirun, "
                f"--trust or --debug, found {argument}"
            )
        if not argument.startswith("~") and argument.find("=") < 1:
            raise ValueError(
                f"cgrec climb: expected key=value, found {argument!r}; e.g. "
                "experiment=gaussian_chain"
            )


def report(arguments: list[str]) -> None:
    """Write the report of a run again."""
    from ..report import write_report

    given = _given("cgrec report", arguments, lambda: None, "run")
    print(f"report: {write_report(_run('cgrec report', given['run']))}")


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
        f"{level.folder / 'distilled.pt'}: {', '.join(report.replaced)} -> UF3Potential "
        f"(three-body term: {triples}) and "
        f"{report.n_torsion_terms} torsion terms; kept: {', '.join(report.kept) or 'nothing'}\n"
        f"on {report.n_held_out} held-out frames: force error {report.force_rmse:.3g} "
        f"kJ/mol/nm, {100 * report.explained_fraction:.2f}% of what was "
        f"replaced and {100 * report.explained_fraction_of_all:.2f}% of all explained; energy "
        f"error {report.energy_error:.3g} of "
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
            f"{kind}: parent D = {1e3 * d.value:.3f} +- {1e3 * d.error:.3f}, level "
            f"{1e3 * value:.3f} +- {1e3 * error:.3f} 1e-9 m^2/s "
            f"at friction {rounds[-1].friction[kind]:.3g}/ps"
        )


def export(arguments: list[str]) -> None:
    """Write a level for another program."""
    from ..export import exporter
    from ..export.marks import wishes_of

    name = arguments[0] if arguments else ""
    write = exporter(name)
    wishes = wishes_of(write)
    level, options = _level(f"cgrec export {name}", arguments[1:], write, "to")
    potential = level.distilled if wishes.distilled else level.potential
    folder = write(potential, level.frames, Path(options.pop("to")), **options)
    print(f"{folder}: {wishes.then}" if wishes.then else folder)


def descend(arguments: list[str]) -> None:
    """Go down from a level's own frames; leave every level on the way, its weights, and files to
    look at.
    """
    from ..chain import Chain
    from ..descent import Descent

    given = _given("cgrec descend", arguments, Descent, "run", "from", "to")
    chain = Chain(_run("cgrec descend", given.pop("run")))
    level, to = (_whole("cgrec descend", key, given.pop(key)) for key in ("from", "to"))
    descent = Descent(**_typed("cgrec descend", given, Descent))
    print(f"{descent(chain, level, to)}: look at it with vmd atoms.pdb atoms.xtc")


def analyse_backmapping(arguments: list[str]) -> None:
    """Judge a level's backmapper; print its tables, keep them with the level, and write the report
    anew.
    """
    from ..chain import Chain
    from ..report import write_report
    from ..restored import BackmappingAnalysis

    level, options = _level("cgrec analyse-backmapping", arguments, BackmappingAnalysis)
    number = int(level.folder.name[5:])
    if number == 0:
        raise ValueError(
            "cgrec analyse-backmapping: expected level= 1 or above, found 0, below which "
            "nothing lies"
        )
    chain = Chain(level.folder.parent)
    for name, found in BackmappingAnalysis(**options)(level, chain.levels[number - 1]).items():
        print(f"{name}: {found.table()}\n")
    print(f"report: {write_report(chain.folder)}")


def propose(arguments: list[str]) -> None:
    """Propose mappings; leave table.txt, pareto.png, beads.png and one YAML a proposal, the best as
    chosen.yaml.
    """
    from ..maps import MapRequest

    command = "cgrec map"
    given = _given(command, arguments, MapRequest)
    if "run" in given:
        _run(command, given["run"])
    print(MapRequest(**_typed(command, given, MapRequest))())


def _level(
    command: str, arguments: list[str], function: Callable[..., Any], *needed: str
) -> tuple[Level, dict[str, Any]]:
    """The level that run= and level= name, and the other arguments: `needed`, and keywords of
    `function`.
    """
    from ..chain import Chain

    given = _given(command, arguments, function, "run", "level", *needed)
    levels = Chain(_run(command, given["run"])).levels
    found = {level.folder.name[5:]: level for level in levels}
    if given["level"] not in found:
        raise ValueError(
            f"{command}: expected level= one of {', '.join(found)} in {given['run']}, found "
            f"{given['level']}"
        )
    options = {k: v for k, v in given.items() if k not in ("run", "level")}
    return found[given["level"]], _typed(command, options, function)


def _run(command: str, folder: str) -> Path:
    """The folder of a run.

    Raises:
        ValueError: there is none, or nothing of a climb in it.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(
            f"{command}: expected run= the folder of a run, found no such run: {folder}"
        )
    if not (path / "level0").is_dir():
        raise ValueError(
            f"{command}: expected run= a folder that cgrec climb made, found no level0 in "
            f"{folder}; climb first, or choose "
            "another run"
        )
    return path


def _given(
    command: str, arguments: list[str], function: Callable[..., Any], *needed: str
) -> dict[str, str]:
    """The arguments key=value.

    Raises:
        ValueError: a key that is neither `needed` nor a keyword of `function`, one given twice, or
            a needed one missing.
    """
    keywords = [
        k for k, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY
    ]
    known = [*needed, *keywords]
    keys = [a.partition("=")[0] for a in arguments]
    wrong = [a for a, key in zip(arguments, keys) if key not in known or "=" not in a]
    wanted = f"{command}: expected key=value with keys {', '.join(known)}"
    if wrong:
        near = get_close_matches(wrong[0].partition("=")[0], known, 1)
        raise ValueError(
            f"{wanted}; unknown: {' '.join(wrong)}"
            + (f"; did you mean {near[0]}=?" if near else "")
        )
    must = [
        k
        for k in keywords
        if inspect.signature(function).parameters[k].default is inspect.Parameter.empty
    ]
    missing = [f"{k}=" for k in (*needed, *must) if k not in keys]
    if missing:
        raise ValueError(f"{wanted}; missing: {' '.join(missing)}")
    twice = [k for k in known if keys.count(k) > 1]
    if twice:
        raise ValueError(
            f"{command}: expected {twice[0]}= once, found it {keys.count(twice[0])} times"
        )
    return dict(a.split("=", 1) for a in arguments)


def _typed(command: str, given: dict[str, str], function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments as the hints of `function` want them: numbers, text, lists with commas."""
    made = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(made)
    return {key: _value(command, key, text, hints.get(key, str)) for key, text in given.items()}


def _value(command: str, key: str, text: str, hint: Any) -> Any:
    if get_origin(hint) is Sequence:
        return [_value(command, key, part, get_args(hint)[0]) for part in text.split(",")]
    kinds = get_args(hint) or (hint,)
    if type(None) in kinds and text in ("null", "None"):
        return None
    if float in kinds:
        return _number(command, key, text)
    return _whole(command, key, text) if int in kinds else text


def _whole(command: str, key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{command}: expected {key}= a whole number, found {text!r}") from None


def _number(command: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{command}: expected {key}= a number, found {text!r}")
    return value


def _take_pair(arguments: list[str], flag: str) -> str | None:
    if flag not in arguments:
        return None
    example = "--cfg job" if flag == "--cfg" else f"{flag} FOLDER"
    place = arguments.index(flag)
    if place + 1 >= len(arguments):
        raise ValueError(f"{flag}: expected a value after it, found none; e.g. {example}")
    value = arguments[place + 1]
    del arguments[place : place + 2]
    return value


def _take_folders(arguments: list[str]) -> list[str]:
    """All of --config-dir, in their order, also as --config-dir=DIR; they are taken out of
    `arguments`.
    """
    flag, folders = "--config-dir", list[str]()
    for place, argument in reversed(list(enumerate(arguments))):
        if argument.startswith(f"{flag}="):
            arguments[place : place + 1] = [flag, argument.partition("=")[2]]
    while (folder := _take_pair(arguments, flag)) is not None:
        folders.append(folder)
    return folders


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
