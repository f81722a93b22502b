"""What there is to say of a spec, before and beside what the planner says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mpm_operator.core.conditions import accepted
from mpm_operator.core.plan import Condition, ConditionStatus, Note

if TYPE_CHECKING:
    from mpm_operator.core.directives import Correction

DEFECT_FIRST_SECONDS = 1.0
DEFECT_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the spec was accepted, in the words of the condition."""

    accepted: bool
    reason: str
    message: str
    untouchable: bool = False
    """Nothing at all may be changed: what is there is not ours."""

    @property
    def condition(self) -> Condition:
        status = ConditionStatus.TRUE if self.accepted else ConditionStatus.FALSE
        return Condition("Accepted", status, self.reason, self.message)

    @property
    def note(self) -> Note | None:
        if self.accepted and self.reason == "Valid":
            return None
        return Note("Normal" if self.accepted else "Warning", self.reason, self.message)

    def and_also(self, sentence: str) -> Verdict:
        """Return the verdict on a spec of which a part cannot take effect."""
        said = sentence if self.reason == "Valid" else f"{self.message} {sentence}"
        return replace(self, reason="Corrected", message=said)


@dataclass(frozen=True, slots=True)
class Defect:
    """Children that could not be made or applied by a defect of the operator, and when to try again."""

    verdict: Verdict
    pause: float
    until: float

    @classmethod
    def after(cls, last: Defect | None, now: float, verdict: Verdict) -> Defect:
        pause = min(DEFECT_MOST_SECONDS, 2 * last.pause) if last is not None else DEFECT_FIRST_SECONDS
        return cls(verdict, pause, now + pause)


def said_of(corrections: tuple[Correction, ...], conflicts: tuple[str, ...] = ()) -> Verdict:
    """Return the verdict on a spec that takes effect: as it is, or corrected as httpd corrects."""
    said = accepted(corrections)
    if not conflicts:
        return Verdict(True, said.reason, said.message)
    sentences = ([said.message] if corrections else []) + [f"{conflict}." for conflict in conflicts]
    return Verdict(True, "Corrected", " ".join(sentences))


def defect(error: Exception) -> Verdict:
    text = f"the operator failed, its log has the details: {type(error).__name__}: {error}"
    return Verdict(False, "InternalError", text)


def unknown(verdict: Verdict) -> list[Condition]:
    """Return the other conditions of a WebServer that was not looked at any further."""
    ready = Condition("Ready", ConditionStatus.FALSE, verdict.reason, verdict.message)
    others = ("Available", "Progressing", "ScalingActive", "ScalingLimited", "Saturated")
    text = "not looked at: see Accepted"
    return [ready, *(Condition(kind, ConditionStatus.UNKNOWN, verdict.reason, text) for kind in others)]
