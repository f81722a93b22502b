"""What a connection allows, and the refusal that names the rule which was broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LENGTH_MOST: Final = (1 << 63) - 1
"""Bytes of a body or a chunk that every reader can count; who says more wants to see one overflow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes: httpd's LimitRequestLine, LimitRequestFields (a count) and LimitRequestBody.

    `header_bytes` bounds all fields together.
    """

    request_line: int = 8190
    header_bytes: int = 65536
    header_count: int = 100
    body: int = 1 << 30


class ProtocolError(Exception):
    """A request that must not reach the application: `status` and a sentence that names the rule.

    `bodyless` is true when the refused request was a HEAD: its answer has no content (RFC 9110, 9.3.2).
    """

    def __init__(self, status: int, rule: str, bodyless: bool = False) -> None:
        super().__init__(status, rule)
        self.status = status
        self.rule = rule
        self.bodyless = bodyless

    def __str__(self) -> str:
        return f"{self.status}: {self.rule}"
