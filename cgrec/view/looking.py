"""What the page asks of runs: their ladders, their moments, and what can be clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..files import Json
from . import exports
from .answers import attached, binary, decimal, frames_of, integer, spans, whole
from .landscapes import Landscape
from .linked import contacts, near_pairs, shells, with_pairs_in
from .live import stream
from .moments import Moments
from .runs import Opened, Runs, Unknown


class Looking:
    """Endpoints that change nothing.

    Args:
        runs: that are shown.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def asked(self) -> dict[str, Callable[[Request], object]]:
        """{path: what answers it} below /api/."""
        run = "/api/runs/{run}"
        moments = f"{run}/moments/{{moments}}"
        landscape = f"{run}/landscapes/{{landscape}}"
        return {
            "/api/runs": self.listed,
            run: self.ladder,
            f"{run}/status": self.status,
            moments: self.frames,
            f"{moments}/weights": self.weights,
            f"{moments}/uncertainty/{{place:int}}": self.uncertainty,
            landscape: self.landscape,
            f"{landscape}/errors": self.landscape_errors,
            f"{landscape}/{{level:int}}": self.inside,
            f"{landscape}/{{level:int}}/{{file}}": self.chosen,
            f"{run}/contacts/{{level:int}}": self.contacts,
            f"{run}/contacts/{{level:int}}/{{first:int}}/{{second:int}}": self.touching,
            f"{run}/shells/{{level:int}}": self.shells,
            f"{run}/shells/{{level:int}}/frames": self.in_shell,
            f"{run}/files/{{file}}": self.file,
        }

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
        begin = whole(request, "from", 0)
        return StreamingResponse(stream(folder, begin), media_type="text/event-stream")

    def frames(self, request: Request) -> Response:
        """Positions at all levels, of a range of frames or of those named."""
        moments = self._moments(request)
        named = request.query_params.get("frames")
        if named is not None:
            places: Sequence[int] = [integer("frames", word) for word in named.split(",")]
        else:
            first = whole(request, "first", 0)
            count = min(whole(request, "count", 1), moments.most)
            places = range(first, min(first + count, len(moments.frames)))
        return binary(moments.positions(places))

    def weights(self, request: Request) -> Response:
        """Of all frames, as they are played."""
        return binary(self._moments(request).weights())

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

    def landscape_errors(self, request: Request) -> Json:
        """Errors of the surfaces."""
        return {"errors": self._landscape(request).errors}

    def inside(self, request: Request) -> Json:
        """Frames in a rectangle of bins."""
        number = request.path_params["level"]
        landscape = self._landscape(request)
        index = landscape.inside(number, spans(request))
        return frames_of(self._own(request), index)

    def chosen(self, request: Request) -> Response:
        """The same as a file: frames.csv, or frames.pdb."""
        number, name = request.path_params["level"], request.path_params["file"]
        landscape = self._landscape(request)
        index = landscape.inside(number, spans(request))
        if name == "frames.csv":
            return attached(name, "text/csv", exports.table_of(landscape, number, index))
        if name == "frames.pdb" and len(index):
            frames = self._own(request).frames
            return attached(name, "chemical/x-pdb", exports.structures_of(frames, index))
        raise Unknown(f"file: expected frames.csv or frames.pdb of some frames, found {name!r}")

    def contacts(self, request: Request) -> Json:
        """Mean contact map of a level and of its parent."""
        return contacts(self._opened(request).run, request.path_params["level"])

    def touching(self, request: Request) -> Json:
        """Frames in which two sites touch."""
        moments, words = self._own(request), request.path_params
        return frames_of(moments, near_pairs(moments.frames, words["first"], words["second"]))

    def shells(self, request: Request) -> Json:
        """g(r) of every two types of a level and of its parent."""
        return shells(self._opened(request).run, request.path_params["level"])

    def in_shell(self, request: Request) -> Json:
        """Frames with most pairs in a shell."""
        moments, words = self._own(request), request.query_params
        types = words.get("first", ""), words.get("second", "")
        low, high = (decimal(key, words.get(key)) for key in ("low", "high"))
        index = with_pairs_in(moments.frames, types, low, high)
        # their share is one that was asked for: it has no error
        return {**frames_of(moments, index), "share_error": None}

    def file(self, request: Request) -> Response:
        """The report, or the package."""
        folder, name = self.runs.folder(request.path_params["run"]), request.path_params["file"]
        if name == "report.html":
            return attached(f"{folder.name}.html", "text/html", exports.report_of(folder))
        if name == "package":
            kind = "application/octet-stream"
            return attached(f"{folder.name}.cgrec", kind, exports.package_of(folder))
        raise Unknown(f"file: expected report.html or package, found {name!r}")

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
