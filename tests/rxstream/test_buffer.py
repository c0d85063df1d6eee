"""The buffer: what may be asked for, and one law for every strategy."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rxstream.aging_buffer import AgingBuffer, make_buffer
from rxstream.buffer import Buffer
from rxstream.buffer_config import BUFFER_PRESETS, MAX_CAPACITY, BufferConfig, Strategy, resolve_buffer
from tests.rxstream.support import DEADLINE, STRATEGIES


def make(
    capacity: int, strategy: Any, on_dropped: Callable[[Any], object] | None = None, max_age: float | None = None
) -> Buffer[Any]:
    """A buffer."""
    return make_buffer(BufferConfig(capacity, strategy, max_age), on_dropped)


class TestConfig:
    @pytest.mark.parametrize("capacity", [True, False, 1.0, math.nan, math.inf, "1", None, [1]])
    def test_capacity_must_be_an_int(self, capacity: Any) -> None:
        """Anything but an int is refused by its type, and the message shows it."""
        with pytest.raises(TypeError, match="capacity must be an int, not "):
            BufferConfig(capacity, "suspend")

    @pytest.mark.parametrize("capacity", [0, -1, MAX_CAPACITY + 1, 2**63])
    def test_capacity_must_be_in_range(self, capacity: int) -> None:
        """A capacity that is none, or so large that it is none, is refused with the range."""
        with pytest.raises(ValueError, match=f"capacity must be from 1 to {MAX_CAPACITY}, not {capacity}"):
            BufferConfig(capacity, "suspend")

    @pytest.mark.parametrize("strategy", ["", "block", "Suspend", "latest"])
    def test_strategy_must_be_known(self, strategy: Any) -> None:
        """An unknown strategy is refused, and the message names those that there are."""
        with pytest.raises(ValueError, match="strategy must be one of sliding, dropping, suspend, not "):
            BufferConfig(1, strategy)

    def test_strategy_must_be_a_str(self) -> None:
        """A strategy that is no str is refused by its type."""
        with pytest.raises(TypeError, match="strategy must be a str, not None"):
            BufferConfig(1, None)  # type: ignore[arg-type]

    @pytest.mark.parametrize("max_age", [True, "5", [5]])
    def test_an_age_must_be_a_number(self, max_age: Any) -> None:
        """Anything else is refused by its type, and the message shows it."""
        with pytest.raises(TypeError, match="max_age must be a number of seconds or None, not "):
            BufferConfig(1, "sliding", max_age)

    @pytest.mark.parametrize("max_age", [0, -1.5, math.nan, math.inf])
    def test_an_age_must_be_in_range(self, max_age: float) -> None:
        """One that drops everything, or nothing, is refused with the word for no limit."""
        with pytest.raises(ValueError, match="max_age must be more than 0 seconds, or None for no limit, not "):
            BufferConfig(1, "sliding", max_age)

    @pytest.mark.parametrize("strategy", ["dropping", "suspend"])
    def test_an_age_is_for_sliding_alone(self, strategy: Any) -> None:
        """The others promise that what came first is kept; the message names the ways out."""
        with pytest.raises(ValueError, match=f'"{strategy}" keeps .* ask for strategy="sliding" too, or leave'):
            BufferConfig(1, strategy, 5)

    def test_config_is_frozen(self) -> None:
        """A config that is shared cannot be changed under its other users."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            BufferConfig(1, "suspend").capacity = 2  # type: ignore[misc]

    def test_presets(self) -> None:
        """The presets are what the documentation says."""
        assert dict(BUFFER_PRESETS) == {
            "sse": BufferConfig(64, "sliding"),
            "download": BufferConfig(256, "suspend"),
            "export": BufferConfig(128, "suspend"),
            "import": BufferConfig(64, "suspend"),
        }

    def test_presets_cannot_be_changed(self) -> None:
        """Nobody changes a preset for everybody."""
        with pytest.raises(TypeError):
            BUFFER_PRESETS["sse"] = BufferConfig(1, "suspend")  # type: ignore[index]

    @pytest.mark.parametrize(
        ("given_", "expected"),
        [
            (None, BufferConfig(128, "suspend")),
            ("sse", BufferConfig(64, "sliding")),
            (BufferConfig(3, "dropping"), BufferConfig(3, "dropping")),
            ({}, BufferConfig(128, "suspend")),
            ({"capacity": 8}, BufferConfig(8, "suspend")),
            ({"strategy": "sliding"}, BufferConfig(128, "sliding")),
            ({"strategy": "sliding", "max_age": 5}, BufferConfig(128, "sliding", max_age=5)),
        ],
    )
    def test_whatever_may_be_given(self, given_: Any, expected: BufferConfig) -> None:
        """A preset's name, a config and a mapping that overrides parts of the default all give a config."""
        assert resolve_buffer(given_, "export") == expected

    @pytest.mark.parametrize(
        ("given_", "error", "message"),
        [
            ("exports", ValueError, "no buffer preset 'exports'; there are sse, download, export, import"),
            ({"size": 8}, TypeError, "a buffer has a capacity, a strategy and a max_age, not 'size'"),
            ({"capacity": 0}, ValueError, "capacity must be from 1 to"),
            ({"max_age": 5}, ValueError, 'ask for strategy="sliding" too, or leave max_age out'),
            (8, TypeError, "a buffer is a preset's name, a BufferConfig or a mapping, not 8"),
        ],
    )
    def test_whatever_may_not(self, given_: Any, error: type[Exception], message: str) -> None:
        """What cannot be a buffer is refused with a message that says what can."""
        with pytest.raises(error, match=message):
            resolve_buffer(given_, "export")


