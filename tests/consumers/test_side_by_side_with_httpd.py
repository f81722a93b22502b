"""A real httpd and a worker under the same load: `?auto` line by line, the differences listed in the docs."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from consuming import answers, fields, free_port, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("agents")

DOCS = Path(__file__).parents[2] / "docs" / "scoreboard.md"
MODULES = "/usr/lib/apache2/modules"
CONFIG = """
ServerRoot "{folder}"
ServerName 127.0.0.1
DefaultRuntimeDir "{folder}"
PidFile "{folder}/httpd.pid"
ErrorLog "{folder}/error.log"
Mutex file:{folder} default
Listen 127.0.0.1:{port}
User www-data
Group www-data
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule status_module {modules}/mod_status.so
ExtendedStatus On
DocumentRoot "{folder}"
<Location "/server-status">
  SetHandler server-status
</Location>
{directives}
"""
DIRECTIVES = {
    "prefork": "StartServers 4\nServerLimit 4\nMaxRequestWorkers 4\nMinSpareServers 4\nMaxSpareServers 5",
    "event": "StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\n"
    "MinSpareThreads 1\nMaxSpareThreads 4",
}
SHAPE = {"prefork": ("--processes", "4"), "event": ("--processes", "1", "--threads", "4")}

FORMS = {
    "whole": r"\d+",
    "two places": r"\d+\.\d\d",
    "decimal": r"(\d+|\d*\.\d+)",
    "date": r"\w+, \d\d-\w{3}-\d{4} \d\d:\d\d:\d\d \S+",
    "span": r"(\d+ (days?|hours?|minutes?|seconds?) ?)+",
    "version": r"\S+/\d+\.\d+\.\d+ \(.*",
    "letters": r"[_SRWKDCLGI.]+",
    "word": r"[a-z]+",
}
"""Tried in this order; the first that fits is the form of a value."""

ANY_FORM = {"Server Built"}
"""Debian's httpd prints an ISO date here, others the compiler's: see the docs."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that httpd's user may enter; those of pytest are closed to all others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(params=DIRECTIVES)
def urls(
    request: pytest.FixtureRequest, serve: Callable[..., Any], run: Callable[..., Any], folder: Path
) -> tuple[str, str]:
    """The pages of httpd and of the worker, each after thirty requests of the same size."""
    mpm, port = request.param, free_port()
    (folder / "index.html").write_text("x" * 3000)
    config = folder / "httpd.conf"
    config.write_text(
        CONFIG.format(folder=folder, port=port, mpm=mpm, modules=MODULES, directives=DIRECTIVES[mpm])
    )
    run("apache2", "-d", folder, "-f", config, "-DFOREGROUND")
    theirs = f"http://127.0.0.1:{port}"
    answers(f"{theirs}/server-status?auto")
    worker = serve(mpm, *SHAPE[mpm])
    worker.ask(25)
    for _ in range(30):
        assert len(read(f"{theirs}/index.html")) == 3000
    until_at_rest(f"{theirs}/server-status?auto", 3)  # the fourth answers
    until_at_rest(worker.auto_url, 4)
    return f"{theirs}/server-status", worker.auto_url.removesuffix("?auto")


@pytest.fixture
def both(urls: tuple[str, str]) -> tuple[str, str]:
    """`?auto` of both."""
    theirs, ours = (read(f"{url}?auto") for url in urls)
    return theirs, ours


def until_at_rest(url: str, idle: int) -> None:
    """And a second old: averages over no time are left out by both."""
    end = time.monotonic() + 60
    while not (int((page := fields(read(url)))["Uptime"]) and int(page["IdleWorkers"]) == idle):
        assert time.monotonic() < end, page
        time.sleep(0.1)


def form(value: str) -> str:
    return next((name for name, pattern in FORMS.items() if re.fullmatch(pattern, value)), value)


def test_the_same_fields_in_the_same_order(both: tuple[str, str]) -> None:
    theirs, ours = ([line.split(": ")[0] for line in text.splitlines()[1:]] for text in both)
    optional = {"CPULoad"}  # httpd leaves it out until it has used CPU time
    assert [name for name in ours if name not in optional] == [
        name for name in theirs if name not in optional
    ]


def test_numbers_have_the_same_form(both: tuple[str, str]) -> None:
    theirs, ours = (fields(text) for text in both)
    for name in theirs.keys() & ours.keys() - ANY_FORM:
        forms = {form(theirs[name]), form(ours[name])}
        assert forms <= {"whole", "decimal", "two places"} or len(forms) == 1, (
            name,
            theirs[name],
            ours[name],
        )
        # An average may happen to be whole; what httpd only prints whole must be so here.
        assert form(ours[name]) != "decimal" or name.startswith(
            ("CPU", "ReqPer", "BytesPer", "DurationPer")
        ), name


def test_the_first_line_is_the_name_alone(both: tuple[str, str]) -> None:
    for text in both:
        assert re.fullmatch(r"[\w.:-]+", text.splitlines()[0])


def test_what_is_counted_is_the_same(both: tuple[str, str]) -> None:
    theirs, ours = (fields(text) for text in both)
    # httpd counts the readers of its own page; ours come by another port.
    assert int(theirs["Total Accesses"]) > int(ours["Total Accesses"]) == 30
    assert int(ours["Total kBytes"]) == 30 * 3000 // 1024
    assert len(ours["Scoreboard"]) == len(theirs["Scoreboard"]) == 4
    assert int(ours["IdleWorkers"]) == int(theirs["IdleWorkers"]) + 1 == 4


def shapes(page: str) -> set[str]:
    """The lines above the scoreboard, without their numbers and units."""
    lines = (" ".join(line.split()) for line in re.findall(r"<dt>(.*?)</dt>", page, re.DOTALL))
    found = {re.sub(r"(?<![\w])[\d.]+( (GB|MB|kB|B)\b)?", "N", line) for line in lines}
    return {re.sub(r"(Version|Built|Time|uptime):.*", r"\1:", line) for line in found}


def test_who_knows_httpds_page_knows_ours(urls: tuple[str, str]) -> None:
    theirs, ours = (read(url) for url in urls)
    # httpd has used no CPU time yet that it could show; ours says what it is of one CPU.
    cpu = {line for line in shapes(theirs) | shapes(ours) if line.startswith("CPU Usage")}
    assert shapes(theirs) - cpu <= shapes(ours)
    assert all(re.match(r"CPU Usage: u\S+ s\S+ cu\S+ cs\S+( - .*% CPU load)?$", line) for line in cpu)
    assert key(theirs) == key(ours)
    assert heads(theirs)[0] == heads(ours)[0]
    # What is ours besides: the slot's bytes as one column, and no columns for what a pod has one of.
    assert set(heads(ours)[1]) - {"KiB"} < set(heads(theirs)[1])


def key(page: str) -> list[tuple[str, str]]:
    return re.findall(r'"<b><code>(.)</code></b>"\s+([\w() ]*\w\)?)', page)


def heads(page: str) -> tuple[list[str], list[str]]:
    """Of event's table of processes, where there is one, and of that of slots."""
    found = [head.strip() for head in re.findall(r"<th[^>]*>(.*?)</th>", page, re.DOTALL)]
    slots = found.index("Srv")
    end = found.index("Request") + 1
    return found[:slots], found[slots:end]


def test_the_docs_list_what_differs() -> None:
    text = DOCS.read_text()
    for name in (
        "Server Built",
        "Total Accesses",
        "BusyWorkers",
        "ConnsAsyncWriting",
        "SlotsPerLetter",
        "Load1",
    ):
        assert f"`{name}`" in text
