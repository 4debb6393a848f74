"""make every level of an experiment, the ledger and the report; the same command resumes"""

from __future__ import annotations

from ..configuration import Composed, as_yaml, composed, experiments, sweep
from ._climbing import climb_one
from ._words import Words, read

_HELP = """cgrec climb: make every level of an experiment that is not there yet, the error ledger, and report.html

  cgrec climb                            alanine dipeptide, three levels above the atoms, in minutes
  cgrec climb mine.yaml                  a file of your own; cgrec init FILES writes one for your data
  cgrec climb experiment=NAME            an experiment that ships: {experiments}
  cgrec climb levels.l1.dynamics.length=20 run=runs/other    change any value; the same command resumes
  cgrec climb --cfg job                  print the composed configuration: every key, with its value
  cgrec climb --config-dir DIR           look for experiments and mappings of your own in DIR first; may stand several times
  cgrec climb --trust                    call whatever a YAML names, also outside cgrec and installed plugins
  cgrec climb mine.yaml submit=slurm slurm.partition=gpu slurm.time=240
                                         a job for each level on a cluster: submits, waits, and may be killed meanwhile
  cgrec climb --multirun seed=1,2 'run=runs/seed_${{seed}}' hydra/launcher=joblib
                                         a sweep; hydra/launcher=slurm sends it to a cluster

Keys at the top: run (folder), seed, control, bins, device, threads, go_on, submit, and the tables source, levels, variables, basins, slurm."""


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    if {"-m", "--multirun"} & set(arguments):
        _sweep(read("cgrec climb", [a for a in arguments if a not in ("-m", "--multirun")]))
        return
    words = read("cgrec climb", arguments)
    if words.show:
        print(as_yaml(composed(words.overrides, words.folders)))
        return
    _climb(words, words.configuration())


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP.format(experiments=", ".join(experiments()))


def _climb(words: Words, config: Composed) -> None:
    """One climb, here or by jobs."""
    if config.get("submit") is None:
        climb_one(config, words.trust, words.given)
        return
    from ._submitted import climb_by_jobs

    climb_by_jobs(words, config)


def _sweep(words: Words) -> None:
    sweep(words.overrides, words.folders, words.trust, lambda config: _climb_here(words, config))


def _climb_here(words: Words, config: Composed) -> None:
    """A climb of a sweep, which has launchers of its own.

    Raises:
        ValueError: `submit` is given, too.
    """
    if config.get("submit") is not None:
        raise ValueError(
            f"submit: expected none beside --multirun, found {config.submit}; give "
            "hydra/launcher=slurm, which sends each climb of a sweep to the cluster"
        )
    climb_one(config, words.trust, words.given)
