"""What holds for every decoder: chunks, the end, failures, limits, byte order marks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxstream.errors import DecodeError
from rxstream.formats import (
    CSVDecoder,
    CSVEncoder,
    Decoder,
    Encoder,
    JSONArrayDecoder,
    JSONArrayEncoder,
    NDJSONDecoder,
    NDJSONEncoder,
    ReceivedEvent,
    SSEDecoder,
    SSEEncoder,
)
from tests.rxstream.formats.decoded import check_every_split, cut, cuts, in_bytes, run

BODIES = [
    (NDJSONDecoder, b'{"n":"1"}\r\n\n{"n":"\xc3\xa4"}'),
    (JSONArrayDecoder, b' [ {"n":"1"} , {"n":"\xc3\xa4"} ] '),
    (CSVDecoder, b'n\r\n1\r\n\r\n"\xc3\xa4"'),
    (SSEDecoder, b"id:1\r\ndata: 1\r\n\r\n:c\rdata: \xc3\xa4\r\r"),
]
every_decoder = pytest.mark.parametrize("make", [make for make, _ in BODIES])
every_body = pytest.mark.parametrize(("make", "body"), BODIES)
# What each decoder has a meaning for, so that random bodies are full of it.
SIGNS = b'\xef\xbb\xbf[]{}:,"\\ \t\r\n019-.eE+truefalsnNI\x00\xc3\xa4\xffidatvx'
bodies = st.lists(
    st.sampled_from(
        [bytes([sign]) for sign in SIGNS]
        + [
            b'{"a":',
            b'"a"',
            b"[1]",
            b'{"a":[{}]}',
            b"data:",
            b"\n\n",
            b"\r\n",
            b"id",
            b"retry: 7",
            b"NaN",
            b'""',
            b'","',
        ]
    ),
    max_size=60,
).map(b"".join)
SMALL: dict[Any, dict[str, int]] = {
    NDJSONDecoder: {"max_line": 20, "max_depth": 3},
    JSONArrayDecoder: {"max_item": 20, "max_depth": 3},
    CSVDecoder: {"max_field": 8, "max_record": 20},
    SSEDecoder: {"max_line": 20, "max_data": 25},
}


@every_body
def test_every_split_gives_the_same_items(make: Callable[[], Decoder[Any]], body: bytes) -> None:
    """Also splits inside of a character, of a line end and of the byte order mark."""
    for document in (body, b"\xef\xbb\xbf" + body):
        items, error = check_every_split(make, document)
        assert error is None
        assert len(items) == 2


@settings(max_examples=400, deadline=None)
@every_decoder
@given(body=bodies, cuts=cuts)
def test_any_chunking_gives_the_same_outcome(make: Any, body: bytes, cuts: list[int]) -> None:
    """Items, and the error's place and text, for any bytes at all, with limits that trip."""
    for build in (make, partial(make, **SMALL[make])):
        whole = run(build, [body])
        assert run(build, cut(body, cuts)) == whole
        assert run(build, in_bytes(body)) == whole


@settings(max_examples=300, deadline=None)
@given(body=bodies.map(lambda body: b"[" + body), cuts=cuts)
def test_any_chunking_of_an_array_gives_the_same_outcome(body: bytes, cuts: list[int]) -> None:
    """The same for what starts as an array, as most random bodies do not."""
    make: Any = JSONArrayDecoder
    for build in (make, partial(make, **SMALL[make])):
        whole = run(build, [body])
        assert run(build, cut(body, cuts)) == whole
        assert run(build, in_bytes(body)) == whole


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(items=st.lists(values, max_size=6), cuts=cuts)
@pytest.mark.parametrize(("encoder", "decoder"), [(NDJSONEncoder, NDJSONDecoder), (JSONArrayEncoder, JSONArrayDecoder)])
def test_json_comes_back(
    encoder: Callable[[], Encoder[Any]], decoder: Callable[[], Decoder[Any]], items: list[Any], cuts: list[int]
) -> None:
    """What an encoder writes, its decoder reads."""
    writer = encoder()
    body = writer.encode(items) + writer.finish()
    assert run(decoder, cut(body, cuts)) == (items, None)


texts = st.text(st.characters(codec="utf-8"))


