"""Addresses as they are written in options, made into sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker.listeners import Listener, Listeners

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMS = "HOST:PORT, unix:PATH or fd://N"
_REASONS = {
    errno.EADDRINUSE: "the port is taken",
    errno.EACCES: "not allowed; a port below 1024 is for root, or for who has CAP_NET_BIND_SERVICE",
}


class ListenError(Exception):
    """An address that cannot be listened on."""


@dataclass(frozen=True, slots=True)
class File:
    """Permissions and owner of the file of a Unix socket; -1 leaves an owner as it is."""

    mode: int = 0o660
    user: int = -1
    group: int = -1


def open_listeners(
    texts: Sequence[str],
    option: str,
    *,
    seats: int,
    backlog: int,
    tls: bool = False,
    file: File | None = None,
    given: Sequence[int] = (),
) -> Listeners:
    """Bind addresses, or take the sockets that were handed down.

    :param seats: how many sockets each; more than one makes a SO_REUSEPORT group
    :param tls: whether TCP addresses that do not begin with http:// speak TLS
    :param given: descriptors of listening sockets to serve too
    :raises ListenError: naming the option, the address and what is wrong
    """
    listeners: list[Listener] = []
    try:
        for text in (*(f"fd://{descriptor}" for descriptor in given), *texts):
            listeners += [_open(text, option, seats, tls, file or File())]
    except ListenError:
        for listener in listeners:
            listener.unlink()
            for sock in listener.sockets:
                sock.close()
        raise
    if not listeners:
        raise ListenError(f"{option}: expected {_FORMS}, not nothing")
    return Listeners(listeners, backlog)


def _open(text: str, option: str, seats: int, tls: bool, file: File) -> Listener:
    if text.startswith("fd://"):
        return _inherited(text, option, tls)
    if text.startswith("unix:"):
        return _unix(text, option, file)
    tls, family, address = _resolve(text, option, tls)
    try:
        # A group member may bind beside a stranger's group; a plain socket tells us that the port is taken.
        probe = _bound(family, address, group=False)
        port = probe.getsockname()[1]
        if seats == 1:
            return Listener([probe], tls=tls)
        probe.close()
        address = (address[0], port, *address[2:])
        return Listener([_bound(family, address, group=True) for _ in range(seats)], tls=tls)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise ListenError(f"{option} {text}: {reason}") from None


def _resolve(text: str, option: str, tls: bool) -> tuple[bool, int, tuple[Any, ...]]:
    """Whether an address speaks TLS, its family, and what bind(2) takes."""
    rest = text.removeprefix("https://")
    if rest != text and not tls:
        raise ListenError(f"{option} {text}: https needs --tls-certificate")
    plain = rest.removeprefix("http://")
    host, port = parse_address(plain, option)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"{option} {text}: {error.strerror or error}") from None
    except UnicodeError as error:
        raise ListenError(f"{option} {text}: no host name: {error}") from None
    family, _, _, _, address = found[0]
    return tls and plain == rest, family, address


def check_addresses(texts: Sequence[str], option: str, *, tls: bool = False) -> None:
    """What can be found wrong with addresses without opening them.

    :raises ListenError: that
    """
    for text in texts:
        if text.startswith("unix:"):
            folder = os.path.dirname(_path(text, option))
            if not os.path.isdir(folder):
                raise ListenError(f"{option} {text}: there is no folder {folder}")
        elif not text.startswith("fd://"):
            _resolve(text, option, tls)


def parse_address(text: str, option: str) -> tuple[str, int]:
    """`HOST:PORT`, `[V6]:PORT` or `:PORT`.

    :raises ListenError: it is none of them
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"{option}: expected {_FORMS}, not {text!r}")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


def _bound(family: int, address: tuple[Any, ...], *, group: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if group:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited by every accepted connection: head and body of a response never wait for a delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _unix(text: str, option: str, file: File) -> Listener:
    path = _path(text, option)
    _clear_the_way(path, f"{option} {text}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, file.mode)  # before listen(2): nobody can connect earlier
        if (file.user, file.group) != (-1, -1):
            os.chown(path, file.user, file.group)
    except OSError as error:
        bound = bool(sock.getsockname())
        sock.close()
        if bound:
            os.unlink(path)
        raise ListenError(f"{option} {text}: {error.strerror or error}") from None
    sock.setblocking(False)
    return Listener([sock], path=path)


def _path(text: str, option: str) -> str:
    """Absolute: the file is removed at the end, wherever we are then."""
    path = text.removeprefix("unix:").removeprefix("//")
    if not path:
        raise ListenError(f"{option} {text}: expected a path after unix:")
    return os.path.abspath(path)


def _clear_the_way(path: str, place: str) -> None:
    """Remove the file that a server left which ended without doing so; one that somebody listens on stays."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ListenError(f"{place}: there is a file of another kind")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(f"{place}: {error.strerror}") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            pass
        except BlockingIOError:  # its queue is full
            raise ListenError(f"{place}: another server listens there") from None
        except OSError as error:
            raise ListenError(f"{place}: {error.strerror}") from None
        else:
            raise ListenError(f"{place}: another server listens there")
    try:
        os.unlink(path)
    except OSError as error:
        raise ListenError(
            f"{place}: the file of an ended server cannot be removed: {error.strerror}"
        ) from None


def _inherited(text: str, option: str, tls: bool) -> Listener:
    try:
        number = int(text.removeprefix("fd://"))
        sock = socket.socket(fileno=number)
    except (ValueError, OverflowError, OSError):
        raise ListenError(f"{option} {text}: there is no socket with that number") from None
    try:
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listening = 0
    if not listening:
        sock.detach()  # it is someone else's
        raise ListenError(f"{option} {text}: that is no listening socket")
    os.set_inheritable(sock.fileno(), False)
    unix = sock.family == socket.AF_UNIX
    if not unix:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return Listener([sock], shared=True, tls=tls and not unix)
