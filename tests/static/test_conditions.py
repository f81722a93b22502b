"""Preconditions in the order of RFC 9110, 13.2.2."""

from __future__ import annotations

import os
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from mpm_worker.static.conditions import validators

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/static/alphabet.txt"
MODIFIED = 1_700_000_000


@pytest.fixture(autouse=True)
def _dated(folder: Path) -> None:
    os.utime(folder / "site" / "alphabet.txt", (MODIFIED, MODIFIED))


DATE = formatdate(MODIFIED, usegmt=True)
EARLIER, LATER = formatdate(MODIFIED - 1, usegmt=True), formatdate(MODIFIED + 1, usegmt=True)
TAG = f'"{MODIFIED * 10**9:x}-68"'
OTHER = '"other"'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": TAG}, 304),
        ({"if_none_match": f"W/{TAG}"}, 304),
        ({"if_none_match": f"{OTHER}, {TAG}"}, 304),
        ({"if_none_match": f'"a,b" ,, {TAG},'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": OTHER}, 200),
        ({"if_none_match": ""}, 200),
        ({"if_none_match": TAG.strip('"')}, 200),
        ({"if_none_match": OTHER, "if_modified_since": DATE}, 200),
        ({"if_modified_since": DATE}, 304),
        ({"if_modified_since": LATER}, 304),
        ({"if_modified_since": EARLIER}, 200),
        ({"if_modified_since": "Tuesday, 14-Nov-23 22:13:20 GMT"}, 304),
        ({"if_modified_since": "Tue Nov 14 22:13:20 2023"}, 304),
        ({"if_modified_since": "Tue Nov 14 22:13:19 2023"}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_modified_since": "Tue, 99 Nov 2023 22:13:20 GMT"}, 200),
        ({"if_match": TAG}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": f"{OTHER}, {TAG}"}, 200),
        ({"if_match": OTHER}, 412),
        ({"if_match": f"W/{TAG}"}, 412),
        ({"if_match": OTHER, "if_none_match": TAG}, 412),
        ({"if_match": TAG, "if_none_match": TAG}, 304),
        ({"if_match": TAG, "if_unmodified_since": EARLIER}, 200),
        ({"if_unmodified_since": DATE}, 200),
        ({"if_unmodified_since": LATER}, 200),
        ({"if_unmodified_since": EARLIER}, 412),
        ({"if_unmodified_since": "never"}, 200),
    ],
)
def test_a_precondition_decides(ask: Any, method: str, fields: dict[str, str], status: int) -> None:
    answer = ask(PATH, method, **fields)
    assert answer.status == status
    if status == 304:
        assert (answer.body, answer["ETag"], answer["Last-Modified"]) == (b"", TAG, DATE)
        assert answer["Content-Length"] is None


def test_a_changed_file_has_another_tag(ask: Any, folder: Path) -> None:
    before = ask(PATH)["ETag"]
    os.utime(folder / "site" / "alphabet.txt", ns=(0, MODIFIED * 10**9 + 1))
    assert ask(PATH, if_none_match=before).status == 200


def test_a_date_to_come_is_given_as_now() -> None:
    """RFC 9110, 8.8.2.1."""
    now = time.time()
    assert validators(int((now + 1000) * 10**9), 1, "", now).modified == int(now)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (TAG, 206),
        (DATE, 206),
        (OTHER, 200),
        (f"W/{TAG}", 200),
        (EARLIER, 200),
        (LATER, 200),
        ("nonsense", 200),
    ],
)
def test_a_part_is_sent_only_of_the_state_that_the_client_has(ask: Any, condition: str, status: int) -> None:
    assert ask(PATH, range="bytes=0-3", if_range=condition).status == status


def test_a_date_of_this_second_says_nothing_about_a_state(ask: Any, folder: Path) -> None:
    now = int(time.time())
    os.utime(folder / "site" / "alphabet.txt", (now, now))
    assert ask(PATH, range="bytes=0-3", if_range=formatdate(now, usegmt=True)).status == 200


def test_a_precondition_comes_before_a_range(ask: Any) -> None:
    assert ask(PATH, range="bytes=900-", if_match=OTHER).status == 412
    assert ask(PATH, range="bytes=0-3", if_none_match=TAG).status == 304
