"""The application every WSGI server is measured with; each path is one kind of work."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FILE = os.environ.get("BENCH_FILE", "")
_HELLO = b"Hello, world!\n"
_TEXT = [("Content-Type", "text/plain"), ("Content-Length", str(len(_HELLO)))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _PATHS.get(environ["PATH_INFO"], _hello)(environ, start_response)


def _hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", _TEXT)
    return [_HELLO]


def _sleep10(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.010)
    return _hello(environ, start_response)


def _sleep50(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.050)
    return _hello(environ, start_response)


def _spin5(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """5 ms of this thread's CPU, not of the clock: a spin that waits for the GIL has not worked."""
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    return _hello(environ, start_response)


def _file(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    size = os.path.getsize(FILE)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    file = open(FILE, "rb")  # noqa: SIM115 - the server closes it (PEP 3333)
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, 65536) if wrapper else iter(lambda: file.read(65536), b"")


def _echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


_PATHS = {
    "/sleep10": _sleep10,
    "/sleep50": _sleep50,
    "/spin5": _spin5,
    "/file": _file,
    "/echo": _echo,
}
