"""Request bodies that the event loop reads, so that a slow client costs no slot.

A short one waits in its connection's memory, a long or chunked one in a spool. The loop writes the spool's
file itself, as nginx does: a write goes to the page cache in less time than the wake-up of a thread takes.
Left to slots: bodies of clients that wait for 100 Continue, which the application must ask for, and long ones
when --request-buffering is off.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mpm_worker.wsgi import Spool, SpoolError
from mpm_worker.wsgi.body import BYTES_PER_SECOND

if TYPE_CHECKING:
    from mpm_worker.client import Client
    from mpm_worker.http import ProtocolError, Request
    from mpm_worker.wsgi import Spooling

_SHORT: Final = 131072
_CROWD: Final = 256
"""Bytes of a body that wait in memory, and of how many clients at a time (32 MiB in all)."""
_PATIENCE: Final = 2.0
"""Seconds after which a request whose client pauses may go to a slot."""


def begin(client: Client, request: Request, spooling: Spooling, others: int) -> bool:
    """Whether the loop reads the body of `request`; then it is the client's, with a spool for a long body.

    :param others: connections that are being read
    """
    connection = client.connection
    if request.expect_continue or connection.body_whole:
        return False
    left = connection.body_left
    crowd = others > _CROWD
    if left is None or left > min(_SHORT, spooling.threshold) or crowd:
        # Without a folder to write to (a read-only root and no /tmp), a slot reads what can be read lazily.
        if not spooling.whole or (left is not None and not spooling.stores):
            return False
        client.spool = Spool(spooling, 0 if crowd else None)
    client.request, client.arrived = request, 0
    client.since = client.began = time.monotonic()
    return True


def is_whole(client: Client) -> bool:
    """Whether the body has come, or (a short one) will not: then too the request goes to a slot.

    :raises ProtocolError: it broke the rules, ended early or cannot be stored
    """
    connection, spool = client.connection, client.spool
    if spool is None:
        _note(client, connection.body_arrived)
        return connection.body_whole or connection.eof
    try:
        whole = spool.fill(connection)
    except SpoolError as error:
        raise connection.refuse(507, SpoolError.told) from error  # who answers logs it
    _note(client, spool.size)
    return whole


def _note(client: Client, arrived: int) -> None:
    """A pause begins where the last bytes came."""
    if arrived > client.arrived:
        client.arrived, client.since = arrived, time.monotonic()


def overdue(client: Client, now: float, timeout: float, *, plenty: bool) -> Request | ProtocolError | None:
    """What a slot shall have of a client that pauses: its request, a refusal, or nothing yet.

    The request, because the client may wait for the application to speak first: only while slots are in
    plenty, or slow clients would take them all; not when its length is unknown (the application would take
    the body for an empty one) and not when it has sent more than the threshold, since who uploads that much
    waits for nothing.
    """
    connection, spool = client.connection, client.spool
    pause = now - client.since
    talks = connection.body_left is not None and (spool is None or spool.in_memory)
    if plenty and talks and pause >= _PATIENCE:
        return client.request
    if pause >= timeout:
        return connection.refuse(408, f"nothing more of the body came in {timeout:g} seconds")
    if now - client.began > timeout + client.arrived / BYTES_PER_SECOND:
        return connection.refuse(408, f"the body came slower than {BYTES_PER_SECOND} bytes a second")
    return None
