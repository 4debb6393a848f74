"""Options of a command: fields of a dataclass, or keywords of a function, read from key=value words.

A dataclass states each option once: its name, its type, its default, and in `Annotated` a `Help`
with its meaning and unit. Python calls the class, the command line reads words for it (`read`), and
`cgrec COMMAND --help` lists it (`described`). Keywords of a function have their meaning from the
"Args:" of its docstring.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

#: A function.
F = TypeVar("F", bound=Callable[..., object])
#: Columns of the text of --help.
WIDTH = 100
#: What types are called.
_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


class WrongUsage(ValueError):
    """Words that no command has: an unknown command or flag."""


@dataclass(frozen=True, kw_only=True)
class Help:
    """What stands in `Annotated` beside the type of an option.

    Attributes:
        says: the meaning, in words that a user reads.
        unit: of the value.
        word: what the command line calls it, where Python cannot: "from" for `begin`.
        level: the value is the number of a level, which may be written 1, l1, level1 or "level 1".
        at_least, at_most: bounds of a number.
        choices: the only values; empty: any.
        bare: the value may be given without its key, as the first word.
    """

    says: str
    unit: str = ""
    word: str = ""
    level: bool = False
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    bare: bool = False

    def wanted(self) -> str:
        """Its bounds or choices in words; empty without."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        return "" if self.at_least is None else f"{self.at_least:g} or more"

    def allows(self, value: object) -> bool:
        """Whether `value` is inside."""
        if self.choices:
            return value in self.choices
        if not isinstance(value, int | float):
            return True
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= value <= high


