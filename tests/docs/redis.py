"""A Redis of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.commands import wait_until_open


@contextmanager
def redis_server(program: str, port: int, folder: Path) -> Iterator[None]:
    """Runs a server on this port of 127.0.0.1, which keeps nothing."""
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_open(process, ("127.0.0.1", port))
            yield
        finally:
            process.terminate()
