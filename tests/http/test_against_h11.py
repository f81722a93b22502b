"""What h11, an independent reader, makes of the same bytes: each difference has its reason here."""

from __future__ import annotations

from typing import Any

import pytest
from against_h11 import STRICTER, disagreement, read_by_h11
from hypothesis import given, settings
from hypothesis import strategies as st


def test_every_difference_to_h11_over_the_corpora_has_a_reason(all_streams: list[bytes], events: Any) -> None:
    found = {stream: disagreement(stream, events([stream])) for stream in all_streams}
    assert {stream: what for stream, what in found.items() if what is not None} == {}


@settings(max_examples=800, deadline=None)
@given(data=st.data())
def test_every_difference_to_h11_over_mutations_has_a_reason(
    data: st.DataObject, all_streams: list[bytes], events: Any
) -> None:
    stream = bytearray(data.draw(st.sampled_from(all_streams)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(stream)))
        removed = data.draw(st.integers(0, 2))
        stream[place : place + removed] = data.draw(st.binary(max_size=2))
    assert disagreement(bytes(stream), events([bytes(stream)])) is None


@pytest.mark.parametrize("words", STRICTER)
def test_every_listed_difference_exists(words: str, all_streams: list[bytes], events: Any) -> None:
    refused = [
        stream for stream in all_streams if any(words in str(event) for event in events([stream])[-1:])
    ]
    assert any(read_by_h11(stream)[-1:] != [("error",)] for stream in refused)
