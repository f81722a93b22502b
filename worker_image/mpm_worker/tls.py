"""TLS of the request port: a certificate that is read again when its files change, and the socket."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

from mpm_worker.option import OptionError

if TYPE_CHECKING:
    import socket

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_PLAIN_HTTP: Final = ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST")
_PLAIN_ANSWER: Final = b"400 Bad Request: this port speaks HTTPS, and plain HTTP was sent to it\n"
_REASONS: Final = {"KEY_VALUES_MISMATCH": "the key is another certificate's"}
_RECORDS: Final = 1024
"""Records taken in one go: a client may send a byte in each."""

_Stamp = tuple[tuple[int, int, int], ...]


class TlsSocket(ssl.SSLSocket):
    """Ends its side so that the client knows it for the end, and not for a cut."""

    drained = False
    """Whether the last `take` has read the kernel's buffer to its end."""

    def shutdown(self, how: int) -> None:
        self.settimeout(0)
        try:
            self.unwrap()  # sends close_notify; the client's is not waited for
        except (OSError, ValueError):
            pass
        super().shutdown(how)

    def take(self, most: int) -> bytes:
        """As os.read of a socket that does not block; the handshake is done on the way.

        :raises BlockingIOError: nothing has arrived
        :raises OSError: this will be no conversation
        """
        timeout = self.gettimeout()
        self.settimeout(0)
        self.drained = False
        pieces: list[bytes] = []
        try:
            for _ in range(_RECORDS):
                piece = self.read(most)
                pieces.append(piece)
                most -= len(piece)
                if not piece or most <= 0:
                    break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.drained = True
            if not pieces:
                raise BlockingIOError from None
        except ssl.SSLError as error:
            if error.reason not in _PLAIN_HTTP:
                raise
            self._answer_plainly()
            return b""
        except ValueError as error:  # it ended before TLS could begin
            raise ConnectionError(str(error)) from None
        finally:
            self.settimeout(timeout)
        return b"".join(pieces)

    def _answer_plainly(self) -> None:
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(_PLAIN_ANSWER)}\r\nConnection: close\r\n\r\n"
        )
        os.write(self.fileno(), head.encode() + _PLAIN_ANSWER)
        os.read(self.fileno(), 65536)  # unread, it would make the close a reset that takes the answer with it


class Certificates:
    """Certificate chain and key, and the context made from them.

    Loaded before the worker becomes another user, and inherited by every process: sessions that one of them
    began are resumed by the others.
    """

    def __init__(self, certificate: str, key: str, least: str, client_ca: str = "") -> None:
        """:param client_ca: file with who signs the certificates that clients must have; "": they need none

        :raises OptionError: they cannot be used
        """
        self._certificate, self._key = certificate, key or certificate
        self._least, self.client_ca = least, client_ca
        self.number = 0
        """Of the loading, counted by the supervisor; a process compares it with the scoreboard's."""
        self._tried = self._seen = self._stamp()
        self.context = self._load()

    def wrap(self, sock: socket.socket) -> TlsSocket:
        """The same descriptor, speaking TLS; nothing is sent or read yet."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        assert isinstance(wrapped, TlsSocket)
        return wrapped

    def readable(self) -> bool:
        """Whether the files can be opened by the present user."""
        return all(os.access(path, os.R_OK) for path in self._files())

    def changed(self) -> bool:
        """Whether the files are others than at the last try, and the same as when this was last asked.

        Certificate and key are seldom written in one step: what is still changing is left alone.
        """
        before, self._seen = self._seen, self._stamp()
        return self._seen != self._tried and self._seen == before

    def reload(self) -> None:
        """Take what the files hold now, for connections to come.

        :raises OptionError: they cannot be used; what was there goes on
        """
        self._tried = self._stamp()
        self.context = self._load()
        self.number += 1

    def follow(self, number: int) -> None:
        """In a server process: load what the supervisor has loaded since; it has told what was wrong."""
        if number != self.number:
            try:
                self.context = self._load()
            except OptionError:
                pass
            self.number = number

    def _files(self) -> list[str]:
        return [path for path in (self._certificate, self._key, self.client_ca) if path]

    def _stamp(self) -> _Stamp:
        found = []
        for path in self._files():
            try:
                status = os.stat(path)
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        _look_for(b"CERTIFICATE-----", self._certificate, "--tls-certificate", "certificate")
        _look_for(b"PRIVATE KEY-----", self._key, "--tls-key", "key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = TlsSocket
        context.minimum_version = VERSIONS[self._least]
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise OptionError(
                f"--tls-certificate {self._certificate}, --tls-key {self._key}: expected a PEM chain and its "
                f"key without a password ({_REASONS.get(reason, reason)})"
            ) from None
        if self.client_ca:
            self._ask_clients(context)
        return context

    def _ask_clients(self, context: ssl.SSLContext) -> None:
        """Let in only who has a certificate."""
        _look_for(b"CERTIFICATE-----", self.client_ca, "--tls-client-ca", "certificate")
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.client_ca)
        except ssl.SSLError as error:
            raise OptionError(
                f"--tls-client-ca {self.client_ca}: expected PEM certificates ({error.reason})"
            ) from None


def _look_for(mark: bytes, path: str, option: str, name: str) -> None:
    """OpenSSL tells a file of another kind from a broken one by the line of its source."""
    try:
        with open(path, "rb") as file:
            found = mark in file.read(1 << 20)
    except OSError as error:
        raise OptionError(f"{option} {path}: {error.strerror}") from None
    if not found:
        raise OptionError(f"{option} {path}: there is no {name} in it, as PEM has them")


def _no_password() -> str:
    """Asked for a key that has one: nobody is there to type it."""
    raise ValueError("the key has a password")
