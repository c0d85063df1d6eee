"""What pages are told as it happens: the samples, what the app itself is at, and how imports get on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import psutil
import reactivex
from reactivex import Observable, Subject, operators

from rxstream import ServerSentEvent, from_async_iterable, to_async_iterable
from rxstream.operators import with_buffer

from .store import JSON_COLUMNS, Row, Store

# What a new page is given to draw before the first live sample.
REPLAY = 300
# Streams that a page is shown; their number it is told anyway.
LISTED = 50
STATE_EVERY = 0.5  # seconds
LOOKS = 10  # at the event loop's lag, in that time


def page_feed(store: Store, feed: Subject[Row], news: Subject[ServerSentEvent], *, after: int) -> Observable[Any]:
    """All that a page shows, in one stream: browsers open no more than six connections to one address.

    The history waits for the client. News does not: of each, a slow client gets what is the newest by then.
    """
    samples = from_async_iterable(lambda: follow(store, feed, after=after)).pipe(operators.map(as_event))
    return reactivex.merge(samples, news.pipe(with_buffer(capacity=8, strategy="sliding")))


async def follow(store: Store, feed: Subject[Row], *, after: int) -> AsyncGenerator[Row, None]:
    """The history after that id, at most REPLAY samples, then what comes: nothing twice, no gap between the two."""
    if after > await store.last_id():
        after = 0  # the client knows a database that is no more
    async with to_async_iterable(feed, "sse") as live:  # listens before it reads: what comes meanwhile is kept
        async with aclosing(store.rows(after=after, last=REPLAY)) as rows:
            async for row in rows:
                after = row["id"]
                yield row
        async for row in live:
            if row["id"] > after:
                yield row


def as_event(row: Row) -> ServerSentEvent:
    """The id is what a browser sends back when it reconnects."""
    return ServerSentEvent(with_lists(row), event="sample", id=str(row["id"]))


def with_lists(row: Row) -> Row:
    """The row with its JSON columns as JSON: they are encoded already."""
    return row | {name: msgspec.Raw(row[name].encode()) for name in JSON_COLUMNS}


async def tell_state(news: Subject[ServerSentEvent], look: Callable[[], dict[str, Any]]) -> None:
    """Tells every page what the app is at, while there is one."""
    process = psutil.Process()
    while True:
        lag = await measure_lag()
        if news.observers:
            own = {"memory": process.memory_info().rss, "threads": threading.active_count(), "lag": lag}
            news.on_next(ServerSentEvent({"process": own} | look(), event="state"))


async def measure_lag() -> float:
    """How late the event loop is, in seconds: the worst of some looks."""
    clock = asyncio.get_running_loop().time
    worst = 0.0
    for _ in range(LOOKS):
        due = clock() + STATE_EVERY / LOOKS
        await asyncio.sleep(STATE_EVERY / LOOKS)
        worst = max(worst, clock() - due)
    return round(worst, 5)
