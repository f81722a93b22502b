"""Opens files beneath one folder and nothing else."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from typing import Final, NamedTuple

_HIDDEN: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Not `.` and `..`, nothing empty, no file that a dot hides (.git, .env, .htpasswd), and no backslash or
# control byte, which mean something to some program further on.
_PART: Final = rb"[^\x00-\x1f\x7f\\/.][^\x00-\x1f\x7f\\/]*"
is_plain = re.compile(rb"%b(?:/%b)*" % (_PART, _PART)).fullmatch
"""Whether every part of a relative name is one that may be asked for."""


class Opened(NamedTuple):
    """A regular file to be closed by whoever got it; `size` is in bytes, `modified` in nanoseconds."""

    file: io.FileIO
    size: int
    modified: int


class Tree:
    """A folder as it is when the process starts; a link to it that is changed later is not followed."""

    def __init__(self, folder: str) -> None:
        self._root = os.fsencode(os.path.realpath(folder)).rstrip(b"/") + b"/"

    def open(self, name: bytes) -> Opened | None:
        """The regular file `name`, or None.

        The kernel says where the file lies that was opened: a link that leads out of the folder is refused,
        and nobody can exchange a part of the path between a check and the opening. Links inside are followed,
        since Kubernetes mounts ConfigMaps by them. Rejected: openat2(2), which seccomp profiles and older
        kernels refuse.

        :raises OSError: no permission, no descriptor, a broken disk
        """
        if not is_plain(name):
            return None
        try:
            descriptor = os.open(self._root + name, _FLAGS)
        except OSError as error:
            if error.errno in _HIDDEN:
                return None
            raise
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not self._holds(descriptor):
            os.close(descriptor)
            return None
        return Opened(io.FileIO(descriptor), status.st_size, status.st_mtime_ns)

    def is_folder(self, name: bytes) -> bool:
        """Whether `name` is a folder inside."""
        if name and not is_plain(name):
            return False
        try:
            descriptor = os.open(self._root + name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not name or self._holds(descriptor)
        finally:
            os.close(descriptor)

    def _holds(self, descriptor: int) -> bool:
        return os.readlink(b"/proc/self/fd/%d" % descriptor).startswith(self._root)
