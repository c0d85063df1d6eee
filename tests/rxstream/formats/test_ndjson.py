"""Lines of JSON stay lines."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import msgspec
import pytest

from rxstream.formats import NDJSONEncoder


@pytest.mark.parametrize("raw", [b'{\n  "a": [1,\r\n 2]\n}', b"[1,\r2]", b"\n1\n"])
@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: {"in": raw}, lambda raw: [1, raw]])
def test_raw_over_several_lines_is_one_line(raw: bytes, wrap: Any) -> None:
    """JSON that was laid out for people does not break the framing."""
    lines = NDJSONEncoder[Any]().encode([1, wrap(msgspec.Raw(raw)), 2]).split(b"\n")
    assert len(lines) == 4
    assert json.loads(lines[1]) == json.loads(json.dumps(wrap(json.loads(raw))))
    assert b"\r" not in lines[1]


def test_raw_over_several_lines_that_is_no_json_is_refused() -> None:
    """What cannot be joined is refused, and the items before it stay."""
    encoder: NDJSONEncoder[Any] = NDJSONEncoder()
    assert encoder.encode([1, msgspec.Raw(b"{\n}}"), 2]) == b"1\n"
    assert encoder.failure is not None
    assert "malformed" in str(encoder.failure)


def test_raw_that_makes_up_for_a_missing_line_end() -> None:
    """A line end inside of one item is seen even when another check would balance it."""
    assert NDJSONEncoder[Any]().encode([msgspec.Raw(b"[\n]"), 1]) == b"[]\n1\n"


def test_any_sequence_is_a_batch() -> None:
    """Batches need not be lists."""
    items: Any = deque([1, 2])
    assert NDJSONEncoder[Any]().encode(items) == NDJSONEncoder[Any]().encode((1, 2)) == b"1\n2\n"
