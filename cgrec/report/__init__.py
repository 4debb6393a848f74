"""`write_report`: one self-contained page that tells a run, from what is on disk only."""

from .page import write_report

__all__ = ["write_report"]
