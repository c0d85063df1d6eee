"""Events as a browser reads them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxstream.formats.sse as sse_module
from rxstream.formats import ServerSentEvent, SSEEncoder

any_text = st.text(st.characters(codec="utf-8"))
nasty = st.text(st.sampled_from("\r\n\0 :\ufeff\u2028\u0085\x0b\x0cda")) | any_text
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)
ids = names.map(lambda text: text.strip(" "))
events = st.builds(
    ServerSentEvent,
    nasty,
    event=st.none() | names.filter(bool),
    id=st.none() | ids,
    retry=st.none() | st.integers(0, 2**63 - 1),
    comment=st.none() | nasty,
)


def seen(text: str) -> str:
    """Data as the client sees it: every line end is LF."""
    return re.sub("\r\n|\r", "\n", text)


def encode(*items: Any) -> bytes:
    """The items as one batch that must not fail."""
    encoder: SSEEncoder[Any] = SSEEncoder()
    encoded = encoder.encode(items) + encoder.finish()
    assert encoder.failure is None, encoder.failure
    return encoded


@given(events=st.lists(events, max_size=6))
def test_events_read_back(events: list[ServerSentEvent], parse_sse: Callable[[bytes], list[Any]]) -> None:
    """Whatever is in an event, the client sees this event, whole and alone."""
    received = parse_sse(encode(*events))
    last_id, retry = "", None
    assert len(received) == len(events)
    for event, got in zip(events, received, strict=True):
        last_id = last_id if event.id is None else event.id
        retry = retry if event.retry is None else event.retry
        assert (got.type, got.data) == (event.event or "message", seen(event.data))
        assert (got.last_event_id, got.retry) == (last_id, retry)


@given(items=st.lists(nasty | st.dictionaries(nasty, nasty) | st.lists(nasty) | st.integers() | st.none()))
def test_items_that_are_no_events_read_back(items: list[Any], parse_sse: Callable[[bytes], list[Any]]) -> None:
    """Text is data, everything else is JSON data."""
    received = parse_sse(encode(*items))
    assert len(received) == len(items)
    for item, got in zip(items, received, strict=True):
        assert got.type == "message"
        assert (got.data if isinstance(item, str) else json.loads(got.data)) == (
            seen(item) if isinstance(item, str) else item
        )


def test_bytes_of_an_event() -> None:
    """The fields in their order, each line ended by LF."""
    event = ServerSentEvent("a\rb\r\nc\n", event="tick", id="7", retry=1500, comment="one\ntwo")
    assert encode(event) == (b": one\n: two\nevent: tick\nid: 7\nretry: 1500\ndata: a\ndata: b\ndata: c\ndata: \n\n")


def test_empty_data_is_an_event(parse_sse: Callable[[bytes], list[Any]]) -> None:
    """Empty text still dispatches."""
    assert [event.data for event in parse_sse(encode("", ServerSentEvent("")))] == ["", ""]


@pytest.mark.parametrize(
    ("data", "expected"),
    [({"n": 1}, '{"n":1}'), (None, "null"), (b"hi", '"aGk="'), (msgspec.Raw(b"[1,\r\n2]"), "[1,2]"), (1.5, "1.5")],
)
def test_data_that_is_no_text_is_json(data: Any, expected: str, parse_sse: Callable[[bytes], list[Any]]) -> None:
    """The same inside an event and as a bare item, alone and beside text; bytes are base64 as in all JSON here."""
    for items in ([data], [ServerSentEvent(data)], [data, "text"]):
        assert parse_sse(encode(*items))[0].data == expected


def test_text_of_other_classes_is_text() -> None:
    """A subclass of str is data, not JSON."""
    assert encode(type("Text", (str,), {})("a")) == b"data: a\n\n"


@pytest.mark.parametrize("field", ["event", "id"])
@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\t", "\x1b", "\x7f", "\x85"])
def test_control_characters_in_names_are_refused(field: str, character: str) -> None:
    """They would end the line and start a field of somebody else's choice."""
    with pytest.raises(ValueError, match=f"{field} must not hold control characters, found"):
        ServerSentEvent("x", **{field: f"a{character}b"})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["event", "id"])
def test_lone_surrogates_in_names_are_refused(field: str) -> None:
    """They have no UTF-8."""
    with pytest.raises(ValueError, match=f"{field} must be Unicode text, found a lone surrogate at 1"):
        ServerSentEvent("x", **{field: "a\ud800"})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["event", "id", "comment"])
