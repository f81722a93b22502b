"""The file of a run is followed: what can change live does, what cannot is told, nothing is half taken."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING

from running import WEBSERVER, Running, alive, eventually, get, write

if TYPE_CHECKING:
    from pathlib import Path


def edit(file: Path, text: str) -> None:
    """As editors do: a new file takes the place of the old one."""
    fresh = file.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(file)


def test_threads_change_without_a_new_process_and_without_a_lost_request(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file) as run:
        url, answers = run.serving(), []
        slow = threading.Thread(target=lambda: answers.append(get(f"{url}/?1.5")))
        slow.start()
        processes = run.workers()
        edit(file, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: 4"))
        run.hear(r"webserver\.yaml was edited: in effect")
        assert eventually(lambda: re.search(r"threads 4 ", run.lines[-1]) is not None)
        slow.join()
        assert answers == [b"ok\n"]
        assert processes == run.workers()


def test_servers_come_and_go_beside_the_ones_that_stay(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file) as run:
        url, answers = run.serving(), []
        slow = threading.Thread(target=lambda: answers.append(get(f"{url}/?1.5")))
        slow.start()
        before = run.workers()
        edit(file, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: 2, processesPerPod: 3"))
        assert eventually(lambda: re.search(r"pods 1/1 threads 6 ", run.lines[-1]) is not None)
        assert before < run.workers()
        edit(file, WEBSERVER)
        assert eventually(lambda: re.search(r"pods 1/1 threads 2 ", run.lines[-1]) is not None)
        assert eventually(lambda: run.workers() == before)
        slow.join()
        assert answers == [b"ok\n"]
        edit(
            file,
            WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: 1, processesPerPod: 33").replace(
                ": 8", ": 99"
            ),
        )
        run.hear(r"serverLimit changed: end this run and start it again")


def test_new_pods_start_with_the_edit(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file) as run:
        run.serving()
        edit(file, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: 3") + "  replicas: 2\n")
        assert eventually(lambda: re.search(r"pods 2/2 threads 6 ", run.lines[-1]) is not None)


def test_an_edit_that_cannot_be_read_is_told_once_and_changes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file) as run:
        url = run.serving()
        edit(file, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: many"))
        run.hear(r"webserver\.yaml:\d+: spec\.mpm\.threadsPerChild: .*The edit is not in effect")
        assert get(url) == b"ok\n"
        edit(file, WEBSERVER.replace("threadsPerChild: 2", "threadsPerChild: 1"))
        assert eventually(lambda: re.search(r"threads 1 ", run.lines[-1]) is not None)
        assert run.output.count("The edit is not in effect") == 1


def test_an_edit_that_would_roll_the_pods_asks_for_a_new_start(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file) as run:
        url = run.serving()
        edit(file, WEBSERVER.replace("threadLimit: 4", "threadLimit: 8"))
        run.hear(r"threadLimit changed: end this run and start it again")
        assert get(url) == b"ok\n"


def test_a_pod_that_dies_comes_back_though_a_daemon_of_its_app_holds_the_output(tmp_path: Path) -> None:
    app = (
        "import subprocess, pathlib\n"
        "daemon = subprocess.Popen(['sleep', '120'], start_new_session=True)\n"
        "with open('daemons', 'a') as file: print(daemon.pid, file=file)\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '3')])\n"
        "    return [b'ok\\n']\n"
    )
    with Running(write(tmp_path, app=app)) as run:
        url = run.serving()
        try:
            (old,) = run.supervisors()
            run.look()
            os.kill(old, signal.SIGKILL)
            assert eventually(lambda: run.supervisors() not in (set(), {old}))
            assert eventually(lambda: re.search(r"pods 1/1 ", run.lines[-1]) is not None)
            assert get(url) == b"ok\n"
        finally:
            for pid in map(int, (tmp_path / "daemons").read_text().split()):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


def test_the_address_is_chosen_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    with Running(file, "--host", "127.0.0.2") as run:
        assert re.fullmatch(r"http://127\.0\.0\.2:\d+", url := run.serving())
        assert get(url) == b"ok\n"
    with Running(file, "--host", "203.0.113.1") as run:
        assert run.end() == 2
        run.hear(r"203\.0\.113\.1 is no address of this machine.*--host 127\.0\.0\.1")
    with Running(file, "--host", "shop.example") as run:
        assert run.end() == 2
        run.hear(r"`shop\.example` is no IP address")