class TestStrategies:
    @pytest.mark.parametrize(("strategy", "kept"), [("sliding", [497, 498, 499]), ("dropping", [0, 1, 2])])
    def test_what_is_kept_of_a_flood(self, strategy: str, kept: list[int]) -> None:
        """Sliding keeps the last, dropping the first; what was accepted still comes after the end."""
        seen: list[int] = []
        buffer = make(3, strategy, seen.append)
        assert [buffer.offer(number) for number in range(500)] == [True] * 500
        buffer.end()
        assert buffer.take() == kept
        assert sorted(seen + kept) == list(range(500))

    def test_suspend_takes_no_more_than_it_has_places_for(self) -> None:
        """A full buffer leaves the item to its producer, and nothing is counted."""
        buffer = make(2, "suspend")
        assert [buffer.offer(n) for n in range(3)] == [True, True, False]
        assert buffer.statistics().pushed == 2

    def test_items_in_hand_fill_their_places(self) -> None:
        """Under suspend a batch that was taken is not room for others before it is consumed."""
        buffer = make(2, "suspend")
        buffer.offer(0), buffer.offer(1)
        assert buffer.take() == [0, 1]
        assert not buffer.offer(2)
        buffer.settle(1)
        assert buffer.offer(2)
        assert not buffer.offer(3)

    def test_the_terminal_takes_no_place(self) -> None:
        """A full buffer ends, and keeps what it has."""
        buffer = make(1, "suspend")
        buffer.offer(0)
        assert buffer.end()
        assert buffer.take() == [0]

    def test_it_ends_once(self) -> None:
        """Only the first end counts."""
        buffer = make(1, "suspend")
        assert [buffer.end(), buffer.end()] == [True, False]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_nothing_gets_in_after_the_end(self, strategy: str) -> None:
        """What comes after the end is left to its producer, who discards it."""
        buffer = make(3, strategy)
        buffer.end()
        assert not buffer.offer(1)
        assert not buffer.accept(1)
        assert not buffer.park(1)
        assert buffer.take() == []

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_dispose_discards_and_shows_what_is_left(self, strategy: str) -> None:
        """On dispose the buffered items are counted as discarded and given to the hook, oldest first."""
        seen: list[int] = []
        buffer = make(3, strategy, seen.append)
        for number in range(3):
            buffer.offer(number)
        buffer.dispose()
        buffer.dispose()
        assert seen == [0, 1, 2]
        assert buffer.statistics().discarded == 3
        assert len(buffer) == 0

    def test_an_item_that_was_on_its_way_at_dispose_is_discarded(self) -> None:
        """A producer that had its place before the dispose and appends after it leaves nothing behind."""
        seen: list[int] = []
        buffer = make(3, "suspend", seen.append)

        class Slow(deque[Any]):
            def append(self, item: Any) -> None:
                buffer.dispose()
                super().append(item)

        buffer.items = Slow()
        assert buffer.offer(7)
        assert seen == [7]
        assert buffer.statistics().discarded == 1

    def test_sliding_keeps_the_newest_when_the_consumer_came_in_between(self) -> None:
        """A push that found the buffer full, but is late to drop one, must not lose the newest item."""
        buffer = make(2, "sliding")
        buffer.offer(0), buffer.offer(1)
        consumed: list[int] = []

        class Raced:
            def __enter__(self) -> None:
                if not consumed:
                    consumed.append(0)
                    buffer._lock = lock
                    consumed[:] = buffer.take()
                lock.acquire()

            def __exit__(self, *_: object) -> None:
                lock.release()

        lock = buffer._lock
        buffer._lock = Raced()  # type: ignore[assignment]
        assert buffer.offer(2)
        assert consumed == [0, 1]
        assert buffer.take() == [2]
        assert buffer.statistics().dropped == 0

    def test_high_water_is_the_most_it_held(self) -> None:
        """The mark stays when the items are gone."""
        buffer = make(5, "sliding")
        for number in range(3):
            buffer.offer(number)
        buffer.take()
        buffer.offer(9)
        assert (buffer.statistics().high_water, buffer.statistics().length) == (3, 1)

    @pytest.mark.parametrize("item", [None, math.nan, ValueError("an item"), StopIteration(), (), 0, False])
    def test_any_object_is_data(self, item: Any) -> None:
        """None, NaN and exceptions pass as they are."""
        buffer = make(1, "suspend")
        buffer.offer(item)
        assert buffer.take()[0] is item


