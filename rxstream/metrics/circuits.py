"""How metrics learn of circuits: a listener on each breaker, and a look at its state before each report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from pybreaker import CircuitBreaker, CircuitBreakerListener

from rxstream.metrics.catalog import REJECTIONS, STATE, TRANSITIONS

if TYPE_CHECKING:
    from rxstream.metrics.recorder import Recorder

__all__ = ["CircuitCounter"]

_VALUES: Final = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


class CircuitCounter(CircuitBreakerListener):
    """Counts what a breaker does. It keeps no recorder alive: breakers live as long as the process."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = ref(recorder)
        self._labels = (recorder.label("circuit", name),)

    def state_change(self, cb: CircuitBreaker, old_state: Any, new_state: Any) -> None:
        """The circuit opened, closed, or lets a few through."""
        if (recorder := self._recorder()) is not None:
            recorder.count(TRANSITIONS, 1, (*self._labels, new_state.name))

    def rejected(self, breaker: CircuitBreaker) -> None:
        """A stream was refused."""
        if (recorder := self._recorder()) is not None:
            recorder.count(REJECTIONS, 1, self._labels)

    def report(self, breaker: CircuitBreaker) -> None:
        """Shows the state; on the thread that reports, since a storage may be elsewhere."""
        if (recorder := self._recorder()) is not None:
            recorder.show(STATE, _VALUES[breaker.current_state], self._labels)
            recorder.count(REJECTIONS, 0, self._labels)
