"""Signed control calls: the signature and the keys.

Nothing here reads a clock: a call is bound to one life of one pod by `boot` and cannot be repeated
because its number must grow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "v1="


def sign(key: bytes, pod_uid: str, boot: str, sequence: int, method: str, path: str, body: bytes) -> str:
    """The value of `X-MPM-Signature` for one call.

    :param path: as in the request line, query included
    """
    # With the first call: OpenSSL's library, which they load, costs a tenth of the start.
    import hashlib
    import hmac

    digest = hashlib.sha256(body).hexdigest()
    message = "\n".join((pod_uid, boot, str(sequence), method, path, digest))
    return SCHEME + hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


class Refused(Exception):
    """A call without a valid signature; the text is the reason."""


class Keys:
    """The folder of control keys: files `current` and perhaps `previous`, each `VERSION:HEX`.

    They are read again when they change: a Secret's volume is replaced under a running pod.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._stamp: tuple[object, ...] = ()
        self._keys: dict[int, bytes] = {}
        self.problem = "" if folder else "this worker was started without --control-keys"

    def load(self) -> dict[int, bytes]:
        """Version → key. Empty, with `problem` set, when there is none that can be used."""
        if not self._folder:
            return {}
        paths = [os.path.join(self._folder, name) for name in ("current", "previous")]
        stamp = tuple(_stamp(path) for path in paths)
        if stamp != self._stamp:
            self._stamp, self._keys, self.problem = stamp, {}, ""
            for path in paths:
                self._read(path)
            if not self._keys and not self.problem:
                self.problem = f"no control key in {self._folder}: expected the file current with VERSION:HEX"
        return self._keys

    def _read(self, path: str) -> None:
        try:
            with open(path, encoding="ascii") as file:
                version, _, digits = file.read().strip().partition(":")
            key = bytes.fromhex(digits)
            if len(key) < 16:
                raise ValueError
            self._keys.setdefault(int(version), key)
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            self.problem = f"{path}: expected VERSION:HEX with a key of at least 16 bytes"


def _stamp(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


@dataclass(frozen=True, slots=True)
class Call:
    """What arrived."""

    method: str
    path: str
    sequence: str
    signature: str
    body: bytes


def verify(call: Call, keys: Mapping[int, bytes], pod_uid: str, boot: str, last: int) -> tuple[int, int]:
    """Check a call against every key that is accepted.

    :param last: the greatest sequence number accepted so far
    :return: the sequence number and the version of the key
    :raises Refused: with the reason
    """
    if not call.signature.startswith(SCHEME):
        raise Refused("X-MPM-Signature is missing or not v1=HEX")
    if not (call.sequence.isascii() and call.sequence.isdigit() and len(call.sequence) <= 18):
        raise Refused("X-MPM-Sequence is missing or not a whole number")
    import hmac

    sequence = int(call.sequence)
    given = call.signature.encode("utf-8", "replace")
    fitting = [
        version
        for version, key in keys.items()
        if hmac.compare_digest(
            sign(key, pod_uid, boot, sequence, call.method, call.path, call.body).encode(), given
        )
    ]
    if not fitting:
        raise Refused("the signature fits no control key for this pod and this boot")
    if sequence <= last:
        raise Refused(f"the sequence number must be greater than {last}")
    return sequence, fitting[0]