class TestQueue:
    def full(self, capacity: int = 1) -> Buffer[Any]:
        """A full buffer."""
        buffer = make(capacity, "suspend")
        for number in range(capacity):
            buffer.offer(number)
        return buffer

    def free(self, buffer: Buffer[Any], count: int) -> None:
        """Consumes items to the end, so that their places are free."""
        buffer.take(count)
        buffer.settle(count)

    def test_one_is_woken_for_one_place_first_come_first_served(self) -> None:
        """Of two that wait, the first has the place."""
        buffer, woken = self.full(), list[str]()
        assert buffer.wait(lambda: woken.append("first"))
        assert buffer.wait(lambda: woken.append("second"))
        self.free(buffer, 1)
        assert woken == ["first"]

    def test_nobody_overtakes_the_one_that_was_woken(self) -> None:
        """The place of a producer that was woken is set aside until it comes."""
        buffer = self.full()
        buffer.wait(lambda: None)
        self.free(buffer, 1)
        assert not buffer.room
        assert not buffer.offer("overtaker")
        assert buffer.accept("first")

    def test_a_woken_producer_that_gives_up_passes_its_turn_on(self) -> None:
        """A cancelled waiter that was woken hands its place to the next."""
        buffer, woken = self.full(), list[str]()
        first, second = (lambda: woken.append("first")), (lambda: woken.append("second"))
        buffer.wait(first), buffer.wait(second)
        self.free(buffer, 1)
        buffer.forget(first)
        assert woken == ["first", "second"]

    def test_a_waiting_producer_that_gives_up_takes_nobodys_turn(self) -> None:
        """A waiter that was not woken yet just leaves the queue."""
        buffer, woken = self.full(), list[str]()
        first = lambda: woken.append("first")  # noqa: E731
        buffer.wait(first), buffer.wait(lambda: woken.append("second"))
        buffer.forget(first)
        assert woken == []
        self.free(buffer, 1)
        assert woken == ["second"]

    def test_a_turn_that_is_not_used_is_passed_on(self) -> None:
        """Whoever was woken and pushed nothing calls the next."""
        buffer, woken = self.full(), list[str]()
        buffer.wait(lambda: woken.append("first")), buffer.wait(lambda: woken.append("second"))
        self.free(buffer, 1)
        buffer.release()
        buffer.pass_on()
        assert woken == ["first", "second"]

    def test_they_are_woken_when_half_of_the_places_are_free(self) -> None:
        """Not at each item: a wake-up costs more than an item."""
        buffer, woken = self.full(4), list[str]()
        buffer.wait(lambda: woken.append("first"))
        self.free(buffer, 1)
        assert woken == []
        self.free(buffer, 1)
        assert woken == ["first"]

    def test_as_many_are_woken_as_there_are_places(self) -> None:
        """Three wait, two places are free: two are woken, the third when the next place is."""
        buffer, woken = self.full(4), list[int]()
        for number in range(3):
            buffer.wait(lambda number=number: woken.append(number))  # type: ignore[misc]
        self.free(buffer, 2)
        assert woken == [0, 1]
        self.free(buffer, 2)
        assert woken == [0, 1, 2]

    def test_whoever_watches_is_told_and_takes_no_place(self) -> None:
        """A timer that is held back learns of room together with those who wait for a place."""
        buffer, woken = self.full(), list[str]()
        assert buffer.watch(lambda: woken.append("watcher"))
        assert buffer.wait(lambda: woken.append("first"))
        assert buffer.wait(lambda: woken.append("second"))
        self.free(buffer, 1)
        assert sorted(woken) == ["first", "watcher"]
        assert not make(1, "suspend").watch(lambda: None)

    @pytest.mark.parametrize("how", ["end", "dispose"])
    def test_all_are_woken_at_the_end(self, how: str) -> None:
        """Nobody waits for a stream that is over."""
        buffer, woken = self.full(), list[int]()
        buffer.wait(lambda: woken.append(1)), buffer.wait(lambda: woken.append(2))
        buffer.watch(lambda: woken.append(3))
        getattr(buffer, how)()
        assert sorted(woken) == [1, 2, 3]
        assert not buffer.wait(lambda: None)

    def test_there_is_nothing_to_wait_for_where_there_is_room(self) -> None:
        """Whoever asks while a place is free is told to try again."""
        assert not make(1, "suspend").wait(lambda: None)

    def test_parked_items_are_made_up_for(self) -> None:
        """An item beyond the capacity costs the next place that is freed."""
        buffer = self.full()
        assert buffer.park("extra")
        assert buffer.parked == 1
        self.free(buffer, 1)
        assert (buffer.parked, len(buffer.room)) == (0, 0)
        self.free(buffer, 1)
        assert len(buffer.room) == 1


