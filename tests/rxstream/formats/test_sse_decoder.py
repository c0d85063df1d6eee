"""Server-sent events as they are read, held against the standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxstream.formats import ReceivedEvent, SSEDecoder
from tests.rxstream.formats.decoded import Make, check_every_split, cut, cuts, in_bytes, run


def events(**options: Any) -> Make:
    """Makes decoders."""
    return lambda: SSEDecoder(**options)


PIECES = [
    "data",
    "event",
    "id",
    "retry",
    ":",
    ": ",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "a",
    "ä",
    "\0",
    "\ufeff",
    "0",
    "17",
    "-1",
    "x:y",
]


@settings(max_examples=400, deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join), cuts=cuts)
def test_reads_what_the_standard_says(text: str, cuts: list[int], parse_sse: Callable[[bytes], list[Any]]) -> None:
    """As a parser that was written from the standard, sentence by sentence, and takes no chunks."""
    body = text.encode()
    expected = [(event.data, event.type, event.last_event_id, event.retry) for event in parse_sse(body)]
    for chunks in ([body], cut(body, cuts), in_bytes(body)):
        items, error = run(SSEDecoder, chunks)
        assert error is None
        assert [(event.data, event.event, event.id, event.retry) for event in items] == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\ndata\ndata:b\ndata:  c\n\n", [ReceivedEvent("a\n\nb\n c")]),
        (b"data\n\ndata\ndata\n\ndata:", [ReceivedEvent(""), ReceivedEvent("\n")]),
        (b"data:test\n\ndata: test\n\n", [ReceivedEvent("test"), ReceivedEvent("test")]),
        (
            b": c\n\ndata: a\nid: 1\n\ndata:b\nid\n\ndata:  c\n\n",
            [ReceivedEvent("a", id="1"), ReceivedEvent("b"), ReceivedEvent(" c")],
        ),
        (b"event: x\n\ndata: a\n\n", [ReceivedEvent("a")]),
        (b"event: x\nevent\ndata: a\n\n", [ReceivedEvent("a")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [ReceivedEvent("a", "x"), ReceivedEvent("b")]),
        (b"id: 1\n\ndata: a\n\n", [ReceivedEvent("a", id="1")]),
        (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [ReceivedEvent("a", id="1"), ReceivedEvent("b", id="1")]),
        (b"Data: a\n data: b\ndata : c\ndataa: d\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [ReceivedEvent("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r\ndata: d\r\n\n", list(map(ReceivedEvent, "abcd"))),
        (b"data: a\r\ndata: b\r\nid: 1\r\n\r\n", [ReceivedEvent("a\nb", id="1")]),
        (b"data: \xff\xc3\ndata: \xf0\x9f\x98\n\n", [ReceivedEvent("\ufffd\ufffd\n\ufffd")]),
        (b"data: a\n\ndata: b\n", [ReceivedEvent("a")]),
        (b"data: a\n\ndata: b\n\n"[:-1], [ReceivedEvent("a")]),
    ],
)
def test_events(body: bytes, expected: list[ReceivedEvent]) -> None:
    """Examples of the standard, and its corners."""
    assert check_every_split(SSEDecoder, body) == (expected, None)


def test_an_event_comes_with_its_last_byte() -> None:
    """A CR ends a line at once: nobody waits for the LF that may follow."""
    decoder = SSEDecoder()
    assert decoder.decode(b"data: a\r") == []
    assert decoder.decode(b"\r") == [ReceivedEvent("a")]
    assert decoder.decode(b"\ndata: b\r\n\r") == [ReceivedEvent("b")]
    assert decoder.decode(b"\n\n") == []


@pytest.mark.parametrize(
    ("value", "retry"),
    [
        (b"17", 17),
        (b"0017", 17),
        (b"0", 0),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b" 1", None),
        (b"1 ", None),
        ("١".encode(), None),
        ("²".encode(), None),
        (b"9" * 5000, 2**63 - 1),
        (b"0" * 5000 + b"1", 1),
    ],
)
def test_retry_is_digits_only(value: bytes, retry: int | None) -> None:
    """Anything else is ignored; a time that no clock can count is the longest one."""
    decoder = SSEDecoder()
    assert decoder.decode(b"retry: " + value + b"\ndata: a\n\n")[0].retry == retry
    assert decoder.retry == retry


def test_retry_is_of_the_stream_and_not_of_an_event() -> None:
    """It holds for all that comes, and does not make events different."""
    decoder = SSEDecoder()
    first, second = decoder.decode(b"retry: 5\ndata: a\n\nretry: x\ndata: a\n\n")
    assert (first.retry, second.retry) == (5, 5)
    assert first == second == ReceivedEvent("a")


def test_the_last_event_id_is_that_of_the_last_dispatch() -> None:
    """Also of one without data; an event that was cut off has not set it."""
    decoder = SSEDecoder()
    decoder.decode(b"id: 1\ndata: a\n\nid: 2\n\nid: 3\ndata: b\n")
    assert decoder.last_event_id == "2"
    assert decoder.flush() == []
    assert decoder.last_event_id == "2"


def test_comments() -> None:
    """They go to the hook, without the space, and nowhere else."""
    comments: list[str] = []
    assert run(events(on_comment=comments.append), [b":a\n: b\n:  c\n:\nd: e\n\n"]) == ([], None)
    assert comments == ["a", "b", " c", ""]
    wrong: Any = "x"
    with pytest.raises(TypeError, match="on_comment must be callable or None, not str"):
        SSEDecoder(on_comment=wrong)


def test_limits() -> None:
    """Of a line, and of the data of an event with its line ends; the limits themselves are fine."""
    make = events(max_line=7, max_data=3)
    assert check_every_split(make, b"data:ab\r\n\r\ndata:a\ndata:b\n\n1234567\n:23456") == (
        [ReceivedEvent("ab"), ReceivedEvent("a\nb")],
        None,
    )
    for end in (b"", b"\n", b"\r", b"\n\ndata: b\n\n"):
        assert check_every_split(make, b"data:a\n\n:2345678" + end) == (
            [ReceivedEvent("a")],
            (1, "line 3 is longer than max_line=7 bytes; raise max_line"),
        )
    for data in (b"data:aa\ndata:b\n", b"data\ndata\ndata\ndata\ndata\n"):
        items, error = check_every_split(make, b"data:a\n\n" + data + b"\n")
        assert items == [ReceivedEvent("a")]
        assert error is not None
        assert error[1].endswith("the data of an event is longer than max_data=3 bytes; raise max_data")


def test_events_are_frozen() -> None:
    """They may go to many places."""
    event: Any = ReceivedEvent("a")
    with pytest.raises(AttributeError):
        event.data = "b"
    assert hash(event) == hash(ReceivedEvent("a"))
