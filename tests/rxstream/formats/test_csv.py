"""Rows, columns and cells."""

from __future__ import annotations

import collections
import csv
import dataclasses
import datetime as dt
import enum
import io
import sqlite3
import types
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rxstream.formats import CSVEncoder


@dataclasses.dataclass
class Point:
    """A record of the standard library."""

    a: Any
    b: Any


class Sample(msgspec.Struct):
    """A record of msgspec."""

    a: Any
    b: Any


class Model(pydantic.BaseModel):
    """A record of pydantic."""

    a: Any
    b: Any


class Pair(NamedTuple):
    """A tuple with names."""

    a: Any
    b: Any


class Word(enum.Enum):
    """A value that looks like a formula."""

    SUM = "=SUM(A1)"
    TWO = 2


def attrs_like(a: Any, b: Any) -> Any:
    """An object with the marks of attrs, which is not a dependency."""
    field = types.SimpleNamespace
    kind = type("Marked", (), {"__attrs_attrs__": (field(name="a"), field(name="b")), "a": a, "b": b})
    return kind()


def sqlite_row(a: Any, b: Any) -> Any:
    """A row as a database cursor gives it."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select ? as a, ? as b", (a, b)).fetchone()
    connection.close()
    return row


NAMED: list[Any] = [
    lambda a, b: {"a": a, "b": b},
    lambda a, b: types.MappingProxyType({"a": a, "b": b}),
    lambda a, b: collections.OrderedDict(a=a, b=b),
    lambda a, b: Model(a=a, b=b),
    Point,
    Sample,
    Pair,
    attrs_like,
    sqlite_row,
]


def document(items: list[Any], **options: Any) -> bytes:
    """The document of a batch that must not fail."""
    encoder: CSVEncoder[Any] = CSVEncoder(**options)
    encoded = encoder.encode(items)
    assert encoder.failure is None, encoder.failure
    return encoded + encoder.finish()


def cell(value: Any, **options: Any) -> str:
    """What one value looks like, beside another."""
    return document([(value, "end")], **options).decode().removesuffix(",end\r\n")


def refusal(items: list[Any], **options: Any) -> str:
    """Why the last of these items is refused."""
    encoder: CSVEncoder[Any] = CSVEncoder(**options)
    assert encoder.encode(items) == CSVEncoder(**options).encode(items[:-1])
    assert encoder.failure is not None
    assert encoder.failure.index == len(items) - 1
    return str(encoder.failure)


@pytest.mark.parametrize("make", NAMED)
def test_columns_come_from_the_first_item(make: Any) -> None:
    """Every kind of row that has names."""
    assert document([make(1, "x"), make(2, "y")]) == b"a,b\r\n1,x\r\n2,y\r\n"


@pytest.mark.parametrize("make", NAMED)
def test_given_columns_choose_and_order(make: Any) -> None:
    """Every kind of row by other columns."""
    assert document([make(1, "x")], columns=["b"], extra="ignore") == b"b\r\nx\r\n"
    assert document([make(1, "x")], columns=["b", "a"]) == b"b,a\r\nx,1\r\n"
    assert document([make(1, "x")], columns=["b", "c"], extra="ignore", missing="empty") == b"b,c\r\nx,\r\n"


@pytest.mark.parametrize("make", NAMED)
def test_unknown_and_missing_columns_are_refused(make: Any) -> None:
    """Every kind of row, with the column's name and the way out."""
    assert refusal([make(1, 2)], columns=["a"]) == (
        "item 0: unknown column 'b'; give columns=, or extra=\"ignore\" to leave it out"
    )
    assert refusal([make(1, 2)], columns=["a", "b", "c"]) == (
        "item 0: no value for column 'c'; pass missing=\"empty\" to leave the cell empty"
    )


def test_rows_may_be_of_several_classes() -> None:
    """The columns count, not the class."""
    rows = [make(n, "x") for n, make in enumerate(NAMED)]
    expected = b"a,b\r\n" + b"".join(b"%d,x\r\n" % n for n in range(len(NAMED)))
    assert document(rows) == expected
    assert b"".join([*map((encoder := CSVEncoder[Any]()).encode, [[row] for row in rows])]) == expected
    assert encoder.failure is None


