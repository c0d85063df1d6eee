"""What the page of examples/monitor lives on: its feed, the slow reader, the circuit, and what Prometheus is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.examples.served import DEADLINE, Event, Monitor


async def first(
    monitor: Monitor, client: httpx.AsyncClient, kind: str, fits: Callable[[Any], Any] = lambda data: True
) -> Any:
    """The first of a page's events that fits."""
    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client, "/page")) as feed:
        async for event in feed:
            if event.kind == kind and fits(event.data):
                return event.data
    raise AssertionError("the feed ended")


def lane(state: dict[str, Any], strategy: str) -> dict[str, Any] | None:
    return next((stream for stream in state["streams"] if stream["name"] == f"lab_{strategy}"), None)


async def test_a_page_is_told_of_its_own_stream(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """Samples with ids, and the state of the app without: the stream that brings it is in it."""
    kinds: dict[str, Event] = {}
    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client, "/page")) as feed:
        async for event in feed:
            kinds.setdefault(event.kind, event)
            if {"sample", "state"} <= kinds.keys():
                break
    assert kinds["sample"].id == kinds["sample"].data["id"]
    state = kinds["state"]
    assert state.id == 0
    assert [stream["name"] for stream in state.data["streams"]] == ["page"]
    assert state.data["process"]["memory"] > 1_000_000


async def test_a_page_is_told_how_an_import_gets_on(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """Under the id that it chose: that it runs, how much is in, and that it is done; then the list has changed."""
    seen: list[Event] = []
    content = (await client.get(f"{monitor.url}/history.ndjson")).content
    while not content:
        content = (await client.get(f"{monitor.url}/history.ndjson")).content
    job = "0123456789abcdef"
    upload = None
    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client, "/page")) as feed:
        async for event in feed:
            if upload is None:
                files = {"file": ("big.ndjson", content * 3000)}
                upload = asyncio.create_task(client.post(f"{monitor.url}/imports?job={job}", files=files))
            if event.kind == "import":
                seen.append(event)
            if event.kind == "state" and event.data["histories"]:
                break
    assert upload is not None
    answer = await upload
    news = [item.data for item in seen]
    assert event.data["imports"] == news[-1:]
    assert {each["id"] for each in news} == {job}
    assert [each["state"] for each in news] == ["running"] * (len(news) - 1) + ["done"]
    counts = [each["bytes"] for each in news]
    assert counts == sorted(counts) and counts[0] == 0 < counts[1] <= counts[-1] == news[0]["size"]
    assert news[-1]["history"] == answer.json()["id"]
    assert news[-1]["samples"] == answer.json()["samples"]


async def test_a_page_is_told_why_an_import_failed(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """What the answer says is in the news as well: an upload that is refused early may see a reset in place of it."""

    async def upload() -> httpx.Response:
        files = {"file": ("a.ndjson", b"{}")}
        return await client.post(f"{monitor.url}/imports?job=0123456789abcdef", files=files)

    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client, "/page")) as feed:
        await anext(feed)
        answer = await upload()
        async for event in feed:
            if event.kind == "import" and event.data["state"] == "failed":
                break
    assert event.data["error"] == answer.json()["message"]
    assert "line 1" in event.data["error"]


