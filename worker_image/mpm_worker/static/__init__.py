"""Files of a folder under a prefix of the path, answered without the application (RFC 9110)."""

from __future__ import annotations

from mpm_worker.static.app import Mount, StaticFiles, read_mount

__all__ = ["Mount", "StaticFiles", "read_mount"]
