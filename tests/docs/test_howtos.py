"""The promises of the how-tos, kept: their own code on real servers; clients that are slow, leave and come back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from quart_adapter import RxStream
from quart_adapter.testing import stream
from rxstream.formats import ReceivedEvent, SSEDecoder
from tests.docs.browser import tab
from tests.docs.commands import free_port
from tests.docs.nginx import Nginx
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.redis import redis_server
from tests.docs.running import DEADLINE, Runner
from tests.rxstream.support import settled

HOWTO = ROOT / "docs" / "howto"


def files(name: str, title: str) -> list[Block]:
    """The blocks of a how-to that are this file, as it grows."""
    return [block for block in blocks(HOWTO / f"{name}.md") if block.title == title]


def prepare(runner: Runner, name: str, version: int = 0) -> Any:
    """Runs what a how-to has up to that version of its app, and gives the app."""
    wanted = files(name, "app.py")[version]
    for block in blocks(HOWTO / f"{name}.md"):
        if block.language in ("python", "html", "nginx") and block.title is not None:
            runner.run(block)
        if block == wanted:
            break
    return runner.namespace["app"]


def serve(runner: Runner, name: str, version: int = 0, command: str = "hypercorn -w 0 app") -> str:
    """The same on a real server; gives the address."""
    prepare(runner, name, version)
    runner.shell.serve(command)
    return f"http://{runner.shell.address}"


async def events(answer: httpx.Response) -> AsyncIterator[ReceivedEvent]:
    """The events of a response as they come."""
    decoder = SSEDecoder()
    async for chunk in answer.aiter_bytes():
        for event in decoder.decode(chunk):
            yield event


async def until(client: httpx.AsyncClient, address: str, fits: Callable[[httpx.Response], bool]) -> None:
    """Asks until the answer is what is waited for."""
    async with asyncio.timeout(DEADLINE):
        while not fits(await client.get(address)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that is patient."""
    async with httpx.AsyncClient(timeout=DEADLINE) as opened:
        yield opened


async def test_a_slow_reader_loses_no_token(runner: Runner) -> None:
    """A client that stalls gets all 3,000 tokens, in order, once it reads again."""
    app = prepare(runner, "llm")
    body = json.dumps({"question": "Count to 3000"}).encode()
    request: dict[str, Any] = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body}
    async with stream(app.test_client(), "/answers", **request, window=512, stalled=True, deadline=DEADLINE) as reader:
        await settled(lambda: RxStream.of(app).streams()[0].statistics.pushed)  # one that drops would have them all
        reader.resume()
        *texts, last = await reader.events()
    tokens = [json.loads(event.data)["token"] for event in texts]
    assert tokens == ["1", *(f" {number}" for number in range(2, 3001))]
    assert last.event == "done"


async def test_a_model_that_fails_is_not_a_complete_answer(runner: Runner) -> None:
    """The client gets what came before, an `error` event, and no `done`."""
    app = prepare(runner, "llm")
    body = json.dumps({"question": "Fail at 3"}).encode()
    headers = {"Content-Type": "application/json"}
    async with stream(app.test_client(), "/answers", method="POST", headers=headers, body=body) as reader:
        kinds = [event.event for event in await reader.events()]
    assert kinds == ["message", "message", "error"]


async def test_a_reader_who_leaves_stops_the_model(runner: Runner, client: httpx.AsyncClient) -> None:
    """Nobody pays for a million tokens that nobody reads."""
    address = serve(runner, "llm")
    answering = runner.shell.environment["MODEL_URL"].removesuffix("/v1/chat/completions") + "/answering"
    async with client.stream("POST", f"{address}/answers", json={"question": "Count to 1000000"}) as answer:
        await anext(events(answer))
        assert (await client.get(answering)).json() == {"answers": 1}
    await until(client, answering, lambda answer: answer.json() == {"answers": 0})


