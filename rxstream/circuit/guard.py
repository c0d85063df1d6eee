"""What stands between streams and a circuit breaker: asks it before a stream, tells it after, and never in between.

pybreaker runs what it guards inside its own lock, and reads its storage as it goes. A stream is far too long for that.
Here the breaker is asked and told within moments, and where even that may take a while (a shared storage, or a call of
the user's that has the lock), on a thread of the guard's. Importing this imports pybreaker.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitBreakerListener,
    CircuitBreakerState,
    CircuitMemoryStorage,
)

from rxstream.circuit.clerk import Clerk
from rxstream.errors import RxStreamError
from rxstream.machine import monotonic

if TYPE_CHECKING:
    from rxstream.circuit.stream import GuardedStream

__all__ = ["CircuitOpenError", "Guard"]

logger = logging.getLogger("rxstream")

POLL: Final = 1.0
"""Seconds between two looks into a storage that other processes share, while streams run that its opening would end."""


class CircuitOpenError(RxStreamError, CircuitBreakerError):
    """A stream met an open circuit: at its start, or in the middle.

    Attributes:
        circuit: The breaker's name, None if it has none.
        retry_after: Seconds until the circuit lets somebody try again; at least 1.
    """

    def __init__(self, message: str, *, circuit: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message)
        self.circuit = circuit
        self.retry_after = retry_after


class Guard(CircuitBreakerListener):
    """Asks and tells one breaker, for all streams of this process that run on it. It is one of the breaker's listeners.

    The breaker is touched with its own lock held, for moments only; on the event loop only where that lock is free and
    the storage is memory. The guard's own lock guards its two sets, and is never held while anything is called.
    """

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._shared = type(breaker._state_storage) is not CircuitMemoryStorage
        self._lock = threading.Lock()
        self._running: WeakSet[GuardedStream[Any]] = WeakSet()  # those that the opening ends
        self._probes: WeakSet[GuardedStream[Any]] = WeakSet()  # those that this period of half-open has let through
        self._asking: dict[GuardedStream[Any], None] = {}  # subscribers that wait for their answer
        self._opened_at: datetime | None = None
        self._opened = 0.0  # the same by the monotonic clock
        self._clerk = Clerk(self._look, self._is_watching, POLL)

    @classmethod
    def of(cls, breaker: CircuitBreaker) -> Guard:
        """The breaker's guard, which is made for the first stream that runs on it."""
        with _CREATION:
            for listener in breaker.listeners:
                if isinstance(listener, cls):
                    return listener
            guard = cls(breaker)
            listeners: list[Any] = breaker._listeners
            listeners.append(guard)  # as `add_listener` does, but for the lock, which may be held for long
            return guard

    # -- before a stream

    def ask_here(self, stream: GuardedStream[Any], *, wait: bool = False) -> bool:
        """Has `stream.decided` called now, if that takes no waiting or `wait` allows it.

        Returns:
            Whether it was.
        """
        if not (wait or self._is_free()):
            return False
        if not self.breaker._lock.acquire(blocking=wait):
            return False
        try:
            refusal = self._admit(stream, self._look())
        except Exception:  # a storage, or a listener of the user's
            refusal = self._gone_wrong()
        finally:
            self.breaker._lock.release()
        stream.decided(refusal)
        return True

    def ask(self, stream: GuardedStream[Any]) -> None:
        """Has `stream.answered` called on another thread, as soon as the breaker has been asked."""
        with self._lock:
            self._asking[stream] = None
        self._clerk.submit(self._answer, once=True)  # by each, since the errand of the first may have been dropped

    def busy_for(self) -> float:
        """Seconds that the breaker's storage, or whoever has its lock, has not answered."""
        return self._clerk.busy_for()

    def recall(self, stream: GuardedStream[Any]) -> CircuitOpenError | None:
        """The answer to a stream as if nothing had changed since the breaker was last looked at; nothing is waited for.

        It may be wrong, and is put right as soon as the breaker is looked at again. A half-open circuit lets nobody in.
        """
        refusal = self._recalled()
        if refusal is None and stream.terminates:
            with self._lock:
                self._running.add(stream)
            refusal = self._recalled()  # it may have opened before the stream was there to be told
        if refusal is not None:
            self.leave(stream)
        return refusal

    def _recalled(self) -> CircuitOpenError | None:
        return None if self.breaker._state.name == STATE_CLOSED else self.refusal(1)

    def refusal(self, seconds: float, what: str = "is open") -> CircuitOpenError:
        """The error of a stream that is not let through."""
        name = self.breaker.name
        message = f"the circuit {name!r} {what}" if name else f"the circuit {what}"
        return CircuitOpenError(message, circuit=name, retry_after=max(1, ceil(seconds)))

    def reject(self) -> None:
        """Tells the breaker's listeners that a subscription was refused: those that have a `rejected`."""
        for listener in self.breaker.listeners:
            if (rejected := getattr(listener, "rejected", None)) is not None:
                try:
                    rejected(self.breaker)
                except Exception:  # a listener of the user's
                    logger.exception("a circuit's listener failed")

    def _answer(self) -> None:
        with self._lock:
            asking = list(self._asking)
            self._asking.clear()
        if not asking:  # they have left
            return
        answers: list[tuple[GuardedStream[Any], CircuitOpenError | None]] = []
        with self.breaker._lock:
            try:
                left = self._look()  # into the storage, once for all who ask at the same time
                answers += ((stream, self._admit(stream, left)) for stream in asking)
            except Exception:
                refusal = self._gone_wrong()
                answers += ((stream, refusal) for stream in asking[len(answers) :])
        for stream, refusal in answers:
            stream.answered(refusal)

    def _gone_wrong(self) -> CircuitOpenError | None:
        logger.exception("a circuit could not be asked")
        return self._recalled()

    def _admit(self, stream: GuardedStream[Any], left: float) -> CircuitOpenError | None:
        """With the breaker's lock held, and its state up to date: lets a stream in, or says why not."""
        breaker = self.breaker
        if breaker._state.name == STATE_OPEN:
            if left > 0:
                return self.refusal(left)
            breaker.half_open()
        trial = breaker._state.name == STATE_HALF_OPEN
        with self._lock:
            if trial:
                if len(self._probes) >= stream.permits:
                    return self.refusal(1, "is half-open, and as many streams as it lets through are trying it")
                self._probes.add(stream)
                stream.probe = True
            if stream.terminates:
                self._running.add(stream)
        return None

    def _left(self) -> float:
        """Seconds until an open circuit may be tried: pybreaker's own rule, on a clock that nobody sets."""
        opened_at = self.breaker._state_storage.opened_at
        if opened_at is None:
            return 0.0
        if opened_at != self._opened_at:  # opened by another process, or before this guard was there
            age = (datetime.now(UTC) - opened_at).total_seconds()
            self._note_opened(opened_at, max(0.0, age))
        left = self._opened + self.breaker.reset_timeout - monotonic()
        return min(max(0.0, left), self.breaker.reset_timeout)

    def _note_opened(self, opened_at: datetime | None, age: float) -> None:
        self._opened_at, self._opened = opened_at, monotonic() - age

    # -- after a stream, or once it has proved its health

    def leave(self, stream: GuardedStream[Any]) -> None:
        """A stream is over, and says nothing about the source; its permit is free again."""
        self.release(stream)
        self.watch_no_more(stream)

    def watch_no_more(self, stream: GuardedStream[Any]) -> None:
        """A stream is over; what it says has been said."""
        with self._lock:
            self._running.discard(stream)
        if self._shared and not self._running:
            self._clerk.wake()

    def release(self, stream: GuardedStream[Any]) -> None:
        """A stream does not ask any more, and is no trial."""
        with self._lock:
            self._asking.pop(stream, None)
            self._probes.discard(stream)

    def tell(self, stream: GuardedStream[Any], error: Exception | None = None, *, over: bool = True) -> None:
        """Counts a stream's failure or success, here if that takes no waiting, else on another thread.

        Args:
            stream: The stream.
            error: What it failed with; None for a success.
            over: Whether it has ended.
        """
        if over:
            self.watch_no_more(stream)
        if self._is_free() and self.breaker._lock.acquire(blocking=False):
            try:
                self._tell(stream, error)
            finally:
                self.breaker._lock.release()
        else:
            self._clerk.submit(partial(self._tell_later, stream, error))

    def _tell_later(self, stream: GuardedStream[Any], error: Exception | None) -> None:
        with self.breaker._lock:
            self._tell(stream, error)

    def _tell(self, stream: GuardedStream[Any], error: Exception | None) -> None:
        """With the breaker's lock held. What streams of an earlier period say does not sway the trials of this one."""
        traceback = None if error is None else error.__traceback__
        try:
            state = self.breaker.state.name
            with self._lock:
                trial = stream in self._probes
                self._probes.discard(stream)
            if state == STATE_CLOSED or (state == STATE_HALF_OPEN and trial):
                self.breaker.call(_outcome, error)
        except CircuitBreakerError:
            pass  # that was the one failure too many
        except Exception as raised:
            if raised is not error:  # a storage, or a listener of the user's
                logger.exception("what became of a stream could not be counted")
        finally:
            if error is not None:
                error.__traceback__ = traceback

    # -- the breaker

    def state_change(
        self, cb: CircuitBreaker, old_state: CircuitBreakerState | None, new_state: CircuitBreakerState
    ) -> None:
        """A new period begins. Called by the breaker, with its lock held, on any thread."""
        with self._lock:
            self._probes.clear()
            running = list(self._running) if new_state.name == STATE_OPEN else []
        if new_state.name == STATE_OPEN:
            if not self._shared:
                self._note_opened(cb._state_storage.opened_at, 0.0)
            for stream in running:
                stream.interrupt(self.refusal(cb.reset_timeout, "has opened"))

    def _look(self) -> float:
        """Brings the breaker up to date with its storage; seconds until it may be tried, if it is open."""
        with self.breaker._lock:
            return self._left() if self.breaker.state.name == STATE_OPEN else 0.0

    def _is_free(self) -> bool:
        return not (self._shared or self._clerk.busy)

    def _is_watching(self) -> bool:
        return self._shared and len(self._running) > 0


_CREATION: Final = threading.Lock()


def _outcome(error: Exception | None) -> None:
    if error is not None:
        raise error