def test_names_that_are_no_text_are_refused(field: str) -> None:
    """A number is not made text behind one's back."""
    with pytest.raises(TypeError, match=f"{field} must be text, not int"):
        ServerSentEvent("x", **{field: 7})  # type: ignore[arg-type]


def test_empty_event_type_is_refused() -> None:
    """Clients would take it for the default."""
    with pytest.raises(ValueError, match="event must not be empty: clients take that for 'message'; leave it out"):
        ServerSentEvent("x", event="")


@pytest.mark.parametrize("id", [" 7", "7 ", " "])
def test_ids_with_spaces_at_their_ends_are_refused(id: str) -> None:
    """They do not survive the way back."""
    with pytest.raises(ValueError, match="id must not start or end with a space, which browsers strip"):
        ServerSentEvent("x", id=id)


def test_long_ids_are_refused() -> None:
    """The bound counts bytes, and the message says why there is one."""
    assert ServerSentEvent("x", id="ä" * 512).id
    with pytest.raises(ValueError, match=r"at most 1024 bytes of UTF-8, not 1025: it comes back in a request header"):
        ServerSentEvent("x", id="ä" * 512 + "a")


@pytest.mark.parametrize("retry", [-1, 2**63])
def test_retry_out_of_range_is_refused(retry: int) -> None:
    """Neither negative, nor more than clients can hold."""
    with pytest.raises(ValueError, match=r"retry must be between 0 and 2\*\*63 - 1 milliseconds"):
        ServerSentEvent("x", retry=retry)


@pytest.mark.parametrize("retry", [1.5, True, "3"])
def test_retry_that_is_no_integer_is_refused(retry: Any) -> None:
    """Not even a bool."""
    with pytest.raises(TypeError, match="retry must be an integer of milliseconds, not"):
        ServerSentEvent("x", retry=retry)


@pytest.mark.parametrize("event", ["\ud800", ServerSentEvent("\ud800"), ServerSentEvent("x", comment="a\n\ud800")])
def test_text_that_is_no_unicode_is_refused(event: Any) -> None:
    """Invalid UTF-8 never goes out, and the events before it do."""
    encoder: SSEEncoder[Any] = SSEEncoder()
    assert encoder.encode(["ok", event, "never"]) == b"data: ok\n\n"
    assert "holds text that is not Unicode" in str(encoder.failure)


def test_data_without_json_is_named_by_its_own_type() -> None:
    """The message speaks of the data, not of the event around it."""
    encoder: SSEEncoder[Any] = SSEEncoder()
    encoder.encode([ServerSentEvent({"a": 1j})])
    assert "builtins.complex has no JSON form" in str(encoder.failure)
    encoder = SSEEncoder()
    encoder.encode([ServerSentEvent({"a": float("nan")})])
    assert "nan at $.a has no JSON form" in str(encoder.failure)


def test_nan_null() -> None:
    """The option of the JSON formats holds for JSON data."""
    assert SSEEncoder[Any](nan="null").encode([[float("nan")]]) == b"data: [null]\n\n"


def test_events_are_frozen() -> None:
    """An event cannot change after its check."""
    event = ServerSentEvent("x", id="1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.id = "a\nb"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")
    assert event == ServerSentEvent("x", id="1")
    assert "_encoded" not in repr(event)


def test_only_data_is_positional() -> None:
    """The other fields have names."""
    with pytest.raises(TypeError):
        ServerSentEvent("x", "tick")  # type: ignore[call-arg]


def test_text_events_are_encoded_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event to five hundred clients is one piece of work."""
    head = Mock(wraps=sse_module._head)
    monkeypatch.setattr(sse_module, "_head", head)
    event = ServerSentEvent("x", event="tick")
    assert len({SSEEncoder[Any]().encode([event]) for _ in range(500)}) == 1
    assert head.call_count == 1


def test_data_that_may_change_is_encoded_each_time() -> None:
    """What a caller does to a mapping between two clients is seen by the second."""
    data = {"n": 1}
    event = ServerSentEvent(data)
    assert SSEEncoder[Any]().encode([event]) == b'data: {"n":1}\n\n'
    data["n"] = 2
    assert SSEEncoder[Any]().encode([event]) == b'data: {"n":2}\n\n'


def test_serialize_may_give_any_of_the_three() -> None:
    """An event, text, or a value for JSON."""
    forms = {1: ServerSentEvent("e", id="1"), 2: "text", 3: [3]}
    assert SSEEncoder(forms.__getitem__).encode([1, 2, 3]) == b"id: 1\ndata: e\n\ndata: text\n\ndata: [3]\n\n"
