"""examples/monitor as a process: what a person and their programs get from it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import signal
import sqlite3
import sys
from contextlib import aclosing, closing, suppress
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest

from tests.examples.served import DEADLINE, Event, Monitor


async def take(monitor: Monitor, client: httpx.AsyncClient, count: int, **options: object) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client, **options)) as feed:
        async for event in feed:
            events.append(event)
            if len(events) == count:
                break
    return events


async def test_the_page_needs_nothing_from_elsewhere(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """Each file that the page and its scripts name is served by the monitor, and no address leads away."""
    page = await client.get(monitor.url)
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"] == "default-src 'self'"
    names = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert {"/static/monitor.js", "/static/style.css", "/history.csv", "/database", "/metrics"} <= set(names)
    for name in names:  # which grows: modules name others
        file = await client.get(monitor.url + name)
        assert file.status_code == 200, name
        if name.startswith("/static/"):
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.text), name
            modules = re.findall(r'^import .*"\./(.+)";$', file.text, re.MULTILINE)
            names += [f"/static/{module}" for module in modules if f"/static/{module}" not in names]
    assert len([name for name in names if name.endswith(".js")]) >= 9


async def test_live_samples_are_of_this_machine(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """Samples come one after the other, and what can be checked against the machine agrees with it."""
    events = await take(monitor, client, 5)
    assert [after.id - before.id for before, after in pairwise(events)] == [1, 1, 1, 1]
    assert {event.kind for event in events} == {"sample"}
    for event in events:
        assert event.data["id"] == event.id
        assert event.data["memory_total"] == psutil.virtual_memory().total
        assert len(event.data["cpu_cores"]) == psutil.cpu_count()
        assert all(0 <= core <= 100 for core in event.data["cpu_cores"])


async def test_a_busy_process_is_shown(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """A process that is started and works turns up among the busiest, under its own pid."""
    busy = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client)) as feed:
            async for event in feed:
                found = [row for row in event.data["processes"] if row["pid"] == busy.pid and row["cpu_percent"] > 0]
                if found:
                    break
    finally:
        busy.kill()
        await busy.wait()
    assert "python" in found[0]["name"]


async def test_reconnecting_goes_on_where_it_ended(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """With Last-Event-ID the feed has what came meanwhile, nothing twice and nothing missing."""
    seen = (await take(monitor, client, 4))[1].id
    await take(monitor, client, 6)
    again = await take(monitor, client, 8, headers={"Last-Event-ID": str(seen)})
    assert [event.id for event in again] == list(range(seen + 1, seen + 9))


@pytest.mark.parametrize("last", ["999999999", "x", "-1", "٣"])
async def test_an_unknown_id_starts_anew(monitor: Monitor, client: httpx.AsyncClient, last: str) -> None:
    """An id that this database never gave out leads to the history from its start, not to silence."""
    await take(monitor, client, 3)
    events = await take(monitor, client, 3, headers={"Last-Event-ID": last.encode()})
    assert [event.id for event in events] == [1, 2, 3]


async def test_the_exports_hold_the_same_history(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """CSV, JSON and NDJSON, each read by a library that knows nothing of ours, hold the same rows."""
    live = await take(monitor, client, 3)
    answers = {kind: await client.get(f"{monitor.url}/history.{kind}") for kind in ("csv", "json", "ndjson")}
    rows = list(csv.DictReader(io.StringIO(answers["csv"].content.decode(), newline="")))
    from_json = json.loads(answers["json"].content)
    from_ndjson = [json.loads(line) for line in answers["ndjson"].content.splitlines()]

    count = len(rows)
    assert count >= 3
    assert from_json[:count] == from_ndjson[:count]
    assert from_json[:3] == [event.data for event in live]
    for row, other in zip(rows, from_json, strict=False):
        assert list(row) == list(other)
        assert {name: json.loads(row[name]) for name in ("cpu_cores", "processes")} == {
            name: other[name] for name in ("cpu_cores", "processes")
        }
        assert (row["at"], int(row["memory_used"])) == (other["at"], other["memory_used"])
    for kind, answer in answers.items():
        assert f"history.{kind}" in answer.headers["content-disposition"]


async def test_the_database_can_be_taken_home(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """The download is a whole SQLite file of the announced length, with the samples in it."""
    live = await take(monitor, client, 3)
    answer = await client.get(f"{monitor.url}/database")
    assert answer.headers["content-length"] == str(len(answer.content))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(answer.content)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        times = database.execute("SELECT at FROM samples ORDER BY id LIMIT 3").fetchall()
    assert times == [(event.data["at"],) for event in live]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the open files of a process are shown by Linux alone")
async def test_downloads_leave_nothing_behind(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """A download, one that is broken off, and a mere HEAD: no copy of the database stays open or on the disk."""
    await client.get(f"{monitor.url}/database")
    await client.head(f"{monitor.url}/database")
    async with client.stream("GET", f"{monitor.url}/database") as answer:
        assert answer.status_code == 200

    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client)) as feed:
        async for _ in feed:  # each sample is a later moment to look
            if not any(name.startswith(str(monitor.temporary)) for name in open_files(monitor.process.pid)):
                break
    assert list(monitor.temporary.iterdir()) == []


def open_files(pid: int) -> list[str]:
    """What the process has open now, names that were removed included."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            names.append(os.readlink(link))
    return names


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_streams_open(
    monitor: Monitor, client: httpx.AsyncClient, how: signal.Signals
) -> None:
    """Open feeds end cleanly, the process is gone, and nothing was complained about."""
    started = asyncio.Semaphore(0)

    async def read_to_the_end() -> int:
        count = 0
        async for _ in monitor.events(client):
            count += 1
            if count == 1:
                started.release()
        return count

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read_to_the_end()) for _ in range(3)]
        for _ in readers:
            await started.acquire()
        status = await monitor.stop(how)
    assert all(reader.result() > 0 for reader in readers)
    assert (status, monitor.errors) == (0, "")
