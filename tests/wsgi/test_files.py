"""wsgi.file_wrapper: the file itself by sendfile where it is one, its blocks where it is not."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 8192  # 2 MiB: more than one sendfile
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def sendfiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each real sendfile(2)."""
    calls: list[int] = []
    real = os.sendfile

    def counted(*arguments: Any) -> int:
        sent = real(*arguments)
        calls.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", counted)
    return calls


def offer(make: Any, headers: list[tuple[str, str]] | None = None, status: str = "200 OK") -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, headers or [])
        return environ["wsgi.file_wrapper"](make(), 8192)

    return app


def test_a_regular_file_is_sent_by_the_kernel(ask: Any, path: Path, sendfiles: list[int]) -> None:
    opened: list[Any] = []
    response = ask(offer(lambda: opened.append(path.open("rb")) or opened[0]))
    assert response.body == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))
    assert sum(sendfiles) == len(CONTENT)
    assert opened[0].closed


def test_two_files_on_one_connection(connect: Any, responses: Any, path: Path, sendfiles: list[int]) -> None:
    talk = connect(offer(lambda: path.open("rb", buffering=0)))
    talk.send(GET + GET)
    talk.end()
    assert [each.body == CONTENT for each in responses(talk.read(), ["GET", "GET"])] == [True, True]


def test_a_file_is_sent_from_where_it_stands(ask: Any, path: Path, sendfiles: list[int]) -> None:
    def later() -> Any:
        file = path.open("rb")
        assert file.read(1000)
        return file

    response = ask(offer(later))
    assert response.body == CONTENT[1000:]
    assert sum(sendfiles) == len(CONTENT) - 1000


def test_a_declared_length_bounds_what_is_sent_of_a_file(ask: Any, path: Path, sendfiles: list[int]) -> None:
    response = ask(offer(lambda: path.open("rb"), [("Content-Length", "10")], "206 Partial Content"))
    assert response.body == CONTENT[:10]


def test_a_file_shorter_than_declared_ends_the_connection(connect: Any, responses: Any, path: Path) -> None:
    talk = connect(offer(lambda: path.open("rb"), [("Content-Length", str(len(CONTENT) + 1))]))
    talk.send(GET)
    (response,) = responses(talk.read(), ["GET"])
    assert (len(response.body), response.whole) == (len(CONTENT), False)
    assert not talk.outcomes[0].keep_alive


def test_an_empty_file_is_an_empty_response(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    response = ask(offer((tmp_path / "empty").open, None))
    assert (response.body, response.headers["content-length"]) == (b"", "0")


@pytest.mark.parametrize(
    ("stream", "status"),
    [(GET.replace(b"GET", b"HEAD"), "200 OK"), (GET, "304 Not Modified"), (GET, "204 No Content")],
)
def test_no_content_of_a_file_where_none_belongs(
    connect: Any, path: Path, sendfiles: list[int], stream: bytes, status: str
) -> None:
    talk = connect(offer(lambda: path.open("rb"), None, status))
    talk.send(stream + stream)
    talk.end()
    assert talk.read().count(b"HTTP/1.1 ") == 2
    assert sendfiles == []


@pytest.mark.parametrize("kind", ["bytes", "gzip", "pipe", "no descriptor"])
def test_what_is_no_regular_file_is_read_in_blocks(
    ask: Any, path: Path, sendfiles: list[int], kind: str
) -> None:
    def make() -> Any:
        if kind == "bytes":
            return io.BytesIO(CONTENT)
        if kind == "gzip":
            packed = path.with_suffix(".gz")
            packed.write_bytes(gzip.compress(CONTENT))
            return gzip.GzipFile(packed)  # has the descriptor of the packed bytes
        if kind == "pipe":
            reader, writer = os.pipe()
            os.write(writer, CONTENT[:5000])
            os.close(writer)
            return os.fdopen(reader, "rb")

        class Reader:
            read = io.BytesIO(CONTENT).read

        return Reader()

    response = ask(offer(make))
    assert response.body == (CONTENT[:5000] if kind == "pipe" else CONTENT)
    assert sendfiles == []


def test_a_named_temporary_file_is_sent_by_the_kernel(ask: Any, sendfiles: list[int]) -> None:
    def make() -> Any:
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115
        file.write(CONTENT)
        file.seek(0)
        return file

    assert ask(offer(make)).body == CONTENT
    assert sum(sendfiles) == len(CONTENT)


def test_a_client_that_stops_reading_a_file_is_given_up(connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    talk = connect(offer(lambda: path.open("rb")), timeout=0.2)
    talk.send(GET)
    talk.thread.join(60)
    assert not talk.thread.is_alive()
    assert talk.outcomes[0].abort


def test_a_client_that_reads_a_file_slowly_gets_all(connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(30_000_000)
    talk = connect(offer(lambda: path.open("rb")))
    talk.send(GET)
    talk.end()
    received = 0
    while data := talk.client.recv(1 << 20):
        received += len(data)
    assert received > 30_000_000
    talk.close()
    assert talk.outcomes[0].sent == 30_000_000


def test_a_small_file_leaves_with_its_head(connect: Any, tmp_path: Path, sendfiles: list[int]) -> None:
    """One send; a declared length bounds it without a complaint."""
    (tmp_path / "small").write_bytes(b"0123456789")
    talk = connect(offer(lambda: (tmp_path / "small").open("rb"), [("Content-Length", "4")]))
    talk.send(GET)
    assert talk.client.recv(65536).endswith(b"\r\n\r\n0123")
    talk.end()
    talk.close()
    assert (sendfiles, talk.errors.getvalue()) == ([], "")
