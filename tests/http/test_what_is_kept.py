"""What the reader remembers between requests to be fast: bounded, without secrets, and never stale."""

from __future__ import annotations

from mpm_worker.http import Connection, fields
from mpm_worker.http.response import date_and_server, read_start


def send(connection: Connection, section: bytes) -> dict[str, str]:
    connection.receive(b"GET / HTTP/1.1\r\nHost: a\r\n" + section + b"\r\n")
    request = connection.next_request()
    assert request is not None
    return request.cgi


def test_lines_of_clients_do_not_pile_up() -> None:
    connection = Connection()
    for number in range(5000):
        cgi = send(connection, b"X-%d: %d\r\n" % (number, number))
        assert cgi[f"HTTP_X_{number}"] == str(number)
    assert len(fields.KNOWN) <= 1024
    assert fields._cgi_name.cache_info().currsize <= 1024


def test_secrets_and_long_lines_are_not_kept() -> None:
    connection = Connection()
    secrets = (
        b"Cookie: kept=1",
        b"authorization: kept 2",
        b"Proxy-Authorization: kept 3",
        b"X: " + b"kept" * 100,
    )
    send(connection, b"\r\n".join(secrets) + b"\r\n")
    assert not [line for line in fields.KNOWN if "kept" in line]


def test_header_names_of_applications_do_not_pile_up() -> None:
    for number in range(5000):
        assert f"X-{number}: y" in read_start("200 OK", [(f"X-{number}", "y")])[2]
        assert read_start(f"200 {number}", [])[0] == 200
    from mpm_worker.http import response

    assert len(response.KINDS) <= 1024
    assert len(response.CODES) <= 1024


def test_the_date_is_of_its_second() -> None:
    assert date_and_server(0).startswith("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
    assert date_and_server(0) == date_and_server(0)
    assert date_and_server(1).startswith("Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n")
    assert date_and_server(784111777).startswith("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")


def test_secrets_are_kept_by_their_own_connection_only_and_few_of_them() -> None:
    connection, other = Connection(), Connection()
    for number in range(50):
        cgi = send(connection, b"Cookie: kept=%d\r\n" % number)
        assert cgi["HTTP_COOKIE"] == f"kept={number}"
        assert len(connection._own) <= 4
    assert send(connection, b"Cookie: kept=49\r\n")["HTTP_COOKIE"] == "kept=49"
    send(other, b"")
    assert not other._own
