"""Streams and control calls against a real worker process on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from mpm_operator.kube.client import Fenced
from mpm_operator.kube.resources import WEBSERVER_LABEL, Key
from mpm_operator.kube.scoreboards import ControlRefused, Scoreboards

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KEY = bytes(range(32))
APP = """\
import os, time

def application(environ, start_response):
    while environ["PATH_INFO"] == "/held" and not os.path.exists("let go"):
        time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


class Worker:
    """A supervisor with two threads, and the pod object that would stand for it."""

    def __init__(self, folder: Path, uid: str = "uid-1", admin: int = 0) -> None:
        (folder / "slow.py").write_text(APP)
        keys = folder / "keys"
        keys.mkdir(exist_ok=True)
        (keys / "current").write_text(f"1:{KEY.hex()}")
        self.uid, self.folder = uid, folder
        program = Path(sys.executable).with_name("mpm-worker")
        argv = [str(program), "--bind=127.0.0.1:0", f"--admin=127.0.0.1:{admin}", "--mpm=worker"]
        argv += ["--processes=1", "--threads=2", "--thread-limit=4", f"--control-keys={keys}"]
        argv += [f"--chdir={folder}", "slow:application"]
        env = os.environ | {"MPM_POD_UID": uid, "MPM_POD_NAME": "shop-1"}
        self.process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, start_new_session=True)
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            found = re.search(rb"http://127\.0\.0\.1:(\d+), admin on http://127\.0\.0\.1:(\d+)", raw)
            if found:
                self.port, self.admin = int(found[1]), int(found[2])
                return
        raise AssertionError("the worker did not say where it listens")

    def page(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=60) as response:
            return str(response.read().decode())

    def pod(self, uid: str = "") -> dict[str, Any]:
        return {
            "metadata": {
                "name": "shop-1",
                "namespace": "demo",
                "uid": uid or self.uid,
                "labels": {WEBSERVER_LABEL: "shop"},
            },
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        }

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for some seconds is not what is tested."""
    for limit in ("CONTROL_TIMEOUT_SECONDS", "SILENCE_SECONDS"):
        monkeypatch.setattr(f"mpm_operator.kube.scoreboards.{limit}", 60.0)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    made.end()


class Desk:
    """Scoreboards, and who was enqueued."""

    def __init__(self, worker: Worker, remaining: Callable[[], float] = lambda: 60.0) -> None:
        self.woken: list[Key] = []
        self.boards = Scoreboards(self.woken.append, remaining, port=worker.admin)
        self.worker = worker
        self.boards.follow(worker.pod())

    async def reported(self) -> None:
        def whole() -> bool:
            report = self.boards.report(self.worker.uid)
            return report is not None and report.total == 2

        await self.until(whole)

    async def until(self, holds: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "not in time"
            await asyncio.sleep(0.02)

    async def put(self, **changes: Any) -> None:
        await self.boards.control(self.worker.uid, [KEY], "PUT", "/control", changes)


@pytest.fixture
async def desk(worker: Worker) -> AsyncIterator[Desk]:
    made = Desk(worker)
    await made.reported()
    yield made
    await made.boards.close()


async def test_the_last_line_is_kept_and_the_first_one_wakes_the_webserver(desk: Desk) -> None:
    report = desk.boards.report("uid-1")
    assert report is not None
    assert (report.busy, report.idle) == (0, 2)
    assert Key("demo", "shop") in desk.woken


async def test_a_saturated_pod_wakes_its_webserver(desk: Desk) -> None:
    desk.woken.clear()
    clients = [
        asyncio.create_task(asyncio.to_thread(_get, f"http://127.0.0.1:{desk.worker.port}/held"))
        for _ in range(2)
    ]

    def full() -> bool:
        report = desk.boards.report("uid-1")
        return report is not None and report.busy == 2 and bool(desk.woken)

    await desk.until(full)
    (desk.worker.folder / "let go").touch()
    await asyncio.gather(*clients)


async def test_a_line_brings_what_was_served_since_the_one_before(desk: Desk) -> None:
    def served() -> int:
        report = desk.boards.report("uid-1")
        return report.flow.served if report is not None else 0

    deadline = time.monotonic() + 60
    while not served():
        assert time.monotonic() < deadline, "no request was counted"
        await asyncio.to_thread(_get, f"http://127.0.0.1:{desk.worker.port}/")


async def test_signed_calls_are_taken_one_after_the_other(desk: Desk) -> None:
    for seconds in (30, 31, 32):
        await desk.put(timeoutSeconds=seconds)
    report = desk.boards.report("uid-1")
    assert report is not None
    assert report.settings["timeoutSeconds"] == 32
    assert report.sequence >= 3


async def test_another_operators_calls_are_caught_up_with(desk: Desk) -> None:
    other = Desk(desk.worker)
    await other.reported()
    for seconds in (40, 41, 42, 43):
        await other.put(timeoutSeconds=seconds)
    await desk.put(timeoutSeconds=50)
    await other.put(timeoutSeconds=51)
    report = other.boards.report("uid-1")
    assert report is not None
    assert report.settings["timeoutSeconds"] == 51
    await other.boards.close()


async def test_a_call_with_a_wrong_key_is_refused_with_the_pods_reason(desk: Desk) -> None:
    with pytest.raises(ControlRefused, match="401"):
        await desk.boards.control("uid-1", [b"x" * 32], "PUT", "/control", {"timeoutSeconds": 1})


async def test_a_pod_that_has_only_the_previous_key_is_reached_with_it(desk: Desk) -> None:
    """While keys are rotated the operator has the new one first; the pod's volume follows later."""
    new = b"n" * 32
    for seconds in (7, 8, 9):
        await desk.boards.control("uid-1", [new, KEY], "PUT", "/control", {"timeoutSeconds": seconds})
    report = desk.boards.report("uid-1")
    assert report is not None
    assert report.settings["timeoutSeconds"] == 9
    refused = json.loads(desk.worker.page("/scoreboard"))["totals"]["unauthorized"]
    assert refused == 2, "the unknown key is offered once and once again, not with every call"
    (desk.worker.folder / "keys" / "current").write_text(f"2:{new.hex()}")
    await desk.boards.control("uid-1", [new], "PUT", "/control", {"timeoutSeconds": 10})
    with pytest.raises(ControlRefused, match="401"):
        await desk.boards.control("uid-1", [KEY], "PUT", "/control", {"timeoutSeconds": 11})


