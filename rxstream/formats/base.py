"""What every encoder is: items in, framed bytes out. No Rx, no I/O and no clock in this room.

An encoder belongs to one stream. It takes whole batches, since one call for a hundred items costs a fraction
of a hundred calls, and it never lets half an item out: a batch that cannot be encoded as a whole is encoded
item by item up to the one that fails.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from rxstream.errors import EncodeError

__all__ = ["Encoder", "Refused", "Serialize"]

T = TypeVar("T")
Serialize = Callable[[T], Any]
"""A function of one item that gives what is encoded in its place."""


class Refused(ValueError):
    """An item has no representation in the format; the text says why and names the way out."""


class Encoder(ABC, Generic[T]):
    """Turns batches of items into the bytes of one document.

    The results of all `encode` calls and of `finish`, joined, are the document, and they are the same bytes
    whichever way the items are cut into batches.

    Args:
        serialize: Called with each item, gives what is encoded in its place. Default: the item itself.

    Raises:
        TypeError: `serialize` is not callable.

    Attributes:
        content_type: The media type of the document.
        format: The format's name, for people and for metrics.
        count: How many items were encoded so far, which is the index of the next one.
        failure: The `EncodeError` of the first item that could not be encoded, else None.

    Example:
        >>> from rxstream.formats import NDJSONEncoder
        >>> encoder = NDJSONEncoder()
        >>> encoder.encode([{"n": 1}, {"n": 2}]) + encoder.finish()
        b'{"n":1}\\n{"n":2}\\n'
    """

    content_type: ClassVar[str]
    format: ClassVar[str] = "other"

    def __init__(self, serialize: Serialize[T] | None = None) -> None:
        if serialize is not None and not callable(serialize):
            raise TypeError(f"serialize must be callable or None, not {type(serialize).__name__}")
        self._serialize = serialize
        self.count = 0
        self.failure: EncodeError | None = None

    def encode(self, items: Sequence[T]) -> bytes:
        """Encode one batch; if an item fails, the intact bytes of those before it, with `failure` set.

        Args:
            items: The next items of the stream, in order; may be empty.

        Returns:
            The bytes of these items with their framing; empty for an empty batch.

        Raises:
            EncodeError: An earlier call has set `failure`: the document has ended there.
        """
        if self.failure is not None:
            raise self.failure
        if not items:
            return b""
        ready, failure = (items, None) if self._serialize is None else self._serialized(items)
        try:
            encoded = self._batch(ready) if ready else b""
            self.count += len(ready)
        except Exception:  # which item it is comes out one by one
            return self._salvage(ready, failure)
        self.failure = failure
        return encoded

    def finish(self) -> bytes:
        """The bytes that close the document.

        Returns:
            What belongs behind the last item; for a stream without items the whole empty document.

        Raises:
            EncodeError: `failure` is set. A document that lacks an item must not look complete.
        """
        if self.failure is not None:
            raise self.failure
        return self._closing()

    @abstractmethod
    def _batch(self, items: Sequence[Any]) -> bytes:
        """The framed bytes of items that follow the first `count`; raises if any of them cannot be encoded."""

    def _closing(self) -> bytes:
        return b""

    def _explain(self, item: Any, error: Exception) -> str:
        """The message for an item that failed, way out included."""
        return f"{type(item).__name__} cannot be encoded: {error}"

    def _serialized(self, items: Sequence[T]) -> tuple[list[Any], EncodeError | None]:
        """The items after `serialize`, up to the first for which it raises."""
        assert self._serialize is not None
        ready: list[Any] = []
        try:
            for item in items:
                ready.append(self._serialize(item))
        except Exception as error:
            index = self.count + len(ready)
            failure = EncodeError(f"serialize raised {type(error).__name__}: {error}", index=index)
            failure.__cause__ = error
            return ready, failure
        return ready, None

    def _salvage(self, items: Sequence[Any], failure: EncodeError | None) -> bytes:
        """Encode one by one, up to the item that fails."""
        parts = []
        for item in items:
            try:
                parts.append(self._batch([item]))
            except Exception as error:
                failure = self._failed(item, error)
                break
            self.count += 1
        self.failure = failure
        return b"".join(parts)

    def _failed(self, item: Any, error: Exception) -> EncodeError:
        if isinstance(error, Refused):
            return EncodeError(str(error), index=self.count)
        failure = EncodeError(self._explain(item, error), index=self.count)
        failure.__cause__ = error
        return failure
