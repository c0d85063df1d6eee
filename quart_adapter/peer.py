"""What the kernel knows of a connection that the server does not read from at the moment."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["Peer"]

_ESTABLISHED = b"01"


class Peer:
    """The other end of a direct TCP connection, on Linux.

    A server that does not read sees neither FIN nor RST; the kernel does, and tells in `/proc/self/net/tcp`. On a host
    with very many connections that file is long: look from a thread.
    """

    def __init__(self, key: bytes, table: str) -> None:
        self._key = key
        self._table = table

    @classmethod
    def of(cls, client: Sequence[Any] | None, server: Sequence[Any] | None) -> Peer | None:
        """The peer of a connection; None where it cannot be seen: behind a proxy, on a Unix socket, not on Linux."""
        if not client or not server:
            return None
        try:
            six = ":" in client[0]
            key = f" {_address(six, *server)} {_address(six, *client)} ".encode()
        except (OSError, TypeError, ValueError):
            return None
        peer = cls(key, f"/proc/self/net/tcp{'6' if six else ''}")
        return peer if peer._state() else None

    def gone(self) -> bool:
        """Whether the peer has closed or reset the connection."""
        return self._state() not in (_ESTABLISHED, None)

    def _state(self) -> bytes | None:
        """The connection's state as the kernel numbers it; empty if there is none any more, None if nobody knows."""
        try:
            with open(self._table, "rb") as file:
                table = file.read()
        except OSError:
            return None
        _, _, rest = table.partition(self._key)
        return rest[:2]


def _address(six: bool, host: str, port: int, *_scope: Any) -> str:
    raw = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
    words = (raw[start : start + 4][::-1].hex() for start in range(0, len(raw), 4))  # the kernel prints host order
    return f"{''.join(words)}:{int(port):04x}".upper()
