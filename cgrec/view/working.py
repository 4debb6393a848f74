"""What the page asks to be done: files, proposals, climbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..files import Json
from . import uploads
from .answers import integer, kelvin
from .jobs import Jobs
from .proposal import proposal, regroup
from .runs import Unknown

#: Of a run that is begun here.
JOB = "/api/jobs/{run}"


class Working:
    """Endpoints of work, one piece at a time.

    Args:
        jobs: that are begun.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def asked(self) -> dict[str, Callable[[Request], object]]:
        """{path: what answers it}."""
        return {JOB: self.state, f"{JOB}/proposal": self.proposal}

    def done(self) -> dict[str, Callable[[Request, Json], object]]:
        """{path: what does it}."""
        return {
            f"{JOB}/init": self.propose,
            f"{JOB}/climb": self.climb,
            f"{JOB}/stop": self.stop,
            f"{JOB}/descend": self.descend,
            f"{JOB}/beads": self.regroup,
        }

    def state(self, request: Request) -> Json:
        """What there is of it, and what its commands said."""
        return self.jobs.state(request.path_params["run"])

    async def upload(self, request: Request) -> Response:
        """A file, as the body of the request."""
        name = uploads.run_name(request.path_params["run"])
        file = uploads.file_name(request.path_params["file"])
        if name in self.jobs.runs.folders():
            raise FileExistsError(f"{name}: there is such a run already; take another name")
        told = request.headers.get("content-length")
        announced = integer("content-length", told) if told is not None else None
        size = await uploads.keep(self.jobs.files(name) / file, announced, request.stream())
        return JSONResponse({"file": file, "bytes": size})

    def proposal(self, request: Request) -> Json:
        """What cgrec init proposed, to be drawn."""
        return proposal(self._recipe(request))

    def propose(self, request: Request, given: Json) -> Json:
        """Begin cgrec init."""
        name = uploads.run_name(request.path_params["run"])
        self.jobs.propose(name, kelvin(given.get("temperature")), str(given.get("goal", "quick")))
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
        self.jobs.descend(name, integer("from", given.get("from")))
        return self.jobs.state(name)

    def regroup(self, request: Request, given: Json) -> Json:
        """Give the first level other beads."""
        beads = given.get("beads")
        if not isinstance(beads, list) or not all(isinstance(bead, list) for bead in beads):
            raise ValueError("beads: expected a list of lists of atoms, found something else")
        regroup(self._recipe(request), beads)
        return proposal(self._recipe(request))

    def _recipe(self, request: Request) -> Path:
        path = self.jobs.recipe(uploads.run_name(request.path_params["run"]))
        if not path.is_file():
            raise Unknown("proposal: expected one by cgrec init, found none yet")
        return path
