"""The PROXY protocol: the client a trusted proxy names, nobody else's word, and nothing that is no header."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_tls import client_context, make_certificate

from mpm_worker.proxy_protocol import MOST, Header, Malformed, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ASK = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def binary(source: str, port: int, *, command: int = 0x21, extensions: bytes = b"") -> bytes:
    address = ipaddress.ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    body = address.packed * 2 + struct.pack("!HH", port, 443) + extensions
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 5600 443\r\n", ("192.0.2.7", "5600"), False),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 5600 443\r\n", ("2001:db8::1", "5600"), False),
    (b"PROXY UNKNOWN\r\n", None, False),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, False),
    (binary("192.0.2.7", 5600), ("192.0.2.7", "5600"), False),
    (binary("2001:db8::1", 5600), ("2001:db8::1", "5600"), False),
    (binary("192.0.2.7", 5600, command=0x20), None, False),
    (SIGNATURE + struct.pack("!BBH", 0x21, 0, 0), None, False),
    (SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + b"\0" * 216, None, False),
    (binary("192.0.2.7", 1, extensions=extension(4, b"noop")), ("192.0.2.7", "1"), False),
    (
        binary("192.0.2.7", 1, extensions=extension(4, b"") + extension(0x20, b"\1\0\0\0\0")),
        ("192.0.2.7", "1"),
        True,
    ),
    (binary("192.0.2.7", 1, extensions=extension(0x20, b"\0\0\0\0\0")), ("192.0.2.7", "1"), False),
]
BAD = [
    b"GET / HTTP/1.1\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5600\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 5600 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 5600 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5600 65536\r\n",
    b"PROXY TCP4 192.0.2.007 198.51.100.1 5600 443\r\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 5600 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5600 443\n" + b"x" * 107,
    b"PROXY UNKNOWN" + b" " * 107,
    b"PROXY UDP4 192.0.2.7 198.51.100.1 5600 443\r\n",
    b"proxy tcp4 192.0.2.7 198.51.100.1 5600 443\r\n",
    SIGNATURE + struct.pack("!BBH", 0x22, 0x11, 12) + b"\0" * 12,
    SIGNATURE + struct.pack("!BBH", 0x11, 0x11, 12) + b"\0" * 12,
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 11) + b"\0" * 11,
    SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 5000) + b"\0" * 11,
    binary("192.0.2.7", 1, extensions=b"\x20\0"),
    binary("192.0.2.7", 1, extensions=b"\x20\0\x09abc"),
]


@pytest.mark.parametrize(("data", "peer", "tls"), GOOD)
def test_a_header_is_read_in_any_pieces(data: bytes, peer: tuple[str, str] | None, tls: bool) -> None:
    assert parse(data + ASK) == Header(peer, len(data), tls)
    assert parse(data) == Header(peer, len(data), tls)
    for cut in range(len(data)):
        assert parse(data[:cut]) is None


@pytest.mark.parametrize("data", BAD)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@given(st.sampled_from([header for header, *_ in GOOD]) | st.just(b""), st.binary(max_size=300))
def test_any_bytes_are_a_header_or_none(start: bytes, rest: bytes) -> None:
    try:
        found = parse(start[: len(rest)] + rest)
    except Malformed:
        return
    if found is None:
        assert len(start[: len(rest)] + rest) < MOST
    else:
        assert found.size <= len(start[: len(rest)] + rest)
        if found.peer is not None:
            ipaddress.ip_address(found.peer[0])
            assert 0 <= int(found.peer[1]) <= 65535


# -- on real sockets

TRUSTING = ("--proxy-protocol", "on", "--trusted-proxies", "127.0.0.1/32")


def converse(worker, *pieces: bytes) -> bytes:
    """What comes back when this is sent, piece by piece."""
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        try:
            for piece in pieces:
                sock.sendall(piece)
            while data := sock.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    return answer


def environ_of(answer: bytes) -> dict[str, str]:
    environ: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return environ


def cpu_seconds(worker) -> float:
    """Of its servers so far."""
    pids = [process["pid"] for process in worker.scoreboard()["processes"]]
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def trusting(shared):
    options = ("--processes", "1", "--threads", "2", *TRUSTING)
    return lambda mpm: shared("--mpm", mpm, *options, app="told:app")


@pytest.mark.parametrize(("header", "peer", "tls"), GOOD)
def test_the_client_is_the_one_in_the_header(trusting, mpm: str, header: bytes, peer, tls: bool) -> None:
    environ = environ_of(converse(trusting(mpm), header + ASK))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (peer or ("127.0.0.1", environ["REMOTE_PORT"]))
    assert environ["wsgi.url_scheme"] == ("https" if tls else "http")


def test_it_may_come_byte_by_byte(trusting, mpm: str) -> None:
    data = GOOD[0][0] + ASK
    environ = environ_of(converse(trusting(mpm), *(data[at : at + 1] for at in range(len(data)))))
    assert environ["REMOTE_ADDR"] == "192.0.2.7"


def test_who_stops_in_the_middle_of_it_costs_no_cpu(trusting, mpm: str) -> None:
    worker = trusting(mpm)
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(GOOD[0][0][:12])
        before = cpu_seconds(worker)
        time.sleep(2)
        assert cpu_seconds(worker) - before < 1  # of two, if it asked again and again


@pytest.mark.parametrize("data", [BAD[0] + b"Host: x\r\n\r\n", BAD[1] + ASK, BAD[-1] + ASK])
def test_a_trusted_proxy_without_a_header_gets_no_answer(trusting, mpm: str, data: bytes) -> None:
    worker = trusting(mpm)
    assert converse(worker, data) == b""
    worker.await_line("no PROXY header from 127.0.0.1: .*; the connection is closed")


def test_nobody_else_is_believed(start, mpm: str) -> None:
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1")
    worker = start(*options, "--proxy-protocol", "on", "--trusted-proxies", "192.0.2.0/24", app="told:app")
    assert environ_of(converse(worker, ASK))["REMOTE_ADDR"] == "127.0.0.1"
    assert converse(worker, GOOD[0][0] + ASK).startswith(b"HTTP/1.1 400 ")
    assert converse(worker, GOOD[4][0] + ASK).startswith(b"HTTP/1.1 400 ")


def test_it_stands_before_a_handshake(start, tmp_path, mpm: str) -> None:
    certificate, key = make_certificate(tmp_path / "tls")
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--tls-certificate", certificate)
    worker = start(*options, "--tls-key", key, *TRUSTING, app="told:app")
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
        sock.sendall(GOOD[0][0])
        with client_context(certificate).wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(ASK)
            response = http.client.HTTPResponse(tls)
            response.begin()
            environ = json.loads(response.read())
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("192.0.2.7", "https")


def test_the_option_needs_somebody_to_trust(run_to_the_end) -> None:
    code, said = run_to_the_end("--proxy-protocol", "on", "a:b")
    assert code == 2
    assert "--trusted-proxies" in said
