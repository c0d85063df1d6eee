"""JSON as lines and as an array: what is read, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rxstream.formats.json_reader as reader
from rxstream.formats import JSONArrayDecoder, NDJSONDecoder
from rxstream.formats.json_reader import JSONScanner
from tests.rxstream.formats.decoded import Make, check_every_split, good, in_bytes, refused, run


@dataclasses.dataclass
class Point:
    """A record of the standard library."""

    x: int
    at: dt.datetime | None = None


class Sample(msgspec.Struct):
    """A record of msgspec."""

    x: int


class Row(TypedDict):
    """A record that stays a dict."""

    x: int


def lines(**options: Any) -> Make:
    """Makes decoders of lines."""
    return lambda: NDJSONDecoder[Any](**options)


def array(**options: Any) -> Make:
    """Makes decoders of arrays."""
    return lambda: JSONArrayDecoder[Any](**options)


BOTH = [
    pytest.param(lines, lambda *values: b"".join(value + b"\n" for value in values), "line 2", id="lines"),
    pytest.param(array, lambda *values: b"[" + b",".join(values) + b"]", "item 1", id="array"),
]
both = pytest.mark.parametrize(("make", "body", "second"), BOTH)


@both
@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (Point, Point(1, dt.datetime(2024, 5, 6, tzinfo=dt.UTC))),
        (Sample, Sample(1)),
        (Row, {"x": 1}),
        (dict[str, Any], {"x": 1, "at": "2024-05-06T00:00:00Z"}),
        (None, {"x": 1, "at": "2024-05-06T00:00:00Z"}),
    ],
)
def test_values_become_what_the_type_says(make: Any, body: Any, second: str, kind: Any, item: Any) -> None:
    """Dataclasses, Structs and TypedDicts, and plain dicts where no type is given."""
    value = b'{"x": 1, "at": "2024-05-06T00:00:00Z"}'
    assert good(make(type=kind), body(value, value)) == [item, item]


@both
@pytest.mark.parametrize(
    ("kind", "bad", "text"),
    [
        (Point, b'{"x": "1"}', "does not fit Point: Expected `int`, got `str` - at `$.x`"),
        (Sample, b"{}", "does not fit Sample: Object missing required field `x`"),
        (list[int], b"[1, null]", "does not fit list: Expected `int`, got `null` - at `$[1]`"),
        (
            None,
            b"NaN",
            "is not JSON (invalid character (byte 0)): NaN and Infinity are no numbers there; write null, or text",
        ),
        (
            None,
            b"[-Infinity]",
            "is not JSON (invalid character (byte 2)): NaN and Infinity are no numbers there; write null, or text",
        ),
        (None, b'{"a":}', "is not JSON: invalid character (byte 5)"),
        (None, b"1 2", "is not JSON: trailing characters (byte 3)"),
        (None, b"\x00", "is not JSON: invalid character (byte 0)"),
        (None, b'"\x00"', "is not JSON: invalid character (byte 1)"),
        (None, b'"\xff"', "is not UTF-8 (byte 0xff); convert it to UTF-8"),
        (None, b'"\xed\xa0\x80"', "is not UTF-8 (byte 0xed); convert it to UTF-8"),
        (
            None,
            b'"\\ud800."',
            "is not JSON (it ends too early): it may have one half of a surrogate pair, which is no text",
        ),
        (None, b"1e999", "holds what cannot be decoded: Number out of range"),
        (None, b"1" * 5000, "holds what cannot be decoded: Integer value out of range"),
        (None, b"[" * 65 + b"]" * 65, "is nested deeper than max_depth=64; flatten it, or raise max_depth"),
        (None, b'{"a":' * 65 + b"1" + b"}" * 65, "is nested deeper than max_depth=64; flatten it, or raise max_depth"),
    ],
)
def test_what_is_refused(make: Any, body: Any, second: str, kind: Any, bad: bytes, text: str) -> None:
    """The item before it comes, the one behind it does not, and the text says what is wrong and where."""
    first = b'{"x":1}' if kind in (Point, Sample) else b"[1]"
    outcome = (
        check_every_split(make(type=kind), body(first, bad, first))
        if len(bad) < 100
        else run(make(type=kind), [body(first, bad, first)])
    )
    assert outcome[0] == good(make(type=kind), body(first))
    assert outcome[1] == (1, f"{second} {text}")


@both
@pytest.mark.parametrize(
    "bad", [b'"\\ud800"', b'"\\udc00"', b'"\\udc00\\ud800"', b'"\\ud800\\u0041"', b'{"\\ud800":1}']
)
def test_lone_surrogates_are_refused(make: Any, body: Any, second: str, bad: bytes) -> None:
    """They are no text, and would fail wherever it is written."""
    assert refused(make(), body(b"1", bad)).startswith(f"{second} is not JSON")


@both
def test_numbers_are_exact(make: Any, body: Any, second: str) -> None:
    """Integers of any size, not floats of about that size."""
    numbers = [2**63, -(2**64) - 1, 10**400, 0]
    assert good(make(), body(*(str(number).encode() for number in numbers))) == numbers


@both
def test_depth_up_to_the_limit(make: Any, body: Any, second: str) -> None:
    """The limit itself is fine, brackets in text and brackets side by side do not count."""
    deep = b"[" * 64 + b"]" * 64
    text = b'"' + b"[{" * 500 + b'\\""'
    wide = b"[" + b",".join([b"[{}]"] * 500) + b"]"
    assert good(make(), body(deep, text, wide)) == [json.loads(deep), json.loads(text), json.loads(wide)]
    assert "max_depth=2" in refused(make(max_depth=2), body(b"1", wide))


@both
def test_a_limit_above_what_the_interpreter_can_do(make: Any, body: Any, second: str) -> None:
    """Is an error all the same, and no crash."""
    deep = b"[" * 100_000 + b"]" * 100_000
    text = refused(make(max_depth=200_000), body(b"1", deep))
    assert text == f"{second} is nested too deeply for this interpreter; lower max_depth"
    assert sys.getrecursionlimit() < 100_000


@both
def test_the_hook_of_a_type_that_raises(make: Any, body: Any, second: str) -> None:
    """What user code raises while an item is made is the cause."""

    class Picky(msgspec.Struct):
        x: int

        def __post_init__(self) -> None:
            raise KeyError("x")

    decoder = make(type=Picky)()
    decoder.decode(body(b'{"x":1}'))
    assert str(decoder.failure).endswith("cannot be decoded: KeyError: 'x'")
    assert isinstance(decoder.failure.__cause__, KeyError)


@both
def test_types_are_checked_when_the_decoder_is_built(make: Any, body: Any, second: str) -> None:
    """What msgspec cannot decode into is refused then."""
    with pytest.raises(TypeError):
        make(type=5)()


def test_lines_end_with_lf_or_crlf_and_blank_ones_are_skipped() -> None:
    """The last line needs no end; numbers of lines count the blank ones."""
    assert check_every_split(lines(), b"\n1\r\n \t\r\n\r\n2\n\n3") == ([1, 2, 3], None)
    assert check_every_split(lines(), b"\n1\n \n\n2\n\nx\n") == (
        [1, 2],
        (2, "line 7 is not JSON: invalid character (byte 0)"),
    )
    assert check_every_split(lines(), b"") == ([], None)


@pytest.mark.parametrize(
    "body", [b"1 2\n[3,\n4]\n", b"[1,\n2]\n3\n", b"1,2\n[3\n4]\n", b'{"a":1} {"b":2}\n\n', b"1\n2\n[3\n]\n", b"1\r2\n"]
)
def test_one_value_a_line(body: bytes) -> None:
    """Two values in a line, or one over two, are refused, also where the numbers of both would agree."""
    items, error = check_every_split(lines(), body)
    assert error is not None
    assert items == [1, 2][: len(items)]


def test_a_line_that_is_too_long() -> None:
    """Whether its end has come or not, and whatever is in it; the limit itself is fine."""
    make = lines(max_line=5)
    assert check_every_split(make, b"12345\n1234\r\n12345") == ([12345, 1234, 12345], None)
    text = (1, "line 2 is longer than max_line=5 bytes; raise max_line")
    for long in (b"123456", b"[[[[[[[[", b"      ", b"12345\r"):
        for end in (b"", b"\n", b"\n1\n"):
            assert check_every_split(make, b"1\n" + long + end) == ([1], text)


def test_an_item_that_is_too_long() -> None:
    """The same for items of an array, with the space around them."""
    make = array(max_item=5, max_depth=4)
    assert check_every_split(make, b"[12345, 1234,[1,2],12345]") == ([12345, 1234, [1, 2], 12345], None)
    text = (1, "item 1 is longer than max_item=5 bytes; raise max_item")
    for long in (b"123456", b"1     ", b'"aaaa"', b"[1,23]", b'"[[[[[[', b"[1,2 [[[[["):
        for end in (b"", b",", b",1]", b"]"):
            assert check_every_split(make, b"[1," + long + end) == ([1], text)
    assert check_every_split(make, b"[1,[[[[[[[[") == (
        [1],
        (1, "item 1 is nested deeper than max_depth=4; flatten it, or raise max_depth"),
    )


@pytest.mark.parametrize(
    ("body", "count", "text"),
    [
        (b"", 0, "there is no JSON array, nothing but space; an empty array is []"),
        (b" \n", 0, "there is no JSON array, nothing but space; an empty array is []"),
        (b' {"a": 1}', 0, "the document is no JSON array: it starts with b'{'; lines of JSON are for decode_ndjson"),
        (b"[", 0, "the array has no end: the bytes end in or behind item 0, without a ]"),
        (b"[1", 0, "the array has no end: the bytes end in or behind item 0, without a ]"),
        (b'[1, {"a": "]', 1, "the array has no end: the bytes end in or behind item 1, without a ]"),
        (b"[1,]", 1, "item 1 is missing: there is nothing before a ]"),
        (b"[,1]", 0, "item 0 is missing: there is nothing before a ,"),
        (b"[1, ,2]", 1, "item 1 is missing: there is nothing before a ,"),
        (b"[,]", 0, "item 0 is missing: there is nothing before a ,"),
        (b"[1] x", 1, "b'x' stands behind the ] that closes the array; one array is one document"),
        (b"[1][2]", 1, "b'[' stands behind the ] that closes the array; one array is one document"),
        (b"[1, 2}", 1, "item 1 is not JSON: trailing characters (byte 3)"),
        (b"[1, {]}]", 1, "item 1 is not JSON: object keys must be strings (byte 2)"),
        (b"[1 2]", 0, "item 0 is not JSON: trailing characters (byte 3)"),
    ],
)
def test_arrays_that_are_none(body: bytes, count: int, text: str) -> None:
    """Each is refused in words of its own, behind the items that came."""
    assert check_every_split(array(), body) == ([1, 2][:count], (count, text))


def test_empty_arrays() -> None:
    """No items, and no error."""
    for body in (b"[]", b" [ \n ] \n"):
        assert check_every_split(array(), body) == ([], None)


@pytest.mark.parametrize(
    "items",
    [
        ["},{", "[", '"', "\\", '\\"', ",", "]", "\\\\"],
        [{"a": [{"b": [{"c": [{"d": "}]"}]}]}]}, [], {}, [[[[[1, 2], 3], "["]]]],
        [0, -1.5e3, True, False, None, "\u2028\x7f", "ä€😀"],
    ],
)
@pytest.mark.parametrize("options", [{}, {"indent": 1}, {"ensure_ascii": False, "separators": (",", ":")}])
def test_arrays_that_the_standard_library_wrote(items: list[Any], options: dict[str, Any]) -> None:
    """Brackets, commas and quotes in text, nesting, and the layout do not matter."""
    assert check_every_split(array(), json.dumps(items, **options).encode()) == (items, None)


@settings(max_examples=200, deadline=None)
@given(
    data=st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"a", b'"a"', b"{}", b"[{}]"])).map(
        b"".join
    )
)
def test_the_scanner_is_the_same_with_and_without_its_shortcut(data: bytes) -> None:
    """Whole items in one pattern, or character by character: the last cut is the same."""

    def last(single: bool) -> tuple[int, int, int]:
        scanner, start = JSONScanner(5), 0
        while True:
            scan = scanner.scan(data[start:], single=single)
            start += scan.cut
            if not (single and scan.cut):
                return start, scan.closed, scan.too_deep

    slow, fast = last(True), last(False)
    assert slow[0] == fast[0]
    assert (slow[1] < 0, slow[2] < 0) == (fast[1] < 0, fast[2] < 0)


@pytest.mark.parametrize(
    "item",
    [
        b'"' + b"a" * 100_000 + b'"',
        b'"' + b'\\"' * 50_000 + b'"',
        b"[" + b'"",' * 30_000 + b"1]",
        b"[" + b"{}," * 30_000 + b"1]",
        b'{"a":[' + b'{"b":"}"},' * 10_000 + b"1]}",
    ],
)
def test_each_byte_of_a_large_item_is_looked_at_once(item: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the chunks: what patterns go over is the size of the item, not its square."""
    body, looked = b"[" + item + b"]", 0
    end = reader._end

    def counted(pattern: Any, data: Any, at: int) -> int:
        nonlocal looked
        result = end(pattern, data, at)
        looked += result - at
        return result

    monkeypatch.setattr(reader, "_end", counted)
    items, error = run(array(), [body[at : at + 50] for at in range(0, len(body), 50)])
    assert (items, error) == ([json.loads(item)], None)
    assert looked < 3 * len(body)


def test_a_large_line_in_bytes() -> None:
    """A line that comes byte by byte is put together once."""
    item = "a" * 20_000
    assert run(lines(), in_bytes(json.dumps(item).encode())) == ([item], None)
