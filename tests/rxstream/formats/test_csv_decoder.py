"""CSV as it is read: what the standard library's `csv` reads, bounded, and refused where that would guess."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
from collections.abc import Iterator
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxstream.formats.csv_records as records
from rxstream.formats import CSVDecoder, CSVEncoder
from tests.rxstream.formats.decoded import Make, check_every_split, cut, cuts, good, in_bytes, refused, run


@dataclasses.dataclass
class Trade:
    """A record of the standard library."""

    symbol: str
    price: float
    at: dt.datetime | None = None
    open: bool = False


class Sample(msgspec.Struct, rename={"n": "N"}):
    """A record of msgspec."""

    n: int | None
    text: str = "none"


class Row(TypedDict):
    """A record that stays a dict."""

    n: int


class Escaped(csv.Dialect):
    """Quotes inside of quotes are escaped."""

    delimiter = ";"
    quotechar = "'"
    escapechar = "\\"
    doublequote = False
    skipinitialspace = True
    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL


class Both(Escaped):
    """Quotes inside of quotes are doubled, or escaped."""

    doublequote = True


class Unquoted(csv.Dialect):
    """Quotes are text."""

    delimiter = "\t"
    quotechar = None
    lineterminator = "\n"
    quoting = csv.QUOTE_NONE


class Single(csv.excel):
    """Quotes inside of quotes cannot be."""

    doublequote = False


DIALECTS: list[Any] = ["excel", "excel-tab", "unix", Escaped, Both, Unquoted, Single]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


ADVICE = 'pass missing="empty" to have empty cells there'


def rows(**options: Any) -> Make:
    """Makes decoders of rows without names."""
    return lambda: CSVDecoder[Any](header=False, **options)


def csvs(kind: Any = None, **options: Any) -> Make:
    """Makes decoders."""
    return lambda: CSVDecoder[Any](kind, **options)


def by_csv(text: str, dialect: Any) -> list[list[str]] | None:
    """What the standard library reads; None: an error."""
    quoting: Any = csv.QUOTE_NONE if dialect is Unquoted else csv.QUOTE_MINIMAL
    if not text.endswith(("\r", "\n")):
        text += "\n"  # without it, an escaped line end earlier in the last record is an error
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), dialect, strict=True, quoting=quoting) if row]
    except csv.Error:
        return None


@every_dialect
@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from(list("a,;\t\"'\\ \r\nä\0")), max_size=30), cuts=cuts)
def test_reads_what_csv_reads(dialect: Any, text: str, cuts: list[int]) -> None:
    """Any text, in any pieces, cell for cell; and what `csv` refuses in strict mode is refused."""
    expected = by_csv(text, dialect)
    for chunks in (cut(text.encode(), cuts), in_bytes(text.encode())):
        items, error = run(rows(dialect=dialect), chunks)
        if getattr(dialect, "escapechar", None) and text.rstrip("\r\n").endswith("\\"):
            continue  # an escape character at the very end: `csv` escapes a line end with it that is not there
        if expected is None:
            assert error is not None
        else:
            assert (items, error) == (expected, None)


@every_dialect
@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from(list("a,;\t\"'\\ \r\nä")), max_size=30), cuts=cuts)
def test_reads_the_same_without_the_reader_of_the_standard_library(dialect: Any, text: str, cuts: list[int]) -> None:
    """Cells above its limit are read here; a limit of 0 makes that all of them."""
    expected = run(rows(dialect=dialect), [text.encode()])
    limit = csv.field_size_limit(0)
    try:
        assert run(rows(dialect=dialect), cut(text.encode(), cuts)) == expected
    finally:
        csv.field_size_limit(limit)


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(st.sampled_from(["a,b", "a", ",", '"', "\r", "\n", "\r\n", "\n\n", "1,2\r\n"]), max_size=20).map(
        "".join
    ),
    cuts=cuts,
    width=st.sampled_from([1, 2, 300]),
)
def test_rows_with_names_are_what_csv_reads(text: str, cuts: list[int], width: int) -> None:
    """The same cells under their names, through each of the ways that rows are made."""
    names = [f"n{index}" for index in range(width)]
    make = csvs(columns=names, header=False, extra="ignore", missing="empty")
    expected = by_csv(text, "excel")
    items, error = run(make, cut(text.encode(), cuts))
    if expected is None:
        assert error is not None
        return
    padded = [[*row, *[""] * width][:width] for row in expected]
    assert (items, error) == ([dict(zip(names, row, strict=True)) for row in padded], None)
    strict = run(csvs(columns=names, header=False), [text.encode()])
    if all(len(row) == width for row in expected):
        assert strict == (items, None)
    else:
        assert strict[1] is not None


def test_cells_above_the_limit_of_the_standard_library() -> None:
    """A cell may have a MiB, whatever the limit of the process, which is left as it is."""
    limit = csv.field_size_limit()
    cell = 'a"b\n' * 60_000
    body = CSVEncoder[Any]().encode([{"a": cell, "b": "1"}, {"a": "2", "b": cell}, {"a": "3", "b": "4"}])
    assert len(cell) > limit
    expected = [{"a": cell, "b": "1"}, {"a": "2", "b": cell}, {"a": "3", "b": "4"}]
    assert good(csvs(), body) == expected
    assert run(csvs(), [body[at : at + 5000] for at in range(0, len(body), 5000)]) == (expected, None)
    assert csv.field_size_limit() == limit


@pytest.fixture
def small_limit() -> Iterator[None]:
    """A limit that somebody else in the process has set."""
    limit = csv.field_size_limit(3)
    yield
    csv.field_size_limit(limit)


def test_the_limit_of_the_process_does_not_count(small_limit: None) -> None:
    """What others set for their readers is theirs."""
    assert good(csvs(), b'a,b\nlonger,"than, three"\n') == [{"a": "longer", "b": "than, three"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(end: str) -> None:
    """Any kind, none at the end of the last line, blank ones anywhere, and any of them inside of quotes."""
    text = f'{end}a,b{end}1,2{end}{end}{end}"3{end}{end}4",""{end}5,6'
    expected = [{"a": "1", "b": "2"}, {"a": f"3{end}{end}4", "b": ""}, {"a": "5", "b": "6"}]
    assert check_every_split(csvs(), text.encode()) == (expected, None)
    assert check_every_split(csvs(), (text + end).encode()) == (expected, None)
    bad = check_every_split(csvs(), f"{text}{end}7{end}".encode())
    assert bad == (expected, (3, 'line 10: 1 cells for 2 columns; pass missing="empty" to have empty cells there'))


@pytest.mark.parametrize("body", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"a,b", b"a,b\r\n\r\n"])
def test_no_rows(body: bytes) -> None:
    """Nothing, or a header alone, is a document without rows."""
    assert check_every_split(csvs(), body) == ([], None)


@pytest.mark.parametrize("first", [b"1,2\n3,4\r\n", b"1,2\r3,4\r\n", b"1,2\n3,4\r5,6\r\n", b'1,"2\r\n3,4\n"\r\n'])
def test_line_ends_of_several_kinds(first: bytes) -> None:
    """None of them is taken for a part of a cell, also where the number of cells would be right then."""
    for width in (2, 3, 4):
        names = [f"n{index}" for index in range(width)]
        rest = b",".join([b"x"] * width) + b"\r\n"
        expected = [row for row in by_csv((first + rest).decode(), "excel") or [] if len(row) == width]
        items, error = run(csvs(columns=names, header=False), [first + rest])
        if len(by_csv(first.decode(), "excel") or [[]]) + 1 == len(expected):
            assert (items, error) == ([dict(zip(names, row, strict=True)) for row in expected], None)
        else:
            assert (items, error) == ([], (0, f"line 1: 2 cells for {width} columns; {ADVICE}"))


def test_space_behind_a_delimiter() -> None:
    """Is skipped where the dialect says so, with and without names."""
    assert good(csvs(dialect=Escaped), b"a; b\n1;  2 \n") == [{"a": "1", "b": "2 "}]
    assert good(csvs(dialect="excel"), b"a, b\n1,  2 \n") == [{"a": "1", " b": "  2 "}]


def test_columns() -> None:
    """From the header, from the caller, from both if they agree, or none."""
    assert good(csvs(), b"a,b\n1,2\n") == [{"a": "1", "b": "2"}]
    assert good(csvs(columns=["a", "b"], header=False), b"a,b\n1,2\n") == [{"a": "a", "b": "b"}, {"a": "1", "b": "2"}]
    assert good(csvs(columns=["a", "b"]), b"a,b\n1,2\n") == [{"a": "1", "b": "2"}]
    assert good(csvs(header=False), b"a,b\n1,2,3\n") == [["a", "b"], ["1", "2", "3"]]
    assert good(csvs(tuple[str, int], header=False), b"a,1\n") == [("a", 1)]
    assert refused(csvs(columns=["b", "a"]), b"a,b\n1,2\n") == (
        "line 1: the header names a, b, and columns= b, a; leave columns= out to go by the header, "
        "or pass header=False if this is a row"
    )
    assert refused(csvs(), b"a,b,a\n1,2,3\n") == "line 1: the header names 'a' twice; rename one of them"


def test_names_of_any_kind() -> None:
    """Columns may be called anything at all, and be as many as they like."""
    names = ['"', "'", "\\", "{x}", "c0", "__import__", "\n", "", "ä", "None", "'''", "lambda: 0"]
    body = CSVEncoder[Any](formula_guard=False).encode([{name: f"={name}" for name in names}])
    assert good(csvs(), body) == [{name: f"={name}" for name in names}]
    many = {f"n{index}": str(index) for index in range(1000)}
    assert good(csvs(), CSVEncoder[Any]().encode([many, many])) == [many, many]


def test_rows_that_are_too_long_or_too_short() -> None:
    """An error, or what the options say; the rows around them are not touched."""
    body = b"a,b\n1,2\n3\n4,5,6\n7,8\n"
    first = {"a": "1", "b": "2"}
    assert check_every_split(csvs(missing="empty"), body) == (
        [first, {"a": "3", "b": ""}],
        (2, 'line 4: 3 cells for 2 columns; pass extra="ignore" to leave the last ones out'),
    )
    assert check_every_split(csvs(extra="ignore", missing="empty"), body) == (
        [first, {"a": "3", "b": ""}, {"a": "4", "b": "5"}, {"a": "7", "b": "8"}],
        None,
    )


def test_rows_become_what_the_type_says() -> None:
    """Text becomes numbers, times and booleans; what is not said has its default."""
    body = b"symbol,price,at,open\nX,1.5,2024-05-06T07:08:09Z,true\nY,2,,0\n"
    at = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert check_every_split(csvs(Trade), body) == ([Trade("X", 1.5, at, True), Trade("Y", 2.0, None, False)], None)
    assert good(csvs(Row), b"n,more\n1,2\n") == [{"n": 1}]
    assert good(csvs(Sample), b"N,text\n1,\n,a\n") == [Sample(1, ""), Sample(None, "a")]
    wide = ["N", *map(str, range(300))]
    assert good(csvs(Sample, columns=wide, header=False), b"" + b"," * 300 + b"\n") == [Sample(None)]


def test_a_row_that_does_not_fit_the_type() -> None:
    """The text names line, column and cell."""
    body = b"N,text\n1,a\n" + b"\n" + b"x1,b\n2,c\n"
    assert check_every_split(csvs(Sample), body) == (
        [Sample(1, "a")],
        (1, "line 4: the row does not fit Sample: Expected `int | null`, got `str` - at `$.N`, where the cell is 'x1'"),
    )
    assert refused(csvs(Sample), b"N\n" + b"9" * 100 + b"x\n").endswith(f"where the cell is '{'9' * 80}...'")
    assert refused(csvs(Sample), b"text\na\n") == (
        "line 2: the row does not fit Sample: Object missing required field `N`"
    )
    assert refused(csvs(Sample, header=False), b"1\n") == (
        "line 1: the row does not fit Sample: Expected `object`, got `array`"
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'a\n1\n"2\n3\n', "line 3: a quote is opened and never closed. "),
        (b'a\n1\n"2""\n3', "line 3: a quote is opened and never closed. "),
        (b'a\n1\n"', "line 3: a quote is opened and never closed. "),
        (b'a\n1\n"2"x\n3\n', "line 3: cell 1 goes on behind its closing quote; "),
        (b'a\n1\n"2" \n3\n', "line 3: cell 1 goes on behind its closing quote; "),
        (b"a\n1\n2\xff\n3\n", "line 3: cell 1 is not UTF-8 (byte 0xff); convert it to UTF-8"),
        (b"a\n1\n2\xc3", "line 3: cell 1 is not UTF-8 (byte 0xc3); convert it to UTF-8"),
        (b"a\n1\n\xed\xa0\x80", "line 3: cell 1 is not UTF-8 (byte 0xed); convert it to UTF-8"),
    ],
)
def test_what_is_refused(body: bytes, text: str) -> None:
    """Quotes that are not closed, or closed too early, and what is no text; the rows before them come."""
    items, error = check_every_split(csvs(), body)
    assert items == [{"a": "1"}]
    assert error is not None
    assert error[0] == 1
    assert error[1].startswith(text)


def test_an_escape_character_at_the_end() -> None:
    """What it would escape has been cut off."""
    assert check_every_split(rows(dialect=Escaped), b"a;b\nc\\") == (
        [["a", "b"]],
        (1, "line 2: there is nothing behind the last escape character"),
    )


def test_a_quote_inside_of_a_cell_is_text() -> None:
    """As for `csv`, only at the start of a cell it means anything."""
    assert check_every_split(rows(), b'5" pipe,a""b\n"6"" pipe",\n') == ([['5" pipe', 'a""b'], ['6" pipe', ""]], None)
    assert check_every_split(rows(dialect=Unquoted), b'"a\t"\n"b"\n') == ([['"a', '"'], ['"b"']], None)


def test_limits() -> None:
    """Of cells and of records, their quotes included, whether their end has come or not; the limits are fine."""
    make = rows(max_field=4, max_record=9)
    assert check_every_split(make, b'1234,5678\r\n"1\n"\n1234,5678') == (
        [["1234", "5678"], ["1\n"], ["1234", "5678"]],
        None,
    )
    cell = (1, "line 2: cell 2 is longer than max_field=4 bytes; raise max_field")
    record = (1, "line 2: the record is longer than max_record=9 bytes; raise max_record")
    for end in (b"", b"\r", b"\r\n", b"\r\n1"):
        for bad in (b"1,23456", b'1,"234"', b"1,23456,\xff", b'1,"23""4"'):
            assert check_every_split(make, b"a\n" + bad + end) == ([["a"]], cell)
        for bad in (b"1,2,3,4,5,6", b"1234567890", b'"234567890', b"1,\xff,34567890"):
            assert check_every_split(make, b"a\n" + bad + end) == ([["a"]], record), (bad, end)


def test_options_are_checked() -> None:
    """Wrong ones are refused when the decoder is built."""
    options: dict[str, tuple[Any, type[Exception], str]] = {
        "columns": ("ab", TypeError, "sequence of names"),
        "extra": ("drop", ValueError, "extra must be"),
        "missing": ("drop", ValueError, "missing must be"),
        "dialect": ("none such", ValueError, "dialect: "),
        "type": (5, TypeError, "Type"),
    }
    for name, (value, error, text) in options.items():
        with pytest.raises(error, match=text):
            CSVDecoder[Any](**{name: value})
    for wrong in ({"delimiter": '"'}, {"delimiter": "ä"}, {"escapechar": ","}):
        dialect = type("Wrong", (csv.excel,), wrong)
        with pytest.raises(ValueError, match="dialect: "):
            CSVDecoder(dialect=dialect)


@pytest.mark.parametrize(
    "record",
    [b'"' + b"a\n" * 50_000 + b'"', b'"' + b'""' * 50_000 + b'"', b"a," * 50_000, b'"",' * 30_000, b"a" * 100_000],
)
def test_each_byte_of_a_large_record_is_looked_at_once(record: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the chunks: what patterns go over is the size of the record, not its square."""
    looked = 0
    end = records._end

    def counted(pattern: Any, data: Any, at: int) -> int:
        nonlocal looked
        result = end(pattern, data, at)
        looked += result - at
        return result

    monkeypatch.setattr(records, "_end", counted)
    body = b"a\n" + record + b"\nb\n"
    items, error = run(rows(), [body[at : at + 50] for at in range(0, len(body), 50)])
    assert error is None
    assert len(items) == 3
    assert looked < 3 * len(body)


@given(text=st.text(st.sampled_from(list('a,"\r\n')), max_size=40))
def test_quotes_alone_tell_where_records_end(text: str) -> None:
    """The fast way finds the end that the patterns find, or leaves it to them."""
    grammar = records.Grammar(records.resolve_dialect("excel"))
    data = bytearray(text.encode())
    found = grammar.last_end_by_quotes(data, 0)
    assert found in (None, records._end(grammar.records, data, 0))


def test_quotes_alone_are_enough_for_what_csv_writes() -> None:
    """Cells with quotes, delimiters and line ends in them, as the standard library writes them."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["a", 'b"c', "d,e", "f\r\ng", ""], ['"', "", '""', "\n", "x"]] * 3)
    data = bytearray(text.getvalue().encode())
    assert records.Grammar(records.resolve_dialect("excel")).last_end_by_quotes(data, 0) == len(data)
