"""HTTPS: every model speaks it, a handshake takes no slot, a new certificate is shown without a restart."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing

import pytest
from worker_tls import client_context, make_certificate


@pytest.fixture
def pair(tmp_path) -> tuple[str, str]:
    return make_certificate(tmp_path / "tls")


@pytest.fixture
def secure(start, pair):
    """Starts a worker that speaks TLS."""

    def begin(*arguments: str, app: str = "told:app"):
        certificate, key = pair
        return start("--tls-certificate", certificate, "--tls-key", key, *arguments, app=app)

    return begin


def connect(worker, certificate: str) -> ssl.SSLSocket:
    context = client_context(certificate)
    sock = socket.create_connection(("127.0.0.1", worker.port), timeout=60)
    return context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def https(worker, certificate: str) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(
        "localhost", worker.port, timeout=60, context=client_context(certificate)
    )


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> bytes:
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


def told(connection: http.client.HTTPConnection) -> dict[str, str]:
    """The environ of one request."""
    with closing(connection):
        environ: dict[str, str] = json.loads(ask(connection, "/"))
    return environ


def read_until_end(sock: socket.socket) -> bytes:
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def test_requests_of_all_kinds_on_one_connection(secure, pair, tmp_path, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "2")
    worker.await_line("listening on https://")
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    connection = https(worker, pair[0])
    environ = json.loads(ask(connection, "/"))
    assert (environ["wsgi.url_scheme"], environ["HTTPS"], environ["REMOTE_ADDR"]) == (
        "https",
        "on",
        "127.0.0.1",
    )
    first = connection.sock
    for size in (1, 16384, 100_000, 2_000_000):
        body = os.urandom(size)
        assert ask(connection, "/hash", body).decode() == hashlib.sha256(body).hexdigest()
    assert ask(connection, f"/file?{file}") == file.read_bytes()
    assert ask(connection, "/lazy") == b"x" * 1_000_000
    assert connection.sock is first
    connection.close()


def test_what_shares_a_record_with_a_body_is_not_forgotten(secure, pair, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "2")
    post = b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(worker, pair[0]) as sock:
        sock.sendall(post + b"abc" + post)
        time.sleep(0.2)
        sock.sendall(b"abc" + last)
        answer = read_until_end(sock)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(hashlib.sha256(b"abc").hexdigest().encode()) == 2


def test_a_record_for_each_byte(secure, pair, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "1")
    head = b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(worker, pair[0]) as sock:
        for byte in head:
            sock.sendall(bytes([byte]))
        assert read_until_end(sock).startswith(b"HTTP/1.1 200 OK")


def test_the_end_of_a_response_is_no_cut(secure, pair, mpm: str) -> None:
    """Without a length the end of the connection ends the content: TLS says whether that is the end."""
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "1")
    with connect(worker, pair[0]) as sock:
        sock.sendall(b"GET /lazy HTTP/1.0\r\n\r\n")
        assert read_until_end(sock).endswith(b"x" * 1_000_000)  # a cut would raise SSLEOFError


def test_a_cut_is_no_end(secure, pair, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "1")
    with connect(worker, pair[0]) as sock:
        sock.sendall(b"GET /broken HTTP/1.0\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            read_until_end(sock)


def test_plain_http_is_told_so(secure, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "1")
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = read_until_end(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks HTTPS" in answer


def test_one_address_may_be_plain(start, pair) -> None:
    certificate, key = pair
    binds = ("--bind", "127.0.0.1:0", "--bind", "http://127.0.0.1:0")
    worker = start(*binds, "--tls-certificate", certificate, "--tls-key", key, app="told:app")
    plain = int(worker.await_line(r"listening on https://\S+, http://127\.0\.0\.1:(\d+)")[1])
    environ = told(http.client.HTTPConnection("127.0.0.1", plain, timeout=60))
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"], environ.get("HTTPS")) == (
        "http",
        str(plain),
        None,
    )
    environ = told(https(worker, certificate))
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", str(worker.port))


def test_a_handshake_takes_no_slot_and_has_a_deadline(secure, pair) -> None:
    worker = secure("--mpm", "event", "--processes", "1", "--threads", "2", "--timeout", "6")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), timeout=60))
            for _ in range(5)
        ]
        silent[0].sendall(b"\x16\x03\x01")  # the beginning of a handshake
        worker.await_board(lambda board: board["connections"]["reading"] >= 5)
        assert worker.scoreboard()["workers"]["busy"] == 0
        assert told(https(worker, pair[0]))["HTTPS"] == "on"
        for sock in silent:
            assert sock.recv(1000) in (b"", b"\x15\x03\x01\x00\x02\x02\x50")


def test_a_broken_handshake_ends_its_own_connection_only(secure, pair, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "1", "--threads", "1")
    for junk in (b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", os.urandom(500)):
        with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
            sock.sendall(junk)
            try:
                read_until_end(sock)
            except ConnectionResetError:
                pass
    assert told(https(worker, pair[0]))["HTTPS"] == "on"


def shown_certificate(worker) -> bytes:
    context = ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock,
        context.wrap_socket(sock) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def der(path: str) -> bytes:
    with open(path) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def test_a_new_certificate_is_shown_and_nobody_is_dropped(secure, pair, tmp_path, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "2", "--threads", "2", "--keep-alive-timeout", "30")
    assert shown_certificate(worker) == der(pair[0])
    kept = https(worker, pair[0])
    ask(kept, "/")
    first = kept.sock
    make_certificate(tmp_path / "tls")
    worker.await_line("the certificate was read again")
    for _ in range(6):
        assert shown_certificate(worker) == der(pair[0])
    worker.await_board(lambda board: board["workers"]["idle"] and not board["workers"]["queue"])
    ask(kept, "/")  # nobody waits, for whom the connection would be closed
    assert kept.sock is first
    kept.close()


def test_a_bad_certificate_is_told_and_the_old_one_goes_on(secure, pair, tmp_path) -> None:
    worker = secure("--mpm", "event", "--processes", "1", "--threads", "2")
    old = der(pair[0])
    with open(pair[0], "w") as file:
        file.write("no certificate\n")
    worker.await_line(r"--tls-certificate \S+: .*; the certificate from before goes on")
    assert shown_certificate(worker) == old
    worker.signal(signal.SIGHUP)  # new processes have the old one too
    worker.await_board(lambda board: board["generation"] == 1 and board["servers"] == 1)
    assert shown_certificate(worker) == old
    make_certificate(tmp_path / "tls")
    worker.await_line("the certificate was read again")
    assert shown_certificate(worker) == der(pair[0])


def test_load_during_new_certificates_loses_nothing(secure, pair, tmp_path, mpm: str) -> None:
    worker = secure("--mpm", mpm, "--processes", "2", "--threads", "2")
    served, failures, over = [0], [], threading.Event()
    context = ssl._create_unverified_context()

    def hammer() -> None:
        while not over.is_set():
            connection = http.client.HTTPSConnection("127.0.0.1", worker.port, timeout=60, context=context)
            try:
                for _ in range(5):
                    ask(connection, "/")
                    served[0] += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(repr(error))
            finally:
                connection.close()

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    make_certificate(tmp_path / "tls")
    worker.await_line("the certificate was read again")
    served[0] = 0
    worker.await_board(lambda _: served[0] > 20 or failures)
    over.set()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-key", "{key}"], "its --tls-certificate is missing"),
        (["--tls-certificate", "/nowhere.pem"], "--tls-certificate /nowhere.pem: No such file"),
        (
            ["--tls-certificate", "{certificate}", "--tls-key", "/nowhere.pem"],
            "--tls-key /nowhere.pem: No such",
        ),
        (["--tls-certificate", "{key}", "--tls-key", "{key}"], "--tls-certificate {key}: there is no cert"),
        (["--tls-certificate", "{certificate}"], "--tls-key {certificate}: there is no key in it"),
        (["--tls-certificate", "{certificate}", "--tls-key", "{other}"], "the key is another certificate's"),
        (
            ["--tls-certificate", "{certificate}", "--tls-min-version", "1.1"],
            "--tls-min-version: expected 1.2 or 1.3",
        ),
        (["--bind", "https://127.0.0.1:0"], "https needs --tls-certificate"),
    ],
)
def test_a_mistake_is_told_and_ends_with_2(
    run_to_the_end, pair, tmp_path, options: list[str], words: str
) -> None:
    _, other = make_certificate(tmp_path / "other")
    files = {"certificate": pair[0], "key": pair[1], "other": other}
    filled = [option.format(**files) for option in options]
    code, said = run_to_the_end("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", *filled, "a:b")
    assert code == 2
    assert words.format(**files) in said
    assert "Traceback" not in said


def test_the_oldest_version_is_kept_to(secure, pair) -> None:
    worker = secure("--tls-min-version", "1.3")
    context = client_context(pair[0])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(sock, server_hostname="localhost")
