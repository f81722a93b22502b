"""What people build with: the same small site in five frameworks, none of which knows this server."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = (Path(__file__).parent / "sites" / "files" / "site.txt").read_bytes()
MEGABYTE = os.urandom(1 << 20)
BOUNDARY = "mpm-worker-test-boundary"


def fetch(
    client: Any, path: str, method: str = "GET", body: Any = None, **fields: str
) -> tuple[int, Any, bytes]:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    client.request(method, path, body, headers)
    response = client.getresponse()
    return response.status, response.headers, response.read()


def test_cookies_go_back_and_forth(client: Any) -> None:
    _, headers, body = fetch(client, "/")
    assert body == b"visit 1"
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert fetch(client, "/", Cookie=cookie)[2] == b"visit 2"


def test_a_form_is_read(client: Any) -> None:
    body = urlencode([("name", "Grün & Co"), ("several", "a"), ("several", "b")])
    status, _, answer = fetch(client, "/form", "POST", body, Content_Type="application/x-www-form-urlencoded")
    assert (status, json.loads(answer)) == (200, {"name": "Grün & Co", "several": ["a", "b"]})


def test_a_form_in_chunks_is_read(client: Any) -> None:
    """A body without a declared length: most frameworks would take it for empty."""
    body = iter([b"name=x&sev", b"eral=a&several=b"])
    status, _, answer = fetch(client, "/form", "POST", body, Content_Type="application/x-www-form-urlencoded")
    assert (status, json.loads(answer)) == (200, {"name": "x", "several": ["a", "b"]})


def test_a_raw_body_in_chunks_is_read(client: Any) -> None:
    status, _, answer = fetch(
        client, "/raw", "POST", iter([b"x" * 100_000] * 3), Content_Type="application/x"
    )
    assert (status, json.loads(answer)) == (200, {"size": 300_000})


def test_a_hundred_megabytes_are_uploaded_and_not_held_in_memory(site: Any, client: Any) -> None:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nbig\r\n--{BOUNDARY}\r\n'
        'Content-Disposition: form-data; name="file"; filename="big.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def parts() -> Iterator[bytes]:
        yield head
        yield from [MEGABYTE] * 100
        yield tail

    before = site.peak()
    status, _, answer = fetch(
        client,
        "/upload",
        "POST",
        parts(),
        Content_Type=f"multipart/form-data; boundary={BOUNDARY}",
        Content_Length=str(len(head) + (100 << 20) + len(tail)),
    )
    digest = hashlib.sha256()
    for _ in range(100):
        digest.update(MEGABYTE)
    told = {"note": "big", "name": "big.bin", "size": 100 << 20, "sha256": digest.hexdigest()}
    assert (status, json.loads(answer)) == (200, told)
    assert site.peak() - before < 32 << 20


def test_a_stream_comes_in_chunks(client: Any) -> None:
    status, headers, body = fetch(client, "/stream")
    assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
    assert body == b"".join(b"%d\n" % number for number in range(1000))


def test_what_is_not_there_is_the_frameworks_404(client: Any) -> None:
    status, headers, body = fetch(client, "/missing")
    assert (status, headers["Connection"]) == (404, None)
    assert b"mpm-worker" not in body


def test_an_exception_is_a_500_and_a_trace_in_the_log(site: Any, client: Any) -> None:
    assert fetch(client, "/boom")[0] == 500
    site.await_line("RuntimeError: the site broke")
    assert fetch(client, "/")[0] == 200


def test_a_redirect_leads_on(client: Any) -> None:
    status, headers, _ = fetch(client, "/redirect")
    assert status in (302, 303)
    assert headers["Location"] in ("/", f"http://127.0.0.1:{client.port}/")


def test_the_frameworks_own_static_files(client: Any) -> None:
    status, headers, body = fetch(client, "/static/site.txt")
    assert (status, headers.get_content_type(), body) == (200, "text/plain", FILE)
    assert fetch(client, "/static/site.txt", "HEAD")[1]["Content-Length"] == str(len(FILE))
    status, _, body = fetch(client, "/static/site.txt", If_Modified_Since=headers["Last-Modified"])
    assert (status, body) in ((304, b""), (200, FILE))  # not every one looks at it
    assert fetch(client, "/static/../django_site.py")[0] in (400, 403, 404)


def test_one_connection_carries_it_all(client: Any) -> None:
    fetch(client, "/")
    sock = client.sock
    for path in ("/stream", "/missing", "/static/site.txt", "/redirect", "/"):
        fetch(client, path)
    assert client.sock is sock is not None
