"""One worker for each site and model, started when the first test asks for it."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

SITES = Path(__file__).parent / "sites"
EVERY = [(path.stem, "event") for path in sorted(SITES.glob("*_site.py"))]
OTHERS = [("flask_site", "prefork"), ("django_site", "worker")]


class Site(WorkerProcess):
    """A framework's site behind a real worker."""

    def __init__(self, module: str, mpm: str, spools: Path) -> None:
        self.module = module
        size = ("--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "5")
        size += ("--keep-alive-timeout", "60")
        super().__init__(
            *size,
            *("--spool-dir", str(spools), "--chdir", str(SITES), f"{module}:application"),
            environ={"TMPDIR": str(spools)},  # where the frameworks put what is uploaded
        )

    def peak(self) -> int:
        """Bytes of memory that were resident at most."""
        status = Path(f"/proc/{self.child}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="session", params=EVERY + OTHERS, ids=lambda param: "-".join(param))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    module, mpm = request.param
    running = Site(module, mpm, tmp_path_factory.mktemp("spools"))
    yield running
    running.end()


@pytest.fixture
def client(site: Site) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    yield connection
    connection.close()
