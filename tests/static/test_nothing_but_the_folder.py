"""No target leaves the folder, however it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm_worker.static.tree import Tree

CORPUS = Path(__file__).with_name("traversal.txt").read_text().splitlines()
TARGETS = [line for line in CORPUS if line and not line.startswith("#")]


def test_no_attempt_of_the_corpus_gets_through(worker: Any) -> None:
    wrong = {}
    for target in TARGETS:
        stream = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target.encode("latin-1")
        answer = worker.exchange(stream)
        status = int(re.match(rb"HTTP/1.1 (\d+) ", answer)[1])  # type: ignore[index]
        # The application gets what lies beside the prefix, never what lies under it.
        beside = b"the application: /static-of-others/", b"the application: /static../"
        through = status in (400, 404) or any(path in answer for path in beside)
        if not through or b"nobody may read" in answer or b"root:" in answer or b"named" in answer:
            wrong[target] = answer[:300]
    assert wrong == {}
    assert len(TARGETS) > 100


PARTS = st.sampled_from(
    ["..", ".", "", "sub", "deep", "outside", "site", "secret.txt", ".env", "alphabet.txt", "\\", "neighbour"]
)


@given(st.lists(PARTS, max_size=8), st.binary(max_size=6))
def test_whatever_is_opened_lies_inside(folder: Path, parts: list[str], tail: bytes) -> None:
    inside = (folder / "site").resolve()
    opened = Tree(str(inside)).open("/".join(parts).encode() + tail.replace(b"\0", b""))
    if opened is not None:
        with opened.file as file:
            real = Path(f"/proc/self/fd/{file.fileno()}").readlink()
            assert real.is_relative_to(inside)
            assert b"nobody may read" not in file.read(100)


@pytest.mark.parametrize("name", ["inside.txt", "mounted.txt"])
def test_links_that_stay_inside_are_followed(ask: Any, name: str) -> None:
    """Kubernetes mounts a ConfigMap by a link to a hidden folder."""
    assert ask(f"/static/{name}").status == 200


def test_a_folder_that_is_itself_a_link_is_served(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "current").symlink_to(folder / "site")
    opened = Tree(str(tmp_path / "current")).open(b"alphabet.txt")
    assert opened is not None
    opened.file.close()


def test_a_file_without_permission_is_forbidden_and_not_missing(ask: Any, folder: Path) -> None:
    from mpm_worker.static import app

    def denied(self: Any, name: bytes) -> Any:
        raise PermissionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.Tree, "open", denied)  # root may read everything
        assert ask("/static/alphabet.txt").status == 403
