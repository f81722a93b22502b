"""The WSGI application in front of the application: what lies under a prefix is a file or nothing."""

from __future__ import annotations

import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

from mpm_worker.static.codings import SUFFIXES, choose
from mpm_worker.static.conditions import judge, range_holds, validators
from mpm_worker.static.media import media_type
from mpm_worker.static.multipart import Multipart
from mpm_worker.static.ranges import Range, read_ranges
from mpm_worker.static.tree import Opened, Tree
from mpm_worker.wsgi.files import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mpm_worker.app import Application
    from mpm_worker.static.mount import Mount

    Environ = dict[str, Any]
    Start = Callable[..., Any]
    Headers = list[tuple[str, str]]

_REASONS: Final = {
    301: "Moved Permanently",
    304: "Not Modified",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
}
_OF_304: Final = ("Cache-Control", "ETag", "Last-Modified", "Vary")
_INDEX: Final = b"index.html"


class StaticFiles:
    """Answers GET and HEAD under the prefixes of `mounts`, the longest first; all else goes to `app`.

    :param max_age: seconds for which a file may be kept without asking again; None: nothing is said of it
    """

    def __init__(self, mounts: Sequence[Mount], app: Application, max_age: int | None = None) -> None:
        # PATH_INFO holds the bytes of the path as latin-1 (PEP 3333).
        found = [(mount.prefix.encode().decode("latin-1"), Tree(mount.folder)) for mount in mounts]
        self._mounts = sorted(found, key=lambda each: -len(each[0]))
        self._app = app
        self._kept: Headers = [] if max_age is None else [("Cache-Control", f"max-age={max_age}")]

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        for prefix, tree in self._mounts:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("/", ""):
                name = path[len(prefix) + 1 :].encode("latin-1")
                return _answer(tree, name, self._kept, environ, start_response)
        return self._app(environ, start_response)


def _answer(
    tree: Tree, name: bytes, kept: Headers, environ: Environ, start_response: Start
) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return _say(start_response, 405, [("Allow", "GET, HEAD")])
    path = environ["PATH_INFO"]
    if path.endswith("/"):
        name += _INDEX
    try:
        opened = tree.open(name)
        if opened is None:
            if not path.endswith("/") and tree.is_folder(name):
                return _redirect(path, environ, start_response)
            return _say(start_response, 404)
        opened, coding, varies = _compressed(tree, name, opened, environ)
    except PermissionError:
        return _say(start_response, 403)
    headers = [("Content-Type", media_type(name)), *kept]
    if coding:
        headers.append(("Content-Encoding", coding))
    if varies:
        headers.append(("Vary", "Accept-Encoding"))
    try:
        return _send(opened, coding, headers, environ, start_response)
    except BaseException:
        opened.file.close()
        raise


def _compressed(tree: Tree, name: bytes, plain: Opened, environ: Environ) -> tuple[Opened, str, bool]:
    """The best variant of a file that lies beside it, its coding, and whether there was a choice.

    One that is older than the file is forgotten work and not sent.
    """
    offered: dict[str, Opened] = {}
    for coding, suffix in SUFFIXES.items():
        try:
            packed = tree.open(name + suffix)
        except PermissionError:
            continue
        if packed is not None:
            if packed.modified // 10**9 >= plain.modified // 10**9:
                offered[coding] = packed
            else:
                packed.file.close()
    chosen = choose(environ.get("HTTP_ACCEPT_ENCODING", ""), offered)
    varies = bool(offered)
    best = offered.pop(chosen, plain)
    for other in (*offered.values(), plain):
        if other is not best:
            other.file.close()
    return best, chosen, varies


def _send(
    opened: Opened, coding: str, headers: Headers, environ: Environ, start_response: Start
) -> Iterable[bytes]:
    """The file, a part of it, or why not."""
    file, size, modified = opened
    now = time.time()
    known = validators(modified, size, coding, now)
    headers += [("ETag", known.tag), ("Last-Modified", known.last_modified), ("Accept-Ranges", "bytes")]
    verdict = judge(environ, known)
    if verdict != 200:
        file.close()
        if verdict == 304:
            start_response("304 Not Modified", [header for header in headers if header[0] in _OF_304])
            return []
        return _say(start_response, verdict)
    ranges: list[Range] | None = None
    # Range means something with GET only (RFC 9110, 14.2).
    if environ["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environ and range_holds(environ, known, now):
        ranges = read_ranges(environ["HTTP_RANGE"], size)
    if ranges is None:
        start_response("200 OK", [*headers, ("Content-Length", str(size))])
        return FileWrapper(file, length=size)
    if not ranges:
        file.close()
        return _say(start_response, 416, [("Content-Range", f"bytes */{size}")])
    return _send_ranges(opened, ranges, headers, start_response)


def _send_ranges(
    opened: Opened, ranges: list[Range], headers: Headers, start_response: Start
) -> Iterable[bytes]:
    if len(ranges) == 1:
        first, end = ranges[0]
        opened.file.seek(first)
        headers.append(("Content-Range", ranges[0].content_range(opened.size)))
        start_response("206 Partial Content", [*headers, ("Content-Length", str(end - first))])
        return FileWrapper(opened.file, length=end - first)
    parts = Multipart(opened.file, opened.size, ranges, headers[0][1])
    headers[0] = ("Content-Type", parts.media_type)
    start_response("206 Partial Content", [*headers, ("Content-Length", str(parts.length))])
    return parts


def _redirect(path: str, environ: Environ, start_response: Start) -> Iterable[bytes]:
    """To the folder with a slash, where the links of its page lead to what lies in it."""
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    # One slash in front: two would name another host.
    place = "/" + urllib.parse.quote(path.encode("latin-1")).lstrip("/") + "/"
    return _say(start_response, 301, [("Location", place.replace("//", "/") + query)])


def _say(start_response: Start, status: int, headers: Headers | None = None) -> list[bytes]:
    text = f"{status} {_REASONS[status]}"
    start_response(text, [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])])
    return [f"{text}\n".encode()]
