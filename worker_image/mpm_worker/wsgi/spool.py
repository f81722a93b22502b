"""A request body that is read before the application runs: in memory while small, then in a nameless file."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mpm_worker.http import Connection

_PIECE: Final = 1 << 20
_NO_NAMELESS: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Spooling:
    """What is done with bodies that could be long.

    `whole`: chunked bodies, and in the event model long ones too, are read whole before the application runs.
    `threshold`: bytes of a body kept in memory. `folder`: where files are made; "" = TMPDIR, else /tmp.
    `stores`: whether this process may make any there.
    """

    whole: bool = True
    threshold: int = 131072
    folder: str = ""
    stores: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stores", os.access(self.place, os.W_OK | os.X_OK))

    @property
    def place(self) -> str:
        return self.folder or os.environ.get("TMPDIR", "/tmp")  # noqa: S108 (the files made there have no name)


class SpoolError(OSError):
    """The body could not be stored; the text names the folder. The client is told 507 and not where."""

    told: Final = "the server has no room to store the body (RFC 4918, 11.5)"


class Spool:
    """What has come of one body; `size` in bytes."""

    __slots__ = ("_file", "_folder", "_memory", "_reader", "_threshold", "size")

    def __init__(self, spooling: Spooling, threshold: int | None = None) -> None:
        """:param threshold: instead of that of `spooling`, where memory is short"""
        self.size = 0
        self._threshold = spooling.threshold if threshold is None else threshold
        self._folder = spooling.place
        self._memory = bytearray()
        self._file: io.FileIO | None = None
        self._reader: io.BufferedReader | None = None

    @property
    def in_memory(self) -> bool:
        """Whether all of it is."""
        return self._file is None

    def fill(self, connection: Connection) -> bool:
        """Takes what has arrived; whether that was all. Raises ProtocolError and SpoolError."""
        while piece := connection.read_body(_PIECE):
            self.add(piece)
        return piece is not None

    def add(self, piece: bytes) -> None:
        """Raises SpoolError, and then holds nothing any more."""
        self.size += len(piece)
        if self._file is None:
            self._memory += piece
            if self.size <= self._threshold:
                return
            piece, self._memory = bytes(self._memory), bytearray()
        try:
            if self._file is None:
                self._file = io.FileIO(_nameless(self._folder), "r+b")
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.close()
            raise SpoolError(
                f"a request body of {self.size} bytes so far could not be stored in {self._folder} "
                f"(--spool-dir): {error.strerror}"
            ) from error

    def open(self) -> io.BufferedIOBase:
        """What is there, as a file to be read from its beginning; it ends with `close`."""
        if self._file is None:
            return io.BytesIO(self._memory)
        self._file.seek(0)
        self._reader = io.BufferedReader(self._file)
        return self._reader

    def close(self) -> None:
        """Give back memory and disk."""
        self._memory = bytearray()
        for file in (self._reader, self._file):
            if file is not None:
                file.close()


def _nameless(folder: str) -> int:
    """A descriptor of a new file that vanishes with it, whatever becomes of this process."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
    path = os.path.join(folder, f".mpm-body-{os.getpid()}-{os.urandom(8).hex()}")
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor
