"""A file that is there as a whole or not at all, written on other threads."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["NewFile"]


class NewFile:
    """Writes to a temporary name beside `path`, and takes its place at the end. Each call may run on another thread.

    A cancelled `to_thread` goes on in its thread. A file that it creates then would stay, and closing the file under
    its hands could give its number to another file: so whoever is at work when `discard` comes is the one who removes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{secrets.token_hex(8)}.part")
        self._descriptor: int | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def create(self) -> None:
        """Creates the temporary file, with the rights that a new file of this process has."""
        with self._lock:
            if not self._discarded:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self._temporary, flags, 0o666)
        self._settle()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Appends bytes."""
        with self._lock:
            data = memoryview(b"".join(pieces))
            while data and self._descriptor is not None and not self._discarded:
                data = data[os.write(self._descriptor, data) :]
        self._settle()

    def commit(self) -> None:
        """Closes the file and gives it its name."""
        with self._lock:
            if self._descriptor is not None and not self._discarded:
                self._close()
                os.replace(self._temporary, self._path)
        self._settle()

    def discard(self) -> None:
        """Removes what has not got its name yet. Never waits, never raises; may be called at any time."""
        self._discarded = True
        self._settle()

    def _settle(self) -> None:
        if self._discarded and self._lock.acquire(blocking=False):
            try:
                with suppress(OSError):
                    self._close()
                with suppress(OSError):  # it was never created, or has its name
                    self._temporary.unlink()
            finally:
                self._lock.release()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
