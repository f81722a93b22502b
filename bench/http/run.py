"""`python bench/http/run.py`: our worker beside other servers, on this machine's loopback.

Interleaved: in each round every server is started, measured and stopped, in an order that turns from round to
round, so that a slow minute of the machine hits them alike; ratios are of figures from the same round.
Ours runs twice a round: the ratio of the two is what noise alone can do. Its pure-Python twin has a row
too. It ends within --minutes: what of the later rounds finds no time is left out, and said. Needs wrk, and
nginx for its rows (Debian packages; installed when this runs as root); the Python servers come from PyPI into
the user's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import report
from measure import app_milliseconds
from scenarios import SCENARIOS, Bench, Scenario
from servers import FAST, PEERS, NotInstalled, Peer, ours

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpm-operator" / "bench-http"
PAGE = HERE.parent / "RESULTS.md"


def main() -> None:
    arguments = _arguments()
    python = environment_python()
    _tools()
    kept = CACHE / "results.json"
    data = json.loads(kept.read_text()) if kept.exists() and not arguments.fresh else {}
    results = report.Results(data)
    chosen = [s for s in SCENARIOS if not arguments.only or s.name in arguments.only.split(",")]
    if not arguments.render:
        for scenario in chosen:
            data.pop(scenario.name, None)
        with tempfile.TemporaryDirectory(prefix="bench-http-") as folder:
            bench = Bench(python, Path(folder), arguments.seconds)
            (bench.folder / "big").write_bytes(os.urandom(1 << 20))
            bench.folder.chmod(0o755)
            _measure(arguments, bench, chosen, results)
    for scenario in chosen:
        print(f"\n{scenario.title}\n{report.table(results, scenario.name)}")
    print(f"\n{report.goals(results)}")
    if arguments.write or arguments.render:
        report.write(PAGE, _section(results, arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of one run of wrk")
    parser.add_argument("--minutes", type=float, default=24, help="no measurement begins later than this")
    parser.add_argument("--only", help=f"some of {','.join(s.name for s in SCENARIOS)}")
    parser.add_argument("--peers", help="only these servers beside ours")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, few peers")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another worker_image, run beside")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument("--render", action="store_true", help="write it from the figures of the last run")
    parser.add_argument("--fresh", action="store_true", help="forget the figures of scenarios not run now")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 1
    return arguments


def environment_python() -> Path:
    """The Python of an environment with the peers; one that does not build is left out."""
    python = CACHE / "venv" / "bin" / "python"
    wanted = HERE / "requirements.txt"
    done = CACHE / "installed"
    if not done.exists() or done.read_text() != wanted.read_text():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / "venv")], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for line in wanted.read_text().splitlines():
            if line and not line.startswith("#") and subprocess.run([*pip, line], check=False).returncode:
                print(f"{line} cannot be installed here and is left out", file=sys.stderr)
        done.write_text(wanted.read_text())
    return python


def _tools() -> None:
    path = os.environ["PATH"] + ":/usr/sbin"
    missing = [each for each in ("wrk", "nginx") if not shutil.which(each, path=path)]
    if missing and os.getuid() == 0 and shutil.which("apt-get"):
        packages = ["nginx-light" if each == "nginx" else each for each in missing]
        subprocess.run(["apt-get", "install", "-y", "-q", *packages], stdout=subprocess.DEVNULL, check=False)
    if not shutil.which("wrk"):
        sys.exit("bench-http needs wrk: apt-get install wrk")


def _measure(
    arguments: argparse.Namespace, bench: Bench, chosen: list[Scenario], results: report.Results
) -> None:
    mine = [ours(), ours(report.AGAIN)]
    if arguments.against:
        mine.append(ours("mpm-worker before", arguments.against.resolve()))
    end = time.monotonic() + arguments.minutes * 60
    for round_ in range(arguments.rounds):
        for scenario in chosen:
            for turn in range(scenario.rounds):
                number = round_ * scenario.rounds + turn
                peers = mine + _peers(arguments, scenario, first=number == 0)
                if number == 0 or scenario.name == "hello":
                    peers.append(ours(report.PURE, compiled=False))
                shift = number % len(peers)
                if time.monotonic() >= end:
                    print(
                        f"{number + 1} {scenario.name:12} is left out: {arguments.minutes:g} minutes are over"
                    )
                    continue
                for peer in peers[shift:] + peers[:shift]:
                    near = peer in mine or peer.name in FAST or peer.name in scenario.rivals
                    _once(bench if near else replace(bench, seconds=1), scenario, peer, number, results)
                if scenario.name == "sleep":
                    took = app_milliseconds()
                    results.add("sleep", "app alone", report.OURS, "ms", number, took)
            (CACHE / "results.json").write_text(json.dumps(results.data))  # a run that is ended early counts


def _peers(arguments: argparse.Namespace, scenario: Scenario, *, first: bool) -> list[Peer]:
    """The strongest in every round; the others, far behind or of another kind, in the first one."""
    names = scenario.peers
    if arguments.peers is not None:
        names = tuple(name for name in names if name in arguments.peers.split(","))
    elif arguments.quick or not first:
        names = tuple(name for name in names if name in FAST or name in scenario.rivals)
    return [PEERS[name] for name in names]


def _once(bench: Bench, scenario: Scenario, peer: Peer, number: int, results: report.Results) -> None:
    try:
        rows = scenario.measure(bench, peer)
    except (NotInstalled, RuntimeError, OSError) as error:
        print(f"{scenario.name}: {peer.name} is left out: {error}", file=sys.stderr)
        return
    for case, figures in rows:
        for name, value in figures.items():
            results.add(scenario.name, case, peer.name, name, number, value)
        shown = "  ".join(f"{name} {value:.5g}" for name, value in figures.items())
        print(f"{number + 1} {scenario.name:12} {peer.name:18} {case:12} {shown}", flush=True)


def _section(results: report.Results, arguments: argparse.Namespace) -> str:
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = os.getloadavg()
    parts = [
        "## The worker as an HTTP server",
        f"`make bench-http`, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {os.cpu_count()} × {cpu}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, loopback, `wrk -t1` "
        f"on the same CPUs ({load[2]:.1f} processes wanted to run on average over "
        f"15 minutes: above 3, other work disturbed the latencies).",
        "Every server has 2 processes, the threaded ones 16 threads in each. Ours is the event MPM with its "
        "scoreboard on, as always, and the hot path compiled; *pure* is its pure-Python twin. *µs "
        "CPU/request* is CPU of the server's whole process tree. Figures are medians over the rounds, "
        "[least–most]; ratios are of the same round; the second row of ours, and A/A, say what noise alone "
        "does; servers that are far behind are measured once, for 1 s. `hello`: a 14-byte answer. wrk "
        "repeats one request, which our reader remembers for each connection; with *64 in turn* it can't.",
        "### Goals",
        report.goals(results),
    ]
    for scenario in SCENARIOS:
        if scenario.name in results.data:
            parts += [f"### {scenario.title}", report.table(results, scenario.name)]
    return "\n\n".join(parts)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
