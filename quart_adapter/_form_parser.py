"""Bytes of a multipart/form-data body as parts: the `multipart` library's parser behind a guard.

No I/O and no Rx. The library finds the parts; the guard decides what is refused and says so with the status and the
code that the client gets, the same ones however the bytes are split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import multipart  # type: ignore[import-untyped]

from quart_adapter.errors import UploadError
from quart_adapter.limits import MultipartLimits

__all__ = ["Event", "FormParser", "find_boundary", "part_too_large"]

Event: TypeAlias = "multipart.MultipartSegment | bytes | None"
"""The headers of a part, a piece of it, its end."""

SLICE: Final = 65536
"""Bytes of the largest piece of a part, and all that the parser works on at once: it copies what it cannot finish."""

_PARAMETER = re.compile(r';[ \t]*([^=;"\s]+)=("(?:[^"\\]|\\.)*"|[^;"]*)', re.DOTALL)


def find_boundary(content_types: list[str]) -> bytes:
    """The boundary that the request's Content-Type header names.

    Raises:
        UploadError: 415 `unsupported_media_type`, 400 `invalid_boundary`.
    """
    content_type = content_types[0] if len(content_types) == 1 else ""
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UploadError(415, "unsupported_media_type", "the body must be multipart/form-data")
    found = [value for name, value in _PARAMETER.findall(content_type) if name.lower() == "boundary"]
    boundary = found[0].rstrip(" \t") if len(found) == 1 else ""
    if boundary.startswith('"'):
        boundary = re.sub(r"\\(.)", r"\1", boundary[1:-1], flags=re.DOTALL)
    if not re.fullmatch(r"[ -~]{0,69}[!-~]", boundary):
        raise UploadError(400, "invalid_boundary", "the Content-Type must have one boundary of 1 to 70 characters")
    return boundary.encode()


class FormParser:
    """Reads parts from bytes that come in any pieces.

    Args:
        boundary: What separates the parts.
        limits: What the parts may have.
        max_size: Bytes of a part that is a file.
    """

    def __init__(self, boundary: bytes, limits: MultipartLimits, max_size: int) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._preamble: bytes | None = b"\r\n"  # the first delimiter may be the first of all
        self._parser = _Guarded(boundary, limits, max_size)

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete: to be used up before the next call.

        Raises:
            UploadError: The form is malformed, or beyond a limit.
        """
        if self._preamble is not None:
            # The library forgets what stood before a delimiter, and so takes one amid a line for one at its start.
            data = self._preamble + data
            start = data.find(self._delimiter)
            if start < 0:
                self._preamble = data[1 - len(self._delimiter) :]
                return
            self._preamble, data = None, data[start + 2 :]
        start, size = 0, len(data)
        while start < size:
            pending = self._parser._buffer  # before a piece of a part that is at most the start of a delimiter
            end = start + SLICE - min(len(pending), len(self._delimiter) + 1)
            piece = data[start:end]  # not copied if that is all of it
            try:
                yield from self._parser.parse(piece)
            except multipart.MultipartError as error:
                raise self._parser.translated(error, pending + piece) from error
            start = end

    def finish(self) -> None:
        """The bytes have ended.

        Raises:
            UploadError: 400 `truncated_body`: the form has not.
        """
        try:
            self._parser.close()
        except multipart.MultipartError as error:
            raise UploadError(400, "truncated_body", "the form ends before its last delimiter") from error


class _Guarded(multipart.PushMultipartParser):  # type: ignore[misc]
    """The library's parser, which refuses more, in the words of the adapter."""

    def __init__(self, boundary: bytes, limits: MultipartLimits, max_size: int) -> None:
        super().__init__(
            boundary,
            max_header_size=limits.header_size,
            max_header_count=limits.headers,
            max_segment_count=limits.parts,
            strict=False,  # its strict mode refuses a last line break that is split between two pieces
        )
        self._limits = limits
        self._max_size = max_size
        self._headers_size = 0

    def translated(self, error: Exception, data: bytes) -> UploadError:
        """What the client is told; `data` is what the parser was working on."""
        if self._state is not multipart._HEADER:
            if "Content-Length" in str(error):
                return UploadError(400, "malformed_header", "a part has another length than its Content-Length says")
            if isinstance(error, multipart.ParserLimitReached):
                return UploadError(413, "too_many_parts", f"the form has more than {self._limits.parts} parts")
            return UploadError(400, "malformed_boundary", "a delimiter of the form is malformed")
        line = data[data.rfind(b"\r\n") + 2 :] if b"\r\n" in data else data
        if isinstance(error, multipart.ParserLimitReached) or line.find(b"\n") > self._limits.header_size:
            return self._headers_too_large()
        return UploadError(400, "malformed_header", "a header of a part is malformed")

    def _on_segment_start(self) -> None:
        super()._on_segment_start()
        self._headers_size = 0

    def _on_segment_headerline(self, line: bytes) -> None:
        end = line.find(b"\n")
        if len(line) > self._limits.header_size and not 0 <= end <= self._limits.header_size:
            raise self._headers_too_large()
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise UploadError(400, "malformed_header", "a header of a part has a control character")
        self._headers_size += len(line)
        if self._headers_size > self._limits.headers_size or len(self._segment_headerlist) > self._limits.headers:
            raise self._headers_too_large()
        try:
            super()._on_segment_headerline(line)
        except multipart.ParserLimitReached as error:
            raise self._headers_too_large() from error
        except multipart.ParserError as error:
            raise UploadError(400, "malformed_header", "a header of a part is malformed") from error

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> Any:
        names = [name for name, _ in headerlist]
        if names.count("Content-Disposition") != 1:
            raise UploadError(400, "invalid_disposition", "a part must have one Content-Disposition")
        if names.count("Content-Type") > 1:
            raise UploadError(400, "malformed_header", "a part has more than one Content-Type")
        segment = multipart.MultipartSegment(headerlist)
        if "\\" in (value := headerlist[names.index("Content-Disposition")][1]):  # the library cuts a path of Windows
            segment.filename = multipart.parse_options_header(value, unquote=_unquoted)[1].get("filename")
        if segment.disposition != "form-data" or segment.name is None:
            raise UploadError(400, "invalid_disposition", "a part's Content-Disposition must be form-data, and name it")
        if (segment.content_type or "").startswith("multipart/"):
            raise UploadError(415, "nested_multipart", "a part may not be multipart itself")
        limit = self._limits.field if segment.filename is None else self._max_size
        if self._segment_limit > limit:
            raise part_too_large(segment.name, is_file=segment.filename is not None, limit=limit)
        return segment

    def _headers_too_large(self) -> UploadError:
        return UploadError(413, "headers_too_large", "the headers of a part are too large")


def _unquoted(value: str, _is_filename: bool) -> str:
    text: str = multipart.content_disposition_unquote(value)
    return text


def part_too_large(name: str, *, is_file: bool, limit: int) -> UploadError:
    """The error for a part that is beyond its limit."""
    kind, code = ("file", "file_too_large") if is_file else ("field", "field_too_large")
    return UploadError(413, code, f"the {kind} {name!r} is larger than {limit} bytes")
