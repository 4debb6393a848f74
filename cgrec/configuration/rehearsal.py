"""What a constructor of cgrec says of its arguments, without importing its file.

Ranges stand once, where the argument stands: in the constructor, as calls of `cgrec.ranges` and as
raised ValueErrors. Here those statements are run on the values of a configuration, one by one, with
only plain Python at hand. A statement that needs anything else (torch, a file, an object that another
table makes) is left out: the constructor itself runs it a few seconds later.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, NoReturn

from .. import needs, ranges
from .declared import Declared, Module, Unread, declared, find, lineage, module

_PLAIN = [
    "abs",
    "all",
    "any",
    "bool",
    "dict",
    "enumerate",
    "float",
    "getattr",
    "hasattr",
    "int",
    "len",
    "list",
    "max",
    "min",
    "range",
    "round",
    "set",
    "sorted",
    "str",
    "sum",
    "tuple",
    "vars",
    "zip",
    "ValueError",
    "TypeError",
    "ImportError",
]
#: Files whose functions are called as they are.
_REAL = {module.__name__: module for module in (needs, ranges)}


class NotKnown(Exception):
    """A statement needs what is not there yet."""


class _Refused(Exception):
    """A statement refuses a value.

    Args:
        error: what the constructor would raise.
    """

    def __init__(self, error: ValueError | ImportError) -> None:
        super().__init__()
        self.error = error


class _Returned(Exception):
    """A function has an answer.

    Args:
        answer: of it.
    """

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer


class Made:
    """Stands for an object that a table makes later: nothing can be said of it now."""

    def _ask(self, *_: object, **__: object) -> NoReturn:
        raise NotKnown

    __getattr__ = __call__ = __iter__ = __len__ = __bool__ = __contains__ = __getitem__ = _ask
    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __mul__ = __rmul__ = _ask
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __mod__ = __float__ = __format__ = _ask
    __str__ = __repr__ = __hash__ = _ask

    def __eq__(self, other: object) -> bool:
        raise NotKnown


class _World(dict[str, Any]):
    """Names that a statement may use: plain Python, `cgrec.ranges`, and functions and constants of
    its own file, each made when it is asked for.
    """

    def __init__(self, home: Module) -> None:
        super().__init__({name: getattr(builtins, name) for name in _PLAIN})
        self.update(__builtins__={"__build_class__": None}, isinstance=_is, callable=_called)
        self.update(math=math, re=re, get_close_matches=difflib.get_close_matches, Path=PurePath)
        self.update(Mapping=Mapping, Sequence=Sequence, get_args=typing.get_args)
        self.update({name: self[other] for name, other in home.foreign.items() if other in self})
        self.home = home

    def __missing__(self, name: str) -> Any:
        found = find(self.home, name)
        if found is None:
            return self._room(name)
        home, node = found
        if home.name in _REAL:
            return _refusing(getattr(_REAL[home.name], name))
        world = self if home is self.home else _World(home)
        if isinstance(node, ast.FunctionDef):
            return lambda *given, **named: _call(world, node, given, named)
        if isinstance(node, ast.ClassDef):
            return lambda *given, **named: _make(f"{home.name}.{node.name}", given, named)
        value = getattr(node, "value", None)
        if not isinstance(value, ast.expr):
            raise NotKnown(name)
        return _evaluated(value, world)

    def _room(self, name: str) -> SimpleNamespace:
        """A file of cgrec that is imported as a whole: what it holds is not known."""
        there, other = self.home.imports.get(name, ("", ""))
        found = module(f"{there}.{other}") if there else None
        if found is None:
            raise NotKnown(name)
        return SimpleNamespace(**{known: Made() for known in found.names})


def _refusing(check: Callable[..., None]) -> Callable[..., None]:
    """A function whose ValueErrors and ImportErrors are refusals of a value."""

    def checked(*given: Any, **named: Any) -> None:
        try:
            check(*given, **named)
        except (ValueError, ImportError) as error:
            raise _Refused(error) from error

    return checked


def _make(name: str, given: tuple[object, ...], named: dict[str, object]) -> Made:
    """What an object that a constructor makes would refuse."""
    found = declared(name)
    if found is None:
        raise NotKnown
    _rehearse(found, dict(zip(found.arguments, given)) | named)
    return Made()


def _is(value: object, kind: Any) -> bool:
    if isinstance(value, Made):
        raise NotKnown
    return isinstance(value, kind)


def _called(value: object) -> bool:
    if isinstance(value, Made):
        raise NotKnown
    return callable(value)


def rehearse(found: Declared, values: Mapping[str, object]) -> None:
    """Run what the constructor of a class states of its arguments.

    Args:
        found: a class.
        values: {argument: what is given}; `Made` for what another table makes.

    Raises:
        ValueError, ImportError: as the constructor would.
    """
    try:
        _rehearse(found, values)
    except _Refused as refused:
        raise refused.error from None


def _rehearse(found: Declared, values: Mapping[str, object]) -> None:
    given = {a.name: a.default for a in found.arguments.values() if not a.needed} | dict(values)
    given = {k: Made() if isinstance(v, Unread) else v for k, v in given.items()}
    if isinstance(found.node, ast.FunctionDef):
        _begin(found.node, found.module, given)
    for home, made in _constructors(found):
        own = given if made.name == "__init__" else {}
        me = SimpleNamespace(**({} if own else given))
        _begin(made, home, {**own, "self": me})


def _constructors(found: Declared) -> Iterator[tuple[Module, ast.FunctionDef]]:
    """What Python runs to make an object of a class: of the nearest class that has one, and of those
    that it calls by super().
    """
    for home, node in lineage(found):
        for made in node.body:
            if isinstance(made, ast.FunctionDef) and made.name in ("__init__", "__post_init__"):
                yield home, made
                if f"super().{made.name}" not in ast.unparse(made) or made.name == "__init__":
                    return


def _begin(node: ast.FunctionDef, home: Module, local: dict[str, Any]) -> None:
    """Run the checks of a function to its end, or to where it returns."""
    try:
        _run([n for n in node.body if not _is_docstring(n)], _World(home), local)
    except _Returned:
        return


def _run(body: Sequence[ast.stmt], world: _World, local: dict[str, Any]) -> None:
    """Each statement for itself; of an `if` only the branch that is known to be taken."""
    for statement in body:
        try:
            _step(statement, world, local)
        except (_Refused, _Returned):
            raise
        except Exception:  # it needs something that is not there: the constructor will see
            _forget(statement, local)


def _step(statement: ast.stmt, world: _World, local: dict[str, Any]) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.With | ast.Try):
        raise NotKnown
    if isinstance(statement, ast.Return):
        value = statement.value
        raise _Returned(None if value is None else _evaluated(value, world, local))
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        error = _evaluated(statement.exc, world, local)
        raise _Refused(error) if isinstance(error, ValueError | ImportError) else NotKnown
    if isinstance(statement, ast.If):
        taken = _evaluated(statement.test, world, local)
        _run(statement.body if taken else statement.orelse, world, local)
    elif isinstance(statement, ast.For):
        for value in _evaluated(statement.iter, world, local):
            target = ast.Assign([statement.target], ast.Name("_each", ast.Load()))
            local["_each"] = value
            _execute(target, world, local)
            _run(statement.body, world, local)
    else:
        _execute(statement, world, local)


def _execute(statement: ast.stmt, world: _World, local: dict[str, Any]) -> None:
    tree = ast.fix_missing_locations(ast.Module([statement], []))
    exec(compile(tree, world.home.name, "exec"), *_scopes(world, local))


def _evaluated(node: ast.expr, world: _World, local: dict[str, Any] | None = None) -> Any:
    tree = ast.fix_missing_locations(ast.Expression(node))
    return eval(compile(tree, world.home.name, "eval"), *_scopes(world, local or {}))


def _scopes(world: _World, local: dict[str, Any]) -> tuple[dict[str, Any], _Local]:
    return {"__builtins__": {}, **world, **local}, _Local(world, local)


class _Local(dict[str, Any]):
    """Local names first, then those of the world; what is assigned stays in the local ones."""

    def __init__(self, world: _World, local: dict[str, Any]) -> None:
        super().__init__(local)
        self.world = world
        self.local = local

    def __missing__(self, name: str) -> Any:
        return self.world[name]

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.local[name] = value


#: Key among local names: a statement was left out, so that no answer can be relied on.
_LEFT_OUT = "a statement was left out"


def _forget(statement: ast.stmt, local: dict[str, Any]) -> None:
    """What a statement would have assigned is not known, nor what follows from it."""
    local[_LEFT_OUT] = True
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            local[node.id] = Made()
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = local.get(node.value.id) if isinstance(node.value, ast.Name) else None
            if isinstance(owner, SimpleNamespace):
                setattr(owner, node.attr, Made())


def _call(
    world: _World, node: ast.FunctionDef, given: tuple[object, ...], named: dict[str, object]
) -> object:
    """Run a function: its checks, and its answer where every statement could be run."""
    names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
    local: dict[str, Any] = dict(zip(names, given)) | named
    try:
        _run([n for n in node.body if not _is_docstring(n)], world, local)
        answer = None
    except _Returned as returned:
        answer = returned.answer
    if local.get(_LEFT_OUT):
        raise NotKnown
    return answer


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def ranges_of(found: Declared) -> dict[str, str]:
    """{argument: its range in words}, of the calls of `cgrec.ranges` in the constructor."""
    said: dict[str, str] = {}
    for home, made in _constructors(found):
        _collect(made, _World(home), said)
    return said


def _collect(made: ast.FunctionDef, world: _World, said: dict[str, str], deep: bool = True) -> None:
    for call in ast.walk(made):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        name = call.func.id
        within: Callable[..., str] | None = ranges.WORDS.get(name)
        if within is None:
            found = find(world.home, name) if deep else None
            if found is not None and isinstance(found[1], ast.FunctionDef):
                _collect(found[1], _World(found[0]), said, deep=False)
            continue
        stated = {k.arg: k.value for k in call.keywords if k.arg is not None}
        bounds = {k: _bound(stated.pop(k), world) for k in ranges.BOUNDS if k in stated}
        for argument in stated:
            more = within(**bounds)
            if more:
                said[argument] = f"{said[argument]}, {more}" if argument in said else more


def _bound(node: ast.expr, world: _World) -> object:
    """A bound as a number, or as the argument that it is."""
    try:
        return _evaluated(node, world)
    except (NotKnown, NameError, TypeError):
        return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)
