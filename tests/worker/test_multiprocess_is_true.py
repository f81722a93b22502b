"""wsgi.multiprocess: whether another process may call the same application at the same time (PEP 3333)."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any


def test_it_becomes_true_when_a_process_is_added(start: Any) -> None:
    worker = start("--mpm", "event", "--threads", "2", "--processes", "1", app="uploads:facts")
    assert json.loads(worker.get()[2]) is False
    assert worker.call("PUT", "/control", {"processes": 2})[0] == 200
    worker.await_board(lambda board: board["workers"]["idle"] == 4)
    seen = {(answer[1]["X-Pid"], json.loads(answer[2])) for answer in (worker.get() for _ in range(60))}
    assert {true for _, true in seen} == {True}


def test_a_connection_that_was_there_before_is_told_too(start: Any) -> None:
    worker = start("--mpm", "event", "--threads", "2", "--processes", "1", app="uploads:facts")
    with closing(HTTPConnection("127.0.0.1", worker.port, timeout=60)) as connection:

        def told() -> Any:
            connection.request("GET", "/")
            return json.loads(connection.getresponse().read())

        assert [told() for _ in range(3)] == [False] * 3
        assert worker.call("PUT", "/control", {"processes": 2})[0] == 200
        worker.await_ready()
        assert told() is True
