"""A run as a live table: the letters of every pod, the slots, and the last decision with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mpm_operator.core.snapshot import PodPhase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from mpm_operator.core.snapshot import Pod

    from .view import View

_LETTER_STYLE = {
    "_": "green",
    "W": "bold yellow",
    "R": "yellow",
    "K": "cyan",
    "C": "magenta",
    "G": "magenta",
    "S": "blue",
    ".": "bright_black",
}
_BUSY = "RWKLDCGI"
_PHASE_STYLE = {PodPhase.READY: "green", PodPhase.FAILED: "bold red", PodPhase.STARTING: "blue"}


class LiveTable:
    """Display for a terminal."""

    wants_processes = True

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._live = Live(console=self.console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, view: View) -> None:
        self._live.update(render(view), refresh=True)

    def say(self, text: str) -> None:
        self.console.print(Text(text), style="bright_black")

    def close(self) -> None:
        self._live.stop()


def render(view: View) -> RenderableType:
    """The whole picture of one moment."""
    return Group(_head(view), _pods(view), _foot(view))


def _head(view: View) -> Text:
    totals = view.plan.totals
    head = Text.assemble(
        (view.name, "bold"),
        f" ({view.mpm}) on ",
        (view.url, "underline"),
        f"   pods {view.ready}/{view.plan.desired}   threads {view.threads}   busy {totals.busy}   "
        f"idle {totals.idle}   ",
        (f"queue {totals.queue}", "bold red" if totals.queue else ""),
    )
    if view.load is not None:
        head.append(f"\nload: {view.load.clients} clients, {view.load.requests} requests, ")
        head.append(f"{view.load.failures} failed", style="bold red" if view.load.failures else "")
    return head


def _pods(view: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bright_black")
    table.add_column("pod")
    table.add_column("state", min_width=9)
    for column in ("busy", "idle", "queue", "threads", "requests"):
        table.add_column(column, justify="right")
    table.add_column("slots", overflow="fold")
    for pod in view.pods:
        table.add_row(*_row(pod, view.processes.get(pod.name, ())))
    return table


def _row(pod: Pod, processes: Sequence[Mapping[str, Any]]) -> list[Text]:
    said = pod.report
    state = str(said.state) if said is not None and pod.phase is not PodPhase.FAILED else str(pod.phase)
    numbers = ["", "", "", "", ""]
    if said is not None:
        threads = said.servers * said.threads_per_child
        busy, idle = (
            (_count(processes, _BUSY), _count(processes, "_")) if processes else (said.busy, said.idle)
        )
        numbers = [str(n) for n in (busy, idle, said.queue, threads, said.accesses)]
    cells = [Text(pod.name), Text(state, style=_PHASE_STYLE.get(pod.phase, "magenta")), *map(Text, numbers)]
    return [*cells, _slots(processes) if processes else Text(pod.trouble, style="red")]


def _count(processes: Sequence[Mapping[str, Any]], letters: str) -> int:
    """The letters are fresher than the last line of the stream: numbers beside them must not contradict."""
    return sum(str(process["letters"]).count(letter) for process in processes for letter in letters)


def _slots(processes: Sequence[Mapping[str, Any]]) -> Text:
    """One letter a thread, mod_status's; processes are set apart by a blank."""
    text = Text()
    for process in processes:
        if text:
            text.append(" ")
        for letter in str(process["letters"]):
            text.append(letter, style=_LETTER_STYLE.get(letter, ""))
    return text


def _foot(view: View) -> Text:
    decision = view.plan.decision
    return Text.assemble((decision.reason, "bold"), ": ", decision.message)