async def test_an_answer_goes_on_where_the_connection_broke(runner: Runner, client: httpx.AsyncClient) -> None:
    """The tokens after `Last-Event-ID`, and none twice."""
    address = serve(runner, "llm", 1)
    name = (await client.post(f"{address}/answers", json={"question": "Count to 50"})).json()["answer"]
    seen = []
    async with client.stream("GET", f"{address}/answers/{name}") as answer:
        async for event in events(answer):
            seen.append(event)
            if len(seen) == 20:
                break
    async with client.stream(
        "GET", f"{address}/answers/{name}", headers={"Last-Event-ID": seen[-1].id or ""}
    ) as answer:
        seen += [event async for event in events(answer)]
    assert [event.id for event in seen if event.event == "message"] == [str(number) for number in range(1, 51)]
    assert seen[-1].event == "done"


async def test_the_page_shows_the_answer(runner: Runner, tool: Callable[[str], str]) -> None:
    """In a real browser."""
    prepare(runner, "llm", 1)
    runner.run(files("llm", "static/index.html")[0])
    runner.shell.serve("hypercorn -w 0 app")
    async with tab(tool("chromium")) as page:
        await page.goto(f"http://{runner.shell.address}/static/index.html")
        await page.get_by_role("button").click()
        await page.get_by_text("complete").wait_for()
        assert await page.locator("#answer").text_content() == "1 2 3 4 5"


async def test_every_row_is_exported(runner: Runner, client: httpx.AsyncClient) -> None:
    """100,000 of them; and a fifth export at the same time is told to come back."""
    for block in blocks(HOWTO / "database.md"):
        if block.title is not None or "make_database" in block.code:
            runner.run(block)
    runner.shell.serve("hypercorn -w 0 bounded:app")
    address = f"http://{runner.shell.address}/bounded.csv"
    lines = (await client.get(address)).text.splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("id,customer,cents", 100_001, "100000,customer 999,9993")
    held = [await client.send(client.build_request("GET", address), stream=True) for _ in range(4)]
    assert (await client.get(address)).status_code == 503
    for answer in held:
        await answer.aclose()
    await until(client, address, lambda answer: answer.status_code == 200)


@pytest.mark.parametrize("version", [0, 1], ids=["body", "form"])
async def test_objects_arrive_whole(runner: Runner, client: httpx.AsyncClient, version: int) -> None:
    """20 MiB, byte for byte."""
    address = serve(runner, "object-storage", version)
    store = runner.shell.environment["STORE_URL"]
    content, name = os.urandom(20 << 20), f"whole-{version}.txt"
    if version == 0:
        answer = await client.put(f"{address}/files/{name}", content=content)
    else:
        answer = await client.post(f"{address}/files", files={"file": (name, content, "text/plain")})
    assert (answer.status_code, list(answer.json().values())) == (201, [len(content)])
    assert (await client.get(f"{store}/{name}")).content == content


@pytest.mark.parametrize("version", [0, 1], ids=["body", "form"])
async def test_an_upload_that_breaks_off_leaves_nothing(
    runner: Runner, client: httpx.AsyncClient, version: int
) -> None:
    """No object, and no parts that somebody would pay for."""
    address = serve(runner, "object-storage", version)
    store = runner.shell.environment["STORE_URL"]
    name, sent = f"broken-{version}.txt", asyncio.Event()
    head = b""
    if version == 1:
        head = f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'.encode()
        head += b"Content-Type: text/plain\r\n\r\n"

    async def half() -> AsyncIterator[bytes]:
        yield head + bytes(12 << 20)
        sent.set()
        await asyncio.Event().wait()

    path = f"/files/{name}" if version == 0 else "/files"
    headers = {"Content-Length": str(20 << 20), "Content-Type": "multipart/form-data; boundary=b"}
    upload = asyncio.create_task(
        client.request("POST" if version else "PUT", address + path, content=half(), headers=headers)
    )
    await asyncio.wait_for(sent.wait(), DEADLINE)
    opened = f"{store.removesuffix('/bucket')}/open"
    if version == 1:
        await until(client, opened, lambda answer: bool(answer.json()))
    upload.cancel()
    await asyncio.wait([upload])
    await until(client, opened, lambda answer: not answer.json())
    assert (await client.get(f"{store}/{name}")).status_code == 404


@pytest.fixture
def behind_nginx(runner: Runner, tool: Callable[[str], str]) -> Any:
    """The address of the how-to's nginx, before the how-to's app."""
    serve(runner, "nginx")
    site = files("nginx", "site.conf")[0].code
    with Nginx(tool("nginx"), runner.folder, site, str(runner.shell.address)) as nginx:
        yield f"http://127.0.0.1:{nginx.address[1]}"


