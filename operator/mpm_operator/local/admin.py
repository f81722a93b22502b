"""The admin port of a pod, as a client: `/scoreboard`, its stream, and signed control (docs/contracts.md)."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpm_worker.control import sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_HOST = "127.0.0.1"
_TIMEOUT_SECONDS = 3.0
_SILENCE_SECONDS = 5.0
"""The stream has a line a second; after so long without one it is opened anew."""


class AdminError(Exception):
    """The admin port did not answer, or said no."""


@dataclass(frozen=True, slots=True)
class Signer:
    """What a call to one life (`boot`) of one pod is signed with; `sequence` grows from call to call."""

    key: bytes
    pod_uid: str
    boot: str
    sequence: int

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        signature = sign(self.key, self.pod_uid, self.boot, self.sequence, method, path, body)
        return {"X-MPM-Sequence": str(self.sequence), "X-MPM-Signature": signature}


async def scoreboard(port: int) -> bytes:
    """GET /scoreboard: the aggregate and its processes with their letters. Raises AdminError."""
    return await _request(port, "GET", "/scoreboard", b"", {})


async def control(port: int, signer: Signer, method: str, path: str, body: Mapping[str, Any]) -> bytes:
    """One signed call; returns the aggregate after it. Raises AdminError."""
    content = json.dumps(body).encode()
    return await _request(port, method, path, content, signer.headers(method, path, content))


async def watch(port: int) -> AsyncIterator[bytes]:
    """GET /scoreboard?watch: one aggregate a chunk, until the pod ends the stream. Raises AdminError."""
    async with _exchange(port, "GET", "/scoreboard?watch", b"", {}) as reader:
        while line := await _chunk(reader):
            yield line


async def _request(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    try:
        async with (
            asyncio.timeout(_TIMEOUT_SECONDS),
            _exchange(port, method, path, body, headers) as reader,
        ):
            return await reader.read()
    except TimeoutError as error:
        raise AdminError(f"{method} {path}: no answer in {_TIMEOUT_SECONDS:g} s") from error


@asynccontextmanager
async def _exchange(
    port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> AsyncIterator[asyncio.StreamReader]:
    """Send the request and read the head of the answer; yields the reader at its body."""
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError as error:
        raise AdminError(f"{method} {path}: {error}") from error
    try:
        fields = {"Host": _HOST, "Connection": "close", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].split(b" ", 2)
        if status[1] != b"200":
            raise AdminError(f"{method} {path}: {(await reader.read(1024)).decode(errors='replace')}")
        yield reader
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError) as error:
        raise AdminError(f"{method} {path}: {error}") from error
    finally:
        writer.close()


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body; empty at its end."""
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            size = int(await reader.readuntil(b"\r\n"), 16)
            return (await reader.readexactly(size + 2))[:-2]
    except (TimeoutError, ValueError) as error:
        raise AdminError(f"/scoreboard?watch: {error or 'silent'}") from error
