"""One subscription behind a circuit breaker: what it passes on, what ends it, and what it tells the breaker of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxstream.buffer import Buffer
from rxstream.place import Place

if TYPE_CHECKING:
    from rxstream.circuit.guard import Guard

__all__ = ["GuardOptions", "GuardedStream", "HealthyAfter"]

T = TypeVar("T")

HealthyAfter: TypeAlias = Literal["first_item", "completion"] | float

PATIENCE: Final = 1.0
"""Seconds that a subscriber waits for the breaker's storage to answer; then what it said last counts."""

EARLY: Final = 1e-4
"""Seconds by which clocks may be apart, or a timer early."""


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What `with_circuit` was told."""

    terminates: bool
    permits: int
    healthy_after: HealthyAfter
    first_item_timeout: float | None
    idle_timeout: float | None


class GuardedStream(Generic[T]):
    """Passes a source on to one observer. No lock is held meanwhile: signals from outside wait for their turn instead.

    The source sends one signal at a time. What ends the stream from outside (the circuit, a timer) first raises a flag,
    then looks whether an item is being passed on. If so, whoever passes it on sees the flag once it is through, and
    sends the end; if not, the end is sent from outside, and the source finds the stream over.

    Attributes:
        probe: Whether half-open let it through. Set by the guard.
        permits: The most of those at a time.
        terminates: Whether it is to end when the circuit opens.
    """

    __slots__ = (
        "__weakref__",
        "_alert",
        "_broken",
        "_counted",
        "_end",
        "_fresh",
        "_guard",
        "_healthy_timer",
        "_hold",
        "_inside",
        "_last",
        "_limits",
        "_next",
        "_on_subscribed",
        "_open",
        "_options",
        "_place",
        "_scheduler",
        "_source",
        "_timer",
        "_undecided",
        "_upstream",
        "permits",
        "probe",
        "terminates",
    )

    def __init__(
        self,
        source: Observable[T],
        observer: abc.ObserverBase[T],
        scheduler: abc.SchedulerBase | None,
        guard: Guard,
        options: GuardOptions,
    ) -> None:
        self.probe = False
        self.permits = options.permits
        self.terminates = options.terminates
        self._source: Observable[T] | None = source
        self._next: Callable[[T], object] = observer.on_next
        self._scheduler = scheduler
        self._guard = guard
        self._options = options
        self._place = Place(scheduler)
        self._upstream = SingleAssignmentDisposable()
        self._undecided: list[None] = [None]  # whoever takes it decides whether to subscribe
        self._open: list[abc.ObserverBase[T]] = [observer]  # whoever takes it ends the stream
        self._fresh = True  # no item has come yet
        self._counted = False  # as a success
        self._broken = False  # the observer raised
        self._inside = False  # an item is being passed on
        self._alert = True  # there is more to an item than passing it on
        self._end: Exception | None = None  # what has ended it from outside
        self._timer: abc.DisposableBase | None = None
        self._healthy_timer: abc.DisposableBase | None = None
        self._hold: _Hold | None = None
        self._on_subscribed: Callable[[], object] | None = None
        self._last = 0.0  # when the source last gave a sign, or was last made to wait
        limits = (options.first_item_timeout or options.idle_timeout, options.idle_timeout)
        self._limits: tuple[float | None, float | None] = limits

    # -- the beginning

    def start(self) -> abc.DisposableBase:
        """Asks the breaker, and subscribes. Returns at once."""
        place = self._place
        if not self._guard.ask_here(self, wait=place.virtual is not None):
            if self._guard.busy_for() > PATIENCE:  # others have waited for it
                self.decided(self._guard.recall(self))
                return Disposable(self.dispose)
            if place.demand is not None:
                self._on_subscribed = place.demand.defer()
            self._timer = place.later(PATIENCE, self._unanswered)
            self._guard.ask(self)
        return Disposable(self.dispose)

    def answered(self, refusal: Exception | None) -> None:
        """The breaker has been asked, on a thread that is not to be kept. It may be too late."""
        if self._decides():
            self._place.begin(lambda: self.decided(refusal))
        elif refusal is None:
            self.probe = False
            self._guard.release(self)
            if not self._open:  # it ended before it was let in: nobody else tells the guard
                self._guard.watch_no_more(self)
        elif self.terminates:
            self.interrupt(refusal)

    def _unanswered(self) -> None:
        if self._decides():
            self._guard.release(self)
            refusal = self._guard.recall(self)
            self._place.begin(lambda: self.decided(refusal))

    def _decides(self) -> bool:
        try:
            self._undecided.pop()
        except IndexError:
            return False
        return True

    def decided(self, refusal: Exception | None) -> None:
        """Subscribes, or not."""
        try:
            if self._timer is not None:
                self._timer.dispose()
                self._timer = None
            if refusal is None:
                self._subscribe()
            elif (observer := self._ends()) is not None:
                self._guard.reject()
                observer.on_error(refusal)
        finally:
            if self._on_subscribed is not None:
                self._on_subscribed()

    def _subscribe(self) -> None:
        if not self._open:
            self._guard.leave(self)  # it left before it was let in
            return
        source, self._source = self._source, None
        assert source is not None
        self._watch()
        try:
            self._upstream.disposable = source.subscribe(
                self.on_next, self.on_error, self.on_completed, scheduler=self._scheduler
            )
        except Exception as error:
            if not self._open:
                raise
            self.on_error(error)

    # -- the source's signals

    def on_next(self, item: T) -> None:
        """Passes an item on."""
        nested, self._inside = self._inside, True
        try:
            if self._alert and not self._wants():
                return
            self._next(item)
        except BaseException:
            self._broken = True
            self._guard.leave(self)  # nobody may ever tell of the end
            raise
        finally:
            self._inside = nested
            if self._alert and not nested:
                self._passed()

    def on_error(self, error: Exception) -> None:
        """A failure; unless it is the observer's own, or the news that somebody was cancelled."""
        if (observer := self._ends()) is not None:
            if self._broken or isinstance(error, asyncio.CancelledError):
                self._left()
            else:
                self._guard.tell(self, error)
            observer.on_error(error)

    def on_completed(self) -> None:
        """A success."""
        if (observer := self._ends()) is not None:
            self._succeeded()
            observer.on_completed()

    def _wants(self) -> bool:
        """An item has come that may be the first one, or one too many, or one that is waited for."""
        if not self._open or self._end is not None:
            return False
        if self._fresh:
            self._fresh = False
            self._came_first()
        if self._limits[1] is not None:
            self._last = self._place.now()
        return True

    def _came_first(self) -> None:
        if self.probe and self._options.healthy_after == "first_item":
            self._healthy()
        if self._limits[1] is None:
            if self._timer is not None:
                self._timer.dispose()
            self._alert = False
            if self._end is not None:  # in between
                self._alert = True

    def _passed(self) -> None:
        if self._end is not None:
            self._interrupted()
        elif self._limits[1] is not None:
            self._last = self._place.now()

    # -- the end

    def dispose(self) -> None:
        """The consumer leaves. Any thread, any number of times."""
        if self._ends() is not None:
            self._left()
        self._upstream.dispose()

    def interrupt(self, error: Exception) -> None:
        """Ends the stream from outside: soon, and not in here. Any thread, with any lock held."""
        if self._open and self._end is None:
            self._end = error
            self._alert = True
            self._place.send(self._stop)

    def _stop(self) -> None:
        self._upstream.dispose()
        if not self._inside:
            self._interrupted()

    def _interrupted(self) -> None:
        error = self._end
        if error is not None and (observer := self._ends()) is not None:
            if isinstance(error, TimeoutError):
                self._guard.tell(self, error)
            else:
                self._guard.leave(self)
            try:
                observer.on_error(error)
            finally:
                self._upstream.dispose()

    def _ends(self) -> abc.ObserverBase[T] | None:
        """The observer, for the one caller that ends the stream."""
        try:
            observer = self._open.pop()
        except IndexError:
            return None
        self._alert = True
        for timer in (self._timer, self._healthy_timer):
            if timer is not None:
                timer.dispose()
        if self._hold is not None:
            self._hold.release()
        return observer

    def _left(self) -> None:
        if self._fresh:
            self._guard.leave(self)
        else:
            self._succeeded()

    def _succeeded(self) -> None:
        if self._counted:
            self._guard.watch_no_more(self)
        else:
            self._guard.tell(self)

    def _healthy(self) -> None:
        """A trial has proved its source's health, and goes on."""
        if self._open and not self._counted:
            self._counted = True
            self._guard.tell(self, over=False)

    # -- time

    def _watch(self) -> None:
        options, place = self._options, self._place
        if self.probe and not isinstance(options.healthy_after, str):
            self._healthy_timer = place.later(options.healthy_after, self._healthy)
        if any(self._limits):
            self._last = place.now()
            if place.demand is not None and place.demand.waits:
                self._hold = _Hold(self, place.demand.buffer)
            self._arm(min(limit for limit in self._limits if limit is not None))

    def _arm(self, seconds: float) -> None:
        self._timer = self._place.later(seconds, self._look)
        if not self._open:  # it ended in between
            self._timer.dispose()

    def _look(self) -> None:
        """Looks at how long the source has been silent, while nobody made it wait."""
        limit = self._limits[0 if self._fresh else 1]
        if not self._open or limit is None:
            return
        now = self._place.now()
        if self._inside or (self._hold is not None and self._hold.waiting):
            self._last = now
        left = self._last + limit - now
        if left <= EARLY:
            what = "no first item" if self._fresh else "nothing more"
            self.interrupt(TimeoutError(f"{what} came from the source for {limit} s"))
        else:
            self._arm(min(left, *(other for other in self._limits if other is not None)))

    def stirred(self) -> None:
        """The source was made to wait up to now."""
        self._last = self._place.now()


class _Hold:
    """Knows whether a buffer makes sources wait: one that waits is not silent."""

    def __init__(self, stream: GuardedStream[Any], buffer: Buffer[Any]) -> None:
        self.waiting = False
        self._stream = stream
        self._buffer = buffer
        buffer.attach(self)

    def release(self) -> None:
        """Knows no more."""
        self._buffer.detach(self)

    def suspended(self) -> None:
        """A source waits."""
        self.waiting = True

    def resumed(self) -> None:
        """None waits."""
        self.waiting = False
        self._stream.stirred()

    def dropped(self, item: Any) -> None:
        """Of no interest."""

    def discarded(self, item: Any) -> None:
        """Of no interest."""

    def taken(self, count: int) -> None:
        """Of no interest."""
