"""Keys that no YAML lists: keywords of the class that a table names, which have their default there.

A YAML of ours states only what it changes, so hydra knows only those keys, and takes another one
only as ++key=value. `with_plus` writes the pluses where the key is a keyword of the class.
"""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from .declared import declared
from .targets import is_ours


def with_plus(overrides: Sequence[str], config: DictConfig) -> list[str]:
    """`overrides` with pluses before those of keys that only a class knows.

    Args:
        overrides: key=value, of the command line.
        config: as composed without them; its tables name the classes.
    """
    return [f"++{o}" if _is_unlisted(o.partition("=")[0], config) else o for o in overrides]


def keywords(config: DictConfig, parent: str) -> list[str]:
    """What the class that the table `parent` names takes; nothing where it names none of cgrec's."""
    table: object = OmegaConf.select(config, parent, throw_on_resolution_failure=False)
    target = table.get("_target_") if isinstance(table, DictConfig) else None
    if not isinstance(target, str) or not is_ours(target):
        return []
    found = declared(target)
    return [] if found is None else list(found.arguments)


def _is_unlisted(key: str, config: DictConfig) -> bool:
    parent, _, name = key.rpartition(".")
    if not parent or key[0] in "+~" or "@" in key or "/" in key:
        return False
    table: object = OmegaConf.select(config, parent, throw_on_resolution_failure=False)
    return isinstance(table, DictConfig) and name not in table and name in keywords(config, parent)
