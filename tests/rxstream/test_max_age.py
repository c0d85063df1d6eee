"""`max_age`: what waited for too long in a sliding buffer is dropped when its consumer comes, and never delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex
from reactivex import Subject
from reactivex import operators as rx
from reactivex.scheduler import VirtualTimeScheduler

from rxstream import BufferConfig, from_async_iterable, to_async_iterable, virtual
from rxstream.aging_buffer import AgingBuffer
from rxstream.explore import simulate
from rxstream.operators import decode_ndjson, map_async, with_buffer

FRESH = {"strategy": "sliding", "max_age": 2.5}


class Aged:
    """A buffer, and its clock."""

    def __init__(self, capacity: int = 10, on_dropped: Any = None, on_hook_error: Any = None) -> None:
        self.now = 0.0
        self.buffer: AgingBuffer[Any] = AgingBuffer(
            BufferConfig(capacity, "sliding", max_age=2), on_dropped, on_hook_error
        )
        self.buffer.use(lambda: self.now)

    def push(self, *items: Any) -> None:
        """Offers each, one second after the one before."""
        for item in items:
            assert self.buffer.offer(item)
            self.now += 1


class TestBuffer:
    def test_what_is_too_old_is_dropped_and_counted(self) -> None:
        """Longer than `max_age`, not as long: the item of two seconds ago is delivered."""
        seen: list[int] = []
        aged = Aged(on_dropped=seen.append)
        aged.push(0, 1, 2, 3)
        assert aged.buffer.take() == [2, 3]
        assert seen == [0, 1]
        found = aged.buffer.statistics()
        assert (found.pushed, found.delivered, found.dropped, found.discarded, found.length) == (4, 2, 2, 0, 0)
        assert found.high_water == 4

    def test_the_places_of_the_old_are_free(self) -> None:
        """A buffer whose items are all too old is an empty one."""
        aged = Aged(3)
        aged.push(0, 1, 2)
        aged.now += 10
        assert aged.buffer.take() == []
        aged.push(3, 4, 5)
        assert aged.buffer.statistics().dropped == 3
        assert aged.buffer.statistics().length == 3

    def test_a_limit_counts_what_is_fresh(self) -> None:
        """`take(1)` gives an item if there is one that is not too old."""
        aged = Aged()
        aged.push(0, 1, 2, 3)
        assert aged.buffer.take(1) == [2]

    def test_what_the_strategy_drops_and_what_is_left_over_are_items(self) -> None:
        """The hook is never shown how they are kept."""
        seen: list[Any] = []
        aged = Aged(2, seen.append)
        aged.push("a", None, "c")
        aged.buffer.dispose()
        assert seen == ["a", None, "c"]
        assert aged.buffer.statistics().discarded == 2

    def test_the_end_keeps_what_is_fresh(self) -> None:
        """The terminal changes nothing: what was accepted comes, unless it is too old by then."""
        aged = Aged()
        aged.push(0, 1, 2, 3)
        aged.buffer.end()
        assert aged.buffer.take() == [2, 3]

    def test_whoever_waits_for_all_to_be_consumed_is_told(self) -> None:
        """An item that is dropped is not waited for."""
        aged, told = Aged(), list[str]()
        aged.push(0)
        assert aged.buffer.when_consumed(lambda: told.append("consumed"))
        aged.now += 10
        aged.buffer.take()
        assert told == ["consumed"]

    def test_a_hook_may_push(self) -> None:
        """What it pushes is fresh, and is taken in the same turn."""
        aged = Aged()

        def again(item: str) -> None:
            aged.buffer.offer(f"{item} again")

        aged.buffer._hook = type(aged.buffer)(aged.buffer.config, again)._hook
        aged.push("it")
        aged.now += 10
        assert aged.buffer.take() == ["it again"]

    def test_items_that_are_put_in_at_once(self) -> None:
        """As by who has taken as many places: they have the same time."""
        aged = Aged()
        del aged.buffer.room[-3:]
        aged.now = 5
        aged.buffer.items.extend("abc")
        aged.now += 2
        assert aged.buffer.take(1) == ["a"]
        aged.now += 0.5
        assert aged.buffer.take() == []
        assert aged.buffer.statistics().dropped == 2

    def test_there_is_none_without_an_age(self) -> None:
        """Nobody pays for what was not asked for."""
        stream = to_async_iterable(reactivex.never(), "sse")
        assert type(stream._boundary.buffer.items) is deque


class TestStreams:
    """In virtual time: one item a second, and a consumer that comes for each after four."""

    def test_a_slow_consumer_gets_what_is_fresh(self) -> None:
        """Each item is at most 2.5 s old when it is delivered; every other is counted."""

        async def main() -> tuple[list[int], list[int]]:
            dropped: list[int] = []
            got: list[int] = []
            source = reactivex.interval(1.0).pipe(rx.take(20))
            async with to_async_iterable(source, FRESH, on_dropped=dropped.append) as numbers:
                async for number in numbers:
                    got.append(number)
                    assert asyncio.get_running_loop().time() - (number + 1) <= 2.5
                    await asyncio.sleep(4)
                found = numbers.statistics()
            assert (found.delivered, found.dropped, found.discarded) == (len(got), len(dropped), 0)
            return got, dropped

        got, dropped = virtual.run(main)
        assert got == [0, 2, 6, 10, 14, 18]
        assert sorted(got + dropped) == list(range(20))

    def test_the_end_comes_although_all_was_too_old(self) -> None:
        """And a consumer that only comes then gets no item."""

        async def main() -> list[int]:
            source = reactivex.from_iterable(range(5))
            async with to_async_iterable(source, FRESH) as numbers:
                await asyncio.sleep(10)
                return [number async for number in numbers]

        assert virtual.run(main) == []

    def test_a_failure_comes_as_well(self) -> None:
        """It does not age."""

        async def main() -> None:
            source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(ValueError("late")))
            async with to_async_iterable(source, FRESH) as numbers:
                await asyncio.sleep(10)
                async for _ in numbers:
                    raise AssertionError("too old")

        with pytest.raises(ValueError, match="late"):
            virtual.run(main)

    def test_a_consumer_waits_on_when_all_was_too_old(self) -> None:
        """Nothing of it is the end: the next item is delivered as it comes."""

        async def main() -> tuple[str, float]:
            prices: Subject[str] = Subject()
            loop = asyncio.get_running_loop()
            async with to_async_iterable(prices, FRESH) as stream:
                prices.on_next("old")
                loop.call_later(20, prices.on_next, "new")
                await asyncio.sleep(10)
                return await anext(stream), loop.time()

        assert virtual.run(main) == ("new", 20)

    def test_a_hook_that_fails_is_the_streams_failure(self) -> None:
        """As for what the strategy drops; what is fresh comes first."""

        def fail(item: int) -> None:
            raise ValueError(f"dropped {item}")

        async def main() -> list[int]:
            got = []
            prices: Subject[int] = Subject()
            async with to_async_iterable(prices, FRESH, on_dropped=fail) as stream:
                prices.on_next(1)
                await asyncio.sleep(10)
                prices.on_next(2)
                with pytest.raises(ValueError, match="dropped 1"):
                    async for price in stream:
                        got.append(price)
            return got

        assert virtual.run(main) == [2]

    @pytest.mark.parametrize("how", ["async source", "decoder", "worker", "amid a pipe"])
    def test_however_the_items_came(self, how: str) -> None:
        """Sources of ours fill the buffer past its methods, a stock one pushes on a thread, an operator drains amid a
        pipe: each item is stamped all the same."""

        async def rows() -> AsyncIterator[Any]:
            for number in range(3):
                yield number if how == "async source" else b"%d\n" % number
            await asyncio.sleep(10)
            for number in range(3, 6):
                yield number if how == "async source" else b"%d\n" % number

        def plain() -> reactivex.Observable[int]:
            return reactivex.concat(
                reactivex.from_iterable(range(3)),
                reactivex.from_iterable(range(3, 6)).pipe(rx.delay_subscription(10.0)),
            )

        async def main() -> list[int]:
            source: reactivex.Observable[Any] = from_async_iterable(rows)
            if how == "decoder":
                source = source.pipe(decode_ndjson())
            if how == "worker":
                source = plain()
            if how == "amid a pipe":
                source = plain().pipe(with_buffer(FRESH), map_async(slow, max_concurrent=1))
                return [number async for number in to_async_iterable(source)]
            async with to_async_iterable(source, FRESH) as numbers:
                await asyncio.sleep(5)
                return [number async for number in numbers]

        async def slow(number: int) -> int:
            await asyncio.sleep(4 if number < 3 else 0)
            return number

        expected = [0, 1, 3, 4, 5] if how == "amid a pipe" else [3, 4, 5]
        assert virtual.run(main) == expected

    def test_a_simulation_draws_it(self) -> None:
        """The explorer runs the real buffer, and shows what was dropped."""
        trace = simulate(reactivex.interval(1.0), consumer_delay=4, duration=10, buffer=FRESH)
        dropped = [(event.at, event.item) for event in trace.events if event.kind == "drop"]
        assert dropped == [(5, "1"), (9, "3"), (9, "4"), (9, "5")]


class TestWithBuffer:
    def test_its_own_argument(self) -> None:
        """As `capacity` and `strategy`; what does not fit together is refused when it is built."""
        with pytest.raises(ValueError, match="ask for strategy"):
            with_buffer(max_age=1.0)
        with pytest.raises(ValueError, match="ask for strategy"):
            with_buffer(FRESH, strategy="suspend")
        with_buffer("sse", max_age=1.0)

    def test_a_plain_observer_on_rxpys_virtual_time(self) -> None:
        """An age is one of the scheduler's time."""
        scheduler = VirtualTimeScheduler()
        got: list[tuple[int, float]] = []

        def slow(price: int) -> None:
            got.append((price, scheduler.clock))
            scheduler.sleep(2)

        prices: Subject[int] = Subject()
        stream = prices.pipe(with_buffer(capacity=10, strategy="sliding", max_age=2.5, scheduler=scheduler))
        stream.subscribe(slow)
        for price in range(4):
            prices.on_next(price)
        prices.on_completed()
        scheduler.start()
        assert got == [(0, 0), (1, 2)]
