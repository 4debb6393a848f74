"""The page as a server: its own code, what it asks of runs, and what it asks to be done.

Everything below /api/ needs the token (`cgrec.view.door`). Answers are json, frames are float32. A
name in an address is looked up among what is there; it never becomes a path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .answers import Endpoint, asked, done, safely
from .door import Door, hosts_of
from .jobs import Jobs
from .looking import Looking
from .runs import Runs
from .working import JOB, Working

STATIC = Path(__file__).with_name("static")
#: The page's own code, and what a browser is told it is.
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


def application(home: Path, token: str, port: int, only: Path | None = None) -> Door:
    """The page as an ASGI application.

    Args:
        home: working folder: its `runs` are shown, and what is begun goes there.
        token: without which nothing is told.
        port: it listens at.
        only: the folder of a run; None: all in `runs`.
    """
    runs = Runs(home, only)
    jobs = Jobs(runs)

    @asynccontextmanager
    async def until_it_ends(app: Starlette) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = Starlette(routes=_routes(Looking(runs), Working(jobs)), lifespan=until_it_ends)
    return Door(app, token, hosts_of(port))


def _routes(looking: Looking, working: Working) -> list[Route]:
    reading = {**looking.asked(), **working.asked()}
    return [
        Route("/", safely(_static("index.html"))),
        *(Route(f"/{name}", safely(_static(name))) for name in _code()),
        *(Route(path, safely(asked(answer))) for path, answer in reading.items()),
        *(Route(path, safely(done(act)), methods=["POST"]) for path, act in working.done().items()),
        Route("/api/runs/{run}/events", safely(looking.events)),
        Route(f"{JOB}/files/{{file}}", safely(working.upload), methods=["POST"]),
    ]


def _code() -> list[str]:
    return sorted(path.name for path in STATIC.iterdir() if path.suffix in TYPES)


def _static(name: str) -> Endpoint:
    path = STATIC / name
    return partial(_file, path, TYPES[path.suffix])


async def _file(path: Path, kind: str, request: Request) -> Response:
    return Response(path.read_bytes(), media_type=f"{kind}; charset=utf-8")
