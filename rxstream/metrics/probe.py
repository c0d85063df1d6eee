"""What a stream writes to while it runs: a few plain attributes, which are looked at from elsewhere.

No lock, no call of a backend, and no allocation for an item: a stream does not feel its probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rxstream.buffer import Buffer
from rxstream.buffer_config import Strategy
from rxstream.errors import BackpressureError
from rxstream.metrics.catalog import Direction, Outcome

if TYPE_CHECKING:
    from rxstream.metrics.recorder import Recorder

__all__ = ["StreamProbe", "Totals"]


class Totals(NamedTuple):
    """What a stream has come to up to now, and how full its buffer is and has been, from 0 to 1."""

    elements: int = 0
    bytes: int = 0
    overflows: int = 0
    suspended: float = 0.0
    utilization: float = 0.0
    high_water: float = 0.0


_NOTHING: Final = Totals()


class StreamProbe:
    """One stream, as its metrics see it; open from `open` to the first `close`.

    Attributes:
        elements: Items up to now; the stream counts here.
        bytes: Bytes up to now, likewise.
        first: Seconds to the first item, once there was one.
        seconds: How long it was open, once it is closed.
        outcome: How it ended, once it is closed.
        strategy: That of its buffer, once that is known.
        refused: The code with which an upload was refused.
        folded: What was reported of it already.
    """

    __slots__ = (
        "_began",
        "_buffer",
        "_clock",
        "_dropped",
        "_final",
        "_recorder",
        "_waits",
        "bytes",
        "elements",
        "first",
        "folded",
        "labels",
        "outcome",
        "refused",
        "seconds",
        "strategy",
    )

    def __init__(self, recorder: Recorder, labels: tuple[str, str, Direction], clock: Callable[[], float]) -> None:
        self.labels = labels
        self.elements = self.bytes = 0
        self.first: float | None = None
        self.seconds = 0.0
        self.outcome: Outcome = "cancelled"
        self.strategy: Strategy | None = None
        self.refused: str | None = None
        self.folded = _NOTHING
        self._recorder = recorder
        self._clock = clock
        self._began = clock()
        self._buffer: Buffer[Any] | None = None
        self._waits: _Waits | None = None
        self._dropped = 0
        self._final: Totals | None = None

    # -- the stream's side

    def open(self) -> StreamProbe:
        """The stream begins: it counts as active until `close`."""
        self._began = self._clock()
        self._recorder.opened(self)
        return self

    def watch(self, buffer: Buffer[Any]) -> None:
        """Looks at a buffer from here on: its length, its drops, and how long its producers wait."""
        self.strategy = buffer.config.strategy
        if self.strategy == "suspend":  # elsewhere nobody waits, and a look at the statistics is enough
            self._waits = _Waits(self._clock)
            buffer.attach(self._waits)
        self._buffer = buffer

    def begun(self) -> None:
        """Notes the time of the first item, if there was one: for a stream that sets the counts itself."""
        if self.elements and self.first is None:
            self.first = self._clock() - self._began

    def count(self, item: object) -> None:
        """One more item."""
        if not self.elements:
            self.first = self._clock() - self._began
        self.elements += 1
        if isinstance(item, (bytes, bytearray)):
            self.bytes += len(item)

    def completed(self) -> None:
        """The stream came to its end. What is told first is what happened."""
        if self.outcome == "cancelled" and self._final is None:
            self.outcome = "completed" if self.elements else "empty"

    def failed(self, error: BaseException) -> None:
        """The stream failed; or it was just left, where this is the mark of it, as `CancelledError`."""
        if not isinstance(error, Exception) or self._final is not None:
            return
        self.outcome = "error"
        if isinstance(error, BackpressureError):
            self._dropped += 1

    def close(self) -> None:
        """The stream is over, on whatever way. Any thread, any number of times."""
        if self._recorder.closes(self):
            self.seconds = self._clock() - self._began
            self._final = self.totals()
            self._buffer = self._waits = None  # nothing keeps them any more
            self._recorder.closed(self)

    # -- the other side

    def totals(self) -> Totals:
        """What the stream has come to up to now; from any thread."""
        if self._final is not None:
            return self._final
        buffer, waits = self._buffer, self._waits
        waited = waits.seconds() if waits is not None else 0.0
        if buffer is None:
            return Totals(self.elements, self.bytes, self._dropped, waited)
        now = buffer.statistics()
        return Totals(
            self.elements,
            self.bytes,
            self._dropped + now.dropped,
            waited,
            min(1.0, now.length / now.capacity),
            min(1.0, now.high_water / now.capacity),
        )


class _Waits:
    """A `BufferObserver` that adds up the time in which producers wait. It knows no stream, so it keeps none alive."""

    __slots__ = ("_clock", "_since", "_sum")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._sum = 0.0

    def seconds(self) -> float:
        """The sum up to now; from any thread."""
        total, since = self._sum, self._since  # in this order: what resumes in between is missing, and not there twice
        return total + (0.0 if since is None else self._clock() - since)

    def suspended(self) -> None:
        self._since = self._clock()

    def resumed(self) -> None:
        if self._since is not None:
            self._sum += self._clock() - self._since
            self._since = None

    def dropped(self, item: Any) -> None:
        pass

    def discarded(self, item: Any) -> None:
        pass

    def taken(self, count: int) -> None:
        pass
