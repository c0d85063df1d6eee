"""A form while it is read: one position in its body, which all its parts share.

Whoever reads a part moves the position; the source of parts waits meanwhile, then skips what is left of that part.
Nothing is kept: a part that nobody reads is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from quart.wrappers.request import Body

from quart_adapter._form_parser import FormParser
from quart_adapter._media import SNIFFED, AllowedTypes
from quart_adapter._parts import Part
from quart_adapter.bounded_body import MESSAGE
from quart_adapter.errors import UploadError
from quart_adapter.measure import note_failure
from quart_adapter.requests import next_chunk

if TYPE_CHECKING:
    from rxstream.metrics import StreamProbe

__all__ = ["Form", "body_too_large"]

_END: Final = object()


class Form:
    """The body, where it is being read. One reads at a time; a read that is cancelled has moved nothing.

    Attributes:
        failure: What it failed with: for every part that is read later.
    """

    def __init__(
        self,
        body: Body,
        parser: FormParser,
        max_field: int,
        max_size: int,
        total: int,
        allowed: AllowedTypes | None,
        fits: Callable[[str | None, bytes], bool] | None,
        probe: StreamProbe | None = None,
    ) -> None:
        self.failure: Exception | None = None
        self._body = body
        self._parser = parser
        self._max_field = max_field
        self._max_size = max_size
        self._total = total
        self._received = 0
        self._allowed = allowed
        self._fits = fits
        self._probe = probe
        self._events: Iterator[Any] = iter(())
        self._held: Any = None  # the headers of a file, behind fields that go first

    async def next_parts(self, most: int) -> list[Part]:
        """The next part, or as many fields as are there whole, and perhaps one that is not; none at the end.

        Args:
            most: How many of them.
        """
        segment, self._held = self._held, None
        if segment is None:
            segment = await self.event()
        if segment is _END:
            return []
        if segment.filename is None:
            return self._fields(segment, most)
        part = Part(self, segment, self._max_size)
        if part.raw_filename == "" and not await part.look(1):
            part.is_file, part.filename = False, None  # what a browser sends for a file field that is left empty
        else:
            await self._check_type(part)
        return [part]

    def _fields(self, segment: Any, most: int) -> list[Part]:
        """This field and those behind it, as far as one can get without waiting."""
        parts = [Part(self, segment, self._max_field)]
        try:
            while len(parts) < most and parts[-1].gather(self._events):
                segment = next(self._events, None)
                if segment is None or segment.filename is not None:
                    self._held = segment
                    break
                parts.append(Part(self, segment, self._max_field))
        except Exception as error:  # it comes when those before it are through
            self.failed(error)
        return parts

    async def _check_type(self, part: Part) -> None:
        if self._allowed is not None and (part.content_type or "application/octet-stream") not in self._allowed:
            message = f"the file {part.name!r} is not of an allowed type: {self._allowed}"
            raise self.failed(UploadError(415, "type_not_allowed", message))
        if self._fits is not None and not self._fits(part.content_type, await part.look(SNIFFED)):
            message = f"the file {part.name!r} is not of the type that it is declared to be"
            raise self.failed(UploadError(415, "type_mismatch", message))

    async def event(self) -> Any:
        """What comes next in the body: the headers of a part, a piece of it, None at its end, `_END` at the last."""
        if self.failure is not None:
            raise self.failure
        try:
            while True:
                for event in self._events:
                    return event
                self._events = await self._more()
        except Exception as error:
            raise self.failed(error)  # noqa: B904 - it is the same

    async def pieces(self, count: Callable[[bytes], object]) -> tuple[list[bytes], bool]:
        """What is there of the part that is open, waiting only for something to be there.

        Args:
            count: Is called with each piece, and raises where the part is too large.

        Returns:
            Its next bytes, and whether they are the last.
        """
        if self.failure is not None:
            raise self.failure
        pieces: list[bytes] = []  # those of one message
        try:
            while not pieces:
                for event in self._events:
                    if event is None:
                        return pieces, True
                    count(event)
                    pieces.append(event)
                if not pieces:
                    self._events = await self._more()
        except Exception as error:
            failure = self.failed(error)
            if not pieces:
                raise failure  # noqa: B904 - it is the same
        return pieces, False

    async def _more(self) -> Iterator[Any]:
        chunk = await next_chunk(self._body, MESSAGE)
        if not chunk:
            self._parser.finish()
            return iter((_END,))
        self._received += len(chunk)
        if self._probe is not None:
            self._probe.bytes = self._received
        over = self._received - self._total
        return self._parser.feed(chunk) if over <= 0 else self._up_to_the_limit(chunk[:-over])

    def _up_to_the_limit(self, chunk: bytes) -> Iterator[Any]:
        """What fails before the limit does is what the client is told, however the bytes are split."""
        yield from self._parser.feed(chunk)
        raise body_too_large(self._total)

    def failed(self, error: Exception) -> Exception:
        """Notes the first failure, and returns it."""
        if self.failure is None:
            self.failure = error
            if self._probe is not None:  # a consumer that has seen it in a part may never come back for the next
                note_failure(self._probe, error)
        return self.failure


def body_too_large(total: int) -> UploadError:
    return UploadError(413, "body_too_large", f"the body is larger than {total} bytes")
