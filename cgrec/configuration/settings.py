"""The configuration of a climb: conf/config.yaml, then the experiment, then the command line; the
last word wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..run import layout
from .own_yaml import as_experiment, split
from .shapes import misshapen, undecodable
from .unlisted import keywords, with_plus

#: What `cgrec climb` reads at the top of a configuration; anything else there must be used by a
#: ${...} to mean something.
TOP = (
    "name",
    "run",
    "source",
    "levels",
    "variables",
    "seed",
    "control",
    "bins",
    "device",
    "threads",
    "basins",
    "go_on",
    "submit",
    "slurm",
)
#: What hydra composes: to be looked at and built from in this room only.
Composed = DictConfig
#: Tables whose entries have names of the user's own.
NAMED_FREELY = frozenset({"variables", "basins", "refine", "priors"})
#: Keys whose values are paths: taken as they are written, whatever characters they have.
PATHS = frozenset({"path", "forces_path", "topology", "structure", "run", "python"})


def configuration() -> Path:
    """The shipped conf folder: in the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.exists() else Path(__file__).parents[2] / "conf"


def experiments() -> list[str]:
    """Names of those that ship."""
    return sorted(path.stem for path in (configuration() / "experiment").glob("*.yaml"))


def as_yaml(config: DictConfig) -> str:
    """A configuration of `composed` as text."""
    return OmegaConf.to_yaml(config)


def as_plain(config: DictConfig) -> dict[str, object]:
    """A configuration of `composed` as plain values; ${...} stays where nothing stands for it."""
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(config, resolve=False)
    return dict(plain)


def composed(
    overrides: list[str], own: str | Sequence[str] = (), *, hydra_too: bool = False
) -> DictConfig:
    """The configuration as hydra composes it.

    Args:
        overrides: key=value, as on the command line; one may be the path of a YAML instead, which
            is the experiment.
        own: folders of the user's own groups and experiments, looked at before the shipped ones,
            the first one first.
        hydra_too: leave hydra's own node in it.

    Raises:
        ValueError: an unknown key, with near misses; a value that cannot be read; a folder or file
            that does not fit.
    """
    file, rest = split(overrides)
    with as_experiment(file) as (first, chosen):
        folders = [*map(own_folder, [own] if isinstance(own, str) else own), configuration()]
        return _composed([*chosen, *map(readable, rest)], [*first, *folders], hydra_too)


def _composed(overrides: list[str], folders: list[Path], hydra_too: bool) -> DictConfig:
    """`composed` of words that hydra can read, with all folders to look in."""
    with in_folders(folders):
        try:
            config = _compose(overrides, hydra_too)
        except MissingConfigException:
            raise  # it knows its group and the choices
        except UnicodeDecodeError as error:
            raise ValueError(undecodable(folders, overrides) or str(error)) from error
        except (HydraException, ValueError) as error:
            words = misshapen(str(error), folders)
            if words is not None:
                raise ValueError(words) from error
            if not isinstance(error, ConfigCompositionException):
                raise
            raise _explained(error, overrides) from error
    _check_top(config)
    return config


@contextmanager
def in_folders(folders: Sequence[Path]) -> Iterator[None]:
    """Where hydra looks for groups and experiments: the last folder holds config.yaml."""
    with initialize_config_dir(str(folders[-1]), version_base="1.3"):
        for folder in reversed(folders[:-1]):
            _look_first_in(folder)
        yield


def _compose(overrides: list[str], hydra_too: bool) -> DictConfig:
    try:
        return compose("config", overrides=overrides, return_hydra_config=hydra_too)
    except MissingConfigException:
        raise
    except ConfigCompositionException as error:
        try:
            more = with_plus(overrides, choices_only(overrides))
        except (HydraException, ValueError):
            raise error from None
        if more == overrides:
            raise
        return compose("config", overrides=more, return_hydra_config=hydra_too)


def choices_only(overrides: Sequence[str]) -> DictConfig:
    """The configuration that choices of groups and experiments make, without values of keys."""
    return compose("config", overrides=[o for o in overrides if _is_choice(o)])


def _is_choice(override: str) -> bool:
    """Whether its key is a group of files, such as source in source=file."""
    key = override.partition("=")[0].lstrip("+~").partition("@")[0]
    return bool(GlobalHydra.instance().config_loader().get_group_options(key))


