"""How the tests of decoders run one over a body, whole and in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from rxstream.errors import DecodeError
from rxstream.formats import Decoder

Make = Callable[[], Decoder[Any]]
Outcome = tuple[list[Any], "tuple[int, str] | None"]


def run(make: Make, chunks: Iterable[bytes]) -> Outcome:
    """The items, and position and text of the error, if there is one."""
    decoder = make()
    items: list[Any] = []
    try:
        for chunk in chunks:
            items += decoder.decode(chunk)
        items += decoder.flush()
    except DecodeError:
        pass
    assert decoder.count == len(items)
    error = decoder.failure
    if error is None:
        return items, None
    assert error.position == len(items)
    return items, (error.position, str(error))


def good(make: Make, body: bytes) -> list[Any]:
    """The items of a body that is right."""
    items, error = run(make, [body])
    assert error is None, error
    return items


def refused(make: Make, body: bytes) -> str:
    """The text of the error of a body that is wrong."""
    _, error = run(make, [body])
    assert error is not None
    return error[1]


def in_bytes(body: bytes) -> list[bytes]:
    """One byte a chunk."""
    return [body[at : at + 1] for at in range(len(body))]


def cut(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body in pieces."""
    edges = sorted({0, len(body), *(min(at, len(body)) for at in cuts)})
    return [body[start:end] for start, end in itertools.pairwise(edges)]


def check_every_split(make: Make, body: bytes) -> Outcome:
    """The outcome of a body, which is the same for every split in two, and byte by byte."""
    whole = run(make, [body])
    for at in range(len(body) + 1):
        assert run(make, [body[:at], body[at:]]) == whole, (body[:at], body[at:])
    assert run(make, in_bytes(body)) == whole
    return whole


cuts = st.lists(st.integers(0, 120), max_size=6)
