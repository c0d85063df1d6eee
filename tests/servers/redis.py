"""A Redis of the test's own: on a port that the system picks, keeping nothing, and frozen where a test wants it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.servers.process import DEADLINE

__all__ = ["RedisServer"]


class RedisServer:
    """A redis-server process, ready when the constructor returns.

    Args:
        program: Where it is.
        folder: Where it runs.
    """

    def __init__(self, program: str, folder: Path) -> None:
        for _ in range(5):  # somebody may take the port before it does
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port: int = probe.getsockname()[1]
            quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
            self._process = subprocess.Popen(
                [program, "--bind", "127.0.0.1", "--port", str(self.port), *quiet], cwd=folder
            )
            if self._answers():
                return
        raise RuntimeError("redis-server does not start")

    def client(self, **settings: Any) -> Any:
        """A blocking client."""
        import redis

        return redis.Redis(port=self.port, **settings)

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it."""
        self.thaw()
        self._process.kill()
        self._process.wait(DEADLINE)

    def _answers(self) -> bool:
        end = time.monotonic() + DEADLINE
        while self._process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False