def own_folder(own: str) -> Path:
    """The folder of --config-dir, checked.

    Raises:
        ValueError: it is no folder, or holds a config.yaml, which would stand in for cgrec's own.
    """
    folder = Path(own).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"--config-dir: expected a folder, found none at {folder}")
    if (folder / layout.CONFIG).exists():
        raise ValueError(
            f"{folder / 'config.yaml'}: expected settings of your own in "
            f"{folder.name}/experiment/NAME.yaml, found a file "
            "that would take the place of cgrec's own config.yaml; rename it so and give "
            "experiment=NAME"
        )
    return folder


def _look_first_in(folder: Path) -> None:
    """Put `folder` before the shipped conf: what has the name of something shipped takes its place."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None  # made by initialize_config_dir
    loader: Any = hydra.config_loader
    loader.config_search_path.prepend("--config-dir", f"file://{folder}")
    loader.repository.initialize_sources(loader.config_search_path)


def readable(override: str, sweep: bool = False) -> str:
    """`override` as hydra's grammar takes it: a value that is plain text to a person, but not to
    hydra, gets quotes.

    Paths hold = ( ) , # ' [ spaces and letters of all languages. hydra reads some of them as its
    own signs.

    Args:
        override: key=value.
        sweep: commas between values are meant: `seed=1,2`.

    Raises:
        ValueError: hydra can read it neither as it stands nor in quotes.
    """
    key, equals, value = override.partition("=")
    if not equals or override.startswith("~"):
        return override
    if key.lstrip("+") == "hydra.searchpath":
        raise ValueError(
            f"hydra.searchpath: expected folders of your own by --config-dir DIR, found {value}"
        )
    if _is_path(key, value, sweep):
        return f"{key}={_quoted(value)}"
    if _fault(override) is None:
        return override
    plain = value[:1] not in ("[", "{", "'", '"') or _names_path(key)
    if plain and _fault(f"{key}={_quoted(value)}") is None:
        return f"{key}={_quoted(value)}"
    raise ValueError(
        f"{key}: expected a value, found {value!r}, which cannot be read ({_fault(override)}); "
        "text goes in two pairs of "
        f"quotes: '{key}=\"...\"', a list is [a, b], a table {{key: value}}"
    )


def _names_path(key: str) -> bool:
    return key.lstrip("+").rpartition(".")[2] in PATHS


def _is_path(key: str, value: str, sweep: bool) -> bool:
    """Whether the value is a path to be taken as it is written, rather than hydra's null, list,
    sweep or ${...}.
    """
    if not _names_path(key) or value in ("", "null", "???") or "${" in value:
        return False
    try:
        if Path(value).exists():
            return True
    except OSError:  # a name longer than a file can have
        return True
    return value[0] not in "['\"{" and not (sweep and "," in value)


def _quoted(value: str) -> str:
    """In double quotes; hydra's rule: a quote, and each backslash before one, is escaped by a
    backslash.
    """
    escaped = re.sub(r'(\\*)"', lambda found: 2 * found[1] + '\\"', value)
    tail = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{tail * chr(92)}"'


def _fault(override: str) -> str | None:
    """What hydra's grammar has against it; None: nothing."""
    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        return str(error).splitlines()[0]
    return None


def given_keys(overrides: list[str]) -> set[str]:
    """Keys that have their value from the command line."""
    return {
        o.partition("=")[0].lstrip("+") for o in overrides if "=" in o and not o.startswith("~")
    }


