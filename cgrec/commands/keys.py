"""every key of a configuration, or of a class: unit, default, range, choices, meaning"""

from __future__ import annotations

import textwrap

from ..configuration import Key, as_plain, chosen, experiments, keys_of, keys_of_class
from ..options import WIDTH
from ._words import read

_HELP = """cgrec keys: every key that a YAML or the command line can give, with what it means

  cgrec keys                             keys of the default experiment
  cgrec keys levels.l1.dynamics          those of one table
  cgrec keys levels.l1.dynamics.timestep one key
  cgrec keys experiment=nacl source      of another experiment, or of mine.yaml
  cgrec keys Exchange                    arguments of a class that a table can name by _target_

Of each: what is expected, with its range; the default, and the value where the experiment has another;
the meaning, which begins with the unit. Experiments: {experiments}."""


def keys(arguments: list[str]) -> None:
    """Print keys with their meaning."""
    plain = [a for a in arguments if _is_key(a)]
    words = read("cgrec keys", [a for a in arguments if not _is_key(a)])
    if len(plain) > 1:
        raise ValueError(f"cgrec keys: expected one key, found {' and '.join(plain)}; give one")
    name = plain[0] if plain else ""
    if name[:1].isupper() or name.startswith("cgrec."):
        print(table(keys_of_class(name)))
        return
    every = list(keys_of(as_plain(words.configuration())))
    print(table(chosen(every, name) if name else every))


def explain(arguments: list[str]) -> str:
    """What --help says."""
    return _HELP.format(experiments=", ".join(experiments()))


def _is_key(word: str) -> bool:
    return "=" not in word and not word.startswith(("-", "~")) and not word.endswith(".yaml")


def table(keys: list[Key]) -> str:
    """A line for each key, its meaning below it."""
    lines = []
    for key in keys:
        now = f"; here {key.now}" if key.now else ""
        lines.append(f"{key.key}  ({key.kind}; {_default(key)}{now})")
        meaning = key.argument.says or "no meaning is written down"
        lines += textwrap.wrap(
            meaning, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )
    return "\n".join(lines)


def _default(key: Key) -> str:
    return key.default if key.argument.needed else f"default {key.default}"
