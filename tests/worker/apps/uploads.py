"""Tells what arrived: how much, its hash, and what the environ says about it."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"]
    if environ["PATH_INFO"] == "/early":
        told: Any = "not read"
    else:
        size, digest = 0, hashlib.sha256()
        while piece := body.read(65536):
            size += len(piece)
            digest.update(piece)
        told = {
            "size": size,
            "sha256": digest.hexdigest(),
            "length": environ.get("CONTENT_LENGTH"),
            "chunked": "HTTP_TRANSFER_ENCODING" in environ,
        }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def facts(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Pid", str(os.getpid()))])
    return [json.dumps(environ["wsgi.multiprocess"]).encode()]
