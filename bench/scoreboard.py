"""What the scoreboard costs: CPU a request, pages at 4,000 slots and 1,000 pods, and a storm of scrapes.

    .venv/bin/python bench/scoreboard.py [cpu|page|storm|whole] [--rounds N]

CPU: the same worker with and without its scoreboard's writes, by turns, CPU time of its processes over
requests served; two with stand against each other to show the noise. Needs wrk.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
BODY = b"hello\\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "6")]

def app(environ, start_response):
    start_response("200 OK", HEADERS)
    return [BODY]
"""

WITHOUT = """
from time import monotonic
from mpm_worker.scoreboard import READY, WRITE, Slot

def _begin(self, letter, **options):
    self.mark = monotonic()
    self._letters[self._index] = letter

def _request(self, text, client=""):
    self._letters[self._index] = WRITE

def _done(self, sent):
    self.mark = monotonic()

def _release(self, letter=READY):
    self._letters[self._index] = letter

Slot.begin, Slot.request, Slot.done, Slot.release = _begin, _request, _done, _release
from plain import app
"""
"""Letters and two readings of the clock: the event model decides by them, so without them another server
would be measured. Imported with the application, so in the serving process only."""

SLEEPER = """
import time

def app(environ, start_response):
    time.sleep(0.02)
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""


@contextmanager
def worker(app: str, *options: str) -> Iterator[tuple[int, int, int]]:
    """A running worker: its PID, port and admin port."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("plain", APP), ("without", WITHOUT), ("sleeper", SLEEPER)):
            Path(folder, f"{name}.py").write_text(text)
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
        process = subprocess.Popen(
            [*command, "--chdir", folder, *options, app], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            ports = re.search(r"http://\S+:(\d+), admin on http://\S+:(\d+)", process.stderr.readline())
            assert ports is not None
            port, admin = int(ports[1]), int(ports[2])
            while json.loads(get(admin, "/scoreboard"))["workers"]["idle"] == 0:
                time.sleep(0.05)
            yield process.pid, port, admin
        finally:
            process.terminate()
            process.communicate()


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return bytes(answer.read())


def cpu_seconds(admin: int) -> float:
    """Of the servers alone, to the nanosecond (/proc/PID/task/TID/schedstat): stat counts clock ticks."""
    pids = [process["pid"] for process in json.loads(get(admin, "/scoreboard"))["processes"]]
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wrk(port: int, seconds: float, connections: int) -> tuple[int, float]:
    """Requests served, and the 99th percentile in ms."""
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    served, p99 = re.search(r"(\d+) requests in", text), re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert served, text
    assert p99, text
    return int(served[1]), float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]


def microseconds(port: int, admin: int) -> float:
    """CPU a request, over a second."""
    before = cpu_seconds(admin)
    served, _ = wrk(port, 1, 4)
    return (cpu_seconds(admin) - before) / served * 1e6


def calls(mpm: str) -> float:
    """Microseconds of the calls that one request makes, alone in a loop: the best of seven."""
    from mpm_worker.scoreboard import KEEPALIVE, READ, Live, Scoreboard

    made = Scoreboard(1, 64)
    made.live[Live.ROWS] = 1
    slot, number = made.slot(0, 0), 50_000
    times = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(number):
            if mpm == "event":
                slot.begin(READ, complete=True)
                slot.request(b"GET /")
                slot.done(6)
                slot.release()
            else:
                slot.state(READ)
                slot.request(b"GET /")
                slot.done(6)
                slot.state(KEEPALIVE)
        times.append((time.process_time() - began) / number * 1e6)
    return min(times)


def cpu(rounds: int) -> None:
    """Three workers by turns, a second each, so that what the machine does meanwhile meets all of them."""
    for mpm in ("event", "worker"):
        options = ("--mpm", mpm, "--threads", "4")
        with (
            worker("plain:app", *options) as one,
            worker("plain:app", *options) as two,
            worker("without:app", *options) as bare,
        ):
            turns: list[dict[str, float]] = []
            found = {"one": one, "two": two, "bare": bare}
            for number in range(10 * rounds):
                names = list(found) if number % 2 else list(found)[::-1]
                turns.append({name: microseconds(*found[name][1:]) for name in names})
        cost = [(turn["one"] + turn["two"]) / 2 - turn["bare"] for turn in turns]
        same = [turn["one"] - turn["two"] for turn in turns]
        low, high = statistics.quantiles(cost, n=4)[::2]
        print(
            f"{mpm}: {statistics.median(turn['one'] for turn in turns):.2f} us a request, of which the "
            f"scoreboard {statistics.median(cost):+.2f} us (half of the turns {low:+.2f} to {high:+.2f}; "
            f"with against with {statistics.median(same):+.2f}); its calls alone take {calls(mpm):.2f} us"
        )


