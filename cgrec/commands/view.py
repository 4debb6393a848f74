"""a local page of your runs: every scale, live, and from a file to a report; needs no network"""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..options import Help
from ..view import serve
from ._runs import run_folder


@dataclass(frozen=True, kw_only=True)
class View:
    """Serve a page of runs on this machine, and print its address; ctrl-C ends it.

    Only this machine can open it, and only by the address with its token. What is begun in the page
    goes into the folder runs, as that of cgrec climb does, and ends with it as of ctrl-C.

    Example:
        cgrec view
        cgrec view run=runs/alanine_dipeptide
    """

    run: Annotated[str, Help(says="folder of a run; empty: all that lie in the folder runs")] = ""
    port: Annotated[
        int, Help(says="of 127.0.0.1; 0: one that is free", at_least=0, at_most=65535)
    ] = 0
    open: Annotated[bool, Help(says="open the page in the browser, where there is one")] = False

    def __call__(self) -> str:
        """Serve until ctrl-C.

        Raises:
            ImportError: starlette or uvicorn is missing. ValueError: no such run.
            OSError: the port is taken.
        """
        run = run_folder("cgrec view", self.run) if self.run else None
        serve(Path.cwd(), run, self.port, self._tell)
        return "cgrec view: ended"

    def _tell(self, address: str) -> None:
        print(address, flush=True)
        if self.open and sys.stdout.isatty():
            webbrowser.open(address)
