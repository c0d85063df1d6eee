"""A JSON array is whole, or does not parse."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import msgspec
import pytest

from rxstream.formats import JSONArrayEncoder


def test_batches_are_joined_by_commas() -> None:
    """The bracket opens once, and only `finish` closes it."""
    encoder: JSONArrayEncoder[Any] = JSONArrayEncoder()
    parts = [encoder.encode([1, 2]), encoder.encode([[]]), encoder.finish()]
    assert parts == [b"[1,2", b",[]", b"]"]


def test_array_with_a_failure_does_not_parse() -> None:
    """What was sent until the failure is no JSON document."""
    encoder: JSONArrayEncoder[Any] = JSONArrayEncoder()
    sent = encoder.encode([{"n": 1}, {"n": float("nan")}])
    assert sent == b'[{"n":1}'
    with pytest.raises(json.JSONDecodeError):
        json.loads(sent)


def test_failure_in_the_first_item_sends_nothing() -> None:
    """Not even the bracket, so that the failure can still be a status."""
    assert JSONArrayEncoder[Any]().encode([object(), 1]) == b""


def test_any_sequence_is_a_batch() -> None:
    """Batches need not be lists."""
    items: Any = deque([1, 2])
    assert JSONArrayEncoder[Any]().encode(items) == JSONArrayEncoder[Any]().encode((1, 2)) == b"[1,2"


def test_raw_goes_out_as_it_is() -> None:
    """JSON that is encoded already is not touched."""
    assert JSONArrayEncoder[Any]().encode([msgspec.Raw(b"[1,\n2]")]) == b"[[1,\n2]"
