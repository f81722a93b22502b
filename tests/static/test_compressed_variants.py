"""A file that was compressed beforehand is sent to who can read it (RFC 9110, 12.5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from mpm_worker.static.codings import choose


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip ; Q=0.9 , br ; q=0.95", "br"),
        ("gzip;q=0", ""),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0.5, identity", ""),
        ("identity, gzip", "gzip"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("*", "br"),
        ("*;q=0", ""),
        ("*;q=0.5, br;q=0", "gzip"),
        ("gzip;q=nonsense", ""),
        ("gzip;q=2", "gzip"),
        ("gzipped", ""),
        (",,;;q=1,", ""),
        ("deflate", ""),
    ],
)
def test_the_client_chooses_by_weight(field: str, expected: str) -> None:
    assert choose(field, {"br", "gzip"}) == expected


@pytest.mark.parametrize(
    ("path", "field", "coding", "vary"),
    [
        ("/static/app.js", "gzip, br", "br", True),
        ("/static/app.js", "gzip", "gzip", True),
        ("/static/app.js", "", None, True),
        ("/static/only.js", "br", None, True),
        ("/static/only.js", "br, gzip;q=0.1", "gzip", True),
        ("/static/alphabet.txt", "gzip, br", None, False),
        ("/static/stale.js", "gzip", None, False),
    ],
)
def test_the_best_variant_there_is(ask: Any, path: str, field: str, coding: str | None, vary: bool) -> None:
    answer = ask(path, accept_encoding=field)
    assert answer["Content-Encoding"] == coding
    assert answer["Vary"] == ("Accept-Encoding" if vary else None)
    if path != "/static/alphabet.txt":
        assert answer["Content-Type"] == "text/javascript; charset=utf-8"


def test_each_variant_has_its_own_tag(ask: Any) -> None:
    tags = {ask("/static/app.js", accept_encoding=coding)["ETag"] for coding in ("", "br", "gzip")}
    assert len(tags) == 3
    packed = ask("/static/app.js", accept_encoding="gzip")
    again = ask("/static/app.js", accept_encoding="gzip", if_none_match=packed["ETag"])
    assert (again.status, again["Vary"]) == (304, "Accept-Encoding")


def test_a_part_is_one_of_the_variant(ask: Any) -> None:
    whole = ask("/static/app.js", accept_encoding="gzip")
    part = ask("/static/app.js", accept_encoding="gzip", range="bytes=3-9", if_range=whole["ETag"])
    assert (part.status, part.body, part["Content-Encoding"]) == (206, whole.body[3:10], "gzip")


def test_without_the_plain_file_there_is_nothing(ask: Any, folder: Any) -> None:
    (folder / "site" / "lonely.js.gz").write_bytes(b"x")
    assert ask("/static/lonely.js", accept_encoding="gzip").status == 404
