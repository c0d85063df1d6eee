"""Bounded buffers: what a boundary keeps, drops, and makes wait.

State only: no Rx, no I/O, no clock, no event loop. A producer that must wait leaves a callback and is called when it
is its turn; how it waits (a future, a lock) is its own affair.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar, Generic, TypeVar

from rxstream.buffer_config import BufferConfig
from rxstream.buffer_watch import BufferObserver, BufferStatistics
from rxstream.drop_hook import DropHook

__all__ = ["Buffer"]

T = TypeVar("T")


@dataclass(slots=True)
class _Count:
    """Who is to be told when so many more items are consumed."""

    left: int
    wake: Callable[[], object]


class Buffer(Generic[T]):
    """A bounded queue with a strategy: many producers on any thread, one consumer.

    Under `suspend`, items that the consumer took as a batch still fill their places until it `settle`s them or comes
    for more, so that a producer is never further ahead than the capacity says, whatever the size of the batches.

    Args:
        config: Capacity and strategy.
        on_dropped: The `DropHook`'s, for each item that is dropped or discarded.
        on_hook_error: Is called with what it raises.

    Attributes:
        room: Has one byte for each free place. Truth and `pop` are atomic, so that any number of producers
            can take places without a lock, and never more than there are. The hot paths depend on it.
        items: What it holds, oldest first. Only who has taken a place may append, and then looks whether `sweep` is
            needed.
    """

    _store: ClassVar[type[deque[Any]]] = deque

    __slots__ = (
        "_counts",
        "_delivered",
        "_discarded",
        "_disposed",
        "_dropped",
        "_ended",
        "_high_water",
        "_hook",
        "_in_hand",
        "_lock",
        "_observers",
        "_parked",
        "_stalled",
        "_suspend",
        "_waiting",
        "_watching",
        "config",
        "items",
        "room",
    )

    def __init__(
        self,
        config: BufferConfig,
        on_dropped: Callable[[T], object] | None = None,
        on_hook_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self.config = config
        self.room = bytearray(config.capacity)
        self._suspend = config.strategy == "suspend"
        self.items: deque[T] = self._store()  # never longer than the places that were taken for it
        self._in_hand = 0
        self._parked = 0
        self._waiting: deque[Callable[[], object]] | None = None  # each producer once; most buffers never need it
        self._watching: list[Callable[[], object]] | None = None  # one for each timer that is held back
        self._counts: list[_Count] | None = None  # one for each source that stands still
        self._lock = threading.Lock()
        self._hook = DropHook(on_dropped, on_hook_error) if on_dropped is not None else None
        self._observers: tuple[BufferObserver, ...] = ()
        self._stalled = False  # as the observers know it
        self._ended = self._disposed = False
        self._high_water = self._delivered = self._dropped = self._discarded = 0

    def __len__(self) -> int:
        return len(self.items)

    @property
    def filled(self) -> int:
        """Places that an item fills: those in the buffer, and under `suspend` those that the consumer has in hand."""
        return len(self.items) + (self._in_hand if self._suspend else 0)

    @property
    def observers(self) -> tuple[BufferObserver, ...]:
        """Who is told of what happens."""
        return self._observers

    @property
    def ended(self) -> bool:
        """Whether nothing gets in any more."""
        return self._ended

    @property
    def disposed(self) -> bool:
        """Whether the consumer left."""
        return self._disposed

    @property
    def parked(self) -> int:
        """Items that it keeps beyond its capacity."""
        return self._parked

    def attach(self, observer: BufferObserver) -> None:
        """Has an observer told of all that happens from here on, for the buffer's life or until `detach`."""
        with self._lock:
            self._observers += (observer,)
            if self._stalled:
                observer.suspended()
            else:
                self._note_waiting()

    def detach(self, observer: BufferObserver) -> None:
        """Tells an observer no more."""
        with self._lock:
            self._observers = tuple(other for other in self._observers if other is not observer)

    # -- the producers' side

    def offer(self, item: T) -> bool:
        """Keeps the item, or drops one as the strategy says.

        Returns:
            False if nothing has happened to the item: the buffer is full under `suspend`, and it must wait; or the
            stream is over, and it is to be given to `discard`.
        """
        try:
            self.room.pop()
        except IndexError:
            return self._make_room(item)
        self.items.append(item)
        if self._disposed:  # in between: nobody takes it any more
            self.sweep()
        return True

    def _make_room(self, item: T) -> bool:
        if self._suspend:
            return False
        with self._lock:
            if self._ended:
                return False
            if self.room:  # the consumer was here in between; room grows under this lock only
                with suppress(IndexError):
                    self.room.pop()
                    self.items.append(item)
                    return True
            wakes: list[Callable[[], object]] = []
            if self.config.strategy == "dropping" or not self.items:
                victim = item
            else:
                victim = self.items.popleft()
                self.items.append(item)
                if self._counts is not None:
                    wakes = self._consumed(1)
            self._dropped += 1
            for observer in self._observers:
                observer.dropped(victim)
        for wake in wakes:
            wake()
        self._show((victim,))
        return True

    def discard(self, item: T) -> None:
        """Counts and shows an item that came when the stream was over."""
        with self._lock:
            self._discarded += 1
            self._note_discarded((item,))
        self._show((item,))

    def park(self, item: T) -> bool:
        """Keeps an item beyond the capacity; False: the stream is over.

        For the item of a producer that may not wait where it stands. Whoever calls this sees to it that it stays the
        exception; the next places that are freed make up for it.
        """
        with self._lock:
            if self._ended:
                return False
            self._parked += 1
            self.items.append(item)
            return True

    def wait(self, wake: Callable[[], object]) -> bool:
        """Queues a producer: `wake` is called once, when a place has been set aside for it, or at the end.

        The place is to be used with `accept`, or given back with `release` or `give_up`.

        Returns:
            False if there is nothing to wait for; `wake` will not be called then.
        """
        with self._lock:
            if self.room or not self._suspend or self._ended:
                return False
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(wake)
            self._note_waiting()
            return True

    def watch(self, tell: Callable[[], object]) -> bool:
        """Has `tell` called once when there is room, or at the end; no place is set aside.

        For one that cannot tell how many items it will push, and that can wait then. Who comes while others watch is
        told after them, even if there is some room: what they push comes first.

        Returns:
            False if there is nothing to wait for; `tell` will not be called then.
        """
        with self._lock:
            if (self.room and not self._watching) or not self._suspend or self._ended:
                return False
            if self._watching is None:
                self._watching = []
            self._watching.append(tell)
            self._note_waiting()
            return True

    def accept(self, item: T) -> bool:
        """Keeps an item in the place that was set aside for its producer; False: the stream is over."""
        with self._lock:
            if self._ended:
                return False
            self.items.append(item)
            return True

    def release(self) -> None:
        """Opens the place that was set aside to whoever pushes first: the caller, if it pushes at once."""
        with self._lock:
            if not self._ended:
                self.room.append(0)

    def give_up(self) -> None:
        """Hands the place that was set aside to the next producer in the queue."""
        with self._lock:
            if self._ended:
                return
            self.room.append(0)
            wakes = self._hand_over(1)
            self._note_waiting()
        for wake in wakes:
            wake()

    def withdraw(self, wake: Callable[[], object]) -> bool:
        """Takes a producer out of the queue; False: it was called already."""
        with self._lock:
            for queue in (self._waiting, self._watching):
                if queue is not None and wake in queue:
                    queue.remove(wake)
                    self._note_waiting()
                    return True
            return False

    def forget(self, wake: Callable[[], object]) -> None:
        """Takes a producer out of the queue; if it was called already, its turn goes to the next."""
        if not self.withdraw(wake):
            self.give_up()

    def pass_on(self) -> None:
        """Calls the next producer if there is room: for one that had its turn and may not have used it."""
        if not (self._waiting or self._watching):
            return
        with self._lock:
            wakes = self._told() + self._hand_over(1) if self.room else []
            self._note_waiting()
        for wake in wakes:
            wake()

    def when_consumed(self, wake: Callable[[], object]) -> bool:
        """Has `wake` called once the consumer is done with all that it holds now and all that is in the buffer.

        It is called at the end of the stream, too. False: it is done with them already, or gone; `wake` will not be
        called then.
        """
        with self._lock:
            left = self._in_hand + len(self.items)
            if not left or self._ended:
                return False
            if self._counts is None:
                self._counts = []
            self._counts.append(_Count(left, wake))
            return True

    # -- the consumer's side

    def take(self, limit: int | None = None) -> list[T]:
        """Takes what is there, oldest first, at most `limit` items; what was taken before counts as consumed."""
        with self._lock:
            length = len(self.items)
            if length > self._high_water:
                self._high_water = length
            count = length if limit is None or limit > length else limit
            batch = list(map(deque.popleft, repeat(self.items, count)))
            self._delivered += count
            consumed, self._in_hand = self._in_hand, count
            wakes = self._reopen(consumed if self._suspend else count)
            if self._counts is not None:
                wakes = wakes + self._consumed(consumed)
            if self._observers:
                self._note_taken(count)
        for wake in wakes:
            wake()
        return batch

    def settle(self, count: int) -> None:
        """Tells that `count` items of the last batch are consumed; their places are free."""
        with self._lock:
            count = min(count, self._in_hand)
            self._in_hand -= count
            wakes = self._reopen(count if self._suspend else 0)
            if self._counts is not None:
                wakes = wakes + self._consumed(count)
            self._note_waiting()
        for wake in wakes:
            wake()

    def give_back(self, items: Iterable[T]) -> None:
        """Discards items of the last batch that the consumer took but never handed on."""
        undelivered = list(items)
        with self._lock:
            self._delivered -= len(undelivered)
            self._discarded += len(undelivered)
            self._note_discarded(undelivered)
        self._show(undelivered)

    # -- the end

    def end(self) -> bool:
        """The terminal came: what is in the buffer can still be taken, nothing more gets in, nobody waits.

        Returns:
            False if it was over before.
        """
        return self._finish(dispose=False)

    def dispose(self) -> None:
        """The consumer left: what is in the buffer is discarded, as is all that still comes; nobody waits."""
        self._finish(dispose=True)
        self.sweep()

    def _finish(self, *, dispose: bool) -> bool:
        with self._lock:
            first, self._ended = not self._ended, True
            self._disposed = self._disposed or dispose
            self.room.clear()
            wakes = [*self._told(), *(self._waiting or ()), *(count.wake for count in self._counts or ())]
            self._waiting = self._counts = None
            self._note_waiting()
        for wake in wakes:
            wake()
        return first

    def sweep(self) -> None:
        """Discards what it holds: after `dispose`."""
        with self._lock:
            discarded = [self.items.popleft() for _ in range(len(self.items))]
            self._high_water = max(self._high_water, len(discarded))
            self._discarded += len(discarded)
            self._note_discarded(discarded)
        self._show(discarded)

    def statistics(self) -> BufferStatistics:
        """The counts at this moment, taken together."""
        with self._lock:
            length = len(self.items)
            return BufferStatistics(
                capacity=self.config.capacity,
                strategy=self.config.strategy,
                length=length,
                high_water=max(self._high_water, length),
                pushed=self._delivered + self._dropped + self._discarded + length,
                delivered=self._delivered,
                dropped=self._dropped,
                discarded=self._discarded,
            )

    # -- within

    def _reopen(self, freed: int) -> list[Callable[[], object]]:
        """With the lock held: frees places, and returns the producers to wake.

        They are woken once half of the places are free, not at each: a wake-up costs more than an item.
        """
        if self._ended:
            return []
        if self._parked:
            made_up = min(self._parked, freed)
            self._parked -= made_up
            freed -= made_up
        if not (self._waiting or self._watching) or 2 * (len(self.room) + freed) < self.config.capacity:
            self.room.extend(bytes(freed))
            return []
        waiting = self._waiting or deque()
        # What is freed goes to those who wait before anybody else can see it.
        wakes = [waiting.popleft() for _ in range(min(freed, len(waiting)))]
        self.room.extend(bytes(freed - len(wakes)))
        return wakes + self._hand_over(len(waiting)) + self._told()

    def _told(self) -> list[Callable[[], object]]:
        """With the lock held: those who are only to be told, who then come again."""
        told, self._watching = self._watching or [], None
        return told

    def _consumed(self, items: int) -> list[Callable[[], object]]:
        """With the lock held: counts items down that the consumer is done with; returns those to tell of it."""
        counts, self._counts = self._counts or [], None
        for count in counts:
            count.left -= items
        self._counts = [count for count in counts if count.left > 0] or None
        return [count.wake for count in counts if count.left <= 0]

    def _hand_over(self, count: int) -> list[Callable[[], object]]:
        """With the lock held: sets places aside for up to `count` producers, and returns them to be woken."""
        wakes: list[Callable[[], object]] = []
        with suppress(IndexError):  # no place, or no producer, is left
            while self._waiting and len(wakes) < count:
                self.room.pop()
                wakes.append(self._waiting.popleft())
        return wakes

    def _note_waiting(self) -> None:
        """With the lock held: tells the observers when producers begin to wait, and when none does any more."""
        if self._observers and (stalled := bool(self._waiting or self._watching)) != self._stalled:
            self._stalled = stalled
            for observer in self._observers:
                if stalled:
                    observer.suspended()
                else:
                    observer.resumed()

    def _note_taken(self, count: int) -> None:
        for observer in self._observers if count else ():
            observer.taken(count)
        self._note_waiting()

    def _note_discarded(self, items: Iterable[T]) -> None:
        for observer in self._observers:
            for item in items:
                observer.discarded(item)

    def _show(self, items: Iterable[T]) -> None:
        if self._hook is not None:
            self._hook.show(items)