def page(rounds: int) -> None:
    options = ("--mpm", "worker", "--processes", "4", "--threads", "1000", "--thread-limit", "1000")
    with worker("plain:app", *options) as (_, _, admin):
        while json.loads(get(admin, "/scoreboard"))["workers"]["idle"] < 4000:
            time.sleep(0.2)
        for path in ("/server-status?auto", "/server-status", "/metrics", "/scoreboard"):
            times = []
            for _ in range(10 * rounds):
                began = time.perf_counter()
                size = len(get(admin, path))
                times.append((time.perf_counter() - began) * 1e3)
                time.sleep(
                    times[-1] / 1e3 * 25
                )  # pages may take a twentieth of the time: not to wait for that
            times.sort()
            print(
                f"{path} at 4,000 slots: median {statistics.median(times):.1f} ms, "
                f"best {times[0]:.1f} ms, worst {times[-1]:.1f} ms, {size} bytes"
            )


def storm(rounds: int) -> None:
    """Requests alone, and beside 50 clients that scrape as fast as they are answered."""
    with worker("sleeper:app", "--mpm", "event", "--threads", "8") as (_, port, admin):
        alone, beside, scrapes = [], [], []
        for _ in range(rounds):
            alone.append(wrk(port, 5, 6)[1])
            with scraping(admin, 50, scrapes):
                beside.append(wrk(port, 5, 6)[1])
        before, after = statistics.median(alone), statistics.median(beside)
        print(
            f"p99 of requests: {before:.1f} ms alone, {after:.1f} ms beside 50 clients that scrape without a "
            f"pause ({statistics.median(scrapes):.0f} pages/s): {(after / before - 1) * 100:+.0f} %"
        )


@contextmanager
def scraping(admin: int, clients: int, rates: list[float]) -> Iterator[None]:
    """Scrape for six seconds, around what is done meanwhile."""
    url = f"http://127.0.0.1:{admin}/server-status?auto"
    process = subprocess.Popen(["wrk", "-t1", f"-c{clients}", "-d6s", url], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    yield
    text, _ = process.communicate()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    rates.append(float(rate[1]))


def whole(rounds: int) -> None:
    """The operator's side: a line taken in, and the merged page of 1,000 pods of 25 slots."""
    from mpm_operator.scoreboard import Frame, PodLine, Tally, board, parse
    from mpm_operator.scoreboard.render import auto, page

    with worker("plain:app", "--mpm", "event", "--threads", "25") as (_, _, admin):
        text = get(admin, "/scoreboard")
    tally, count = Tally(0.0), 20_000 * rounds
    began = time.process_time()
    for number in range(count):
        tally.take(str(number % 1000), parse(text, 1.0))
    spent = (time.process_time() - began) / count * 1e6
    print(f"a line of a pod: {spent:.1f} us of the operator's CPU, parsing included")
    pods = [PodLine(f"shop-{number}", parse(text, 1.0)) for number in range(1000)]
    frame = Frame("default/shop", "event", 1, 25, 50_000, 0.0, time.time(), 2.0, 100.0)
    for name, render in (("?auto", auto), ("HTML", lambda made: page(made, table=True))):
        times = []
        for _ in range(10 * rounds):
            began = time.perf_counter()
            size = len(render(board(frame, pods, tally.total)))
            times.append((time.perf_counter() - began) * 1e3)
        print(f"{name} of 1,000 pods: median {statistics.median(times):.1f} ms, {size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="?", choices=("cpu", "page", "storm", "whole"))
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    for name, measure in (("cpu", cpu), ("page", page), ("storm", storm), ("whole", whole)):
        if chosen.what in (None, name):
            measure(chosen.rounds)


if __name__ == "__main__":
    main()
