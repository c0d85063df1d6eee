"""Servers as processes of their own: started, asked about their state, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlencode

import psutil  # type: ignore[import-untyped, unused-ignore]

from tests.servers.h1 import Client

Kind: TypeAlias = Literal["hypercorn", "hypercorn-worker", "hypercorn-2", "uvicorn", "uvicorn-2", "granian"]

DEADLINE: Final = 30.0
"""Seconds that anything may take on a machine that is busy with other things."""

_ROOT: Final = Path(__file__).parents[2]
_TROUBLE: Final = ("was never retrieved", "Exception ignored in", "was destroyed but it is pending", "RuntimeWarning")


class Server:
    """A server process, ready for connections when the constructor returns.

    Args:
        kind: Which server. "hypercorn-worker" is Hypercorn with the app in a worker process, "hypercorn" without.
            Those with "-2" have two workers.
        app: `module:name`, importable from the folder that holds `tests`.
        settings: Goes to the app as JSON, in the variable `TEST_APP`.
        send_buffer: Bytes of the kernel's send buffer for each connection (`SO_SNDBUF`): small, so that a client that
            stalls is felt early. granian makes its own socket.
        options: More options of the listening socket, each with its level; connections inherit them.
        environment: More variables.
    """

    def __init__(
        self,
        kind: Kind,
        app: str,
        *,
        send_buffer: int = 65536,
        options: Sequence[tuple[int, int, int]] = (),
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.kind = kind
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in stop()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            for option in options:
                listener.setsockopt(*option)
            listener.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = listener.getsockname()
            self.process = subprocess.Popen(
                _command(kind, app, listener.fileno(), self.address[1]),
                pass_fds=[listener.fileno()],
                cwd=_ROOT,
                env={
                    **os.environ,
                    "TEST_APP": json.dumps(settings),
                    "PYTHONPATH": _path(),
                    "PYTHONUNBUFFERED": "1",
                    **(environment or {}),
                },
                stdout=self._stderr,
                stderr=self._stderr,
            )
            try:
                self._wait_until_ready()
            except BaseException:
                self.stop()
                raise

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.kind} ended with {self.process.returncode}:\n{self.output()}")
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.kind} does not answer:\n{self.output()}") from None
                time.sleep(0.02)
            else:
                return

    def output(self) -> str:
        """All that the server has written."""
        self._stderr.seek(0)
        return self._stderr.read()

    def troubles(self, *, known: str | None = None) -> list[str]:
        """Lines of the output that tell of an error which nobody handled, but for parts that match `known`."""
        output = self.output() if known is None else re.sub(known, "", self.output())
        return [line for line in output.splitlines() if any(words in line for words in _TROUBLE)]

    async def get(self, path: str, **query: object) -> tuple[int, bytes]:
        """One request on a connection of its own: the status and the body."""
        async with await Client.connect(self.address) as client:
            await client.request(f"{path}?{urlencode(query)}" if query else path)
            response = await client.response()
            return response.status, await client.body()

    async def admin(self, path: str, **query: object) -> Any:
        """What a route under `/admin` says."""
        status, body = await self.get(f"/admin/{path}", **query)
        assert status == 200, body
        return json.loads(body)

    async def state(self, key: str) -> dict[str, Any]:
        """The counters of the streams that were asked for with this key, and those of the process."""
        state: dict[str, Any] = await self.admin("state", key=key)
        return state

    async def until(self, key: str, **at_least: int) -> dict[str, Any]:
        """Waits until counters have reached these values; the process itself says when."""
        state: dict[str, Any] = await self.admin("until", key=key, **at_least)
        return state

    async def settled(self, key: str, counter: str = "pulled") -> int:
        """Waits until a counter rests, and gives its value."""
        value: int = (await self.admin("settled", key=key, counter=counter))["value"]
        return value

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process that was started."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Waits until the process has gone, and gives its exit code."""
        return await asyncio.to_thread(self.process.wait, DEADLINE)

    def stop(self) -> None:
        """Ends the process and what it started, gently if it lets itself."""
        started = [self.process.pid]
        if self.process.poll() is None:
            started += [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
            self.process.terminate()
        try:
            self.process.wait(DEADLINE / 3)
        except subprocess.TimeoutExpired:
            for pid in started:
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self._stderr.close()


def _path() -> str:
    return os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))


def _command(kind: Kind, app: str, descriptor: int, port: int) -> list[str]:
    run = [sys.executable, "-m"]
    if kind in ("uvicorn", "uvicorn-2"):
        loop = ["--loop", "uvloop", "--http", "httptools", "--lifespan", "on"]
        workers = ["--workers", "2"] if kind == "uvicorn-2" else []
        return [*run, "uvicorn", app, "--fd", str(descriptor), *loop, *workers, "--no-access-log"]
    if kind == "granian":
        listen = ["--host", "127.0.0.1", "--port", str(port)]
        return [*run, "granian", app, "--interface", "asgi", *listen, "--workers-kill-timeout", "3"]
    number = {"hypercorn": "0", "hypercorn-worker": "1", "hypercorn-2": "2"}[kind]
    return [*run, "hypercorn", app, "--bind", f"fd://{descriptor}", "--workers", number]
