"""One request in a slot, whichever model runs it, and what scoreboard and access log are told of it."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Final

from mpm_worker.accessformat import More
from mpm_worker.forked import end_one_that_came_back
from mpm_worker.requestid import request_id
from mpm_worker.say import say
from mpm_worker.scoreboard import DNS, LOGGING
from mpm_worker.wsgi import SpoolError, reject, serve

if TYPE_CHECKING:
    from mpm_worker.child import Child
    from mpm_worker.client import Client
    from mpm_worker.http import ProtocolError, Request
    from mpm_worker.scoreboard import Slot
    from mpm_worker.wsgi import Outcome

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")


def serve_slot(child: Child, client: Client, request: Request, slot: Slot) -> Outcome:
    """Run one request in a slot. What becomes of the connection is for its owner to do."""
    if client.trusted and child.entrance is not None:
        child.entrance.forward(client, request)
    client.connection.serial = client.served
    if child.options.hostname_lookups:
        _look_up(client, slot)
    slot.request(*_shown(child, client, request))
    child.renew_timeout(client)
    spool, client.spool = client.spool, None
    outcome = serve(
        client.sock,
        client.connection,
        request,
        child.app,
        child.environment,
        child.live,
        lambda: child.must_close(client),
        spool,
    )
    if child.parting.happened:
        end_one_that_came_back(f"{request.method} {request.path}")
    client.served += 1
    slot.done(outcome.sent)
    if child.log is not None:
        _log(child, client, request, outcome.status, outcome.sent, slot)
    return outcome


def refuse(child: Child, client: Client, error: ProtocolError, slot: Slot) -> int:
    """Answer a request that breaks a rule; how many bytes of content were sent.

    Of a refused body the request is known (`client.request`), of a refused head it is not.
    """
    connection, request = client.connection, client.request
    connection.serial = client.served
    if client.trusted and child.entrance is not None:
        if request is not None:
            child.entrance.forward(client, request)
        else:
            child.entrance.forget(client)
    if isinstance(error.__cause__, SpoolError):  # what the client did wrong is for the client to know
        line = "-" if request is None else f"{request.method} {request.target_text}"
        say(f"[{request_id(connection)}] {line}: {error.__cause__}")
    sent = reject(client.sock, error)
    slot.done(sent)
    _log(child, client, request, error.status, sent, slot)
    return sent


def _shown(child: Child, client: Client, request: Request) -> tuple[bytes, str]:
    """Request and client for the scoreboard."""
    if child.board.extended:
        return _line(request).encode("latin-1", "replace"), _name(client)
    return request.brief.encode("latin-1", "replace"), ""


def _look_up(client: Client, slot: Slot) -> None:
    """Find the client's name, once a connection; a client without one keeps its number.

    The name is what the client's own DNS says: it is taken only in the letters of a host name, so that it
    cannot write lines into the log.
    """
    connection = client.connection
    if connection.peer is None or connection.host:
        return
    slot.state(DNS)
    try:
        name = socket.gethostbyaddr(connection.peer[0])[0]
    except (OSError, UnicodeError):
        name = ""
    connection.host = name if _HOST_NAME.fullmatch(name) else connection.peer[0]


def _log(child: Child, client: Client, request: Request | None, status: int, sent: int, slot: Slot) -> None:
    """A line of the access log, where there is one; None: the head was refused."""
    if child.log is None:
        return
    slot.state(LOGGING)
    line = "-" if request is None else _line(request)
    if child.log.wants_more:
        child.log.add(_name(client), line, status, sent, _more(child, client, request, slot))
    else:
        child.log.add(_name(client), line, status, sent)


def _more(child: Child, client: Client, request: Request | None, slot: Slot) -> More:
    cgi = {} if request is None else request.cgi
    seconds = child.board.last[slot.index]
    return More(
        cgi.get("HTTP_REFERER", ""),
        cgi.get("HTTP_USER_AGENT", ""),
        cgi.get("HTTP_HOST", ""),
        seconds,
        # Only the event loop holds requests that have no slot: elsewhere they wait in the kernel.
        max(0.0, slot.mark - seconds - client.since) if client.held else 0.0,
        f"{child.row}-{slot.index - child.row * child.board.threads}",
        request_id(client.connection),
    )


def _name(client: Client) -> str:
    connection = client.connection
    return connection.host or (connection.peer[0] if connection.peer else "")


def _line(request: Request) -> str:
    return f"{request.method} {request.target_text} HTTP/1.{request.version[1]}"
