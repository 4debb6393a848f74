"""The routes of the page.

Everything below /api/ needs the token (`cgrec.view.door`). Answers are json, frames are float32. A
name in an address is looked up among what is there; it never becomes a path.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..files import Json, json_text
from . import exports, uploads
from .door import Door, hosts_of
from .jobs import Jobs, Occupied
from .landscapes import MOST_LISTED, Landscape
from .linked import contacts, near_pairs, shells, with_pairs_in
from .live import stream
from .moments import Moments
from .proposal import proposal, regroup
from .runs import Opened, Runs, Unknown

STATIC = Path(__file__).with_name("static")
#: The page's own code, and what a browser is told it is.
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
#: Bytes of a request that is no file.
MOST_ASKED = 2**20
#: What an endpoint raises, and the status of the answer.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (FileNotFoundError, 404),
    (uploads.TooLarge, 413),
    (Occupied, 409),
    (FileExistsError, 409),
    (ImportError, 424),
    (ValueError, 400),
    (KeyError, 400),
    (OSError, 500),
)

Endpoint = Callable[[Request], Awaitable[Response]]


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

    app = Starlette(routes=Pages(runs, jobs).routes(), lifespan=until_it_ends)
    return Door(app, token, hosts_of(port))


class Pages:
    """Endpoints.

    Args:
        runs: that are shown.
        jobs: that are begun.
    """

    def __init__(self, runs: Runs, jobs: Jobs) -> None:
        self.runs = runs
        self.jobs = jobs

    def routes(self) -> list[Route]:
        """Of the page's own code, of runs, and of work."""
        run, job = "/api/runs/{run}", "/api/jobs/{run}"
        asked: dict[str, Callable[[Request], object]] = {
            "/api/runs": self.listed,
            run: self.ladder,
            f"{run}/status": self.status,
            f"{run}/moments/{{moments}}": self.frames,
            f"{run}/moments/{{moments}}/weights": self.weights,
            f"{run}/moments/{{moments}}/uncertainty/{{place:int}}": self.uncertainty,
            f"{run}/landscapes/{{landscape}}": self.landscape,
            f"{run}/landscapes/{{landscape}}/{{level:int}}": self.inside,
            f"{run}/landscapes/{{landscape}}/{{level:int}}/{{file}}": self.chosen,
            f"{run}/contacts/{{level:int}}": self.contacts,
            f"{run}/contacts/{{level:int}}/{{first:int}}/{{second:int}}": self.touching,
            f"{run}/shells/{{level:int}}": self.shells,
            f"{run}/shells/{{level:int}}/frames": self.in_shell,
            f"{run}/files/{{file}}": self.file,
            job: lambda request: self.jobs.state(request.path_params["run"]),
            f"{job}/proposal": self.proposal,
        }
        done: dict[str, Callable[[Request, Json], object]] = {
            f"{job}/init": self.propose,
            f"{job}/climb": self.climb,
            f"{job}/stop": self.stop,
            f"{job}/descend": self.descend,
            f"{job}/beads": self.regroup,
        }
        return [
            Route("/", _safely(_static("index.html"))),
            *(Route(f"/{name}", _safely(_static(name))) for name in _code()),
            *(Route(path, _safely(_asked(answer))) for path, answer in asked.items()),
            *(Route(path, _safely(_done(act)), methods=["POST"]) for path, act in done.items()),
            Route(f"{run}/events", _safely(self.events)),
            Route(f"{job}/files/{{file}}", _safely(self.upload), methods=["POST"]),
        ]

    # ---- runs ------------------------------------------------------------------------------------

    def listed(self, request: Request) -> Json:
        """Names of the runs, the newest first."""
        found = []
        for name in self.runs.folders():
            try:
                status = self.runs.status(name)
                levels = len(status.levels)
                found.append(
                    {"name": name, "state": status.state, "done": status.done, "levels": levels}
                )
            except (OSError, ValueError) as error:
                found.append({"name": name, "state": "unreadable", "error": str(error)})
        only = self.runs.only
        return {"runs": found, "only": only.resolve().name if only else None}

    def ladder(self, request: Request) -> Json:
        """What the page shows first."""
        return self._opened(request).ladder

    def status(self, request: Request) -> Json:
        """As `cgrec status json=true`."""
        return self.runs.status(request.path_params["run"]).to_json()

    async def events(self, request: Request) -> Response:
        """events.jsonl as it grows."""
        folder = self.runs.folder(request.path_params["run"])
        begin = _whole(request, "from", 0)
        return StreamingResponse(stream(folder, begin), media_type="text/event-stream")

    def frames(self, request: Request) -> Response:
        """Positions at all levels, of a range of frames or of those named."""
        moments = self._moments(request)
        named = request.query_params.get("frames")
        if named is not None:
            places: Sequence[int] = [_int("frames", word) for word in named.split(",")]
        else:
            first = _whole(request, "first", 0)
            count = min(_whole(request, "count", 1), moments.most)
            places = range(first, min(first + count, len(moments.frames)))
        return _binary(moments.positions(places))

    def weights(self, request: Request) -> Response:
        """Of all frames, as they are played."""
        return _binary(self._moments(request).weights())

    def uncertainty(self, request: Request) -> Json:
        """How far out each site of a frame is, at every level that has a guard."""
        opened, place = self._opened(request), request.path_params["place"]
        moments = self._moments(request)
        if not 0 <= place < len(moments.frames):
            raise ValueError(f"frame: expected 0 to {len(moments.frames) - 1}, found {place}")
        found = {}
        for number, frames in moments.at_levels([place]):
            watch = opened.watch(number)
            if watch is not None:
                found[str(number)] = watch.of_sites(frames)[0].round(4).tolist()
        return found

    # ---- what can be clicked ---------------------------------------------------------------------

    def landscape(self, request: Request) -> Json:
        """Axes and surfaces."""
        return self._landscape(request).as_json()

    def inside(self, request: Request) -> Json:
        """Frames in a rectangle of bins."""
        number = request.path_params["level"]
        landscape = self._landscape(request)
        index = landscape.inside(number, _spans(request))
        return _frames(self._own(request), landscape, index)

    def chosen(self, request: Request) -> Response:
        """The same as a file: frames.csv, or frames.pdb."""
        number, name = request.path_params["level"], request.path_params["file"]
        landscape = self._landscape(request)
        index = landscape.inside(number, _spans(request))
        if name == "frames.csv":
            return _attached(name, "text/csv", exports.table_of(landscape, number, index))
        if name == "frames.pdb" and len(index):
            frames = self._own(request).frames
            return _attached(name, "chemical/x-pdb", exports.structures_of(frames, index))
        raise Unknown(f"file: expected frames.csv or frames.pdb of some frames, found {name!r}")

    def contacts(self, request: Request) -> Json:
        """Mean contact map of a level and of its parent."""
        return contacts(self._opened(request).run, request.path_params["level"])

    def touching(self, request: Request) -> Json:
        """Frames in which two sites touch."""
        moments, words = self._own(request), request.path_params
        return _frames(moments, None, near_pairs(moments.frames, words["first"], words["second"]))

    def shells(self, request: Request) -> Json:
        """g(r) of every two types of a level and of its parent."""
        return shells(self._opened(request).run, request.path_params["level"])

    def in_shell(self, request: Request) -> Json:
        """Frames with most pairs in a shell."""
        moments, words = self._own(request), request.query_params
        types = words.get("first", ""), words.get("second", "")
        low, high = (_number(key, words.get(key)) for key in ("low", "high"))
        index = with_pairs_in(moments.frames, types, low, high)
        return _frames(moments, None, index)

    def file(self, request: Request) -> Response:
        """The report, or the package."""
        folder, name = self.runs.folder(request.path_params["run"]), request.path_params["file"]
        if name == "report.html":
            return _attached(f"{folder.name}.html", "text/html", exports.report_of(folder))
        if name == "package":
            kind = "application/octet-stream"
            return _attached(f"{folder.name}.cgrec", kind, exports.package_of(folder))
        raise Unknown(f"file: expected report.html or package, found {name!r}")

    # ---- work ------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """A file, as the body of the request."""
        name = uploads.run_name(request.path_params["run"])
        file = uploads.file_name(request.path_params["file"])
        if name in self.runs.folders():
            raise FileExistsError(f"{name}: there is such a run already; take another name")
        told = request.headers.get("content-length")
        announced = _int("content-length", told) if told is not None else None
        size = await uploads.keep(self.jobs.files(name) / file, announced, request.stream())
        return JSONResponse({"file": file, "bytes": size})

    def proposal(self, request: Request) -> Json:
        """What cgrec init proposed, to be drawn."""
        return proposal(self._recipe(request))

    def propose(self, request: Request, given: Json) -> Json:
        """Begin cgrec init."""
        name = uploads.run_name(request.path_params["run"])
        self.jobs.propose(name, _kelvin(given.get("temperature")), str(given.get("goal", "quick")))
        return self.jobs.state(name)

    def climb(self, request: Request, given: Json) -> Json:
        """Begin or go on."""
        name = request.path_params["run"]
        self.jobs.climb(name, given.get("go_on") is True)
        return self.jobs.state(name)

    def stop(self, request: Request, given: Json) -> Json:
        """Ask it to stop."""
        name = request.path_params["run"]
        return {"stopped": self.jobs.stop(name), **self.jobs.state(name)}

    def descend(self, request: Request, given: Json) -> Json:
        """Bring the atoms back."""
        name = request.path_params["run"]
        self.jobs.descend(name, _int("from", given.get("from")))
        return self.jobs.state(name)

    def regroup(self, request: Request, given: Json) -> Json:
        """Give the first level other beads."""
        beads = given.get("beads")
        if not isinstance(beads, list) or not all(isinstance(bead, list) for bead in beads):
            raise ValueError("beads: expected a list of lists of atoms, found something else")
        regroup(self._recipe(request), beads)
        return proposal(self._recipe(request))

    # ---- of a request ----------------------------------------------------------------------------

    def _opened(self, request: Request) -> Opened:
        return self.runs.open(request.path_params["run"])

    def _moments(self, request: Request) -> Moments:
        known, name = self._opened(request).moments, request.path_params["moments"]
        if name not in known:
            raise Unknown(f"frames: expected one of {', '.join(known)}, found {name!r}")
        return known[name]

    def _own(self, request: Request) -> Moments:
        """The own frames of a level."""
        known, name = self._opened(request).moments, f"level{request.path_params['level']}"
        if name not in known:
            raise Unknown(f"level: expected one with frames, found {name!r}")
        return known[name]

    def _landscape(self, request: Request) -> Landscape:
        known, name = self._opened(request).landscapes, request.path_params["landscape"]
        if name not in known:
            raise Unknown(f"free energy: expected one of {', '.join(known)}, found {name!r}")
        return known[name]

    def _recipe(self, request: Request) -> Path:
        path = self.jobs.recipe(uploads.run_name(request.path_params["run"]))
        if not path.is_file():
            raise Unknown("proposal: expected one by cgrec init, found none yet")
        return path


