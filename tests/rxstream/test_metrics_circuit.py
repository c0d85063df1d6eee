"""What metrics tell of circuit breakers."""

from __future__ import annotations

import gc
import threading
import weakref
from uuid import uuid4

import pytest
import reactivex
from pybreaker import CircuitBreaker
from reactivex import operators as rx

from rxstream import CircuitRegistry, StreamMetrics, circuits
from rxstream.operators import with_circuit
from tests.rxstream.metered import Kept, key
from tests.rxstream.support import DEADLINE, everything, until


@pytest.fixture
def name() -> str:
    """A circuit of its own for each test."""
    return f"c{uuid4().hex}"


def state(kept: Kept, name: str) -> float | None:
    """0 closed, 1 half-open, 2 open."""
    return kept.gauges.get(key("stream_circuit_state", {"circuit": name}))


def transitions(kept: Kept, name: str) -> dict[str, float]:
    """How often it went where."""
    return {
        to: count
        for to in ("closed", "open", "half-open")
        if (count := kept.counters.get(key("stream_circuit_transitions_total", {"circuit": name, "to": to}), 0))
    }


def rejections(kept: Kept, name: str) -> float | None:
    """How many streams it refused."""
    return kept.counters.get(key("stream_circuit_rejections_total", {"circuit": name}))


async def fail(breaker: CircuitBreaker | str) -> None:
    """A stream that fails, or is refused."""
    with pytest.raises(Exception, match=r"broken|circuit"):
        await everything(reactivex.throw(ValueError("broken")).pipe(with_circuit(breaker)))


@pytest.mark.parametrize("made", ["before", "after"])
async def test_circuits_by_name_are_watched_without_being_asked_for(
    made: str, name: str, kept: Kept, metrics: StreamMetrics
) -> None:
    """Those that were there before the metrics, and those that are made later; state, transitions, rejections."""
    if made == "before":
        circuits.get(name, fail_max=2)
        metrics = StreamMetrics(backend=kept)
    else:
        circuits.get(name, fail_max=2)
    metrics.flush()
    assert (state(kept, name), rejections(kept, name), transitions(kept, name)) == (0, 0, {})
    for _ in range(5):
        await fail(name)
    metrics.flush()
    assert (state(kept, name), rejections(kept, name), transitions(kept, name)) == (2, 3, {"open": 1})
    circuits.get(name).half_open()
    metrics.flush()
    assert state(kept, name) == 1
    await everything(reactivex.of(1).pipe(with_circuit(name)))
    metrics.flush()
    assert state(kept, name) == 0
    assert transitions(kept, name) == {"open": 1, "half-open": 1, "closed": 1}


async def test_any_breaker_can_be_watched(name: str, kept: Kept, metrics: StreamMetrics) -> None:
    """Under its own name or another, and only once."""
    breaker = CircuitBreaker(fail_max=1, name=name)
    metrics.watch(breaker)
    metrics.watch(breaker, "another")
    await fail(breaker)
    await fail(breaker)
    metrics.flush()
    assert (state(kept, name), rejections(kept, name), transitions(kept, name)) == (2, 1, {"open": 1})
    assert state(kept, "another") is None


@pytest.mark.parametrize("name", [None, "user@example.org"])
def test_a_breaker_needs_a_name_that_is_a_constant(name: str | None, metrics: StreamMetrics) -> None:
    """Its own, or one that is given."""
    with pytest.raises(ValueError, match="constant of your code"):
        metrics.watch(CircuitBreaker(name=name))
    metrics.watch(CircuitBreaker(name=name), "inventory")


async def test_a_storage_that_fails_does_not_stop_the_report(
    name: str, kept: Kept, metrics: StreamMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The state of that circuit is missing; it is logged once, and all else is reported."""

    def broken(breaker: CircuitBreaker) -> str:
        raise ConnectionError("redis is away")

    breaker = CircuitBreaker(name=name)
    metrics.watch(breaker)
    monkeypatch.setattr(CircuitBreaker, "current_state", property(broken))
    for _ in range(2):
        metrics.probe("s", "items", "internal").open().close()
        metrics.flush()
    assert kept.outcomes("s") == {"cancelled": 2}
    assert sum("redis is away" in (record.exc_text or "") for record in caplog.records) == 1


async def test_a_breaker_keeps_no_metrics_alive(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives them, and goes on as if they had never been."""
    monkeypatch.setattr("rxstream.metrics.recorder.INTERVAL", 0.001)
    circuits.get(name, fail_max=1)
    metrics = StreamMetrics(backend=Kept())
    gone = weakref.ref(metrics._recorder)
    await fail(name)
    del metrics

    def collected() -> bool:
        gc.collect()
        return gone() is None

    await until(collected)
    circuits.get(name).close()
    await fail(name)


def test_a_registry_tells_of_its_breakers() -> None:
    """Of those that there are, and of those that come."""
    seen: list[str | None] = []

    class Follower:
        def follow(self, breaker: CircuitBreaker) -> None:
            seen.append(breaker.name)

    follower = Follower()
    registry = CircuitRegistry()
    registry.get("first")
    registry.tell(follower)
    registry.get("second")
    registry.get("first")
    assert seen == ["first", "second"]
    del follower
    registry.get("third")
    assert seen == ["first", "second"]


def test_a_breaker_that_does_not_answer_holds_up_no_other() -> None:
    """Whoever hears of the breakers may have to wait for one; the registry goes on."""
    held, seen = threading.Event(), threading.Event()

    class Follower:
        def follow(self, breaker: CircuitBreaker) -> None:
            seen.set()
            held.wait(2 * DEADLINE)

    registry, follower = CircuitRegistry(), Follower()
    registry.get("first")
    telling = threading.Thread(target=registry.tell, args=(follower,), daemon=True)
    telling.start()
    try:
        assert seen.wait(DEADLINE)
        asking = threading.Thread(target=registry.get, args=("first",), daemon=True)
        asking.start()
        asking.join(DEADLINE)
        assert not asking.is_alive()
    finally:
        held.set()
        telling.join(DEADLINE)


async def test_a_stream_that_is_refused_has_failed(name: str, kept: Kept, metrics: StreamMetrics) -> None:
    """For its own metrics an open circuit is an error."""
    from rxstream.metrics import with_metrics

    circuits.get(name).open()
    with pytest.raises(Exception, match="circuit"):
        await everything(reactivex.of(1).pipe(with_circuit(name), with_metrics("s", metrics), rx.map(str)))
    metrics.flush()
    assert kept.outcomes("s") == {"error": 1}
