"""make every level of an experiment, the ledger and the report; the same command resumes"""

from __future__ import annotations

import sys
from pathlib import Path

from ..configuration import Composed, as_yaml, build, checked, composed, experiments, sweep
from ._words import Words, read

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

Keys at the top: run (folder), seed, control, bins, device, threads, go_on, and the tables source, levels, variables, basins."""


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    if {"-m", "--multirun"} & set(arguments):
        _sweep(read("cgrec climb", [a for a in arguments if a not in ("-m", "--multirun")]))
        return
    words = read("cgrec climb", arguments)
    if words.show:
        print(as_yaml(composed(words.overrides, words.folders)))
        return
    _climb_one(words.configuration(), words.trust, words.given)


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP.format(experiments=", ".join(experiments()))


def _climb_one(config: Composed, trust: bool, given: frozenset[str]) -> None:
    """Climb one composed configuration and write its report."""
    from ..run.events import waiting

    folder = str(config.get("run") or "")
    with waiting(folder):
        checked(config, trust, given)
        _say_at_once(folder, len(config.get("levels") or ()))
        chain = build(config, trust, given)
        from ..chain.forecast import forecast

        list(forecast(chain))  # refuses what cannot work
        try:
            chain.climb(lambda chain: _report_what_is_there(chain.folder))
        except Exception:
            _report_what_is_there(chain.folder, said=True)
            raise
    from ..report import write_report  # it takes seconds to import, and a wrong word none

    print(f"report: {write_report(chain.folder)}")


def _say_at_once(folder: str, levels: int) -> None:
    """A first line, before what takes seconds to import."""
    sys.stderr.write(f"cgrec climb: {folder}, {levels} levels above level 0; torch is loaded ...\n")
    sys.stderr.flush()


def _report_what_is_there(folder: Path, said: bool = False) -> None:
    """The report of the levels that are finished, while a climb goes on and when it ended early.

    Args:
        said: print where it is.
    """
    from ..report import write_report
    from ..run import layout

    if not (layout.level_folder(folder, 0) / layout.REPORT).exists():
        return
    try:
        path = write_report(folder)
        if said:
            print(f"report: {path}")
    except Exception as error:  # no page is worth a climb
        print(f"report: none could be written ({error})")


def _sweep(words: Words) -> None:
    sweep(
        words.overrides,
        words.folders,
        words.trust,
        lambda config: _climb_one(config, words.trust, words.given),
    )