# ---- answers -----------------------------------------------------------------------------------


def _frames(moments: Moments, landscape: Landscape | None, index: np.ndarray) -> Json:
    """Where frames stand as they are played, their weights, and what share of all they are."""
    weights = moments.frames.normalised_weights()
    listed = index[:MOST_LISTED]
    return {
        "moments": moments.name,
        "places": moments.place[listed].tolist(),
        "weights": (len(weights) * weights[listed]).round(4).tolist(),
        "count": len(index),
        "of": len(weights),
        "share": float(weights[index].sum()),
    }


def _binary(array: np.ndarray) -> Response:
    return Response(
        np.ascontiguousarray(array, "<f4").tobytes(), media_type="application/octet-stream"
    )


def _attached(name: str, kind: str, content: bytes) -> Response:
    said = f'attachment; filename="{name}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": said})


def _asked(answer: Callable[[Request], object]) -> Endpoint:
    """An endpoint that reads: in a thread, for it may take seconds."""

    async def endpoint(request: Request) -> Response:
        return _as_response(await run_in_threadpool(answer, request))

    return endpoint


def _done(act: Callable[[Request, Json], object]) -> Endpoint:
    """An endpoint that does something with the json of the request."""

    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_ASKED:
                raise uploads.TooLarge("request: expected less than a MiB, found more")
        given = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise ValueError("request: expected a table of json, found something else")
        return _as_response(await run_in_threadpool(act, request, given))

    return endpoint


