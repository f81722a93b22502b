"""Where a response begins: what the compiled module has a short way for, and pure Python has not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, TextIO

from mpm_worker import compiled
from mpm_worker.http import response

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_worker.http import Connection, Request
    from mpm_worker.wsgi.exchange import Outcome


class NoShortWay:
    """The state of one response that both ways share; all of it goes the long way, which `Exchange` is.

    The class attributes are the initial values of what most responses never change.
    """

    _started = False
    _head_sent = False
    _keep = False
    _has_body = False  # the request
    _gone = False  # the client takes no more
    _code = 0
    _length: int | None = None
    _text = ""
    sent = 0
    outcome: Outcome | None = None  # of a response that went the short way

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        request: Request,
        errors: TextIO,
        timeout: float,
        must_close: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._connection = connection
        self._request = request
        self._errors = errors
        self._timeout = timeout
        self._must_close = must_close

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response; nothing is sent before the first content."""
        return self._start(status, headers, exc_info)

    def respond_short(self, result: object) -> bool:
        """Sends all of a common response; False = nothing was done, the long way is to be taken."""
        return False

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any) -> Callable[[bytes], None]:
        raise NotImplementedError


if TYPE_CHECKING or compiled.module is None:
    ShortWay = NoShortWay
else:
    compiled.module.use_response(response.CODES, response.KINDS, response.date_and_server, socket.socket)
    ShortWay = compiled.module.ShortWay
