"""One option of the worker: its names, how its value is read, what was expected when it cannot be."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PREFORK, WORKER, EVENT = "prefork", "worker", "event"


class OptionError(Exception):
    """An option that cannot be used. Its text names the place, the value and what was expected."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest number accepted, both included."""

    least: float = 0
    most: float = math.inf

    def __str__(self) -> str:
        return f"{self.least:g} or more" if self.most == math.inf else f"{self.least:g} to {self.most:.0f}"


def whole(raw: Any, bounds: Bounds) -> int:
    if isinstance(raw, (bool, float)):
        raise ValueError
    number = int(raw)
    if not bounds.least <= number <= bounds.most:
        raise ValueError
    return number


def seconds(raw: Any, bounds: Bounds) -> float:
    number = float(raw)
    if isinstance(raw, bool) or not bounds.least <= number <= bounds.most or math.isinf(number):
        raise ValueError
    return number


_WORDS = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def switch(raw: Any, _: Bounds) -> bool:
    if isinstance(raw, bool):
        return raw
    try:
        return _WORDS[str(raw).lower()]
    except KeyError:
        raise ValueError from None


def text(raw: Any, _: Bounds) -> str:
    if not isinstance(raw, str):
        raise ValueError
    return raw


def texts(raw: Any, _: Bounds) -> tuple[str, ...]:
    """Several values: a list of TOML, or one text with commas in between."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError
    return tuple(part.strip() for part in parts if part.strip())


def mode(raw: Any, _: Bounds) -> int:
    """Bits of permission, written in octal as for chmod(1); TOML has 0o660 for it."""
    number = raw if type(raw) is int else int(str(raw), 8)
    if not 0 <= number <= 0o777:
        raise ValueError
    return number


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words, in small or capital letters."""

    words: tuple[str, ...]

    def __call__(self, raw: Any, _: Bounds) -> str:
        if str(raw).lower() not in self.words:
            raise ValueError
        return str(raw).lower()

    def __str__(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    name: str
    read: Callable[[Any, Bounds], Any]
    default: Any
    meaning: str
    metavar: str = "N"
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def key(self) -> str:
        """The field of `Options`."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return f"MPM_{self.key.upper()}"

    @property
    def expected(self) -> str:
        """What a value must look like, in words."""
        if isinstance(self.read, Choice):
            return str(self.read)
        words: dict[object, str] = {
            whole: f"a whole number, {self.bounds}",
            seconds: f"seconds, {self.bounds}",
            switch: "on or off",
            mode: "permissions in octal like 0660",
            texts: f"{self.metavar}, or several with commas in between",
        }
        return words.get(self.read, f"text like {self.metavar}")

    def parse(self, raw: Any, where: str) -> Any:
        try:
            return self.read(raw, self.bounds)
        except (ValueError, OverflowError):
            raise OptionError(f"{where}: expected {self.expected}, not {raw!r}") from None