async def test_nginx_passes_events_on_one_by_one(behind_nginx: str, client: httpx.AsyncClient) -> None:
    """The second is published when the first has arrived: held back, it would never come."""
    async with client.stream("GET", f"{behind_nginx}/events") as answer:
        received = events(answer)
        for number in range(3):
            await client.post(f"{behind_nginx}/news", json={"n": number})
            assert (await asyncio.wait_for(anext(received), DEADLINE)).data == f'{{"n":{number}}}'


async def test_nginx_passes_uploads_on_as_they_come(behind_nginx: str, client: httpx.AsyncClient) -> None:
    """The app tells of the first bytes while the rest is still to be sent."""
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(1000)
        await asyncio.wait_for(arrived.wait(), DEADLINE)
        yield bytes(1000)

    async with client.stream("GET", f"{behind_nginx}/events") as answer:
        upload = asyncio.create_task(client.post(f"{behind_nginx}/upload", content=body()))
        assert (await asyncio.wait_for(anext(events(answer)), DEADLINE)).data == '{"received":1000}'
        arrived.set()
        assert (await upload).status_code == 204


async def test_nginx_passes_failures_on(behind_nginx: str, client: httpx.AsyncClient) -> None:
    """An export that is cut off is no complete answer behind nginx, either."""
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{behind_nginx}/broken.csv")


async def test_every_worker_has_every_event(runner: Runner, client: httpx.AsyncClient) -> None:
    """Clients on two servers see what is published on either; one that comes back gets what it missed, once."""
    first = serve(runner, "workers")
    other = Runner(runner.folder, lambda name: name, {})
    other.shell.environment |= runner.shell.environment
    other.shell.serve("uvicorn --workers 2 app:app")
    addresses = [first, f"http://{other.shell.address}"]
    try:
        seen: list[ReceivedEvent] = []
        opened = [client.stream("GET", f"{address}/news") for address in addresses]
        async with opened[0] as one, opened[1] as two:
            each = [events(one), events(two)]
            for number in range(4):
                await client.post(f"{addresses[number % 2]}/news", json=number)
                for received in each:
                    seen.append(await asyncio.wait_for(anext(received), DEADLINE))
        assert [event.data for event in seen] == ["0", "0", "1", "1", "2", "2", "3", "3"]
        for number in range(4, 8):
            await client.post(f"{addresses[number % 2]}/news", json=number)
        async with client.stream("GET", f"{addresses[1]}/news", headers={"Last-Event-ID": seen[2].id or ""}) as back:
            received = events(back)
            again = [await asyncio.wait_for(anext(received), DEADLINE) for _ in range(6)]
        assert [event.data for event in again] == ["2", "3", "4", "5", "6", "7"]
    finally:
        other.close()


async def test_an_id_that_is_none_is_refused(runner: Runner, client: httpx.AsyncClient) -> None:
    """With a status, not with a stream that fails."""
    address = serve(runner, "workers")
    assert (await client.get(f"{address}/news", headers={"Last-Event-ID": "no id"})).status_code == 400


async def test_the_feed_outlives_redis(
    runner: Runner, client: httpx.AsyncClient, tool: Callable[[str], str], tmp_path: Path
) -> None:
    """A client stays connected while it is started again, and goes on."""
    port = free_port()
    redis = partial(redis_server, tool("redis-server"), port, tmp_path)
    with redis():
        serve(runner, "workers")
        runner.shell.environment["REDIS_URL"] = f"redis://127.0.0.1:{port}"
        runner.shell.serve("hypercorn -w 0 app")
        address = f"http://{runner.shell.address}/news"
        opened = client.stream("GET", address)
        received = events(await opened.__aenter__())
        await client.post(address, json="before")
        assert (await anext(received)).data == '"before"'
    assert (await client.post(address, json="lost")).status_code == 500
    with redis():
        async with asyncio.timeout(DEADLINE):
            while (await client.post(address, json="after")).status_code != 201:
                pass
            assert (await anext(received)).data == '"after"'
        await opened.__aexit__(None, None, None)
