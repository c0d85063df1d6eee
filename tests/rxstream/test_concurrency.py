"""`map_async` and `for_each`: bounded, ordered or not, and nothing left running."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx

from rxstream import loops
from rxstream.concurrency import for_each, map_async
from rxstream.errors import RxStreamError
from rxstream.sources import from_async_iterable
from tests.rxstream.support import DEADLINE, Counted, everything, numbers, stream_config, until


class Calls:
    """An async function that waits until it is let go, and counts."""

    def __init__(self) -> None:
        self.running = self.most = self.ended = self.cancelled = 0
        self.started: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}

    async def __call__(self, number: int) -> int:
        """Waits for the gate of its number."""
        self.started.append(number)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate(number).wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        self.ended += 1
        return number

    def gate(self, number: int) -> asyncio.Event:
        """The gate of a number."""
        return self.gates.setdefault(number, asyncio.Event())


@pytest.mark.parametrize("operator", [map_async, lambda fn, **kw: for_each(rx.never(), fn, **kw)])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, 1), TypeError, "an async function is needed, not None"),
        ((everything, 0), ValueError, "max_concurrent must be at least 1, not 0"),
        ((everything, True), TypeError, "max_concurrent must be an int, not True"),
        ((everything, 1.5), TypeError, "max_concurrent must be an int, not 1.5"),
    ],
)
async def test_wrong_arguments(operator: Any, arguments: Any, error: type[Exception], message: str) -> None:
    """They are refused at once, with what is wrong."""
    with pytest.raises(error, match=message):
        await operator(arguments[0], max_concurrent=arguments[1])


async def test_a_function_that_is_not_async() -> None:
    """The error says what came in the place of an awaitable."""
    with pytest.raises(TypeError, match=r"an async function is needed, but .* returned int"):
        await everything(rx.of(1).pipe(map_async(lambda n: n)))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("ordered", [True, False])
async def test_calls_in_flight_are_bounded(ordered: bool) -> None:
    """Not more calls, and results that wait for their turn, than were asked for."""
    calls = Calls()
    source = from_async_iterable(lambda: numbers(20)).pipe(map_async(calls, max_concurrent=3, ordered=ordered))
    collected = asyncio.ensure_future(everything(source))
    await until(lambda: calls.running == 3)
    for number in reversed(range(20)):
        calls.gate(number).set()
        await asyncio.sleep(0)
    assert sorted(await collected) == list(range(20))
    assert calls.most == 3


async def test_results_in_order() -> None:
    """The order of the items, however long each call takes."""
    calls = Calls()
    collected = asyncio.ensure_future(everything(rx.range(0, 4).pipe(map_async(calls, max_concurrent=4))))
    await until(lambda: calls.running == 4)
    for number in (3, 2, 1, 0):
        calls.gate(number).set()
        await asyncio.sleep(0)
    assert await collected == [0, 1, 2, 3]


async def test_results_as_they_come() -> None:
    """The order in which the calls end."""
    calls = Calls()
    source = rx.range(0, 4).pipe(map_async(calls, max_concurrent=4, ordered=False))
    collected = asyncio.ensure_future(everything(source))
    await until(lambda: calls.running == 4)
    for number in (3, 1, 0, 2):
        calls.gate(number).set()
        await until(lambda: calls.running == 0 or calls.ended)
        await asyncio.sleep(0.002)
    assert await collected == [3, 1, 0, 2]


@pytest.mark.parametrize("ordered", [True, False])
async def test_the_first_failure_ends_the_others(ordered: bool) -> None:
    """Results before it come first; the other calls are cancelled, and have ended."""
    calls = Calls()

    async def call(number: int) -> int:
        if number == 2:
            raise KeyError(number)
        return await calls(number)

    calls.gate(0).set()
    calls.gate(1).set()
    got: list[int] = []

    async def collect() -> None:
        await for_each(rx.range(0, 9).pipe(map_async(call, max_concurrent=5, ordered=ordered)), lambda n: note(got, n))

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(KeyError):
            await collect()
    assert calls.running == 0
    if ordered:
        assert got == [0, 1]


async def note(seen: list[int], number: int) -> None:
    """Keeps a number."""
    seen.append(number)


async def test_a_call_that_is_cancelled_from_within() -> None:
    """A function that raises `CancelledError` has failed: the consumer is not cancelled."""

    async def call(_: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RxStreamError):
        await everything(rx.of(1).pipe(map_async(call)))


@pytest.mark.parametrize("most", [1, 4])
async def test_for_each_says_what_it_needs(most: int) -> None:
    """A plain function is named, and what it returned, with any number of calls in flight."""
    with pytest.raises(TypeError, match=r"an async function is needed, but .* returned int"):
        await for_each(rx.of(1), lambda n: n, max_concurrent=most)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("most", [1, 4])
async def test_for_each_sees_every_item(most: int) -> None:
    """One call for each item, in order where there is one at a time."""
    seen: list[int] = []
    await for_each(rx.range(0, 100), lambda n: note(seen, n), buffer=stream_config(3), max_concurrent=most)
    assert sorted(seen) == list(range(100))
    if most == 1:
        assert seen == list(range(100))


@pytest.mark.parametrize("most", [1, 4])
async def test_for_each_fails_with_its_function(most: int) -> None:
    """What the function raises ends it at once; the source is closed and the other calls have ended."""
    source, calls = Counted(), Calls()

    async def call(number: int) -> int:
        if number == most - 1:
            raise KeyError
        return await calls(number)

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(KeyError):
            await for_each(from_async_iterable(source.generate), call, buffer=stream_config(8), max_concurrent=most)
    assert source.closed == 1
    assert (calls.running, calls.cancelled) == (0, most - 1)


@pytest.mark.parametrize("most", [1, 4])
async def test_for_each_fails_with_the_stream(most: int) -> None:
    """A failure of the stream is raised after its items."""
    seen: list[int] = []
    with pytest.raises(ValueError, match="end"):
        await for_each(
            rx.concat(rx.of(1, 2), rx.throw(ValueError("end"))), lambda n: note(seen, n), max_concurrent=most
        )
    assert sorted(seen) == [1, 2]


@pytest.mark.parametrize("most", [1, 4])
async def test_cancelling_for_each(most: int) -> None:
    """The calls in flight are cancelled, the source is closed, and the cancellation goes on."""
    source, calls = Counted(), Calls()
    running = asyncio.ensure_future(
        for_each(from_async_iterable(source.generate), calls, buffer=stream_config(8), max_concurrent=most)
    )
    await until(lambda: calls.running == most)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (calls.running, calls.cancelled, source.closed) == (0, most, 1)


async def test_a_call_whose_cleanup_hangs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is waited for, within a bound, then reported and left."""
    monkeypatch.setattr(loops, "CLEANUP_TIMEOUT", 0.02)
    started, let_go = asyncio.Event(), asyncio.Event()

    async def call(_: int) -> None:
        started.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    running = asyncio.ensure_future(for_each(rx.range(0, 9), call, max_concurrent=2))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, DEADLINE)
    assert any("a call did not end within" in record.message for record in caplog.records)
    let_go.set()
    await until(lambda: len(asyncio.all_tasks()) == 1)
