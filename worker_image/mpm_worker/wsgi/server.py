"""What is the same for every request: the server's part of the environ, and the settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from mpm_worker.wsgi.files import FileWrapper
from mpm_worker.wsgi.spool import Spooling


class Settings(Protocol):
    """Read at each request, so a change takes effect with the next one."""

    @property
    def timeout(self) -> float:
        """Seconds a client may let us wait for bytes, or for room to send some (httpd's TimeOut)."""


@dataclass(frozen=True, slots=True)
class Server:
    """The static part of the environ, laid out once."""

    name: str
    port: int | str
    multithread: bool
    multiprocess: bool
    scheme: str = "http"
    software: str = "mpm-worker"
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    spooling: Spooling = field(default_factory=Spooling)
    environ: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        environ = {
            "SERVER_NAME": self.name,
            "SERVER_PORT": str(self.port),
            "SERVER_SOFTWARE": self.software,
            "SCRIPT_NAME": "",
            "REMOTE_ADDR": "",  # of a Unix socket
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.errors": self.errors,
            "wsgi.multithread": self.multithread,
            "wsgi.multiprocess": self.multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }
        object.__setattr__(self, "environ", environ)
