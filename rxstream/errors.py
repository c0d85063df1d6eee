"""Every error that rxstream raises, or sends through `on_error`, by itself.

    RxStreamError
    ├── BackpressureError    an item came that could neither be kept nor made to wait
    ├── EncodeError          an item has no representation in the format    .index
    └── DecodeError          bytes that are not what the format says        .position

An error of user code (a source, a mapper, a hook) is not wrapped: it arrives as it was raised. `serialize` is part of
encoding: what it raises is the cause of an `EncodeError`, which knows the item.
"""

from __future__ import annotations

__all__ = ["BackpressureError", "DecodeError", "EncodeError", "RxStreamError"]


class RxStreamError(Exception):
    """The root of the tree above."""


class BackpressureError(RxStreamError):
    """A push on the event loop met a full `suspend` buffer: it can neither wait nor be dropped.

    The message names the ways out: another strategy, a larger capacity, a source that can wait.
    """


class EncodeError(RxStreamError):
    """An item could not be encoded.

    Args:
        message: What is wrong with the item, and the way out.
        index: The item's place in its stream, from 0. Items before it went out intact.
    """

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(f"item {index}: {message}")
        self.index = index


class DecodeError(RxStreamError):
    """Bytes could not be decoded.

    Args:
        message: What is wrong, and what was expected.
        position: The line, item or byte where it is wrong, from 0, as the decoder's docs say.
    """

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)  # which names the place itself, as people count
        self.position = position


def as_failure(error: object) -> Exception:
    """What goes down a stream for whatever was raised, or sent, upstream.

    `CancelledError`, `SystemExit` and their like mean something else to whoever awaits the stream: they are wrapped.
    """
    if isinstance(error, Exception):
        return error
    failure = RxStreamError(f"a source failed with {error!r}")
    if isinstance(error, BaseException):
        failure.__cause__ = error
    return failure
