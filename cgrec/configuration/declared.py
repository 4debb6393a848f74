"""What a class of cgrec takes, read from its source without importing it.

Importing a class imports torch, which takes seconds; a wrong word should be refused, and a key
explained, in one. So the file of a class is parsed: its arguments, their types and defaults, and what
its docstring says of each. What is found here is what Python finds: a test compares the two for every
class that a configuration may name.
"""

from __future__ import annotations

import ast
import builtins
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from .._moved import DIVIDED, moved
from ..options import Help, Keywords, said_in

PACKAGE = Path(__file__).parents[1]
#: Stands where an argument has no default.
NEEDED = object()
Node = ast.ClassDef | ast.FunctionDef
#: Names of hints that are what they are outside cgrec.
_KNOWN: dict[str, object] = {
    **{name: getattr(builtins, name) for name in ("bool", "int", "float", "str", "object")},
    **{name: getattr(builtins, name) for name in ("list", "dict", "tuple", "set", "type")},
    **{name: getattr(typing, name) for name in ("Any", "Literal", "Annotated", "Optional")},
    "Sequence": Sequence,
    "Mapping": Mapping,
    "Callable": Callable,
    "Path": Path,
    "Help": Help,
    "Keywords": Keywords,
    "None": None,
}


@dataclass(frozen=True)
class Argument:
    """One argument of a class or function.

    Attributes:
        name: of it.
        hint: its type; a class of cgrec is there as a class of that name that nothing can be made of.
        default: its value; `NEEDED` without one, an `Unread` where the source computes it.
        says: its meaning, of the docstring.
        keyword_only: whether it must be given by its name.
    """

    name: str
    hint: object
    default: object
    says: str
    keyword_only: bool = False

    @property
    def needed(self) -> bool:
        """Whether it must be given."""
        return self.default is NEEDED


@dataclass(frozen=True)
class Unread:
    """A default that only running its source would tell.

    Attributes:
        source: what stands there.
    """

    source: str


@dataclass(frozen=True)
class Declared:
    """What a class, one of its makers or a function takes.

    Attributes:
        name: dotted, where it is defined.
        module: its file.
        node: its class or function.
        arguments: by name, in their order.
        free: whether it takes other names, too.
        says: the first paragraph of its docstring.
    """

    name: str
    module: Module
    node: Node
    arguments: dict[str, Argument]
    free: bool
    says: str


