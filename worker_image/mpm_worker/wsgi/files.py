"""wsgi.file_wrapper (PEP 3333): blocks of a file-like object, or the file itself by sendfile(2)."""

from __future__ import annotations

import io
import os
import stat
from typing import Any


class FileWrapper:
    """Iterates over the blocks of `filelike`; the gateway takes the short way when it is a regular file."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
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
        return descriptor, offset, max(0, status.st_size - offset)
