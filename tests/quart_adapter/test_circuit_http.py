"""Circuits over HTTP: refused before the first byte is a 503 that says when to come back."""

from __future__ import annotations

import math
from typing import Any

import pybreaker
import pytest

from rxstream import from_async_iterable
from rxstream.operators import with_circuit
from tests.quart_adapter.routes import ALL, Source, live, make, served


@pytest.mark.parametrize("builder", ALL)
async def test_an_open_circuit_is_a_503_with_retry_after(builder: str) -> None:
    """Before the first byte: the source is not touched, and the client is told the seconds, rounded up."""
    breaker = pybreaker.CircuitBreaker(reset_timeout=17.5)
    breaker.open()
    source = Source(b"1")
    client: Any = served(make(builder, from_async_iterable(source).pipe(with_circuit(breaker))))
    response = await client.get("/")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) == math.ceil(17.5)
    assert source.started == 0
    assert live(client) == 0
