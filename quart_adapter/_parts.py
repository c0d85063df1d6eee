"""A part of a form: its headers, and its content, which is there to be read once."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any, Final

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable
from werkzeug.datastructures import Headers

from quart_adapter._form_parser import part_too_large
from quart_adapter._names import safe_name
from quart_adapter._saving import NewFile
from quart_adapter.errors import UploadError
from quart_adapter.limits import whole_number
from rxstream.boundary import Source
from rxstream.errors import RxStreamError
from rxstream.loops import call_on
from rxstream.sources import from_async_batches

if TYPE_CHECKING:
    from quart_adapter._form import Form

__all__ = ["MIB", "Part"]

MIB: Final = 1024 * 1024
BATCH: Final = 256 * 1024
"""Bytes that are written to a file at once: a hop to a thread costs more than they do."""


WHOLE: Final = 2048
"""Bytes of a field that is handed on with its content, if that is there: nobody has to wait for anybody then."""


class Part:
    """A part of a form: a file, or a field.

    Attributes:
        name: The name of the form's field.
        filename: The name of the file, made safe to write to a disk: no path, no control characters, no device name,
            at most 200 bytes. Two uploads may have the same. None for a field.
        raw_filename: The name as it was sent. Never a path to open.
        content_type: The type that the client declared, in lower case and without parameters; None if it did not.
        is_file: Whether it is a file. The file field of a form that was left empty is none.
        stream: The content, for one subscription, in chunks of at most 64 KiB.

    A part is read once: by `stream`, `read`, `text` or `save`. What is not read of it is skipped.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_done",
        "_ended",
        "_form",
        "_head",
        "_headerlist",
        "_limit",
        "_loop",
        "_reading",
        "_size",
        "_skipped",
        "_unclaimed",
        "content_type",
        "filename",
        "is_file",
        "name",
        "raw_filename",
    )

    def __init__(self, form: Form, segment: Any, limit: int) -> None:
        self.name: str = segment.name
        self.raw_filename: str | None = segment.filename
        self.is_file = self.raw_filename is not None
        self.filename: str | None = None
        if self.raw_filename is not None:
            self.filename = safe_name(re.split(r"[/\\]", self.raw_filename)[-1], "file")
        self.content_type: str | None = segment.content_type or None
        self._headerlist: list[tuple[str, str]] = segment.headerlist
        self._form = form
        self._limit = limit
        self._size = 0
        self._head: list[bytes] = []  # what was read to look at it
        self._ended = self._skipped = self._closed = self._reading = False
        self._unclaimed = [None]  # to pop it is atomic: who does so has the part, a reader or the source
        self._done = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Part {self.name!r} {self.filename!r} {self.content_type}>"

    @property
    def headers(self) -> Headers:
        """All headers of the part."""
        return Headers(self._headerlist)

    @property
    def stream(self) -> Observable[bytes]:
        """The content as an Observable; subscribing to it is what claims the part."""

        def subscribe(
            observer: abc.ObserverBase[bytes], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            try:
                self._claim()
            except RxStreamError as error:
                observer.on_error(error)
                return Disposable()
            reading = SingleAssignmentDisposable()

            def start() -> None:
                reading.disposable = from_async_batches(self._batches).subscribe(observer, scheduler=scheduler)

            call_on(self._loop, start)  # this may be a worker's thread, where an observer alone finds no loop
            # After the terminal, too: the next part comes when the observer has seen the end of this one.
            return CompositeDisposable(reading, Disposable(lambda: call_on(self._loop, self._close)))

        return Source(subscribe)

    async def read(self, max_size: int = MIB) -> bytes:
        """The whole content.

        Args:
            max_size: The most bytes that are wanted.

        Raises:
            UploadError: 413 `file_too_large` or `field_too_large`: it has more; or what the form failed with.
            RxStreamError: The part has been read, or skipped.
        """
        whole_number("max_size", max_size)
        self._claim()
        self._limit = min(self._limit, max_size)
        content: list[bytes] = []
        try:
            if self._size > self._limit:  # of what it has with it
                raise self._form.failed(self._too_large())
            while pieces := await self._next():
                content += pieces
        finally:
            self._close()
        return b"".join(content)

    async def text(self, max_size: int = MIB) -> str:
        """The whole content as text, in UTF-8 (RFC 7578, 5.1.2; no browser sends another charset).

        Raises:
            UploadError: As for `read`; and 400 `malformed_text`: the content is no UTF-8.
        """
        data = await self.read(max_size)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise UploadError(400, "malformed_text", f"the field {self.name!r} is not UTF-8") from error

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Writes the content to a file, which is there only once all of it is.

        It is written to a temporary name beside `path`, on a thread, and renamed at the end. A file that is there is
        replaced. When the upload or the disk fails, or on cancel, the temporary file is removed.

        Args:
            path: The file; its folder exists. Make the name up yourself, or use `filename` within a folder of your
                own; never `raw_filename`.

        Returns:
            The number of bytes.

        Raises:
            OSError: The file cannot be written.
            UploadError, RxStreamError: As for `read`.
        """
        file = NewFile(path)
        self._claim()
        size = unwritten = 0
        pieces: list[bytes] = []
        try:
            await asyncio.to_thread(file.create)
            while more := await self._next():
                pieces += more
                unwritten += sum(map(len, more))
                if unwritten >= BATCH:
                    await asyncio.to_thread(file.write, pieces)
                    size, unwritten, pieces = size + unwritten, 0, []
            await asyncio.to_thread(file.write, pieces)
            await asyncio.to_thread(file.commit)
        finally:
            file.discard()
            self._close()
        return size + unwritten

    # -- who has it

    @property
    def claimed(self) -> bool:
        return not self._unclaimed

    def _claim(self) -> None:
        try:
            self._unclaimed.pop()
        except IndexError:
            if self._form.failure is not None:
                raise self._form.failure from None
            raise RxStreamError(
                f"the part {self.name!r} was skipped: nobody had begun to read it when the next one was asked for"
                if self._skipped
                else f"the part {self.name!r} can be read once"
            ) from None

    async def pass_by(self) -> None:
        """Waits for whoever reads it, and skips the rest."""
        try:
            self._unclaimed.pop()
        except IndexError:
            await self._done.wait()
        else:
            self._skipped = True
        while await self._next():
            pass

    # -- its bytes

    async def _batches(self) -> AsyncGenerator[list[bytes], None]:
        if self._closed:
            return
        self._reading = True
        try:
            while pieces := await self._next():
                yield pieces
        finally:
            self._reading = False
            if self._closed:
                self._done.set()

    def _close(self) -> None:
        """Whoever read the stream is done with it; a task of it that has begun still has to end."""
        self._closed = True
        if not self._reading:
            self._done.set()

    async def _next(self) -> list[bytes]:
        """The next pieces that are there; none at the end."""
        if self._head:
            head, self._head = self._head, []
            return head
        if self._ended:
            return []
        pieces, self._ended = await self._form.pieces(self._count)
        return pieces

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise self._too_large()

    def _too_large(self) -> UploadError:
        return part_too_large(self.name, is_file=self.is_file, limit=self._limit)

    def gather(self, events: Iterator[Any]) -> bool:
        """Takes its content along, if all of it is there and it is small: whether that is so."""
        for piece in events:
            if piece is None:
                self._ended = True
                return True
            self._count(piece)
            self._head.append(piece)
            if self._size > WHOLE:
                break
        return False

    async def look(self, size: int) -> bytes:
        """The first bytes, which are still to be read."""
        head: list[bytes] = []
        while sum(map(len, head)) < size and (pieces := await self._next()):
            head += pieces
        self._head = head
        return b"".join(head)[:size]
