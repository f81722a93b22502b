"""The compiled hot path beside its pure twin: both made in one process, whatever the process runs."""

from __future__ import annotations

import io
import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker import compiled
from mpm_worker.http import Connection, connection
from mpm_worker.wsgi import Server, gateway
from mpm_worker.wsgi.exchange import Exchange
from mpm_worker.wsgi.short import NoShortWay

if TYPE_CHECKING:
    from collections.abc import Iterator

PURE_EXCHANGE: Any = type("Exchange", (NoShortWay,), dict(vars(Exchange)))


@contextmanager
def pure() -> Iterator[None]:
    """Inside, requests are read and answered by pure Python."""
    modules: tuple[Any, Any] = (connection, gateway)
    kept = connection._read_common_head, gateway.Exchange, gateway._common_environ
    modules[0]._read_common_head = None
    modules[1].Exchange, modules[1]._common_environ = PURE_EXCHANGE, gateway.pure_common_environ
    try:
        yield
    finally:
        modules[0]._read_common_head, modules[1].Exchange, modules[1]._common_environ = kept


@dataclass(frozen=True)
class Settings:
    timeout: float = 30.0


@dataclass(frozen=True)
class Answer:
    """What an application does: how it calls start_response, and what it returns."""

    status: Any
    headers: Any
    blocks: Any
    keep: bool = True


def talk(request: bytes, answer: Answer) -> tuple[Any, ...]:
    """Bytes on the wire, the outcome, the environ and the log of one request; the clock cut out."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append(environ)
        start_response(answer.status, answer.headers)
        return answer.blocks

    errors = io.StringIO()
    server = Server("127.0.0.1", 80, multithread=True, multiprocess=False, errors=errors)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        state = Connection()
        state.peer = ("127.0.0.1", "1234")
        state.receive(request)
        read = state.next_request()
        assert read is not None
        outcome = gateway.serve(ours, state, read, app, server, Settings(), lambda: not answer.keep)
        ours.shutdown(socket.SHUT_WR)
        wire = b"".join(iter(lambda: theirs.recv(65536), b""))
    wire = re.sub(rb"\r\nDate: [^\r]*GMT\r\n", b"\r\nDate: now\r\n", wire, count=1)
    environs = [{k: v for k, v in each.items() if k not in ("wsgi.input", "wsgi.errors")} for each in seen]
    # The way through our own functions differs, what went wrong does not.
    told = re.sub(r"^[0-9T:-]+Z ", "", errors.getvalue()).splitlines()
    return wire, tuple(outcome), environs, told[:1], told[-1:]


def differences(request: bytes, answer: Answer) -> str | None:
    """How the twins differ in answering, None = not at all."""
    mine = talk(request, answer)
    with pure():
        other = talk(request, answer)
    return None if mine == other else f"{compiled.kind()}: {mine}, pure: {other}"