def _as_response(found: object) -> Response:
    return (
        found
        if isinstance(found, Response)
        else Response(json_text(found, None), media_type="application/json")
    )


def _safely(endpoint: Endpoint) -> Endpoint:
    """Errors as a sentence of json, with the status that fits."""

    async def safe(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            status = next((code for kind, code in STATUS if isinstance(error, kind)), None)
            if status is None:
                raise
            said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
            return JSONResponse({"error": said}, status)

    return safe


def _code() -> list[str]:
    return sorted(path.name for path in STATIC.iterdir() if path.suffix in TYPES)


def _static(name: str) -> Endpoint:
    path = STATIC / name
    return partial(_file, path, TYPES[path.suffix])


async def _file(path: Path, kind: str, request: Request) -> Response:
    return Response(path.read_bytes(), media_type=f"{kind}; charset=utf-8")


# ---- words of a request ------------------------------------------------------------------------


def _whole(request: Request, key: str, default: int) -> int:
    found = _int(key, request.query_params.get(key, str(default)))
    if found < 0:
        raise ValueError(f"{key}: expected 0 or more, found {found}")
    return found


def _int(key: str, word: object) -> int:
    try:
        return int(str(word))
    except ValueError:
        raise ValueError(f"{key}: expected a whole number, found {str(word)[:40]!r}") from None


def _number(key: str, word: str | None) -> float:
    try:
        found = float(word or "")
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{key}: expected a number, found {str(word)[:40]!r}")
    return found


def _spans(request: Request) -> list[tuple[int, int]]:
    """bins=3-7,10-12: from and to of every axis."""
    found = []
    for word in request.query_params.get("bins", "").split(","):
        low, _, high = word.partition("-")
        found.append((_int("bins", low), _int("bins", high or low)))
    return found


def _kelvin(given: object) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or not math.isfinite(given) or given <= 0:
        raise ValueError(f"temperature: expected a positive number of K, found {given!r}")
    return float(given)
