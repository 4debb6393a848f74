"""What a run does beside its steps, one file each: a barostat, a bias, exchanges, a guard."""

from .barostat import Barostat
from .bias import BiasPlan
from .exchange import Exchange
from .guard import Watch
from .hook import Hook

__all__ = ["Barostat", "BiasPlan", "Exchange", "Hook", "Watch"]
