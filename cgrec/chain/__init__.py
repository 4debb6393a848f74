"""The ordered levels: climbing and descending (chain), the error ledger of each level (level_ledger), what
can be known before work (foresight).
"""

from .chain import Chain, load

__all__ = ["Chain", "load"]
