"""Forwarded and X-Forwarded-*: the rightmost who is no trusted proxy, and only from trusted peers."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_http import UnixConnection, told

from mpm_worker.forwarded import CUSTOM, STANDARD, Hop, Networks, client_of

APPS = str(Path(__file__).parent / "apps")
TRUSTED = Networks(["10.0.0.0/8", "2001:db8::/32"])


def xff(*values: str, **more: str) -> dict[str, str]:
    names = {"proto": "HTTP_X_FORWARDED_PROTO", "host": "HTTP_X_FORWARDED_HOST", "standard": "HTTP_FORWARDED"}
    return {"HTTP_X_FORWARDED_FOR": ", ".join(values)} | {names[name]: value for name, value in more.items()}


@pytest.mark.parametrize(
    ("cgi", "hop"),
    [
        ({}, Hop()),
        (xff("192.0.2.7"), Hop("192.0.2.7")),
        (xff("6.6.6.6", "192.0.2.7"), Hop("192.0.2.7")),
        (xff("6.6.6.6", "192.0.2.7", "10.1.1.1", "10.2.2.2"), Hop("192.0.2.7")),
        (xff("10.3.3.3", "10.1.1.1"), Hop("10.3.3.3")),
        (xff("192.0.2.7:5600"), Hop("192.0.2.7", "5600")),
        (xff("[2001:db9::1]:80", "2001:db8::1"), Hop("2001:db9::1", "80")),
        (xff("192.0.2.7", "garbage", "10.1.1.1"), Hop("10.1.1.1")),
        (xff("192.0.2.7", "garbage"), Hop()),
        (xff("192.0.2.7", ""), Hop()),
        (xff('fe80::1%" 200 forged'), Hop()),
        (xff("192.0.2.7", proto="HTTPS", host="shop.example"), Hop("192.0.2.7", "", "https", "shop.example")),
        (xff("192.0.2.7", proto="gopher", host="a b"), Hop("192.0.2.7")),
        (xff("192.0.2.7", "10.1.1.1", proto="https, http"), Hop("192.0.2.7", "", "https")),
        (xff("6.6.6.6", "192.0.2.7", proto="https, http"), Hop("192.0.2.7", "", "http")),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, Hop("", "", "https")),
        (
            {"HTTP_FORWARDED": "for=192.0.2.7;proto=https;host=shop.example"},
            Hop("192.0.2.7", "", "https", "shop.example"),
        ),
        ({"HTTP_FORWARDED": 'For="[2001:db9::1]:4711", for=10.1.1.1'}, Hop("2001:db9::1", "4711")),
        ({"HTTP_FORWARDED": 'for="_a,b;c=\\"d", for=192.0.2.7 ; proto=http'}, Hop("192.0.2.7", "", "http")),
        ({"HTTP_FORWARDED": "for=192.0.2.7, for=unknown;proto=https"}, Hop("", "", "https")),
        ({"HTTP_FORWARDED": "for=192.0.2.7, for=_hidden, for=10.1.1.1"}, Hop("10.1.1.1")),
        ({"HTTP_FORWARDED": 'for="6.6.6.6, for="[2001:db9::1]"'}, Hop("2001:db9::1")),
        ({"HTTP_FORWARDED": 'for="a,b\\",c";proto=https'}, Hop("", "", "https")),
        ({"HTTP_FORWARDED": '"' + "," * 60000 + "for=10.1.1.1"}, Hop("10.1.1.1")),
        (xff("192.0.2.7", standard="for=6.6.6.6"), Hop("192.0.2.7")),
    ],
)
def test_the_client_is_the_rightmost_who_is_not_trusted(cgi: dict[str, str], hop: Hop) -> None:
    assert client_of(cgi, TRUSTED) == hop


@pytest.mark.timeout(30)
def test_an_open_quotation_mark_costs_no_time() -> None:
    """A minute, with an expression that tries every way to read it."""
    assert client_of({"HTTP_FORWARDED": '"\\' * 100_000}, TRUSTED) == Hop()


def test_the_option_says_which_fields_count() -> None:
    both = xff("192.0.2.7", standard="for=192.0.2.8")
    assert client_of(both, TRUSTED, CUSTOM).address == "192.0.2.7"
    assert client_of(both, TRUSTED, STANDARD).address == "192.0.2.8"
    assert client_of({"HTTP_FORWARDED": "for=192.0.2.8"}, TRUSTED, CUSTOM) == Hop()


def test_an_ipv4_address_in_ipv6_is_the_same() -> None:
    assert Networks(["10.0.0.0/8"]).trusts("::ffff:10.1.2.3")
    assert not Networks(["10.0.0.0/8"]).trusts("::ffff:11.1.2.3")
    assert not Networks(["10.0.0.0/8"]).trusts("10.1.2.3; drop")


addresses = st.ip_addresses().map(str)


@given(st.text(max_size=60), addresses, st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=4))
def test_nothing_left_of_the_client_matters(left: str, client: str, proxies: list[str]) -> None:
    if TRUSTED.trusts(client):
        return
    for cgi in (
        {"HTTP_X_FORWARDED_FOR": ",".join([left, client, *proxies])},
        {"HTTP_FORWARDED": ",".join(f'for="{_quoted(each)}"' for each in [left, client, *proxies])},
    ):
        assert client_of(cgi, TRUSTED).address == str(ipaddress.ip_address(client))


def _quoted(address: str) -> str:
    escaped = address.replace("\\", "\\\\").replace('"', '\\"')
    return f"[{escaped}]" if ":" in address else escaped


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_sent_gives_an_address_or_nothing(
    forwarded: str, custom: str, proto: str, host: str
) -> None:
    for cgi in ({"HTTP_FORWARDED": forwarded}, xff(custom, proto=proto, host=host)):
        found = client_of(cgi, TRUSTED)
        if found.address:
            ipaddress.ip_address(found.address)
        assert found.proto in ("", "http", "https")
        assert not re.search(r"[\s/@\"]", found.host)


# -- on real sockets


def plain(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def test_a_trusted_peer_names_client_scheme_and_host(start, mpm: str, tmp_path) -> None:
    log = tmp_path / "access.log"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "2", "--extended-status", "on")
    worker = start(*options, "--trusted-proxies", "127.0.0.0/8", "--access-log", str(log), app="told:app")
    headers = {
        "X_Forwarded_For": "6.6.6.6, 192.0.2.7",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "shop.example",
    }
    environ = told(plain(worker.port), **headers)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTPS"], environ["HTTP_HOST"]) == (
        "192.0.2.7",
        "https",
        "on",
        "shop.example",
    )
    assert b"192.0.2.7" in worker.admin("/server-status")[2]
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert log.read_text().startswith("192.0.2.7 - - [")


def test_each_request_of_a_connection_has_its_own_client(start, mpm: str) -> None:
    worker = start(
        "--mpm", mpm, "--processes", "1", "--threads", "2", "--trusted-proxies", "127.0.0.1", app="told:app"
    )
    with closing(plain(worker.port)) as connection:
        for client, scheme in (
            ("192.0.2.1", "https"),
            ("192.0.2.2", "http"),
            ("192.0.2.1", "https"),
            ("", ""),
        ) * 2:
            headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": scheme} if client else {}
            connection.request("GET", "/", headers=headers)
            environ = json.loads(connection.getresponse().read())
            assert environ["REMOTE_ADDR"] == (client or "127.0.0.1")
            assert environ["wsgi.url_scheme"] == (scheme or "http")
            assert environ.get("HTTPS") == ("on" if scheme == "https" else None)
            assert environ["HTTP_HOST"] == f"127.0.0.1:{worker.port}"


NAMED = """
import socket
from told import app
NAMES = {"192.0.2.7": "client.example", "127.0.0.1": "proxy.example"}
socket.gethostbyaddr = lambda address: (NAMES[address], [], [])
"""


def test_a_refused_head_is_the_proxys_by_name_too(start, tmp_path) -> None:
    (tmp_path / "named.py").write_text(f"import sys\nsys.path.append({APPS!r})\n{NAMED}")
    log = tmp_path / "access.log"
    options = ("--trusted-proxies", "127.0.0.1", "--access-log", str(log), "--hostname-lookups", "on")
    worker = start("--processes", "1", *options, app="named:app", chdir=tmp_path)
    with worker.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
        sock.recv(65536)
        sock.sendall(b"nonsense\r\n\r\n")
        while sock.recv(65536):
            pass
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["client.example", "127.0.0.1"]


@pytest.mark.parametrize("trusted", [(), ("--trusted-proxies", "10.0.0.0/8,unix")])
def test_an_untrusted_peer_is_ignored(start, mpm: str, trusted: tuple[str, ...]) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1", *trusted, app="told:app")
    environ = told(
        plain(worker.port), X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https", X_Forwarded_Host="evil"
    )
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert environ["HTTP_HOST"] == f"127.0.0.1:{worker.port}"
    environ = told(plain(worker.port), Forwarded="for=192.0.2.7;proto=https")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")


def test_a_unix_socket_is_trusted_by_name(start, mpm: str, tmp_path) -> None:
    path = tmp_path / "http.sock"
    options = ("--mpm", mpm, "--processes", "1", "--threads", "1", "--bind", f"unix:{path}")
    start(*options, "--trusted-proxies", "unix", app="told:app")
    assert told(UnixConnection(path), X_Forwarded_For="192.0.2.7")["REMOTE_ADDR"] == "192.0.2.7"


def test_a_network_that_is_none_ends_with_2(run_to_the_end) -> None:
    code, said = run_to_the_end("--trusted-proxies", "10.0.0.0/8,proxy.example", "a:b")
    assert code == 2
    assert said.startswith(
        "mpm-worker: --trusted-proxies: expected networks like 10.0.0.0/8, or unix: 'proxy.example'"
    )
