"""The pages of the merged scoreboard."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mpm_operator.scoreboard import Counters, PodLine, board
from mpm_operator.scoreboard.render import auto, document, page
from mpm_worker.letters import CODED_MOST, LETTERS_MOST, code, decode, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.scoreboard import Frame, Line

LINE_MOST = 64 * 1024


def fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def test_pods_are_shown_as_servers_of_one_apache(frame: Frame, line: Callable[..., Line]) -> None:
    pods = [
        PodLine("shop-a", line(busy=3, idle=2, letters="WKR_2")),
        PodLine("shop-b", line(busy=1, idle=0, letters="GI4", state="Quiescing", servers=2)),
        PodLine("shop-c", None),
    ]
    counters = Counters(accesses=1000, sent=5_000_000, busy_ms=60_000, user_ms=2000, system_ms=500)
    text = auto(board(frame, pods, counters))
    found = fields(text)
    assert text.startswith("default/shop\nServerVersion: mpm-operator/")
    assert found["Scoreboard"] == "WKR__" + "GIIII" + "SSSSS" + "....."
    assert (found["BusyWorkers"], found["GracefulWorkers"]) == ("3", "1")
    assert found["Total Accesses"] == "1000"
    assert found["Total kBytes"] == str(5_000_000 >> 10)
    assert (found["CPUUser"], found["CPUSystem"]) == ("2", ".5")
    assert found["CPULoad"] == "5"
    assert found["ReqPerSec"] == "20"
    assert found["IdleWorkers"] == "2"
    assert (found["Processes"], found["Stopping"]) == ("3", "2")
    assert found["ConnsTotal"] == "4"
    assert found["ParentServerConfigGeneration"] == "3"
    assert len(found["Scoreboard"]) == frame.max_request_workers


def test_letters_are_made_from_counts_when_a_worker_sends_none(
    frame: Frame, line: Callable[..., Line]
) -> None:
    found = fields(auto(board(frame, [PodLine("a", line(busy=2, idle=3))], Counters())))
    assert found["Scoreboard"] == "WW___" + "." * 15
    assert found["BusyWorkers"] == "2"


def test_a_thousand_pods_stay_under_every_readers_limit(frame: Frame, line: Callable[..., Line]) -> None:
    one = line(busy=2, idle=98, letters="K_W_97", servers=4)
    pods = [PodLine(f"shop-{number:04}", one) for number in range(1000)]
    wide = replace(frame, max_request_workers=200_000, slots_per_pod=100)
    merged = board(wide, pods, Counters(accesses=1))
    text = auto(merged)
    found = fields(text)
    assert max(map(len, text.encode().splitlines())) < LINE_MOST
    each = int(found["SlotsPerLetter"])
    assert each == 4
    counts = {letter: found["Scoreboard"].count(letter) * each for letter in "KW_."}
    letters = merged.view.letters
    assert all(abs(counts[letter] - letters.count(letter)) <= each for letter in counts)
    assert found["BusyWorkers"] == str(letters.count("K") + letters.count("W"))
    assert document(merged)["slotsPerLetter"] == each
    assert len(document(merged)["pods"]) == 1000


def test_the_page_has_a_row_a_pod_and_marks_a_silent_one(frame: Frame, line: Callable[..., Line]) -> None:
    pods = [PodLine("shop-<b>", line(at=101.0, letters="_5")), PodLine("shop-late", line(at=90.0))]
    merged = board(frame, pods, Counters())
    text = page(merged, table=True)
    assert "<td>shop-&lt;b&gt;</td>" in text
    assert "<b>shop" not in text
    assert "<td>11.0!</td>" in text
    assert "<td>0.0</td>" in text
    assert "shop-late" not in page(merged, table=False)
    assert "Server load" not in text  # there is none of many nodes


def test_a_webserver_without_pods_has_a_page(frame: Frame) -> None:
    found = fields(auto(board(frame, [], Counters())))
    assert (found["BusyWorkers"], found["IdleWorkers"]) == ("0", "0")
    assert found["Scoreboard"] == "." * 20


def test_codes_are_short_and_say_how_many() -> None:
    for letters in ("", "_", "__W.", "_" * 4000, "W_" * 2000, "SRWKDCLGI._" * 50):
        text = code(letters)
        assert len(text) <= max(CODED_MOST, 55)
        assert sorted(decode(text)) == sorted(letters)
    assert decode(code("_W__K...")) == "_W__K..."


def test_folding_loses_no_state() -> None:
    letters = "_" * 300_000 + "W" + "K" * 7
    text, each = fold(letters)
    assert len(text) <= LETTERS_MOST + 11
    assert each == 6
    assert set(text) == set("_WK")
    assert re.fullmatch(r"_+W+K+", text)