@dataclass(frozen=True)
class Keywords:
    """Beside a dict in `Annotated`: its keys are the keyword-only arguments of `function`, each an
    option with the type, default and meaning that stand there.
    """

    function: Callable[..., object]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a command.

    Attributes:
        word: its key on the command line.
        name: its keyword in Python.
        hint: its type, without `Annotated`.
        default: `inspect.Parameter.empty` where it must be given.
        help: meaning and unit.
        inside: the field whose dict it goes into; empty: it is a field itself.
    """

    word: str
    name: str
    hint: object
    default: object
    help: Help
    inside: str = ""

    @property
    def needed(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    def read(self, command: str, text: str) -> object:
        """`text` as the type wants it: a number, text, a list with commas, null.

        Raises:
            ValueError: it is no such thing.
        """
        if self.help.level:
            text = re.sub(r"^(level|l)\s*(?=\d)", "", text.strip())
        value = _value(command, self.word, text, self.hint)
        self.check(command, value)
        return value

    def check(self, command: str, value: object) -> None:
        """ValueError where `value` is out of bounds or none of the choices."""
        if not self.help.allows(value):
            raise ValueError(
                f"{command}: expected {self.word}= {self.help.wanted()}, found {value}"
            )


def options_of(target: Callable[..., object]) -> list[Option]:
    """The fields of a dataclass, or the keyword-only arguments of a function or class."""
    arguments = inspect.signature(target).parameters.values()
    made = target.__init__ if inspect.isclass(target) else target
    hints = get_type_hints(target if is_dataclass(target) else made, include_extras=True)
    said = said_in(inspect.getdoc(target) or "")
    found: list[Option] = []
    for argument in arguments:
        if argument.kind is argument.KEYWORD_ONLY:
            hint = hints.get(argument.name, str)
            about = Help(says=said.get(argument.name, ""))
            found += _options(argument.name, hint, argument.default, about)
    return found


def _options(name: str, hint: object, default: object, about: Help) -> list[Option]:
    """What one argument brings: itself, or the keywords that its dict stands for."""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Keywords):
                return [replace(option, inside=name) for option in options_of(note.function)]
            if isinstance(note, Help):
                about = note
    return [Option(word=about.word or name, name=name, hint=hint, default=default, help=about)]


def keywords_of(source: Callable[..., object]) -> Callable[[F], F]:
    """Let `help` and `inspect.signature` of a function that passes `**options` on to `source` show
    what of `source` has a default: each name, type and default then stands in one place.
    """

    def shown(function: F) -> F:
        own = inspect.signature(function)
        named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        given = inspect.signature(source).parameters.values()
        passed = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in given
            if p.default is not p.empty and p.name not in own.parameters
        ]
        whole = own.replace(parameters=[*named, *passed])
        setattr(function, "__signature__", whole)  # noqa: B010 (unknown to type checkers)
        return function

    return shown


def said_in(docstring: str) -> dict[str, str]:
    """{argument: what the "Args:" or "Attributes:" of a docstring say}; "length, timestep: ps" is
    said of both.
    """
    found: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n((?: +.*\n?|\n)+)", docstring, re.MULTILINE):
        for entry in re.split(r"\n(?=    \S)", "\n" + section)[1:]:
            names, _, words = entry.partition(":")
            for name in names.split(","):
                found[name.strip()] = " ".join(words.split()).removesuffix(".")
    return found


def read(command: str, words: Sequence[str], options: Sequence[Option]) -> dict[str, Any]:
    """{keyword in Python: value} of key=value words.

    Args:
        command: its name, for messages.
        words: after the name.
        options: that it takes.

    Raises:
        ValueError: an unknown key, with the nearest known one; one that is missing, or given twice;
            a value of another type.
    """
    words = _keyed(words, options)
    check(command, words, options)
    texts = dict(word.split("=", 1) for word in words)
    found: dict[str, object] = {}
    inside: dict[str, dict[str, object]] = {}
    for option in options:
        if option.word in texts:
            home = inside.setdefault(option.inside, {}) if option.inside else found
            home[option.name] = option.read(command, texts[option.word])
    return found | inside


def _keyed(words: Sequence[str], options: Sequence[Option]) -> list[str]:
    """`words` with its key before the first, where that is the value of a bare option."""
    bare = [option.word for option in options if option.help.bare]
    if not bare or not words or words[0].partition("=")[0] in [o.word for o in options]:
        return list(words)
    return [f"{bare[0]}={words[0]}", *words[1:]]


def check(command: str, words: Sequence[str], options: Sequence[Option]) -> None:
    """Refuse words whose keys are not those of `options`.

    Raises:
        ValueError: as `read`, but for the values.
    """
    known = [option.word for option in options]
    keys = [word.partition("=")[0] for word in words]
    wrong = [word for word, key in zip(words, keys) if key not in known or "=" not in word]
    wanted = f"{command}: expected key=value with keys {', '.join(known)}"
    if wrong:
        near = get_close_matches(wrong[0].partition("=")[0], known, 1)
        hint = f"; did you mean {near[0]}=?" if near else ""
        raise ValueError(f"{wanted}; unknown: {' '.join(wrong)}{hint}")
    missing = [f"{o.word}=" for o in options if o.needed and o.word not in keys]
    if missing:
        raise ValueError(f"{wanted}; missing: {' '.join(missing)}")
    twice = [key for key in known if keys.count(key) > 1]
    if twice:
        raise ValueError(
            f"{command}: expected {twice[0]}= once, found it {keys.count(twice[0])} times"
        )


def check_fields(command: str, options: object) -> None:
    """Refuse a field of a dataclass of options that is out of its bounds.

    Raises:
        ValueError: naming it, as the command line calls it.
    """
    for option in options_of(type(options)):
        if not option.inside:
            option.check(command, getattr(options, option.name))


def described(options: Sequence[Option]) -> str:
    """A table for --help: key, type and default, meaning with unit."""
    rows = [(f"{o.word}=", _type_and_default(o), _meaning(o)) for o in options]
    first, second = (max((len(row[k]) for row in rows), default=0) for k in (0, 1))
    lines = []
    for key, kind, meaning in rows:
        begin = f"  {key:{first}}  {kind:{second}}  "
        lines += textwrap.wrap(
            meaning,
            WIDTH,
            initial_indent=begin,
            subsequent_indent=" " * len(begin),
            break_on_hyphens=False,
        ) or [begin.rstrip()]
    return "\n".join(lines)


def _type_and_default(option: Option) -> str:
    if option.needed:
        return f"{_in_words(option)}, needed"
    if option.default is None:
        return f"{_in_words(option)}, null"
    default = option.default
    if isinstance(default, Sequence) and not isinstance(default, str):
        default = ",".join(map(str, default))
    return f"{_in_words(option)}, {default}" if default != "" else _in_words(option)


def _in_words(option: Option) -> str:
    if option.help.level:
        return "a level"
    if get_origin(option.hint) is Sequence:
        (kind,) = get_args(option.hint)
        return {int: "whole numbers", float: "numbers"}.get(kind, "words") + " with commas"
    kinds = [k for k in get_args(option.hint) or (option.hint,) if k is not NoneType]
    return " or ".join(_WORDS.get(kind, "text") for kind in kinds)


def _meaning(option: Option) -> str:
    unit = f"{option.help.unit}, " if option.help.unit else ""
    return unit + option.help.says


def _value(command: str, key: str, text: str, hint: object) -> object:
    if get_origin(hint) is Sequence:
        return [_value(command, key, part, get_args(hint)[0]) for part in text.split(",")]
    kinds = get_args(hint) or (hint,)
    if NoneType in kinds and text in ("null", "None"):
        return None
    if bool in kinds:
        return _truth(command, key, text)
    if float in kinds:
        return _number(command, key, text)
    return _whole(command, key, text) if int in kinds else text


def _truth(command: str, key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{command}: expected {key}= true or false, found {text!r}")
    return text == "true"


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