async def test_a_value_out_of_bounds_is_refused_with_the_pods_reason(desk: Desk) -> None:
    with pytest.raises(ControlRefused, match="400") as caught:
        await desk.put(threadsPerChild=4000)
    assert caught.value.final


async def test_a_pod_that_stands_still_is_told_to_have_given_no_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpm_operator.kube.scoreboards.CONTROL_TIMEOUT_SECONDS", 0.5)
    desk.worker.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ControlRefused, match=r"PUT /control: no answer within 0\.5 s"):
            await desk.put(timeoutSeconds=1)
    finally:
        desk.worker.process.send_signal(signal.SIGCONT)


async def test_nothing_is_sent_without_the_lease(worker: Worker) -> None:
    desk = Desk(worker, lambda: 0.0)
    await desk.reported()
    with pytest.raises(Fenced):
        await desk.put(timeoutSeconds=1)
    await desk.boards.close()


async def test_a_pod_that_started_again_is_followed_in_its_new_life(desk: Desk, tmp_path: Path) -> None:
    before = desk.boards.report("uid-1")
    assert before is not None
    admin = desk.worker.admin
    desk.worker.end()
    successor = Worker(tmp_path, admin=admin)
    try:
        await desk.until(lambda: (desk.boards.report("uid-1") or before).boot != before.boot)
        await desk.put(timeoutSeconds=33)
    finally:
        successor.end()


async def test_news_of_a_pod_that_did_not_answer_opens_its_stream_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpm_operator.kube.scoreboards.BACKOFF_FIRST_SECONDS", 60.0)
    monkeypatch.setattr("mpm_operator.kube.scoreboards.BACKOFF_MOST_SECONDS", 60.0)
    first = Worker(tmp_path)
    first.end()
    desk = Desk(first)
    await desk.until(lambda: desk.boards.failure("uid-1"))
    successor = Worker(tmp_path, admin=first.admin)
    try:
        desk.boards.follow(successor.pod())
        await desk.reported()
    finally:
        successor.end()
        await desk.boards.close()


async def test_a_silent_pod_keeps_its_last_line(desk: Desk) -> None:
    desk.worker.end()
    await desk.until(lambda: desk.boards.failure("uid-1"))
    assert desk.boards.report("uid-1") is not None


async def test_an_address_that_belongs_to_another_pod_by_now_tells_nothing(worker: Worker) -> None:
    desk = Desk(worker)
    desk.boards.follow(worker.pod("uid-of-before"))
    await desk.until(lambda: "belongs to pod" in desk.boards.failure("uid-of-before"))
    assert desk.boards.report("uid-of-before") is None
    await desk.boards.close()


async def test_a_pod_that_is_gone_is_let_go(desk: Desk) -> None:
    desk.boards.forget("uid-1")
    assert desk.boards.report("uid-1") is None
    assert desk.boards.uids() == set()


async def test_a_stream_of_no_text_is_a_failure_that_is_tried_again() -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(None)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"boot":"\xff"}\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    boards = Scoreboards(lambda key: None, lambda: 60.0, port=server.sockets[0].getsockname()[1])
    meta = {"name": "shop-1", "namespace": "demo", "uid": "uid-1", "labels": {WEBSERVER_LABEL: "shop"}}
    boards.follow({"metadata": meta, "status": {"phase": "Running", "podIP": "127.0.0.1"}})
    try:
        async with asyncio.timeout(60):
            await asked.get()
            await asked.get()
        assert boards.failure("uid-1")
    finally:
        await boards.close()
        server.close()
        await server.wait_closed()


def _get(url: str) -> None:
    subprocess.run(["curl", "--silent", "--max-time", "60", url], check=True, timeout=90)
