"""Backmapping: atoms brought back from coarse sites, so that the way up gives the sites again whatever the way down did."""

from .base import Backmapper
from .flow import FlowBackmapper
from .library import LibraryBackmapper
from .split import Split
from .template import TemplateBackmapper

__all__ = ["Backmapper", "FlowBackmapper", "LibraryBackmapper", "Split", "TemplateBackmapper"]
