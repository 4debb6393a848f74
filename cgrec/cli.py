"""The console command. hydra and omegaconf stop here: nothing below ever sees a DictConfig."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

USAGE = """cgrec: recursive coarse-graining

  cgrec climb                            alanine dipeptide, three levels above the atoms, in minutes
  cgrec climb experiment=NAME            another experiment: {experiments}
  cgrec climb levels.l1.dynamics.length=20 run=runs/other    change any value; the same command resumes
  cgrec climb --cfg job                  print the composed configuration
  cgrec climb --config-dir DIR           look for experiments of your own in DIR first
  cgrec climb --multirun seed=1,2 'run=runs/seed_${{seed}}' hydra/launcher=joblib
                                         a sweep; hydra/launcher=slurm sends it to a cluster
  cgrec report run=FOLDER                write FOLDER/report.html anew
"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `cgrec` and `python -m cgrec`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"climb": climb, "report": report}
    if not arguments or arguments[0] not in commands or {"-h", "--help"} & set(arguments):
        print(
            USAGE.format(
                experiments=", ".join(sorted(p.stem for p in (configuration() / "experiment").glob("*.yaml")))
            )
        )
        sys.exit(0 if not arguments or {"-h", "--help"} & set(arguments) else 2)
    try:
        commands[arguments[0]](arguments[1:])
    except (ValueError, KeyError, OSError, HydraException, OmegaConfBaseException) as error:
        sys.exit(f"cgrec: {error}")


def climb(arguments: list[str]) -> None:
    """Compose the configuration, climb, write the report."""
    if {"-m", "--multirun"} & set(arguments):
        sweep(arguments)
        return
    show = _take_pair(arguments, "--cfg")
    config = composed(arguments, _take_pair(arguments, "--config-dir"))
    if show:
        print(OmegaConf.to_yaml(config))
        return
    climb_one(config)


def climb_one(config: Any) -> None:
    """Climb one composed configuration and write its report."""
    from .report import write_report

    chain = build(config)
    chain.climb()
    print(f"report: {write_report(chain.folder)}")


def sweep(arguments: list[str]) -> None:
    """Many climbs by hydra's own sweepers and launchers, which read the command line themselves."""
    before, sys.argv = sys.argv, ["cgrec climb", *arguments]
    try:
        hydra.main(config_path=str(configuration()), config_name="config", version_base="1.3")(climb_one)()
    finally:
        sys.argv = before


def report(arguments: list[str]) -> None:
    """Write the report of a run again."""
    from .report import write_report

    given = dict(a.split("=", 1) for a in arguments if "=" in a)
    if set(given) != {"run"}:
        raise ValueError(f"cgrec report: expected run=FOLDER, found {' '.join(arguments) or 'nothing'}")
    print(f"report: {write_report(Path(given['run']))}")


def composed(overrides: list[str], own: str | None = None) -> Any:
    """The configuration as hydra composes it; an unknown key is refused with its name."""
    if own is not None:
        overrides = [*overrides, f"hydra.searchpath=[file://{Path(own).resolve()}]"]
    with initialize_config_dir(str(configuration()), version_base="1.3"):
        return compose("config", overrides=overrides)


def build(config: Any) -> Any:
    """The Chain a configuration describes."""
    from .chain import Chain

    plain: Any = OmegaConf.to_container(config, resolve=True)
    made = instantiate(config, _convert_="all")
    recipe = {k: v for k, v in plain.items() if k not in ("run", "threads")}
    known = {k: made[k] for k in ("source", "levels", "variables", "seed", "control", "bins", "threads")}
    return Chain(made["run"], recipe=recipe, **known)


def configuration() -> Path:
    """The shipped conf folder: in the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.exists() else Path(__file__).parents[1] / "conf"


def _take_pair(arguments: list[str], flag: str) -> str | None:
    if flag not in arguments:
        return None
    place = arguments.index(flag)
    if place + 1 >= len(arguments):
        raise ValueError(f"{flag} needs a value")
    value = arguments[place + 1]
    del arguments[place : place + 2]
    return value
