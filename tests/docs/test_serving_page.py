"""The promises of docs/serving.md about a listening socket of your own, kept: its own script, on real servers."""

from __future__ import annotations

import sys

import httpx
import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.running import DEADLINE, Runner
from tests.servers import H1Client

APP = "tests.servers.apps.streams:app"
OWN_SOCKET = {"hypercorn": f"hypercorn --bind fd://3 --workers 0 {APP}", "uvicorn": f"uvicorn --fd 3 {APP}"}
PLAIN = {"hypercorn": f"hypercorn --workers 0 {APP}", "uvicorn": f"uvicorn {APP}"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the options are Linux'")


def serve(runner: Runner, server: str, **constants: str) -> tuple[str, int]:
    """Runs a server by the page's script, with other values for its constants; gives the address."""
    script = next(block for block in blocks(ROOT / "docs" / "serving.md") if block.title == "listen.py")
    code = script.code
    for name, value in constants.items():
        before, assignment, after = code.partition(f"\n{name} = ")
        assert assignment, f"listen.py has no {name}"
        code = f"{before}{assignment}{value}  #{after}"
    (runner.folder / "listen.py").write_text(code)
    return address_of(runner, f"python listen.py 127.0.0.1:8000 {server}")


def address_of(runner: Runner, command: str) -> tuple[str, int]:
    """Starts a server, and gives its address."""
    runner.shell.serve(command)
    assert runner.shell.address is not None
    host, _, port = runner.shell.address.rpartition(":")
    return host, int(port)


async def ask(runner: Runner, what: str, **query: object) -> dict[str, int]:
    """What the server says of its streams."""
    async with httpx.AsyncClient(timeout=DEADLINE) as client:
        answer = await client.get(f"http://{runner.shell.address}/admin/{what}", params={"key": "it", **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, int] = answer.json()
    return found


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
@pytest.mark.parametrize("path", ["sse?heartbeat=0.2", "bytes?"])
async def test_a_peer_that_vanished_is_found(runner: Runner, server: str, path: str) -> None:
    """From an idle stream, with a heartbeat and without; `until` answers only once the source is cleaned up."""
    async with await H1Client.connect(serve(runner, OWN_SOCKET[server], VANISHED="2")) as client:
        await client.request(f"/{path}&key=it&then=wait")
        await client.response()
        await ask(runner, "until", pulled=3)
        client.vanish()
        await ask(runner, "until", cleaned=1)


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
async def test_a_client_that_stalls_is_fewer_events_behind(runner: Runner, server: str) -> None:
    """Less than a quarter of what it is on the server's own socket."""
    ahead = []
    for start in (lambda: address_of(runner, PLAIN[server]), lambda: serve(runner, OWN_SOCKET[server])):
        async with await H1Client.connect(start()) as client:
            await client.request("/sse?key=it&count=0&pad=1000&capacity=1&strategy=suspend")
            ahead.append((await ask(runner, "settled", counter="pulled"))["value"])
    assert ahead[1] < ahead[0] / 4, ahead
