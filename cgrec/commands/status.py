"""how far a run is: what is done, what runs now, warnings, verdicts, how to go on"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..options import Help
from ..run.status import status_of


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is, from its folder alone: also while it is climbed, and after it was killed.

    Example:
        cgrec status run=runs/alanine_dipeptide
    """

    run: Annotated[str, Help(says="folder of a run")]
    json: Annotated[bool, Help(says="print one json object")] = False

    def __call__(self) -> str:
        status = status_of(Path(self.run).expanduser())
        if self.json:
            return json.dumps(status.to_json(), ensure_ascii=False)
        return "\n".join(status.lines())
