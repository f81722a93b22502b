"""Where things are kept: one cache for all clusters, one directory for each of them."""

from __future__ import annotations

import os
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
"""tests/cluster: the pinned Go modules and this package."""

PROJECT = SOURCES.parents[1]
"""The checkout whose images are built."""


def cache() -> Path:
    """The user's cache directory of this project (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mpm-operator"


def clusters() -> Path:
    """Parent of the run directories, on disk: containerd keeps whole root file systems there."""
    return cache() / "clusters"
