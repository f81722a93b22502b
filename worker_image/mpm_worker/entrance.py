"""How a connection comes in when it is more than plain HTTP: TLS, PROXY headers, trusted proxies."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

from mpm_worker import proxy_protocol
from mpm_worker.forwarded import Networks, client_of
from mpm_worker.requestid import given
from mpm_worker.say import say

if TYPE_CHECKING:
    from mpm_worker.client import Client
    from mpm_worker.http import Connection, Request
    from mpm_worker.listeners import Listeners
    from mpm_worker.options import Options
    from mpm_worker.tls import Certificates, TlsSocket

_PIECE: Final = 65536
_HTTPS: Final = {"wsgi.url_scheme": "https", "HTTPS": "on"}


class Entrance:
    """What the options make of a connection. One a process; most need none and have none."""

    def __init__(self, options: Options, listeners: Listeners) -> None:
        self._listeners, self._certificates = listeners, listeners.certificates
        self._networks = Networks(options.trusted_proxies)
        self._header, self._kind = options.proxy_protocol, options.forwarded_header
        self._first = listeners.all[0]
        """Its part of the environ is in the template of all."""

    @staticmethod
    def needed(options: Options, listeners: Listeners) -> bool:
        return len(listeners.all) > 1 or listeners.all[0].tls or bool(options.trusted_proxies)

    def welcome(self, client: Client, listener: socket.socket, number: int) -> None:
        """:param number: of the certificates that the supervisor has loaded"""
        came_by = self._listeners.origin(listener)
        connection = client.connection
        if came_by is not self._first or came_by.tls:
            connection.environ = came_by.environ
        peer = connection.peer
        client.trusted = self._networks.trusts(peer and peer[0])
        client.origin = (peer, connection.environ)
        header = self._header and client.trusted
        if came_by.tls and self._certificates is not None:
            self._certificates.follow(number)
            client.transport = Transport(client, self, header, self._certificates)
        elif header:
            client.transport = Transport(client, self, header, None)

    def introduce(self, client: Client, header: proxy_protocol.Header) -> None:
        """A trusted proxy has said who it speaks for."""
        connection = client.connection
        if header.peer is not None:
            connection.peer = header.peer
            client.trusted = self._networks.trusts(header.peer[0])
        if header.tls:
            connection.environ = (connection.environ or {}) | _HTTPS
        client.origin = (connection.peer, connection.environ)

    def recognise(self, client: Client, sock: TlsSocket) -> None:
        """The handshake is done, and the client has shown a good certificate."""
        from mpm_worker.tls_client import client_environ  # few ask for certificates

        connection = client.connection
        connection.environ = (connection.environ or {}) | client_environ(sock)
        client.origin = (client.origin[0], connection.environ)

    def forward(self, client: Client, request: Request) -> None:
        """Take the client, the scheme and the host from the fields of a trusted proxy, for this request."""
        connection = client.connection
        connection.given_id = given(request.cgi)
        peer, environ = client.origin
        found = client_of(request.cgi, self._networks, self._kind)
        if found.address:
            peer = (found.address, found.port or "0")
        if found.proto or found.host:
            environ = dict(environ or {})
            if found.proto:
                environ["wsgi.url_scheme"] = found.proto
            if found.proto == "https":
                environ["HTTPS"] = "on"
            elif found.proto:
                environ.pop("HTTPS", None)
            if found.host:
                environ["HTTP_HOST"] = found.host
        _attribute(connection, peer, environ)

    def forget(self, client: Client) -> None:
        """Of a request that tells nothing: it comes from the proxy itself, as far as anybody knows."""
        client.connection.given_id = ""
        _attribute(client.connection, *client.origin)


class Transport:
    """What stands between the socket and HTTP on one connection: a header, then TLS, or one of them."""

    __slots__ = ("_begun", "_certificates", "_client", "_entrance", "_header", "_stranger", "_tls")

    def __init__(
        self, client: Client, entrance: Entrance, header: bool, certificates: Certificates | None
    ) -> None:
        self._client, self._entrance = client, entrance
        self._header, self._certificates = header, certificates
        self._tls: TlsSocket | None = None
        self._stranger = certificates is not None and bool(certificates.client_ca)
        """Whether the client's certificate is still to be read."""
        self._begun = b""
        """What has come of a header that is not whole."""

    def read(self) -> bytes:
        """As os.read of a socket that does not block; b"" = the end.

        :raises BlockingIOError: nothing for HTTP has arrived
        :raises OSError: this will be no conversation
        """
        if self._header:
            self._read_header()
            self._header = False
        if self._certificates is not None:
            self._client.sock = self._tls = self._certificates.wrap(self._client.sock)
            self._certificates = None
        if self._tls is not None:
            data = self._tls.take(_PIECE)
            if self._stranger and data:
                self._stranger = False
                self._entrance.recognise(self._client, self._tls)
            return data
        self._client.transport = None  # what follows is plain
        return os.read(self._client.descriptor, _PIECE)

    def more(self) -> bool:
        """Whether there may be more that came with what was read last, and for which no event will come."""
        return self._tls is None or not self._tls.drained or self._tls.pending() > 0

    def _read_header(self) -> None:
        sock = self._client.sock
        timeout = sock.gettimeout()
        sock.settimeout(0)  # else recv waits first
        try:
            data = sock.recv(proxy_protocol.MOST - len(self._begun), socket.MSG_PEEK)
        finally:
            sock.settimeout(timeout)
        if not data:
            raise ConnectionError("it ended before its PROXY header")
        try:
            header = proxy_protocol.parse(self._begun + data)
        except proxy_protocol.Malformed as error:
            peer = self._client.connection.peer or ("a Unix socket", "")
            say(f"no PROXY header from {peer[0]}: {error}; the connection is closed")
            raise ConnectionError(str(error)) from None
        if header is None:
            self._begun += sock.recv(len(data))  # left there, poll(2) would find it again and again
            raise BlockingIOError
        sock.recv(header.size - len(self._begun))
        self._entrance.introduce(self._client, header)


def _attribute(connection: Connection, peer: tuple[str, str] | None, environ: dict[str, str] | None) -> None:
    """Whose the request is from now on; the name that was found is the client's before."""
    if peer != connection.peer:
        connection.peer, connection.host = peer, ""
    connection.environ = environ
