"""HTTP/1.1 over one blocking socket, no faster or slower for one server than for another.

The socket is drained into memory with one time stamp a read; framing is taken off after the clock has stopped.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_READ_SIZE: Final = 1 << 18
_TIMEOUT: Final = 300.0


class BadReply(Exception):
    """The server's answer is not what a contender must send."""


@dataclass(frozen=True)
class Reply:
    """One answer: the seconds from the request to the last byte, and the body without its framing."""

    seconds: float
    body: bytes


class Dechunker:
    """Takes the chunked framing off a body that arrives in any pieces."""

    def __init__(self) -> None:
        self.done = False
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes from the socket and return the payload of each chunk that is whole by now."""
        self._pending += data
        payloads: list[bytes] = []
        position = 0
        while not self.done:
            line_end = self._pending.find(b"\r\n", position)
            if line_end < 0:
                break
            size = int(self._pending[position:line_end].split(b";")[0], 16)
            end = line_end + 2 + size + 2
            if end > len(self._pending):
                break
            payloads.append(bytes(self._pending[line_end + 2 : end - 2]))
            position = end
            self.done = size == 0
        del self._pending[:position]
        return payloads


def open_socket(port: int) -> socket.socket:
    """Open a connection to 127.0.0.1."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def connect(port: int, path: str, *, method: str = "GET") -> socket.socket:
    """Open a connection to 127.0.0.1 and send one request that asks for the connection to be closed after it."""
    connection = open_socket(port)
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def read_raw(connection: socket.socket) -> Iterator[bytes]:
    """Yield what arrives until the server closes the connection."""
    buffer = bytearray(_READ_SIZE)
    view = memoryview(buffer)
    while count := connection.recv_into(buffer):
        yield bytes(view[:count])


def split_head(raw: bytes) -> tuple[bytes, bytes]:
    """Return the head and what follows it, or raise `BadReply` for any status but 200."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"HTTP/1.1 200"):
        raise BadReply(f"not a 200: {raw[:300]!r}")
    return head.lower(), rest


def decode_body(raw: bytes) -> bytes:
    """Return the body of one whole answer, or raise `BadReply` when it was cut off."""
    head, rest = split_head(raw)
    if b"transfer-encoding: chunked" not in head:
        return rest
    dechunker = Dechunker()
    body = b"".join(dechunker.feed(rest))
    if not dechunker.done:
        raise BadReply(f"the body was cut off after {len(body)} bytes")
    return body


def fetch(port: int, path: str, *, method: str = "GET") -> Reply:
    """Send one request and read its answer to the last byte."""
    started = last = time.monotonic()
    parts: list[bytes] = []
    with connect(port, path, method=method) as connection:
        for part in read_raw(connection):
            last = time.monotonic()
            parts.append(part)
    return Reply(last - started, decode_body(b"".join(parts)))


def fetch_json(port: int, path: str, *, method: str = "GET") -> Any:
    """Send one request and return its answer, parsed as JSON."""
    return json.loads(fetch(port, path, method=method).body)
