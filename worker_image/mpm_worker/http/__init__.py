"""HTTP/1.1 without I/O (RFC 9110, RFC 9112): bytes in, requests and refusals out.

Sockets, clocks and threads belong to the callers; everything here can be fed from a table in a test.
"""

from __future__ import annotations

from mpm_worker.http.connection import Connection, Request
from mpm_worker.http.errors import Limits, ProtocolError

__all__ = ["Connection", "Limits", "ProtocolError", "Request"]
