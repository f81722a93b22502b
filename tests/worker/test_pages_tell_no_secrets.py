"""What clients send beyond method and path is on no page, unless --extended-status asks for the line."""

from __future__ import annotations

import threading

import pytest

PAGES = ("/server-status", "/server-status?auto", "/server-status?json", "/scoreboard", "/metrics")
HEADERS = {"Cookie": "session=c00kie", "Authorization": "Bearer t0ken"}


def pages(worker, gate) -> dict[str, str]:
    """Every page, while a request runs and after it."""
    asking = threading.Thread(
        target=worker.get, args=(f"{gate.path}?card=s3cret",), kwargs={"headers": HEADERS}
    )
    asking.start()
    worker.await_board(lambda board: board["workers"]["busy"] == 1)
    watch = worker.watch()
    texts = {"watch": str(watch.line())} | {path: worker.admin(path)[2].decode() for path in PAGES}
    watch.close()
    gate.open()
    asking.join(60)
    return texts | {f"{path}, later": worker.admin(path)[2].decode() for path in PAGES}


@pytest.mark.parametrize("extended", ["off", "on"])
def test_only_the_request_line_and_only_when_asked_for(start, gate, mpm: str, extended: str) -> None:
    worker = start("--mpm", mpm, "--processes", "1", "--threads", "1", "--extended-status", extended)
    texts = pages(worker, gate)
    for secret in ("c00kie", "t0ken"):
        assert not [page for page, text in texts.items() if secret in text]
    shown = {page for page, text in texts.items() if "s3cret" in text}
    assert shown == ({"/server-status", "/server-status, later"} if extended == "on" else set())
    assert "/until/" in texts["/server-status"]


def test_other_methods_and_paths_reveal_nothing(start) -> None:
    worker = start("--processes", "1", "--threads", "1")
    assert worker.admin("/control")[0] == 401
    assert worker.admin("/..%2fetc/passwd")[0] == 404
    assert b"root:" not in worker.admin("/server-status/../../etc/passwd")[2]
