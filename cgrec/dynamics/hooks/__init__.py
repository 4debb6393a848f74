"""What a run does beside its steps, one file each: a bias, exchanges, a guard."""

from .bias import BiasPlan
from .exchange import Exchange
from .guard import Watch
from .hook import Hook

__all__ = ["BiasPlan", "Exchange", "Hook", "Watch"]
