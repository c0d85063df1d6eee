"""What holds for every encoder: batches, failures in the middle, the closing bytes."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxstream.errors import EncodeError
from rxstream.formats import CSVEncoder, Encoder, JSONArrayEncoder, NDJSONEncoder, SSEEncoder

FORMATS = [NDJSONEncoder, JSONArrayEncoder, SSEEncoder, CSVEncoder]
LONE = "\ud800"

every_format = pytest.mark.parametrize("make", FORMATS)
texts = st.text(st.characters(codec="utf-8"))
cells = texts | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
rows = st.lists(st.fixed_dictionaries({"a": cells, "b": cells, "c": texts}), max_size=8)


def whole(encoder: Encoder[Any], items: list[Any]) -> bytes:
    """The document of items that come as one batch."""
    return encoder.encode(items) + encoder.finish()


@every_format
@given(rows=rows, cuts=st.lists(st.integers(0, 8)))
def test_every_batching_gives_the_same_bytes(
    make: Callable[[], Encoder[Any]], rows: list[Any], cuts: list[int]
) -> None:
    """Where the batches begin and end cannot be seen in the document."""
    encoder = make()
    edges = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    batches = [rows[start:end] for start, end in itertools.pairwise(edges)]
    assert b"".join(map(encoder.encode, batches)) + encoder.finish() == whole(make(), rows)
    assert encoder.count == len(rows)


@every_format
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("at", ["first", "middle", "last"])
@pytest.mark.parametrize("before", [0, 3])
def test_failure_keeps_the_items_before_it(make: Callable[[], Encoder[Any]], size: int, at: str, before: int) -> None:
    """The bytes are those of the items before the bad one, and the error has its index in the stream."""
    good = [{"n": n} for n in range(before + size)]
    index = before + {"first": 0, "middle": size // 2, "last": size - 1}[at]
    items: list[dict[str, Any]] = list(good)
    items[index] = {"n": LONE}
    encoder = make()
    encoded = encoder.encode(items[:before]) + encoder.encode(items[before:])
    assert encoded == make().encode(good[:index])
    assert encoder.count == index
    assert isinstance(encoder.failure, EncodeError)
    assert encoder.failure.index == index
    assert str(encoder.failure).startswith(f"item {index}: ")


@every_format
def test_failure_names_lone_surrogates(make: Callable[[], Encoder[Any]]) -> None:
    """Text that cannot be UTF-8 is refused by name, and the codec's error is the cause."""
    encoder = make()
    encoder.encode([{"n": LONE}])
    assert str(encoder.failure) == (
        "item 0: dict holds text that is not Unicode (a lone surrogate, '\\ud800'); replace it with serialize="
    )
    assert encoder.failure is not None
    assert isinstance(encoder.failure.__cause__, UnicodeEncodeError)


@every_format
def test_failure_ends_the_document(make: Callable[[], Encoder[Any]]) -> None:
    """Neither more items nor the closing bytes come out of an encoder that has failed."""
    encoder = make()
    encoder.encode([{"n": LONE}])
    with pytest.raises(EncodeError, match="item 0"):
        encoder.encode([{"n": 1}])
    with pytest.raises(EncodeError, match="item 0"):
        encoder.finish()


@every_format
@pytest.mark.parametrize("bad", [0, 1, 3])
def test_serialize_that_raises_is_a_failure_with_its_cause(make: Callable[..., Encoder[Any]], bad: int) -> None:
    """An error of the user's function names the item, and stays attached."""

    def serialize(n: int) -> dict[str, int]:
        if n == bad:
            raise KeyError("name")
        return {"n": n}

    encoder = make(serialize=serialize)
    encoded = encoder.encode(list(range(4)))
    assert encoded == make().encode([{"n": n} for n in range(bad)])
    assert str(encoder.failure) == f"item {bad}: serialize raised KeyError: 'name'"
    assert encoder.failure is not None
    assert isinstance(encoder.failure.__cause__, KeyError)


