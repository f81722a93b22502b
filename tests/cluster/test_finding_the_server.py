"""The driver finds its cluster again after people worked with its kubeconfig."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from testcluster import lifecycle

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://127.0.0.1:6443"
KNOWN = {"clusters": [{"name": "dev", "cluster": {"server": SERVER}}]}


@pytest.mark.parametrize(
    "text",
    [json.dumps(KNOWN), f"clusters:\n- cluster:\n    server: {SERVER}\n  name: dev\n"],
    ids=["as it is made", "as kubectl writes it"],
)
def test_the_server_is_read_from_the_kubeconfig(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    site = lifecycle.Site("dev")
    site.run.mkdir(parents=True)
    site.kubeconfig.write_text(text)
    assert site.api.server == SERVER
