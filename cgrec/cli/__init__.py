"""The console command: finds one of `cgrec.commands` and calls it.

program         main
errors          one line for whatever a user can cause
"""

from ..configuration import build, composed, configuration
from .program import main

__all__ = ["build", "composed", "configuration", "main"]
