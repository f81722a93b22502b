"""One worker for each site and model, started when the first test asks for it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SITES = Path(__file__).parent / "sites"
EVERY = [(path.stem, "event") for path in sorted(SITES.glob("*_site.py"))]
OTHERS = [("flask_site", "prefork"), ("django_site", "worker")]


class Site:
    """A framework's site behind a real worker."""

    def __init__(self, module: str, mpm: str, spools: Path) -> None:
        command = [
            sys.executable,
            "-P",
            "-m",
            "mpm_worker",
            "--bind",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]
        command += ["--mpm", mpm, "--processes", "1", "--threads", "2", "--graceful-timeout", "5"]
        command += ["--spool-dir", str(spools), "--chdir", str(SITES), f"{module}:application"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MPM_")}
        environ["TMPDIR"] = str(spools)  # where the frameworks put what is uploaded
        self.module, self.said = module, list[str]()
        self._heard = threading.Condition()
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.port = int(self.await_line(r"listening on http://127\.0\.0\.1:(\d+)")[1])
        self.await_answer()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()

    def await_line(self, pattern: str) -> re.Match[str]:
        """The first line on stderr that matches."""
        with self._heard:
            for _ in range(100):
                if match := re.search(pattern, "".join(self.said)):
                    return match
                assert self._process.poll() is None, self.said
                self._heard.wait(0.2)
        raise AssertionError(f"{pattern} is not in {self.said}")

    def await_answer(self) -> None:
        for _ in range(200):
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                client.request("GET", "/")
                client.getresponse().read()
                return
            except ConnectionRefusedError:
                time.sleep(0.1)
            finally:
                client.close()
        pytest.fail(f"{self.module} does not answer: {self.said}")

    @property
    def child(self) -> int:
        """The process that serves."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def peak(self) -> int:
        """Bytes of memory that were resident at most."""
        status = Path(f"/proc/{self.child}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        finally:
            self._process.kill()
            self._process.wait(10)
            self._reader.join(10)
            assert self._process.stderr is not None
            self._process.stderr.close()


@pytest.fixture(scope="session", params=EVERY + OTHERS, ids=lambda param: "-".join(param))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    module, mpm = request.param
    running = Site(module, mpm, tmp_path_factory.mktemp("spools"))
    yield running
    running.end()


@pytest.fixture
def client(site: Site) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    yield connection
    connection.close()
