"""`on_dropped`: a hook of the user's that is called with each item that does not reach the consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

__all__ = ["DropHook", "check_on_dropped"]

T = TypeVar("T")


def check_on_dropped(hook: object) -> None:
    """Refuses what is no hook where it is given, and not at the first item that is dropped."""
    if hook is not None and not callable(hook):
        raise TypeError(f"on_dropped must be callable, not {hook!r}")


class DropHook(Generic[T]):
    """Calls a hook without recursion: what it drops by pushing is shown to it after it has returned.

    Args:
        hook: Is called with each item, on the thread that caused it, with no lock held. It may push and dispose.
        on_error: Is called with each exception that it raises.
    """

    __slots__ = ("_hook", "_on_error", "_queues")

    def __init__(self, hook: Callable[[T], object], on_error: Callable[[Exception], object] | None) -> None:
        self._hook = hook
        self._on_error = on_error
        self._queues: dict[int, deque[T]] = {}  # of the threads that are in the hook

    def show(self, items: Iterable[T]) -> None:
        """Calls the hook with each item."""
        thread = threading.get_ident()
        if (outer := self._queues.get(thread)) is not None:
            outer.extend(items)
            return
        queue = self._queues[thread] = deque(items)
        try:
            while queue:
                try:
                    self._hook(queue.popleft())
                except Exception as error:  # arbitrary code; it ends the stream, not the producer
                    if self._on_error is not None:
                        self._on_error(error)
        finally:
            del self._queues[thread]
