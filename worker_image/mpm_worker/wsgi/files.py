"""wsgi.file_wrapper (PEP 3333): blocks of a file-like object, or the file itself by sendfile(2)."""

from __future__ import annotations

import io
import os
import stat
from typing import Any


class FileWrapper:
    """Iterates over the blocks of `filelike`; the gateway takes the short way when it is a regular file.

    It begins where the file stands. `length`: no more than so many bytes of it.
    """

    def __init__(self, filelike: Any, block_size: int = 65536, *, length: int | None = None) -> None:
        self.filelike = filelike
        self.block_size = block_size
        self._left = length
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        size = self.block_size if self._left is None else min(self.block_size, self._left)
        block: bytes = self.filelike.read(size)
        if not block:
            raise StopIteration
        if self._left is not None:
            self._left -= len(block)
        return block

    def regular_file(self) -> tuple[int, int, int] | None:
        """(descriptor, offset, bytes left) when the kernel can send it, else None.

        Only the files of `open` count: others (gzip's) have the descriptor of something else than they read.
        """
        # A named temporary file keeps the real one in `file`.
        opened = getattr(self.filelike, "file", self.filelike)
        if not isinstance(getattr(opened, "raw", opened), io.FileIO):
            return None
        try:
            descriptor = opened.fileno()
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            offset = opened.tell()
        except (OSError, ValueError):
            return None
        left = max(0, status.st_size - offset)
        return descriptor, offset, left if self._left is None else min(left, self._left)
