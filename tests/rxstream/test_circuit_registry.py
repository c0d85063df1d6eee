"""`circuits`: breakers by name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import Any

import pybreaker
import pytest

import rxstream
from rxstream.circuit import CircuitRegistry, stream
from rxstream.circuit.clerk import BACKLOG, Clerk
from rxstream.circuit.guard import Guard
from tests.rxstream.circuits import Listener, Origin, breaker, outcome
from tests.rxstream.support import until, until_now


def test_a_name_is_one_breaker() -> None:
    """Made at the first call, with the documented defaults."""
    registry = CircuitRegistry()
    breaker = registry.get("stock")
    assert isinstance(breaker, pybreaker.CircuitBreaker)
    assert (breaker.name, breaker.fail_max, breaker.reset_timeout, breaker.success_threshold) == ("stock", 5, 30, 1)
    assert breaker.current_state == "closed"
    assert registry.get("stock") is breaker
    assert list(registry) == [breaker] and len(registry) == 1
    assert "stock" in registry and "prices" not in registry
    assert isinstance(rxstream.circuits, CircuitRegistry)


def test_settings_are_pybreakers() -> None:
    """All that `CircuitBreaker` takes."""
    listener, storage = Listener(), pybreaker.CircuitMemoryStorage("open")
    breaker = CircuitRegistry().get(
        "stock",
        fail_max=1,
        reset_timeout=0.5,
        success_threshold=3,
        exclude=[KeyError],
        listeners=[listener],
        state_storage=storage,
    )
    assert (breaker.fail_max, breaker.reset_timeout, breaker.success_threshold) == (1, 0.5, 3)
    assert breaker.excluded_exceptions == (KeyError,) and breaker.listeners == (listener,)
    assert breaker.current_state == "open"


def test_settings_are_given_once() -> None:
    """The same again, or none, is fine; others are refused, and the message says where they belong."""
    registry = CircuitRegistry()
    breaker = registry.get("stock", fail_max=2, reset_timeout=9)
    assert registry.get("stock", fail_max=2) is registry.get("stock", reset_timeout=9) is breaker
    with pytest.raises(ValueError, match=r"'stock' exists already, with fail_max=2; set it up at its first use"):
        registry.get("stock", fail_max=3)
    for given in (
        {"exclude": [KeyError]},
        {"listeners": []},
        {"state_storage": pybreaker.CircuitMemoryStorage("open")},
    ):
        with pytest.raises(ValueError, match="its storage, exclusions and listeners at its first use"):
            registry.get("stock", **given)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 5}, TypeError, "a circuit's name is text"),
        ({"name": ""}, ValueError, "must not be empty"),
        ({"fail_max": 0}, ValueError, "fail_max must be positive"),
        ({"fail_max": 1.5}, TypeError, "fail_max must be an int"),
        ({"fail_max": True}, TypeError, "fail_max must be an int"),
        ({"success_threshold": 0}, ValueError, "success_threshold must be positive"),
        ({"reset_timeout": 0}, ValueError, "reset_timeout must be positive"),
        ({"reset_timeout": float("nan")}, ValueError, "reset_timeout must be positive"),
        ({"reset_timeout": "30"}, TypeError, "reset_timeout must be a number of seconds"),
    ],
)
def test_wrong_settings_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    """And nothing is made."""
    registry = CircuitRegistry()
    with pytest.raises(error, match=message):
        registry.get(**{"name": "stock", **arguments})
    assert len(registry) == 0


def test_threads_get_the_same_breaker() -> None:
    """Also those that come first at the same moment."""
    registry, barrier, got = CircuitRegistry(), threading.Barrier(8), list[Any]()

    def get() -> None:
        barrier.wait()
        got.append(registry.get("stock", fail_max=3))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len(set(got)) == 1


def test_nothing_is_imported_before_the_first_circuit() -> None:
    """pybreaker brings a Redis client where there is one; tqdm comes with the first bar."""
    code = (
        "import sys, rxstream; from rxstream.operators import with_circuit, with_progress; with_progress('x');"
        "print(sorted({'pybreaker', 'redis', 'tqdm', 'prometheus_client'} & set(sys.modules)));"
        "rxstream.circuits.get('x'); print('pybreaker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]


def test_what_waits_for_a_storage_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest errands give way, which is said once, and the latest are run in their order."""
    go, ran = threading.Event(), list[int]()
    clerk = Clerk(lambda: None, lambda: False, 60)
    clerk.submit(lambda: go.wait(20))
    until_now(lambda: clerk.busy_for() > 0)
    for number in range(3 * BACKLOG):
        clerk.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    go.set()
    until_now(lambda: not clerk.busy)
    assert ran == list(range(2 * BACKLOG, 3 * BACKLOG))
    assert caplog.text.count("a circuit's storage does not answer") == 1


async def test_an_errand_that_was_dropped_is_run_for_who_asks_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """All who ask wait for one errand: without it, nobody would be answered for as long as somebody waits."""
    monkeypatch.setattr(stream, "PATIENCE", 3600)
    circuit, go = breaker(), threading.Event()
    clerk = Guard.of(circuit)._clerk
    clerk.submit(lambda: go.wait(20))
    await until(lambda: clerk.busy_for() > 0)
    before = asyncio.create_task(outcome(Origin(1).through(circuit)))
    await until(lambda: len(Guard.of(circuit)._asking) == 1)
    for _ in range(BACKLOG):
        clerk.submit(lambda: None)
    after = asyncio.create_task(outcome(Origin(2).through(circuit)))
    await until(lambda: len(Guard.of(circuit)._asking) == 2)
    go.set()
    assert await asyncio.gather(before, after) == [[1], [2]]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_is_forked_off_has_a_clerk_of_its_own() -> None:
    """The thread of the other one is not there."""
    go = threading.Event()
    clerk = Clerk(lambda: None, lambda: False, 60)
    clerk.submit(lambda: go.wait(20))
    until_now(lambda: clerk.busy_for() > 0)
    child = os.fork()
    if child == 0:
        try:
            clerk.submit(lambda: os._exit(7))
            until_now(lambda: False)
        finally:
            os._exit(1)
    go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_errand_that_fails_does_not_end_the_clerk(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next one runs."""
    ran = threading.Event()
    clerk = Clerk(lambda: None, lambda: False, 60)
    clerk.submit(lambda: 1 / 0)
    clerk.submit(ran.set)
    until_now(ran.is_set)
    assert "ZeroDivisionError" in caplog.text
