"""Uploads over real sockets: slow consumers, clients that go, early answers, on Hypercorn and uvicorn."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import httpx
import pytest

from tests.quart_adapter.forms import BOUNDARY, FILE, form
from tests.servers import DEADLINE, H1Client, Server

APP = "tests.servers.apps.uploads:app"
MIB = 1024 * 1024
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """The servers that everything must hold on."""
    return start_server(request.param, APP)


@pytest.fixture(params=["hypercorn", "uvicorn"])
def fresh(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose memory is that of one test."""
    own = Server(request.param, APP)
    yield own
    own.stop()


def url(server: Server, path: str) -> str:
    """The address of a route."""
    return f"http://{server.address[0]}:{server.address[1]}{path}"


async def send(client: H1Client, data: bytes) -> None:
    """Sends bytes of a body."""
    await asyncio.get_running_loop().sock_sendall(client._sock, data)


async def arrived(client: H1Client) -> None:
    """Waits until the server's kernel has all bytes that were sent."""
    async with asyncio.timeout(DEADLINE):
        while int.from_bytes(fcntl.ioctl(client._sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def closed_window(client: H1Client) -> None:
    """Waits until the server's kernel lets nothing more through: what the client's kernel has left to send stays there.

    It probes a window that is closed; or it sends again and again what did not fit in any more, and was thrown away.
    """
    async with asyncio.timeout(DEADLINE):
        while True:
            timer, again = timer_of(client)
            if timer == "04" or (timer == "01" and again > 0):
                return
            await asyncio.sleep(0.01)


def timer_of(client: H1Client) -> tuple[str, int]:
    """Which timer of a connection runs, as the kernel numbers them, and how often it sent the same again."""
    port = f":{client._sock.getsockname()[1]:04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
    return next((fields[5][:2], int(fields[6], 16)) for fields in lines if fields[1].endswith(port))


class Sending:
    """A body on its way: as fast as it is taken, and no faster."""

    def __init__(self, client: H1Client, size: int) -> None:
        self.sent = 0
        self._client, self._size = client, size
        self.task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        while self.sent < self._size:
            await send(self._client, b"x" * 65_536)
            self.sent += 65_536

    async def is_held_up(self, server: Server) -> None:
        """Another client sends as much, and is through with it: this one had the time, and not the room."""
        async with httpx.AsyncClient(timeout=DEADLINE) as other:
            answer = await other.post(url(server, "/raw?key=other"), content=b"x" * self._size)
        assert answer.json() == {"size": self._size}
        assert not self.task.done() and self.sent < self._size // 2

    async def stop(self) -> None:
        """Sends no more; what the kernel has taken is on its way."""
        self.task.cancel()
        await asyncio.wait([self.task])


async def held_up(server: Server, client: H1Client, key: str) -> Sending:
    """An upload whose consumer stands still, with the client waiting."""
    await client.request(f"/raw?hold&key={key}", method="POST", headers={"Content-Length": str(64 * MIB)})
    sending = Sending(client, 64 * MIB)
    await server.until(key, chunks=1)
    await sending.is_held_up(server)
    return sending


class TestPressure:
    """A consumer that is slower than the network."""

    async def test_the_sender_waits(self, server: Server, key: str) -> None:
        """While the consumer stands still, the client cannot send more than the kernel keeps; then all arrives."""
        async with await H1Client.connect(server.address) as client:
            sending = await held_up(server, client, key)
            await server.admin("go", key=key)
            await sending.task
            assert (await client.response()).status == 200
            assert json.loads(await client.body()) == {"size": 64 * MIB}

    @pytest.mark.parametrize(
        ("fresh", "http2"), [("hypercorn", False), ("hypercorn", True), ("uvicorn", False)], indirect=["fresh"]
    )
    async def test_memory_is_bounded(self, fresh: Server, key: str, http2: bool) -> None:
        """128 MiB to a slow consumer: the process hardly grows, and the client's progress is that of the consumer."""
        sent = 0

        async def body() -> Any:
            nonlocal sent
            for _ in range(128):
                yield CONTENT
                sent += MIB

        async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=DEADLINE) as client:
            await client.post(url(fresh, f"/raw?key={key}-0"), content=CONTENT)
            before = (await fresh.state(key))["peak_rss"]
            posting = asyncio.ensure_future(client.post(url(fresh, f"/raw?pause=0.0005&key={key}"), content=body()))
            half = 64 * MIB // 65_536  # chunks
            await fresh.until(key, chunks=half)
            taken = (await fresh.state(key))["chunks"] * 65_536
            assert sent <= taken + 32 * MIB  # what the kernel's buffers may hold, and ours
            answer = await posting
        assert answer.json() == {"size": 128 * MIB}
        assert (await fresh.state(key))["peak_rss"] - before <= 16 * MIB

    async def test_memory_with_a_limited_sender(self, fresh: Server, key: str, tool: Any, tmp_path: Path) -> None:
        """The same with `curl --limit-rate`, which sends in bursts."""
        path = tmp_path / "file"
        path.write_bytes(CONTENT * 64)
        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            await client.post(url(fresh, f"/raw?key={key}-0"), content=CONTENT)
        before = (await fresh.state(key))["peak_rss"]
        command = [tool("curl"), "-s", "--limit-rate", "40M", "-T", str(path), "-X", "POST"]
        process = await asyncio.create_subprocess_exec(
            *command, url(fresh, f"/raw?pause=0.0005&key={key}"), stdout=PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert json.loads(out) == {"size": 64 * MIB}
        assert (await fresh.state(key))["peak_rss"] - before <= 16 * MIB

    async def test_memory_of_a_form(self, fresh: Server) -> None:
        """A file of 128 MiB within a form."""
        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            start, end = form((FILE, b"@")).split(b"@")
            await client.post(url(fresh, "/form"), content=start + CONTENT + end, headers=headers)
            before = (await fresh.state(""))["peak_rss"]

            async def body() -> Any:
                yield start
                for _ in range(128):
                    yield CONTENT
                yield end

            answer = await client.post(url(fresh, "/form"), content=body(), headers=headers)
        assert answer.json()[0][2] == 128 * MIB
        assert (await fresh.state(""))["peak_rss"] - before <= 16 * MIB


class TestGone:
    """Clients that go amid an upload."""

    @pytest.mark.parametrize("how", ["fin", "rst"])
    async def test_while_the_consumer_reads(self, server: Server, key: str, how: str) -> None:
        """The consumer waits for more; the upload does not complete."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/raw?key={key}", method="POST", headers={"Content-Length": "1000000"})
            await send(client, b"x" * 1000)
            await server.until(key, chunks=1)
            getattr(client, how)()
            state = await server.until(key, cleaned=1)
        assert "completed" not in state

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc; elsewhere the stall deadline ends it")
    async def test_while_reading_is_paused(self, server: Server, key: str) -> None:
        """The server reads nothing, and cannot see it; it is noticed."""
        async with await H1Client.connect(server.address) as client:
            sending = await held_up(server, client, key)
            await sending.stop()
            client.rst()
            state = await server.until(key, cleaned=1)
        assert "completed" not in state

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc; elsewhere the stall deadline ends it")
    async def test_a_fin_while_reading_is_paused(self, server: Server, key: str) -> None:
        """A FIN that found room in the kernel: it is noticed, though the server has not come to it."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/raw?hold&key={key}", method="POST", headers={"Content-Length": str(64 * MIB)})
            await send(client, CONTENT)
            await server.until(key, chunks=1)
            await arrived(client)
            client.fin()
            state = await server.until(key, cleaned=1)
        assert "completed" not in state

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to know that the window is closed")
    async def test_behind_a_full_window(self, key: str) -> None:
        """A FIN that waits behind bytes never arrives: the stall deadline ends the upload."""
        server = Server("hypercorn", APP, body={"stall_timeout": 6.0})
        try:
            async with await H1Client.connect(server.address) as client:
                await client.request(f"/raw?hold&key={key}", method="POST", headers={"Content-Length": str(64 * MIB)})
                sending = Sending(client, 64 * MIB)
                await closed_window(client)
                await sending.stop()
                client.fin()
                await server.admin("failed", key=key)
                await server.admin("go", key=key)
                state = await server.until(key, cleaned=1)
            assert "completed" not in state
        finally:
            server.stop()

    @pytest.mark.parametrize("how", ["fin", "rst"])
    @pytest.mark.parametrize("sent", [10, 300, 500_000])
    async def test_no_file_is_left(self, server: Server, key: str, tmp_path: Path, how: str, sent: int) -> None:
        """In the headers, at the start and amid a file that is saved."""
        body = form((FILE, CONTENT))
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/save?key={key}&folder={tmp_path}", method="POST", headers=headers)
            await send(client, body[:sent])
            await server.until(key, started=1)
            getattr(client, how)()
            state = await server.until(key, cleaned=1)
        assert "completed" not in state
        await server.admin("written")
        assert os.listdir(tmp_path) == []


class TestAnswers:
    """Refusals that a client can read."""

    async def test_an_early_refusal(self, server: Server) -> None:
        """A client that sends 20 MiB before it reads gets the answer, and not a reset."""
        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            answer = await client.post(url(server, "/refuse"), content=CONTENT * 20)
            assert (answer.status_code, answer.json()["error"]) == (413, "file_too_large")
            assert answer.headers["connection"] == "close"

    async def test_a_limit_without_a_length(self, start_server: Callable[..., Server], server: Server) -> None:
        """A chunked body is counted."""
        limited = start_server(server.kind, APP, limit=MIB)

        async def body() -> Any:
            for _ in range(8):
                yield CONTENT

        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            answer = await client.post(url(limited, "/raw?key=x"), content=body())
            assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")

    async def test_a_byte_at_a_time(self, start_server: Callable[..., Server], server: Server) -> None:
        """A client that keeps its connection busy with next to nothing is ended."""
        strict = start_server(server.kind, APP, body={"min_rate": 10_000.0, "rate_window": 0.3})
        async with await H1Client.connect(strict.address) as client:
            await client.request("/raw?key=slow", method="POST", headers={"Content-Length": "100000"})
            answering = asyncio.ensure_future(client.response())
            while not answering.done():
                await send(client, b"x")
                await asyncio.wait([answering], timeout=0.02)
            response = await answering
            assert (response.status, response.headers["connection"]) == (408, "close")
            assert b"upload_timeout" in await client.body()

    async def test_silence(self, start_server: Callable[..., Server], server: Server) -> None:
        """A client that sends nothing is ended by the idle limit."""
        strict = start_server(server.kind, APP, body={"idle_timeout": 0.3})
        async with await H1Client.connect(strict.address) as client:
            await client.request("/raw?key=silent", method="POST", headers={"Content-Length": "100000"})
            assert (await client.response()).status == 408
