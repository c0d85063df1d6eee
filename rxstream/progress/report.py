"""One report of a stream's progress, and the line that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Outcome", "Progress", "Unit"]

Outcome: TypeAlias = Literal["running", "completed", "error", "cancelled"]
Unit: TypeAlias = Literal["elements", "bytes"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is, at one moment.

    Args:
        name: The stream's name.
        elements: Items that have passed.
        bytes: Their bytes, where they are `bytes`, `bytearray` or `memoryview`; others have none.
        total: What was expected, in `unit`s; None if that is not known. It may be wrong: see `percent`.
        elapsed: Seconds since the subscription.
        rate: `unit`s a second, over that time.
        eta: Seconds that are left, at that rate; None if that cannot be told.
        done: Whether this is the last report.
        outcome: How it ended: `"completed"`, `"error"` or `"cancelled"` (the consumer left); `"running"` before that.
        unit: What `total`, `rate` and `eta` count: `"elements"` or `"bytes"`.

    Example:
        >>> Progress("import", 250, 0, 1000, elapsed=2.0, rate=125.0, eta=6.0, done=False).percent
        25.0
    """

    name: str
    elements: int
    bytes: int
    total: int | None
    elapsed: float
    rate: float
    eta: float | None
    done: bool
    outcome: Outcome = "running"
    unit: Unit = "elements"

    @property
    def passed(self) -> int:
        """Elements or bytes, as `unit` says."""
        return self.bytes if self.unit == "bytes" else self.elements

    @property
    def percent(self) -> float | None:
        """From 0 to 100, and never more, whatever the total was; 100 for a stream that has completed.

        None while it cannot be told: the total is unknown or zero.
        """
        if self.outcome == "completed":
            return 100.0
        if not self.total:
            return None
        return min(100.0, 100.0 * self.passed / self.total)

    def __str__(self) -> str:
        """As in a log: `import: 12,000 of 50,000 elements (24 %) in 4.0 s, 3,000/s, 12.7 s left`."""
        count = f"{self.passed:,}"
        if self.total is not None and not (self.done and self.passed == self.total):
            count += f" of {self.total:,}"
        words = [f"{self.name}: {_ENDS[self.outcome]}{count} {self.unit}"]
        if self.percent is not None and not self.done:
            words.append(f" ({self.percent:.0f} %)")
        words.append(f" in {self.elapsed:.1f} s, {self.rate:,.0f}/s")
        if self.eta is not None and not self.done:
            words.append(f", {self.eta:.1f} s left")
        return "".join(words)


_ENDS = {"running": "", "completed": "done, ", "error": "failed after ", "cancelled": "cancelled after "}