def _explained(error: ConfigCompositionException, overrides: list[str]) -> ValueError:
    """hydra's refusal of a key or a choice, in words, with near misses."""
    sweep = re.search(r"Ambiguous value for argument '([^=]+)=(.*)'", str(error))
    if sweep is not None:
        return ValueError(
            f"{sweep[1]}: expected one value, found {sweep[2]}, which is a sweep; give "
            "--multirun for one climb each, "
            f"{sweep[1]}=[{sweep[2]}] for a list, or '{sweep[1]}=\"{sweep[2]}\"' for text"
        )
    merged = re.search(r"Error merging override ([^=]+)=(.*)", str(error))
    if merged is not None:
        return ValueError(
            f"{merged[1].lstrip('+')}: expected what stands there to keep its shape, a list [...] a "
            f"list and a table {{...}} a table, found {merged[2]}; give it in that shape"
        )
    unknown = re.search(r"Could not override '([^']+)'", str(error)) or re.search(
        r"Could not append to config\.? .*?'?([\w.]+)'? is already", str(error)
    )
    if unknown is None:
        return ValueError(str(error))
    key = unknown[1]
    if "defaults list" in str(error) and key not in [
        o.partition("=")[0].lstrip("+~") for o in overrides
    ]:
        return ValueError(
            f"{key}: expected in the defaults of the experiment something to override, found "
            f"no choice of {key} before it; write "
            f"'- /{key}: NAME', without override"
        )
    rest = [o for o in overrides if o.partition("=")[0].lstrip("+~") != key]
    try:
        config = compose("config", overrides=with_plus(rest, choices_only(rest)))
        known = list(_keys(OmegaConf.to_container(config, resolve=False)))
        parent = key.rpartition(".")[0]
        for table in [parent, *get_close_matches(parent, known, 2, 0.75)] if parent else ():
            known += [f"{table}.{name}" for name in keywords(config, table)]
        known = list(dict.fromkeys(known))
    except (HydraException, ValueError):  # another argument is wrong as well
        known = []
    near = get_close_matches(key, ["experiment", *known], 3, 0.75)
    if key in known:
        return ValueError(
            f"{key}: expected values for the keys it has, found others; put the new value in "
            "its place with "
            f"'~{key}' '+{key}=...'"
        )
    hint = f"did you mean {' or '.join(near)}?" if near else _way_to(key, known)
    if key.rpartition(".")[0].rpartition(".")[2] in NAMED_FREELY:
        hint += f" To add one of a new name put a plus before it: +{key}=..."
    return ValueError(
        f"{key}: expected a key of the configuration, found none of that name; {hint}"
    )


def _way_to(key: str, known: Sequence[str]) -> str:
    """What could be meant by a key that resembles none: what its table takes."""
    parent = key.rpartition(".")[0]
    inside = [k for k in known if k.rpartition(".")[0] == parent and not k.endswith("._target_")]
    if parent and not inside:
        return f"there is no table {parent} either; cgrec climb --cfg job shows what there is"
    if not parent:
        return f"at the top stand {', '.join(TOP)}"
    return f"{parent} takes {', '.join(k.rpartition('.')[2] for k in inside)}"


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else ():
        path = f"{prefix}.{name}" if prefix else str(name)
        yield path
        yield from _keys(value, path)


def _check_top(config: DictConfig) -> None:
    """Refuse what stands at the top of a configuration and nothing reads.

    Raises:
        ValueError: an unknown key, with near misses, or an experiment without its first line.
    """
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    lost = [
        k
        for k in ("experiment", *plain)
        if k in plain and k not in (*TOP, "hydra") and not _used(str(k), plain)
    ]
    if lost and lost[0] == "experiment":
        raise ValueError(
            "experiment: expected '# @package _global_' as the first line of the experiment's "
            "YAML, found none, so that "
            "nothing in it would count; put it there"
        )
    if lost:
        near = get_close_matches(str(lost[0]), TOP, 1)
        raise ValueError(
            f"{lost[0]}: expected at the top of a configuration {', '.join(TOP)}, found a key "
            "that nothing reads; "
            + (
                f"did you mean {near[0]}?"
                if near
                else "remove it, or use it by ${" + str(lost[0]) + "}"
            )
        )


def _used(key: str, node: object) -> bool:
    """Whether some value of the configuration refers to `key`."""
    if isinstance(node, dict):
        return any(_used(key, value) for value in node.values())
    if isinstance(node, list):
        return any(_used(key, value) for value in node)
    return (
        isinstance(node, str)
        and re.search(r"\$\{[^}]*\b" + re.escape(key) + r"\b", node) is not None
    )


def stays_inside(config: DictConfig, overrides: list[str]) -> None:
    """Refuse a run folder outside the working folder that a YAML chose; on the command line `run=`
    may be anywhere.

    Raises:
        ValueError: `run`, where it would be, and how to have it there.
    """
    own = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
    plain = OmegaConf.to_container(own, resolve=True)
    assert isinstance(plain, dict)  # of a DictConfig
    run, name = str(plain.get("run")), str(plain.get("name"))
    if "run" in given_keys(overrides) or inside(run):
        return
    key = "name" if ".." in name or name.startswith(("/", "~")) else "run"
    raise ValueError(
        f"{key}: expected a folder inside {Path.cwd()}, found {run!r} in a YAML; give "
        f"run={run} on the command line to have "
        "it there"
    )


def inside(folder: str) -> bool:
    here = Path.cwd().resolve()
    return (here / Path(folder).expanduser()).resolve().is_relative_to(here)
