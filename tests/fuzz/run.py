"""`python tests/fuzz/run.py --seconds 600`: fuzz the HTTP core; ends with 1 at the first thing that is wrong.

Half of the time atheris looks for new ways through the code, where its wheel can be installed; the other half
mutates the corpora and the answers of applications. What was found is printed, with the seed to see it again.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--guided", metavar="CORPUS", help="only atheris, over the files in that folder")
    arguments = parser.parse_args()
    if arguments.guided:
        _guided(arguments.guided, int(arguments.seconds), arguments.seed)
        return
    print(f"fuzzing for {arguments.seconds:g} s, seed {arguments.seed}", flush=True)
    share = _run_guided(arguments.seconds / 2, arguments.seed)
    print(f"{_mutate(arguments.seconds - share, arguments.seed)} mutated streams and answers: no difference")


def _mutate(seconds: float, seed: int) -> int:
    """Streams and answers in turn, as many as fit into the time; how many that were."""
    from streams import mutated, streams
    from targets import answers, requests

    generator, corpus, count = random.Random(seed), streams(), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        requests(mutated(generator, corpus))
        answers(generator)
        count += 2
    return count


def _run_guided(seconds: float, seed: int) -> float:
    """In a process of its own, which libFuzzer ends; the seconds it took, 0 without atheris."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed: all of the time goes to mutation", file=sys.stderr)
        return 0.0
    from streams import streams

    with tempfile.TemporaryDirectory() as folder:
        for number, stream in enumerate(streams()):
            Path(folder, f"{number:04}").write_bytes(stream)
        command = [
            sys.executable,
            __file__,
            "--guided",
            folder,
            "--seed",
            str(seed),
            "--seconds",
            str(int(seconds)),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, timeout=seconds + 120, check=False
        )
        # Where it counts its runs, or all of it when it found something.
        told = done.stderr.splitlines()
        print("\n".join(told[-2:] if done.returncode == 0 else told[-60:]) + done.stdout[-4000:], flush=True)
        if done.returncode:
            sys.exit(1)
    return seconds


def _guided(corpus: str, seconds: int, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["mpm_worker.http"]):
        import targets

    options = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=600", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, corpus], targets.requests)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