@dataclass(frozen=True)
class Module:
    """One file, parsed.

    Attributes:
        name: dotted.
        names: {name: what is assigned or defined under it}.
        imports: {name: (module, name there)}, of cgrec alone.
        foreign: {name: what another package calls it}.
    """

    name: str
    names: dict[str, ast.stmt] = field(repr=False, default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(repr=False, default_factory=dict)
    foreign: dict[str, str] = field(repr=False, default_factory=dict)


@cache
def module(name: str) -> Module | None:
    """The file of a dotted name; None where there is none."""
    place = PACKAGE.parent.joinpath(*name.split("."))
    package = (place / "__init__.py").exists()
    path = place / "__init__.py" if package else place.with_suffix(".py")
    if not path.exists():
        return None
    made = Module(name)
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            made.names[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made.names[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            made.names[node.target.id] = node
        elif isinstance(node, ast.ImportFrom) and node.level:
            up = name.split(".")
            base = up[: len(up) - node.level + package]
            whole = ".".join([*base, *([node.module] if node.module else [])])
            made.imports.update({a.asname or a.name: (whole, a.name) for a in node.names})
        elif isinstance(node, ast.ImportFrom):
            made.foreign.update({a.asname: a.name for a in node.names if a.asname})
    return made


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those at the top of a file, also of what only a type checker imports."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements(node.body)
        else:
            yield node


def find(home: Module, name: str) -> tuple[Module, ast.stmt] | None:
    """Where a name that a file uses is defined in cgrec; None where it is not."""
    if name in home.names:
        return home, home.names[name]
    if name in home.imports:
        there, other = home.imports[name]
        found = None if there == home.name else module(there)  # a file of the folder itself
        return None if found is None else find(found, other)
    for there in _looked_up_in(home):
        later = module(there)
        if later is not None and name in (*later.names, *later.imports):
            return find(later, name)
    return None


def _looked_up_in(home: Module) -> list[str]:
    """Where the `__getattr__` of a file finds names that it does not hold."""
    node = home.names.get("__getattr__")
    text = "" if node is None else ast.unparse(node)
    return re.findall(r"import_module\('(cgrec[\w.]*)'\)", text)


@cache
def declared(target: str) -> Declared | None:
    """What a dotted name of cgrec takes: a class, a maker of one, or a function; None where cgrec
    holds no such name.
    """
    words = (moved(target) or target).split(".")
    if words[:1] != ["cgrec"]:
        return None
    if len(words) > 2 and words[1] in DIVIDED:
        now = [f"cgrec.{room}.{'.'.join(words[2:])}" for room in DIVIDED[words[1]]]
        return next((found for t in now if (found := declared(t)) is not None), None)
    for n in range(len(words) - 1, 0, -1):
        home = module(".".join(words[:n]))
        if home is not None:
            return _declared_in(home, words[n:])
    return None


def ours(target: str) -> Declared:
    """`declared` of a name that cgrec holds.

    Raises:
        LookupError: it was renamed, and what names it was not.
    """
    found = declared(target)
    if found is None:
        raise LookupError(f"{target}: expected a name of cgrec, found none; correct what names it")
    return found


def _declared_in(home: Module, words: Sequence[str]) -> Declared | None:
    found = find(home, words[0])
    if found is None or len(words) > 2:
        return None
    home, node = found
    if not isinstance(node, ast.ClassDef | ast.FunctionDef):
        return None
    if len(words) == 1:
        return _read(home, node, node)
    for where, base in _line(home, node):
        maker = _method(base, words[1])
        if maker is not None:
            return _read(where, node, maker)
    return None


def names_in(room: str) -> list[str]:
    """Public classes and functions of a room, and its files' names."""
    home = module(room)
    return [] if home is None else [n for n in (*home.names, *home.imports) if n[0] != "_"]


def lineage(found: Declared) -> list[tuple[Module, ast.ClassDef]]:
    """The class and those of cgrec that it stands on, nearest first; nothing for a function."""
    return _line(found.module, found.node)


def _line(home: Module, node: ast.stmt) -> list[tuple[Module, ast.ClassDef]]:
    if not isinstance(node, ast.ClassDef):
        return []
    line = [(home, node)]
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        found = find(home, name.id) if isinstance(name, ast.Name) else None
        line += [one for one in _line(*found) if one not in line] if found else []
    return line


def is_error(found: Declared) -> bool:
    """Whether it is a class of errors."""
    bases = [base for _, node in lineage(found) for base in node.bases]
    kinds = [getattr(builtins, ast.unparse(base), None) for base in bases]
    return any(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _read(home: Module, node: Node, called: Node) -> Declared:
    line = _line(home, node)
    free = False
    found: dict[str, Argument] = {}
    if called is not node or not line:
        assert isinstance(called, ast.FunctionDef)
        said = _said(home, called) if not line else _said_of_line(line, called)
        found, free = _of_function(home, called, said, skip=called is not node)
    else:
        for where, base in line:
            made = _method(base, "__init__")
            if made is not None:
                said = _said_of_line(line, made)
                found, free = _of_function(where, made, said, skip=True)
                break
            if _is_dataclass(base):
                found = _of_fields(line)
                break
    name = f"{home.name}.{node.name}" + (f".{called.name}" if called is not node else "")
    says = (ast.get_docstring(called) or ast.get_docstring(node) or "").partition("\n\n")[0]
    return Declared(name, home, node, found, free, " ".join(says.split()))


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _of_fields(line: Sequence[tuple[Module, ast.ClassDef]]) -> dict[str, Argument]:
    """Fields of dataclasses, those of the farthest first."""
    said = _said_of_line(line, None)
    found: dict[str, Argument] = {}
    for home, node in reversed(line):
        for one in node.body if _is_dataclass(node) else ():
            if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
                continue
            if "ClassVar" in ast.unparse(one.annotation) or one.target.id[0] == "_":
                continue
            if one.value is not None and "init=False" in ast.unparse(one.value):
                continue
            default = NEEDED if one.value is None else _default(home, one.value)
            name = one.target.id
            found[name] = Argument(name, hint_of(home, one.annotation), default, said.get(name, ""))
    return found


def _of_function(
    home: Module, node: ast.FunctionDef, said: Mapping[str, str], skip: bool
) -> tuple[dict[str, Argument], bool]:
    """Arguments of a function, without the first where `skip`; and whether it takes others."""
    plain = [*node.args.posonlyargs, *node.args.args]
    missing = len(plain) - len(node.args.defaults)
    pairs = list(zip(plain, [*[None] * missing, *node.args.defaults]))[int(skip) :]
    pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults))
    found = {
        a.arg: Argument(
            a.arg,
            object if a.annotation is None else hint_of(home, a.annotation),
            NEEDED if value is None else _default(home, value),
            said.get(a.arg, ""),
            a in node.args.kwonlyargs,
        )
        for a, value in pairs
    }
    return found, node.args.kwarg is not None


def _said_of_line(
    line: Sequence[tuple[Module, ast.ClassDef]], called: ast.FunctionDef | None
) -> dict[str, str]:
    """Meanings of arguments: those of the call, of the class, then of what it stands on."""
    found: dict[str, str] = {}
    for home, node in line:
        found = _said(home, node) | found
        made = _method(node, "__init__")
        found = (_said(home, made) if made is not None else {}) | found
    home = line[0][0]
    return found | (_said(home, called) if called is not None else {})


def _said(home: Module, node: Node) -> dict[str, str]:
    """{argument: what a docstring says}, also of the one that it points to by "as in `...`"."""
    text = ast.get_docstring(node) or ""
    said = said_in(text)
    other = re.search(r"[Aa]rguments (?:as in|of) `([\w.]+)`", text)
    if other is None:
        return said
    name = other[1] if other[1].startswith("cgrec.") else f"{home.name}.{other[1]}"
    found = declared(name)
    if found is None:
        return said
    return {name: argument.says for name, argument in found.arguments.items()} | said


def _default(home: Module, node: ast.expr) -> object:
    """The value of a default, also of one that a constant of cgrec names."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    if isinstance(node, ast.Name):
        found = find(home, node.id)
        value = getattr(found[1], "value", None) if found is not None else None
        if found is not None and isinstance(value, ast.expr):
            return _default(found[0], value)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        for keyword in node.keywords:
            if keyword.arg == "default":
                return _default(home, keyword.value)
            if keyword.arg == "default_factory" and ast.unparse(keyword.value) in ("dict", "list"):
                return {} if ast.unparse(keyword.value) == "dict" else []
    return Unread(ast.unparse(node))


class _Names(dict[str, object]):
    """Names of a hint: types of Python, and a stand-in for each class of cgrec."""

    def __init__(self, home: Module) -> None:
        super().__init__(_KNOWN)
        self.update({n: _KNOWN[o] for n, o in home.foreign.items() if o in _KNOWN})
        self.home = home

    def __missing__(self, name: str) -> object:
        found = find(self.home, name)
        if found is None:
            imported = self.home.imports.get(name)
            return SimpleNamespace() if imported is None else object
        home, node = found
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            return _stand_in(home.name, node.name)
        value = getattr(node, "value", None)
        return hint_of(home, value) if isinstance(value, ast.expr) else object


class _Named(type):
    """Of stand-ins: their public attributes are stand-ins, too."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        return _stand_in(cls.__module__, f"{cls.__name__}.{name}")


@cache
def _stand_in(home: str, name: str) -> type:
    """A class of that name, with which nothing can be done but to see that it is one of cgrec."""
    known = {"__module__": home, "__class_getitem__": classmethod(lambda cls, _: cls)}
    return _Named(name, (), known)


def hint_of(home: Module, node: ast.expr) -> object:
    """The type that an annotation means; `object` where it is one of another package."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp):  # a union: each part counts, also beside a foreign one
        parts = hint_of(home, node.left), hint_of(home, node.right)
        return typing.Union[tuple(type(None) if p is None else p for p in parts)]  # noqa: UP007
    try:
        source = compile(ast.Expression(node), home.name, "eval")
        found: object = eval(source, {}, _Names(home))  # of our own files
    except (TypeError, AttributeError, NameError):
        return object
    return object if isinstance(found, SimpleNamespace) else found
