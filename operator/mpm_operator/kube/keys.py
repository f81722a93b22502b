"""The master key of the control path: one Secret in the operator's own namespace, made when it is absent.

It holds `current` and, while it is rotated, `previous`, each as `VERSION:HEX` like the pods' own files
(docs/contracts.md, section 2). The keys of the WebServers are derived from it, never stored elsewhere.
"""

from __future__ import annotations

import logging
import secrets
from base64 import b64decode, b64encode

from mpm_operator.manifests import ControlKey, ControlKeys, control_key

from .client import APIError, Client
from .resources import SECRETS, Object

logger = logging.getLogger(__name__)

NAME = "mpm-operator-control"
MASTER_BYTES = 32


class BadMasterKey(Exception):
    """The Secret does not hold what it has to; the text says where and what was expected."""


class MasterKeys:
    """Reads the master key; derives the keys of WebServers."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._current: ControlKey | None = None
        self._previous: ControlKey | None = None
        self._derived: dict[str, ControlKeys] = {}

    async def load(self) -> bool:
        """Read the Secret, or make it; return whether the keys are others than before.

        Only the holder of the lease comes here.
        """
        body = await self._client.get(SECRETS, self._namespace, NAME)
        if body is None:
            body = await self._make()
        data = body.get("data") or {}
        current = self._key(data, "current")
        if current is None:
            raise BadMasterKey(f"Secret {self._namespace}/{NAME} must have the key `current`: VERSION:HEX")
        before = self._current, self._previous
        self._current, self._previous = current, self._key(data, "previous")
        self._derived.clear()
        return before != (self._current, self._previous)

    def of(self, uid: str) -> ControlKeys:
        """Derive the keys of the WebServer with this UID; `load` came before."""
        if self._current is None:
            raise BadMasterKey("the master key has not been read yet")
        keys = self._derived.get(uid)
        if keys is None:
            previous = self._previous
            keys = self._derived[uid] = ControlKeys(
                control_key(self._current.secret, uid, self._current.version),
                control_key(previous.secret, uid, previous.version) if previous is not None else None,
            )
        return keys

    async def _make(self) -> Object:
        key = ControlKey(1, secrets.token_bytes(MASTER_BYTES))
        body = {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {"name": NAME, "namespace": self._namespace},
            "type": "Opaque",
            "data": {"current": b64encode(str(key).encode()).decode()},
        }
        try:
            made = await self._client.create(SECRETS, body)
        except APIError as error:
            if error.status != 409:
                raise
            made = await self._client.get(SECRETS, self._namespace, NAME) or {}
        else:
            logger.info("Made the master key of the control path: Secret %s/%s", self._namespace, NAME)
        return made

    def _key(self, data: Object, name: str) -> ControlKey | None:
        text = data.get(name)
        if text is None:
            return None
        try:
            version, _, digits = b64decode(text).decode().strip().partition(":")
            secret = bytes.fromhex(digits)
            if len(secret) < MASTER_BYTES:
                raise ValueError("too short")
            return ControlKey(int(version), secret)
        except ValueError as error:
            where = f"Secret {self._namespace}/{NAME}, key `{name}`"
            raise BadMasterKey(f"{where} must be VERSION:HEX with {MASTER_BYTES} bytes: {error}") from error
