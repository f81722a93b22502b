"""The WebServer's own `/server-status`: who may read it, what it says, and whose counters they are."""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Operator, Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

READ = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": sys.argv[2]} if sys.argv[2] else {})
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, dict(answer.headers), answer.read().decode("latin-1")]))
"""


def read(
    stage: Stage, query: str, token: str = "", operator: Operator | None = None, name: str = "shop"
) -> Any:
    """Status, headers and text of the page, asked in the cluster's network."""
    port = (operator or stage.operators[0]).ports[1]
    url = f"http://127.0.0.1:{port}/apis/webservers/{stage.namespace}/{name}/server-status{query}"
    return json.loads(
        stage.cluster.run([sys.executable, "-c", READ, url, f"Bearer {token}" if token else ""])
    )


def token(stage: Stage, account: str, role: str = "") -> str:
    """A token of a new ServiceAccount, with a right in the namespace when one is named."""
    stage.kubectl("create", "serviceaccount", account)
    if role:
        stage.kubectl("create", "role", account, f"--verb={role}", "--resource=webservers.mpm-operator.io")
        member = f"--serviceaccount={stage.namespace}:{account}"
        stage.kubectl("create", "rolebinding", account, f"--role={account}", member)
    return stage.kubectl("create", "token", account).strip()


def fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def test_rights_on_the_webserver_are_rights_on_its_page(shop: Stage) -> None:
    reader, stranger = token(shop, "reader", "get"), token(shop, "stranger")
    assert read(shop, "?auto")[0] == 401
    assert read(shop, "?auto", "made-up")[0] == 401
    status, _, text = read(shop, "?auto", stranger)
    assert status == 403
    assert "view" in text
    assert read(shop, "?auto", reader, name="nobody")[0] == 404
    status, headers, text = read(shop, "?auto", reader)
    assert status == 200, text
    assert headers["Content-Type"] == "text/plain; charset=ISO-8859-1"
    found = fields(text)
    assert found["ServerMPM"] == "event"
    assert found["IdleWorkers"] == "5"
    assert found["Scoreboard"] == "_" * 5 + "." * 55


def test_the_same_numbers_in_three_forms(shop: Stage) -> None:
    reader = token(shop, "reader", "get")
    assert shop.load(4, 3)() == []

    def merged() -> dict[str, Any]:
        document: dict[str, Any] = json.loads(read(shop, "?json", reader)[2])
        return document

    # Pods tell their numbers once a second, and one may be on its way out with its own.
    def told() -> bool:
        pods, boards = merged()["pods"], shop.boards()
        known = sum(pod["accesses"] for pod in pods)
        return (
            len(pods) == len(boards) and known == sum(board["totals"]["accesses"] for board in boards) > 100
        )

    shop.until(told, 60, "the last numbers")
    document, found = merged(), fields(read(shop, "?auto", reader)[2])
    assert document["totals"]["accesses"] >= sum(pod["accesses"] for pod in document["pods"])
    assert found["Total Accesses"] == str(document["totals"]["accesses"])
    assert document["totals"]["bytes"] == 3 * document["totals"]["accesses"] > 300
    status, headers, page = read(shop, "?refresh=7", reader)
    assert (status, headers["Refresh"]) == (200, "7")
    for pod in document["pods"]:
        assert f"<td>{pod['name']}</td>" in page
        assert pod["name"] not in read(shop, "?notable", reader)[2]


def test_agents_read_with_a_token_from_a_file(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("agents-token\n")
    stage.start_operator(f"--status-token-file={file}")
    stage.server()
    stage.ready(1)
    stage.until(lambda: read(stage, "?auto", "agents-token")[0] == 200, 60, "the page")
    assert read(stage, "?auto", "agents-toke")[0] == 401
    file.write_text("another")
    assert read(stage, "?auto", "agents-token")[0] == 401
    assert read(stage, "?auto", "another")[0] == 200


def test_counters_stay_when_their_pod_goes(shop: Stage) -> None:
    reader = token(shop, "reader", "get")
    shop.patch({"spec": {"replicas": 2}})
    shop.ready(2)
    assert shop.load(6, 3)() == []
    before = json.loads(read(shop, "?json", reader)[2])
    shop.patch({"spec": {"replicas": 1}})
    shop.until(lambda: len(json.loads(read(shop, "?json", reader)[2])["pods"]) == 1, 90, "one pod to go")
    after = json.loads(read(shop, "?json", reader)[2])
    left = sum(pod["accesses"] for pod in after["pods"])
    assert after["totals"]["accesses"] >= before["totals"]["accesses"] > left
    assert after["restartTime"] == pytest.approx(before["restartTime"], abs=1)


def test_a_standby_passes_readers_on_and_begins_anew_when_it_leads(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_IP", "127.0.0.1")
    first = stage.start_operator()
    stage.server()
    stage.ready(1)
    second = stage.start_operator()
    reader = token(stage, "reader", "get")
    assert stage.load(3, 2)() == []
    stage.until(lambda: read(stage, "?json", reader, second)[0] == 200, 60, "an answer of the standby")
    told = [json.loads(read(stage, "?json", reader, one)[2]) for one in (first, second)]
    assert told[0]["restartTime"] == pytest.approx(told[1]["restartTime"], abs=0.5)
    assert told[1]["totals"]["accesses"] >= told[0]["totals"]["accesses"] > 0
    assert read(stage, "?json", "made-up", second)[0] == 401
    ended = time.time()
    first.end(signal.SIGTERM)

    def led() -> bool:
        # Before it leads, a standby that reaches no leader shows what it has counted since its own start.
        status, _, text = read(stage, "?json", reader, second)
        return status == 200 and json.loads(text)["restartTime"] > ended

    stage.until(led, 60, "the standby to lead")
    again = json.loads(read(stage, "?json", reader, second)[2])
    assert again["totals"]["accesses"] < told[0]["totals"]["accesses"]
    assert again["uptimeSeconds"] < told[0]["uptimeSeconds"] + 60
