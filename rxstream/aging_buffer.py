"""A sliding buffer that bounds how old its items may be, and not their number alone.

A room of its own, so that buffers without such a bound, which are nearly all, pay nothing for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast

from rxstream.buffer import Buffer
from rxstream.buffer_config import BufferConfig

__all__ = ["AgingBuffer", "make_buffer"]

T = TypeVar("T")


def make_buffer(
    config: BufferConfig,
    on_dropped: Callable[[T], object] | None = None,
    on_hook_error: Callable[[Exception], object] | None = None,
) -> Buffer[T]:
    """The buffer that a config asks for."""
    return (Buffer if config.max_age is None else AgingBuffer)(config, on_dropped, on_hook_error)


class _Stamped(deque[T], Generic[T]):
    """Items, each with the time at which it was put in: one entry, so that no thread can come between the two.

    Its own methods take and give items, and so all that fills a buffer knows nothing of this. `deque.popleft` and
    indices give entries.
    """

    __slots__ = ("clock",)

    def __init__(self) -> None:
        super().__init__()
        self.clock: Callable[[], float] = time.monotonic

    def append(self, item: T) -> None:
        """Puts an item in, now."""
        super().append(cast("T", (self.clock(), item)))

    def extend(self, items: Iterable[T]) -> None:
        """Puts items in, now."""
        now = self.clock()
        super().extend([cast("T", (now, item)) for item in items])

    def popleft(self) -> T:
        """Takes the oldest item out."""
        entry: Any = super().popleft()
        item: T = entry[1]
        return item

    @property
    def oldest(self) -> float:
        """When the oldest item was put in."""
        return cast("tuple[float, T]", self[0])[0]


class AgingBuffer(Buffer[T]):
    """A buffer that drops what has been in it for longer than the config's `max_age` when the consumer comes for it.

    It looks at no other time: what is too old stays within the capacity, and there is no timer.

    Args:
        config, on_dropped, on_hook_error: As for a `Buffer`.
    """

    __slots__ = ()

    _store = _Stamped
    items: _Stamped[T]

    def use(self, clock: Callable[[], float]) -> None:
        """Goes by another clock, from before the first item on: seconds, on one that nobody sets."""
        self.items.clock = clock

    def take(self, limit: int | None = None) -> list[T]:
        """Drops what is too old, then takes what is there, oldest first, at most `limit` items."""
        self._drop_old()
        return [item for _, item in cast("list[tuple[float, T]]", super().take(limit))]

    def _drop_old(self) -> None:
        items, max_age = self.items, self.config.max_age
        assert max_age is not None
        old: list[T] = []
        with self._lock:
            self._high_water = max(self._high_water, len(items))
            since = items.clock() - max_age
            while items and items.oldest < since:
                old.append(items.popleft())
                for observer in self._observers:
                    observer.dropped(old[-1])
            if not old:
                return
            self._dropped += len(old)
            wakes = self._reopen(len(old))
            if self._counts is not None:
                wakes = wakes + self._consumed(len(old))
        for wake in wakes:
            wake()
        self._show(old)
