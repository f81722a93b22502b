"""What PEP 3333 promises an application in its environ."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.validate import validator

import pytest

from mpm_worker.wsgi import FileWrapper


def show(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    seen = {key: value for key, value in environ.items() if isinstance(value, str | bool | list | tuple)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


def test_the_environ_holds_request_and_server(ask: Any) -> None:
    response = ask(
        show,
        b"GET /a%2Fb%20\xc3?q=%41 HTTP/1.1\r\nHost: a:81\r\nX-Y: z\r\nContent-Type: t/u\r\n\r\n".replace(
            b"\xc3", b"%C3"
        ),
    )
    seen = json.loads(response.body)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b \xc3",
        "QUERY_STRING": "q=%41",
        "REQUEST_URI": "/a%2Fb%20%C3?q=%41",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "1234",
        "HTTP_HOST": "a:81",
        "HTTP_X_Y": "z",
        "CONTENT_TYPE": "t/u",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in seen


def test_environs_of_a_connection_do_not_share_what_an_application_writes(
    connect: Any, responses: Any
) -> None:
    def soil(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found = sorted(key for key in environ if key.startswith("soil"))
        environ["soil"] = environ["HTTP_HOST"] = environ["SERVER_NAME"] = "soiled"
        start_response("200 OK", [])
        return [repr((found, environ["PATH_INFO"])).encode()]

    talk = connect(soil)
    talk.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.end()
    assert [each.body for each in responses(talk.read(), ["GET", "GET"])] == [b"([], '/1')"] * 2


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Type: a/b\r\n\r\nbody", b"body"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", b"body"),
        (b"DELETE / HTTP/1.0\r\n\r\n", b""),
    ],
)
def test_the_validator_of_the_standard_library_has_no_complaint(ask: Any, stream: bytes, body: bytes) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        received = b"".join(iter(lambda: environ["wsgi.input"].read(3), b""))
        environ["wsgi.errors"].write("")
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written ")
        return iter([received, b"!"])

    response = ask(validator(app), stream)
    assert (response.status, response.body) == (200, b"written " + body + b"!")


def test_the_file_wrapper_is_offered(ask: Any) -> None:
    offered = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        offered.append(environ["wsgi.file_wrapper"])
        return show(environ, start_response)

    assert ask(app).status == 200
    assert offered == [FileWrapper]