@pytest.mark.parametrize("strategy", ["sliding", "dropping", "suspend"])
async def test_a_slow_reader_fills_its_own_buffer(monitor: Monitor, client: httpx.AsyncClient, strategy: str) -> None:
    """Asked for nothing, the buffer fills; asked for three events, the monitor sends those that the strategy kept."""
    async with aclosing(monitor.events(client, f"/lab/{strategy}")) as events:
        reading = asyncio.ensure_future(anext(events))

        def is_full(state: dict[str, Any]) -> bool:
            stream = lane(state, strategy)
            return bool(stream and stream["buffer"]["length"] == 64 and (strategy == "suspend" or full(stream)))

        def full(stream: dict[str, Any]) -> bool:
            return bool(stream["buffer"]["dropped"] >= 10)

        state = await first(monitor, client, "state", is_full)
        await client.post(f"{monitor.url}/lab/ask?count=3")
        numbers = [(await asyncio.wait_for(reading, DEADLINE)).data["n"]]
        overflows = [
            sample.value
            for sample in await scraped(monitor, client)
            if sample.name == "stream_buffer_overflows_total" and sample.labels["stream"] == f"lab_{strategy}"
        ]
        assert (sum(overflows) >= 10) == (strategy != "suspend")
        numbers += [(await asyncio.wait_for(anext(events), DEADLINE)).data["n"] for _ in range(2)]
    stream = lane(state, strategy)
    assert stream is not None
    if strategy == "sliding":
        assert numbers[0] >= stream["buffer"]["dropped"]
    else:
        assert numbers == [0, 1, 2]
    if strategy == "suspend":
        assert stream["buffer"]["dropped"] == 0
    assert lane(await first(monitor, client, "state", lambda state: not lane(state, strategy)), strategy) is None


async def test_a_stream_of_the_lab_has_one_reader(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """A second one is told so; once the first has gone, there may be another."""
    url = f"{monitor.url}/lab/sliding"
    async with client.stream("GET", url) as answer:
        assert answer.status_code == 200
        second = await client.get(url)
        assert (second.status_code, second.json()["error"]) == (409, "taken")
    await first(monitor, client, "state", lambda state: not lane(state, "sliding"))
    async with client.stream("GET", url) as answer:
        assert answer.status_code == 200


async def test_a_source_that_fails_opens_its_circuit(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """The switch makes it fail; the circuit opens, refuses over HTTP with a time to come back, and closes again."""

    def in_state(name: str) -> Callable[[dict[str, Any]], bool]:
        return lambda state: state["circuits"][0]["state"] == name

    state = await first(monitor, client, "state", lambda state: state["latency"]["milliseconds"])
    assert (state["circuits"][0]["name"], state["circuits"][0]["state"]) == ("disk_latency", "closed")
    await client.put(f"{monitor.url}/latency/broken?on=true")
    state = await first(monitor, client, "state", in_state("open"))
    assert (state["latency"]["milliseconds"], state["latency"]["broken"]) == (None, True)

    refused = await client.get(f"{monitor.url}/latency")
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 10

    await client.put(f"{monitor.url}/latency/broken?on=false")
    state = await first(monitor, client, "state", in_state("closed"))
    assert [change["to"] for change in state["latency"]["changes"]][-1] == "open"
    assert state["latency"]["refused"] > 0
    values = [sample.value for sample in await scraped(monitor, client) if sample.name == "stream_circuit_state"]
    assert values == [0.0]


async def scraped(monitor: Monitor, client: httpx.AsyncClient) -> list[Any]:
    """Every sample at /metrics, as prometheus-client's own parser reads it."""
    answer = await client.get(f"{monitor.url}/metrics")
    families = text_string_to_metric_families(answer.text)
    return [sample for family in families for sample in family.samples]


async def test_prometheus_can_scrape_it(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """What streams did is in /metrics, under the names in the code: here an export, an upload and an open feed."""
    await first(monitor, client, "sample")
    content = (await client.get(f"{monitor.url}/history.csv")).content
    await client.post(f"{monitor.url}/imports", files={"file": ("a.csv", content)})
    async with aclosing(monitor.events(client)) as feed:
        await anext(feed)
        samples = await scraped(monitor, client)

    def value(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    assert value("stream_active", stream="events", format="sse") == 1
    assert value("stream_bytes_total", stream="histories.history", format="csv") == len(content)
    assert value("stream_duration_seconds_count", stream="histories.history", outcome="completed") == 1
    assert value("stream_bytes_total", stream="histories.take_in", direction="in") >= len(content)
    assert value("stream_circuit_state", circuit="disk_latency") == 0


@pytest.fixture(autouse=True)
async def ends_well(monitor: Monitor) -> AsyncGenerator[None, None]:
    """After each test here: the monitor had nothing to complain about."""
    yield
    assert monitor.errors == ""
