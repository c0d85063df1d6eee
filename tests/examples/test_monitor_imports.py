"""Importing into examples/monitor: what goes in whole, and what is refused with its place and leaves nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import reactivex

from examples.monitor.app import create_app
from examples.monitor.archive import Archive, NewHistory
from examples.monitor.formats import ImportedSample, decoder_for
from examples.monitor.sampler import Probe
from examples.monitor.store import Row, Store
from quart_adapter.testing import stream
from rxstream import DecodeError, to_async_iterable
from rxstream.operators import encode_csv
from tests.examples.served import DEADLINE, Monitor

KINDS = ["csv", "json", "ndjson"]


async def taken(monitor: Monitor, client: httpx.AsyncClient, name: str, content: bytes) -> httpx.Response:
    return await client.post(f"{monitor.url}/imports", files={"file": (name, content)})


async def some_history(monitor: Monitor, client: httpx.AsyncClient, kind: str, samples: int = 5) -> bytes:
    """An export of at least so many samples."""
    async with asyncio.timeout(DEADLINE), aclosing(monitor.events(client)) as feed:
        async for event in feed:
            if event.id >= samples:
                return (await client.get(f"{monitor.url}/history.{kind}")).content
    raise AssertionError("the feed ended")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what a file system does, in another process, has no event
            await asyncio.sleep(0.01)


def left_in(monitor: Monitor) -> list[str]:
    """The files of imported histories, unfinished ones included."""
    return sorted(path.name for path in monitor.imports.iterdir())


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_exported_comes_back_the_same(monitor: Monitor, client: httpx.AsyncClient, kind: str) -> None:
    """An export, imported and exported again, is equal byte for byte, and its times and size are known."""
    content = await some_history(monitor, client, kind)
    answer = await taken(monitor, client, f"yesterday.{kind}", content)
    assert answer.status_code == 201, answer.text
    history = answer.json()
    again = await client.get(f"{monitor.url}/imports/{history['id']}/history.{kind}")
    assert again.content == content
    assert f"yesterday.{kind}" in again.headers["content-disposition"]

    rows = (await client.get(f"{monitor.url}/imports/{history['id']}/samples")).json()
    times = [datetime.fromisoformat(row["at"]) for row in rows]
    assert (history["name"], history["samples"]) == (f"yesterday.{kind}", len(rows))
    assert [datetime.fromisoformat(history[end]) for end in ("first", "last")] == [times[0], times[-1]]
    assert (await client.get(f"{monitor.url}/imports")).json() == [history]


@pytest.mark.parametrize(
    ("kind", "place"), [("csv", "line 4"), ("json", "item 2"), ("ndjson", "line 3")]
)  # a CSV file has a header
async def test_a_bad_sample_is_named_and_nothing_is_imported(
    monitor: Monitor, client: httpx.AsyncClient, kind: str, place: str
) -> None:
    """The answer says which line or item is wrong, and of the good ones before it nothing is kept."""
    total = str(Probe().read().memory_total).encode()
    parts = (await some_history(monitor, client, kind)).split(total)
    content = total.join(parts[:3]) + b"-1" + total.join(parts[3:])  # the memory of the third sample
    answer = await taken(monitor, client, f"history.{kind}", content)
    assert (answer.status_code, answer.json()["error"]) == (422, "bad_sample")
    assert place in answer.json()["message"]
    assert "memory_total" in answer.json()["message"]
    assert ((await client.get(f"{monitor.url}/imports")).json(), left_in(monitor)) == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "status", "error"),
    [
        ("history.txt", b"", 415, "unknown_format"),
        ("history.csv", b"", 422, "no_samples"),
        ("history.json", b"[]", 422, "no_samples"),
        ("history.json", b"[", 422, "bad_sample"),
        ("history.ndjson", b"\xff\xfe", 422, "bad_sample"),
    ],
)
async def test_a_file_that_is_none_of_samples_is_refused(
    monitor: Monitor, client: httpx.AsyncClient, name: str, content: bytes, status: int, error: str
) -> None:
    """Each refusal has a status and a word, and leaves nothing."""
    answer = await taken(monitor, client, name, content)
    assert (answer.status_code, answer.json()["error"], left_in(monitor)) == (status, error, [])


async def test_a_second_file_takes_the_first_one_with_it(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """A form is imported whole or not at all: the file in front was good, and is not kept."""
    content = await some_history(monitor, client, "csv")
    files = [("file", ("one.csv", content)), ("file", ("two.csv", content))]
    answer = await client.post(f"{monitor.url}/imports", files=files)
    assert (answer.status_code, answer.json()["error"], left_in(monitor)) == (422, "several_files", [])


async def test_an_upload_that_is_cut_off_leaves_nothing(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """The client goes in the middle of the file: what was there of it is removed."""
    content = await some_history(monitor, client, "ndjson")
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="history.ndjson"\r\n\r\n'
    url = httpx.URL(monitor.url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /imports HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n")
    writer.write(b"Content-Length: 9999999\r\n\r\n" + head + content)
    await writer.drain()
    await until(lambda: any(name.endswith(".unfinished") for name in left_in(monitor)))
    writer.close()
    await writer.wait_closed()
    await until(lambda: not left_in(monitor))
    assert (await client.get(f"{monitor.url}/imports")).json() == []


async def test_the_sampler_goes_on_during_an_import(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """While an upload stands in the middle, and its rows are in the file already, samples go on being kept."""
    content = await some_history(monitor, client, "ndjson")
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="history.ndjson"\r\n\r\n'
        yield content * 500
        await go_on.wait()
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    upload = asyncio.create_task(client.post(f"{monitor.url}/imports", content=body(), headers=headers))
    await until(lambda: any(name.endswith(".unfinished") for name in left_in(monitor)))
    before = (await some_history(monitor, client, "ndjson")).count(b"\n")
    await some_history(monitor, client, "ndjson", samples=before + 10)
    assert not upload.done()
    go_on.set()
    answer = await asyncio.wait_for(upload, DEADLINE)
    assert answer.json()["samples"] == 500 * content.count(b"\n")


async def test_an_imported_history_can_be_removed(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """Afterwards it is unknown, and its file is gone."""
    answer = await taken(monitor, client, "history.csv", await some_history(monitor, client, "csv"))
    url = f"{monitor.url}/imports/{answer.json()['id']}"
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(f"{url}/history.csv")).status_code == 404
    assert left_in(monitor) == []


async def test_a_page_from_elsewhere_may_change_nothing(monitor: Monitor, client: httpx.AsyncClient) -> None:
    """A form that another site sends is refused before it is read; one of the page itself is not."""
    content = await some_history(monitor, client, "csv")
    for origin, status in (("http://elsewhere.example", 403), ("null", 403), (monitor.url, 201)):
        answer = await client.post(
            f"{monitor.url}/imports", files={"file": ("history.csv", content)}, headers={"Origin": origin}
        )
        assert answer.status_code == status


async def test_imported_samples_are_not_pruned(tmp_path: Path) -> None:
    """The sampler keeps its newest two; an imported history of more stays as it is."""
    app = create_app(database=tmp_path / "samples.sqlite3", interval=0.01, keep=2)
    samples = b"".join(b"%b\n" % line for line in map(encoded, range(5)))
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.ndjson"\r\n\r\n%b\r\n--x--\r\n' % samples
    async with app.test_app() as running:
        client = running.test_client()
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await client.post("/imports", headers=headers, data=form)
        history = await answer.get_json()
        async with asyncio.timeout(DEADLINE), stream(client, "/events") as feed:
            while int((await feed.events(1))[0].id) < 8:
                pass
        kept = await (await client.get(f"/imports/{history['id']}/history.json")).get_json()
    assert [row["id"] for row in kept] == [1, 2, 3, 4, 5]


async def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite finds no room: the answer says so, and what was written is removed."""
    opened = NewHistory.open

    async def on_a_small_disk(self: NewHistory) -> None:
        await opened(self)
        assert self._database is not None
        await self._database.execute("PRAGMA max_page_count = 8")

    monkeypatch.setattr(NewHistory, "open", on_a_small_disk)
    app = create_app(database=tmp_path / "samples.sqlite3")
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.ndjson"\r\n\r\n%b\r\n--x--\r\n'
    async with app.test_app() as running:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        lines = b"\n".join(map(encoded, range(1000)))
        answer = await running.test_client().post("/imports", headers=headers, data=form % lines)
        assert (answer.status_code, (await answer.get_json())["error"]) == (507, "disk_full")
        assert list((tmp_path / "samples.sqlite3.imports").iterdir()) == []


