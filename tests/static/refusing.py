"""The application behind the static files: tells that it was asked."""

from __future__ import annotations

from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application: " + environ["PATH_INFO"].encode("latin-1")]
