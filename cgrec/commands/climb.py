"""make every level of an experiment, the ledger and the report; the same command resumes"""

from __future__ import annotations

from pathlib import Path

from ..configuration import (
    SUFFIXES,
    Composed,
    as_yaml,
    build,
    composed,
    experiments,
    given_keys,
    stays_inside,
    sweep,
)

_HELP = """cgrec climb: make every level of an experiment that is not there yet, the error ledger, and report.html

  cgrec climb                            alanine dipeptide, three levels above the atoms, in minutes
  cgrec climb mine.yaml                  a file of your own; cgrec init FILES writes one for your data
  cgrec climb experiment=NAME            an experiment that ships: {experiments}
  cgrec climb levels.l1.dynamics.length=20 run=runs/other    change any value; the same command resumes
  cgrec climb --cfg job                  print the composed configuration: every key, with its value
  cgrec climb --config-dir DIR           look for experiments and mappings of your own in DIR first; may stand several times
  cgrec climb --trust                    call whatever a YAML names, also outside cgrec and installed plugins
  cgrec climb --multirun seed=1,2 'run=runs/seed_${{seed}}' hydra/launcher=joblib
                                         a sweep; hydra/launcher=slurm sends it to a cluster

Keys at the top: run (folder), seed, control, bins, threads, go_on, and the tables source, levels, variables, basins."""


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    trust = "--trust" in arguments
    arguments = [a for a in arguments if a != "--trust"]
    if {"-m", "--multirun"} & set(arguments):
        _sweep(arguments, trust)
        return
    show = _take_pair(arguments, "--cfg")
    own = _take_folders(arguments)
    _check_options(arguments)
    config = composed(arguments, own)
    if show:
        print(as_yaml(config))
        return
    if not trust:
        stays_inside(config, arguments)
    _climb_one(config, trust, frozenset(given_keys(arguments)))


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP.format(experiments=", ".join(experiments()))


def _climb_one(config: Composed, trust: bool, given: frozenset[str]) -> None:
    """Climb one composed configuration and write its report."""
    from ..report import write_report

    chain = build(config, trust, given)
    try:
        chain.climb()
    except Exception:
        _report_what_is_there(chain.folder)
        raise
    print(f"report: {write_report(chain.folder)}")


def _report_what_is_there(folder: Path) -> None:
    """The report of the levels that were finished before a climb ended, which may say why it did."""
    from ..report import write_report
    from ..run import layout
    from ..run.lock import Busy

    if not (layout.level_folder(folder, 0) / layout.REPORT).exists():
        return
    try:
        print(f"report: {write_report(folder)}")
    except (ValueError, OSError, Busy) as error:  # what ended the climb is said after it
        print(f"report: none could be written ({error})")


def _sweep(arguments: list[str], trust: bool) -> None:
    own = _take_folders(arguments)
    overrides = [a for a in arguments if a not in ("-m", "--multirun")]
    _check_options(overrides)
    given = frozenset(given_keys(overrides))
    sweep(overrides, own, trust, lambda config: _climb_one(config, trust, given))


def _check_options(arguments: list[str]) -> None:
    """Refuse what is no key=value."""
    for argument in arguments:
        if argument.startswith("-"):
            raise ValueError(
                "cgrec climb: expected key=value, --cfg job, --config-dir DIR, --multirun, "
                f"--trust or --debug, found {argument}"
            )
        if not argument.startswith("~") and argument.find("=") < 1:
            if argument.endswith(SUFFIXES):
                continue
            raise ValueError(
                f"cgrec climb: expected key=value or the path of a YAML, found {argument!r}; e.g. "
                "experiment=gaussian_chain, or cgrec climb mine.yaml"
            )


def _take_pair(arguments: list[str], flag: str) -> str | None:
    if flag not in arguments:
        return None
    example = "--cfg job" if flag == "--cfg" else f"{flag} FOLDER"
    place = arguments.index(flag)
    if place + 1 >= len(arguments):
        raise ValueError(f"{flag}: expected a value after it, found none; e.g. {example}")
    value = arguments[place + 1]
    if flag == "--cfg" and value != "job":
        raise ValueError(f"--cfg: expected job, found {value}; e.g. {example}")
    del arguments[place : place + 2]
    return value


def _take_folders(arguments: list[str]) -> list[str]:
    """All of --config-dir, in their order, also as --config-dir=DIR; they are taken out of
    `arguments`.
    """
    flag = "--config-dir"
    folders: list[str] = []
    for place, argument in reversed(list(enumerate(arguments))):
        if argument.startswith(f"{flag}="):
            arguments[place : place + 1] = [flag, argument.partition("=")[2]]
    while (folder := _take_pair(arguments, flag)) is not None:
        folders.append(folder)
    return folders
