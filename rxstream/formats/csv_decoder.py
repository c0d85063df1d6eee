"""CSV, read record by record: RFC 4180 and what else Python's `csv` reads, in UTF-8."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, ClassVar, Final, overload

import msgspec

from rxstream.formats.csv_items import RowMaker, nullable_fields, row_maker
from rxstream.formats.csv_records import Dialect, Grammar, RecordScanner, StrayText, resolve_dialect
from rxstream.formats.csv_rows import Extra, Missing, checked_columns, checked_word
from rxstream.formats.decoder import Decoder, T, checked_limit

__all__ = ["CSVDecoder"]

_line_end: Final = re.compile(rb"\r\n|\r|\n")
_place: Final = re.compile(r"`\$\.(.*?)`$", re.DOTALL)


class CSVDecoder(Decoder[T]):
    """Decodes records of CSV.

    An item is a dict of the columns; without a header and `columns`, a list; with `type`, what that is made into. Lines
    end with CRLF, LF or CR, the last one with nothing, too; blank lines are skipped. Cells are text, and a `'` that a
    `formula_guard` has put in front of them stays.

    Args:
        type: What rows are decoded into, and validated against: a dataclass, a Struct, a TypedDict or any other type
            that msgspec knows. Text becomes numbers, booleans, times and so on as the type says. An empty cell is
            None where the type has a None.
        columns: The columns, in order, where there is no header. Where there is one, it must say the same.
        header: Whether the names come first.
        dialect: A name that `csv` knows, or a `csv.Dialect`; always strict. Of its `quoting`, `csv.QUOTE_NONE` alone
            has a meaning.
        extra: A cell without column is an "error", or left out ("ignore").
        missing: A column without cell is an "error", or an "empty" cell.
        max_field: Bytes in a cell, its quotes included.
        max_record: Bytes in a record.

    Raises:
        TypeError: `columns` is text or holds something else than text; the type is none that msgspec knows; a limit is
            no `int`.
        ValueError: `columns` is empty or names one twice; another option is none of its words, or below 1.

    Example:
        >>> CSVDecoder().decode(b'name,note\\r\\nAda,"two\\nlines"\\r\\n')
        [{'name': 'Ada', 'note': 'two\\nlines'}]
    """

    content_type: ClassVar[str] = "text/csv; charset=utf-8"

    @overload
    def __init__(
        self: CSVDecoder[Any],
        type: None = None,
        *,
        columns: Sequence[str] | None = ...,
        header: bool = ...,
        dialect: Dialect = ...,
        extra: Extra = ...,
        missing: Missing = ...,
        max_field: int = ...,
        max_record: int = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        type: type[T],
        *,
        columns: Sequence[str] | None = ...,
        header: bool = ...,
        dialect: Dialect = ...,
        extra: Extra = ...,
        missing: Missing = ...,
        max_field: int = ...,
        max_record: int = ...,
    ) -> None: ...
    def __init__(
        self,
        type: Any = None,
        *,
        columns: Sequence[str] | None = None,
        header: bool = True,
        dialect: Dialect = "excel",
        extra: Extra = "error",
        missing: Missing = "error",
        max_field: int = 1 << 20,
        max_record: int = 1 << 24,
    ) -> None:
        super().__init__()
        checked_word("extra", extra, ("error", "ignore"))
        checked_word("missing", missing, ("error", "empty"))
        self._max_field = checked_limit("max_field", max_field)
        self._max_record = checked_limit("max_record", max_record)
        self._names = checked_columns(columns)
        self._header_to_come = header
        self._extra, self._missing = extra, missing
        self._type = type
        self._rows_type = list[type]
        self._make: RowMaker | None = None
        self._nullable = frozenset[str]() if type is None else nullable_fields(type)
        chosen = resolve_dialect(dialect)
        quoting = csv.QUOTE_NONE if chosen.quoting == csv.QUOTE_NONE else csv.QUOTE_MINIMAL
        self._options: dict[str, Any] = {"dialect": dialect, "strict": True, "quoting": quoting}
        self._grammar = Grammar(chosen)
        self._delimiter: str = chosen.delimiter
        self._quote = self._grammar.quote.decode()
        self._splits = not chosen.skipinitialspace
        self._spans = [special for special in self._grammar.specials if special != self._grammar.quote]
        self._scanner = RecordScanner(self._grammar)
        self._rest = bytearray()  # the record that has no end yet, at most `max_record` and a CR of it
        self._line = 0  # lines that are done

    def _feed(self, data: bytes, items: list[Any]) -> None:
        self._rest += data
        cut = self._scanner.cut(self._rest)
        if cut:
            whole = bytes(memoryview(self._rest)[:cut])
            del self._rest[:cut]
            self._records(whole, items)
        if len(self._rest) > self._max_record + 1:
            raise self._too_long()

    def _close(self, items: list[Any]) -> None:
        if not self._rest:
            return
        size = len(self._rest.removesuffix(b"\r"))
        self._rest += b"\n"
        if self._scanner.cut(self._rest) == len(self._rest):
            self._records(bytes(self._rest), items)
        elif size > self._max_record:
            raise self._too_long()
        elif self._scanner.quoted:
            raise self._refusal(
                f"line {self._line + 1}: a quote is opened and never closed. Either the file is cut off, or quotes are "
                "mere text in it: then give a dialect whose quoting is csv.QUOTE_NONE"
            )
        else:
            raise self._refusal(f"line {self._line + 1}: there is nothing behind the last escape character")
        self._rest.clear()

    # -- whole records

    def _records(self, data: bytes, items: list[Any]) -> None:
        at = 0
        while self._header_to_come and at < len(data):
            at = self._next(data, at, items)
        rest = data[at:]
        if not rest or (len(rest) <= min(self._max_field, self._max_record) and self._quickly(rest, items)):
            return
        at = 0
        while at < len(rest):
            at = self._next(rest, at, items)

    def _quickly(self, data: bytes, items: list[Any]) -> bool:
        """Decode all records in a few passes; False: something is special about them."""
        try:
            text = data.decode()
            lines = self._lines(data, text)
            rows = None if lines is None else self._split(lines)
            if lines is None or rows is None:
                reader = csv.reader(io.StringIO(text, newline=""), **self._options)
                decoded = self._items(reader)
                self._line += reader.line_num
            else:
                decoded = self._items(rows)
                self._line += len(lines)
        except Exception:  # it comes again where it can be named; or it is the limit of `csv`, which is not ours
            return False
        items.extend(decoded)
        self.count += len(decoded)
        return True

    def _lines(self, data: bytes, text: str) -> list[str] | None:
        """The lines, if it is plain where they end, and each may be a record; None: that is for `csv` to find out."""
        if not self._splits or any(special in data for special in self._spans):
            return None
        if self._names is None or len(self._names) < 2:  # a blank line would look like an empty cell
            return None
        if b"\r" not in data:
            return text.split("\n")[:-1]
        lines = text.split("\r\n")[:-1]
        # To take a character out takes a fraction of the time of `count`.
        same = len(data) - len(lines)
        return lines if len(data.replace(b"\r", b"")) == same == len(data.replace(b"\n", b"")) else None

    def _split(self, lines: list[str]) -> Iterable[list[str]] | None:
        """The cells of lines, of which `csv` reads those with quotes only; None: a record goes over several of them."""
        quote, delimiter = self._quote, self._delimiter
        quoted = [line for line in lines if quote in line] if quote else []
        if not quoted:
            return map(str.split, lines, repeat(delimiter))
        try:
            rows = list(csv.reader(quoted, **self._options))
        except csv.Error:
            rows = []
        if len(rows) < len(quoted):  # a quote that was open at the end of a line took the next one of them
            self._spans.append(self._grammar.quote)  # it may do so again: that is not tried any more
            return None
        row = iter(rows)
        return (next(row) if quote in line else line.split(delimiter) for line in lines)

    def _items(self, rows: Iterable[list[str]]) -> list[Any]:
        """Rows as items; raises if one of them does not fit the columns or the type."""
        if self._make is None:
            self._make = row_maker(self._names, self._nullable)
        values = self._make(rows)
        if self._type is None:
            return values
        converted: list[Any] = msgspec.convert(values, self._rows_type, strict=False)
        return converted

    # -- one record

    def _next(self, data: bytes, at: int, items: list[Any]) -> int:
        """Decode the record that starts at `at`, or say what is wrong with it; where the next one starts."""
        found = self._grammar.record.match(data, at)
        assert found is not None
        record = data[at : found.start("end")]
        if len(record) > self._max_record:
            raise self._too_long()
        if record:
            row = self._fitted(self._row(record))
            if row is not None:
                items.append(self._item(row))
                self.count += 1
        self._line += len(_line_end.findall(found[0]))
        return found.end()

    def _row(self, record: bytes) -> list[str]:
        row: list[str] = []
        try:
            for cell, size in self._grammar.split(record):
                if size > self._max_field:
                    limit = self._max_field
                    raise self._wrong(f"cell {len(row) + 1} is longer than max_field={limit} bytes; raise max_field")
                row.append(cell.decode())
        except StrayText:
            raise self._wrong(
                f"cell {len(row) + 1} goes on behind its closing quote; a quote inside of quotes is written twice"
            ) from None
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x}"
            raise self._wrong(f"cell {len(row) + 1} is not UTF-8 ({found}); convert it to UTF-8", error) from error
        return row

    def _fitted(self, row: list[str]) -> list[str] | None:
        """The row with as many cells as there are columns; None for the header."""
        if self._header_to_come:
            self._header_to_come = False
            self._names = self._header(row)
            return None
        width = len(row) if self._names is None else len(self._names)
        if len(row) > width and self._extra == "error":
            raise self._wrong(f'{len(row)} cells for {width} columns; pass extra="ignore" to leave the last ones out')
        if len(row) < width and self._missing == "error":
            raise self._wrong(f'{len(row)} cells for {width} columns; pass missing="empty" to have empty cells there')
        return row[:width] + [""] * (width - len(row))

    def _header(self, row: list[str]) -> Sequence[str]:
        if self._names is not None and row != list(self._names):
            raise self._wrong(
                f"the header names {', '.join(row)}, and columns= {', '.join(self._names)}; leave columns= out to go "
                "by the header, or pass header=False if this is a row"
            )
        twice = [name for name in row if row.count(name) > 1]
        if twice:
            raise self._wrong(f"the header names {twice[0]!r} twice; rename one of them")
        return row

    def _item(self, row: list[str]) -> Any:
        try:
            decoded = self._items([row])
        except Exception as error:
            raise self._wrong(self._misfit(row, error), error) from error
        return decoded[0]

    def _misfit(self, row: list[str], error: Exception) -> str:
        name = getattr(self._type, "__name__", str(self._type))
        text = str(error).replace("`$[0]", "`$").removesuffix(" - at `$`")
        place = _place.search(text)
        shown = ""
        if place is not None and self._names is not None and place[1] in self._names:
            cell = row[list(self._names).index(place[1])]
            shown = f", where the cell is {cell if len(cell) <= 80 else cell[:80] + '...'!r}"
        return f"the row does not fit {name}: {text}{shown}"

    def _wrong(self, what: str, cause: BaseException | None = None) -> Exception:
        return self._refusal(f"line {self._line + 1}: {what}", cause)

    def _too_long(self) -> Exception:
        return self._wrong(f"the record is longer than max_record={self._max_record} bytes; raise max_record")
