"""One client can end its own connection, and nothing else."""

from __future__ import annotations


def test_a_flood_of_empty_lines_is_refused_and_the_process_lives(start, mpm: str) -> None:
    processes = "2" if mpm == "prefork" else "1"
    worker = start("--mpm", mpm, "--processes", processes, "--threads", "2")
    before = [process["pid"] for process in worker.scoreboard()["processes"]]
    with worker.connect() as sock:
        try:
            for _ in range(600):
                sock.sendall(b"\r\n" * 32768)
        except OSError:
            pass  # refused and closed meanwhile
    assert worker.get()[0] == 200
    assert [process["pid"] for process in worker.scoreboard()["processes"]] == before
