"""What the scoreboard costs: CPU a request, pages at 4,000 slots and 1,000 pods, and a storm of scrapes.

    .venv/bin/python bench/scoreboard.py [cpu|page|storm|whole] [--rounds N] [--write]

CPU: the same worker with and without its scoreboard's writes, by turns, CPU time of its processes over
requests served; two with stand against each other to show the noise. That is the pure-Python twin, whose
methods can be patched out and which costs more; the calls of the compiled one are timed alone. Needs wrk.
`--write` puts the figures into RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sections

from mpm_worker import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator


class Row(NamedTuple):
    """One line of the table."""

    what: str
    seen: str
    goal: str = ""


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
    self._letters[self.index] = letter

def _request(self, text, client=""):
    self._letters[self.index] = WRITE

def _done(self, sent):
    self.mark = monotonic()

def _release(self, letter=READY):
    self._letters[self.index] = letter

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
def worker(app: str, *options: str, pure: bool = False) -> Iterator[tuple[int, int, int]]:
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
            [*command, "--chdir", folder, *options, app],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"MPM_COMPILED": "0"} if pure else {}),
        )
        assert process.stderr is not None
        try:
            ports = None
            for line in process.stderr:
                if ports := re.search(r"http://\S+:(\d+), admin on http://\S+:(\d+)", line):
                    break
            assert ports is not None, "the worker ended before it listened"
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


def cpu(rounds: int) -> Iterator[Row]:
    """Three workers by turns, a second each, so that what the machine does meanwhile meets all of them."""
    for mpm in ("event", "worker"):
        options = ("--mpm", mpm, "--threads", "4")
        with (
            worker("plain:app", *options, pure=True) as one,
            worker("plain:app", *options, pure=True) as two,
            worker("without:app", *options, pure=True) as bare,
        ):
            turns: list[dict[str, float]] = []
            found = {"one": one, "two": two, "bare": bare}
            for number in range(10 * rounds):
                names = list(found) if number % 2 else list(found)[::-1]
                turns.append({name: microseconds(*found[name][1:]) for name in names})
        cost = [(turn["one"] + turn["two"]) / 2 - turn["bare"] for turn in turns]
        same = [turn["one"] - turn["two"] for turn in turns]
        low, high = statistics.quantiles(cost, n=4)[::2]
        yield Row(
            f"scoreboard writes of a request, {mpm}, pure twin",
            f"{statistics.median(cost):+.2f} µs of {statistics.median(turn['one'] for turn in turns):.2f} "
            f"(half of the turns {low:+.2f} to {high:+.2f}; with against with "
            f"{statistics.median(same):+.2f})",
            "≤ 1 µs",
        )
        yield Row(f"the calls of a request alone, {mpm}", f"{calls(mpm):.2f} µs, {compiled.kind()}", "≤ 1 µs")


def page(rounds: int) -> Iterator[Row]:
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
            yield Row(
                f"`{path}` at 4,000 slots",
                f"median {statistics.median(times):.1f} ms, least {times[0]:.1f}, most {times[-1]:.1f}; "
                f"{size:,} bytes",
                "≤ 10 ms" if path.endswith("auto") else "",
            )


def storm(rounds: int) -> Iterator[Row]:
    """Requests alone, and beside 50 clients that scrape as fast as they are answered."""
    with worker("sleeper:app", "--mpm", "event", "--threads", "8") as (_, port, admin):
        alone, beside, scrapes = [], [], []
        for _ in range(rounds):
            alone.append(wrk(port, 5, 6)[1])
            with scraping(admin, 50, scrapes):
                beside.append(wrk(port, 5, 6)[1])
        before, after = statistics.median(alone), statistics.median(beside)
        yield Row(
            "p99 of requests beside 50 clients that scrape without a pause",
            f"{after:.1f} ms, {before:.1f} ms without them: {(after / before - 1) * 100:+.0f} % "
            f"({statistics.median(scrapes):,.0f} pages/s)",
            "≤ +10 %",
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


def whole(rounds: int) -> Iterator[Row]:
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
    yield Row("a line of a pod, taken in by the operator", f"{spent:.1f} µs of CPU, parsing included")
    pods = [PodLine(f"shop-{number}", parse(text, 1.0)) for number in range(1000)]
    frame = Frame("default/shop", "event", 1, 25, 50_000, 0.0, time.time(), 2.0, 100.0)
    for name, render in (("?auto", auto), ("HTML", lambda made: page(made, table=True))):
        times = []
        for _ in range(10 * rounds):
            began = time.perf_counter()
            size = len(render(board(frame, pods, tally.total)))
            times.append((time.perf_counter() - began) * 1e3)
        yield Row(f"merged {name} of 1,000 pods", f"median {statistics.median(times):.1f} ms; {size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="?", choices=("cpu", "page", "storm", "whole"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put all figures into RESULTS.md")
    chosen = parser.parse_args()
    if chosen.write and chosen.what:
        parser.error("--write takes all four measurements: leave the name out")
    rows = []
    for name, measure in (("cpu", cpu), ("page", page), ("storm", storm), ("whole", whole)):
        if chosen.what in (None, name):
            for row in measure(chosen.rounds):
                rows.append(row)
                print(f"{row.what}: {row.seen}" + (f" (goal {row.goal})" if row.goal else ""), flush=True)
    if chosen.write:
        sections.write("bench-scoreboard", text(rows))


def text(rows: list[Row]) -> str:
    lines = [f"| {row.what} | {row.seen} | {row.goal} |" for row in rows]
    return "\n".join(
        [
            "## What the scoreboard costs",
            "",
            f"`make bench-scoreboard`, {sections.machine()}.",
            "",
            "| what | seen | goal |",
            "| --- | --- | --- |",
            *lines,
        ]
    )


if __name__ == "__main__":
    main()
