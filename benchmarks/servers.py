"""Real servers as real processes, started by their own command lines on a port that the system picks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

Server = Literal["hypercorn", "uvicorn"]

ROOT: Final = Path(__file__).resolve().parent.parent
_START_DEADLINE: Final = 60.0
_RUNNING: Final = re.compile(r"running on http://127\.0\.0\.1:(\d+)", re.IGNORECASE)
_OPTIONS: Final[Mapping[Server, list[str]]] = {
    "hypercorn": ["--bind", "127.0.0.1:0"],
    "uvicorn": ["--port", "0"],
}


class ServerFailed(Exception):
    """A server did not start; the message carries what it printed."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with the project first on the path of the child's imports."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}


@dataclass(frozen=True)
class Running:
    """A server that listens: its port, and the session that all its processes are in."""

    port: int
    session: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server's live processes so far; 0 where there is no `/proc` to read it from."""
        return sum(_cpu_seconds(process) for process in Path("/proc").glob("[0-9]*") if self._owns(process))

    def _owns(self, process: Path) -> bool:
        try:
            return os.getsid(int(process.name)) == self.session
        except ProcessLookupError:
            return False


def _cpu_seconds(process: Path) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        return sum(int(path.read_text().split()[0]) for path in process.glob("task/*/schedstat")) / 1e9
    return 0.0


@contextmanager
def serve(server: Server, app: str, *, rows: int = 0) -> Iterator[Running]:
    """Run `benchmarks.apps.<app>` on a server with its defaults, and end all its processes on the way out."""
    command = [sys.executable, "-m", server, f"benchmarks.apps.{app}:app", *_OPTIONS[server]]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment({"BENCH_ROWS": str(rows)}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Running(_wait_for_port(process, log), process.pid)
        finally:
            # The whole session, since Hypercorn serves from a child of its own. After a failed start nothing is left.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], log: IO[str]) -> int:
    deadline = time.monotonic() + _START_DEADLINE
    while True:
        ended = process.poll() is not None
        # Read without moving the offset, which the server's processes share.
        printed = os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")
        if match := _RUNNING.search(printed):
            return int(match[1])
        if ended or time.monotonic() > deadline:
            raise ServerFailed(printed[-2000:])
        time.sleep(0.02)
