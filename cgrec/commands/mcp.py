"""let an agent use cgrec: a server of typed tools over stdin and stdout"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

from ..needs import need
from ..options import Help


@dataclass(frozen=True, kw_only=True)
class Mcp:
    """Serve the tools of the page "agents" to a program that speaks the Model Context Protocol over
    stdin and stdout, until it closes stdin. Climbs go on after that.

    Example:
        cgrec mcp root=projects
    """

    root: Annotated[
        str, Help(says="folder that tools may read and write; nothing outside of it")
    ] = "."

    def __call__(self) -> str:
        need("cgrec mcp", "mcp", "mcp")
        folder = Path(self.root).expanduser().resolve()
        if not folder.is_dir():
            raise ValueError(f"cgrec mcp: expected root= a folder, found none at {folder}")
        # the tools call the commands, so that room stands on this one; it takes seconds to import
        import_module("cgrec.agents").serve(folder)
        return ""
