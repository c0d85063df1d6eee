"""The reader of server-sent events that tests look through."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from quart_adapter.testing import Event, EventParser

BROWSER = (
    b"\xef\xbb\xbf:c\r\nid: 1\r\rdata\ndata: a:b\r\ndata:  c\r\n\r\n"
    b"id: \x00\nid\nevent: e\ndata:\xff\n\nretry: 1x\nretry: 5\n\n"
)
SEEN = [Event("\na:b\n c", "message", "1"), Event("\ufffd", "e", "")]


@given(st.lists(st.integers(0, len(BROWSER)), max_size=20))
def test_parser_takes_any_chunks(cuts: list[int]) -> None:
    """Every line end, field and split of the standard, with the same events from any chunks."""
    parser = EventParser()
    places = [0, *sorted(cuts), len(BROWSER)]
    events = [event for a, b in pairwise(places) for event in parser.feed(BROWSER[a:b])]
    assert events == SEEN
    assert (parser.retry, parser.comments) == (5, ["c"])


def test_parser_byte_by_byte() -> None:
    """One byte at a time is just another way of chunking."""
    parser = EventParser()
    assert [event for byte in BROWSER for event in parser.feed(bytes([byte]))] == SEEN


def test_parser_knows_only_the_fields_of_the_standard() -> None:
    """Unknown fields are ignored, an event without data is none, and a type does not outlive its block."""
    assert EventParser().feed(b"what: x\nDATA: y\n\nevent: lost\n\ndata: z\n\n") == [Event("z")]


def test_parser_marks_only_one_bom() -> None:
    """A byte order mark counts at the very start only."""
    assert EventParser().feed("\ufeffdata: a\n\n\ufeffdata: b\n\n".encode()) == [Event("a")]