@every_format
def test_serialize_that_raises_stop_iteration_does_not_end_the_batch(make: Callable[..., Encoder[Any]]) -> None:
    """A StopIteration out of `serialize` is a failure as any other, not a short batch."""
    encoder = make(serialize=lambda item: next(iter(())))
    assert encoder.encode([1, 2]) == b""
    assert "StopIteration" in str(encoder.failure)


@every_format
def test_serialize_runs_once_an_item(make: Callable[..., Encoder[Any]]) -> None:
    """Also in a batch that is looked through for the item that failed."""
    calls: list[Any] = []

    def serialize(item: Any) -> dict[str, Any]:
        calls.append(item)
        return {"n": item}

    make(serialize=serialize).encode([1, 2, LONE, 4])
    assert calls == [1, 2, LONE, 4]


@every_format
def test_bad_item_before_a_failed_serialize_wins(make: Callable[..., Encoder[Any]]) -> None:
    """Of two failures in a batch the first in order counts."""
    encoder = make(serialize=lambda n: {"n": {1: LONE, 2: 1 // 0 if n == 2 else 0}[n]} if n else {"n": 0})
    encoder.encode([0, 1, 2])
    assert encoder.failure is not None
    assert encoder.failure.index == 1


@every_format
def test_what_is_no_exception_passes(make: Callable[..., Encoder[Any]]) -> None:
    """A cancellation or an interrupt inside `serialize` is not taken for a bad item."""

    def serialize(item: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(serialize=serialize).encode([1])


@every_format
def test_serialize_must_be_callable(make: Callable[..., Encoder[Any]]) -> None:
    """Anything else is refused when the encoder is built."""
    with pytest.raises(TypeError, match="serialize must be callable or None, not str"):
        make(serialize="name")


@every_format
def test_empty_batches_give_no_bytes(make: Callable[[], Encoder[Any]]) -> None:
    """An empty batch is nothing, at the start and later."""
    encoder = make()
    assert encoder.encode([]) == b""
    assert encoder.encode([{"n": 1}]) + encoder.encode([]) == make().encode([{"n": 1}])


@pytest.mark.parametrize(
    ("encoder", "document"),
    [
        (NDJSONEncoder(), b""),
        (JSONArrayEncoder(), b"[]"),
        (SSEEncoder(), b""),
        (CSVEncoder(), b""),
        (CSVEncoder(["a", "b"]), b"a,b\r\n"),
        (CSVEncoder(["a", "b"], bom=True), b"\xef\xbb\xbfa,b\r\n"),
        (CSVEncoder(["a", "b"], header=False), b""),
    ],
)
def test_a_stream_without_items_is_a_whole_document(encoder: Encoder[Any], document: bytes) -> None:
    """Nothing came, and the client still gets what its format calls empty."""
    assert encoder.finish() == document


@pytest.mark.parametrize(
    ("make", "media_type"),
    [
        (NDJSONEncoder, "application/x-ndjson"),
        (JSONArrayEncoder, "application/json"),
        (SSEEncoder, "text/event-stream"),
        (CSVEncoder, "text/csv; charset=utf-8"),
    ],
)
def test_content_type(make: type[Encoder[Any]], media_type: str) -> None:
    """Each format says what it is."""
    assert make.content_type == media_type


@given(rows=rows)
def test_json_formats_read_back(rows: list[Any]) -> None:
    """The standard library's `json` reads what was written."""
    assert json.loads(whole(JSONArrayEncoder(), rows)) == rows
    lines = whole(NDJSONEncoder(), rows).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == rows


@given(rows=st.lists(st.tuples(texts, texts, texts), min_size=1), guard=st.booleans())
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_csv_reads_back(rows: list[tuple[str, str, str]], guard: bool, line_end: Any) -> None:
    """The standard library's `csv` reads what was written; the guard adds one character and no more."""
    document = whole(CSVEncoder(line_end=line_end, formula_guard=guard), list(rows)).decode()
    read = list(csv.reader(io.StringIO(document, newline=""), strict=True))

    def expected(cell: str) -> str:
        return "'" + cell if guard and cell[:1] and cell[0] in "=+-@\t\r\0" else cell

    assert read == [[expected(cell) for cell in row] for row in rows]
