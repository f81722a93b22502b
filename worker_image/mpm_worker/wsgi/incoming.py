"""A request body that was not there with the head: lazy, or read whole first."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from mpm_worker.wsgi.body import BodyStream, RequestBodyError
from mpm_worker.wsgi.spool import Spool, SpoolError

if TYPE_CHECKING:
    import socket

    from mpm_worker.http import Connection
    from mpm_worker.wsgi.exchange import Exchange
    from mpm_worker.wsgi.spool import Spooling

_READ_BUFFER: Final = 16384
_PIECE: Final = 1 << 20


class Incoming:
    """One such body. `spool`: what was read of it before a slot had it, perhaps all."""

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._stream: BodyStream | None = None

    def offer(
        self,
        environ: dict[str, Any],
        sock: socket.socket,
        connection: Connection,
        exchange: Exchange,
        spooling: Spooling,
        timeout: float,
    ) -> None:
        """Puts wsgi.input into `environ`.

        Of a chunked body that is whole the length is told as well, since Django and Falcon read no more than
        CONTENT_LENGTH; and then nothing may say that it is chunked.

        :raises RequestBodyError: it broke the rules, came too slowly, or could not be stored
        """
        if not connection.body_done:
            before = None if self._spool is None else self._spool.open()
            invite = exchange.expect_body()
            self._stream = BodyStream(sock, connection, timeout, invite, before)
            # Who waits to be asked is asked by the application, which may never read (RFC 9110, 10.1.1).
            if connection.body_left is None and spooling.whole and invite is None:
                self._spool = Spool(spooling)
                self._read_whole(self._stream, self._spool, connection, exchange)
        if self._spool is not None and connection.body_done:
            environ["wsgi.input"] = self._spool.open()
            environ["CONTENT_LENGTH"] = str(self._spool.size)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        elif self._stream is not None:
            environ["wsgi.input"] = io.BufferedReader(self._stream, _READ_BUFFER)

    def _read_whole(
        self, stream: BodyStream, spool: Spool, connection: Connection, exchange: Exchange
    ) -> None:
        try:
            while piece := stream.take(_PIECE):
                spool.add(piece)
        except SpoolError as error:
            exchange.log(str(error))
            raise RequestBodyError(str(connection.refuse(507, SpoolError.told))) from error

    def end(self) -> None:
        """The request is over: what comes now belongs to the next one."""
        if self._stream is not None:
            self._stream.end()
        if self._spool is not None:
            self._spool.close()
