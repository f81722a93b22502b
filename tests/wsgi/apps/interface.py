"""What an application may do and what it must not, by path."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from typing import Any
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
CONTENT = bytes(range(256)) * 1024

closed = {"count": 0}


class Counted:
    """An iterable whose close() is counted."""

    def __init__(self, blocks: Any) -> None:
        self._blocks = blocks

    def __iter__(self) -> Any:
        return iter(self._blocks)

    def close(self) -> None:
        closed["count"] += 1


def facts(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    names = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.version", "wsgi.url_scheme")
    return [json.dumps({name: environ[name] for name in names} | {"closed": closed["count"]}).encode()]


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"]
    environ["wsgi.errors"].write("")
    first = body.readline()
    rest = b"".join(iter(lambda: body.read(7), b""))
    write = start_response("200 OK", TEXT)
    write(b"written ")
    return iter([first, b"|", rest])


def broken(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)

    def blocks() -> Any:
        yield b"begun"
        raise RuntimeError("in the middle")

    return Counted(blocks())


def replaced(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [*TEXT, ("Old", "x")])
    try:
        raise LookupError("seen in time")
    except LookupError:
        start_response("404 Not Found", TEXT, sys.exc_info())
    return [b"replaced"]


def late(environ: dict[str, Any], start_response: Any) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"sent")
    try:
        raise LookupError("seen too late")
    except LookupError:
        start_response("404 Not Found", TEXT, sys.exc_info())
    return [b"never"]


def head(environ: dict[str, Any], start_response: Any) -> Any:
    """Starts with the field that stands in the query."""
    name, _, value = environ["QUERY_STRING"].replace("CRLF", "\r\n").replace("%20", " ").partition("=")
    start_response("200 OK", [(name, value)])
    return [b"done"]


def status(environ: dict[str, Any], start_response: Any) -> Any:
    start_response(environ["QUERY_STRING"].replace("_", " "), TEXT)
    return [b"content"]


def length(environ: dict[str, Any], start_response: Any) -> Any:
    declared, _, kind = environ["QUERY_STRING"].partition("=")
    start_response("200 OK", [*TEXT, ("Content-Length", declared)])
    return [b"12345"] if kind == "list" else iter([b"123", b"45"])


def file(environ: dict[str, Any], start_response: Any) -> Any:
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
    kept.write(CONTENT)
    kept.seek(1000)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](kept)


def wide(environ: dict[str, Any], start_response: Any) -> Any:
    """As many fields as the query says, some of them not ASCII; and what came of the client's."""
    count = int(environ["QUERY_STRING"])
    fields = [(f"X-Field-{number}", "caf\xe9 " * 20) for number in range(count)]
    start_response("200 OK", [*TEXT, *fields])
    return [environ.get("HTTP_X_NAME", "").encode("latin-1")]


def forever(environ: dict[str, Any], start_response: Any) -> Any:
    write = start_response("200 OK", TEXT)
    if environ["QUERY_STRING"] == "write":
        while True:
            write(b"x" * 65536)
    return Counted(itertools.repeat(b"x" * 65536))


APPS = (validator(echo), facts, broken, replaced, late, head, status, length, file, wide, forever)
NAMES = ("echo", "facts", "broken", "replaced", "late", "head", "status", "length", "file", "wide", "forever")
PATHS = dict(zip(NAMES, APPS, strict=True))


def app(environ: dict[str, Any], start_response: Any) -> Any:
    return PATHS[environ["PATH_INFO"].strip("/")](environ, start_response)
