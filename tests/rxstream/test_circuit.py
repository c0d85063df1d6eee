"""`with_circuit`: what it asks and tells the breaker, and what it does to the stream."""

from __future__ import annotations

import pybreaker
import pytest
import reactivex as rx

from rxstream.operators import with_circuit
from tests.rxstream.support import everything


async def test_a_circuit_opens_and_refuses() -> None:
    """After `fail_max` failed streams the source is not touched any more."""
    breaker = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=60)
    subscriptions = []

    def source(_: object) -> rx.Observable[int]:
        subscriptions.append(1)
        return rx.throw(OSError("down"))

    guarded = rx.defer(source).pipe(with_circuit(breaker))
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            await everything(guarded)
    with pytest.raises(pybreaker.CircuitBreakerError):
        await everything(guarded)
    assert len(subscriptions) == 2
