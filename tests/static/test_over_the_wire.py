"""Static files from the real worker, in each of its models."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from mpm_worker.wsgi import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(worker: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
    yield connection
    connection.close()


def fetch(client: Any, path: str, method: str = "GET", **fields: str) -> tuple[int, Any, bytes]:
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
    response = client.getresponse()
    return response.status, response.headers, response.read()


def test_one_connection_gets_files_parts_and_refusals(client: Any, folder: Path) -> None:
    """All on one connection: each answer ends where its head says."""
    content = (folder / "site" / "large.bin").read_bytes()
    status, headers, body = fetch(client, "/static/large.bin")
    assert (status, body == content, headers["Server"]) == (200, True, "mpm-worker")
    sock = client.sock
    tag = headers["ETag"]
    status, headers, body = fetch(client, "/static/large.bin", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(content)), b"")
    status, headers, body = fetch(client, "/static/large.bin", Range="bytes=1000000-2000000")
    assert (status, body == content[1_000_000:2_000_001]) == (206, True)
    status, headers, body = fetch(client, "/static/large.bin", Range="bytes=0-9,2000000-2100000")
    assert (status, body.count(content[2_000_000:2_100_001])) == (206, 1)
    assert int(headers["Content-Length"]) == len(body)
    assert fetch(client, "/static/large.bin", If_None_Match=tag)[0] == 304
    assert fetch(client, "/static/large.bin", If_Match='"x"')[0] == 412
    assert fetch(client, "/static/large.bin", Range="bytes=9999999-")[0] == 416
    assert fetch(client, "/static/missing")[0] == 404
    assert fetch(client, "/static/large.bin", "POST")[0] == 405
    assert fetch(client, "/files/deep/")[2] == b"<p>index"
    assert fetch(client, "/elsewhere")[2] == b"the application: /elsewhere"
    assert fetch(client, "/static/app.js", Accept_Encoding="br, gzip")[2] == b"br app.js"
    assert client.sock is sock is not None


def test_pipelined_files_come_in_order(worker: Any, folder: Path) -> None:
    get = b"GET /static/alphabet.txt HTTP/1.1\r\nHost: a\r\n%b\r\n"
    received = worker.exchange(get % b"" + get % b"Range: bytes=0-3\r\n" + get % b"Connection: close\r\n")
    first, second, third = received.split(b"HTTP/1.1 ")[1:]
    text = (folder / "site" / "alphabet.txt").read_bytes()
    assert (first[:3], second[:3], third[:3]) == (b"200", b"206", b"200")
    assert (first.endswith(text), second.endswith(b"\r\n\r\nabcd"), third.endswith(text)) == (True,) * 3


def test_a_file_on_its_way_is_a_writing_slot_and_counts(worker: Any, tmp_path: Path, folder: Path) -> None:
    huge = folder / "site" / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(1 << 28)
    before = worker.await_idle()["totals"]
    with worker.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET /static/huge.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        worker.await_board(lambda seen: "W" in seen["processes"][0]["letters"])
        received = 0
        while data := client.recv(1 << 20):
            received += len(data)
    huge.unlink()
    assert received > 1 << 28
    after = worker.await_idle()["totals"]
    assert after["accesses"] - before["accesses"] >= 1
    assert after["bytes"] - before["bytes"] >= 1 << 28


def open_files(pid: int) -> Iterator[str]:
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{number}")


def test_a_client_that_leaves_in_the_middle_leaves_a_free_slot_and_no_open_file(worker: Any) -> None:
    pid = worker.await_idle()["processes"][0]["pid"]
    for _ in range(5):
        with worker.connect() as client:
            client.sendall(b"GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(1000)
    worker.await_idle()
    assert not any("large.bin" in path for path in open_files(pid))
    assert b"200 OK" in worker.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert not any("Traceback" in line for line in worker.said)


def test_a_wrapper_with_a_length_ends_there(tmp_path: Path) -> None:
    """Where sendfile is not possible (TLS), blocks are read: no more of them than were declared."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as file:
        os.lseek(file.fileno(), 2, os.SEEK_SET)
        wrapper = FileWrapper(file, 3, length=5)
        assert wrapper.regular_file() == (file.fileno(), 2, 5)
        assert list(wrapper) == [b"234", b"56"]
