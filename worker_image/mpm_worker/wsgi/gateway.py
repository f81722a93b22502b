"""One request on a socket: the environ, the application, the verdict about the connection (PEP 3333)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from mpm_worker import compiled
from mpm_worker.http.response import content_length, error_response
from mpm_worker.wsgi.exchange import Exchange, Outcome
from mpm_worker.wsgi.incoming import Incoming

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from mpm_worker.http import Connection, ProtocolError, Request
    from mpm_worker.wsgi.server import Server, Settings
    from mpm_worker.wsgi.spool import Spool


def serve(
    sock: socket.socket,
    connection: Connection,
    request: Request,
    app: Callable[..., Iterable[bytes]],
    server: Server,
    settings: Settings,
    must_close: Callable[[], bool],
    spool: Spool | None = None,
) -> Outcome:
    """Runs `app` for `request` and sends its response; what is left of the body is read, within bounds.

    `sock` has a timeout (seconds between two signs of life of the client). `must_close` is asked once, at
    the head of the response. `spool` holds what was read of the body, and is closed. What the application
    raises is logged and never comes out of here.
    """
    exchange = Exchange(sock, connection, request, server.errors, settings.timeout, must_close)
    if request.memo is not None:
        environ = request.memo.copy()
        environ["wsgi.multiprocess"] = server.environ["wsgi.multiprocess"]  # all that may have changed since
    else:
        environ = _make_environ(server, connection, request)
        if request.again:
            request.memo = environ.copy()
    incoming: Incoming | None = None
    result: Iterable[bytes] = ()
    try:
        if connection.body_done and spool is None:
            environ["wsgi.input"] = io.BytesIO()
        elif connection.body_whole and spool is None:
            environ["wsgi.input"] = io.BytesIO(connection.take_body())
        else:
            incoming = Incoming(spool)
            incoming.offer(environ, sock, connection, exchange, server.spooling, settings.timeout)
        result = app(environ, exchange.start_response)
        if not exchange.respond_short(result):
            exchange.respond(result)
    except BaseException as error:  # SystemExit, CancelledError, GreenletExit: the request's end, no more
        exchange.fail(error)
    finally:
        if type(result) is not list and hasattr(result, "close"):
            _close(result, exchange)
    if incoming is not None:
        incoming.end()
    return exchange.outcome or exchange.end()


def _make_environ(server: Server, connection: Connection, request: Request) -> dict[str, Any]:
    """All but wsgi.input."""
    environ: dict[str, Any] = _common_environ(server.environ, request.cgi, request)
    if connection.peer is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.peer
    if connection.host:
        environ["REMOTE_HOST"] = connection.host
    if connection.environ is not None:
        environ.update(connection.environ)
    return environ


def pure_common_environ(template: dict[str, Any], cgi: dict[str, str], request: Request) -> dict[str, Any]:
    """A new environ: the server's part, the fields, and what the request line says. It has a twin."""
    environ = template.copy()
    environ.update(cgi)
    environ["REQUEST_METHOD"] = request.method
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REQUEST_URI"] = request.target_text
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.version[1] else "HTTP/1.0"
    return environ


_common_environ = pure_common_environ if compiled.module is None else compiled.module.common_environ


def _close(result: Any, exchange: Exchange) -> None:
    try:
        result.close()
    except BaseException as error:  # SystemExit, CancelledError, GreenletExit: the request's end, no more
        exchange.log("close() of the response failed", error)


def reject(sock: socket.socket, error: ProtocolError) -> int:
    """Sends the answer that names the broken rule; the bytes of its content, 0 when the client is gone."""
    answer = error_response(error)
    try:
        sock.sendall(answer)
    except OSError:
        return 0
    return content_length(answer)