@pytest.mark.parametrize("later", [{"a": 1, "c": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_rows_that_change_their_columns_are_refused(later: dict[str, int]) -> None:
    """No value is put under another name, and none is lost in silence."""
    assert "column" in refusal([{"a": 1, "b": 2}, later])


def test_missing_and_extra_by_choice() -> None:
    """Empty cells and values left out, when the caller says so."""
    rows = [{"a": 1, "b": 2}, {"b": 3}, {"a": 4, "b": 5, "c": 6}]
    assert document(rows, extra="ignore", missing="empty") == b"a,b\r\n1,2\r\n,3\r\n4,5\r\n"


def test_rows_are_not_changed_by_reading() -> None:
    """A mapping that makes its values up is not asked for more than it has."""
    row: dict[str, Any] = collections.defaultdict(int, a=1)
    assert document([row], columns=["a", "b"], missing="empty") == b"a,b\r\n1,\r\n"
    assert dict(row) == {"a": 1}


def test_sequences_have_no_header() -> None:
    """Unless their columns are named."""
    assert document([[1, "x"], (2, "y")]) == b"1,x\r\n2,y\r\n"
    assert document([[1, "x"]], columns=["n", "t"]) == b"n,t\r\n1,x\r\n"
    assert document([np.array([1, 2])]) == b"1,2\r\n"


def test_sequences_of_another_length_are_refused() -> None:
    """Too long or too short, with the way out; or cut and filled."""
    assert refusal([[1, 2], [1]]) == 'item 1: 1 values for 2 columns; pass missing="empty" for empty cells'
    assert refusal([[1, 2], [1, 2, 3]]) == 'item 1: 3 values for 2 columns; pass extra="ignore" to cut them off'
    assert document([[1, 2], [3], [4, 5, 6]], extra="ignore", missing="empty") == b"1,2\r\n3,\r\n4,5\r\n"


def test_mapping_after_a_sequence_is_refused() -> None:
    """The columns have no names to match."""
    assert "the columns have no names, since the first item was a sequence; give columns=" in refusal([[1], {"a": 1}])


@pytest.mark.parametrize("item", ["text", b"bytes", 7, None, True, {1, 2}, object(), np.int64(3)])
def test_items_that_are_no_rows_are_refused(item: Any) -> None:
    """A text is not a row of its letters."""
    message = refusal([item])
    assert "is no row; give a mapping, a dataclass, a Struct or a sequence" in message
    assert type(item).__name__ in message


@pytest.mark.parametrize("item", [{}, [], ()])
def test_rows_without_columns_are_refused(item: Any) -> None:
    """There is nothing to write."""
    assert refusal([item]) == "item 0: a row without columns; give columns="


def test_keys_that_are_the_same_text_are_refused() -> None:
    """1 and "1" would be two columns of one name."""
    assert "two of its keys are the same as text" in refusal([{1: "a", "1": "b"}])
    assert document([{1: "a", "2": "b"}]) == b"1,2\r\na,b\r\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (np.bool_(True), "true"),
        (-5, "-5"),
        (2**80, str(2**80)),
        (0.1, "0.1"),
        (-1e-7, "-1e-07"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (np.float64(0.5), "0.5"),
        (np.int8(-3), "-3"),
        (Decimal("-1.50"), "-1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.datetime(2024, 5, 6, 7, 8, 9), "2024-05-06T07:08:09"),
        (dt.datetime(2024, 5, 6, tzinfo=dt.timezone(dt.timedelta(seconds=-90))), "2024-05-06T00:00:00-00:01:30"),
        (dt.date(2024, 5, 6), "2024-05-06"),
        (dt.time(7, 8), "07:08:00"),
        (dt.timedelta(days=1, seconds=2), "P1DT2S"),
        (Word.TWO, "2"),
        (msgspec.UNSET, ""),
        ("", ""),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
    ],
)
def test_cells(value: Any, text: str) -> None:
    """Each type of value, alike alone, beside its like and beside others in its column."""
    assert cell(value) == text
    assert document([(value, 1), (value, 1)]).decode() == f"{text},1\r\n" * 2
    mixed = document([(value, 1), ("x", 1), (None, 1), (True, 1), (value, 1)]).decode()
    assert mixed == f"{text},1\r\nx,1\r\n,1\r\ntrue,1\r\n{text},1\r\n"


@pytest.mark.parametrize("value", [{"a": 1}, [1], (1,), {1}, b"x", np.array([1, 2])])
def test_values_that_are_no_cells_are_refused(value: Any) -> None:
    """Nested values and bytes, with the column's name."""
    message = refusal([{"n": 1, "v": value}])
    assert "column 'v': a " in message
    assert "does not fit in one cell; flatten it, or make it text, with serialize=" in message
    assert "column 0: " in refusal([[value]])


def test_values_of_unknown_types_are_refused() -> None:
    """With the class's name."""
    assert "column 'v': builtins.complex has no CSV form" in refusal([{"v": 1j}])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_formula_guard(start: str) -> None:
    """Text that a spreadsheet would run gets a quote mark, alone and among others; with the guard off it does not."""
    text = start + "1+1"
    for items in ([(text, 1)], [("a", 1), (text, 1)], [(None, 1), (text, 1)], [("a\nb", 1), (text, 1)]):
        read = list(csv.reader(io.StringIO(document(list(items)).decode(), newline="")))
        assert read[-1] == ["'" + text, "1"]
    assert next(csv.reader(io.StringIO(cell(text, formula_guard=False), newline="")))[0] == text


def test_formula_guard_covers_whatever_is_text() -> None:
    """Enum values, other text classes, and the names of columns; never numbers, nor text that has it later."""
    assert cell(Word.SUM) == "'=SUM(A1)"
    assert cell(type("Text", (str,), {})("=1")) == "'=1"
    assert document([{"=a": 1, "b": 2}]).startswith(b"'=a,b\r\n")
    assert cell("a=1\n=2") == '"a=1\n=2"'
    assert cell(-1) == "-1"


def test_options() -> None:
    """Header, dialect, line end and byte order mark."""
    row = [{"a": "x;y", "b": 1}]
    assert document(row, header=False) == b"x;y,1\r\n"
    assert document(row, dialect="excel-tab") == b"a\tb\r\nx;y\t1\r\n"
    assert document(row, line_end="\n", bom=True) == b"\xef\xbb\xbfa,b\nx;y,1\n"

    class Semicolons(csv.excel):
        delimiter = ";"

    assert document(row, dialect=Semicolons) == b'a;b\r\n"x;y";1\r\n'
    assert document(row, dialect=csv.unix_dialect) == b'"a","b"\r\n"x;y","1"\r\n'


def test_mark_comes_once() -> None:
    """The byte order mark is at the start of the document only."""
    encoder: CSVEncoder[Any] = CSVEncoder(bom=True, header=False)
    assert encoder.encode([[1]]) + encoder.encode([[2]]) == b"\xef\xbb\xbf1\r\n2\r\n"


def test_dialect_that_cannot_say_it_is_refused() -> None:
    """No quotes, no escape: an item with the delimiter in it has no form."""

    class Bare(csv.excel):
        quoting = csv.QUOTE_NONE

    assert "does not fit the dialect (" in refusal([["a", 1], ["a,b", 1]], dialect=Bare)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": "abc"}, TypeError, "columns must be a sequence of names, not the text 'abc'"),
        ({"columns": ["a", 1]}, TypeError, "columns must be text, found 1"),
        ({"columns": []}, ValueError, "columns must name at least one"),
        ({"columns": ["a", "b", "a"]}, ValueError, "columns names 'a' more than once"),
        ({"line_end": "\r"}, ValueError, "line_end must be"),
        ({"extra": "drop"}, ValueError, "extra must be 'error' or 'ignore', not 'drop'"),
        ({"missing": "null"}, ValueError, "missing must be 'error' or 'empty', not 'null'"),
        ({"dialect": "nonsense"}, ValueError, "dialect: unknown dialect"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """When the encoder is built."""
    with pytest.raises(error, match=message):
        CSVEncoder(**options)


class Spaced(csv.excel):
    """Spaces behind a delimiter do not count."""

    skipinitialspace = True


class Numbered(csv.excel):
    """Text is quoted, numbers are not."""

    quoting = csv.QUOTE_NONNUMERIC


cells = st.text("a,;\"'\r\n\t |x", max_size=4) | st.integers() | st.floats() | st.none()


_magnitudes = st.builds(lambda digits, power: digits * 10.0**power, st.floats(-10, 10), st.integers(-7, 18))


@example([(0.00005, 0)])
@example([(0.0001, 0), (1e15, 0)])
@example([(1e16, 10**30)])
@given(st.lists(st.tuples(st.floats() | _magnitudes, st.integers()), min_size=1))
def test_numbers_are_what_python_writes(rows: list[tuple[float, int]]) -> None:
    """Every digit and exponent is that of `repr`, also near the ends of where it writes none."""
    encoded = CSVEncoder[Any](columns=("float", "int")).encode(rows).decode()
    assert encoded.split("\r\n")[1:-1] == [f"{number!r},{whole!r}" for number, whole in rows]


@given(
    rows=st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), min_size=1, max_size=5)),
    dialect=st.sampled_from(["excel", "excel-tab", "unix", Spaced, Numbered]),
)
def test_rows_are_what_csv_writes(rows: list[Any], dialect: Any) -> None:
    """Byte for byte the standard library's, whatever short cut was taken."""
    sink = io.StringIO(newline="")
    csv.writer(sink, dialect, lineterminator="\r\n").writerows(rows)
    assert document(rows, dialect=dialect, formula_guard=False) == sink.getvalue().encode()