def encoded(number: int, id: int | None = None) -> bytes:
    sample: dict[str, Any] = dict.fromkeys(ImportedSample.__struct_fields__, 0)
    sample |= {"at": datetime.fromtimestamp(number, UTC).isoformat(), "cpu_cores": [0], "processes": [], "id": id}
    return json.dumps(sample).encode()


# -- its parts


async def test_what_a_crash_left_is_cleared(tmp_path: Path) -> None:
    """An unfinished file of an earlier run is removed at the start."""
    archive = await Archive.open(tmp_path / "imports")
    async with archive.add():
        assert len(list((tmp_path / "imports").iterdir())) == 1
        await Archive.open(tmp_path / "imports")
        assert list((tmp_path / "imports").iterdir()) == []


async def test_a_long_history_is_thinned_evenly(tmp_path: Path) -> None:
    """At most so many samples are read, in order, the first among them, with equal steps."""
    archive = await Archive.open(tmp_path / "imports")
    decode = decoder_for("a.ndjson")
    assert decode is not None
    lines = b"\n".join(encoded(number, 40 + number) for number in range(1001))
    async with archive.add() as new:
        async for batch in to_async_iterable(decode(reactivex.of(lines))).batches():
            await new.append(batch)
        history = await new.commit("a.ndjson")
    ids = [row["id"] async for row in archive.rows(history, at_most=100)]
    assert ids == list(range(40, 1041, 11))
    assert [row["id"] async for row in archive.rows(history, at_most=2000)] == list(range(40, 1041))


@pytest.mark.parametrize("cell", ["[1, 101]", "[", "[]", "{}", '["a"]', "[" * 2000])
async def test_a_list_in_a_cell_is_checked_with_its_line(tmp_path: Path, cell: str) -> None:
    """CSV has no lists: what the text of one is wrong in is named with its line and its column."""
    store = await Store.open(tmp_path / "samples.sqlite3", keep=10)
    row: Row = await store.append(Probe().read())
    await store.close()
    decode = decoder_for("A.CSV")
    assert decode is not None
    bad = await collected(encode_csv()(reactivex.of(row, row | {"cpu_cores": cell})))
    with pytest.raises(DecodeError, match=r"line 3.*cpu_cores") as caught:
        await collected(decode(reactivex.of(b"".join(bad))))
    assert caught.value.position == 1


async def collected(items: reactivex.Observable[Any]) -> list[Any]:
    return [item async for item in to_async_iterable(items)]
