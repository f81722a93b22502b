"""Apache httpd's Multi-Processing Modules for a cluster: how many pods, and how many threads in each."""

from __future__ import annotations

from mpm_worker import __version__

__all__ = ["__version__"]
