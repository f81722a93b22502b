"""Requests by Unix sockets, and what the application `told` was told."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path | str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def told(connection: http.client.HTTPConnection, path: str = "/", **headers: str) -> dict[str, str]:
    with closing(connection):
        connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        assert response.status == 200
        environ: dict[str, str] = json.loads(response.read())
    return environ
