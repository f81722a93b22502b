"""The name of one request in all logs: the one a trusted proxy gave it, else one of our own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpm_worker.http import Connection

_GIVEN = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch


def first_part() -> str:
    """Of all requests of one process."""
    return os.urandom(6).hex()


def given(cgi: Mapping[str, str]) -> str:
    """X-Request-ID, empty unless it is harmless in a log."""
    text = cgi.get("HTTP_X_REQUEST_ID", "")
    return text if _GIVEN(text) else ""


def request_id(connection: Connection) -> str:
    """PROCESS-CONNECTION-REQUEST. Made only when it is written: most requests never need it."""
    return connection.given_id or f"{connection.label}-{connection.serial:x}"