@settings(deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a,": texts, "b": texts}), min_size=1, max_size=5), cuts=cuts)
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_csv_comes_back(rows: list[dict[str, str]], cuts: list[int], line_end: Any) -> None:
    """Text in cells is read as it was written, line ends, quotes and NUL included."""
    writer: CSVEncoder[Any] = CSVEncoder(line_end=line_end, formula_guard=False, bom=True)
    body = writer.encode(rows) + writer.finish()
    assert run(CSVDecoder, cut(body, cuts)) == (rows, None)


@settings(deadline=None)
@given(data=st.lists(texts.map(lambda text: text.replace("\r", "\n")), max_size=5), cuts=cuts)
def test_events_come_back(data: list[str], cuts: list[int]) -> None:
    """Text in events is read as it was written, but for the kind of line ends."""
    body = SSEEncoder[Any]().encode(data)
    assert run(SSEDecoder, cut(body, cuts)) == ([ReceivedEvent(text) for text in data], None)


@pytest.mark.parametrize(
    ("make", "body", "text"),
    [
        (NDJSONDecoder, b'{"n":1}\n{"n":2}\n{"n":\n{"n":4}\n', "line 3 is not JSON: it ends too early"),
        (JSONArrayDecoder, b'[{"n":1},{"n":2},{"n":},{"n":4}]', "item 2 is not JSON: invalid character (byte 5)"),
        (CSVDecoder, b'n\n1\n2\n"3"x\n4\n', "line 4: cell 1 goes on behind its closing quote; "),
    ],
)
def test_items_before_a_failure_are_delivered(make: Any, body: bytes, text: str) -> None:
    """Of one chunk or many, and none after it; the error has the index of the item that failed."""
    items, error = check_every_split(make, body)
    assert [int(item["n"]) for item in items] == [1, 2]
    assert error is not None
    assert error[0] == 2
    assert error[1].startswith(text)


@every_decoder
def test_a_failure_ends_the_stream(make: Any) -> None:
    """Neither more bytes nor the end are taken for anything after it."""
    decoder = make(**SMALL[make])
    decoder.decode(b"[" + b"x" * 40)
    assert isinstance(decoder.failure, DecodeError)
    with pytest.raises(DecodeError, match="longer than"):
        decoder.decode(b"\n\n")
    with pytest.raises(DecodeError, match="longer than"):
        decoder.flush()


@every_decoder
def test_nothing_is_kept_of_a_body_without_ends(make: Any) -> None:
    """Garbage without a line end, a comma or a quote is refused as soon as it is over the limit."""
    for start in (b"x", b"[", b'"', b'["', b"data:", b" ", b"[ ", b"{" * 3):
        decoder = make(**SMALL[make])
        decoder.decode(start)
        fed = 0
        while decoder.failure is None and fed < 1000:
            decoder.decode(b"a" if start.strip() else b" ")
            fed += 1
        kept = sum(len(value) for value in vars(decoder).values() if isinstance(value, bytes | bytearray))
        assert kept <= 50
        if start.strip():
            assert fed <= 50


@every_decoder
def test_what_is_no_bytes_is_refused(make: Any) -> None:
    """Text above all; other buffers are fine."""
    with pytest.raises(TypeError, match="takes bytes, not str; encode text as UTF-8"):
        make().decode("[]")
    for kind in (bytes, bytearray, memoryview):
        make().decode(kind(b"[]"))


@every_decoder
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_limits_are_checked(make: Any, value: Any, error: type[Exception]) -> None:
    """A limit is an integer of at least 1, or the decoder is not built."""
    for name in SMALL[make]:
        with pytest.raises(error, match=f"{name} must be"):
            make(**{name: value})


@pytest.mark.parametrize(
    ("make", "body", "count"),
    [
        (NDJSONDecoder, b"[1]\n" * 30_000, 30_000),
        (JSONArrayDecoder, b"[" + b"[1]," * 30_000 + b"[1]]", 30_001),
        (CSVDecoder, b"n\n" + b"1\n" * 60_000, 60_000),
        (SSEDecoder, b"data:1\n\n" * 30_000, 30_000),
    ],
)
def test_chunks_of_any_size(make: Callable[[], Decoder[Any]], body: bytes, count: int) -> None:
    """One that is larger than what is looked at in one go, and one that is empty."""
    items, error = run(make, [b"", body, b""])
    assert error is None
    assert items == [items[0]] * count


@pytest.mark.parametrize(
    ("make", "media_type"),
    [
        (NDJSONDecoder, "application/x-ndjson"),
        (JSONArrayDecoder, "application/json"),
        (CSVDecoder, "text/csv; charset=utf-8"),
        (SSEDecoder, "text/event-stream"),
    ],
)
def test_content_type(make: type[Decoder[Any]], media_type: str) -> None:
    """Each format says what it is."""
    assert make.content_type == media_type
