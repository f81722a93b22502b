"""The Secret with the control keys of one WebServer (docs/contracts.md, section 2).

Keys are derived, never drawn: a Secret that was deleted comes back equal, and no pod has to restart for it.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .owner import Manifest, Owner

SALT = b"mpm-operator.io/control"


@dataclass(frozen=True, slots=True)
class ControlKey:
    """One key and its version; `str()` is the content of its file."""

    version: int
    secret: bytes

    def __str__(self) -> str:
        return f"{self.version}:{self.secret.hex()}"


@dataclass(frozen=True, slots=True)
class ControlKeys:
    """The key that signs, and while keys are rotated the one that is still accepted."""

    current: ControlKey
    previous: ControlKey | None = None

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The keys to sign with: the current one, and for pods that don't have it yet the previous one."""
        return tuple(key.secret for key in (self.current, self.previous) if key)


def control_key(master: bytes, uid: str, version: int) -> ControlKey:
    """Derive the key of the WebServer `uid` from the operator's master key."""
    return ControlKey(version, hkdf(master, SALT, f"{uid}/{version}".encode()))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869, section 2) with one block of output: a key is as long as the hash."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def secret(owner: Owner, keys: ControlKeys) -> Manifest:
    """The Secret with one file a key, `current` and `previous`."""
    files = {"current": keys.current, "previous": keys.previous}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owner.metadata(owner.secret_name),
        "type": "Opaque",
        "data": {name: b64encode(str(key).encode()).decode() for name, key in files.items() if key},
    }
