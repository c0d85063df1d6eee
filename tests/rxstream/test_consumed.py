"""When a consumer is done with what it was sent: for sources whose items are of use only while they stand still."""

from __future__ import annotations

import pytest

from rxstream.buffer import Buffer
from rxstream.buffer_config import BufferConfig, Strategy


@pytest.fixture(params=["suspend", "sliding", "dropping"])
def buffer(request: pytest.FixtureRequest) -> Buffer[int]:
    """An empty buffer of each strategy."""
    strategy: Strategy = request.param
    return Buffer(BufferConfig(4, strategy))


def test_an_empty_buffer(buffer: Buffer[int]) -> None:
    """There is nothing to wait for."""
    assert not buffer.when_consumed(list)


def test_taking_is_not_consuming(buffer: Buffer[int]) -> None:
    """The consumer is done when it comes for more."""
    told: list[int] = []
    buffer.offer(1)
    assert buffer.when_consumed(lambda: told.append(1))
    assert buffer.take() == [1] and told == []
    assert buffer.take() == [] and told == [1]
    buffer.offer(2)
    assert buffer.take() == [2] and buffer.take() == [] and told == [1]


def test_items_in_hand_count(buffer: Buffer[int]) -> None:
    """Those that were taken before, too; what comes afterwards does not."""
    told: list[int] = []
    for item in range(3):
        buffer.offer(item)
    assert buffer.take(2) == [0, 1]
    assert buffer.when_consumed(lambda: told.append(1))
    buffer.offer(9)
    buffer.settle(1)
    assert buffer.take(1) == [2] and told == []
    assert buffer.take(1) == [9] and told == [1]


def test_settling(buffer: Buffer[int]) -> None:
    """It counts as coming for more."""
    told: list[int] = []
    buffer.offer(1)
    buffer.take()
    assert buffer.when_consumed(lambda: told.append(1))
    buffer.settle(4)
    assert told == [1] and not buffer.when_consumed(list)


def test_several_wait() -> None:
    """Each is told once, at its own time."""
    buffer: Buffer[int] = Buffer(BufferConfig(4, "suspend"))
    told: list[int] = []
    buffer.offer(1)
    buffer.when_consumed(lambda: told.append(1))
    buffer.offer(2)
    buffer.when_consumed(lambda: told.append(2))
    buffer.take(1)
    buffer.take(1)
    assert told == [1]
    buffer.take()
    assert told == [1, 2]


def test_an_item_that_slides_out() -> None:
    """Nobody waits for what was dropped."""
    buffer: Buffer[int] = Buffer(BufferConfig(1, "sliding"))
    told: list[int] = []
    buffer.offer(1)
    buffer.when_consumed(lambda: told.append(1))
    buffer.offer(2)
    assert told == [1]


@pytest.mark.parametrize("end", ["end", "dispose"])
def test_the_end(buffer: Buffer[int], end: str) -> None:
    """Whoever waits is told, and nobody waits any more."""
    told: list[int] = []
    buffer.offer(1)
    buffer.when_consumed(lambda: told.append(1))
    getattr(buffer, end)()
    assert told == [1] and not buffer.when_consumed(list)
