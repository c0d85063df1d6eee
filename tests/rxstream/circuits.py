"""What the tests of circuits share: breakers, sources with a fate, a listener that keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pybreaker
from reactivex import Observable

from rxstream import from_async_iterable, to_async_iterable
from rxstream.circuit.guard import Guard
from rxstream.operators import with_circuit
from tests.rxstream.support import DEADLINE, Source, stream_config


def breaker(**settings: Any) -> pybreaker.CircuitBreaker:
    """One that opens at the second failure, and stays open."""
    return pybreaker.CircuitBreaker(**{"fail_max": 2, "reset_timeout": 3600, **settings})


def opened(**settings: Any) -> pybreaker.CircuitBreaker:
    """One that is open."""
    circuit = breaker(**settings)
    circuit.open()
    return circuit


def due(**settings: Any) -> pybreaker.CircuitBreaker:
    """One that is open, and may be tried."""
    circuit = opened(**settings)
    circuit.reset_timeout = 0
    return circuit


def probes(circuit: pybreaker.CircuitBreaker) -> int:
    """Permits that are taken."""
    return len(Guard.of(circuit)._probes)


def running(circuit: pybreaker.CircuitBreaker) -> int:
    """Streams that its opening would end."""
    return len(Guard.of(circuit)._running)


class Origin(Source):
    """A source for circuits."""

    def pipe(self, *operators: Any) -> Observable[Any]:
        """The source below operators."""
        return from_async_iterable(self).pipe(*operators)

    def through(self, circuit: Any, **options: Any) -> Observable[Any]:
        """The source behind a circuit."""
        return self.pipe(with_circuit(circuit, **options))


async def outcome(source: Observable[Any], strategy: str = "suspend") -> list[Any]:
    """The items of a stream, and its failure behind them."""
    items: list[Any] = []
    try:
        async with asyncio.timeout(DEADLINE):
            async with to_async_iterable(source, stream_config(16, strategy)) as stream:
                async for item in stream:
                    items.append(item)
    except TimeoutError as error:
        if "from the source" not in str(error):
            raise
        items.append(error)
    except Exception as error:
        items.append(error)
    return items


class Listener(pybreaker.CircuitBreakerListener):
    """Keeps what a breaker tells."""

    def __init__(self, react: Callable[[str], object] = lambda word: None) -> None:
        self.words: list[str] = []
        self._react = react

    def _note(self, word: str) -> None:
        self.words.append(word)
        self._react(word)

    def failure(self, cb: Any, exc: BaseException) -> None:
        self._note(f"failure {exc}")

    def success(self, cb: Any) -> None:
        self._note("success")

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self._note(new_state.name)

    def rejected(self, cb: Any) -> None:
        self._note("rejected")


class Lag:
    """Watches how long the event loop stands still at most."""

    async def __aenter__(self) -> Lag:
        self.most = 0.0
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            then = loop.time()
            await asyncio.sleep(0.002)
            self.most = max(self.most, loop.time() - then)