class TestHook:
    def test_a_hook_that_raises_is_reported_and_counted(self) -> None:
        """The failure goes to the error hook, the item is counted, and the producer goes on."""
        errors: list[Exception] = []
        failure = ValueError("no")

        def hook(_: int) -> None:
            raise failure

        buffer: Buffer[int] = Buffer(BufferConfig(1, "dropping"), hook, errors.append)
        assert [buffer.offer(number) for number in range(3)] == [True] * 3
        assert errors == [failure, failure]
        assert buffer.statistics().dropped == 2

    @pytest.mark.parametrize("strategy", ["sliding", "dropping"])
    def test_a_hook_that_pushes_does_not_recurse(self, strategy: str) -> None:
        """A hook that pushes for each dropped item, thousands of times over, runs on a flat stack."""
        depth = deepest = 0

        def hook(item: int) -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            if item < 10_000:
                buffer.offer(item + 1)
            depth -= 1

        buffer = make(1, strategy, hook)
        buffer.offer(0)
        buffer.offer(0)
        assert deepest == 1
        assert buffer.statistics().dropped > 9_000

    @pytest.mark.parametrize("strategy", ["sliding", "dropping"])
    def test_a_hook_that_disposes(self, strategy: str) -> None:
        """A hook may end the stream: no deadlock, and all that was pushed is accounted for."""
        seen: list[int] = []

        def hook(item: int) -> None:
            seen.append(item)
            buffer.dispose()

        buffer = make(2, strategy, hook)
        pushed = sum([buffer.offer(number) for number in range(3)])
        assert pushed == 3
        assert sorted(seen) == [0, 1, 2]

    def test_hooks_on_many_threads(self) -> None:
        """Threads that drop at the same time do not disturb each other's hooks."""
        counts: deque[int] = deque()
        buffer = make(1, "dropping", counts.append)
        threads = [threading.Thread(target=lambda: [buffer.offer(n) for n in range(2000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert len(counts) == 4 * 2000 - 1


class Watcher:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.waiting = False
        self.gone: list[int] = []
        self.dropped_items = self.took = 0

    def suspended(self) -> None:
        assert not self.waiting
        self.waiting = True

    def resumed(self) -> None:
        assert self.waiting
        self.waiting = False

    def dropped(self, item: int) -> None:
        self.dropped_items += 1
        self.gone.append(item)

    def discarded(self, item: int) -> None:
        self.gone.append(item)

    def taken(self, count: int) -> None:
        assert count
        self.took += count


class TestObservers:
    def test_one_that_comes_late_learns_who_waits(self) -> None:
        """An observer that is attached while a producer waits is told so at once, whether or not it is the first."""
        buffer = make(1, "suspend")
        buffer.offer(1)
        buffer.wait(lambda: None)
        first, second = Watcher(), Watcher()
        buffer.attach(first)
        buffer.attach(second)
        assert first.waiting and second.waiting
        buffer.take()
        buffer.take()  # now the first batch is consumed, and the producer has its turn
        assert not (first.waiting or second.waiting)

    def test_one_that_withdraws_waits_no_more(self) -> None:
        """The last producer that leaves the queue ends the wait, also one that only watches."""
        buffer, watcher = make(1, "suspend"), Watcher()
        buffer.attach(watcher)
        buffer.offer(1)
        calls: list[Callable[[], None]] = [lambda: None, lambda: None]
        buffer.wait(calls[0])
        buffer.watch(calls[1])
        buffer.withdraw(calls[0])
        assert watcher.waiting
        buffer.withdraw(calls[1])
        assert not watcher.waiting


class BufferMachine(RuleBasedStateMachine):
    """Drives a buffer and a model of a few lines side by side, in any order of calls."""

    strategy: Strategy = "suspend"
    capacity = 3
    max_age: float | None = None

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.born: dict[int, int] = {}  # when each item came
        self.shown: list[int] = []
        self.buffer = make(self.capacity, self.strategy, self.shown.append, self.max_age)
        if isinstance(self.buffer, AgingBuffer):
            self.buffer.use(lambda: self.now)
        self.watcher = Watcher()
        self.buffer.attach(self.watcher)
        self.held: list[int] = []  # the model: what is in the buffer,
        self.hand: list[int] = []  # what the consumer took and has not consumed,
        self.aside = 0  # places that are set aside for those who were woken,
        self.waiting: list[int] = []  # who waits,
        self.woken: list[int] = []  # and who was woken
        self.gone: list[int] = []  # what was dropped and discarded, in order
        self.got = self.given_back = self.pushed = self.number = 0
        self.over = self.disposed = False

    @property
    def free(self) -> int:
        """Places that anybody may take."""
        hand = len(self.hand) if self.strategy == "suspend" else 0
        return self.capacity - len(self.held) - hand - self.aside

    @rule()
    def push(self) -> None:
        """An item comes, and waits or is discarded by its producer if it is refused."""
        self.number += 1
        self.born[self.number] = self.now
        taken = self.buffer.offer(self.number)
        if self.over:
            assert not taken
            self.buffer.discard(self.number)
            self.pushed += 1
            self.gone.append(self.number)
        elif self.free > 0:
            assert taken
            self.pushed += 1
            self.held.append(self.number)
        elif self.strategy == "suspend":
            assert not taken
        else:
            assert taken
            self.pushed += 1
            if self.strategy == "sliding":
                self.held.append(self.number)
                self.gone.append(self.held.pop(0))
            else:
                self.gone.append(self.number)

    @rule()
    def wait(self) -> None:
        """A producer queues."""
        self.number += 1
        me = self.number
        queued = self.buffer.wait(lambda: self.woken.append(me))
        assert queued == (self.strategy == "suspend" and not self.over and self.free <= 0)
        if queued:
            self.waiting.append(me)

    @precondition(lambda self: self.aside)
    @rule(use=st.booleans())
    def turn(self, use: bool) -> None:
        """One that was woken uses its place, or gives it up."""
        if self.over:
            self.aside = 0
            return
        self.aside -= 1
        if use:
            self.number += 1
            assert self.buffer.accept(self.number)
            self.pushed += 1
            self.held.append(self.number)
        else:
            self.buffer.give_up()
            if self.waiting:
                self.wake()

    @rule(limit=st.none() | st.integers(1, 4))
    def take(self, limit: int | None) -> None:
        """The consumer comes."""
        batch = self.buffer.take(limit)
        if self.max_age is not None:
            while self.held and self.now - self.born[self.held[0]] > self.max_age:
                self.gone.append(self.held.pop(0))
        expected = self.held[:limit]
        assert batch == expected
        del self.held[: len(expected)]
        self.hand = list(expected)
        self.got += len(expected)
        self.reopened()

    @precondition(lambda self: self.max_age is not None)
    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        """Nothing happens but that."""
        self.now += seconds

    @precondition(lambda self: self.strategy == "suspend")
    @rule(count=st.integers(0, 4))
    def settle(self, count: int) -> None:
        """The consumer is done with a part."""
        self.buffer.settle(count)
        del self.hand[:count]
        self.reopened()

    @precondition(lambda self: self.hand)
    @rule()
    def give_back(self) -> None:
        """The consumer leaves with items in hand."""
        self.buffer.give_back(self.hand)
        self.gone += self.hand
        self.given_back += len(self.hand)
        self.got -= len(self.hand)
        self.buffer.settle(len(self.hand))
        self.hand = []
        self.reopened()

    @rule()
    def end(self) -> None:
        """The terminal comes."""
        self.buffer.end()
        self.finish()

    @rule()
    def dispose(self) -> None:
        """The consumer leaves."""
        self.buffer.dispose()
        self.gone += self.held
        self.held = []
        self.disposed = True
        self.finish()

    def finish(self) -> None:
        """All are woken."""
        self.over = True
        self.aside = 0
        self.waiting, already = [], len(self.woken)
        assert already == len(set(self.woken))

    def reopened(self) -> None:
        """Once half is free, as many are woken as there are places."""
        if not self.over and 2 * self.free >= self.capacity:
            for _ in range(min(self.free, len(self.waiting))):
                self.wake()

    def wake(self) -> None:
        """The one who waits longest is the one who was woken."""
        assert self.woken[-1:] or self.waiting
        me = self.waiting.pop(0)
        assert me in self.woken
        self.aside += 1

    @invariant()
    def nobody_else_was_woken(self) -> None:
        """Whoever still waits in the model waits in the buffer."""
        assert not set(self.waiting) & set(self.woken)

    @invariant()
    def counts(self) -> None:
        """What the buffer says is what the model counted, and what went in came out."""
        found = self.buffer.statistics()
        assert (found.length, found.delivered) == (len(self.held), self.got)
        assert found.pushed == self.pushed
        assert found.dropped + found.discarded == len(self.gone) == len(self.shown)
        assert self.pushed == self.got + len(self.gone) + len(self.held)
        assert found.high_water <= self.capacity
        assert self.shown == self.gone == self.watcher.gone
        assert self.watcher.dropped_items == found.dropped
        assert self.watcher.took == found.delivered + self.given_back
        assert self.watcher.waiting == bool(self.waiting)
        if not self.over:
            assert len(self.buffer.room) == self.free


def machine(strategy: str, capacity: int, max_age: float | None = None) -> type:
    """A test case for a kind of buffer."""
    attributes = {"strategy": strategy, "capacity": capacity, "max_age": max_age}
    kind = type(f"{strategy}{capacity}", (BufferMachine,), attributes)
    case: type = kind.TestCase  # type: ignore[attr-defined]
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)  # type: ignore[attr-defined]
    return case


TestSliding = machine("sliding", 3)
TestSlidingWithAge = machine("sliding", 3, max_age=3)
TestDropping = machine("dropping", 2)
TestSuspend = machine("suspend", 4)
TestSuspendOne = machine("suspend", 1)


@settings(max_examples=12, deadline=None)
@given(
    strategy=st.sampled_from(get_args(Strategy)),
    capacity=st.integers(1, 9),
    threads=st.integers(2, 4),
    limit=st.none() | st.integers(1, 5),
    leave=st.booleans(),
    max_age=st.none() | st.sampled_from([1e-6, 1e-4, 1e-3]),
)
def test_every_item_is_accounted_for_under_any_race(
    strategy: Strategy, capacity: int, threads: int, limit: int | None, leave: bool, max_age: float | None
) -> None:
    """Real threads push: delivered, dropped, discarded and left over are together what they pushed, item by item."""
    each = 300
    gone: deque[tuple[int, int]] = deque()
    got: list[tuple[int, int]] = []
    buffer = make(capacity, strategy, gone.append, max_age if strategy == "sliding" else None)

    def produce(me: int) -> None:
        for number in range(each):
            push(buffer, (me, number))

    pushers = [threading.Thread(target=produce, args=(me,), daemon=True) for me in range(threads)]
    for pusher in pushers:
        pusher.start()
    while any(pusher.is_alive() for pusher in pushers):
        got += buffer.take(limit)
        if leave and len(got) > each // 2:
            buffer.dispose()
    for pusher in pushers:
        pusher.join(DEADLINE)
    got += buffer.take()
    assert sorted([*got, *gone]) == [(me, number) for me in range(threads) for number in range(each)]
    found = buffer.statistics()
    assert (found.pushed, found.delivered, found.dropped + found.discarded) == (threads * each, len(got), len(gone))
    assert found.high_water <= capacity
    for me in range(threads):
        assert [n for who, n in got if who == me] == sorted(n for who, n in got if who == me)


def push(buffer: Buffer[Any], item: Any) -> None:
    """What a thread does that waits."""
    while not buffer.offer(item):
        turn = threading.Lock()
        turn.acquire()
        if buffer.wait(turn.release):
            assert turn.acquire(timeout=DEADLINE), "a wake-up was lost"
            if buffer.accept(item):
                return
        if buffer.ended:
            buffer.discard(item)
            return
