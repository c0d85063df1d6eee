"""examples/monitor from within: what its parts promise each other."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from reactivex import Subject

from examples.monitor import __main__ as command
from examples.monitor import live, service
from examples.monitor.sampler import Probe, Sample, _rate
from examples.monitor.store import ROWS_A_FETCH, Row, Store


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Probe().read()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "samples.sqlite3", keep=1000)
    yield store
    await store.close()


async def ids(rows: AsyncIterator[Row]) -> list[int]:
    return [row["id"] async for row in rows]


def test_a_counter_that_went_back_is_unknown() -> None:
    """A device that was taken out makes no negative rate, and no invented zero."""
    assert _rate(100, 300, 2.0) == 100.0
    assert _rate(300, 100, 2.0) is None
    assert _rate(None, 100, 2.0) is None


def test_a_probe_shows_what_happened_since_the_last_reading(sample: Sample) -> None:
    """Sizes add up, and the busiest process comes first."""
    assert 0 < sample.memory_used < sample.memory_total
    shares = [process["cpu_percent"] for process in sample.processes]
    assert shares == sorted(shares, reverse=True)
    assert sample.at.utcoffset() is not None


async def test_only_the_newest_samples_are_kept(tmp_path: Path, sample: Sample) -> None:
    """The history is bounded, also over a restart, and ids go on."""
    for _ in range(2):
        store = await Store.open(tmp_path / "samples.sqlite3", keep=3)
        for _ in range(3):
            await store.append(sample)
        kept = await ids(store.rows())
        await store.close()
    assert kept == [4, 5, 6]


async def test_rows_can_be_asked_for_in_part(store: Store, sample: Sample) -> None:
    """`after` and `last` choose, and the order stays."""
    for _ in range(6):
        await store.append(sample)
    assert await ids(store.rows(after=4)) == [5, 6]
    assert await ids(store.rows(last=2)) == [5, 6]
    assert await ids(store.rows(after=1, last=3)) == [4, 5, 6]
    assert await store.last_id() == 6


async def test_all_that_is_kept_can_be_seen_in_a_few(tmp_path: Path, sample: Sample) -> None:
    """Evenly chosen from what pruning has left, the oldest first, and never more than asked for."""
    store = await Store.open(tmp_path / "samples.sqlite3", keep=10)
    assert await ids(store.some_rows(5)) == []
    for _ in range(25):
        await store.append(sample)
    assert await ids(store.some_rows(4)) == [16, 19, 22, 25]
    assert await ids(store.some_rows(100)) == list(range(16, 26))
    await store.close()


async def test_a_row_is_the_same_live_and_from_the_history(store: Store, sample: Sample) -> None:
    """What is streamed when it happens and what is read later are equal."""
    live = await store.append(sample)
    assert [row async for row in store.rows()] == [live]


async def test_a_reader_sees_one_state_and_stops_nobody(store: Store, sample: Sample) -> None:
    """While an export stands still, samples are added; it does not see them, and they are there."""
    count = ROWS_A_FETCH + 10
    for _ in range(count):
        await store.append(sample)
    async with aclosing(store.rows()) as rows:
        first = (await anext(rows))["id"]
        await store.append(sample)
        rest = await ids(rows)
    assert [first, *rest] == list(range(1, count + 1))
    assert await store.last_id() == count + 1


async def test_the_copy_has_no_name(
    store: Store, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is whole and readable while the folder it was made in is gone already."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    await store.append(sample)
    with await store.copy() as copy:
        assert list((tmp_path / "temporary").iterdir()) == []
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(copy.read())
            assert database.execute("SELECT count(*) FROM samples").fetchone() == (1,)


async def test_history_and_live_feed_meet_without_gap(store: Store, sample: Sample) -> None:
    """A sample that comes while the history is read follows it, once."""
    for _ in range(3):
        await store.append(sample)
    feed: Subject[Row] = Subject()
    async with aclosing(live.follow(store, feed, after=0)) as rows:
        seen = [(await anext(rows))["id"]]
        feed.on_next(await store.append(sample))
        feed.on_next(await store.append(sample))
        seen += [(await anext(rows))["id"] for _ in range(4)]
    assert seen == [1, 2, 3, 4, 5]


async def test_a_sample_in_both_history_and_live_feed_comes_once(
    store: Store, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample that comes when the client listens already, and before the history is read, is in both."""
    feed: Subject[Row] = Subject()
    rows = store.rows

    async def rows_a_moment_later(**options: int) -> AsyncIterator[Row]:
        feed.on_next(await store.append(sample))
        async for row in rows(**options):
            yield row

    await store.append(sample)
    async with aclosing(live.follow(store, feed, after=0)) as followed:
        monkeypatch.setattr(store, "last_id", lambda: asyncio.sleep(0, 1))
        monkeypatch.setattr(store, "rows", rows_a_moment_later)
        seen = [(await anext(followed))["id"] for _ in range(2)]
        feed.on_next(await store.append(sample))
        seen.append((await anext(followed))["id"])
    assert seen == [1, 2, 3]


async def test_a_slow_client_loses_only_old_samples(store: Store, sample: Sample) -> None:
    """Two hundred live samples that nobody takes: the newest 64 are there, and the sampler did not wait."""
    feed: Subject[Row] = Subject()
    row = await store.append(sample)
    async with aclosing(live.follow(store, feed, after=0)) as rows:
        await anext(rows)
        for number in range(2, 202):
            feed.on_next(row | {"id": number})
        seen = [(await anext(rows))["id"] for _ in range(64)]
    assert seen == list(range(138, 202))


async def test_a_reading_that_fails_is_a_gap(store: Store, sample: Sample, caplog: pytest.LogCaptureFixture) -> None:
    """The sampler logs it and goes on with the next one."""

    class Flaky(Probe):
        calls = 0

        def read(self) -> Sample:
            self.calls += 1
            if self.calls == 1:
                raise OSError("the disk is gone")
            return sample

    feed: Subject[Row] = Subject()
    came = asyncio.Event()
    feed.subscribe(lambda row: came.set())
    task = asyncio.create_task(service.sample(Flaky(), store, feed, interval=0.001))
    await asyncio.wait_for(came.wait(), 60)
    task.cancel()
    await asyncio.wait([task])
    assert "the disk is gone" in caplog.text


def test_the_default_port_gives_way_when_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --port a taken port leads to a free one; a port that was asked for is an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(command, "DEFAULT_PORT", port)
        with command.listen("127.0.0.1", None) as listener:
            assert listener.getsockname()[1] != port
        with pytest.raises(OSError, match="in use"):
            command.listen("127.0.0.1", port)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "x"])
def test_an_interval_that_makes_no_sense_is_refused(text: str) -> None:
    """Refused at the start, with the range."""
    with pytest.raises((ValueError, ArgumentTypeError)):
        command.seconds(text)
