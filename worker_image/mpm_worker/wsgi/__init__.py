"""The gateway between one HTTP request on a socket and a WSGI application (PEP 3333)."""

from __future__ import annotations

from mpm_worker.wsgi.exchange import Outcome
from mpm_worker.wsgi.files import FileWrapper
from mpm_worker.wsgi.gateway import reject, serve
from mpm_worker.wsgi.server import Server, Settings
from mpm_worker.wsgi.spool import Spool, SpoolError, Spooling

__all__ = [
    "FileWrapper",
    "Outcome",
    "Server",
    "Settings",
    "Spool",
    "SpoolError",
    "Spooling",
    "reject",
    "serve",
]
