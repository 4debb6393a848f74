"""`cgrec view`: a local page of runs, at every scale, live, and from a file to a report.

door        who may ask
server      the routes
answers     from requests to answers
looking     what is asked of runs
working     what is asked to be done
runs        which runs there are
ladder      levels, looks, verdicts, ledger
moments     the same frame at every level
landscapes  free energies, and the frames behind a part of them
linked      contact maps and g(r), the same
live        events as they come
uploads     files from the page
jobs        init, climb and descend as processes
proposal    what init proposes, drawn and edited
exports     what can be taken away
static/     the page: plain ES modules, no build step, nothing from elsewhere
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from ..needs import need

__all__ = ["serve"]


def serve(home: Path, run: Path | None, port: int, told: Callable[[str], object]) -> None:
    """Serve the page until ctrl-C.

    Args:
        home: working folder: its `runs` are shown, and what is begun goes there.
        run: the folder of a run; None: all of `runs`.
        port: of 127.0.0.1; 0: one that is free.
        told: called with the address, its token in it, as soon as the page can be opened.

    Raises:
        ImportError: starlette or uvicorn is missing.
        OSError: the port is taken.
    """
    for package in ("starlette", "uvicorn"):
        need("cgrec view", package, "view")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"port: expected one that is free, found {port} taken; port=0 finds one",
            ) from error
        number = int(listening.getsockname()[1])
        token = secrets.token_urlsafe(24)
        listening.listen()
        told(f"http://127.0.0.1:{number}/#token={token}")
        # torch takes seconds: a browser that is here already waits in the queue
        import uvicorn

        from .server import application

        app = application(home, token, number, run)
        uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        ).run(sockets=[listening])
