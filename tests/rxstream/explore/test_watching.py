"""`watch`: in a real kernel, as a notebook runs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import reactivex
from jupyter_client.manager import AsyncKernelManager
from reactivex import Observable

from rxstream.buffer_config import BufferConfig
from rxstream.explore import watch, watching
from tests.rxstream.support import DEADLINE

ROOT = Path(__file__).parents[3]
KERNEL_DEADLINE = 3 * DEADLINE


class Kernel:
    """A kernel with one cell after the other in it."""

    def __init__(self, manager: AsyncKernelManager, client: Any) -> None:
        self.manager = manager
        self._client = client

    async def start(self, code: str) -> str:
        """Sends a cell."""
        self._pictures: list[str] = []
        self.printed = ""
        self._cell: str = self._client.execute(code)
        return self._cell

    async def pictures(self, wanted: str) -> str:
        """Waits for a picture with this in it."""
        while not (self._pictures and wanted in self._pictures[-1]):
            assert await self._next(), f"the cell ended without {wanted!r}: {self._pictures[-1:]}"
        return self._pictures[-1]

    async def until(self, printed: str) -> None:
        """Waits until the cell has printed this."""
        while printed not in self.printed:
            assert await self._next(), f"the cell ended without {printed!r}"

    async def end(self) -> str:
        """Waits for the end of the cell; returns the last picture."""
        while await self._next():
            pass
        return self._pictures[-1] if self._pictures else ""

    async def run(self, code: str) -> str:
        """Runs a cell, and returns what it printed."""
        await self.start(code)
        await self.end()
        return self.printed

    async def _next(self) -> bool:
        async with asyncio.timeout(KERNEL_DEADLINE):
            while True:
                message = await self._client.get_iopub_msg()
                if message["parent_header"].get("msg_id") == self._cell:
                    break
        content = message["content"]
        if "data" in content and "text/html" in content["data"]:
            self._pictures.append(content["data"]["text/html"])
        self.printed += content.get("text", "")
        self.error = content.get("ename", getattr(self, "error", ""))
        return not (message["msg_type"] == "status" and content["execution_state"] == "idle")


@asynccontextmanager
async def kernel(home: Path) -> AsyncIterator[Kernel]:
    """A kernel that imports what is tested."""
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(cwd=str(ROOT), env={**os.environ, "IPYTHONDIR": str(home)})
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=KERNEL_DEADLINE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


THREADS = """
import asyncio, threading
for _ in range(1000):
    left = [t.name for t in threading.enumerate() if t.name.startswith("rxstream")]
    if not left:
        break
    await asyncio.sleep(0.01)
tasks = [t for t in asyncio.all_tasks() if "rxstream" in repr(t)]
print(left, tasks)
"""


async def test_it_shows_a_stream_and_stops_when_interrupted(tmp_path: Path) -> None:
    """Pictures come while it goes on; an interrupt ends it, says so, and leaves no thread and no task."""
    async with kernel(tmp_path) as cell:
        await cell.run("import reactivex; from rxstream.explore import watch")
        await cell.start(
            "await watch(reactivex.repeat_value(1), consumer_delay=0.001,"
            " buffer={'capacity': 32, 'strategy': 'suspend'}, refresh=0.05, title='ones')"
        )
        picture = await cell.pictures("running")
        assert "<b>ones</b>" in picture and "items/s" in picture and "<polyline" in picture
        await cell.manager.interrupt_kernel()
        assert "stopped" in await cell.end()
        assert await cell.run(THREADS) == "[] []\n"


async def test_it_ends_with_the_stream(tmp_path: Path) -> None:
    """The last picture stays, and the statistics come back; a failure is the cell's."""
    async with kernel(tmp_path) as cell:
        await cell.start(
            "import reactivex; from rxstream.explore import watch\n"
            "print((await watch(reactivex.range(100), buffer='export')).delivered)"
        )
        last = await cell.end()
        assert "ended" in last and "100 delivered" in last and "<code>99</code>" in last
        assert cell.printed == "100\n"
        await cell.start("await watch(reactivex.throw(ValueError('no <b>')))")
        assert "failed: ValueError(&#x27;no &lt;b&gt;&#x27;)" in await cell.end()
        assert cell.error == "ValueError"


async def test_a_simulation_can_be_interrupted(tmp_path: Path) -> None:
    """One whose code never waits; the cell ends long before the simulation would give up by itself."""
    async with kernel(tmp_path) as cell:
        await cell.run(
            "import asyncio, reactivex\nfrom reactivex import operators as rx\nfrom rxstream import virtual\nstop = []"
        )
        await cell.run("from rxstream.explore import simulate; virtual.PATIENCE = 1000")
        await cell.start(
            "print('begins')\n"
            "simulate(reactivex.repeat_value(1).pipe(rx.take_while(lambda n: not stop), rx.filter(lambda n: False)))"
        )
        await cell.until("begins")
        await cell.manager.interrupt_kernel()
        await cell.end()
        assert cell.error == "KeyboardInterrupt"
        assert await cell.run("stop.append(1)\n" + THREADS) == "[] []\n"


async def test_outside_of_a_notebook_it_says_so() -> None:
    """And names what does without."""
    with pytest.raises(ModuleNotFoundError, match=r"record\(\)"):
        await watch(reactivex.never())


async def test_without_ipython_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to install."""
    monkeypatch.setattr(watching, "import_module", _missing)
    with pytest.raises(ModuleNotFoundError, match=r"rxstream\[notebook\]"):
        await watch(reactivex.never())


def _missing(name: str) -> None:
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"refresh": 0}, ValueError),
        ({"refresh": "fast"}, ValueError),
        ({"consumer_delay": -1}, ValueError),
        ({"buffer": BufferConfig}, TypeError),
        ({"observable": 3}, TypeError),
    ],
)
async def test_wrong_arguments_are_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    """At once."""
    observable: Observable[Any] = wrong.pop("observable", reactivex.never())
    with pytest.raises(error):
        await watch(observable, **wrong)
