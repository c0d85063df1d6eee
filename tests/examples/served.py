"""A monitor that runs, and its live feed as a program of a user would read it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

DEADLINE = 60
ROOT = Path(__file__).parents[2]


class Event(NamedTuple):
    """One server-sent event; `data` is decoded, and `id` is 0 where there is none."""

    id: int
    kind: str
    data: Any


class Monitor:
    """A running monitor. `temporary` is its folder for temporary files, `imports` that of imported histories, `errors`
    what it wrote to stderr up to now."""

    def __init__(
        self, process: asyncio.subprocess.Process, url: str, *, stderr: Path, temporary: Path, imports: Path
    ) -> None:
        self.process = process
        self.url = url
        self.temporary = temporary
        self.imports = imports
        self._stderr = stderr

    @property
    def errors(self) -> str:
        return self._stderr.read_text()

    async def events(
        self, client: httpx.AsyncClient, path: str = "/events", **options: Any
    ) -> AsyncGenerator[Event, None]:
        """A live feed, read by the few rules of the format that it needs, until the server ends it."""
        async with client.stream("GET", self.url + path, **options) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    fields[name] = value
                elif not line and "data" in fields:
                    yield Event(int(fields.get("id", 0)), fields.get("event", "message"), json.loads(fields["data"]))
                    fields = {}

    async def restart(self, how: signal.Signals) -> None:
        """Ends it, and starts it again on the same port with the same database."""
        await self.stop(how)
        await self.process.communicate()
        self.process = (await start(self._stderr.parent, port=httpx.URL(self.url).port or 0)).process

    async def end(self) -> None:
        """Ends it, however it is."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def stop(self, how: signal.Signals) -> int:
        """Sends the signal; the exit status."""
        self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), DEADLINE)


async def start(folder: Path, *, port: int = 0, interval: float = 0.1) -> Monitor:
    """A monitor as a user has it: a process of its own, whose files are in that folder."""
    stderr, temporary = folder / "stderr", folder / "temporary"
    temporary.mkdir(exist_ok=True)
    with stderr.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples.monitor", "--port", str(port), "--interval", str(interval)),
            *("--database", str(folder / "samples.sqlite3")),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    monitor = Monitor(process, "", stderr=stderr, temporary=temporary, imports=folder / "samples.sqlite3.imports")
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode()
        assert "http://127.0.0.1:" in line, monitor.errors
    except BaseException:
        await monitor.end()
        raise
    monitor.url = next(word for word in line.split() if word.startswith("http://"))
    return monitor


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[Monitor]:
    """The same for a block."""
    monitor = await start(folder)
    try:
        yield monitor
    finally:
        await monitor.end()
