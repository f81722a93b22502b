"""What a path under a prefix stands for."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from mpm_worker.static.app import StaticFiles
from mpm_worker.static.mount import Mount, read_mount

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_says_what_it_is(ask: Any, folder: Path) -> None:
    path = folder / "site" / "alphabet.txt"
    answer = ask("/static/alphabet.txt")
    assert (answer.status, answer.body) == (200, path.read_bytes())
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Length"] == "104"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["ETag"] == f'"{path.stat().st_mtime_ns:x}-68"'
    assert parsedate_to_datetime(answer["Last-Modified"]).timestamp() == int(path.stat().st_mtime)
    assert answer["Vary"] is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/empty.css", "text/css; charset=utf-8"),
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/app.js.gz", "application/gzip"),
        ("/static/large.bin", "application/octet-stream"),
        ("/static/sub/", "text/html; charset=utf-8"),
        ("/static/sp ace \xc3\xa4.html", "text/html; charset=utf-8"),
    ],
)
def test_the_end_of_the_name_is_the_type(ask: Any, path: str, kind: str) -> None:
    answer = ask(path)
    assert (answer.status, answer["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "path", ["/static/missing", "/static/missing/", "/static/sub/deep/", "/static/alphabet.txt/x"]
)
def test_what_is_no_file_is_not_found_and_not_asked_of_the_application(ask: Any, path: str) -> None:
    answer = ask(path)
    assert (answer.status, answer.body) == (404, b"404 Not Found\n")


@pytest.mark.parametrize(
    "path", ["/", "/other", "/staticfile", "/Static/alphabet.txt", "/x/static/alphabet.txt"]
)
def test_what_lies_elsewhere_goes_to_the_application(ask: Any, path: str) -> None:
    assert ask(path).body == b"the application: " + path.encode()


@pytest.mark.parametrize("path", ["/static/sub", "/static/sub/deep", "/static"])
def test_a_folder_is_asked_for_with_a_slash(ask: Any, path: str) -> None:
    answer = ask(path)
    assert (answer.status, answer["Location"]) == (301, path + "/")


def test_a_redirect_never_names_another_host(folder: Path) -> None:
    """`//host/` would be one."""
    app = StaticFiles([Mount("", str(folder))], lambda environ, start_response: [])
    seen: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/site", "QUERY_STRING": "a=b"}
    app(environ, lambda *start: seen.append(start))
    assert ("Location", "/site/?a=b") in seen[0][1]
    for path in ("//site", "///site", "/\\site", "//evil.example/..%2f"):
        app({**environ, "PATH_INFO": path}, lambda *start: seen.append(start))
        assert seen[-1][0] == "404 Not Found", path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/static/alphabet.txt", "/static/missing"])
def test_only_get_and_head_are_allowed(ask: Any, method: str, path: str) -> None:
    answer = ask(path, method)
    assert (answer.status, answer["Allow"]) == (405, "GET, HEAD")


def test_the_longest_prefix_wins(folder: Path) -> None:
    mounts = [Mount("/a", str(folder / "site")), Mount("/a/b", str(folder / "site" / "sub"))]
    app = StaticFiles(mounts, lambda environ, start_response: [])
    for path, status in (
        ("/a/b/index.html", "200 OK"),
        ("/a/index.html", "404 Not Found"),
        ("/a/sub/", "200 OK"),
    ):
        seen: list[Any] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        result: Any = app(environ, lambda *start, seen=seen: seen.append(start))
        if hasattr(result, "close"):
            result.close()
        assert seen[0][0] == status, path


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("/static={}", "/static"),
        ("/static/={}", "/static"),
        ("/a//b/={}", "/a/b"),
        ("/={}", ""),
        ("/\xe4={}", "/\xe4"),
    ],
)
def test_an_option_names_prefix_and_folder(tmp_path: Path, text: str, prefix: str) -> None:
    assert read_mount(text.format(tmp_path)) == Mount(prefix, str(tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("static=/tmp", "/PREFIX=DIR is expected"),
        ("/static", "/PREFIX=DIR is expected"),
        ("/static=", "/PREFIX=DIR is expected"),
        ("", "/PREFIX=DIR is expected"),
        ("/../x=/tmp", "cannot be asked for"),
        ("/static=/no/such/folder", "/no/such/folder is no folder"),
        ("/static=/etc/passwd", "/etc/passwd is no folder"),
    ],
)
def test_an_option_that_cannot_be_used_says_why(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_mount(text)
