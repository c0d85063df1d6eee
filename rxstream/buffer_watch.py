"""What a buffer tells of itself: its counts, when asked, and what becomes of items and producers, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from rxstream.buffer_config import Strategy

__all__ = ["BufferObserver", "BufferStatistics"]


@dataclass(frozen=True, slots=True)
class BufferStatistics:
    """A buffer at one moment; `pushed == delivered + dropped + discarded + length` always holds.

    Args:
        capacity: Items that it may hold.
        strategy: What happens when it is full.
        length: Items that it holds now.
        high_water: The most that it ever held.
        pushed: Items that were given to it.
        delivered: Items that the consumer took and got.
        dropped: Items that the strategy sacrificed, those that were too old among them.
        discarded: Items that were still in it, or came, when the stream was over.
    """

    capacity: int
    strategy: Strategy
    length: int
    high_water: int
    pushed: int
    delivered: int
    dropped: int
    discarded: int


class BufferObserver(Protocol):
    """Is told what becomes of a buffer's items and producers, as it happens: for metrics, and for pictures of a stream.

    Each method is called with the buffer's lock held, so that the order is that of the events: it returns at once, does
    not touch the buffer, and does not raise.
    """

    def suspended(self) -> None:
        """A producer waits for room, and none did before."""

    def resumed(self) -> None:
        """No producer waits any more."""

    def dropped(self, item: Any) -> None:
        """The strategy sacrificed an item."""

    def discarded(self, item: Any) -> None:
        """An item was in the buffer, or came, when the stream was over."""

    def taken(self, count: int) -> None:
        """The consumer took so many items, at least one."""
