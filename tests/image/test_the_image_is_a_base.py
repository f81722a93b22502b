"""The worker image as a base: FROM it, COPY an application. No root, nothing written, a good process 1."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from testcluster import images, packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
import json, os

def app(environ, start_response):
    if environ["PATH_INFO"] == "/orphan" and os.fork() == 0:
        if os.fork() == 0:
            os.execv("/bin/true", ["true"])
        os._exit(0)
    try:
        open("/written", "w")
        root = "writable"
    except OSError as error:
        root = error.strerror
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    states = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/stat") as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    ids = [*os.getresuid(), *os.getresgid()]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"ids": ids, "parent": os.getppid(), "root": root, "states": states}).encode()]
"""
CONTAINERFILE = f"""
FROM {images.WORKER}
COPY shop.py /srv/app/
CMD ["--chdir", "/srv/app", "shop:app"]
"""
NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")
"""All but the network's, so that the test reaches the port."""


def bundle(folder: Path) -> Path:
    """An OCI bundle of the derived image: its files and how to run it."""
    context = folder / "context"
    context.mkdir()
    (context / "shop.py").write_text(APP)
    (context / "Containerfile").write_text(CONTAINERFILE)
    name = "localhost/mpm-test-shop"
    images.buildah("build", "--pull-never", f"--tag={name}", str(context))
    images.buildah("build", "--pull-never", f"--output=type=local,dest={folder}/rootfs", str(context))
    (folder / "rootfs").chmod(0o755)
    config = json.loads(images.buildah("inspect", "--type=image", name))["OCIv1"]["config"]
    (folder / "config.json").write_text(json.dumps(spec(config)))
    return folder


def spec(config: dict[str, Any]) -> dict[str, Any]:
    user, _, group = config["User"].partition(":")
    addresses = ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*config["Entrypoint"], *addresses, *config["Cmd"]],
            "env": config["Env"],
            "cwd": config.get("WorkingDir") or "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", "size=16m"]},
        ],
        "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
    }


class Container:
    def __init__(self, folder: Path) -> None:
        self.name = f"mpm-test-{os.getpid()}"
        self.state = f"--root={folder}/runc"
        self.pid = folder / "pid"
        command = ["runc", self.state, "run", f"--bundle={folder}", f"--pid-file={self.pid}", self.name]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.said: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = ""

    def await_url(self) -> None:
        end = time.monotonic() + 60
        while not (found := re.search(r"listening on (http://\S+),", "".join(self.said))):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.05)
        self.url = found[1]

    def await_python(self) -> int:
        """The process 1, as soon as it runs Python."""
        end = time.monotonic() + 60
        while True:
            assert time.monotonic() < end, self.said
            with suppress(OSError, ValueError):
                pid = int(self.pid.read_text())
                if "python" in os.readlink(f"/proc/{pid}/exe"):
                    return pid

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def end(self, number: int) -> int:
        subprocess.run(["runc", self.state, "kill", self.name, str(number)], check=True, timeout=60)
        code = self.process.wait(60)
        self.reader.join(60)
        return code


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    packages.ensure()
    images.ensure()
    found = Container(bundle(tmp_path))
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.end(signal.SIGKILL)
        found.reader.join(60)
        assert found.process.stderr is not None
        found.process.stderr.close()


@pytest.mark.cluster  # not for the cluster itself, but for buildah and the image that it is made of
@pytest.mark.timeout(600)
def test_an_image_made_from_it_serves_and_ends_well(container: Container) -> None:
    container.await_url()
    told = container.ask("/")
    assert told["ids"] == [65532] * 6
    assert told["parent"] == 1
    assert told["root"] == "Read-only file system"
    container.ask("/orphan")
    end = time.monotonic() + 60
    while "Z" in container.ask("/")["states"]:
        assert time.monotonic() < end, "process 1 does not reap"
        time.sleep(0.1)
    assert container.end(signal.SIGTERM) == 0


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_it_ends_well_when_it_is_told_to_before_the_first_line_of_python(container: Container) -> None:
    os.kill(container.await_python(), signal.SIGTERM)
    assert container.process.wait(60) == 0
