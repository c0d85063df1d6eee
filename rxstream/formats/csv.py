"""CSV as RFC 4180 says and the standard library's `csv` writes it, in UTF-8."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from rxstream.formats.base import Encoder, Refused, Serialize, T
from rxstream.formats.csv_cells import cells, texts
from rxstream.formats.csv_rows import Extra, Missing, RowReader, checked_columns, checked_word

__all__ = ["CSVEncoder", "LineEnd"]

LineEnd = Literal["\r\n", "\n"]


class CSVEncoder(Encoder[T]):
    """Encodes items as rows of CSV.

    A row is a mapping, a dataclass, a Struct, an attrs object, a named tuple, a pydantic model or a sequence. Columns
    come from the first item when none are given; a plain sequence has no names, so without `columns` there is no
    header then. In cells: None is empty; bool `true` or `false`; int, float and Decimal as Python writes them (`nan`
    and `inf` too); datetime, date and time in ISO 8601; UUID as text; Enum its value.

    Args:
        columns: The columns, in order.
        serialize: Called with each item, gives the row in its place.
        header: Whether the names come first.
        dialect: A name that `csv` knows, or a `csv.Dialect`; its line terminator does not count.
        line_end: What ends a row.
        bom: Whether a byte order mark comes first; Excel needs one to see UTF-8.
        extra: A value whose column is unknown is an "error", or left out ("ignore").
        missing: A column without value is an "error", or an "empty" cell.
        formula_guard: Whether text that starts with `=`, `+`, `-`, `@`, tab, CR or NUL gets a `'` in front, lest a
            spreadsheet runs it. Numbers never do.

    Raises:
        TypeError: `columns` is text or holds something else than text; `serialize` is not callable.
        ValueError: `columns` is empty or names one twice; another option is none of its words.

    Example:
        >>> CSVEncoder().encode([{"name": "Ada", "note": "=1+1"}])
        b"name,note\\r\\nAda,'=1+1\\r\\n"
    """

    content_type: ClassVar[str] = "text/csv; charset=utf-8"
    format: ClassVar[str] = "csv"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        *,
        serialize: Serialize[T] | None = None,
        header: bool = True,
        dialect: str | csv.Dialect | type[csv.Dialect] = "excel",
        line_end: LineEnd = "\r\n",
        bom: bool = False,
        extra: Extra = "error",
        missing: Missing = "error",
        formula_guard: bool = True,
    ) -> None:
        super().__init__(serialize)
        checked_word("line_end", line_end, ("\r\n", "\n"))
        checked_word("extra", extra, ("error", "ignore"))
        checked_word("missing", missing, ("error", "empty"))
        try:
            chosen = csv.writer(io.StringIO(), dialect).dialect
        except (csv.Error, TypeError) as error:
            raise ValueError(f"dialect: {error}") from None
        self._reader = RowReader(checked_columns(columns), extra=extra, missing=missing)
        self._dialect = dialect
        self._line_end = line_end
        self._header = header
        self._bom = bom
        self._guard = formula_guard
        self._delimiter = chosen.delimiter if _is_plain(chosen) else None  # None: `csv` itself writes
        specials = chosen.delimiter + '"\r'
        self._texts = partial(
            texts, guard=formula_guard, specials=specials, special=re.compile(f"[{re.escape(specials)}\n]")
        )

    def _batch(self, items: Sequence[Any]) -> bytes:
        columns = list(zip(*self._reader.rows(items), strict=True))
        if self._delimiter is None or len(columns) < 2:  # an empty cell that is alone in its row is quoted
            body = self._text(zip(*self._each(columns, partial(cells, guard=self._guard)), strict=True))
        else:
            ready = self._each(columns, self._texts)
            body = self._line_end.join(map(self._delimiter.join, zip(*ready, strict=True))) + self._line_end
        return body.encode() if self.count else self._head() + body.encode()

    def _closing(self) -> bytes:
        return b"" if self.count else self._head()

    def _each(
        self, columns: Sequence[Sequence[Any]], convert: Callable[[Sequence[Any]], Sequence[Any]]
    ) -> list[Sequence[Any]]:
        """Converts a column at a time: types are alike in it, and one look at it spares one at each cell."""
        converted = []
        for index, values in enumerate(columns):
            try:
                converted.append(convert(values))
            except Refused as error:
                names = self._reader.columns
                raise Refused(f"column {names[index] if names else index!r}: {error}") from None
        return converted

    def _head(self) -> bytes:
        mark = b"\xef\xbb\xbf" if self._bom else b""
        names = self._reader.columns
        if not self._header or names is None:
            return mark
        return mark + self._text([cells(names, guard=self._guard)]).encode()

    def _text(self, rows: Iterable[Sequence[Any]]) -> str:
        lines: list[str] = []
        sink = _Lines(lines.append)
        # csv quotes a cell for a line end that is its own only, so it works with CR LF whatever is asked for.
        csv.writer(sink, self._dialect, lineterminator="\r\n").writerows(rows)
        if self._line_end == "\r\n":
            return "".join(lines)
        return "".join([line[:-2] + self._line_end for line in lines])

    def _explain(self, item: Any, error: Exception) -> str:
        name = type(item).__name__
        if isinstance(error, UnicodeEncodeError):
            found = error.object[error.start]
            return f"{name} holds text that is not Unicode (a lone surrogate, {found!a}); replace it with serialize="
        if isinstance(error, csv.Error):
            return f"{name} does not fit the dialect ({error}); give it an escapechar, or another quoting"
        return f"{name} has no CSV form ({error}); convert it with serialize="


class _Lines:
    """The least that csv.writer writes to."""

    def __init__(self, write: Any) -> None:
        self.write = write


def _is_plain(dialect: Any) -> bool:
    """Whether cells are quoted for the delimiter, a quote and line ends, and for nothing else."""
    return (
        dialect.quoting == csv.QUOTE_MINIMAL
        and dialect.quotechar == '"'
        and dialect.escapechar is None
        and not dialect.skipinitialspace
        and dialect.delimiter in (",", ";", "\t", "|")
    )
