"""The example of an image built from the worker's, served as its Containerfile says."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mpm_worker.options import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "flask"
CONTAINERFILE = (EXAMPLE / "Containerfile").read_text()


def instructions(name: str) -> list[str]:
    joined = CONTAINERFILE.replace("\\\n", " ")
    return re.findall(rf"(?m)^{name} (.*)$", joined)


def in_place(text: str) -> str:
    """A path of the image as one of the example's folder."""
    (folder,) = instructions("WORKDIR")
    return text.replace(folder, str(EXAMPLE))


@pytest.fixture
def client() -> Iterator[http.client.HTTPConnection]:
    variables = dict(each.split("=", 1) for each in instructions("ENV"))
    (command,) = instructions("CMD")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mpm_worker", *yaml.safe_load(command)],
        cwd=EXAMPLE,
        env={name: value for name, value in os.environ.items() if not name.startswith("MPM_")}
        | {name: in_place(value) for name, value in variables.items()}
        | {"MPM_BIND": "127.0.0.1:0", "MPM_ADMIN": "127.0.0.1:0", "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        pytest.fail(f"the worker ended with {process.wait(60)}")
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
    yield connection
    connection.close()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said


def test_it_serves_its_pages_and_the_worker_its_files(client: Any) -> None:
    client.request("POST", "/", "entry=I+was+here", {"Content-Type": "application/x-www-form-urlencoded"})
    response = client.getresponse()
    response.read()
    assert (response.status, response.getheader("Location")) == (302, "/")
    client.request("GET", "/")
    assert b"<li>I was here</li>" in client.getresponse().read()
    client.request("GET", "/static/guestbook.css")
    assert client.getresponse().read() == (EXAMPLE / "static" / "guestbook.css").read_bytes()


def test_its_containerfile_names_what_there_is() -> None:
    known = {option.variable for option in TABLE}
    assert {each.split("=", 1)[0] for each in instructions("ENV")} <= known
    for copied in instructions("COPY"):
        assert (EXAMPLE / shlex.split(copied)[0]).exists()
    resource = yaml.safe_load((EXAMPLE / "webserver.yaml").read_text())
    assert yaml.safe_load(instructions("CMD")[0]) == [resource["spec"]["app"]["module"]]
    assert instructions("USER")[-1] == "65532:65532"
