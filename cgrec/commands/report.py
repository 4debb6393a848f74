"""write FOLDER/report.html anew"""

from __future__ import annotations

from dataclasses import dataclass

from ..report import write_report
from ._runs import RunFolder, run_folder


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write the report of a run again, from what is in its folder.

    Example:
        cgrec report run=runs/alanine_dipeptide
    """

    run: RunFolder

    def __call__(self) -> str:
        return f"report: {write_report(run_folder('cgrec report', self.run))}"
