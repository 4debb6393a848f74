"""The console command. hydra and omegaconf stop in this room: nothing below ever sees a DictConfig.

commands        what each command does
settings        a configuration composed from conf/, an experiment and the command line
building        objects from a configuration
targets         which names a configuration may call
errors          one line for whatever a user can cause
"""

from .building import build
from .commands import main
from .settings import composed, configuration

__all__ = ["build", "composed", "configuration", "main"]
