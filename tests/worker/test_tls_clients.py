"""Clients that must show a certificate: who has a good one is let in and named, nobody else is served."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

import pytest
from worker_tls import client_context, make_certificate

from mpm_worker.tls_client import distinguished_name

Pair = tuple[str, str]


@pytest.fixture
def server(tmp_path) -> Pair:
    return make_certificate(tmp_path / "server")


@pytest.fixture
def ann(tmp_path) -> Pair:
    """Signed by herself: she is an authority, too."""
    return make_certificate(tmp_path / "ann", "Ann, Lee")


@pytest.fixture
def bob(tmp_path) -> Pair:
    return make_certificate(tmp_path / "bob", "Bob")


@pytest.fixture
def asking(start, server, ann):
    """A worker that lets in whom Ann has signed."""

    def begin(*arguments: str):
        files = ("--tls-certificate", server[0], "--tls-key", server[1], "--tls-client-ca", ann[0])
        return start(*files, *arguments, app="told:app")

    return begin


def environs(worker, server: Pair, own: Pair | None, requests: int = 1) -> list[dict[str, str]]:
    """What the application is told at each request of one connection."""
    context = client_context(server[0])
    if own is not None:
        context.load_cert_chain(*own)
    connection = http.client.HTTPSConnection("localhost", worker.port, timeout=60, context=context)
    with closing(connection):
        found = []
        for _ in range(requests):
            connection.request("GET", "/", headers={"SSL-Client-S-DN": "CN=forged"})
            found.append(json.loads(connection.getresponse().read()))
    return found


def test_who_has_a_good_certificate_is_named(asking, server, ann, mpm: str) -> None:
    worker = asking("--mpm", mpm, "--processes", "1")
    for environ in environs(worker, server, ann, requests=2):
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert environ["SSL_CLIENT_S_DN"] == environ["SSL_CLIENT_I_DN"] == "CN=Ann\\, Lee"
        assert environ["SSL_CLIENT_CERT"] == Path(ann[0]).read_text()
        assert int(environ["SSL_CLIENT_M_SERIAL"], 16)
        assert environ["wsgi.url_scheme"] == "https"


def test_a_name_beyond_latin_1_comes_as_its_bytes(start, server, tmp_path) -> None:
    own = make_certificate(tmp_path / "own", "Łucja Jürgens")
    worker = start(
        *("--tls-certificate", server[0], "--tls-key", server[1], "--tls-client-ca", own[0]), app="told:app"
    )
    (environ,) = environs(worker, server, own)
    for name in ("SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN"):
        assert environ[name].encode("latin-1").decode() == "CN=Łucja Jürgens"


def test_nobody_else_is_served(asking, server, ann, bob, mpm: str) -> None:
    worker = asking("--mpm", mpm, "--processes", "1")
    for stranger in (None, bob):
        # With TLS 1.3 a client hears of it after its own part of the handshake.
        with pytest.raises((OSError, http.client.HTTPException)):
            environs(worker, server, stranger)
    assert environs(worker, server, ann)
    # A request is counted when its response has been sent, perhaps a moment later.
    assert worker.await_board(lambda board: board["totals"]["accesses"])["totals"]["accesses"] == 1


def test_who_is_let_in_changes_with_the_file(asking, server, ann, bob) -> None:
    worker = asking()
    assert environs(worker, server, ann)
    text = Path(ann[0]).read_text() + Path(bob[0]).read_text()
    Path(ann[0]).write_text(text)
    worker.await_line("the certificate was read again")
    (environ,) = environs(worker, server, bob)
    assert environ["SSL_CLIENT_S_DN"] == "CN=Bob"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-client-ca", "{server}"], "--tls-client-ca: its --tls-certificate is missing"),
        (
            ["--tls-certificate", "{server}", "--tls-key", "{key}", "--tls-client-ca", "{key}"],
            "--tls-client-ca {key}: there is no certificate in it",
        ),
        (
            ["--tls-certificate", "{server}", "--tls-key", "{key}", "--tls-client-ca", "/nowhere"],
            "--tls-client-ca /nowhere: No such file",
        ),
    ],
)
def test_a_mistake_is_told_and_ends_with_2(run_to_the_end, server, options: list[str], words: str) -> None:
    files = {"server": server[0], "key": server[1]}
    filled = [option.format(**files) for option in options]
    code, said = run_to_the_end("--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", *filled, "a:b")
    assert code == 2
    assert words.format(**files) in said


def test_a_name_is_written_as_ldap_has_it() -> None:
    name = (
        (("countryName", "DE"),),
        (("organizationName", "A+B, Inc."), ("organizationalUnitName", "#1 ")),
        (("commonName", " x"),),
        (("emailAddress", "a@b"),),
    )
    assert distinguished_name(name) == r"emailAddress=a@b,CN=\ x,O=A\+B\, Inc.+OU=\#1\ ,C=DE"
    assert distinguished_name(()) == ""
