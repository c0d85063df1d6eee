"""A monitor that runs, and its live feed as a program of a user would read it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

DEADLINE = 60


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

    async def stop(self, how: signal.Signals) -> int:
        """Sends the signal; the exit status."""
        self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), DEADLINE)
