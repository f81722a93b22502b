"""Answers with what it was told: the environ as JSON, or the hash of the body, a file, or who it is."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/hash":
        body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
    elif path == "/file":
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))
    elif path == "/lazy":
        start_response("200 OK", headers)
        return (b"x" * 10000 for _ in range(100))
    elif path == "/identity":
        umask = os.umask(0)
        os.umask(umask)
        identity = {"uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "umask": umask}
        body = json.dumps(identity | {"folder": os.getcwd(), "environ": sorted(os.environ)}).encode()
    elif path == "/broken":
        start_response("200 OK", headers)
        return _broken()
    elif path == "/fail":
        raise RuntimeError("told to")
    else:
        body = json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _broken() -> Iterator[bytes]:
    yield b"half"
    raise RuntimeError("told to")
