"""The tools over stdin and stdout (Model Context Protocol)."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..cli.errors import told
from ..options import said_in
from ..remarks import listened
from .answers import Answer
from .at_work import AtWork
from .jobs import LONGEST, Jobs
from .on_files import OnFiles
from .on_levels import OnLevels
from .on_runs import OnRuns
from .on_samples import OnSamples
from .place import Place

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.tools import Tool

A = TypeVar("A", bound=Answer)

INSTRUCTIONS = """cgrec makes coarse models of molecules and liquids, level by level, and judges each.
Every number has its unit, its standard error (or why it has none) and a verdict: trust, look
(read the reasons first), do not use, not judged. Report a number with its error and verdict.
Usual order: inspect the files, init writes an experiment, check, plan, climb (in the background),
status, then verdict and ledger of each level; run, measure, compare, descend, export after that.
A level belongs to one temperature and one density. Its energies are free energies: no labels for
another fit. Its dynamics are too fast until friction is fitted. A refusal says the way out."""

#: Tools change files and hydra has one state: one tool works at a time.
_ONE = threading.Lock()
#: Of a tool that begins work.
_WAITS = f"\n\nIt answers when the work has ended, or after wait s, {LONGEST:g} at most: ask status then."
#: What the words of pydantic for a type are for a reader.
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
}


def serve(folder: Path) -> None:
    """Answer an agent until it closes stdin.

    Args:
        folder: absolute; tools may read and write there; relative paths count from it.
    """
    os.chdir(folder)
    server_of(Place(folder)).run("stdio")


def server_of(place: Place) -> MCPServer[Any]:
    """A server with all tools for one folder."""
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    jobs = Jobs(place.root)
    groups = (
        OnFiles(place),
        OnRuns(place, jobs),
        OnLevels(place),
        AtWork(place, jobs),
        OnSamples(place),
    )
    tools = [tool_of(one) for group in groups for one in _public(group)]
    known = ", ".join(sorted(one.name for one in tools))

    class Server(MCPServer[Any]):
        """Says which tools there are, where there is none of a name."""

        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            if name not in [one.name for one in tools]:
                raise ToolError(f"expected a tool, one of {known}, found {name}; call one of these")
            return await super().call_tool(name, arguments, context)

    return Server(
        "cgrec",
        instructions=INSTRUCTIONS,
        version=version("cgrec"),
        tools=tools,
        log_level="WARNING",
    )


def _public(group: object) -> list[Callable[..., Answer]]:
    """Its methods that are tools."""
    found = inspect.getmembers(group, inspect.ismethod)
    return [method for name, method in found if not name.startswith("_")]


def tool_of(method: Callable[..., Answer]) -> Tool:
    """A tool that does what a method does; its arguments are described by the method's docstring."""
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.server.mcpserver.tools import Tool

    class Own(Tool):
        """Refuses what it does not know, which the protocol drops in silence, and speaks as cgrec."""

        async def run(self, arguments: dict[str, Any], *rest: Any, **options: Any) -> Any:
            try:
                _check(self.name, arguments, self.parameters)
                self.fn_metadata.validate_arguments(arguments)
            except ValueError as error:
                raise ToolError(_in_words(self.name, error)) from None
            try:
                return await super().run(arguments, *rest, **options)
            except ToolError as error:
                said = str(error).removeprefix(f"Error executing tool {self.name}: ")
                raise ToolError(said) from error

    said = inspect.getdoc(method) or ""
    made = Own.from_function(_spoken(method, ToolError), description=said.partition("\n\nArgs:")[0])
    made.parameters["additionalProperties"] = False
    if "wait" in made.parameters["properties"]:
        made.description += _WAITS
        made.parameters["properties"]["wait"] |= {"minimum": 0, "maximum": LONGEST}
    for name, words in said_in(said).items():
        if name in made.parameters["properties"]:
            made.parameters["properties"][name]["description"] = words
    return made


def _check(tool: str, arguments: Mapping[str, object], schema: Mapping[str, Any]) -> None:
    """Refuse arguments that a tool does not have.

    Raises:
        ValueError: the first, with the nearest known one and all of them.
    """
    known = list(schema["properties"])
    unknown = [name for name in arguments if name not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        raise ValueError(
            f"{tool}: expected arguments {', '.join(known)}, found {unknown[0]}"
            + (f"; did you mean {near[0]}?" if near else "; leave it out")
        )
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    if missing:
        raise ValueError(
            f"{tool}: expected arguments {', '.join(known)}, found no {', '.join(missing)}; give it"
        )


def _in_words(tool: str, error: ValueError) -> str:
    """A wrong type in a sentence."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    kind = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    wanted = _KINDS.get(kind.partition(",")[0], kind)
    return f"{tool}: expected {name} {wanted}, found {first['input']!r}; correct it"


def _spoken(method: Callable[..., A], error_class: type[Exception]) -> Callable[..., A]:
    """The method, one at a time; remarks become notes of its answer, errors sentences."""

    @wraps(method)
    def tool(*arguments: object, **options: object) -> A:
        heard: list[str] = []
        with _ONE, listened(heard.append):
            try:
                answer = method(*arguments, **options)
            except Exception as error:
                raise error_class(told(error, str(options.get("run", "")))) from error
        return replace(answer, notes=list(dict.fromkeys([*answer.notes, *heard])))

    return tool
